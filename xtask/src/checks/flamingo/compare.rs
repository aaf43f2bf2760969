//! Distances between tensors.

use anyhow::{Result, ensure};
use candle_core::{DType, Tensor};

/// Largest absolute difference; only where `real` says so, which marks the first two axes.
pub(in crate::checks) fn gap(
    found: &Tensor,
    expected: &Tensor,
    real: Option<&Tensor>,
) -> Result<f64> {
    ensure!(
        found.dims() == expected.dims(),
        "shape {:?}, recorded {:?}",
        found.dims(),
        expected.dims()
    );
    let mut difference = (found.to_dtype(DType::F64)? - expected.to_dtype(DType::F64)?)?.abs()?;
    if let Some(real) = real {
        let real = real.to_dtype(DType::F64)?.unsqueeze(2)?;
        difference = difference.broadcast_mul(&real)?;
    }
    // a maximum would pass over values that are not numbers
    let sum = difference.sum_all()?.to_scalar::<f64>()?;
    Ok(if sum.is_finite() { difference.max_all()?.to_scalar()? } else { f64::NAN })
}

/// Largest absolute value.
pub(in crate::checks) fn size(tensor: &Tensor) -> Result<f64> {
    Ok(tensor.to_dtype(DType::F64)?.abs()?.max_all()?.to_scalar()?)
}
