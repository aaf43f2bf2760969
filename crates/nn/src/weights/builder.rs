//! Hands a layer its tensors by name.

use std::fmt::Display;
use std::sync::Arc;

use candle_core::{DType, Result, Shape, Tensor};
use candle_nn::Init;

use crate::{Device, LowRank, Matrix, Ops};

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
    device: Device,
}

impl Builder {
    /// The root of the source's tree; tensors come in `dtype`, on the CPU and for our kernels.
    pub fn new(source: impl Source + 'static, dtype: DType) -> Self {
        Self { source: Arc::new(source), path: String::new(), dtype, device: Device::default() }
    }

    /// The same place of layers that work on a device. Variables must be made for it too, by
    /// [`Variables::on`](crate::weights::Variables::on).
    pub fn on(&self, device: &Device) -> Self {
        Self { device: device.clone(), ..self.clone() }
    }

    /// Where the layers work.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// By which operations.
    pub fn ops(&self) -> Ops {
        self.device.ops()
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
        let tensor = self.source.tensor(&self.full(name), shape.into(), init, self.dtype)?;
        tensor.to_device(self.device.place())
    }

    /// The weight matrix `name` `(out, in)` at this place.
    pub fn matrix(&self, shape: (usize, usize), name: &str, init: Init) -> Result<Matrix> {
        self.source.matrix(&self.full(name), shape, init, self.dtype)?.on(&self.device)
    }

    /// What is learned beside the matrix `(out, in)` of the layer at this place.
    pub(crate) fn low_rank(&self, shape: (usize, usize)) -> Result<Option<LowRank>> {
        let low_rank = self.source.low_rank(&self.path, shape, self.dtype)?;
        low_rank.map(|it| it.on(self.device.place())).transpose()
    }

    fn full(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}
