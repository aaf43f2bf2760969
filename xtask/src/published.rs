//! Weight files as if they had been published: an encoder's tensors under their names, drawn from a
//! seed.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Result, bail};
use candle_core::{DType, Device, Tensor};
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
    let mut tensors = drawn.tensors();
    match &encoder {
        // its authors store the sines of every token, which we compute
        EncoderConfig::BrainJepa(config) => {
            let size = config.size()?;
            let table = sines(size.n_parcels, size.n_times(), size.dim / 2)?;
            tensors.insert("pos_embed_proj.emb_h".to_owned(), table);
        }
        EncoderConfig::BrainSemantoks(_) => {
            let taught = |(name, tensor)| (format!("teacher_encoder.{name}"), tensor);
            tensors = tensors.into_iter().map(taught).collect::<HashMap<String, Tensor>>();
        }
        _ => {}
    }
    Ok(save(path, &tensors)?)
}

/// Sines, then cosines, of the patch of each of a parcel's tokens, `(n_parcels · n_times, width)`.
fn sines(n_parcels: usize, n_times: usize, width: usize) -> Result<Tensor> {
    let half = width / 2;
    let angle =
        |time: usize, at: usize| time as f64 / 10_000_f64.powf((at % half) as f64 / half as f64);
    let row = |time: usize| {
        (0..width).map(move |at| {
            let angle = angle(time, at);
            (if at < half { angle.sin() } else { angle.cos() }) as f32
        })
    };
    let values: Vec<f32> = (0..n_parcels).flat_map(|_| (0..n_times).flat_map(row)).collect();
    Ok(Tensor::from_vec(values, (n_parcels * n_times, width), &Device::Cpu)?)
}
