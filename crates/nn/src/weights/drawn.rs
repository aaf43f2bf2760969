//! Constants that nobody learned.

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::Init;

use super::{Builder, Source, seeded};

/// Constants drawn from `(seed, name)` alone: a network of the right shape before its weights are.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    seed: u64,
}

impl Drawn {
    /// From this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// A builder that hands out the constants in `dtype`.
    pub fn builder(self, dtype: DType) -> Builder {
        Builder::new(self, dtype)
    }
}

impl Source for Drawn {
    fn tensor(&self, name: &str, shape: Shape, init: Init, dtype: DType) -> Result<Tensor> {
        let values = seeded::initial(self.seed, name, shape.elem_count(), init)?;
        Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)
    }
}
