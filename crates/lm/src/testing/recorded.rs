//! Blocks against what OpenFlamingo's language models computed.

use std::path::Path;

use candle_core::{DType, Tensor};
use nn::weights::Frozen;

use super::{for_both, gap};
use crate::{LmConfig, Result, Step};

/// Largest accepted difference.
const TOLERANCE: f64 = 1e-4;

/// Feeds each block what the recorded one was fed and compares what comes out, then the logits, at
/// all tokens that are no padding.
pub(crate) fn agrees_with_the_recorded_case(name: &str) -> Result<()> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/parity/flamingo").join(name);
    for_both(|device| compared(name, &folder, device))
}

fn compared(name: &str, folder: &Path, device: &nn::Device) -> Result<()> {
    let mut config = LmConfig::open(&folder.join("lm_config.json"))?;
    let (weights, _) = config.take(&Frozen::open(&folder.join("lm.safetensors"))?)?;
    let lm = config.build(weights.builder(DType::F32).on(device))?;
    weights.all_used()?;

    let io =
        candle_core::safetensors::load(folder.join("io.safetensors"), &candle_core::Device::Cpu)?;
    let flags = io["fwd.attention_mask"].to_vec2::<i64>()?;
    let real: Vec<Vec<bool>> =
        flags.iter().map(|row| row.iter().map(|&flag| flag == 1).collect()).collect();
    let step = Step::new(&real, real[0].len())?;
    let kept = io["fwd.attention_mask"].to_dtype(DType::F32)?.unsqueeze(2)?;
    let agrees = |what: &str, found: &Tensor, expected: &Tensor| -> Result<()> {
        let gap = gap(&found.broadcast_mul(&kept)?, &expected.broadcast_mul(&kept)?)?;
        assert!(gap < TOLERANCE, "{name}, {what}: {gap}");
        Ok(())
    };
    let ids = io["fwd.input_ids"].to_dtype(DType::U32)?;
    let mut xs = lm.enter(lm.embed(&ids)?, &step)?;
    for idx in 0..lm.shape().n_blocks {
        let fed = io.get(&format!("fwd.layer{idx}.xattn_out")).unwrap_or(&xs);
        let out = lm.block(idx, fed, &step, None)?;
        xs = io[&format!("fwd.layer{idx}.out")].clone();
        agrees(&format!("block {idx}"), &out, &xs)?;
    }
    agrees("logits", &lm.head(&lm.norm(&xs)?)?, &io["fwd.logits"])
}
