//! Images blurred by a Gaussian, as `nilearn.image.smooth_img` does it.
//!
//! Source: nilearn 0.14 over `scipy.ndimage.gaussian_filter1d(mode="reflect", truncate=4)`.

use super::Grid;

/// The kernel reaches this many standard deviations.
const TRUNCATE: f64 = 4.0;

/// A Gaussian of some width along each axis of a grid.
#[derive(Clone, Debug)]
pub struct Smoother {
    shape: [usize; 3],
    /// Half of each kernel, from its middle outwards; empty where nothing is blurred.
    kernels: [Vec<f64>; 3],
}

impl Smoother {
    /// Full width at half maximum in mm along each voxel axis; 0 leaves an axis alone.
    pub fn new(grid: &Grid, fwhm_mm: [f64; 3]) -> Self {
        let zooms = grid.affine.zooms();
        let kernels = std::array::from_fn(|axis| {
            let sigma = fwhm_mm[axis] / ((8.0 * std::f64::consts::LN_2).sqrt() * zooms[axis]);
            if sigma > 0.0 { half_kernel(sigma) } else { Vec::new() }
        });
        Self { shape: grid.shape, kernels }
    }

    /// Blurs an image, x fastest, in place. Values that are not finite count as 0.
    pub fn apply(&self, image: &mut [f64]) {
        image.iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = 0.0);
        let strides = [1, self.shape[0], self.shape[0] * self.shape[1]];
        let (mut padded, mut line) = (Vec::<f64>::new(), Vec::<f64>::new());
        for (axis, kernel) in self.kernels.iter().enumerate().filter(|(_, k)| !k.is_empty()) {
            let (n, stride, radius) = (self.shape[axis], strides[axis], kernel.len() - 1);
            let places: Vec<usize> =
                (0..n + 2 * radius).map(|i| reflected(i as isize - radius as isize, n)).collect();
            for start in (0..image.len()).filter(|start| start / stride % n == 0) {
                line.clear();
                line.extend(image[start..].iter().step_by(stride).take(n));
                padded.clear();
                padded.extend(places.iter().map(|&place| line[place]));
                for (i, to) in image[start..].iter_mut().step_by(stride).take(n).enumerate() {
                    let middle = i + radius;
                    let pairs = kernel.iter().enumerate().skip(1);
                    let sides = pairs.map(|(d, w)| w * (padded[middle - d] + padded[middle + d]));
                    *to = kernel[0] * padded[middle] + sides.sum::<f64>();
                }
            }
        }
    }
}

fn half_kernel(sigma: f64) -> Vec<f64> {
    let radius = (TRUNCATE * sigma + 0.5) as usize;
    let half: Vec<f64> = (0..=radius).map(|d| (-0.5 * (d as f64 / sigma).powi(2)).exp()).collect();
    let total = half[0] + 2.0 * half[1..].iter().sum::<f64>();
    half.iter().map(|w| w / total).collect()
}

/// The position that a mirror beyond the ends shows, the edge voxel twice.
fn reflected(position: isize, n: usize) -> usize {
    let folded = position.rem_euclid(2 * n as isize) as usize;
    folded.min(2 * n - 1 - folded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Affine;

    #[test]
    fn blurring_keeps_the_sum_and_a_constant() {
        let rows = [
            [2.0, 0.0, 0.0, 0.0],
            [0.0, 3.0, 0.0, 0.0],
            [0.0, 0.0, 1.0, 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ];
        let grid = Grid { shape: [7, 4, 1], affine: Affine::new(rows).unwrap() };
        let smoother = Smoother::new(&grid, [6.0, 6.0, 0.0]);
        let mut image: Vec<f64> = (0..28).map(|i| f64::from(i % 5)).collect();
        image[3] = f64::NAN;
        let sum: f64 = image.iter().filter(|x| x.is_finite()).sum();
        smoother.apply(&mut image);
        assert!((image.iter().sum::<f64>() - sum).abs() < 1e-12 * sum);
        let mut flat = vec![5.0; 28];
        smoother.apply(&mut flat);
        assert!(flat.iter().all(|x| (x - 5.0).abs() < 1e-14));
    }

    #[test]
    fn edges_are_shown_twice() {
        let shown: Vec<usize> = (-3..6).map(|i| reflected(i, 3)).collect();
        assert_eq!(shown, [2, 1, 0, 0, 1, 2, 2, 1, 0]);
    }
}
