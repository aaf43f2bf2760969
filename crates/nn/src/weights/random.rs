//! Weights of no model, made in a moment, for measuring how fast a model of a size is.

use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Result, Shape, Tensor, bail};
use candle_nn::Init;

use super::{Builder, Source, seeded};
use crate::matrix::Numbers;
use crate::{Matrix, Precision};

/// Numbers that are drawn; larger tensors repeat them. No power of two, so that no two rows of one
/// are the same.
const N_DRAWN: usize = (1 << 20) - 3;
/// Half the range of all weights but norms.
const BOUND: f64 = 0.035;

/// Hands out random constants of every asked shape, and keeps count of the matrices' bytes.
#[derive(Clone, Debug)]
pub struct Random {
    precision: Precision,
    drawn: Arc<[f32]>,
    sizes: Arc<Mutex<Vec<(String, usize)>>>,
}

impl Random {
    /// Matrices are kept at `precision`.
    pub fn new(precision: Precision) -> Result<Self> {
        let init = Init::Uniform { lo: -BOUND, up: BOUND };
        let drawn = seeded::initial(0, "random", N_DRAWN, init)?;
        let drawn = drawn.into_iter().map(|number| number as f32).collect();
        Ok(Self { precision, drawn, sizes: Arc::default() })
    }

    /// A builder of layers that work in `f32`.
    pub fn builder(&self) -> Builder {
        Builder::new(self.clone(), DType::F32)
    }

    /// Name and bytes of every matrix that was handed out.
    pub fn matrices(&self) -> Vec<(String, usize)> {
        self.sizes.lock().expect("no holder panics").clone()
    }

    fn numbers(&self, n: usize) -> Vec<f32> {
        self.drawn.iter().copied().cycle().take(n).collect()
    }
}

impl Source for Random {
    fn tensor(&self, name: &str, shape: Shape, init: Init, dtype: DType) -> Result<Tensor> {
        let n = shape.elem_count();
        let numbers = match init {
            Init::Const(_) if name.ends_with("_gate") => vec![0.5; n],
            Init::Const(value) => vec![value as f32; n],
            _ => self.numbers(n),
        };
        Tensor::from_vec(numbers, shape, &Device::Cpu)?.to_dtype(dtype)
    }

    fn matrix(
        &self,
        name: &str,
        (n_out, n_in): (usize, usize),
        _: Init,
        _: DType,
    ) -> Result<Matrix> {
        let numbers = Numbers::rounded(self.numbers(n_out * n_in), self.precision, n_in);
        let Some(numbers) = numbers else {
            bail!("{name}: rows of {n_in} numbers cannot be kept as {}", self.precision)
        };
        let size = (name.to_owned(), numbers.n_bytes());
        self.sizes.lock().expect("no holder panics").push(size);
        Ok(numbers.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Linear;

    #[test]
    fn layers_are_made_at_a_precision_and_counted() -> Result<()> {
        for (precision, bytes) in
            [(Precision::F32, 4 * 96), (Precision::Bf16, 2 * 96), (Precision::Q8_0, 3 * 34)]
        {
            let random = Random::new(precision)?;
            Linear::with_bias(32, 3, random.builder().pp("a"))?;
            assert_eq!(random.matrices(), [("a.weight".to_owned(), bytes)]);
        }
        let random = Random::new(Precision::Q8_0)?;
        assert!(Linear::new(33, 3, random.builder()).is_err());
        Ok(())
    }
}
