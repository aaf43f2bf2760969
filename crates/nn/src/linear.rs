//! The affine map.

use candle_core::{DType, Module, Result, Tensor, bail};
use candle_nn::Init;

use kernels::Activation;

use crate::matrix::Then;
use crate::{Builder, LowRank, Matrix, Ops, activated};

/// `y = x Wᵀ + b`, weight `(out, in)`.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Matrix,
    bias: Option<Tensor>,
    low_rank: Option<LowRank>,
}

impl Linear {
    /// Reads `weight`, drawn as PyTorch draws it where it is new: U(±1/√in).
    pub fn new(dim_in: usize, dim_out: usize, vb: Builder) -> Result<Self> {
        let weight = vb.matrix((dim_out, dim_in), "weight", fan_in(dim_in))?;
        Ok(Self { weight, bias: None, low_rank: vb.low_rank((dim_out, dim_in))? })
    }

    /// Reads `weight` and `bias`.
    pub fn with_bias(dim_in: usize, dim_out: usize, vb: Builder) -> Result<Self> {
        let bias = Some(vb.get(dim_out, "bias", fan_in(dim_in))?);
        Ok(Self { bias, ..Self::new(dim_in, dim_out, vb)? })
    }

    /// Reads `weight` and, where the model has biases, `bias`.
    pub fn maybe_biased(dim_in: usize, dim_out: usize, bias: bool, vb: Builder) -> Result<Self> {
        let new = if bias { Self::with_bias } else { Self::new };
        new(dim_in, dim_out, vb)
    }

    /// By which operations it works.
    pub fn ops(&self) -> Ops {
        self.weight.ops()
    }

    /// A layer around a weight `(out, in)` that something else owns too, such as a tied head.
    pub fn tied(weight: Matrix) -> Self {
        Self::of(weight, None)
    }

    /// A layer of a weight `(out, in)` and a bias `(out)` that were read under other names.
    pub fn of(weight: Matrix, bias: Option<Tensor>) -> Self {
        Self { weight, bias, low_rank: None }
    }

    /// The same layer where its weight holds several layers one below the other, of as many rows each, which
    /// are corrected by themselves under these names at `vb`.
    pub fn of_layers(self, names: &[&str], vb: &Builder) -> Result<Self> {
        let (dim_out, dim_in) = self.weight.dims()?;
        let n_out = dim_out / names.len().max(1);
        let layers = names.iter().map(|name| vb.pp(name).low_rank((n_out, dim_in)));
        let low_rank = LowRank::stacked(n_out, layers.collect::<Result<_>>()?);
        Ok(Self { low_rank, ..self })
    }
}

impl Linear {
    /// The activation of what the layer gives, `(…, in)` to `(…, out)`, in one pass where nothing
    /// asks for a gradient.
    pub fn activated(&self, xs: &Tensor, activation: Activation) -> Result<Tensor> {
        let then = || Ok(Then { activation: Some(activation), ..Then::default() });
        self.then(xs, then, |ys| activated(self.weight.ops(), &ys, activation))
    }

    /// The same, times `others` `(…, out)`, as a gated feed-forward has it.
    pub fn gating(&self, xs: &Tensor, activation: Activation, others: &Tensor) -> Result<Tensor> {
        let then = || {
            let (activation, others) = (Some(activation), Some(others.clone()));
            Ok(Then { activation, others, ..Then::default() })
        };
        self.then(xs, then, |ys| activated(self.weight.ops(), &ys, activation)? * others)
    }

    /// What the layer gives, added to `residual` `(…, out)`, likewise.
    pub fn added(&self, xs: &Tensor, residual: &Tensor) -> Result<Tensor> {
        let then = || Ok(Then { residual: Some(residual.clone()), ..Then::default() });
        self.then(xs, then, |ys| residual + ys)
    }

    /// The same, of what the layer gives times `factor` `(1)`, as a gate has it.
    pub fn added_times(&self, xs: &Tensor, factor: &Tensor, residual: &Tensor) -> Result<Tensor> {
        let then = || {
            let number = match factor.dtype() {
                DType::F32 if !factor.track_op() && self.weight.ops() == Ops::Kernels => {
                    Some(factor.reshape(())?.to_scalar()?)
                }
                _ => return Ok(Then::default()),
            };
            Ok(Then { factor: number, residual: Some(residual.clone()), ..Then::default() })
        };
        self.then(xs, then, |ys| residual + ys.broadcast_mul(factor)?)
    }

