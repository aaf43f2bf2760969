//! Variables under training, created by name.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};

use candle_core::{DType, Result, Shape, Tensor, Var, bail};
use candle_nn::Init;

use super::{Builder, Source, seeded, thawed::Started};
use crate::{Device, Error};

/// The named variables of a model under training; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    named: Arc<Mutex<BTreeMap<String, Var>>>,
    device: Device,
}

impl Variables {
    /// None yet, to be made on a device.
    pub fn on(device: &Device) -> Self {
        Self { named: Arc::default(), device: device.clone() }
    }

    /// Where they are made.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A builder that creates each asked tensor once, from `(seed, name)` alone, for layers on the same
    /// device.
    pub fn builder(&self, seed: u64, dtype: DType) -> Builder {
        Builder::new(self.drawn(seed), dtype).on(&self.device)
    }

    /// The source behind such a builder.
    pub fn drawn(&self, seed: u64) -> impl Source + use<> {
        Seeded { seed, variables: self.clone() }
    }

    /// A source of variables that begin as the constants of the same name.
    pub fn started_at<S: Source + 'static>(&self, constants: S) -> impl Source + use<S> {
        Started { constants: Arc::new(constants), variables: self.clone() }
    }

    /// The variable of this name, made from `tensor` where there is none yet.
    pub(crate) fn adopt(&self, name: &str, tensor: &Tensor) -> Result<Tensor> {
        let mut variables = self.named.lock().expect("no holder panics");
        if !variables.contains_key(name) {
            let tensor = tensor.to_device(self.device.place())?;
            variables.insert(name.to_owned(), Var::from_tensor(&tensor)?);
        }
        Ok(variables[name].as_tensor().clone())
    }

    /// All variables in the order of their names.
    pub fn all(&self) -> Vec<(String, Var)> {
        let variables = self.named.lock().expect("no holder panics");
        variables.iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// Parameters in all variables.
    pub fn n_parameters(&self) -> usize {
        self.all().iter().map(|(_, var)| var.elem_count()).sum()
    }

    /// The present values, detached.
    pub fn tensors(&self) -> HashMap<String, Tensor> {
        self.all().into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect()
    }

    /// Replaces every value by the tensor of the same name; names and shapes must agree exactly.
    ///
    /// # Errors
    /// Names `path`, where the tensors were read, and the tensor that is missing, unexpected or of
    /// another shape.
    pub fn assign(&self, tensors: &HashMap<String, Tensor>, path: &Path) -> crate::Result<()> {
        let all = self.all();
        for (name, var) in &all {
            let Some(tensor) = tensors.get(name) else {
                return Err(Error::Missing { path: path.to_owned(), name: name.clone() });
            };
            if tensor.dims() != var.dims() {
                return Err(Error::Shape {
                    path: path.to_owned(),
                    name: name.clone(),
                    found: tensor.dims().to_vec(),
                    expected: var.dims().to_vec(),
                });
            }
            var.set(&tensor.to_dtype(var.dtype())?.to_device(var.device())?)?;
        }
        let mut names: Vec<_> = tensors.keys().collect();
        names.sort();
        match names.into_iter().find(|name| all.iter().all(|(known, _)| known != *name)) {
            Some(name) => Err(Error::Unexpected { path: path.to_owned(), name: name.clone() }),
            None => Ok(()),
        }
    }
}

struct Seeded {
    seed: u64,
    variables: Variables,
}

impl Source for Seeded {
    fn tensor(&self, name: &str, shape: Shape, init: Init, dtype: DType) -> Result<Tensor> {
        let mut variables = self.variables.named.lock().expect("no holder panics");
        if let Some(var) = variables.get(name) {
            if var.shape() != &shape {
                bail!("{name}: asked for {shape:?}, made as {:?}", var.shape())
            }
            return Ok(var.as_tensor().clone());
        }
        let values = seeded::initial(self.seed, name, shape.elem_count(), init)?;
        let values = Tensor::from_vec(values, shape, self.variables.device.place())?;
        let var = Var::from_tensor(&values.to_dtype(dtype)?)?;
        let tensor = var.as_tensor().clone();
        variables.insert(name.to_owned(), var);
        Ok(tensor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Linear;

    #[test]
    fn the_order_of_construction_does_not_matter() -> Result<()> {
        let (first, second) = (Variables::default(), Variables::default());
        let (a, b) = (first.builder(7, DType::F32), second.builder(7, DType::F32));
        for (vb, names) in [(a, ["one", "two"]), (b, ["two", "one"])] {
            for name in names {
                Linear::new(3, 4, vb.pp(name))?;
            }
        }
        for ((name, x), (_, y)) in first.all().iter().zip(second.all()) {
            assert_eq!(x.to_vec2::<f32>()?, y.to_vec2::<f32>()?, "{name}");
        }
        Ok(())
    }

    #[test]
    fn assigning_is_strict() -> crate::Result<()> {
        let variables = Variables::default();
        Linear::new(2, 2, variables.builder(1, DType::F32).pp("a"))?;
        let path = Path::new("adapter.safetensors");
        let message = |tensors: &[(&str, (usize, usize))]| {
            let tensors = tensors
                .iter()
                .map(|(name, shape)| {
                    let zeros =
                        Tensor::zeros(*shape, DType::F32, &candle_core::Device::Cpu).unwrap();
                    ((*name).to_owned(), zeros)
                })
                .collect();
            variables.assign(&tensors, path).err().map(|error| error.to_string())
        };
        assert_eq!(message(&[("a.weight", (2, 2))]), None);
        assert!(message(&[]).unwrap().contains("`a.weight` is missing"));
        assert!(message(&[("a.weight", (2, 3))]).unwrap().contains("[2, 3]"));
        let extra = message(&[("a.weight", (2, 2)), ("b.weight", (1, 1))]);
        assert!(extra.unwrap().contains("`b.weight` belongs to no part"));
        Ok(())
    }
}
