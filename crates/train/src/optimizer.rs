//! `AdamW` over named variables, with gradient clipping and a running average of the weights.

use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor, Var};
use kernels::AdamW;

/// A variable with its place in the optimizer.
struct Slot {
    name: String,
    var: Var,
    lr_scale: f64,
    weight_decay: f64,
    values: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    average: Vec<f32>,
    /// The only rows that move, in order; absent: all.
    rows: Option<Vec<u32>>,
}

/// A gradient, or none, of each variable.
pub(crate) type Gradients = Vec<Option<Vec<f32>>>;

/// What the micro-batches of a step add up to.
pub(crate) struct Gathered {
    pub(crate) gradients: Gradients,
    pub(crate) loss: f64,
    /// Ids that were read.
    pub(crate) n_tokens: usize,
}

impl Gathered {
    /// What of it is not a number, or infinite.
    pub(crate) fn not_finite(&self) -> Option<&'static str> {
        if !self.loss.is_finite() {
            return Some("loss");
        }
        let mut all = self.gradients.iter().flatten().flatten();
        (!all.all(|g| g.is_finite())).then_some("gradient")
    }
}

/// The optimizer's state: all that a checkpoint must hold.
pub struct Optimizer {
    slots: Vec<Slot>,
    clip_norm: f64,
    averaging: f64,
    step: usize,
}

