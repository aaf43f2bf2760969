//! Weight files as if they had been published: an encoder's tensors under their names, drawn from a
//! seed.

use std::path::Path;

use anyhow::{Result, bail};
use candle_core::DType;
use encoder::{EncoderConfig, InputShape};
use nn::weights::{Variables, save};
use serde_json::Value;

/// Writes the weights of an encoder for windows of a size, both as a pipeline file states them.
pub fn write(path: &Path, encoder: &Value, input: &Value, seed: u64) -> Result<()> {
    let encoder: EncoderConfig = serde_json::from_value(encoder.clone())?;
    let input: InputShape = serde_json::from_value(input.clone())?;
    let drawn = Variables::default();
    encoder.build(input, drawn.builder(seed, DType::F32))?;
    if drawn.all().is_empty() {
        bail!("this encoder has no weights")
    }
    Ok(save(path, &drawn.tensors())?)
}
