//! Which frames of a run a model sees at once.

use ndarray::{Array2, ArrayView2, Axis, Slice, concatenate};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where windows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WindowPolicy {
    /// One, in the middle of the run.
    Centre,
    /// At a fixed stride from the start, with one more at the end where frames would be left over.
    Tiled {
        /// Frames from the start of one window to that of the next.
        stride: usize,
    },
    /// One, at the start of the run.
    First,
    /// One after the other from the start; frames that do not fill a window are dropped.
    Whole {
        /// The most windows; absent: all there are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<usize>,
    },
    /// At random places that depend on the seed only.
    Random {
        /// How many.
        n: usize,
        /// What decides the places.
        seed: u64,
    },
}

/// Padding at the end of a run that is shorter than a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PadPolicy {
    /// No padding: the run is refused.
    Refuse,
    /// The mean of its frames.
    MeanFrame,
    /// Itself, from its start.
    Repeat,
    /// Zeros.
    Zeros,
    /// Zeros that the encoder's mask hides.
    Masked,
}

/// Windows of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowsConfig {
    /// Frames in a window.
    pub n_frames: usize,
    /// Where windows lie.
    pub policy: WindowPolicy,
    /// Padding of runs that are shorter than a window.
    pub pad: PadPolicy,
}

/// One window.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Its first frame in the run.
    pub first_frame: usize,
    /// `(n_frames, n_series)`.
    pub values: Array2<f64>,
    /// How many frames, from the first on, are of the run; the others fill up.
    pub n_real: usize,
}

impl WindowsConfig {
    /// First frames of the windows of a run that is long enough.
    ///
    /// ```
    /// use scan::{PadPolicy, WindowPolicy, WindowsConfig};
    ///
    /// let policy = WindowPolicy::Tiled { stride: 200 };
    /// let windows = WindowsConfig { n_frames: 200, policy, pad: PadPolicy::Refuse };
    /// assert_eq!(windows.first_frames(490)?, [0, 200, 290]);
    /// # Ok::<(), scan::Error>(())
    /// ```
    pub fn first_frames(&self, n_run_frames: usize) -> Result<Vec<usize>> {
        let size = self.n_frames;
        if size == 0 {
            return Err(Error::Setting { field: "n_frames", found: 0.0, expected: "at least 1" });
        }
        let Some(last) = n_run_frames.checked_sub(size) else {
            let (task, found) = ("a window", n_run_frames);
            return Err(Error::TooFewFrames { task, found, expected: size });
        };
        Ok(match self.policy {
            WindowPolicy::Centre => vec![last / 2],
            WindowPolicy::First => vec![0],
            WindowPolicy::Whole { at_most } => {
                let n = (n_run_frames / size).min(at_most.unwrap_or(usize::MAX)).max(1);
                (0..n).map(|window| window * size).collect()
            }
            WindowPolicy::Tiled { stride: 0 } => {
                let expected = "at least 1";
                return Err(Error::Setting { field: "stride", found: 0.0, expected });
            }
            WindowPolicy::Tiled { stride } => {
                let mut starts: Vec<usize> = (0..=last).step_by(stride).collect();
                if starts.last().is_some_and(|&start| start + size < n_run_frames) {
                    starts.push(last);
                }
                starts
            }
            WindowPolicy::Random { n, seed } => {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                (0..n).map(|_| random.random_range(0..=last)).collect()
            }
        })
    }

    /// Cuts the windows out of a run's series, filled up where the run is too short.
    pub fn cut(&self, series: ArrayView2<f64>) -> Result<Vec<Window>> {
        let n_real = series.nrows();
        if n_real < self.n_frames && n_real > 0 && self.pad != PadPolicy::Refuse {
            let values = self.filled(series);
            return Ok(vec![Window { first_frame: 0, values, n_real }]);
        }
        let starts = self.first_frames(n_real)?;
        let window = |first_frame: usize| Window {
            first_frame,
            values: series
                .slice_axis(Axis(0), Slice::from(first_frame..first_frame + self.n_frames))
                .to_owned(),
            n_real: self.n_frames,
        };
        Ok(starts.into_iter().map(window).collect())
    }

    fn filled(&self, series: ArrayView2<f64>) -> Array2<f64> {
        let (n, width) = series.dim();
        let shape = (self.n_frames - n, width);
        let fill = match self.pad {
            PadPolicy::Zeros | PadPolicy::Masked | PadPolicy::Refuse => Array2::zeros(shape),
            PadPolicy::Repeat => Array2::from_shape_fn(shape, |(t, v)| series[[t % n, v]]),
            PadPolicy::MeanFrame => {
                let mean = series.sum_axis(Axis(0)) / n as f64;
                Array2::from_shape_fn(shape, |(_, v)| mean[v])
            }
        };
        concatenate(Axis(0), &[series, fill.view()]).expect("equal numbers of series")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(n_frames: usize, policy: WindowPolicy, pad: PadPolicy) -> WindowsConfig {
        WindowsConfig { n_frames, policy, pad }
    }

    #[test]
    fn windows_lie_where_their_policy_says() {
        let at = |policy| config(4, policy, PadPolicy::Refuse).first_frames(11).unwrap();
        assert_eq!(at(WindowPolicy::Centre), [3]);
        assert_eq!(at(WindowPolicy::Tiled { stride: 4 }), [0, 4, 7]);
        assert_eq!(at(WindowPolicy::Tiled { stride: 7 }), [0, 7]);
        assert_eq!(at(WindowPolicy::First), [0]);
        assert_eq!(at(WindowPolicy::Whole { at_most: None }), [0, 4]);
        assert_eq!(at(WindowPolicy::Whole { at_most: Some(1) }), [0]);
        let random = |seed| at(WindowPolicy::Random { n: 20, seed });
        assert_eq!(random(1), random(1));
        assert_ne!(random(1), random(2));
        assert!(random(3).iter().all(|start| *start <= 7));
        assert!(config(12, WindowPolicy::Centre, PadPolicy::Refuse).first_frames(11).is_err());
        let still = WindowPolicy::Tiled { stride: 0 };
        assert!(config(4, still, PadPolicy::Refuse).first_frames(11).is_err());
    }

    #[test]
    fn short_runs_are_filled_up_as_asked_or_refused() {
        let run = ndarray::array![[1.0, 10.0], [3.0, 30.0]];
        let cut = |pad| config(5, WindowPolicy::Centre, pad).cut(run.view());
        let first = |pad| {
            let windows = cut(pad).unwrap();
            assert_eq!((windows.len(), windows[0].n_real), (1, 2));
            windows[0].values.column(0).to_vec()
        };
        assert_eq!(first(PadPolicy::MeanFrame), [1.0, 3.0, 2.0, 2.0, 2.0]);
        assert_eq!(first(PadPolicy::Repeat), [1.0, 3.0, 1.0, 3.0, 1.0]);
        assert_eq!(first(PadPolicy::Zeros), [1.0, 3.0, 0.0, 0.0, 0.0]);
        let error = cut(PadPolicy::Refuse).unwrap_err().to_string();
        assert_eq!(error, "a window needs at least 5 frames, found 2");
    }

    #[test]
    fn a_window_holds_the_frames_it_names() {
        let run = Array2::from_shape_fn((9, 2), |(t, v)| (10 * t + v) as f64);
        let windows = config(3, WindowPolicy::Tiled { stride: 4 }, PadPolicy::Refuse);
        for window in windows.cut(run.view()).unwrap() {
            assert_eq!(window.values[[0, 1]], (10 * window.first_frame + 1) as f64);
            assert_eq!((window.values.nrows(), window.n_real), (3, 3));
        }
    }
}
