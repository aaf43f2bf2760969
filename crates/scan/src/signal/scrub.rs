//! Frames that motion spoiled, bridged by a cubic spline so that a filter can run over them.
//!
//! Source: nilearn 0.14 `signal._interpolate_volumes` over `scipy.interpolate.CubicSpline`
//! (not-a-knot ends).

use std::ops::Range;

use ndarray::{Array2, s};

use super::spline::Spline;
use crate::error::{Error, Result};

/// What the bridge looks like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bridge {
    pub(super) t_r: f64,
    /// Whether frames before the first and after the last kept one are made up too.
    pub(super) extrapolate: bool,
    /// Whether to replace the frames that nilearn 0.14 replaces: i where frame n − 1 − i is kept.
    pub(super) mirrored: bool,
}

impl Bridge {
    /// Series with their censored frames replaced, and without those that cannot be. The kept
    /// frames are `kept` positions of the input, ascending.
    pub(super) fn over(&self, series: &Array2<f64>, kept: &[usize]) -> Result<Array2<f64>> {
        let n_frames = series.nrows();
        if kept.len() < 2 {
            let task = "interpolating censored frames";
            return Err(Error::TooFewFrames { task, found: kept.len(), expected: 2 });
        }
        let inside = self.frames_inside(n_frames, kept);
        let mut is_kept = vec![false; n_frames];
        for &frame in kept {
            is_kept[frame] = true;
        }
        let replaced: Vec<usize> = (0..n_frames)
            .filter(|&i| if self.mirrored { is_kept[n_frames - 1 - i] } else { !is_kept[i] })
            .collect();
        let known: Vec<usize> = inside.clone().collect();
        let spline = Spline::new(kept.iter().map(|&frame| frame as f64 * self.t_r).collect());
        let mut bridged = series.clone();
        for (column, mut to) in series.columns().into_iter().zip(bridged.columns_mut()) {
            let values: Vec<f64> = kept.iter().map(|&frame| column[frame]).collect();
            let slopes = spline.slopes(&values);
            for &frame in replaced.iter().filter(|frame| inside.contains(frame)) {
                to[frame] = spline.at(&values, &slopes, frame as f64 * self.t_r);
            }
        }
        if self.mirrored {
            // There, only frames that were replaced by "not known" are dropped.
            let dropped = |frame: &usize| replaced.contains(frame) && !inside.contains(frame);
            let rows: Vec<usize> = (0..n_frames).filter(|frame| !dropped(frame)).collect();
            return Ok(bridged.select(ndarray::Axis(0), &rows));
        }
        Ok(bridged.slice(s![known[0]..=known[known.len() - 1], ..]).to_owned())
    }

    /// Frames the spline says something about.
    fn frames_inside(&self, n_frames: usize, kept: &[usize]) -> Range<usize> {
        if self.extrapolate { 0..n_frames } else { kept[0]..kept[kept.len() - 1] + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: Bridge = Bridge { t_r: 0.5, extrapolate: false, mirrored: false };

    fn cubic(frame: usize) -> f64 {
        let t = frame as f64;
        0.25 * t.powi(3) - 2.0 * t * t + t - 7.0
    }

    #[test]
    fn a_cubic_is_bridged_exactly_and_ends_are_cut_or_made_up() {
        let mut series = Array2::from_shape_fn((12, 1), |(t, _)| cubic(t));
        let truth = series.clone();
        for frame in [0, 4, 5, 11] {
            series[[frame, 0]] = 999.0;
        }
        let kept = [1, 2, 3, 6, 7, 8, 9, 10];
        let bridged = RIGHT.over(&series, &kept).unwrap();
        assert_eq!(bridged.nrows(), 10);
        let all = Bridge { extrapolate: true, ..RIGHT }.over(&series, &kept).unwrap();
        for (found, expected) in all.iter().zip(&truth) {
            assert!((found - expected).abs() < 1e-10, "{all}");
        }
        assert!((bridged[[3, 0]] - truth[[4, 0]]).abs() < 1e-10);
    }

    #[test]
    fn the_slip_of_nilearn_leaves_mirrored_frames_as_they_are() {
        let mut series = Array2::from_shape_fn((10, 1), |(t, _)| cubic(t));
        for frame in [4, 5] {
            series[[frame, 0]] = 999.0;
        }
        let kept = [0, 1, 2, 3, 6, 7, 8, 9];
        assert!((RIGHT.over(&series, &kept).unwrap()[[4, 0]] - cubic(4)).abs() < 1e-10);
        let slip = Bridge { mirrored: true, ..RIGHT }.over(&series, &kept).unwrap();
        assert_eq!(slip[[4, 0]], 999.0);
    }

    #[test]
    fn two_and_three_kept_frames_make_a_line_and_a_parabola() {
        let series = Array2::from_shape_fn((5, 1), |(t, _)| (t * t) as f64);
        let line = RIGHT.over(&series, &[0, 4]).unwrap();
        assert_eq!(line.column(0).to_vec(), [0.0, 4.0, 8.0, 12.0, 16.0]);
        let parabola = RIGHT.over(&series, &[0, 2, 4]).unwrap();
        assert!((&parabola - &series).iter().all(|x| x.abs() < 1e-12));
        assert!(RIGHT.over(&series, &[2]).is_err());
    }
}
