//! Images on other grids beside nilearn, and what must hold for any image.

use ndarray::Array3;
use proptest::prelude::*;

use super::*;
use crate::{Affine, Volume};

fn image() -> Volume {
    let data = Array3::from_shape_fn((6, 5, 4), |(x, y, z)| {
        ((x * x * 7 + y * 13 + z * 5 + x * y * z) % 23) as f32
    });
    let rows = [
        [-2.0, 0.3, 0.0, 10.0],
        [0.2, 2.5, -0.4, -20.0],
        [0.0, 0.5, 3.0, 5.0],
        [0.0, 0.0, 0.0, 1.0],
    ];
    Volume::new(data, Affine::new(rows).unwrap()).unwrap()
}

fn target() -> Grid {
    let rows =
        [[1.5, 0.0, 0.1, 0.0], [0.0, 1.7, 0.0, -18.0], [0.2, 0.0, 2.0, 6.0], [0.0, 0.0, 0.0, 1.0]];
    Grid { shape: [7, 6, 5], affine: Affine::new(rows).unwrap() }
}

// nilearn 0.14.1: image.resample_img(img, target, (7, 6, 5), interpolation=…) on the same integers
#[test]
fn resampled_images_agree_with_nilearn() {
    let cases = [
        (Interpolation::Nearest, [8.0, 9.0, 1374.0], 140),
        (Interpolation::Linear, [9.307_506_561, 11.727_313_042, 1_443.690_718_4], 146),
        (Interpolation::Cubic, [8.101_833_344, 12.343_614_578, 1_426.958_179_7], 144),
    ];
    for (interpolation, expected, n_inside) in cases {
        let seen = resample(&image(), &target(), interpolation).unwrap();
        let sum: f64 = seen.data().iter().map(|&x| f64::from(x)).sum();
        let found = [seen.data()[[3, 2, 1]].into(), seen.data()[[4, 3, 2]].into(), sum];
        for (found, expected) in found.into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6 * expected, "{interpolation:?} {found}");
        }
        assert_eq!(seen.data().iter().filter(|x| **x != 0.0).count(), n_inside);
    }
}

// the same with a NaN at (3, 2, 2)
#[test]
fn a_hole_stays_where_it_is() {
    let mut data = image().into_data();
    data[[3, 2, 2]] = f32::NAN;
    let holed = Volume::new(data, image().affine().clone()).unwrap();
    let seen = resample(&holed, &target(), Interpolation::Cubic).unwrap();
    assert_eq!(seen.data().iter().filter(|x| x.is_nan()).count(), 4);
    let sum: f64 = seen.data().iter().filter(|x| !x.is_nan()).map(|&x| f64::from(x)).sum();
    assert!((sum - 1_364.649_564_445).abs() < 1e-3, "{sum}");
}

// nilearn 0.14.1: image.smooth_img(img, [4, 6, 8])
#[test]
fn blurred_images_agree_with_nilearn() {
    let mut blurred = image().x_fastest();
    Smoother::new(image().grid(), [4.0, 6.0, 8.0]).apply(&mut blurred);
    let blurred = Volume::from_x_fastest(&blurred, image().grid().clone()).unwrap();
    assert!((blurred.data()[[0, 0, 0]] - 7.366_964).abs() < 1e-5);
    assert!((blurred.data()[[3, 2, 1]] - 10.442_673).abs() < 1e-5);
}

#[test]
fn a_grid_of_other_voxel_sizes_covers_the_same_world() {
    let grid = grid_of_zooms(image().grid(), [1.0, 2.0, 3.0]).unwrap();
    for (found, expected) in grid.affine.zooms().into_iter().zip([1.0, 2.0, 3.0]) {
        assert!((found - expected).abs() < 1e-12);
    }
    assert_eq!(grid.affine.apply([0.0; 3]), image().affine().apply([0.0; 3]));
    let last = |grid: &Grid| grid.shape.map(|n| n as f64 - 1.0);
    let far = |grid: &Grid| grid.affine.apply(last(grid))[0];
    assert!(far(&grid) <= far(image().grid()) + 1e-9);
}

proptest! {
    #[test]
    fn the_same_grid_changes_nothing(
        values in prop::collection::vec(-100.0_f64..100.0, 60),
        interpolation in prop::sample::select(vec![
            Interpolation::Nearest, Interpolation::Linear, Interpolation::Cubic,
        ]),
    ) {
        let grid = Grid { shape: [5, 4, 3], affine: target().affine };
        // through an affine that is the same in the world but not in its bits
        let mut rows = *grid.affine.rows();
        rows[0][0] += 1e-13;
        let again = Grid { shape: grid.shape, affine: Affine::new(rows).unwrap() };
        let seen = Resampler::new(&grid, &again, interpolation).apply(&values);
        for (a, b) in seen.iter().zip(&values) {
            prop_assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
    }
}