impl Optimizer {
    /// `group` gives each name its learning-rate scale and weight decay. `averaging` is the decay of
    /// the running average of the weights (0: the last weights are the average).
    pub fn new(
        vars: Vec<(String, Var)>,
        clip_norm: f64,
        averaging: f64,
        group: impl Fn(&str) -> (f64, f64),
    ) -> Result<Self> {
        let slots = vars
            .into_iter()
            .map(|(name, var)| {
                let values = var.flatten_all()?.to_vec1::<f32>()?;
                let (lr_scale, weight_decay) = group(&name);
                Ok(Slot {
                    name,
                    lr_scale,
                    weight_decay,
                    first: vec![0.; values.len()],
                    second: vec![0.; values.len()],
                    average: values.clone(),
                    values,
                    var,
                    rows: None,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { slots, clip_norm, averaging, step: 0 })
    }

    /// Steps taken.
    pub fn step(&self) -> usize {
        self.step
    }

    /// One update by the gradients of one loss; see [`Self::take`].
    pub fn update(&mut self, grads: &GradStore, lr: f64) -> Result<f64> {
        let gradients = self.read(grads)?;
        self.take(&gradients, lr)
    }

    /// Lets move only these rows of a variable `(n_rows, dim)`: the gradients of all others are 0.
    ///
    /// # Errors
    /// A name or a row that there is not.
    pub(crate) fn train_only_rows(&mut self, name: &str, rows: &[u32]) -> crate::Result<()> {
        let found = self.slots.iter_mut().find(|slot| slot.name == name);
        let slot =
            found.ok_or_else(|| crate::Error::Data(format!("no variable is called `{name}`")))?;
        let n_rows = slot.var.dims().first().copied().unwrap_or(0);
        if let Some(row) = rows.iter().find(|&&row| row as usize >= n_rows) {
            let reason = format!("row {row} of `{name}` is to be trained, which has {n_rows} rows");
            return Err(crate::Error::Data(reason));
        }
        slot.rows = Some(rows.to_vec());
        Ok(())
    }

    /// The gradients of the variables.
    pub(crate) fn read(&self, grads: &GradStore) -> Result<Gradients> {
        let of = |slot: &Slot| {
            let grad = grads.get(&slot.var);
            grad.map(|grad| Ok(slot.masked(grad.flatten_all()?.to_vec1::<f32>()?))).transpose()
        };
        self.slots.iter().map(of).collect()
    }

    /// Numbers of all gradients.
    fn n_values(&self) -> usize {
        self.slots.iter().map(|slot| slot.values.len()).sum()
    }

    /// Gradients, which variables have one, a count of ids and a loss, as one row of numbers that may be added to others.
    pub(crate) fn flat(&self, gathered: &Gathered) -> Vec<f32> {
        let mut flat = Vec::with_capacity(self.n_values() + self.slots.len() + 2);
        for (slot, gradient) in self.slots.iter().zip(&gathered.gradients) {
            match gradient {
                Some(gradient) => flat.extend(gradient),
                None => flat.resize(flat.len() + slot.values.len(), 0.),
            }
        }
        flat.extend(gathered.gradients.iter().map(|gradient| f32::from(gradient.is_some())));
        flat.extend([gathered.n_tokens as f32, gathered.loss as f32]);
        flat
    }

    /// Such a row of a process that has nothing to add.
    pub(crate) fn flat_nothing(&self) -> Vec<f32> {
        vec![0.; self.n_values() + self.slots.len() + 2]
    }

    /// Clips the gradients of such a row as `torch.nn.utils.clip_grad_norm_` does; returns their norm before.
    pub(crate) fn clip_flat(&self, flat: &mut [f32], most: f64) -> f64 {
        let gradients = &mut flat[..self.n_values()];
        let norm = gradients.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt();
        let factor = (most / (norm + 1e-6)).min(1.);
        gradients.iter_mut().for_each(|g| *g = (f64::from(*g) * factor) as f32);
        norm
    }

    /// What such a row says, or of a sum of them; nothing where no variable has a gradient.
    pub(crate) fn unflat(&self, mut flat: Vec<f32>) -> Option<Gathered> {
        let loss = flat.pop().expect("a loss is its last number");
        let n_tokens = flat.pop().expect("a count stands before it") as usize;
        let given = flat.split_off(self.n_values());
        let mut rest = &flat[..];
        let gradients = self.slots.iter().zip(&given).map(|(slot, &given)| {
            let (own, others) = rest.split_at(slot.values.len());
            rest = others;
            (given > 0.).then(|| own.to_vec())
        });
        let gradients = gradients.collect();
        given.iter().any(|&given| given > 0.).then_some(Gathered {
            gradients,
            loss: loss.into(),
            n_tokens,
        })
    }

    /// One update; a variable without a gradient stays. Returns the norm of all gradients before
    /// clipping.
    pub(crate) fn take(&mut self, grads: &Gradients, lr: f64) -> Result<f64> {
        let squares = grads.iter().flatten().flatten().map(|&g| f64::from(g) * f64::from(g));
        let norm = squares.sum::<f64>().sqrt();
        let grad_scale = if norm > self.clip_norm { self.clip_norm / norm } else { 1. };
        self.step += 1;
        let keep = self.averaging.min(self.step as f64 / (self.step + 9) as f64);
        for (slot, grad) in self.slots.iter_mut().zip(grads) {
            if let Some(grad) = grad {
                let adamw = AdamW {
                    lr: lr * slot.lr_scale,
                    beta1: 0.9,
                    beta2: 0.999,
                    eps: 1e-8,
                    weight_decay: slot.weight_decay,
                };
                let step = self.step as u32;
                let Slot { values, first, second, .. } = slot;
                kernels::adamw(&adamw, step, grad_scale, values, grad, first, second);
                slot.write(&slot.values)?;
            }
            for (average, &value) in slot.average.iter_mut().zip(&slot.values) {
                *average = (keep * f64::from(*average) + (1. - keep) * f64::from(value)) as f32;
            }
        }
        Ok(norm)
    }

    /// Runs `f` with the variables at their running average, then puts the weights back.
    pub(crate) fn averaged<R, E: From<candle_core::Error>>(
        &self,
        f: impl FnOnce() -> std::result::Result<R, E>,
    ) -> std::result::Result<R, E> {
        for slot in &self.slots {
            slot.write(&slot.average)?;
        }
        let result = f();
        for slot in &self.slots {
            slot.write(&slot.values)?;
        }
        result
    }

    /// Weights, moments and averages by name, for a checkpoint.
    pub(crate) fn state(&self) -> Result<HashMap<String, Tensor>> {
        let mut state = HashMap::new();
        for slot in &self.slots {
            let parts = [
                ("value", &slot.values),
                ("first", &slot.first),
                ("second", &slot.second),
                ("average", &slot.average),
            ];
            for (part, values) in parts {
                let tensor = Tensor::from_slice(values, values.len(), slot.var.device())?;
                state.insert(format!("{part}/{}", slot.name), tensor);
            }
        }
        Ok(state)
    }

    /// Goes back to a checkpoint, or stays as it is and says what the checkpoint lacks.
    pub(crate) fn restore(
        &mut self,
        state: &HashMap<String, Tensor>,
        step: usize,
    ) -> std::result::Result<(), String> {
        let read = |part: &str, slot: &Slot| -> std::result::Result<Vec<f32>, String> {
            let key = format!("{part}/{}", slot.name);
            let tensor = state.get(&key).filter(|it| it.elem_count() == slot.values.len());
            let values = tensor.map(|it| it.flatten_all()?.to_dtype(DType::F32)?.to_vec1());
            let missing = || format!("tensor `{key}` is missing or of another size");
            values.ok_or_else(missing)?.map_err(|error: candle_core::Error| error.to_string())
        };
        let parts = ["value", "first", "second", "average"];
        let restored = self.slots.iter().map(|slot| {
            let all: Vec<Vec<f32>> =
                parts.iter().map(|part| read(part, slot)).collect::<std::result::Result<_, _>>()?;
            Ok(<[Vec<f32>; 4]>::try_from(all).expect("four parts were read"))
        });
        let restored: Vec<_> = restored.collect::<std::result::Result<_, String>>()?;
        for (slot, [values, first, second, average]) in self.slots.iter_mut().zip(restored) {
            slot.write(&values).map_err(|error| error.to_string())?;
            (slot.values, slot.first) = (values, first);
            (slot.second, slot.average) = (second, average);
        }
        self.step = step;
        Ok(())
    }
}

impl Slot {
    /// A gradient with 0 in all rows that stay.
    fn masked(&self, mut grad: Vec<f32>) -> Vec<f32> {
        let Some(rows) = &self.rows else { return grad };
        let width = grad.len() / self.var.dims()[0].max(1);
        for (row, values) in (0..).zip(grad.chunks_mut(width.max(1))) {
            if !rows.contains(&row) {
                values.fill(0.);
            }
        }
        grad
    }

    fn write(&self, values: &[f32]) -> Result<()> {
        self.var.set(&Tensor::from_slice(values, self.var.shape(), self.var.device())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn optimizer(var: &Var) -> Optimizer {
        Optimizer::new(vec![("w".into(), var.clone())], 1., 0.98, |_| (1., 0.)).unwrap()
    }

    fn loss(var: &Var) -> Result<Tensor> {
        (var.as_tensor() - 3.)?.sqr()?.sum_all()
    }

    #[test]
    fn it_walks_to_the_minimum_and_the_average_follows() -> Result<()> {
        let var = Var::from_tensor(&Tensor::zeros(2, DType::F32, &Device::Cpu)?)?;
        let mut optimizer = optimizer(&var);
        for _ in 0..400 {
            optimizer.update(&loss(&var)?.backward()?, 0.05)?;
        }
        let values = var.to_vec1::<f32>()?;
        assert!((values[0] - 3.).abs() < 1e-2, "{values:?}");
        let average = optimizer.averaged(|| var.to_vec1::<f32>())?;
        assert!((average[0] - 3.).abs() < 0.1 && average != values);
        assert_eq!(var.to_vec1::<f32>()?, values);
        Ok(())
    }

    #[test]
    fn restoring_continues_bit_for_bit() -> Result<()> {
        let start = || Var::from_tensor(&Tensor::zeros(2, DType::F32, &Device::Cpu)?);
        let (one, two) = (start()?, start()?);
        let mut straight = optimizer(&one);
        for _ in 0..5 {
            straight.update(&loss(&one)?.backward()?, 0.05)?;
        }
        let state = straight.state()?;
        straight.update(&loss(&one)?.backward()?, 0.05)?;
        let mut resumed = optimizer(&two);
        resumed.restore(&state, 5).unwrap();
        resumed.update(&loss(&two)?.backward()?, 0.05)?;
        assert_eq!(one.to_vec1::<f32>()?, two.to_vec1::<f32>()?);
        assert!(resumed.restore(&HashMap::new(), 5).unwrap_err().contains("`value/w` is missing"));
        Ok(())
    }
}
