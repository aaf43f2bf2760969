//! Which frames of a scan's file a model is shown, and the seconds that they take.
use std::ops::Range;

use scan::{FrameRange, WindowConfig};
use serde::{Deserialize, Serialize};

use crate::Result;

/// The frames of a file that windows were made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Consecutive frames, ascending; empty where it is not known.
    pub frames: Vec<FrameRange>,
    /// Seconds between two frames of the file.
    t_r_s: f64,
}

/// The frames of a file, and how those that windows are cut of follow from them.
pub struct Frames<'a> {
    /// Frames in the file.
    pub(crate) n: usize,
    /// Seconds between two of them.
    pub(crate) t_r_s: f64,
    /// Those that were kept; absent: all.
    pub(crate) kept: Option<&'a [usize]>,
    /// Seconds between two frames of the windows, where frames were made between frames.
    pub(crate) of_windows_s: f64,
}

impl<'a> Frames<'a> {
    /// `n`: frames of the scan that was read; those that were kept are numbered as in its run, which may
    /// have more.
    pub fn of(n: usize, t_r_s: f64, kept: Option<&'a [usize]>, of_windows_s: f64) -> Self {
        let last = kept.and_then(|kept| kept.last()).map_or(0, |last| last + 1);
        Self { n: n.max(last), t_r_s, kept, of_windows_s }
    }

    /// The frames of the window of an event, of `n` that are there; its onset is in seconds from the first frame.
    pub fn event(&self, config: &WindowConfig, onset_s: f64, n: usize) -> Result<Range<usize>> {
        if self.kept.is_none() {
            return Ok(config.frames(onset_s, self.of_windows_s, n)?);
        }
        let one = WindowConfig { shift_s: 0.0, n_frames: config.n_frames };
        let onset_s = self.without_gaps_s(onset_s + config.shift_s);
        Ok(one.frames(onset_s, self.of_windows_s, n)?)
    }

    /// The second of an onset in series from which frames were left out.
    pub(crate) fn without_gaps_s(&self, onset_s: f64) -> f64 {
        let Some(kept) = self.kept else { return onset_s };
        // the frame nearest to the onset, or the first that is there after it
        let before = kept.partition_point(|&frame| (frame as f64 + 0.5) * self.t_r_s <= onset_s);
        before as f64 * self.t_r_s
    }
}

impl Seen {
    /// What windows of frames were made of.
    pub fn of(windows: &[Range<usize>], of: &Frames<'_>) -> Self {
        let n_kept = of.kept.map_or(of.n, <[usize]>::len);
        let mut is_seen = vec![false; of.n];
        // rounding moves no border of a frame
        let ratio = of.of_windows_s / of.t_r_s;
        for window in windows {
            let start = (window.start as f64 * ratio + 1e-6).floor() as usize;
            let end = (window.end as f64 * ratio - 1e-6).ceil() as usize;
            for frame in start..end.min(n_kept) {
                let in_file = of.kept.map_or(frame, |kept| kept[frame]);
                if let Some(seen) = is_seen.get_mut(in_file) {
                    *seen = true;
                }
            }
        }
        let mut frames: Vec<FrameRange> = Vec::new();
        for frame in (0..of.n).filter(|&frame| is_seen[frame]) {
            match frames.last_mut() {
                Some(range) if range.last + 1 == frame => range.last = frame,
                _ => frames.push(FrameRange { first: frame, last: frame }),
            }
        }
        Self { frames, t_r_s: of.t_r_s }
    }

    /// Onset and duration of what lies from the first to the end of the last of them, in seconds; none
    /// where they are not known. The first frame of the file stands at `start_s`.
    pub fn stretch_s(&self, start_s: f64) -> Option<(f64, f64)> {
        let (first, last) = (self.frames.first()?, self.frames.last()?);
        // headers hold 32 bits: to the millisecond
        let rounded = |seconds: f64| (1e3 * seconds).round() / 1e3;
        let onset_s = rounded(start_s + first.first as f64 * self.t_r_s);
        Some((onset_s, rounded((last.last + 1 - first.first) as f64 * self.t_r_s)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(seen: &Seen) -> Vec<[usize; 2]> {
        seen.frames.iter().map(|it| [it.first, it.last]).collect()
    }

    #[test]
    fn windows_name_the_frames_that_they_hold() {
        let plain = Frames { n: 40, t_r_s: 0.735, kept: None, of_windows_s: 0.735 };
        let tiled = Seen::of(&[0..16, 16..32, 24..40], &plain);
        assert_eq!(ranges(&tiled), [[0, 39]]);
        assert_eq!(tiled.stretch_s(0.0), Some((0.0, 29.4)));
        let centre = Seen::of(std::slice::from_ref(&(12..28)), &plain);
        assert_eq!((ranges(&centre), centre.stretch_s(0.0)), (vec![[12, 27]], Some((8.82, 11.76))));
        let apart = Seen::of(&[30..34, 2..6], &plain);
        assert_eq!(ranges(&apart), [[2, 5], [30, 33]]);
        assert_eq!(apart.stretch_s(0.0), Some((1.47, 23.52)));
        assert_eq!(Seen::default().stretch_s(0.0), None);
        // frames that stand for half a repetition time later than their number says
        assert_eq!(apart.stretch_s(0.3675), Some((1.838, 23.52)));
    }

    #[test]
    fn frames_of_another_rate_are_those_of_the_file() {
        // 40 frames of 0.735 s as 33 of 0.9 s; 10 to 20 of these lie at 9 s to 18 s
        let slower = Frames { n: 40, t_r_s: 0.735, kept: None, of_windows_s: 0.9 };
        let seen = Seen::of(std::slice::from_ref(&(10..20)), &slower);
        assert_eq!(ranges(&seen), [[12, 24]]);
        assert_eq!(ranges(&Seen::of(std::slice::from_ref(&(0..33)), &slower)), [[0, 39]]);
    }

    #[test]
    fn frames_that_were_left_out_were_not_seen() {
        let kept: Vec<usize> = (0..10).filter(|it| ![3, 4].contains(it)).collect();
        let scrubbed = Frames { n: 10, t_r_s: 2.0, kept: Some(&kept), of_windows_s: 2.0 };
        let seen = Seen::of(std::slice::from_ref(&(0..5)), &scrubbed);
        assert_eq!((ranges(&seen), seen.stretch_s(0.0)), (vec![[0, 2], [5, 6]], Some((0.0, 14.0))));
        // the same where the file has only those that were kept
        let censored = Frames::of(8, 2.0, Some(&kept), 2.0);
        assert_eq!(Seen::of(std::slice::from_ref(&(0..5)), &censored), seen);
        assert_eq!(ranges(&Seen::of(std::slice::from_ref(&(6..8)), &censored)), [[8, 9]]);
        // frame 5 is the fourth that is there
        for (onset_s, expected) in [(0.0, 0.0), (4.0, 4.0), (8.0, 6.0), (10.0, 6.0), (12.0, 8.0)] {
            assert_eq!(scrubbed.without_gaps_s(onset_s), expected, "{onset_s}");
        }
    }
}
