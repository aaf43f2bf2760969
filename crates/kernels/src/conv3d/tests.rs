use super::*;
use crate::testing::noise;

/// By the definition, voxel by voxel.
fn plain(conv: &Conv3d, xs: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let [n_z, n_y, n_x] = conv.size;
    let [out_z, out_y, out_x] = conv.out_size();
    let at = |item: usize, [z, y, x]: [usize; 3], channel: usize| {
        let z = inside(z, n_z)?;
        let place = ((item * n_z + z) * n_y + inside(y, n_y)?) * n_x + inside(x, n_x)?;
        Some(xs[place * conv.n_in + channel])
    };
    let mut ys = Vec::new();
    for item in 0..conv.batch {
        for voxel in 0..out_z * out_y * out_x {
            let start = [voxel / out_x / out_y, voxel / out_x % out_y, voxel % out_x];
            let start = start.map(|i| i * conv.stride);
            for out in 0..conv.n_out {
                let mut sum = bias[out];
                for k in 0..27 {
                    let [z, y, x] = start;
                    let place = [z + k / 9, y + k / 3 % 3, x + k % 3];
                    for channel in 0..conv.n_in {
                        let w = weight[(out * 27 + k) * conv.n_in + channel];
                        sum += w * at(item, place, channel).unwrap_or(0.);
                    }
                }
                ys.push(sum);
            }
        }
    }
    ys
}

fn cases() -> impl Iterator<Item = Conv3d> {
    let sizes = [[1, 1, 1], [2, 5, 4], [7, 6, 9]];
    let all = sizes.into_iter().flat_map(|size| [(size, 1), (size, 2)]);
    all.map(|(size, stride)| Conv3d { batch: 2, size, n_in: 3, n_out: 5, stride })
}

#[test]
fn the_result_is_that_of_the_definition() {
    for conv in cases() {
        let (xs, w, b) = (noise(1, conv.n_inputs()), noise(2, conv.n_weights()), noise(3, 5));
        let mut ys = vec![0.; conv.n_outputs()];
        conv.forward(&xs, &w, Some(&b), &mut ys);
        let expected = plain(&conv, &xs, &w, &b);
        assert_eq!(ys.len(), expected.len());
        for (y, e) in ys.iter().zip(expected) {
            assert!((y - e).abs() < 1e-13, "{conv:?}: {y} {e}");
        }
    }
}

#[test]
fn odd_volumes_shrink_to_the_larger_half() {
    let conv = Conv3d { batch: 1, size: [109, 91, 91], n_in: 1, n_out: 1, stride: 2 };
    assert_eq!(conv.out_size(), [55, 46, 46]);
}

/// A convolution is linear in its input and in its kernel, so `Σ dy · y` taken apart must be the
/// products with the gradients, exactly.
#[test]
fn gradients_are_those_of_a_bilinear_form() {
    for conv in cases() {
        let (xs, w, b) = (noise(1, conv.n_inputs()), noise(2, conv.n_weights()), noise(3, 5));
        let dys: Vec<f64> = noise(4, conv.n_outputs());
        let along = |xs: &[f64], w: &[f64], b: &[f64]| -> f64 {
            plain(&conv, xs, w, b).iter().zip(&dys).map(|(y, d)| y * d).sum()
        };
        let dxs = conv.backward_input(&w, &dys);
        let (dw, db) = conv.backward_parameters(&xs, &dys);
        let none = [0.; 5];
        for at in 0..conv.n_inputs() {
            let mut unit = vec![0.; conv.n_inputs()];
            unit[at] = 1.;
            assert!((along(&unit, &w, &none) - dxs[at]).abs() < 1e-12, "{conv:?} x[{at}]");
        }
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        assert!((along(&xs, &w, &none) - dot(&dw, &w)).abs() < 1e-11, "{conv:?}");
        for at in (0..conv.n_weights()).step_by(7) {
            let mut unit = vec![0.; conv.n_weights()];
            unit[at] = 1.;
            assert!((along(&xs, &unit, &none) - dw[at]).abs() < 1e-12, "{conv:?} w[{at}]");
        }
        let without = along(&xs, &w, &none);
        assert!((along(&xs, &w, &b) - without - dot(&db, &b)).abs() < 1e-11);
    }
}
