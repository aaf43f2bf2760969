//! The values of a variable, both moments of its gradient, and the running average of its values.

use candle_core::{DType, Result, Tensor, Var, bail};
use nn::{AdamW, Ops, adamw, adamw_on};

use crate::gathered::Gradient;

/// Where they are kept.
pub(crate) enum Moments {
    /// As plain numbers, for our kernel.
    Plain { values: Vec<f32>, first: Vec<f32>, second: Vec<f32>, average: Vec<f32> },
    /// Where the variable lies, shaped as it, for candle's operations.
    Placed { values: Tensor, first: Tensor, second: Tensor, average: Tensor },
}

impl Moments {
    /// Those of a variable that did not move yet.
    pub(crate) fn new(ops: Ops, var: &Var) -> Result<Self> {
        Ok(match ops {
            Ops::Kernels => {
                let values = plain(var)?;
                let zeros = vec![0.; values.len()];
                let (first, second, average) = (zeros.clone(), zeros, values.clone());
                Self::Plain { values, first, second, average }
            }
            Ops::Composed => {
                let values = var.copy()?.detach();
                let zeros = values.zeros_like()?;
                let (first, second, average) = (zeros.clone(), zeros, values.clone());
                Self::Placed { values, first, second, average }
            }
        })
    }

    /// Updates values and moments, and shows the variable its values; `step` counts from 1.
    pub(crate) fn update(
        &mut self,
        var: &Var,
        config: &AdamW,
        step: u32,
        grad_scale: f64,
        grad: &Gradient,
    ) -> Result<()> {
        match (&mut *self, grad) {
            (Self::Plain { values, first, second, .. }, Gradient::Plain(grad)) => {
                adamw(config, step, grad_scale, values, grad, first, second);
            }
            (Self::Plain { .. }, Gradient::Placed(_)) => {
                bail!("a gradient lies on a device, and its variable does not")
            }
            (Self::Placed { values, first, second, .. }, grad) => {
                let grad = match grad {
                    Gradient::Plain(grad) => {
                        &Tensor::from_slice(grad, values.shape(), values.device())?
                    }
                    Gradient::Placed(grad) => grad,
                };
                [*values, *first, *second] =
                    adamw_on(config, step, grad_scale, [values, grad, first, second])?;
            }
        }
        self.show_values(var)
    }

    /// Moves the average towards the values; it keeps this share of itself.
    pub(crate) fn average(&mut self, keep: f64) -> Result<()> {
        match self {
            Self::Plain { values, average, .. } if keep == 0. => average.copy_from_slice(values),
            // the values are replaced, never changed where they lie
            Self::Placed { values, average, .. } if keep == 0. => *average = values.clone(),
            Self::Plain { values, average, .. } => {
                for (average, &value) in average.iter_mut().zip(&*values) {
                    *average = (keep * f64::from(*average) + (1. - keep) * f64::from(value)) as f32;
                }
            }
            Self::Placed { values, average, .. } => {
                *average = ((&*average * keep)? + (&*values * (1. - keep))?)?;
            }
        }
        Ok(())
    }

    /// Sets the variable to its values.
    pub(crate) fn show_values(&self, var: &Var) -> Result<()> {
        match self {
            Self::Plain { values, .. } => set(var, values),
            Self::Placed { values, .. } => var.set(values),
        }
    }

    /// Sets the variable to its average.
    pub(crate) fn show_average(&self, var: &Var) -> Result<()> {
        match self {
            Self::Plain { average, .. } => set(var, average),
            Self::Placed { average, .. } => var.set(average),
        }
    }

    /// Values, first and second moment, and average, one number after the other, for a checkpoint.
    pub(crate) fn parts(&self, var: &Var) -> Result<[Tensor; 4]> {
        match self {
            Self::Plain { values, first, second, average } => {
                let tensor =
                    |numbers: &[f32]| Tensor::from_slice(numbers, numbers.len(), var.device());
                Ok([tensor(values)?, tensor(first)?, tensor(second)?, tensor(average)?])
            }
            Self::Placed { values, first, second, average } => Ok([
                values.flatten_all()?,
                first.flatten_all()?,
                second.flatten_all()?,
                average.flatten_all()?,
            ]),
        }
    }

    /// Those of a checkpoint, of any device, kept as these are.
    pub(crate) fn restored(&self, var: &Var, parts: [&Tensor; 4]) -> Result<Self> {
        let [values, first, second, average] = parts;
        match self {
            Self::Plain { .. } => Ok(Self::Plain {
                values: plain(values)?,
                first: plain(first)?,
                second: plain(second)?,
                average: plain(average)?,
            }),
            Self::Placed { .. } => {
                let placed = |tensor: &Tensor| {
                    let tensor = tensor.to_dtype(DType::F32)?.to_device(var.device())?;
                    tensor.reshape(var.shape())
                };
                Ok(Self::Placed {
                    values: placed(values)?,
                    first: placed(first)?,
                    second: placed(second)?,
                    average: placed(average)?,
                })
            }
        }
    }
}

fn plain(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1()
}

fn set(var: &Var, numbers: &[f32]) -> Result<()> {
    var.set(&Tensor::from_slice(numbers, var.shape(), var.device())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nn::Device;

    #[test]
    fn an_average_that_keeps_nothing_is_the_values_themselves() -> Result<()> {
        for device in Device::both() {
            let var = Var::from_tensor(&Tensor::new(&[1f32, -2.], device.place())?)?;
            let mut moments = Moments::new(device.ops(), &var)?;
            let config = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0. };
            for step in 1..=2 {
                let grad = Gradient::Plain(vec![0.5, 1.]);
                moments.update(&var, &config, step, 1., &grad)?;
                moments.average(0.)?;
                if let Moments::Placed { values, average, .. } = &moments {
                    assert_eq!(values.id(), average.id(), "a copy was made");
                }
                let moved = plain(&var)?;
                assert!(moved[0] < 1. && moved[1] < -2., "{moved:?}");
                moments.show_average(&var)?;
                assert_eq!(plain(&var)?, moved);
            }
        }
        Ok(())
    }
}
