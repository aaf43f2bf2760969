//! Attention over long sequences from candle's own operations: block by block of queries and keys, with
//! the running maximum and sum of the weights (Dao et al. 2022, algorithms 1 and 4).

use std::sync::Arc;

use candle_core::{D, Result, Tensor};

use crate::attached::{Three, attached_3};

/// Scores `(batch, n_heads, n_queries, n_keys)` of a block that are in memory at a time.
#[cfg(not(test))]
const MOST: usize = 1 << 26;
#[cfg(test)]
const MOST: usize = 1 << 15;

/// Attention of queries, keys and values of as many heads, whose shapes were checked; `seen` `(batch, n_keys)`.
pub(super) fn attention(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    scale: f64,
    seen: Option<&Arc<[bool]>>,
) -> Result<Tensor> {
    let queries = (queries * scale)?.contiguous()?;
    let keys = keys.contiguous()?;
    let values = values.contiguous()?;
    let blocks = Blocks::new(&queries, &keys, seen)?;
    let (out, sums) = blocks.forward([&queries, &keys, &values].map(Tensor::detach))?;
    let inputs = [&queries, &keys, &values];
    if inputs.iter().all(|xs| !xs.track_op()) {
        return Ok(out);
    }
    attached_3(inputs, out, move |inputs, out, dout| blocks.backward(inputs, out, &sums, dout))
}

/// What the weights of each query are divided by, `(batch, n_heads, n_queries, 1)`: the sum of `exp(score − most)`.
/// The logarithm of both together would lose the sum beside the lowest number, the score of unseen keys.
struct Sums {
    most: Tensor,
    sum: Tensor,
}

struct Blocks {
    n_queries: usize,
    n_keys: usize,
    /// Queries and keys of a block.
    size: [usize; 2],
    /// 0 for a key that exists and the lowest number for another, `(batch, 1, 1, n_keys)`.
    unseen: Option<Tensor>,
}

impl Blocks {
    fn new(queries: &Tensor, keys: &Tensor, seen: Option<&Arc<[bool]>>) -> Result<Self> {
        let (batch, n_heads, n_queries, _) = queries.dims4()?;
        let n_keys = keys.dim(2)?;
        let unseen = |seen: &Arc<[bool]>| {
            let lowest = f64::from(f32::MIN) / 2.;
            let biases = seen.iter().map(|&seen| if seen { 0. } else { lowest });
            let biases = Tensor::from_vec(biases.collect(), (batch, 1, 1, n_keys), keys.device());
            biases?.to_dtype(queries.dtype())
        };
        let of_heads = MOST / (batch * n_heads).max(1);
        let n = n_keys.clamp(1, 1024);
        let size = [(of_heads / n).clamp(1, n_queries.max(1)), n];
        Ok(Self { n_queries, n_keys, size, unseen: seen.map(unseen).transpose()? })
    }

    fn of_queries(&self) -> impl Iterator<Item = (usize, usize)> {
        steps(self.n_queries, self.size[0])
    }

    fn of_keys(&self) -> impl Iterator<Item = (usize, usize)> {
        steps(self.n_keys, self.size[1])
    }

    /// Scores of some queries to some keys; unseen keys have the lowest.
    fn scores(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        (first, n): (usize, usize),
    ) -> Result<Tensor> {
        let keys = keys.narrow(2, first, n)?;
        let scores = queries.matmul(&keys.t()?)?;
        match &self.unseen {
            // an item of which nothing is seen weighs all keys alike, as the kernels do
            Some(unseen) => scores
                .broadcast_mul(&unseen.narrow(3, first, n)?.eq(0f64)?.to_dtype(scores.dtype())?)?
                .broadcast_add(&unseen.narrow(3, first, n)?),
            None => Ok(scores),
        }
    }

