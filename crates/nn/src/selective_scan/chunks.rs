//! The selective scan from candle's own operations: chunk by chunk, and within one all tokens at once, by
//! doubling the stretch that a state has gone over (Hillis and Steele 1986).
//!
//! The backward pass makes a chunk anew from the state that it began with, so that of all tokens only
//! those states are kept.

use candle_core::{D, Result, Tensor, Var};

use super::STATES;
use crate::attached::{Three, attached_3};

/// Tokens of a chunk.
const CHUNK: usize = 64;

/// Scans tokens and steps side by side `(batch, n_tokens, 2 n_channels)` with inputs `(batch, n_tokens,
/// 32)` and constants `(n_channels, 16 + 2)`: decays, skips and the steps' biases.
pub(super) fn scan(inputs: [&Tensor; 3], reverse: bool) -> Result<Tensor> {
    let n_tokens = inputs[0].dim(1)?;
    let [rows, b_and_c, constants] = inputs.map(Tensor::detach);
    let mut chunks: Vec<(usize, usize)> =
        (0..n_tokens).step_by(CHUNK).map(|first| (first, CHUNK.min(n_tokens - first))).collect();
    if reverse {
        chunks.reverse();
    }
    let (mut starts, mut values) = (Vec::with_capacity(chunks.len()), Vec::new());
    let (batch, n_channels) = (rows.dim(0)?, constants.dim(0)?);
    let mut state = Tensor::zeros((batch, n_channels, STATES), rows.dtype(), rows.device())?;
    for &chunk in &chunks {
        let (ys, end) = through(&rows, &b_and_c, &constants, &state, chunk, reverse)?;
        starts.push(std::mem::replace(&mut state, end));
        values.push(ys);
    }
    let value = in_order(values, reverse)?;
    if inputs.iter().all(|xs| !xs.track_op()) {
        return Ok(value);
    }
    attached_3(inputs, value, move |inputs, _, dys| {
        backward(inputs, &chunks, &starts, dys, reverse)
    })
}

/// Parts of the chunks in the order in which they were scanned, joined along the tokens.
fn in_order(mut parts: Vec<Tensor>, reverse: bool) -> Result<Tensor> {
    if reverse {
        parts.reverse();
    }
    Tensor::cat(&parts, 1)
}

fn backward(
    [rows, b_and_c, constants]: [&Tensor; 3],
    chunks: &[(usize, usize)],
    starts: &[Tensor],
    dys: &Tensor,
    reverse: bool,
) -> Result<Three> {
    let constants = Var::from_tensor(constants)?;
    let (mut drows, mut dinputs) = (Vec::new(), Vec::new());
    let mut dconstants = constants.zeros_like()?;
    let mut dend: Option<Tensor> = None;
    for (&(first, n), start) in chunks.iter().zip(starts).rev() {
        let part = |xs: &Tensor| Var::from_tensor(&xs.narrow(1, first, n)?.contiguous()?);
        let (rows, b_and_c, start) = (part(rows)?, part(b_and_c)?, Var::from_tensor(start)?);
        let (ys, end) = through(&rows, &b_and_c, &constants, &start, (0, n), reverse)?;
        let mut sum = (ys * dys.narrow(1, first, n)?)?.sum_all()?;
        if let Some(dend) = dend {
            sum = (sum + (end * dend)?.sum_all()?)?;
        }
        let mut grads = sum.backward()?;
        let mut of = |var: &Var| grads.remove(var).map_or_else(|| var.zeros_like(), Ok);
        drows.push(of(&rows)?);
        dinputs.push(of(&b_and_c)?);
        dconstants = (dconstants + of(&constants)?)?;
        dend = Some(of(&start)?);
    }
    let drows = in_order(drows, !reverse)?;
    let dinputs = in_order(dinputs, !reverse)?;
    Ok((Some(drows), Some(dinputs), Some(dconstants.detach())))
}

/// What some tokens give, `(batch, n, n_channels)`, and the state after them, from the one before.
fn through(
    rows: &Tensor,
    b_and_c: &Tensor,
    constants: &Tensor,
    start: &Tensor,
    (first, n): (usize, usize),
    reverse: bool,
) -> Result<(Tensor, Tensor)> {
    let n_channels = constants.dim(0)?;
    let rows = rows.narrow(1, first, n)?;
    let xs = rows.narrow(D::Minus1, 0, n_channels)?;
    let constant = |at| constants.narrow(1, at, 1)?.flatten_all();
    let raw = rows.narrow(D::Minus1, n_channels, n_channels)?;
    let raw = raw.broadcast_add(&constant(STATES + 1)?)?;
    // softplus, which overflows nowhere
    let steps = (raw.relu()? + (raw.abs()?.neg()?.exp()? + 1.)?.log()?)?;
    let b_and_c = b_and_c.narrow(1, first, n)?;
    let half = |at| b_and_c.narrow(D::Minus1, at, STATES)?.unsqueeze(2);
    let (b, c) = (half(0)?, half(STATES)?);
    // (batch, n, n_channels, 16)
    let mut decays = steps.unsqueeze(3)?.broadcast_mul(&constants.narrow(1, 0, STATES)?)?.exp()?;
    let mut states = (&steps * &xs)?.unsqueeze(3)?.broadcast_mul(&b)?;
    let mut stretch = 1;
    while stretch < n {
        let rest = n - stretch;
        let (early, late) = if reverse { (stretch, 0) } else { (0, stretch) };
        let alone = if reverse { rest } else { 0 };
        let before = |xs: &Tensor| xs.narrow(1, early, rest);
        let after = |xs: &Tensor| xs.narrow(1, late, rest);
        let sums = ((after(&decays)? * before(&states)?)? + after(&states)?)?;
        let products = (after(&decays)? * before(&decays)?)?;
        let join = |xs: &Tensor, rest: Tensor| {
            let alone = xs.narrow(1, alone, stretch)?;
            if reverse {
                Tensor::cat(&[&rest, &alone], 1)
            } else {
                Tensor::cat(&[&alone, &rest], 1)
            }
        };
        states = join(&states, sums)?;
        decays = join(&decays, products)?;
        stretch *= 2;
    }
    let states = (states + decays.broadcast_mul(&start.unsqueeze(1)?)?)?;
    let ys = states.broadcast_mul(&c)?.sum(D::Minus1)?;
    let ys = (ys + xs.broadcast_mul(&constant(STATES)?)?)?;
    let last = if reverse { 0 } else { n - 1 };
    Ok((ys, states.narrow(1, last, 1)?.squeeze(1)?))
}