    /// What follows the product in one pass, where that can be, else step by step.
    fn then(
        &self,
        xs: &Tensor,
        then: impl FnOnce() -> Result<Then>,
        steps: impl FnOnce(Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        match self.fused(xs, then()?)? {
            Some(ys) => Ok(ys),
            None => steps(self.forward(xs)?),
        }
    }

    fn fused(&self, xs: &Tensor, then: Then) -> Result<Option<Tensor>> {
        let (dim_out, dim_in) = self.weight.dims()?;
        let mut shape = xs.dims().to_vec();
        if !then.is_final() || self.low_rank.is_some() || shape.pop() != Some(dim_in) {
            return Ok(None);
        }
        shape.push(dim_out);
        let [others, residual] = [&then.others, &then.residual];
        if [others, residual].into_iter().flatten().any(|it| it.dims() != shape) {
            return Ok(None);
        }
        let rows = xs.reshape(((), dim_in))?;
        let ys = self.weight.fused(&rows, Then { bias: self.bias.clone(), ..then })?;
        ys.map(|ys| ys.reshape(shape)).transpose()
    }
}

pub(crate) fn fan_in(dim_in: usize) -> Init {
    let bound = 1. / (dim_in as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

impl Module for Linear {
    /// `(…, in)` to `(…, out)`.
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (dim_out, dim_in) = self.weight.dims()?;
        let mut shape = xs.dims().to_vec();
        if shape.last() != Some(&dim_in) {
            bail!("a linear layer of {dim_in} inputs was given tokens of shape {shape:?}")
        }
        *shape.last_mut().expect("checked above") = dim_out;
        let rows = xs.reshape(((), dim_in))?.contiguous()?;
        let mut ys = match &self.bias {
            Some(bias) => self.weight.affine(&rows, bias)?,
            None => self.weight.product(&rows)?,
        };
        if let Some(low_rank) = &self.low_rank {
            ys = (ys + low_rank.product(&rows)?)?;
        }
        ys.reshape(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::{check, sample};

    #[test]
    fn gradients_match_finite_differences_frozen_and_trainable() -> Result<()> {
        let (xs, weight, bias) = (sample("x", (2, 3, 4))?, sample("w", (5, 4))?, sample("b", 5)?);
        let trainable = Linear {
            weight: weight.as_tensor().clone().into(),
            bias: Some(bias.as_tensor().clone()),
            low_rank: None,
        };
        check(&[("x", &xs), ("weight", &weight), ("bias", &bias)], || {
            trainable.forward(&xs)?.sqr()?.sum_all()
        })?;
        let frozen = Linear::tied(weight.as_detached_tensor().into());
        check(&[("x", &xs)], || frozen.forward(&xs)?.sqr()?.sum_all())?;
        let thawed = Linear::tied(weight.as_tensor().clone().into());
        let gap = (frozen.forward(&xs)? - thawed.forward(&xs)?)?.abs()?.max_all()?;
        assert_eq!(gap.to_scalar::<f64>()?, 0.);
        Ok(())
    }

    #[test]
    fn what_follows_in_one_pass_is_what_follows_in_steps() -> Result<()> {
        use candle_core::Var;
        let single = |name, shape: (usize, usize, usize)| {
            sample(name, shape)?.as_detached_tensor().to_dtype(DType::F32)
        };
        for n in [1, 50] {
            let (xs, before) = (single("x", (2, n, 4))?, single("r", (2, n, 5))?);
            let weight = single("w", (1, 5, 4))?.squeeze(0)?;
            let bias = Some(single("b", (1, 1, 5))?.flatten_all()?);
            let layer = Linear::of(weight.into(), bias);
            let bits = |ys: &Tensor| ys.flatten_all()?.to_vec1::<f32>();
            let plain = layer.forward(&xs)?;
            for f in [Activation::Gelu, Activation::QuickGelu] {
                assert_eq!(
                    bits(&layer.activated(&xs, f)?)?,
                    bits(&activated(Ops::Kernels, &plain, f)?)?
                );
            }
            assert_eq!(bits(&layer.added(&xs, &before)?)?, bits(&(&before + &plain)?)?);
            let silu = activated(Ops::Kernels, &plain, Activation::Silu)?;
            let gated = layer.gating(&xs, Activation::Silu, &before)?;
            assert_eq!(bits(&gated)?, bits(&(silu * &before)?)?);
            let factor = Tensor::new(&[0.3f32], xs.device())?;
            let steps = (&before + plain.broadcast_mul(&factor)?)?;
            assert_eq!(bits(&layer.added_times(&xs, &factor, &before)?)?, bits(&steps)?);
            let trained = Var::from_tensor(&factor)?;
            let ys = layer.added_times(&xs, &trained, &before)?;
            assert_eq!(bits(&ys)?, bits(&steps)?);
            assert!(ys.sum_all()?.backward()?.get(&trained).is_some());
            // whoever asks for a gradient gets it
            let var = Var::from_tensor(&xs)?;
            let ys =
                layer.added(&layer.activated(&var, Activation::Gelu)?.narrow(2, 0, 4)?, &before)?;
            assert!(ys.sum_all()?.backward()?.get(&var).is_some());
            assert!(layer.added(&xs, &before.narrow(2, 0, 4)?).is_err());
        }
        Ok(())
    }

    #[test]
    fn a_frozen_weight_gets_no_gradient() -> Result<()> {
        let (xs, weight) = (sample("x", (2, 4))?, sample("w", (5, 4))?);
        let constant = weight.as_detached_tensor();
        let grads = Linear::tied(constant.clone().into()).forward(&xs)?.sum_all()?.backward()?;
        assert!(grads.get(&constant).is_none() && grads.get(&xs).is_some());
        Ok(())
    }
}
