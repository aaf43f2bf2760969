//! BrainLM, which is two unrelated networks under one name: tokens of regions × time, and a masked
//! autoencoder of the window as a picture (Ortega Caro et al. 2024).
//!
//! Their checkpoints are told apart by their tensor names and never mixed.

mod config;
mod encoder;
mod image;
mod image_decoder;
mod masking;
mod region;
mod region_decoder;
mod square;
#[cfg(test)]
mod tests;
mod weights;

use candle_core::{DType, Result, Tensor};

pub use config::{BrainLmNetwork, ImageConfig, RegionTimeConfig};
pub(crate) use encoder::rows;
pub use encoder::{BrainLm, BrainLmConfig, Features};
pub use image::{ImageMae, position_table as image_positions};
pub use image_decoder::ImageDecoder;
pub use masking::Masking;
pub use region::{RegionTime, position_table as region_positions};
pub use region_decoder::RegionTimeDecoder;
pub use square::{SCALE, row_order, square};
pub(crate) use weights::{DECODES, has_decoder};

/// How far a reconstruction is from the truth, over what was hidden.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// Mean squared error.
    pub mse: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// 1 − mean squared error over the hidden values' variance.
    pub r2: f64,
}

impl Loss {
    /// Over the values whose `hidden` is 1; all three of one shape.
    pub fn new(predicted: &Tensor, truth: &Tensor, hidden: &Tensor) -> Result<Self> {
        let wide = |xs: &Tensor| xs.to_dtype(DType::F64);
        let (predicted, truth, hidden) = (wide(predicted)?, wide(truth)?, wide(hidden)?);
        let mean = |xs: Tensor| -> Result<f64> {
            let sum = (xs * &hidden)?.sum_all()?.to_scalar::<f64>()?;
            Ok(sum / hidden.sum_all()?.to_scalar::<f64>()?)
        };
        let gap = (&predicted - &truth)?;
        let (mse, mae) = (mean(gap.sqr()?)?, mean(gap.abs()?)?);
        let centre = mean(truth.clone())?;
        let variance = mean((truth - centre)?.sqr()?)?;
        Ok(Self { mse, mae, r2: 1. - mse / variance })
    }
}
