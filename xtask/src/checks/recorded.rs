//! A folder of recorded cases: facts as JSON and arrays as safetensors.

use std::{collections::HashMap, path::Path};

use anyhow::{Context, Result, ensure};
use ndarray::{ArrayD, IxDyn};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// What was recorded: facts, and arrays by name.
pub(crate) struct Recorded {
    pub(crate) facts: Value,
    tensors: HashMap<String, ArrayD<f64>>,
}

impl Recorded {
    /// Reads `expected.json` and `expected.safetensors` of a family of oracles.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        Self::read_named(folder, "expected.json", "expected.safetensors")
    }

    /// Reads both files; integers and shorter floats are widened.
    pub(crate) fn read_named(folder: &Path, facts: &str, tensors: &str) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).with_context(|| path.display().to_string())
        };
        let facts = serde_json::from_slice(&read(facts)?)?;
        let bytes = read(tensors)?;
        let mut tensors = HashMap::new();
        for (name, view) in SafeTensors::deserialize(&bytes)?.tensors() {
            let values = widened(view.dtype(), view.data()).with_context(|| name.clone())?;
            tensors.insert(name, ArrayD::from_shape_vec(IxDyn(view.shape()), values)?);
        }
        Ok(Self { facts, tensors })
    }

    /// The array of a name.
    pub(crate) fn tensor(&self, name: &str) -> Result<&ArrayD<f64>> {
        self.tensors.get(name).with_context(|| format!("no tensor {name} was recorded"))
    }
}

/// The tensors that a `case.json` says were recorded; one that is missing is a miss.
pub(crate) fn listed(facts: &Value) -> impl Iterator<Item = &String> {
    facts["io_tensors"].as_object().into_iter().flat_map(|all| all.keys())
}

fn widened(dtype: Dtype, bytes: &[u8]) -> Result<Vec<f64>> {
    let width = dtype.bitsize() / 8;
    let whole = width > 0 && bytes.len().is_multiple_of(width);
    ensure!(whole, "{dtype:?} of {} bytes", bytes.len());
    let values = bytes.chunks_exact(width).map(|b| {
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(b);
        let small = [wide[0], wide[1], wide[2], wide[3]];
        Some(match dtype {
            Dtype::F64 => f64::from_le_bytes(wide),
            Dtype::F32 => f32::from_le_bytes(small).into(),
            Dtype::F16 => half(u16::from_le_bytes([wide[0], wide[1]])),
            Dtype::I64 => i64::from_le_bytes(wide) as f64,
            Dtype::I32 => i32::from_le_bytes(small).into(),
            Dtype::I16 => i16::from_le_bytes([wide[0], wide[1]]).into(),
            Dtype::U8 => wide[0].into(),
            _ => return None,
        })
    });
    let values: Option<Vec<f64>> = values.collect();
    values.with_context(|| format!("{dtype:?} is not read here"))
}

/// A 16-bit float: sign, five bits of exponent, ten of fraction.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
    sign * match exponent {
        0 => fraction * 2_f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2_f64.powi(exponent - 15),
    }
}

/// A number of a JSON file, where `"nan"`, `"inf"` and `"-inf"` are numbers too.
pub(crate) fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some("inf") => f64::INFINITY,
        Some("-inf") => f64::NEG_INFINITY,
        Some(_) => f64::NAN,
        None => value.as_f64().unwrap_or(f64::NAN),
    }
}

/// All numbers below a value, in order.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    match value.as_array() {
        Some(items) => items.iter().flat_map(numbers).collect(),
        None => vec![number(value)],
    }
}

/// The largest difference; NaN beside NaN and equal infinities are none.
pub(crate) fn max_abs<'a>(
    found: impl IntoIterator<Item = &'a f64>,
    expected: impl IntoIterator<Item = &'a f64>,
) -> f64 {
    let (mut found, mut expected) = (found.into_iter(), expected.into_iter());
    let mut worst = 0.0_f64;
    loop {
        match (found.next(), expected.next()) {
            (None, None) => return worst,
            (Some(a), Some(b)) if a == b || (a.is_nan() && b.is_nan()) => {}
            (Some(a), Some(b)) if (a - b).is_finite() => worst = worst.max((a - b).abs()),
            _ => return f64::INFINITY,
        }
    }
}

/// The largest difference over the largest expected value, the README's "rel".
pub(crate) fn max_rel<'a>(
    found: impl IntoIterator<Item = &'a f64>,
    expected: impl IntoIterator<Item = &'a f64> + Clone,
) -> f64 {
    let finite = expected.clone().into_iter().filter(|x| x.is_finite());
    let scale = finite.fold(0.0_f64, |scale, x| scale.max(x.abs()));
    max_abs(found, expected) / if scale > 0.0 { scale } else { 1.0 }
}
