//! Weights of a file of which some may move.

use std::sync::Arc;

use candle_core::{DType, Result, Shape, Tensor};
use candle_nn::Init;

use super::{Builder, Source, Variables};
use crate::Matrix;

/// Constants of which those that `trainable` names become variables.
#[derive(Clone)]
pub struct Thawed {
    constants: Arc<dyn Source>,
    variables: Variables,
    trainable: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Thawed {
    /// Variables that are asked for appear in `variables`.
    pub fn new(
        constants: impl Source + 'static,
        variables: Variables,
        trainable: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { constants: Arc::new(constants), variables, trainable: Arc::new(trainable) }
    }

    /// A builder that hands out the file's tensors in `dtype`.
    pub fn builder(&self, dtype: DType) -> Builder {
        Builder::new(self.clone(), dtype)
    }
}

impl Source for Thawed {
    fn tensor(&self, name: &str, shape: Shape, init: Init, dtype: DType) -> Result<Tensor> {
        let tensor = self.constants.tensor(name, shape, init, dtype)?;
        if (self.trainable)(name) { self.variables.adopt(name, &tensor) } else { Ok(tensor) }
    }

    fn matrix(
        &self,
        name: &str,
        shape: (usize, usize),
        init: Init,
        dtype: DType,
    ) -> Result<Matrix> {
        if (self.trainable)(name) {
            return Ok(self.tensor(name, shape.into(), init, dtype)?.into());
        }
        self.constants.matrix(name, shape, init, dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Linear, weights::Frozen};
    use candle_core::{Device, Module};
    use std::collections::HashMap;
    use std::path::Path;

    #[test]
    fn only_what_is_named_gets_a_gradient() -> Result<()> {
        let ones = || Tensor::ones((2, 2), DType::F32, &Device::Cpu);
        let tensors = HashMap::from([("a.weight".into(), ones()?), ("b.weight".into(), ones()?)]);
        let variables = Variables::default();
        let frozen = Frozen::from_tensors(Path::new("file"), tensors);
        let thawed = Thawed::new(frozen, variables.clone(), |name| name.starts_with('b'));
        let vb = thawed.builder(DType::F32);
        let (a, b) = (Linear::new(2, 2, vb.pp("a"))?, Linear::new(2, 2, vb.pp("b"))?);
        let loss = b.forward(&a.forward(&ones()?)?)?.sum_all()?;
        let grads = loss.backward()?;
        let all = variables.all();
        assert_eq!(all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["b.weight"]);
        assert!(grads.get(&all[0].1).is_some());
        // asked for twice, it is one variable
        let again = vb.get((2, 2), "b.weight", Init::Const(0.))?;
        assert_eq!(again.id(), all[0].1.id());
        Ok(())
    }
}
