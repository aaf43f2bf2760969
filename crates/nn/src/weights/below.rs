//! A part of a source by itself.

use std::sync::Arc;

use candle_core::{DType, Result, Shape, Tensor};
use candle_nn::Init;

use super::Source;
use crate::{LowRank, Matrix};

/// What a source holds below a place, under the names that it has there.
pub struct Below {
    source: Arc<dyn Source>,
    place: String,
}

impl Below {
    /// Names begin with `place` and a point in `source`.
    pub fn new(source: impl Source + 'static, place: &str) -> Self {
        Self { source: Arc::new(source), place: place.to_owned() }
    }

    fn full(&self, name: &str) -> String {
        format!("{}.{name}", self.place)
    }
}

impl Source for Below {
    fn tensor(&self, name: &str, shape: Shape, init: Init, dtype: DType) -> Result<Tensor> {
        self.source.tensor(&self.full(name), shape, init, dtype)
    }

    fn matrix(
        &self,
        name: &str,
        shape: (usize, usize),
        init: Init,
        dtype: DType,
    ) -> Result<Matrix> {
        self.source.matrix(&self.full(name), shape, init, dtype)
    }

    fn low_rank(&self, path: &str, shape: (usize, usize), dtype: DType) -> Result<Option<LowRank>> {
        self.source.low_rank(&self.full(path), shape, dtype)
    }
}
