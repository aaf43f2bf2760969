//! Folders that transformers 5 saved, against the logits that it computes from them.

use std::path::Path;

use candle_core::{DType, Device};
use nn::weights::Frozen;

use super::{for_both, gap};
use crate::{LmConfig, Result, Step};

/// Largest accepted difference of a logit; their standard deviation is between 1.2 and 1.7.
const TOLERANCE: f64 = 1e-5;

fn check(name: &str, tied: bool) -> Result<()> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/transformers").join(name);
    for_both(|device| compared(name, &folder, tied, device))
}

fn compared(name: &str, folder: &Path, tied: bool, device: &nn::Device) -> Result<()> {
    let mut config = LmConfig::open(&folder.join("config.json"))?;
    let (weights, _) = config.take(&Frozen::open(&folder.join("model.safetensors"))?)?;
    let lm = config.build(weights.builder(DType::F32).on(device))?;
    weights.all_used()?;
    assert_eq!(lm.shape().tied, tied, "{name}");
    let io = candle_core::safetensors::load(folder.join("io.safetensors"), &Device::Cpu)?;
    let ids = io["ids"].to_dtype(DType::U32)?;
    let (batch, n_tokens) = ids.dims2()?;
    let gap = gap(&lm.logits(&ids, &Step::plain(batch, n_tokens)?)?, &io["logits"])?;
    assert!(gap < TOLERANCE, "{name}: {gap}");
    Ok(())
}

#[test]
fn qwen3_and_smollm3_give_the_logits_of_transformers() -> Result<()> {
    check("qwen3_tied", true)?;
    check("qwen3_untied", false)?;
    check("smollm3_tied", true)?;
    check("smollm3_untied", false)
}

#[test]
fn rotary_settings_in_any_place_give_the_logits_of_transformers() -> Result<()> {
    check("llama3_original_beside", false)?;
    check("llama3_original_twice", false)?;
    check("llama3_original_nowhere", false)?;
    check("llama_rope_twice", false)?;
    check("llama_rope_parameters", false)
}

#[test]
fn two_heads_in_one_file_give_the_logits_of_transformers() -> Result<()> {
    check("llama_two_heads", false)
}
