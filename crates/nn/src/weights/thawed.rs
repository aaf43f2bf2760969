//! Weights of which some move.

use std::sync::Arc;

use candle_core::{DType, Result, Shape, Tensor};
use candle_nn::Init;

use super::{Builder, Source, Variables};
use crate::Matrix;

/// Constants, and in place of those that `moves` names, what another source has: variables under
/// training, or what a training left behind.
#[derive(Clone)]
pub struct Thawed {
    constants: Arc<dyn Source>,
    moving: Arc<dyn Source>,
    moves: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Thawed {
    /// Tensors that `moves` names come from `moving`, all others from `constants`.
    pub fn new(
        constants: impl Source + 'static,
        moving: impl Source + 'static,
        moves: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { constants: Arc::new(constants), moving: Arc::new(moving), moves: Arc::new(moves) }
    }

    /// A builder that hands out the tensors in `dtype`.
    pub fn builder(&self, dtype: DType) -> Builder {
        Builder::new(self.clone(), dtype)
    }

    fn of(&self, name: &str) -> &dyn Source {
        if (self.moves)(name) { self.moving.as_ref() } else { self.constants.as_ref() }
    }
}

impl Source for Thawed {
    fn tensor(&self, name: &str, shape: Shape, init: Init, dtype: DType) -> Result<Tensor> {
        self.of(name).tensor(name, shape, init, dtype)
    }

    fn matrix(
        &self,
        name: &str,
        shape: (usize, usize),
        init: Init,
        dtype: DType,
    ) -> Result<Matrix> {
        self.of(name).matrix(name, shape, init, dtype)
    }
}

/// Variables that begin as the constants of the same name.
pub(super) struct Started {
    pub(super) constants: Arc<dyn Source>,
    pub(super) variables: Variables,
}

impl Source for Started {
    fn tensor(&self, name: &str, shape: Shape, init: Init, dtype: DType) -> Result<Tensor> {
        self.variables.adopt(name, &self.constants.tensor(name, shape, init, dtype)?)
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
        let moving = variables.started_at(frozen.clone());
        let thawed = Thawed::new(frozen.clone(), moving, |name| name.starts_with('b'));
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

        // what a training left behind takes the same places
        let left = HashMap::from([("b.weight".into(), (ones()? * 3.)?)]);
        let left = Frozen::from_tensors(Path::new("left"), left);
        let read = Thawed::new(frozen, left, |name| name.starts_with('b'));
        let b = Linear::new(2, 2, read.builder(DType::F32).pp("b"))?;
        assert_eq!(b.forward(&ones()?)?.to_vec2::<f32>()?, [[6., 6.], [6., 6.]]);
        Ok(())
    }
}
