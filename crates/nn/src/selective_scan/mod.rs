//! The selective scan of Mamba, which candle does not have.

mod chunks;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, WithDType, bail};
use kernels::Band;

use crate::Ops;
use crate::op::{Elem, by_dtype, slice, with_slice};

/// States of a channel.
const STATES: usize = 16;

/// What a scan goes over, and with which constants.
#[derive(Clone, Debug)]
pub struct SelectiveScan {
    /// `(batch, n_tokens, n_channels)`.
    pub xs: Tensor,
    /// Step sizes before bias and softplus, shaped as `xs`.
    pub deltas: Tensor,
    /// What a token writes to the states, then what it reads from them: `(batch, n_tokens, 2 · 16)`.
    pub inputs: Tensor,
    /// The states' decay, `(n_channels, 16)`, negative.
    pub a: Tensor,
    /// What goes past the states, `(n_channels)`.
    pub d: Tensor,
    /// `(n_channels)`.
    pub delta_bias: Tensor,
}

impl SelectiveScan {
    /// Scans the tokens, from the last to the first where `reverse`; the result is shaped as they are
    /// (Gu and Dao 2023, algorithm 2). States are kept in the tokens' own type.
    pub fn run(&self, ops: Ops, reverse: bool) -> Result<Tensor> {
        let (batch, n_tokens, n_channels) = self.xs.dims3()?;
        let fits = self.deltas.dims() == self.xs.dims()
            && self.inputs.dims() == [batch, n_tokens, 2 * STATES]
            && self.a.dims() == [n_channels, STATES]
            && self.d.dims() == [n_channels]
            && self.delta_bias.dims() == [n_channels];
        if !fits || n_tokens == 0 {
            bail!(
                "a scan of {:?} with steps {:?}, inputs {:?}, decays {:?} and skips {:?}",
                self.xs.dims(),
                self.deltas.dims(),
                self.inputs.dims(),
                self.a.dims(),
                self.d.dims()
            )
        }
        let op = Op { n_tokens, n_channels, reverse };
        let parts = [&self.xs, &self.deltas, &self.inputs, &self.a, &self.d, &self.delta_bias];
        let are_kernels = ops.are_kernels(&self.xs);
        if are_kernels && parts.iter().all(|part| !part.track_op()) {
            return by_dtype!(self.xs.dtype(), T => self.untracked::<T>(op));
        }
        let rows = Tensor::cat(&[&self.xs, &self.deltas], D::Minus1)?.contiguous()?;
        let column = |xs: &Tensor| xs.unsqueeze(1);
        let constants = Tensor::cat(&[&self.a, &column(&self.d)?, &column(&self.delta_bias)?], 1)?;
        let (inputs, constants) = (self.inputs.contiguous()?, constants.contiguous()?);
        if !are_kernels {
            return chunks::scan([&rows, &inputs, &constants], reverse);
        }
        rows.apply_op3(&inputs, &constants, op)
    }

    /// Without the copies that an operation of candle, which takes three tensors, needs.
    fn untracked<T: Elem>(&self, op: Op) -> Result<Tensor> {
        let mut ys = vec![T::ZERO; self.xs.elem_count()];
        let whole = |xs: &Tensor| xs.contiguous();
        let (xs, deltas, inputs) = (whole(&self.xs)?, whole(&self.deltas)?, whole(&self.inputs)?);
        let constants = [&self.a, &self.d, &self.delta_bias]
            .map(|part| part.contiguous()?.flatten_all()?.to_vec1::<T>());
        let [a, d, delta_bias] = constants;
        let (a, d, delta_bias) = (&a?, &d?, &delta_bias?);
        let Op { n_tokens, n_channels, reverse } = op;
        with_slice::<T, _>(&xs, |xs| {
            with_slice::<T, _>(&deltas, |deltas| {
                with_slice::<T, _>(&inputs, |inputs| {
                    let band = |data| Band::whole(data, n_channels);
                    let (xs, deltas) = (band(xs), band(deltas));
                    kernels::SelectiveScan {
                        n_tokens,
                        xs,
                        deltas,
                        inputs,
                        a,
                        d,
                        delta_bias,
                        reverse,
                    }
                    .forward(&mut ys);
                })
            })
        })???;
        Tensor::from_vec(ys, xs.shape(), xs.device())
    }
}

#[derive(Clone, Copy)]
struct Op {
    n_tokens: usize,
    n_channels: usize,
    reverse: bool,
}

impl Op {
    /// Runs the scan over tokens and steps side by side `(…, 2 n_channels)`, with constants
    /// `(n_channels, 16 + 2)`.
    fn scan<T: Elem, R>(
        self,
        rows: &[T],
        inputs: &[T],
        constants: &[T],
        f: impl FnOnce(&kernels::SelectiveScan<T>) -> R,
    ) -> R {
        let Self { n_tokens, n_channels, reverse } = self;
        let constants = constants.chunks_exact(STATES + 2);
        let a: Vec<T> = constants.clone().flat_map(|row| row[..STATES].to_vec()).collect();
        let column = |at: usize| constants.clone().map(|row| row[at]).collect::<Vec<T>>();
        let (d, delta_bias) = (&column(STATES), &column(STATES + 1));
        let band = |first| Band { data: rows, stride: 2 * n_channels, first };
        let (xs, deltas) = (band(0), band(n_channels));
        f(&kernels::SelectiveScan { n_tokens, xs, deltas, inputs, a: &a, d, delta_bias, reverse })
    }

