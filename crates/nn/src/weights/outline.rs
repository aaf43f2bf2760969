//! The shapes of a model's tensors, without their values.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::Init;

use super::{Builder, Source, TensorInfo};

/// Notes every tensor that a model asks for. What it hands out is one zero seen through the asked
/// shape, so that a model of any size is built in no memory; nothing should be computed with it.
#[derive(Clone, Debug, Default)]
pub struct Outline(Arc<Mutex<BTreeMap<String, Vec<usize>>>>);

impl Outline {
    /// A builder that notes what is asked of it.
    pub fn builder(&self) -> Builder {
        Builder::new(self.clone(), DType::F32)
    }

    /// The shape of every tensor that was asked for, by name.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.0.lock().expect("no holder panics").clone()
    }

    /// Parameters in all of them.
    pub fn n_parameters(&self) -> usize {
        self.shapes().values().map(|shape| shape.iter().product::<usize>()).sum()
    }

    /// Where the tensors of a file are not those that were asked for.
    pub fn compare(&self, found: &[TensorInfo]) -> Misfit {
        let wanted = self.shapes();
        let mut misfit = Misfit::default();
        for info in found {
            match wanted.get(&info.name) {
                None => misfit.unexpected.push(info.name.clone()),
                Some(expected) if *expected != info.shape => {
                    let (found, expected) = (info.shape.clone(), expected.clone());
                    misfit.misshapen.push((info.name.clone(), found, expected));
                }
                Some(_) => {}
            }
        }
        let is_there = |name: &&String| found.iter().any(|info| info.name == **name);
        misfit.missing = wanted.keys().filter(|name| !is_there(name)).cloned().collect();
        misfit
    }
}

impl Source for Outline {
    fn tensor(&self, name: &str, shape: Shape, _: Init, dtype: DType) -> Result<Tensor> {
        self.0.lock().expect("no holder panics").insert(name.to_owned(), shape.dims().to_vec());
        Tensor::zeros(1, dtype, &Device::Cpu)?.broadcast_as(shape)
    }
}

/// How the tensors of a file differ from those of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misfit {
    /// Those that the model has and the file lacks.
    pub missing: Vec<String>,
    /// Those that the file has and the model lacks.
    pub unexpected: Vec<String>,
    /// Those of another shape: name, the file's shape, the model's.
    pub misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Misfit {
    /// What is wrong, with the first names of each kind; nothing where all fits.
    pub fn sentence(&self) -> Option<String> {
        let shape = |(name, found, expected): &(String, Vec<usize>, Vec<usize>)| {
            format!("`{name}` is {found:?}, expected {expected:?}")
        };
        let quoted = |name: &String| format!("`{name}`");
        let kinds = [
            ("missing", self.missing.iter().map(quoted).collect::<Vec<_>>()),
            ("unexpected", self.unexpected.iter().map(quoted).collect()),
            ("of another shape", self.misshapen.iter().map(shape).collect()),
        ];
        let told = kinds.into_iter().filter(|(_, names)| !names.is_empty()).map(|(kind, names)| {
            const SHOWN: usize = 3;
            let more = names.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let verb = if names.len() == 1 { "tensor is" } else { "tensors are" };
            let shown = names[..names.len().min(SHOWN)].join(", ");
            format!("{} {verb} {kind}: {shown}{more}", names.len())
        });
        let told: Vec<String> = told.collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Linear;

    #[test]
    fn a_model_of_any_size_is_outlined_and_differences_are_told() -> Result<()> {
        let outline = Outline::default();
        let vb = outline.builder();
        // four terabytes, were they there
        Linear::with_bias(1 << 20, 1 << 20, vb.pp("large"))?;
        Linear::new(2, 3, vb.pp("small"))?;
        assert_eq!(outline.n_parameters(), (1 << 40) + (1 << 20) + 6);
        let info = |name: &str, shape: &[usize]| TensorInfo {
            name: name.to_owned(),
            shape: shape.to_vec(),
            dtype: "F32".to_owned(),
        };
        let large = [info("large.weight", &[1 << 20; 2]), info("large.bias", &[1 << 20])];
        let whole = [&large[..], &[info("small.weight", &[3, 2])]].concat();
        assert_eq!(outline.compare(&whole).sentence(), None);
        let other = [&large[..1], &[info("small.weight", &[2, 3]), info("x", &[1])]].concat();
        assert_eq!(
            outline.compare(&other).sentence().unwrap(),
            "1 tensor is missing: `large.bias`; 1 tensor is unexpected: `x`; 1 tensor is of another \
             shape: `small.weight` is [2, 3], expected [3, 2]"
        );
        Ok(())
    }
}
