//! Transformer arithmetic in `f64` and plain loops, one token a row: independent of `nn`, so that an
//! error there cannot hide in both.

use std::collections::HashMap;

use candle_core::{DType, Device, Result, Tensor};
use nn::weights::Variables;

use super::{IDS, gap, model};
use crate::{LmConfig, Step};

/// Tokens, one a row.
pub(crate) type Rows = Vec<Vec<f64>>;

/// A model's weights by name.
pub(crate) struct Weights(HashMap<String, (Vec<usize>, Vec<f64>)>);

impl Weights {
    pub(crate) fn of(variables: &Variables) -> Result<Self> {
        let tensors = variables.tensors().into_iter().map(|(name, tensor)| {
            let values = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
            Ok((name, (tensor.dims().to_vec(), values)))
        });
        Ok(Self(tensors.collect::<Result<_>>()?))
    }

    pub(crate) fn vector(&self, name: &str) -> Vec<f64> {
        self.0[name].1.clone()
    }

    pub(crate) fn matrix(&self, name: &str) -> Rows {
        let (shape, values) = &self.0[name];
        values.chunks(shape[1]).map(<[f64]>::to_vec).collect()
    }

    /// `W x + b` for every row; no bias where the model has none.
    pub(crate) fn linear(&self, name: &str, xs: &Rows) -> Rows {
        let weight = self.matrix(&format!("{name}.weight"));
        let bias = self.0.get(&format!("{name}.bias")).map(|(_, values)| values);
        let one = |x: &Vec<f64>| {
            let sums = weight.iter().enumerate().map(|(o, w)| {
                let mut sum = bias.map_or(0., |bias| bias[o]);
                for i in 0..x.len() {
                    sum += w[i] * x[i];
                }
                sum
            });
            sums.collect()
        };
        xs.iter().map(one).collect()
    }

    /// Mean and variance taken out, weight and bias put in.
    pub(crate) fn layer_norm(&self, name: &str, xs: &Rows) -> Rows {
        let weight = self.vector(&format!("{name}.weight"));
        let bias = self.0.get(&format!("{name}.bias")).map(|(_, values)| values);
        let one = |x: &Vec<f64>| {
            let n = x.len() as f64;
            let mean = x.iter().sum::<f64>() / n;
            let variance = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
            let entries = x.iter().enumerate().map(|(i, v)| {
                (v - mean) / (variance + 1e-5).sqrt() * weight[i] + bias.map_or(0., |bias| bias[i])
            });
            entries.collect()
        };
        xs.iter().map(one).collect()
    }

    /// The root of the mean square taken out, weight put in.
    pub(crate) fn rms_norm(&self, name: &str, xs: &Rows) -> Rows {
        let weight = self.vector(&format!("{name}.weight"));
        let one = |x: &Vec<f64>| {
            let square = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
            x.iter().zip(&weight).map(|(v, w)| v / (square + 1e-5).sqrt() * w).collect()
        };
        xs.iter().map(one).collect()
    }
}

pub(crate) fn add(a: &Rows, b: &Rows) -> Rows {
    let sum = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a + b).collect();
    a.iter().zip(b).map(sum).collect()
}

pub(crate) fn map(xs: &Rows, f: impl Fn(f64) -> f64) -> Rows {
    xs.iter().map(|x| x.iter().map(|&v| f(v)).collect()).collect()
}

pub(crate) fn gelu(x: f64) -> f64 {
    0.5 * x * (1. + libm::erf(x / 2f64.sqrt()))
}

pub(crate) fn relu(x: f64) -> f64 {
    x.max(0.)
}

pub(crate) fn silu(x: f64) -> f64 {
    x / (1. + (-x).exp())
}

/// Columns `from..from + n` of every row.
pub(crate) fn columns(xs: &Rows, from: usize, n: usize) -> Rows {
    xs.iter().map(|x| x[from..from + n].to_vec()).collect()
}

/// Turns entries `i` and `i + half` of each head by `position · frequencies[i]`.
pub(crate) fn rotate(xs: &Rows, head_dim: usize, frequencies: &[f64]) -> Rows {
    let half = frequencies.len();
    let mut turned = xs.clone();
    for (position, row) in turned.iter_mut().enumerate() {
        for head in row.chunks_mut(head_dim) {
            for (i, frequency) in frequencies.iter().enumerate() {
                let (sin, cos) = (position as f64 * frequency).sin_cos();
                let (a, b) = (head[i], head[i + half]);
                head[i] = a * cos - b * sin;
                head[i + half] = b * cos + a * sin;
            }
        }
    }
    turned
}

/// Causal attention; `bias(head, distance)` is added to the scaled scores.
pub(crate) fn attention(
    [q, k, v]: [&Rows; 3],
    head_dim: usize,
    scale: f64,
    bias: impl Fn(usize, usize) -> f64,
) -> Rows {
    let (n_heads, n_kv_heads) = (q[0].len() / head_dim, k[0].len() / head_dim);
    let mut out = vec![vec![0.; n_heads * head_dim]; q.len()];
    for query in 0..q.len() {
        for head in 0..n_heads {
            let (at, from) = (head * head_dim, head * n_kv_heads / n_heads * head_dim);
            let mut weights: Vec<f64> = (0..=query)
                .map(|key| {
                    let mut dot = 0.;
                    for i in 0..head_dim {
                        dot += q[query][at + i] * k[key][from + i];
                    }
                    (dot * scale + bias(head, query - key)).exp()
                })
                .collect();
            let total: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= total);
            for (key, weight) in weights.iter().enumerate() {
                for i in 0..head_dim {
                    out[query][at + i] += weight * v[key][from + i];
                }
            }
        }
    }
    out
}

/// Fails unless the model's logits are those that `derive` makes of its weights and of ids.
pub(crate) fn equals(config: &LmConfig, derive: impl Fn(&Weights, &[u32]) -> Rows) -> Result<()> {
    let (lm, variables) = model(config)?;
    let weights = Weights::of(&variables)?;
    let logits = lm.logits(&Tensor::new(&IDS, &Device::Cpu)?, &Step::plain(2, 5)?)?;
    for (row, ids) in IDS.iter().enumerate() {
        let expected = Tensor::new(derive(&weights, ids), &Device::Cpu)?;
        let gap = gap(&logits.get(row)?, &expected)?;
        assert!(gap < 1e-10, "{gap}");
    }
    let spread = logits.flatten_all()?.var(0)?.to_scalar::<f64>()?;
    assert!(spread > 1e-2, "logits that are all alike hold nothing: {spread}");
    Ok(())
}
