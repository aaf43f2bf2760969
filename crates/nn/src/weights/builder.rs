//! Hands a layer its tensors by name.

use std::fmt::Display;
use std::sync::Arc;

use candle_core::{DType, Result, Shape, Tensor};
use candle_nn::Init;

use crate::{LowRank, Matrix};

/// Whoever owns the tensors: variables under training, or constants from a file.
pub trait Source: Send + Sync {
    /// The tensor of this full name; `init` says how to draw it where it is new.
    fn tensor(&self, name: &str, shape: Shape, init: Init, dtype: DType) -> Result<Tensor>;

    /// A weight matrix `(out, in)`, which a source of constants may keep as its file stores it.
    fn matrix(
        &self,
        name: &str,
        shape: (usize, usize),
        init: Init,
        dtype: DType,
    ) -> Result<Matrix> {
        Ok(self.tensor(name, shape.into(), init, dtype)?.into())
    }

    /// What is learned beside the matrix `(out, in)` of the layer at `path`; nothing, if nothing is.
    fn low_rank(
        &self,
        _path: &str,
        _shape: (usize, usize),
        _dtype: DType,
    ) -> Result<Option<LowRank>> {
        Ok(None)
    }
}

impl<S: Source + ?Sized> Source for Arc<S> {
    fn tensor(&self, name: &str, shape: Shape, init: Init, dtype: DType) -> Result<Tensor> {
        (**self).tensor(name, shape, init, dtype)
    }

    fn matrix(
        &self,
        name: &str,
        shape: (usize, usize),
        init: Init,
        dtype: DType,
    ) -> Result<Matrix> {
        (**self).matrix(name, shape, init, dtype)
    }

    fn low_rank(&self, path: &str, shape: (usize, usize), dtype: DType) -> Result<Option<LowRank>> {
        (**self).low_rank(path, shape, dtype)
    }
}

/// A place in a tree of named tensors. A layer is written once and never asks whether its tensors
/// are trained or frozen.
#[derive(Clone)]
pub struct Builder {
    source: Arc<dyn Source>,
    path: String,
    dtype: DType,
}

impl Builder {
    /// The root of the source's tree; tensors come in `dtype`.
    pub fn new(source: impl Source + 'static, dtype: DType) -> Self {
        Self { source: Arc::new(source), path: String::new(), dtype }
    }

    /// The place `name` below this one.
    pub fn pp(&self, name: impl Display) -> Self {
        Self { path: self.full(&name.to_string()), ..self.clone() }
    }

    /// The element type that tensors come in, and that a forward pass works in.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The tensor `name` at this place.
    pub fn get(&self, shape: impl Into<Shape>, name: &str, init: Init) -> Result<Tensor> {
        self.source.tensor(&self.full(name), shape.into(), init, self.dtype)
    }

    /// The weight matrix `name` `(out, in)` at this place.
    pub fn matrix(&self, shape: (usize, usize), name: &str, init: Init) -> Result<Matrix> {
        self.source.matrix(&self.full(name), shape, init, self.dtype)
    }

    /// What is learned beside the matrix `(out, in)` of the layer at this place.
    pub(crate) fn low_rank(&self, shape: (usize, usize)) -> Result<Option<LowRank>> {
        self.source.low_rank(&self.path, shape, self.dtype)
    }

    fn full(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}
