//! What holds of writing around every family of language models, in double precision.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use encoder::{EncoderInput, InputShape};
use lm::LmConfig;
use lm::decode::{BeamConfig, EarlyStopping, log_softmax};
use nn::weights::{Frozen, Variables};
use serde_json::json;

use crate::generate::{Choice, Decoding};
use crate::{Flamingo, MediaView, Prompts, Result};

/// Twenty ids: `<|endofchunk|>` and `<image>` are the last two.
const N_IDS: usize = 20;
const END: u32 = 18;
const IMAGE: u32 = 19;

fn families() -> [(&'static str, LmConfig); 7] {
    let of = |config: serde_json::Value| serde_json::from_value::<LmConfig>(config).unwrap();
    let llama = |tied: bool| {
        of(json!({
            "model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "vocab_size": 18,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": tied,
        }))
    };
    let neox = |parallel: bool| {
        of(json!({
            "model_type": "gpt_neox", "hidden_size": 16, "intermediate_size": 24, "vocab_size": 18,
            "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 64,
            "rotary_pct": 0.5, "use_parallel_residual": parallel,
        }))
    };
    let opt = json!({
        "model_type": "opt", "hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 24,
        "vocab_size": 18, "num_hidden_layers": 2, "num_attention_heads": 4,
        "max_position_embeddings": 64, "do_layer_norm_before": true,
    });
    let mpt = json!({
        "model_type": "mpt", "d_model": 16, "n_heads": 4, "n_layers": 2, "max_seq_len": 64,
        "vocab_size": 18, "attn_config": { "alibi": true },
    });
    let mosaic = json!({
        "model_type": "mosaic_gpt", "d_model": 16, "n_heads": 4, "n_layers": 2, "max_seq_len": 64,
        "vocab_size": 18, "attn_qk_ln": true, "alibi": true, "no_bias": true,
    });
    [
        ("LLaMA, tied", llama(true)),
        ("LLaMA", llama(false)),
        ("GPT-NeoX, parallel", neox(true)),
        ("GPT-NeoX, sequential", neox(false)),
        ("OPT", of(opt)),
        ("MPT", of(mpt)),
        ("MosaicGPT", of(mosaic)),
    ]
}

/// Weights so large that the likeliest token depends on all before it, and open gates.
fn model(config: &LmConfig) -> Flamingo {
    let (frozen, trained) = (Variables::default(), Variables::default());
    config.build(frozen.builder(8, DType::F64)).unwrap();
    let mut tensors = frozen.tensors();
    for (name, tensor) in &mut tensors {
        if !name.contains("norm") && !name.contains("ln") {
            *tensor = (&*tensor * 10.).unwrap();
        }
    }
    let constants = Frozen::from_tensors(Path::new("lm"), tensors);
    let lm = config.build(constants.builder(DType::F64)).unwrap();
    let vb = trained.builder(3, DType::F64);
    let around = crate::flamingo::tests::config();
    let input = InputShape::Window { n_frames: 4, n_voxels: 5 };
    let special = END as usize..N_IDS;
    let model = Flamingo::new(&around, input, lm, special, vb.pp("encoder"), vb).unwrap();
    for (name, var) in trained.all() {
        if name.ends_with("_gate") {
            var.set(&Tensor::full(0.8f64, 1, &Device::Cpu).unwrap()).unwrap();
        } else if name.ends_with("rows") {
            var.set(&(var.as_tensor() * 10.).unwrap()).unwrap();
        }
    }
    model
}

/// Two scans, one late scan, none, one scan: mixed counts and lengths in one batch.
fn rows() -> Vec<Vec<u32>> {
    vec![vec![IMAGE, 3, 7, END, IMAGE, 2], vec![1, 4, IMAGE], vec![5, 5, 9, 0], vec![IMAGE, 6]]
}

fn scans(model: &Flamingo) -> MediaView {
    let values = (0..4u64).flat_map(|seed| nn::seeded::normal(seed, "scan", 40, 0., 2.));
    let values: Vec<f64> = values.collect();
    let values = Tensor::from_vec(values, (4, 2, 1, 4, 5), &Device::Cpu).unwrap();
    model.encode_media(&EncoderInput::new(values)).unwrap()
}

/// Log-probabilities of the id after `text`, everything read anew.
fn next(model: &Flamingo, text: &[u32], media: &MediaView) -> Vec<f32> {
    let view =
        Prompts::left_padded(vec![text.to_vec()], IMAGE).view(64, &nn::Device::cpu()).unwrap();
    let hidden = model.hidden(&view, Some(media), None).unwrap();
    let last = hidden.narrow(1, text.len() - 1, 1).unwrap().squeeze(1).unwrap();
    let logits = model.head(&last).unwrap().to_dtype(DType::F32).unwrap();
    let mut scores: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
    log_softmax(&mut scores);
    scores
}

#[test]
fn cached_ids_are_those_of_reading_everything_anew_and_a_batch_equals_its_singles() -> Result<()> {
    for (name, config) in families() {
        let model = model(&config);
        let media = scans(&model);
        let decoding = Decoding::greedy(10, END);
        let mut told = vec![Vec::new(); 4];
        let prompts = Prompts::left_padded(rows(), IMAGE);
        let found = model.generate_ids(prompts, Some(&media), &decoding, &mut |chosen| {
            told[chosen.sequence].push(chosen.scores.to_vec());
            Ok(())
        })?;
        for (row, told) in told.into_iter().enumerate() {
            let own = media.select(&[row as u32])?;
            let mut text = rows()[row].clone();
            for (mut scores, &id) in told.into_iter().zip(&found[row][0].ids) {
                log_softmax(&mut scores);
                for (a, b) in scores.iter().zip(next(&model, &text, &own)) {
                    assert!((a - b).abs() < 1e-4, "{name}, row {row}");
                }
                text.push(id);
            }
            let single = Prompts::left_padded(vec![rows()[row].clone()], IMAGE);
            let alone = model.generate_ids(single, Some(&own), &decoding, &mut |_| Ok(()))?;
            assert_eq!(alone[0], found[row], "{name}, row {row}");
        }
    }
    Ok(())
}

#[test]
fn padding_on_either_side_gives_the_same_likelihoods_as_none() -> Result<()> {
    for (name, config) in families() {
        let model = model(&config);
        let media = scans(&model);
        let starts = vec![1; 4];
        let whole = model.log_probs(rows(), &starts, Some(&media), IMAGE)?;
        let cut: Vec<_> = rows().iter().map(|row| row[..row.len() - 1].to_vec()).collect();
        let left = model.cache_prompts(Prompts::left_padded(cut, IMAGE), Some(&media))?;
        for (row, found) in whole.iter().enumerate() {
            let own = media.select(&[row as u32])?;
            let alone = model.log_probs(vec![rows()[row].clone()], &[1], Some(&own), IMAGE)?;
            for (a, b) in found.iter().zip(&alone[0]) {
                assert!((a - b).abs() < 1e-9, "{name}, row {row}");
            }
            let last = *rows()[row].last().unwrap();
            let cached = left.log_probs(&[(row, &[last])])?[0][0];
            assert!((cached - alone[0].last().unwrap()).abs() < 1e-9, "{name}, row {row}");
        }
    }
    Ok(())
}

/// Every text of at most `n_new` tokens that ends, or is cut, with its score.
fn all_texts(
    model: &Flamingo,
    prompt: &[u32],
    media: &MediaView,
    penalty: f64,
    n_new: usize,
) -> Vec<(f64, Vec<u32>)> {
    let mut done = Vec::new();
    let mut open = vec![(0., Vec::new())];
    for step in 0..n_new {
        let mut longer = Vec::new();
        for (sum, text) in open {
            let scores = next(model, &[prompt, &text].concat(), media);
            for (id, score) in scores.into_iter().enumerate() {
                let text = [&*text, &[id as u32]].concat();
                let sum = sum + f64::from(score);
                let ends = id as u32 == END;
                if ends || step + 1 == n_new {
                    // the whole length, without the end
                    let length = prompt.len() + text.len() - usize::from(ends);
                    done.push((sum / (length as f64).powf(penalty), text));
                } else {
                    longer.push((sum, text));
                }
            }
        }
        open = longer;
    }
    done.sort_by(|a, b| b.0.total_cmp(&a.0));
    done
}

#[test]
fn beams_that_are_wide_enough_find_the_best_of_all_texts() -> Result<()> {
    for (idx, (name, config)) in families().into_iter().enumerate() {
        let model = model(&config);
        let media = scans(&model);
        // one family to a depth that takes long
        let n_new = if idx == 0 { 3 } else { 2_usize };
        for (row, penalty) in [(1, 1.), (3, -2.)] {
            let own = media.select(&[row as u32])?;
            let beams = BeamConfig {
                length_penalty: penalty,
                early_stopping: EarlyStopping::Never,
                ..BeamConfig::new(N_IDS * N_IDS)
            };
            let decoding = Decoding {
                choice: Choice::Beams(beams),
                num_return_sequences: 5,
                ..Decoding::greedy(n_new, END)
            };
            let prompt = rows()[row].clone();
            let prompts = Prompts::left_padded(vec![prompt.clone()], IMAGE);
            let found = model.generate_ids(prompts, Some(&own), &decoding, &mut |_| Ok(()))?;
            let expected = all_texts(&model, &prompt, &own, penalty, n_new);
            for (found, (score, ids)) in found[0].iter().zip(&expected) {
                assert_eq!(found.ids, *ids, "{name}, row {row}");
                assert!((found.score.unwrap() - score).abs() < 1e-4, "{name}, row {row}");
            }
        }
    }
    Ok(())
}
