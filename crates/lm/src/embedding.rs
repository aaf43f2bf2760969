//! Tables that ids and positions are looked up in.

use candle_core::{Result, Tensor, bail};
use candle_nn::Init;
use nn::{Builder, Linear, Matrix};

use crate::Step;

/// How Hugging Face draws a new embedding.
const INIT: Init = Init::Randn { mean: 0., stdev: 0.02 };

/// One row for each id.
#[derive(Clone, Debug)]
pub(crate) struct Embedding(Matrix);

impl Embedding {
    /// Reads `weight`, `(vocab_size, dim)`.
    pub(crate) fn new(vocab_size: usize, dim: usize, vb: Builder) -> Result<Self> {
        Ok(Self(vb.matrix((vocab_size, dim), "weight", INIT)?))
    }

    /// Ids `(batch, n_tokens)` to tokens `(batch, n_tokens, dim)`.
    pub(crate) fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let (batch, n_tokens) = ids.dims2()?;
        self.0.rows(&ids.flatten_all()?)?.reshape((batch, n_tokens, self.0.dims()?.1))
    }

    /// The output head: these rows where it is tied, its own, read as `weight`, where it is not.
    pub(crate) fn head(&self, tied: bool, vb: Builder) -> Result<Linear> {
        if tied {
            return Ok(Linear::tied(self.0.clone()));
        }
        let (vocab_size, dim) = self.0.dims()?;
        Linear::new(dim, vocab_size, vb)
    }
}

/// One learned row for each position.
#[derive(Clone, Debug)]
pub(crate) struct Positions {
    rows: Matrix,
    offset: usize,
}

impl Positions {
    /// Reads `weight`, `(n_positions + offset, dim)`; position `i` is row `i + offset`.
    pub(crate) fn new(n_positions: usize, dim: usize, offset: usize, vb: Builder) -> Result<Self> {
        Ok(Self { rows: vb.matrix((n_positions + offset, dim), "weight", INIT)?, offset })
    }

    /// Tokens `(batch, n_tokens, dim)` with the rows of their positions added. Padding reads the row
    /// before the first position's, as in OPT, or the first where there is none before it.
    pub(crate) fn add(&self, xs: &Tensor, step: &Step) -> Result<Tensor> {
        let (n_rows, _) = self.rows.dims()?;
        let row = |(&position, &real): (&u32, &bool)| {
            let first = self.offset as u32;
            if real { position + first } else { first.saturating_sub(1) }
        };
        let rows: Vec<u32> = step.positions.iter().zip(step.real.iter()).map(row).collect();
        if let Some(&last) = rows.iter().max()
            && last as usize >= n_rows
        {
            let (last, limit) = (last as usize - self.offset, n_rows - self.offset);
            bail!("position {last} lies beyond the model's {limit} positions")
        }
        let n_rows = rows.len();
        let rows = Tensor::from_vec(rows, n_rows, xs.device())?;
        xs + self.rows.rows(&rows)?.reshape(xs.shape())?
    }
}
