//! Holes of an image filled from around them, so that an interpolation does not spread them.
//!
//! Source: nilearn 0.14 `masking.extrapolate_out_mask`, two rounds.

/// Voxels that are not finite become the mean of their finite face neighbours, twice; what is
/// left becomes 0.
pub(super) fn fill_nonfinite(image: &[f64], shape: [usize; 3]) -> Vec<f64> {
    let mut filled = image.to_vec();
    for x in &mut filled {
        if !x.is_finite() {
            *x = f64::NAN;
        }
    }
    for _ in 0..2 {
        let before = filled.clone();
        for (index, value) in filled.iter_mut().enumerate() {
            if value.is_nan() {
                *value = mean_of_neighbours(&before, index, shape).unwrap_or(f64::NAN);
            }
        }
    }
    filled.iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = 0.0);
    filled
}

fn mean_of_neighbours(image: &[f64], index: usize, shape: [usize; 3]) -> Option<f64> {
    let strides = [1, shape[0], shape[0] * shape[1]];
    let (mut sum, mut n) = (0.0, 0_u32);
    for (n_axis, stride) in shape.into_iter().zip(strides) {
        let place = index / stride % n_axis;
        let behind = (place > 0).then(|| image[index - stride]);
        let ahead = (place + 1 < n_axis).then(|| image[index + stride]);
        for x in [behind, ahead].into_iter().flatten().filter(|x| !x.is_nan()) {
            sum += x;
            n += 1;
        }
    }
    (n > 0).then(|| sum / f64::from(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_rounds_reach_two_voxels_deep() {
        let nan = f64::NAN;
        let line = [nan, nan, nan, 4.0, 8.0, f64::INFINITY];
        assert_eq!(fill_nonfinite(&line, [6, 1, 1]), [0.0, 4.0, 4.0, 4.0, 8.0, 8.0]);
    }
}
