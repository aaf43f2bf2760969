//! `AdamW` over named variables, with gradient clipping and a running average of the weights.

use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use nn::{AdamW, Device};

use crate::gathered::{Gathered, Gradient, Gradients, norm};
use crate::moments::Moments;

/// A variable with its place in the optimizer.
struct Slot {
    name: String,
    var: Var,
    lr_scale: f64,
    weight_decay: f64,
    moments: Moments,
    /// The only rows that move, in order; absent: all.
    rows: Option<Vec<u32>>,
}

/// What a checkpoint calls the parts of the state of a variable.
const PARTS: [&str; 4] = ["value", "first", "second", "average"];

/// The optimizer's state: all that a checkpoint must hold.
pub struct Optimizer {
    slots: Vec<Slot>,
    clip_norm: f64,
    averaging: f64,
    step: usize,
}

impl Optimizer {
    /// `group` gives each name its learning-rate scale and weight decay. `averaging` is the decay of
    /// the running average of the weights (0: the last weights are the average). The variables lie on
    /// `device`, whose operations update them.
    pub fn new(
        device: &Device,
        vars: Vec<(String, Var)>,
        clip_norm: f64,
        averaging: f64,
        group: impl Fn(&str) -> (f64, f64),
    ) -> Result<Self> {
        let slots = vars
            .into_iter()
            .map(|(name, var)| {
                let (lr_scale, weight_decay) = group(&name);
                let moments = Moments::new(device.ops(), &var)?;
                Ok(Slot { name, lr_scale, weight_decay, moments, var, rows: None })
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
            grad.map(|grad| slot.gradient(grad)).transpose()
        };
        self.slots.iter().map(of).collect()
    }

    /// Numbers of all gradients.
    fn n_values(&self) -> usize {
        self.slots.iter().map(Slot::n_values).sum()
    }

    /// Gradients, which variables have one, a count of ids and a loss, as one row of numbers that may be added to others.
    pub(crate) fn flat(&self, gathered: &Gathered) -> Result<Vec<f32>> {
        let mut flat = Vec::with_capacity(self.n_values() + self.slots.len() + 2);
        for (slot, gradient) in self.slots.iter().zip(&gathered.gradients) {
            match gradient {
                Some(gradient) => gradient.append_to(&mut flat)?,
                None => flat.resize(flat.len() + slot.n_values(), 0.),
            }
        }
        flat.extend(gathered.gradients.iter().map(|gradient| f32::from(gradient.is_some())));
        flat.extend([gathered.n_tokens as f32, gathered.loss as f32]);
        Ok(flat)
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
            let (own, others) = rest.split_at(slot.n_values());
            rest = others;
            (given > 0.).then(|| Gradient::Plain(own.to_vec()))
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
        let norm = norm(grads)?;
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
                slot.moments.update(&slot.var, &adamw, self.step as u32, grad_scale, grad)?;
            }
            slot.moments.average(keep)?;
        }
        Ok(norm)
    }

    /// Runs `f` with the variables at their running average, then puts the weights back.
    pub(crate) fn averaged<R, E: From<candle_core::Error>>(
        &self,
        f: impl FnOnce() -> std::result::Result<R, E>,
    ) -> std::result::Result<R, E> {
        for slot in &self.slots {
            slot.moments.show_average(&slot.var)?;
        }
        let result = f();
        for slot in &self.slots {
            slot.moments.show_values(&slot.var)?;
        }
        result
    }

    /// Weights, moments and averages by name, for a checkpoint.
    pub(crate) fn state(&self) -> Result<HashMap<String, Tensor>> {
        let mut state = HashMap::new();
        for slot in &self.slots {
            for (part, tensor) in PARTS.iter().zip(slot.moments.parts(&slot.var)?) {
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
        let read = |part: &str, slot: &Slot| {
            let key = format!("{part}/{}", slot.name);
            let tensor = state.get(&key).filter(|it| it.elem_count() == slot.n_values());
            tensor.ok_or_else(|| format!("tensor `{key}` is missing or of another size"))
        };
        let mut restored = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let [value, first, second, average] = PARTS.map(|part| read(part, slot));
            let parts = [value?, first?, second?, average?];
            let moments = slot.moments.restored(&slot.var, parts);
            restored.push(moments.map_err(|error| error.to_string())?);
        }
        for (slot, moments) in self.slots.iter_mut().zip(restored) {
            moments.show_values(&slot.var).map_err(|error| error.to_string())?;
            slot.moments = moments;
        }
        self.step = step;
        Ok(())
    }
}

impl Slot {
    fn n_values(&self) -> usize {
        self.var.elem_count()
    }

