//! A vision transformer worked out again in plain loops of `f64`, for the tests of encoders of which no
//! numbers were recorded. Nothing is shared with the code under test but the names of the tensors.
//!
//! Sources: Dosovitskiy et al. 2021, equations 1 to 4; Vaswani et al. 2017, section 3.2; Ba et al. 2016.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Result, Tensor};
use nn::gradcheck::sample;
use nn::weights::Variables;

/// Moves every number of a network, so that no norm stays 1 and no bias 0.
pub(crate) fn stir(variables: &Variables) -> Result<()> {
    for (name, var) in variables.all() {
        let noise = sample(&format!("stirs {name}"), var.shape().clone())?.to_dtype(var.dtype())?;
        var.set(&(var.as_tensor() + noise * 0.3)?)?;
    }
    Ok(())
}

/// Tokens, each a row of numbers.
pub(crate) type Rows = Vec<Vec<f64>>;

/// Every tensor of a network, row-major.
pub(crate) struct Numbers(HashMap<String, Vec<f64>>);

impl Numbers {
    pub(crate) fn of(variables: &Variables) -> Result<Self> {
        let flat = |(name, tensor): (String, Tensor)| {
            Ok((name, tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?))
        };
        Ok(Self(variables.tensors().into_iter().map(flat).collect::<Result<_>>()?))
    }

    pub(crate) fn get(&self, name: &str) -> &[f64] {
        &self.0[name]
    }

    /// `W x + b` of every row.
    pub(crate) fn linear(&self, name: &str, rows: &Rows) -> Rows {
        let weight = self.get(&format!("{name}.weight"));
        let bias = self.get(&format!("{name}.bias"));
        let mut out = Vec::new();
        for row in rows {
            let mut ys = Vec::new();
            for (o, b) in bias.iter().enumerate() {
                let mut y = *b;
                for (i, x) in row.iter().enumerate() {
                    y += weight[o * row.len() + i] * x;
                }
                ys.push(y);
            }
            out.push(ys);
        }
        out
    }

    /// `(x − mean) / √(variance + 10⁻⁶) · w + b` of every row.
    pub(crate) fn norm(&self, name: &str, rows: &Rows) -> Rows {
        let weight = self.get(&format!("{name}.weight"));
        let bias = self.get(&format!("{name}.bias"));
        let mut out = Vec::new();
        for row in rows {
            let n = row.len() as f64;
            let mean = row.iter().sum::<f64>() / n;
            let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
            let sd = (variance + 1e-6).sqrt();
            let scaled = |(i, x): (usize, &f64)| (x - mean) / sd * weight[i] + bias[i];
            out.push(row.iter().enumerate().map(scaled).collect());
        }
        out
    }

    /// `x + attention(norm(x))`, then `x + MLP(norm(x))`; `projections` gives queries, keys and values.
    pub(crate) fn block(
        &self,
        at: &str,
        n_heads: usize,
        rows: &Rows,
        projections: impl Fn(&Rows) -> [Rows; 3],
    ) -> Rows {
        let [q, k, v] = projections(&self.norm(&format!("{at}.norm1"), rows));
        let attended = self.linear(&format!("{at}.attn.proj"), &attention(&q, &k, &v, n_heads));
        let rows = sum(rows, &attended);
        let mut hidden =
            self.linear(&format!("{at}.mlp.fc1"), &self.norm(&format!("{at}.norm2"), &rows));
        hidden.iter_mut().flatten().for_each(|x| *x *= 0.5 * (1. + erf(*x / 2f64.sqrt())));
        sum(&rows, &self.linear(&format!("{at}.mlp.fc2"), &hidden))
    }
}

/// `softmax(q kᵀ / √d) v`, head by head.
fn attention(q: &Rows, k: &Rows, v: &Rows, n_heads: usize) -> Rows {
    let (n, dim) = (q.len(), q[0].len());
    let d = dim / n_heads;
    let mut out = vec![vec![0.; dim]; n];
    for head in 0..n_heads {
        let of = head * d;
        for i in 0..n {
            let mut weights = Vec::new();
            for key in k {
                let product: f64 = (of..of + d).map(|c| q[i][c] * key[c]).sum();
                weights.push((product / (d as f64).sqrt()).exp());
            }
            let total: f64 = weights.iter().sum();
            for (j, weight) in weights.iter().enumerate() {
                for c in of..of + d {
                    out[i][c] += weight / total * v[j][c];
                }
            }
        }
    }
    out
}

pub(crate) fn sum(a: &Rows, b: &Rows) -> Rows {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}

/// `2/√π · e^(−x²) · Σ 2ⁿ x^(2n + 1) / (1 · 3 · … · (2n + 1))`: all terms of one sign.
fn erf(x: f64) -> f64 {
    let (mut term, mut total, mut n) = (x, x, 0.);
    while term.abs() > 1e-18 * total.abs() && n < 500. {
        n += 1.;
        term *= 2. * x * x / (2. * n + 1.);
        total += term;
    }
    2. / std::f64::consts::PI.sqrt() * (-x * x).exp() * total
}

/// Fails unless a tensor `(1, n_tokens, dim)` holds these rows.
pub(crate) fn assert_near(found: &Tensor, expected: &Rows) -> Result<()> {
    assert_eq!(found.dims(), [1, expected.len(), expected[0].len()]);
    let found = found.flatten_all()?.to_vec1::<f64>()?;
    let expected: Vec<f64> = expected.iter().flatten().copied().collect();
    assert!(expected.iter().any(|x| x.abs() > 0.1), "all tokens are near zero");
    for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!((found - expected).abs() < 1e-10, "number {at}: {found}, by hand {expected}");
    }
    Ok(())
}

/// A file of `fixtures/neighbours`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/neighbours").join(name)
}

/// The fixture's windows as they lie in memory, and its tokens.
pub(crate) fn recorded(name: &str) -> (Vec<f32>, Vec<f64>) {
    let read = |what: &str| scan::read_array(fixture(&format!("{name}_{what}.npy")), None).unwrap();
    let windows = read("windows").iter().map(|&x| x as f32).collect();
    (windows, read("tokens").into_iter().collect())
}

/// Fails unless numbers in 32 bits are these.
pub(crate) fn assert_same(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let gaps = found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs());
    let worst = gaps.fold(0., f64::max);
    assert!(worst < 1e-5, "{worst}");
}

#[test]
fn the_error_function_is_that_of_the_tables() {
    // Abramowitz and Stegun 1964, table 7.1
    for (x, expected) in
        [(0., 0.), (0.5, 0.520_499_877_8), (1., 0.842_700_792_9), (2., 0.995_322_265_0)]
    {
        assert!((erf(x) - expected).abs() < 1e-10 && (erf(-x) + expected).abs() < 1e-10, "{x}");
    }
}