    fn gradients<T: Elem>(
        self,
        [rows, inputs, constants]: [&Tensor; 3],
        dys: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let scanned = with_slice::<T, _>(rows, |rows| {
            with_slice::<T, _>(inputs, |inputs| {
                with_slice::<T, _>(constants, |constants| {
                    with_slice::<T, _>(dys, |dys| {
                        self.scan(rows, inputs, constants, |scan| scan.backward(dys))
                    })
                })
            })
        })????;
        let n = self.n_channels;
        let pairs = scanned.xs.chunks_exact(n).zip(scanned.deltas.chunks_exact(n));
        let drows: Vec<T> = pairs.flat_map(|(dx, ddelta)| [dx, ddelta].concat()).collect();
        let each = scanned.a.chunks_exact(STATES).zip(scanned.d.iter().zip(&scanned.delta_bias));
        let dconstants: Vec<T> =
            each.flat_map(|(a, (&d, &bias))| [a, &[d, bias]].concat()).collect();
        let like =
            |values, xs: &Tensor| Tensor::from_vec(values, xs.shape(), xs.device()).map(Some);
        Ok((like(drows, rows)?, like(scanned.inputs, inputs)?, like(dconstants, constants)?))
    }
}

impl CustomOp3 for Op {
    fn name(&self) -> &'static str {
        "selective_scan"
    }

    fn cpu_fwd(
        &self,
        rows: &CpuStorage,
        rows_layout: &Layout,
        inputs: &CpuStorage,
        inputs_layout: &Layout,
        constants: &CpuStorage,
        constants_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let out = by_dtype!(rows.dtype(), T => {
            let rows = slice::<T>(rows, rows_layout)?;
            let mut ys = vec![0. as T; rows.len() / 2];
            let (inputs, constants) = (slice(inputs, inputs_layout)?, slice(constants, constants_layout)?);
            self.scan(rows, inputs, constants, |scan| scan.forward(&mut ys));
            T::to_cpu_storage_owned(ys)
        });
        let (batch, n_tokens, _) = rows_layout.shape().dims3()?;
        Ok((out, Shape::from((batch, n_tokens, self.n_channels))))
    }

    fn bwd(
        &self,
        rows: &Tensor,
        inputs: &Tensor,
        constants: &Tensor,
        _: &Tensor,
        dys: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dys = dys.contiguous()?;
        by_dtype!(rows.dtype(), T => self.gradients::<T>([rows, inputs, constants], &dys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::{check, same_on_both, sample};
    use candle_core::Var;

    /// Variables, and a scan whose decays are made of one of them.
    fn sampled(n_tokens: usize) -> Result<Vec<(&'static str, Var)>> {
        Ok(vec![
            ("xs", sample("xs", (2, n_tokens, 5))?),
            ("deltas", sample("deltas", (2, n_tokens, 5))?),
            ("inputs", sample("inputs", (2, n_tokens, 32))?),
            ("a_log", sample("a_log", (5, 16))?),
            ("d", sample("d", 5)?),
            ("delta_bias", sample("bias", 5)?),
        ])
    }

    fn scan(vars: &[(&str, Var)]) -> Result<SelectiveScan> {
        let tensor = |at: usize| vars[at].1.as_tensor().clone();
        let a = tensor(3).exp()?.neg()?;
        let (xs, deltas, inputs) = (tensor(0), tensor(1), tensor(2));
        Ok(SelectiveScan { xs, deltas, inputs, a, d: tensor(4), delta_bias: tensor(5) })
    }

    #[test]
    fn gradients_match_finite_differences() -> Result<()> {
        let vars = sampled(70)?;
        let named: Vec<_> = vars.iter().map(|(name, var)| (*name, var)).collect();
        for reverse in [false, true] {
            check(&named, || scan(&vars)?.run(Ops::Kernels, reverse)?.sqr()?.sum_all())?;
        }
        Ok(())
    }

    #[test]
    fn the_kernel_equals_the_composed_form_tracked_and_not() -> Result<()> {
        for n_tokens in [1, 9, 150] {
            let vars = sampled(n_tokens)?;
            let all: Vec<_> = vars.iter().map(|(_, var)| var).collect();
            let tracked = scan(&vars)?;
            let SelectiveScan { xs, deltas, inputs, a, d, delta_bias } = tracked.clone();
            let (xs, deltas, inputs) = (xs.detach(), deltas.detach(), inputs.detach());
            let (a, d, delta_bias) = (a.detach(), d.detach(), delta_bias.detach());
            let detached = SelectiveScan { xs, deltas, inputs, a, d, delta_bias };
            for reverse in [false, true] {
                same_on_both(&all, 1e-11, |ops| scan(&vars)?.run(ops, reverse))?;
                same_on_both(&[], 1e-12, |ops| detached.run(ops, reverse))?;
            }
        }
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_go_together_are_refused() -> Result<()> {
        let mut scan = scan(&sampled(3)?)?;
        scan.inputs = scan.inputs.narrow(2, 0, 30)?;
        let error = scan.run(Ops::Kernels, false).unwrap_err().to_string();
        assert!(error.contains("inputs [2, 3, 30]"), "{error}");
        Ok(())
    }
}