    /// A gradient with 0 in all rows that stay.
    fn gradient(&self, grad: &Tensor) -> Result<Gradient> {
        let is_plain = matches!(self.moments, Moments::Plain { .. });
        let Some(rows) = &self.rows else {
            return Ok(if is_plain {
                Gradient::Plain(grad.flatten_all()?.to_vec1()?)
            } else {
                Gradient::Placed(grad.contiguous()?)
            });
        };
        let n_rows = self.var.dims()[0];
        let kept = (0..n_rows as u32).map(|row| f32::from(rows.contains(&row)));
        if !is_plain {
            let kept = Tensor::from_vec(kept.collect(), (n_rows, 1), grad.device())?;
            let flat = grad.reshape((n_rows, ()))?;
            // not times 0, which leaves what is no number
            let kept = kept.broadcast_as(flat.shape())?.gt(0f64)?;
            return Ok(Gradient::Placed(
                kept.where_cond(&flat, &flat.zeros_like()?)?.reshape(grad.shape())?,
            ));
        }
        let mut grad = grad.flatten_all()?.to_vec1::<f32>()?;
        let width = grad.len() / n_rows.max(1);
        for (kept, values) in kept.zip(grad.chunks_mut(width.max(1))) {
            if kept == 0. {
                values.fill(0.);
            }
        }
        Ok(Gradient::Plain(grad))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;

    fn optimizer(device: &Device, var: &Var) -> Optimizer {
        Optimizer::new(device, vec![("w".into(), var.clone())], 1., 0.98, |_| (1., 0.)).unwrap()
    }

    fn numbers(var: &Var) -> Result<Vec<f32>> {
        var.flatten_all()?.to_vec1()
    }

    fn loss(var: &Var) -> Result<Tensor> {
        (var.as_tensor() - 3.)?.sqr()?.sum_all()
    }

    #[test]
    fn it_walks_to_the_minimum_and_the_average_follows() -> Result<()> {
        for device in Device::both() {
            let var =
                Var::from_tensor(&Tensor::zeros((2, 1), DType::F32, &candle_core::Device::Cpu)?)?;
            let mut optimizer = optimizer(&device, &var);
            for step in 1..=400 {
                optimizer.update(&loss(&var)?.backward()?, 0.05)?;
                if step == 20 {
                    assert_ne!(optimizer.averaged(|| numbers(&var))?, numbers(&var)?);
                }
            }
            let values = numbers(&var)?;
            assert!((values[0] - 3.).abs() < 1e-2, "{values:?}");
            let average = optimizer.averaged(|| numbers(&var))?;
            assert!((average[0] - 3.).abs() < 0.1, "{average:?}");
            assert_eq!(numbers(&var)?, values);
        }
        Ok(())
    }

    #[test]
    fn restoring_continues_bit_for_bit() -> Result<()> {
        for device in Device::both() {
            let start =
                || Var::from_tensor(&Tensor::zeros((2, 1), DType::F32, &candle_core::Device::Cpu)?);
            let (one, two) = (start()?, start()?);
            let mut straight = optimizer(&device, &one);
            for _ in 0..5 {
                straight.update(&loss(&one)?.backward()?, 0.05)?;
            }
            let state = straight.state()?;
            straight.update(&loss(&one)?.backward()?, 0.05)?;
            let mut resumed = optimizer(&device, &two);
            resumed.restore(&state, 5).unwrap();
            resumed.update(&loss(&two)?.backward()?, 0.05)?;
            assert_eq!(numbers(&one)?, numbers(&two)?);
            assert!(
                resumed.restore(&HashMap::new(), 5).unwrap_err().contains("`value/w` is missing")
            );
        }
        Ok(())
    }

    #[test]
    fn both_kinds_of_operations_walk_alike_and_only_along_the_rows_that_train() -> Result<()> {
        let walk = |device: &Device, only: Option<&[u32]>| -> Result<(Vec<f32>, f64)> {
            let var = Var::from_tensor(&Tensor::new(&[[1f32, -2.], [0.5, 7.]], device.place())?)?;
            let mut optimizer = optimizer(device, &var);
            if let Some(rows) = only {
                optimizer.train_only_rows("w", rows).unwrap();
            }
            let mut norm = 0.;
            for _ in 0..7 {
                norm = optimizer.update(&loss(&var)?.backward()?, 0.05)?;
            }
            let mut all = numbers(&var)?;
            all.extend(optimizer.averaged(|| numbers(&var))?);
            Ok((all, norm))
        };
        for only in [None, Some(&[1u32][..])] {
            let [a, b] = Device::both().map(|device| walk(&device, only));
            let ((a, a_norm), (b, b_norm)) = (a?, b?);
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} {b:?}");
            assert!((a_norm - b_norm).abs() < 1e-5 * a_norm);
            assert_eq!(a[..2] == [1., -2.] && b[..2] == [1., -2.], only.is_some());
        }
        Ok(())
    }

    #[test]
    fn a_gradient_whose_square_no_f32_holds_is_clipped_and_learned_from() -> Result<()> {
        for device in Device::both() {
            let var = Var::from_tensor(&Tensor::new(&[[1f32, -2.]], device.place())?)?;
            let mut optimizer = optimizer(&device, &var);
            let loss = (var.as_tensor() * 3e25)?.sum_all()?;
            let norm = optimizer.update(&loss.backward()?, 0.05)?;
            assert!((norm / (3e25 * 2f64.sqrt()) - 1.).abs() < 1e-6, "{norm}");
            // the first step of AdamW is the rate, whatever the gradient
            let values = numbers(&var)?;
            assert!((values[0] - 0.95).abs() < 1e-5 && (values[1] + 2.05).abs() < 1e-5);
        }
        Ok(())
    }

    #[test]
    fn a_gradient_that_is_not_finite_is_found_where_it_lies() -> Result<()> {
        for device in Device::both() {
            let var = Var::from_tensor(&Tensor::new(&[[1f32, 0.]], device.place())?)?;
            let optimizer = optimizer(&device, &var);
            for (finite, ys) in [(true, var.sqr()?), (false, var.log()?), (false, var.sqrt()?)] {
                let gradients = optimizer.read(&ys.sum_all()?.backward()?)?;
                let gathered = Gathered { gradients, loss: 1., n_tokens: 1 };
                assert_eq!(gathered.not_finite()?.is_none(), finite);
            }
        }
        Ok(())
    }
}
