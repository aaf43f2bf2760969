//! What the micro-batches of a step add up to.

use candle_core::{DType, Result, Tensor};

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
}
