//! The frames of a run that belong to one event.

use std::{fmt, ops::Range};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Ties closer than this many frames go up: a repetition time kept in 32 bits is off by as much.
const TIE: f64 = 1e-6;

/// Consecutive frames of a scan, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameRange {
    /// The first of them.
    pub first: usize,
    /// The last of them.
    pub last: usize,
}

impl fmt::Display for FrameRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.first, self.last)
    }
}

/// Where a window lies relative to its event, and how long it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowConfig {
    /// Seconds from the onset of the event to the window: the delay of blood flow.
    pub shift_s: f64,
    /// Frames in a window.
    pub n_frames: usize,
}

impl WindowConfig {
    /// The frames of an event: `n_frames` from the frame nearest to onset plus shift, halves up.
    ///
    /// `onset_s` and `t_r` are in seconds. A window that leaves the run is refused.
    ///
    /// ```
    /// let window = scan::WindowConfig { shift_s: 5.0, n_frames: 9 };
    /// assert_eq!(window.frames(15.0, 2.5, 121)?, 8..17);
    /// # Ok::<(), scan::Error>(())
    /// ```
    pub fn frames(&self, onset_s: f64, t_r: f64, n_run_frames: usize) -> Result<Range<usize>> {
        if self.n_frames == 0 {
            return Err(Error::Setting { field: "n_frames", found: 0.0, expected: "at least 1" });
        }
        if !self.shift_s.is_finite() {
            let (field, found) = ("shift_s", self.shift_s);
            return Err(Error::Setting { field, found, expected: "a finite number of seconds" });
        }
        if !onset_s.is_finite() {
            return Err(Error::WindowOnset { found: onset_s });
        }
        if !(t_r.is_finite() && t_r > 0.0) {
            return Err(Error::BadRepetitionTime { found: t_r });
        }
        // Saturates for absurd numbers, which the bounds below refuse.
        let first = ((onset_s + self.shift_s) / t_r + 0.5 + TIE).floor() as i64;
        let end = first.saturating_add_unsigned(self.n_frames as u64);
        if first < 0 || end.unsigned_abs() > n_run_frames as u64 {
            let run_s = n_run_frames as f64 * t_r;
            let last = end.saturating_sub(1);
            return Err(Error::Window { onset_s, first, last, n_run_frames, run_s });
        }
        Ok(first as usize..end as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nii::{read_bold, testing::fixture};

    #[test]
    fn all_96_blocks_of_twelve_runs_lie_inside_them() {
        let window = WindowConfig { shift_s: 5.0, n_frames: 9 };
        let mut reader =
            csv::ReaderBuilder::new().delimiter(b'\t').from_path(fixture("events.tsv")).unwrap();
        let mut n_windows = 0;
        let mut last_end = [0; 13];
        for event in reader.deserialize::<(usize, f64, f64, String)>() {
            let (run, onset, duration, _) = event.unwrap();
            let bold = read_bold(fixture(&format!("run{run:03}/bold_25mm.nii.gz"))).unwrap();
            let frames = window.frames(onset, bold.t_r(), bold.n_frames()).unwrap();
            assert_eq!(frames.len(), 9);
            // each block has windows of its own, and its window ends as its response does
            assert!(frames.start >= last_end[run], "run {run} onset {onset}");
            assert!((frames.end as f64 * bold.t_r() - (onset + 5.0 + duration)).abs() <= 1.25);
            last_end[run] = frames.end;
            n_windows += 1;
        }
        assert_eq!(n_windows, 96);
    }

    #[test]
    fn halves_go_up_also_when_the_repetition_time_was_kept_in_32_bits() {
        let window = WindowConfig { shift_s: 0.0, n_frames: 1 };
        assert_eq!(window.frames(5.0, 2.0, 9).unwrap(), 3..4);
        assert_eq!(window.frames(4.9, 2.0, 9).unwrap(), 2..3);
        assert_eq!(window.frames(2.0, f64::from(0.8_f32), 9).unwrap(), 3..4);
    }

    #[test]
    fn a_window_that_leaves_the_run_names_onset_and_run() {
        let window = WindowConfig { shift_s: 5.0, n_frames: 9 };
        assert!(window.frames(275.0, 2.5, 121).is_ok());
        let error = window.frames(277.5, 2.5, 121).unwrap_err().to_string();
        let expected = "window at onset 277.5 s takes frames 113 to 121, \
                        but the run has 121 frames (302.5 s)";
        assert_eq!(error, expected);
        assert!(window.frames(-10.0, 2.5, 121).is_err());
        for absurd in [f64::NAN, f64::INFINITY, 1e300, -1e300] {
            assert!(window.frames(absurd, 2.5, 121).is_err(), "{absurd}");
        }
        assert!(WindowConfig { shift_s: 5.0, n_frames: usize::MAX }.frames(0.0, 2.5, 121).is_err());
        assert!(WindowConfig { shift_s: 5.0, n_frames: 0 }.frames(0.0, 2.5, 121).is_err());
    }
}
