//! What other series explain, taken out.
//!
//! Source: nilearn 0.14 `signal.clean`: an orthonormal basis of the confounds by pivoted QR, and
//! the share of the signals in it subtracted; cosine drifts as `create_cosine_drift`.

use ndarray::{Array1, Array2, Axis, concatenate};

use crate::clean::{column_deviations, column_means, project_out};

/// Columns shorter than this after the others are out are copies of them: 100 units of rounding.
const COPY: f64 = 100.0 * f64::EPSILON;

/// A correlation above this says that a drift is already among the confounds.
const SAME_DRIFT: f64 = 0.9;

/// Takes the confounds out of the signals; both `(n_frames, n_columns)`.
pub(super) fn regress(signals: &mut Array2<f64>, confounds: Array2<f64>, standardize: bool) {
    let scaled = if standardize { zscored(confounds) } else { by_peak(confounds) };
    project_out(&basis(scaled), signals);
}

fn zscored(confounds: Array2<f64>) -> Array2<f64> {
    let deviations = column_deviations(&confounds).mapv(|x| if x < f64::EPSILON { 1.0 } else { x });
    (&confounds - &column_means(&confounds)) / &deviations
}

fn by_peak(confounds: Array2<f64>) -> Array2<f64> {
    let peaks = confounds.fold_axis(Axis(0), 0.0, |peak: &f64, x| x.abs().max(*peak));
    confounds / peaks.mapv(|x| if x == 0.0 { 1.0 } else { x })
}

/// An orthonormal basis of the columns, the longest remainder first.
///
/// Each remainder is made orthogonal twice: rounding of the first time is gone after the second,
/// so that copies of columns stay far below the limit.
fn basis(mut columns: Array2<f64>) -> Array2<f64> {
    let (n_frames, n_columns) = columns.dim();
    let mut kept: Vec<Array1<f64>> = Vec::new();
    let mut left: Vec<usize> = (0..n_columns).collect();
    while kept.len() < n_frames && !left.is_empty() {
        let norm = |column: usize| columns.column(column).dot(&columns.column(column)).sqrt();
        let norms = left.iter().map(|&column| norm(column)).enumerate();
        let Some((place, longest)) = norms.max_by(|a, b| a.1.total_cmp(&b.1)) else { break };
        if longest.is_nan() || longest <= COPY {
            break;
        }
        let chosen = columns.column(left.swap_remove(place)).to_owned() / longest;
        for &column in &left {
            let mut rest = columns.column_mut(column);
            for _ in 0..2 {
                for direction in kept.iter().chain([&chosen]) {
                    let share = direction.dot(&rest);
                    rest.scaled_add(-share, direction);
                }
            }
        }
        kept.push(chosen);
    }
    let views: Vec<_> = kept.iter().map(|column| column.view().insert_axis(Axis(1))).collect();
    if views.is_empty() {
        return Array2::zeros((n_frames, 0));
    }
    concatenate(Axis(1), &views).expect("columns of one length")
}

/// Slow cosines up to a frequency, `(n_frames, n_cosines)`: the drifts a high-pass takes out.
pub(super) fn cosine_drifts(n_frames: usize, high_pass: f64, t_r: f64) -> Array2<f64> {
    let n = n_frames as f64;
    let n_cosines = n_cosine_drifts(n_frames, high_pass, t_r);
    Array2::from_shape_fn((n_frames, n_cosines), |(t, k)| {
        (2.0 / n).sqrt() * (std::f64::consts::PI / n * (t as f64 + 0.5) * (k + 1) as f64).cos()
    })
}

/// How many cosines are slower than a frequency in Hz.
pub(super) fn n_cosine_drifts(n_frames: usize, high_pass: f64, t_r: f64) -> usize {
    let n = n_frames as f64;
    // As the times of the first and last frame give it, to the last bit.
    let step = (n - 1.0) * t_r / (n - 1.0);
    ((2.0 * n * high_pass * step).floor() as usize).min(n_frames.saturating_sub(1))
}

/// The confounds with the drifts behind them, unless one of them already is a drift.
pub(super) fn with_drifts(
    confounds: Option<&Array2<f64>>,
    drifts: Array2<f64>,
) -> Option<Array2<f64>> {
    let Some(confounds) = confounds else {
        return (drifts.ncols() > 0).then_some(drifts);
    };
    let (a, b) = (unit(drifts.clone()), unit(confounds.clone()));
    if a.t().dot(&b).iter().any(|&r| r > SAME_DRIFT) {
        return Some(confounds.clone());
    }
    Some(concatenate(Axis(1), &[confounds.view(), drifts.view()]).expect("equal frames"))
}

/// Centred columns of length one; a constant becomes NaN, which no correlation exceeds.
fn unit(columns: Array2<f64>) -> Array2<f64> {
    let centred = &columns - &column_means(&columns);
    let norms = centred.mapv(|x| x * x).sum_axis(Axis(0)).mapv(f64::sqrt);
    centred / norms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confounds() -> Array2<f64> {
        Array2::from_shape_fn((20, 4), |(t, c)| match c {
            0 => (t as f64 * 0.7).sin(),
            1 => t as f64,
            2 => 3.0 * t as f64 + 2.0 * (t as f64 * 0.7).sin(),
            _ => 3.0,
        })
    }

    #[test]
    fn what_is_left_is_orthogonal_and_copies_count_once() {
        let basis = basis(zscored(confounds()));
        assert_eq!(basis.dim(), (20, 2));
        let mut signals =
            Array2::from_shape_fn((20, 3), |(t, v)| ((t * t * 7 + v * 13) % 23) as f64);
        regress(&mut signals, confounds(), true);
        let shares = zscored(confounds()).t().dot(&signals);
        assert!(shares.iter().all(|x| x.abs() < 1e-10), "{shares}");
    }

    #[test]
    fn drifts_are_orthonormal_and_not_added_twice() {
        let drifts = cosine_drifts(60, 0.02, 2.0);
        assert_eq!(drifts.ncols(), 4);
        let gram = drifts.t().dot(&drifts);
        assert!((&gram - &Array2::<f64>::eye(4)).iter().all(|x| x.abs() < 1e-12));
        let once = with_drifts(None, drifts.clone()).unwrap();
        assert_eq!(with_drifts(Some(&once), drifts.clone()).unwrap().ncols(), 4);
        let motion = Array2::from_shape_fn((60, 1), |(t, _)| (t * t % 7) as f64);
        assert_eq!(with_drifts(Some(&motion), drifts).unwrap().ncols(), 5);
        assert_eq!(cosine_drifts(60, 0.001, 2.0).ncols(), 0);
    }
}
