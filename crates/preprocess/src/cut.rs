//! How windows lie in a scan: at the events of a table, or one after another.
use ndarray::{ArrayView2, s};
use scan::{PadPolicy, Window, WindowConfig, WindowPolicy, WindowsConfig};
use serde::Serialize;

use crate::{Result, seen::Frames};

/// How windows lie in a scan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Cut {
    /// One at each event of a table.
    Events(WindowConfig),
    /// By the frames of the scan alone.
    Sliding(WindowsConfig),
}

impl Cut {
    /// Frames of a window.
    pub fn n_frames(&self) -> usize {
        match self {
            Self::Events(config) => config.n_frames,
            Self::Sliding(config) => config.n_frames,
        }
    }

    /// What becomes of scans that are shorter than a window.
    pub fn pad(&self) -> PadPolicy {
        match self {
            Self::Events(_) => PadPolicy::Refuse,
            Self::Sliding(config) => config.pad,
        }
    }

    /// How they lie at events, where they do.
    pub fn events(&self) -> Option<&WindowConfig> {
        match self {
            Self::Events(config) => Some(config),
            Self::Sliding(_) => None,
        }
    }

    /// How they lie in whole scans, where they do.
    pub fn sliding(&self) -> Option<&WindowsConfig> {
        match self {
            Self::Events(_) => None,
            Self::Sliding(config) => Some(config),
        }
    }

    /// Windows of a scan of so many frames, in which lie so many events; none where it is too short and that
    /// is refused.
    pub fn n_windows(&self, n_frames: usize, n_events: usize) -> Option<usize> {
        match self {
            Self::Events(_) => Some(n_events),
            Self::Sliding(config) => match config.first_frames(n_frames) {
                Ok(first) => Some(first.len()),
                Err(_) => (config.pad != PadPolicy::Refuse).then_some(1),
            },
        }
    }

    /// The windows of a series. Where an onset is given, one: of the event, or from the frame nearest to the
    /// onset on. Onsets are in seconds from the first frame.
    pub(crate) fn windows(
        &self,
        series: ArrayView2<'_, f64>,
        of: &Frames<'_>,
        events_s: &[f64],
        onset_s: Option<f64>,
    ) -> Result<Vec<Window>> {
        match (self, onset_s) {
            (Self::Events(config), onset_s) => {
                let one = onset_s.as_slice();
                let onsets_s = if onset_s.is_some() { one } else { events_s };
                let window = |&onset_s: &f64| {
                    let frames = of.event(config, onset_s, series.nrows())?;
                    let values = series.slice(s![frames.clone(), ..]).to_owned();
                    Ok(Window { first_frame: frames.start, n_real: values.nrows(), values })
                };
                onsets_s.iter().map(window).collect()
            }
            (Self::Sliding(config), None) => Ok(config.cut(series)?),
            (Self::Sliding(config), Some(onset_s)) => {
                let one = WindowConfig { shift_s: 0.0, n_frames: config.n_frames };
                let frames = of.event(&one, onset_s, series.nrows())?;
                let whole = WindowsConfig { policy: WindowPolicy::Centre, ..config.clone() };
                let mut windows = whole.cut(series.slice(s![frames.clone(), ..]))?;
                windows.iter_mut().for_each(|window| window.first_frame = frames.start);
                Ok(windows)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    /// Frame `n` holds `n`.
    fn series() -> Array2<f64> {
        Array2::from_shape_fn((8, 1), |(frame, _)| frame as f64)
    }

    fn first(cut: &Cut, of: &Frames<'_>, onset_s: Option<f64>) -> Vec<f64> {
        let windows = cut.windows(series().view(), of, &[0.0, 6.0], onset_s).unwrap();
        windows.iter().map(|it| it.values[[0, 0]]).collect()
    }

    #[test]
    fn an_event_begins_a_window_after_its_delay() {
        let events = Cut::Events(WindowConfig { shift_s: 4.0, n_frames: 3 });
        let whole = Frames::of(8, 2.0, None, 2.0);
        // 4 s and 10 s are frames 2 and 5 of 2 s
        assert_eq!(first(&events, &whole, None), [2.0, 5.0]);
        assert_eq!(first(&events, &whole, Some(2.0)), [3.0]);
        let said = events.windows(series().view(), &whole, &[8.0], None).unwrap_err().to_string();
        assert!(said.contains("window at onset 8 s takes frames 6 to 8"), "{said}");
        // of ten frames the fourth and the fifth were left out: 10 s is the fourth that is there
        let kept = [0, 1, 2, 5, 6, 7, 8, 9];
        assert_eq!(first(&events, &Frames::of(10, 2.0, Some(&kept), 2.0), None), [2.0, 3.0]);
        assert_eq!(events.n_windows(8, 2), Some(2));
    }

    #[test]
    fn a_sliding_window_begins_where_it_is_asked_for() {
        let config = WindowsConfig {
            n_frames: 3,
            policy: WindowPolicy::Tiled { stride: 3 },
            pad: PadPolicy::Refuse,
        };
        let (sliding, whole) = (Cut::Sliding(config), Frames::of(8, 2.0, None, 2.0));
        assert_eq!(first(&sliding, &whole, None), [0.0, 3.0, 5.0]);
        assert_eq!(first(&sliding, &whole, Some(2.0)), [1.0]);
        assert_eq!((sliding.n_windows(8, 2), sliding.n_windows(2, 2)), (Some(3), None));
    }
}
