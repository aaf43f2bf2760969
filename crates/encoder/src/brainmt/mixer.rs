//! The mixer of Mamba (Gu and Dao 2023), one way or both ways (Zhu et al. 2024).

use candle_core::{D, Module, Result, Tensor};
use candle_nn::Init;
use nn::{Builder, CausalConv, Linear, SelectiveScan, silu};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// States of a channel.
const STATES: usize = 16;
/// Tokens that the convolution sees.
const TAPS: usize = 4;

/// Which way a mixer scans the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the first to the last.
    Forward,
    /// That, and from the last to the first with weights of its own.
    Both,
}

impl Direction {
    /// What a network with such mixers does.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Forward => "scans one way",
            Self::Both => "scans both ways",
        }
    }
}

/// `out(scan(silu(conv(x))) · silu(z))` of `[x, z] = in(tokens)`, channels twice as many as entries
/// of a token.
#[derive(Clone, Debug)]
pub struct Mixer {
    in_proj: Linear,
    forward: Branch,
    backward: Option<Branch>,
    out_proj: Linear,
    n_channels: usize,
}

/// What a mixer's branch computes on the way, `(batch, n_tokens, n_channels)` each unless said.
#[derive(Clone, Debug)]
pub struct Inside {
    /// The convolution after its non-linearity.
    pub convolution: Tensor,
    /// Step sizes before bias and softplus.
    pub deltas: Tensor,
    /// What a token writes to the states, then what it reads: `(batch, n_tokens, 2 · 16)`.
    pub inputs: Tensor,
    /// The scan, with what goes past the states.
    pub scan: Tensor,
}

impl Mixer {
    /// Reads `in_proj`, `out_proj` and the branches: `A_log` and its neighbours, `A_b_log` and its.
    pub fn new(dim: usize, direction: Direction, vb: Builder) -> Result<Self> {
        let n_channels = 2 * dim;
        let rank = dim.div_ceil(16);
        let backward = match direction {
            Direction::Forward => None,
            Direction::Both => Some(Branch::new(n_channels, rank, true, &vb)?),
        };
        Ok(Self {
            in_proj: Linear::new(dim, 2 * n_channels, vb.pp("in_proj"))?,
            forward: Branch::new(n_channels, rank, false, &vb)?,
            backward,
            out_proj: Linear::new(n_channels, dim, vb.pp("out_proj"))?,
            n_channels,
        })
    }

    /// What the branches compute, the one from the last token to the first as the second, and the
    /// gate that both go through.
    pub fn inside(&self, tokens: &Tensor) -> Result<(Inside, Option<Inside>, Tensor)> {
        let both = tokens.apply(&self.in_proj)?;
        let half = |at| both.narrow(D::Minus1, at, self.n_channels)?.contiguous();
        let (xs, gate) = (half(0)?, half(self.n_channels)?);
        drop(both);
        let backward = self.backward.as_ref().map(|branch| branch.run(&xs)).transpose()?;
        Ok((self.forward.run(&xs)?, backward, silu(self.in_proj.ops(), &gate)?))
    }
}

impl Module for Mixer {
    /// `(batch, n_tokens, dim)` to the same shape.
    fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        let both = tokens.apply(&self.in_proj)?;
        let half = |at| both.narrow(D::Minus1, at, self.n_channels)?.contiguous();
        let xs = half(0)?;
        let mut scan = self.forward.run(&xs)?.scan;
        if let Some(backward) = &self.backward {
            scan = (scan + backward.run(&xs)?.scan)?;
        }
        drop(xs);
        (scan * silu(self.in_proj.ops(), &half(self.n_channels)?)?)?.apply(&self.out_proj)
    }
}

/// Convolution and scan in one direction.
#[derive(Clone, Debug)]
struct Branch {
    conv: CausalConv,
    x_proj: Linear,
    dt_proj: Linear,
    dt_bias: Tensor,
    a_log: Tensor,
    d: Tensor,
    rank: usize,
    reverse: bool,
}

impl Branch {
    fn new(n_channels: usize, rank: usize, reverse: bool, vb: &Builder) -> Result<Self> {
        let name = |plain: &str| if reverse { format!("{plain}_b") } else { plain.to_owned() };
        let dt = vb.pp(name("dt_proj"));
        // new weights: decays from 1 to 16, first steps from 0.001 to 0.1, both even in the logarithm
        let decays = Init::Uniform { lo: 0., up: 16f64.ln() };
        let steps = Init::Uniform { lo: 0.001f64.ln(), up: 0.1f64.ln() };
        let a_log = if reverse { "A_b_log" } else { "A_log" };
        Ok(Self {
            conv: CausalConv::new(n_channels, TAPS, vb.pp(name("conv1d")))?,
            x_proj: Linear::new(n_channels, rank + 2 * STATES, vb.pp(name("x_proj")))?,
            dt_proj: Linear::new(rank, n_channels, dt.clone())?,
            dt_bias: dt.get(n_channels, "bias", steps)?,
            a_log: vb.get((n_channels, STATES), a_log, decays)?,
            d: vb.get(n_channels, &name("D"), Init::Const(1.))?,
            rank,
            reverse,
        })
    }

    fn run(&self, xs: &Tensor) -> Result<Inside> {
        let ops = self.x_proj.ops();
        let convolution = silu(ops, &self.conv.forward(xs, self.reverse)?)?;
        let projected = convolution.apply(&self.x_proj)?;
        let deltas = projected.narrow(D::Minus1, 0, self.rank)?.apply(&self.dt_proj)?;
        let inputs = projected.narrow(D::Minus1, self.rank, 2 * STATES)?.contiguous()?;
        let scan = SelectiveScan {
            xs: convolution.clone(),
            deltas: deltas.clone(),
            inputs: inputs.clone(),
            a: self.a_log.exp()?.neg()?,
            d: self.d.clone(),
            delta_bias: self.dt_bias.clone(),
        };
        let scan = scan.run(ops, self.reverse)?;
        Ok(Inside { convolution, deltas, inputs, scan })
    }
}