    /// The result, and the sums of the weights of its queries.
    fn forward(&self, [queries, keys, values]: [Tensor; 3]) -> Result<(Tensor, Sums)> {
        let (mut outs, mut all_most, mut all_sum) = (Vec::new(), Vec::new(), Vec::new());
        for (first, n) in self.of_queries() {
            let queries = queries.narrow(2, first, n)?.contiguous()?;
            let mut past: Option<[Tensor; 3]> = None;
            for block in self.of_keys() {
                let scores = self.scores(&queries, &keys, block)?;
                let most = scores.max_keepdim(D::Minus1)?;
                let most = match &past {
                    Some([before, _, _]) => most.maximum(before)?,
                    None => most,
                };
                let weights = scores.broadcast_sub(&most)?.exp()?;
                let mut sum = weights.sum_keepdim(D::Minus1)?;
                let mut out = weights.matmul(&values.narrow(2, block.0, block.1)?)?;
                if let Some([before, old_sum, old_out]) = past {
                    let shrink = (before - &most)?.exp()?;
                    sum = (sum + (old_sum * &shrink)?)?;
                    out = (out + old_out.broadcast_mul(&shrink)?)?;
                }
                past = Some([most, sum, out]);
            }
            let Some([most, sum, out]) = past else { candle_core::bail!("attention to no keys") };
            outs.push(out.broadcast_div(&sum)?);
            all_most.push(most);
            all_sum.push(sum);
        }
        let sums = Sums { most: Tensor::cat(&all_most, 2)?, sum: Tensor::cat(&all_sum, 2)? };
        Ok((Tensor::cat(&outs, 2)?, sums))
    }

    fn backward(
        &self,
        [queries, keys, values]: [&Tensor; 3],
        out: &Tensor,
        sums: &Sums,
        dout: &Tensor,
    ) -> Result<Three> {
        let means = (out * dout)?.sum_keepdim(D::Minus1)?;
        let mut dqueries: Vec<Option<Tensor>> = self.of_queries().map(|_| None).collect();
        let (mut dkeys, mut dvalues) = (Vec::new(), Vec::new());
        for block in self.of_keys() {
            let (mut dkey, mut dvalue) = (None, None);
            for ((first, n), dquery) in self.of_queries().zip(&mut dqueries) {
                let part = |xs: &Tensor| xs.narrow(2, first, n)?.contiguous();
                let (query, dout) = (part(queries)?, part(dout)?);
                let scores = self.scores(&query, keys, block)?;
                let weights = scores.broadcast_sub(&part(&sums.most)?)?.exp()?;
                let weights = weights.broadcast_div(&part(&sums.sum)?)?;
                add(&mut dvalue, weights.t()?.matmul(&dout)?)?;
                let dweights = dout.matmul(&values.narrow(2, block.0, block.1)?.t()?)?;
                let mut dscores = (weights * dweights.broadcast_sub(&part(&means)?)?)?;
                if let Some(unseen) = &self.unseen {
                    let seen = unseen.narrow(3, block.0, block.1)?.eq(0f64)?;
                    dscores = dscores.broadcast_mul(&seen.to_dtype(dscores.dtype())?)?;
                }
                add(dquery, dscores.matmul(&keys.narrow(2, block.0, block.1)?)?)?;
                add(&mut dkey, dscores.t()?.matmul(&query)?)?;
            }
            dkeys.extend(dkey);
            dvalues.extend(dvalue);
        }
        let dqueries: Vec<Tensor> = dqueries.into_iter().flatten().collect();
        let join = |parts: &[Tensor]| Tensor::cat(parts, 2).map(Some);
        Ok((join(&dqueries)?, join(&dkeys)?, join(&dvalues)?))
    }
}

fn steps(n: usize, size: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).step_by(size).map(move |first| (first, size.min(n - first)))
}

fn add(sum: &mut Option<Tensor>, term: Tensor) -> Result<()> {
    *sum = Some(match sum.take() {
        Some(sum) => (sum + term)?,
        None => term,
    });
    Ok(())
}
