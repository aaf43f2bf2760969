//! What the recorded cases of brain encoders have in common: facts, tensors, tolerances.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Tensor};
use encoder::EncoderConfig;
use nn::{Device, weights::Frozen};
use serde::Serialize;
use serde_json::{Value, json};

use crate::checks::{Worst, recorded::listed};

/// A recorded case, and how near we came to it.
pub(super) struct Case {
    /// `case.json`.
    pub(super) facts: Value,
    /// What went in and what came out.
    pub(super) io: Frozen,
    pub(super) worst: Worst,
    pub(super) device: Device,
    compared: BTreeSet<String>,
}

/// Every so many positions of a long sequence are kept under a name with this ending.
const THINNED: (&str, usize) = (".every_16th_token", 16);

impl Case {
    pub(super) fn open(folder: &Path, device: &Device) -> Result<Self> {
        let path = folder.join("case.json");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let io = Frozen::open(&folder.join("io.safetensors"))?;
        let facts: Value = serde_json::from_str(&text)?;
        for name in listed(&facts) {
            ensure!(io.contains(name), "io.safetensors lacks {name}, which case.json lists");
        }
        let (worst, device) = (Worst::new(), device.clone());
        Ok(Self { facts, io, worst, device, compared: BTreeSet::new() })
    }

    pub(super) fn number(&self, key: &str) -> Result<usize> {
        let found = self.facts["config"][key].as_u64();
        Ok(found.with_context(|| format!("case.json has no config.{key}"))? as usize)
    }

    /// Compares two things that must be equal.
    pub(super) fn equal<T: PartialEq + std::fmt::Debug + ?Sized>(
        &mut self,
        name: &str,
        found: &T,
        expected: &T,
    ) {
        self.compared.insert(name.to_owned());
        self.worst.equal(name, found, expected);
    }

    /// The recorded weights of an encoder of these sizes, each of which must be one of its network's.
    pub(super) fn weights(folder: &Path, encoder: &str, size: &impl Serialize) -> Result<Frozen> {
        let weights = json!({ "file": folder.join("weights.safetensors") });
        let config = json!({ encoder: { "weights": weights, "size": size } });
        let config: EncoderConfig = serde_json::from_value(config)?;
        Ok(config.published_weights()?)
    }

    /// What was compared; a recorded result that nothing was compared with is a miss.
    pub(super) fn all_compared(self) -> Result<Worst> {
        for name in listed(&self.facts).filter(|name| !name.starts_with("input.")) {
            ensure!(self.compared.contains(name), "nothing was compared with {name}");
        }
        Ok(self.worst)
    }

    pub(super) fn get(&self, name: &str) -> Result<Tensor> {
        Ok(self.io.stored(name)?.to_tensor(DType::F32)?.to_device(self.device.place())?)
    }

    /// Compares with a recorded tensor of this name, whole or thinned out, if there is one:
    /// `|a − b| ≤ atol + rtol |b|`.
    pub(super) fn compare(&mut self, name: &str, found: &Tensor) -> Result<()> {
        let (ending, step) = THINNED;
        let thinned = format!("{name}{ending}");
        if self.io.contains(&thinned) {
            let every: Vec<u32> = (0..found.dim(1)? as u32).step_by(step).collect();
            let every = Tensor::from_slice(&every, every.len(), found.device())?;
            self.compare_whole(&thinned, &found.index_select(&every, 1)?)?;
        }
        if self.io.contains(name) { self.compare_whole(name, found) } else { Ok(()) }
    }

    fn compare_whole(&mut self, name: &str, found: &Tensor) -> Result<()> {
        let expected = self.get(name)?;
        self.compared.insert(name.to_owned());
        ensure!(
            found.dims() == expected.dims(),
            "{name}: shape {:?}, recorded {:?}",
            found.dims(),
            expected.dims()
        );
        let tolerance = &self.facts["tolerance"];
        // what has no tolerance of its own is compared with the largest there is
        let listed = tolerance["atol"].as_object().context("case.json has no tolerance.atol")?;
        let largest = listed.values().filter_map(Value::as_f64).fold(0., f64::max);
        let whole = name.trim_end_matches(".every_16th_token");
        let atol = listed.get(name).or_else(|| listed.get(whole)).and_then(Value::as_f64);
        let atol = atol.unwrap_or(largest);
        let rtol = tolerance["rtol"].as_f64().unwrap_or(0.);
        let numbers = |xs: &Tensor| xs.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
        // the largest share of an entry's own tolerance, in units of the absolute part
        let mut share = 0f64;
        for (a, b) in numbers(found)?.into_iter().zip(numbers(&expected)?) {
            let one = (a - b).abs() / (atol + rtol * b.abs());
            share = if one.is_nan() { f64::NAN } else { share.max(one) };
            if share.is_nan() {
                break;
            }
        }
        self.worst.add(name, share * atol, atol);
        Ok(())
    }
}
