//! From candle's storage to plain slices and back.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, WithDType, bail};
use kernels::Real;

use crate::device::count_kernel;

/// The element types of the differentiable layers.
pub(crate) trait Elem: Real + WithDType {}
impl Elem for f32 {}
impl Elem for f64 {}

/// Runs the expression with `$t` standing for the tensor's element type.
macro_rules! by_dtype {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $t = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $t = f64;
                $body
            }
            dtype => candle_core::bail!("this layer works in f32 and f64, not in {dtype:?}"),
        }
    };
}
pub(crate) use by_dtype;

/// The contiguous data behind a storage and its layout.
pub(crate) fn slice<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    count_kernel();
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a layer's kernel needs contiguous data")
    };
    Ok(&storage.as_slice::<T>()?[start..end])
}

/// Runs `f` on the data of a contiguous CPU tensor.
pub(crate) fn with_slice<T: WithDType, R>(tensor: &Tensor, f: impl FnOnce(&[T]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(f(slice(storage, layout)?)),
        _ => bail!("a layer's kernel needs a tensor on the CPU"),
    }
}

/// A new CPU tensor of the given shape, filled by `f`.
pub(crate) fn filled<T: Elem>(like: &Tensor, f: impl FnOnce(&mut [T])) -> Result<Tensor> {
    let mut values = vec![T::ZERO; like.elem_count()];
    f(&mut values);
    Tensor::from_vec(values, like.shape(), like.device())
}
