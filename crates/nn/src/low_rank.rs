//! A low-rank correction beside a frozen matrix: `LoRA` (Hu et al. 2022).

use candle_core::{D, Device, Result, Tensor};

/// `x Aᵀ Bᵀ · scale`, added to what the frozen matrix gives; the frozen part is not scaled. A matrix that holds
/// several layers one below the other has a correction for each of them, or none.
#[derive(Clone, Debug)]
pub struct LowRank(Vec<Part>);

/// The correction of some rows of a matrix.
#[derive(Clone, Debug)]
enum Part {
    /// `A` `(rank, in)`, `B` `(out, rank)`, and `alpha / rank` or `alpha / √rank`.
    Product(Tensor, Tensor, f64),
    /// So many rows stay as they are.
    Nothing(usize),
}

impl LowRank {
    /// `A` `(rank, in)` and `B` `(out, rank)`, weighed by `scale`.
    pub(crate) fn new(down: Tensor, up: Tensor, scale: f64) -> Self {
        Self(vec![Part::Product(down, up, scale)])
    }

    /// The same on a device.
    pub(crate) fn on(self, place: &Device) -> Result<Self> {
        let part = |part| match part {
            Part::Product(down, up, scale) => {
                Ok(Part::Product(down.to_device(place)?, up.to_device(place)?, scale))
            }
            Part::Nothing(n_out) => Ok(Part::Nothing(n_out)),
        };
        self.0.into_iter().map(part).collect::<Result<_>>().map(Self)
    }

    /// Those of layers that one matrix holds, each of `n_out` rows; nothing, if none has one.
    pub(crate) fn stacked(n_out: usize, layers: Vec<Option<Self>>) -> Option<Self> {
        let is_any = layers.iter().any(Option::is_some);
        let parts = layers.into_iter().flat_map(|layer| match layer {
            Some(Self(parts)) => parts,
            None => vec![Part::Nothing(n_out)],
        });
        is_any.then(|| Self(parts.collect()))
    }

    /// `(n, in)` to `(n, out)`.
    pub(crate) fn product(&self, xs: &Tensor) -> Result<Tensor> {
        let part = |part: &Part| match part {
            Part::Product(down, up, scale) => xs.matmul(&down.t()?)?.matmul(&up.t()?)? * *scale,
            Part::Nothing(n_out) => Tensor::zeros((xs.dim(0)?, *n_out), xs.dtype(), xs.device()),
        };
        match &self.0[..] {
            [only] => part(only),
            parts => Tensor::cat(&parts.iter().map(part).collect::<Result<Vec<_>>>()?, D::Minus1),
        }
    }
}
