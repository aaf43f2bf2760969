//! Cubic B-splines through the values of an image.
//!
//! Source: Unser, Aldroubi and Eden, "B-spline signal processing", IEEE Trans. Signal Processing 41
//! (1993); mirror boundary without repeated edge, as `scipy.ndimage.spline_filter(mode="mirror")`.

/// The pole of the recursive filter that turns values into coefficients.
const POLE: f64 = -0.267_949_192_431_122_7;

/// Values of an image of `shape`, x fastest, to coefficients of its spline, in place.
pub(super) fn coefficients(image: &mut [f64], shape: [usize; 3]) {
    let strides = [1, shape[0], shape[0] * shape[1]];
    let mut line = Vec::new();
    for axis in 0..3 {
        let (n, stride) = (shape[axis], strides[axis]);
        if n < 2 {
            continue;
        }
        for start in 0..image.len() {
            if start / stride % n != 0 {
                continue;
            }
            line.clear();
            line.extend(image[start..].iter().step_by(stride).take(n));
            filter(&mut line);
            image[start..].iter_mut().step_by(stride).zip(&line).for_each(|(to, &x)| *to = x);
        }
    }
}

/// The recursive filter forwards and backwards, with the sums of the mirrored line at its ends.
fn filter(line: &mut [f64]) {
    let last = line.len() - 1;
    let far = POLE.powi(last as i32);
    let mut power = POLE;
    let mut first = line[0] + far * line[last];
    for &x in &line[1..last] {
        first += (power + far * far / power) * x;
        power *= POLE;
        // The rest is below the last bit, and the quotient would be of zeros.
        if power.abs() < 1e-40 {
            break;
        }
    }
    line[0] = first / (1.0 - far * far);
    for i in 1..=last {
        line[i] += POLE * line[i - 1];
    }
    line[last] = POLE / (POLE * POLE - 1.0) * (line[last] + POLE * line[last - 1]);
    for i in (0..last).rev() {
        line[i] = POLE * (line[i + 1] - line[i]);
    }
    let gain = (1.0 - POLE) * (1.0 - 1.0 / POLE);
    for x in line {
        *x *= gain;
    }
}

/// Shares of the four coefficients around a point, `x` behind the second of them.
pub(super) fn weights(x: f64) -> [f64; 4] {
    let z = 1.0 - x;
    let first = z * z * z / 6.0;
    let second = (x * x * (x - 2.0) * 3.0 + 4.0) / 6.0;
    let third = (z * z * (z - 2.0) * 3.0 + 4.0) / 6.0;
    [first, second, third, 1.0 - first - second - third]
}

/// The position inside an axis of `n` that a mirror at its ends shows.
pub(super) fn mirrored(position: isize, n: usize) -> usize {
    if n == 1 {
        return 0;
    }
    let last = n as isize - 1;
    let folded = position.rem_euclid(2 * last);
    folded.min(2 * last - folded) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spline_goes_through_its_values() {
        let shape = [5, 4, 3];
        let values: Vec<f64> = (0..60).map(|i| f64::from(i * i * 7 % 31) - 11.0).collect();
        let mut spline = values.clone();
        coefficients(&mut spline, shape);
        let side = |n: usize, at: usize| {
            std::array::from_fn::<_, 3, _>(|k| mirrored(at as isize + k as isize - 1, n))
        };
        let share = [1.0 / 6.0, 4.0 / 6.0, 1.0 / 6.0];
        for (index, value) in values.iter().enumerate() {
            let [x, y, z] = [index % 5, index / 5 % 4, index / 20];
            let mut sum = 0.0;
            for (k, wz) in side(3, z).into_iter().zip(share) {
                for (j, wy) in side(4, y).into_iter().zip(share) {
                    for (i, wx) in side(5, x).into_iter().zip(share) {
                        sum += wx * wy * wz * spline[i + 5 * (j + 4 * k)];
                    }
                }
            }
            assert!((sum - value).abs() < 1e-12, "{index}: {sum} {value}");
        }
    }

    #[test]
    fn weights_sum_to_one_and_mirrors_fold() {
        for x in [0.0, 0.25, 0.999] {
            assert!((weights(x).iter().sum::<f64>() - 1.0).abs() < 1e-15);
        }
        let folded: Vec<usize> = (-3..7).map(|i| mirrored(i, 3)).collect();
        assert_eq!(folded, [1, 2, 1, 0, 1, 2, 1, 0, 1, 2]);
        assert_eq!(mirrored(-5, 1), 0);
    }
}
