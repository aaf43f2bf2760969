//! What a model is shown of one scan, and how the scans of a batch are stacked.

use std::borrow::Borrow;

use candle_core::Tensor;
use encoder::{EncoderInput, InputShape};
use ndarray::ArrayD;
use nn::Device;

use crate::Result;

/// One preprocessed scan or picture: an array of the dimensions of the encoder's input, or several
/// windows of them, `(n_windows, …)`.
pub type Medium = ArrayD<f32>;

/// Stacks the scans of a batch, `(batch, n_media, n_windows, …)`. A medium is one window, or several
/// `(n_windows, …)`; shorter scans are filled up with windows that their mask calls unreal. Rows with
/// fewer scans than the longest are filled with zeros, which their text never sees. Absent: no row
/// has any.
pub fn encoder_input<M: Borrow<Medium>>(
    media: &[&[M]],
    input: InputShape,
    device: &Device,
) -> Result<Option<EncoderInput>> {
    let dims = input.dims();
    let size: usize = dims.iter().product();
    let most = media.iter().map(|row| row.len()).max().unwrap_or(0);
    if most == 0 {
        return Ok(None);
    }
    let n_windows = |medium: &M| match medium.borrow().shape() {
        shape if shape == dims => Ok(1),
        [n, shape @ ..] if *shape == dims && *n > 0 => Ok(*n),
        found => Err(crate::Error::Medium { found: found.to_vec(), expected: input }),
    };
    let counts = media.iter().flat_map(|row| row.iter()).map(n_windows);
    let counts = counts.collect::<Result<Vec<usize>>>()?;
    let longest = counts.iter().copied().max().unwrap_or(1);
    let mut values = Vec::with_capacity(media.len() * most * longest * size);
    let mut real = Vec::with_capacity(media.len() * most * longest);
    let mut counts = counts.iter();
    for row in media {
        for (medium, n) in row.iter().zip(counts.by_ref()) {
            values.extend(medium.borrow().iter());
            values.resize(values.len() + (longest - n) * size, 0.);
            real.extend((0..longest).map(|window| u8::from(window < *n)));
        }
        let missing = (most - row.len()) * longest;
        values.resize(values.len() + missing * size, 0.);
        real.resize(real.len() + missing, 0);
    }
    let shape = [&[media.len(), most, longest], dims.as_slice()].concat();
    let stacked = EncoderInput::new(Tensor::from_vec(values, shape, device.place())?);
    if longest == 1 {
        return Ok(Some(stacked));
    }
    let shape = (media.len(), most, longest);
    Ok(Some(stacked.with_mask(Tensor::from_vec(real, shape, device.place())?)))
}
