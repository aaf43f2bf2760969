//! A window as the square picture that BrainLM's image model reads.

use candle_core::{Result, Tensor, bail};

use super::ImageConfig;

/// What normalised signals are divided by; a constant of the published notebooks, whose origin they
/// do not say.
pub const SCALE: f64 = 5.643_085_5;
/// What surrounds the window.
const PAD: f64 = -1.;

/// Parcels by ascending Y coordinate; those on one plane keep the atlas's order.
///
/// Few planes hold all parcels, so an unstable sort gives another picture.
pub fn row_order(coordinates: &[[f64; 3]]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..coordinates.len() as u32).collect();
    order.sort_by(|&a, &b| coordinates[a as usize][1].total_cmp(&coordinates[b as usize][1]));
    order
}

/// Signals `(batch, n_parcels, n_frames)` in the atlas's order to pictures `(batch, size, size)`:
/// parcels are rows, by `order` `(n_parcels)`, volumes are columns, −1 around.
pub fn square(signals: &Tensor, order: &Tensor, config: &ImageConfig) -> Result<Tensor> {
    let (batch, n_parcels, n_frames) = signals.dims3()?;
    if order.dims() != [n_parcels] {
        bail!("signals of {n_parcels} parcels, {} coordinates", order.elem_count())
    }
    let size = config.image_size;
    let (rows, columns) = margins(n_parcels, n_frames, size)?;
    let xs = (signals.index_select(order, 1)? / SCALE)?;
    let pad = |shape: (usize, usize, usize)| {
        Tensor::full(PAD, shape, signals.device())?.to_dtype(signals.dtype())
    };
    let side = pad((batch, n_parcels, columns))?;
    let xs = Tensor::cat(&[&side, &xs, &side], 2)?;
    let end = pad((batch, rows, size))?;
    Tensor::cat(&[&end, &xs, &end], 1)
}

/// Rows above and below, and columns left and right, of a window in its square.
pub(super) fn margins(n_parcels: usize, n_frames: usize, size: usize) -> Result<(usize, usize)> {
    let fits = |n: usize| n > 0 && n <= size && (size - n).is_multiple_of(2);
    if !fits(n_parcels) || !fits(n_frames) {
        bail!(
            "a window of {n_frames} frames and {n_parcels} parcels, this BrainLM reads an even number \
             of each up to {size}"
        )
    }
    Ok(((size - n_parcels) / 2, (size - n_frames) / 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn parcels_on_one_plane_keep_their_order() {
        let at = |y: f64| [0., y, 0.];
        assert_eq!(row_order(&[at(2.), at(-1.), at(2.), at(-1.)]), [1, 3, 0, 2]);
    }

    #[test]
    fn a_window_stands_in_the_middle_of_its_square() -> Result<()> {
        let config = ImageConfig { image_size: 6, patch_size: 3, ..ImageConfig::tiny() };
        let signals = (Tensor::new(&[[[1f64, 2.], [3., 4.]]], &Device::Cpu)? * SCALE)?;
        let picture = square(&signals, &Tensor::new(&[1u32, 0], &Device::Cpu)?, &config)?;
        let picture = picture.squeeze(0)?.to_vec2::<f64>()?;
        let near = |row: &[f64], expected: [f64; 6]| {
            row.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12)
        };
        assert!(near(&picture[1], [-1.; 6]));
        assert!(near(&picture[2], [-1., -1., 3., 4., -1., -1.]), "{picture:?}");
        assert!(near(&picture[3], [-1., -1., 1., 2., -1., -1.]), "{picture:?}");
        let odd = Tensor::zeros((1, 2, 3), candle_core::DType::F64, &Device::Cpu)?;
        let error = square(&odd, &Tensor::new(&[1u32, 0], &Device::Cpu)?, &config).unwrap_err();
        assert!(error.to_string().contains("3 frames"), "{error}");
        Ok(())
    }
}
