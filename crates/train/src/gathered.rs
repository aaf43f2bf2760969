//! What the micro-batches of a step add up to.

use candle_core::{DType, Result, Tensor, bail};

/// A gradient, or none, of each variable.
pub(crate) type Gradients = Vec<Option<Gradient>>;

/// The gradient of a variable.
pub(crate) enum Gradient {
    /// For our kernels, and to be added to those of other processes.
    Plain(Vec<f32>),
    /// Where the variable lies, shaped as it.
    Placed(Tensor),
}

impl Gradient {
    /// Appends its numbers, row by row.
    pub(crate) fn append_to(&self, flat: &mut Vec<f32>) -> Result<()> {
        match self {
            Self::Plain(numbers) => flat.extend_from_slice(numbers),
            Self::Placed(tensor) => flat.extend(tensor.flatten_all()?.to_vec1::<f32>()?),
        }
        Ok(())
    }
}

/// The norm of all gradients; a device is waited for once.
pub(crate) fn norm(gradients: &Gradients) -> Result<f64> {
    let (mut squares, mut placed) = (0., Vec::new());
    for gradient in gradients.iter().flatten() {
        match gradient {
            Gradient::Plain(numbers) => {
                squares = numbers.iter().fold(squares, |sum, &g| sum + f64::from(g) * f64::from(g));
            }
            // the square of a large f32 is infinite in f32
            Gradient::Placed(tensor) => {
                placed.push(tensor.to_dtype(DType::F64)?.sqr()?.sum_all()?);
            }
        }
    }
    if !placed.is_empty() {
        squares += Tensor::stack(&placed, 0)?.sum_all()?.to_scalar::<f64>()?;
    }
    Ok(squares.sqrt())
}

/// What the micro-batches of a step add up to.
pub(crate) struct Gathered {
    pub(crate) gradients: Gradients,
    pub(crate) loss: f64,
    /// Ids that were read.
    pub(crate) n_tokens: usize,
}

impl Gathered {
    /// What of it is not a number, or infinite.
    pub(crate) fn not_finite(&self) -> Result<Option<&'static str>> {
        if !self.loss.is_finite() {
            return Ok(Some("loss"));
        }
        let mut placed = Vec::new();
        for gradient in self.gradients.iter().flatten() {
            match gradient {
                Gradient::Plain(numbers) if numbers.iter().any(|g| !g.is_finite()) => {
                    return Ok(Some("gradient"));
                }
                Gradient::Plain(_) => {}
                // what is not finite is no number once it is multiplied with 0
                Gradient::Placed(tensor) => placed.push((tensor * 0.)?.sum_all()?),
            }
        }
        let is_finite =
            placed.is_empty() || Tensor::stack(&placed, 0)?.sum_all()?.to_scalar::<f32>()? == 0.;
        Ok((!is_finite).then_some("gradient"))
    }

    /// This and what a further micro-batch of the same variables gives, where the variables lie.
    pub(crate) fn plus(self, other: Self) -> Result<Self> {
        let sum = |(own, other)| match (own, other) {
            (Some(Gradient::Placed(own)), Some(Gradient::Placed(other))) => {
                Ok(Some(Gradient::Placed((own + other)?)))
            }
            (Some(Gradient::Plain(mut own)), Some(Gradient::Plain(other))) => {
                own.iter_mut().zip(other).for_each(|(own, other)| *own += other);
                Ok(Some(Gradient::Plain(own)))
            }
            (Some(_), Some(_)) => bail!("gradients of one variable lie in two places"),
            (own, None) => Ok(own),
            (None, other) => Ok(other),
        };
        let gradients = self.gradients.into_iter().zip(other.gradients).map(sum);
        Ok(Self {
            gradients: gradients.collect::<Result<_>>()?,
            // as processes add theirs up
            loss: f64::from(self.loss as f32 + other.loss as f32),
            n_tokens: self.n_tokens + other.n_tokens,
        })
    }

    /// Clips the gradients as `torch.nn.utils.clip_grad_norm_` does; returns their norm before.
    pub(crate) fn clip(&mut self, most: f64) -> Result<f64> {
        let norm = norm(&self.gradients)?;
        let factor = (most / (norm + 1e-6)).min(1.);
        for gradient in self.gradients.iter_mut().flatten() {
            match gradient {
                Gradient::Plain(numbers) => {
                    numbers.iter_mut().for_each(|g| *g = (f64::from(*g) * factor) as f32);
                }
                Gradient::Placed(tensor) => *tensor = (&*tensor * factor)?,
            }
        }
        Ok(norm)
    }
}
