//! Frozen weights in the blocks of a GGUF file, kept so and multiplied by candle's kernels.
//!
//! Those round the rows of the input to bytes, a scale for each block, as ggml does; the sum over a
//! block is exact, the rest runs in `f32`.

use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor};

/// `x Wᵀ`.
pub(super) struct BlocksProduct(pub(super) Arc<QTensor>);

impl CustomOp1 for BlocksProduct {
    fn name(&self) -> &'static str {
        "blocks_linear"
    }

    fn cpu_fwd(&self, xs: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.0.cpu_fwd(xs, layout)
    }

    fn cuda_fwd(&self, xs: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.0.cuda_fwd(xs, layout)
    }

    /// The gradient of the product with the widened matrix.
    fn bwd(&self, _: &Tensor, _: &Tensor, dys: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(dys.contiguous()?.matmul(&self.0.dequantize(dys.device())?)?))
    }
}
