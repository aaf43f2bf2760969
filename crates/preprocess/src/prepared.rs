//! One scan between its preparation and its tokens: what an encoder is shown, and what it makes of it.
use std::ops::Range;

use encoder::{FrozenEncoder, InputShape, WindowTokens};
use ndarray::{Array1, Array2};
use scan::{ImageQualityMetrics, PadPolicy};

use crate::{
    Cut, Data, Error, Fitted, Recording, Result, StoredSeries,
    seen::{Frames, Seen},
    volumes::{Volumes, cut_volumes},
};

/// A scan's windows, ready to be encoded.
#[derive(Clone, Debug, PartialEq)]
pub struct PreparedScan {
    /// Each of the input's dimensions, row-major.
    pub windows: Vec<Vec<f32>>,
    /// Frames of each.
    window_frames: usize,
    /// Of a window that is not full, where the encoder's mask hides the rest: its real frames.
    masked: Vec<Option<usize>>,
    /// The frames of the file in them.
    pub seen: Seen,
    /// Frames of the scan as it was prepared.
    pub n_frames: usize,
    /// Seconds between two of them.
    pub t_r_s: f64,
    /// Mean framewise displacement in mm of each window, where it is known of all.
    pub fd_mm: Option<Vec<f64>>,
    /// Of the whole scan.
    pub fd_mean_mm: Option<f64>,
    /// The largest of a frame.
    pub fd_max_mm: Option<f64>,
    /// Parcels that the scan has no data of.
    pub n_lost: usize,
    /// Of the whole scan, as it was read.
    pub quality: ImageQualityMetrics,
}

impl PreparedScan {
    /// The windows of a recording as its steps left it; where an onset is given, one from there on, or the
    /// window of an event there.
    ///
    /// # Panics
    /// Where nothing was made of its file: the chain of steps is checked before a recording is opened.
    pub fn of(data: Data, recording: &Recording, cut: &Cut, onset_s: Option<f64>) -> Result<Self> {
        match data {
            Data::Scan => unreachable!("the chain of steps was checked"),
            Data::Series(series) => Self::of_series(*series, recording, cut, onset_s),
            Data::Volumes(volumes) => Self::of_volumes(*volumes, recording, cut, onset_s),
        }
    }

    fn of_volumes(
        volumes: Volumes,
        scan: &Recording,
        cut: &Cut,
        onset_s: Option<f64>,
    ) -> Result<Self> {
        let Volumes { config, run, quality } = volumes;
        let run = config.scaled(run)?;
        let fd_mm = scan.displacement(run.n_frames())?;
        let (n, t_r_s) = (run.n_frames(), run.t_r());
        let kept = scan.kept.as_ref().map(|kept| kept.frames.as_slice());
        let frames = Frames::of(n, t_r_s, kept, t_r_s);
        // volumes are cut where the windows of their frames' numbers lie
        let numbers = Array2::from_shape_fn((n, 1), |(frame, _)| frame as f64);
        let windows = cut.windows(numbers.view(), &frames, &scan.events_s, onset_s)?;
        Ok(Self {
            masked: masked(&windows, cut),
            windows: cut_volumes(&run, cut, &windows),
            window_frames: cut.n_frames(),
            seen: Seen::of(&real_frames(&windows), &frames),
            n_frames: run.n_frames(),
            t_r_s: run.t_r(),
            fd_mean_mm: fd_mm.as_ref().and_then(|it| scan::mean_displacement(&it.to_vec())),
            fd_max_mm: fd_mm.as_ref().and_then(|it| scan::largest_displacement(&it.to_vec())),
            fd_mm: fd_mm.and_then(|fd_mm| of_windows(&fd_mm, &windows)),
            n_lost: 0,
            quality,
        })
    }

    fn of_series(
        series: StoredSeries,
        scan: &Recording,
        cut: &Cut,
        onset_s: Option<f64>,
    ) -> Result<Self> {
        let frames = series.facts.frames();
        let windows = cut.windows(series.values.view(), &frames, &scan.events_s, onset_s)?;
        let fd_mm = series.fd_mm.and_then(|fd_mm| of_windows(&fd_mm, &windows));
        let masked = masked(&windows, cut);
        let flat = windows.iter().map(|it| it.values.iter().map(|&x| x as f32).collect());
        Ok(Self {
            windows: flat.collect(),
            window_frames: cut.n_frames(),
            masked,
            seen: Seen::of(&real_frames(&windows), &frames),
            n_frames: series.facts.n_frames,
            t_r_s: series.facts.t_r_s,
            fd_mm,
            fd_mean_mm: series.facts.fd_mean_mm,
            fd_max_mm: series.facts.fd_max_mm,
            n_lost: series.facts.lost.len(),
            quality: series.facts.quality,
        })
    }

    /// With its windows as `step` changes them.
    pub fn through(mut self, step: &dyn Fitted) -> Result<Self> {
        if !step.changes_windows() {
            return Ok(self);
        }
        for window in &mut self.windows {
            let shape = (self.window_frames, window.len() / self.window_frames.max(1));
            let values = Array2::from_shape_vec(shape, std::mem::take(window));
            let values = step.window(values.expect("a window has whole frames"))?;
            *window = values.iter().copied().collect();
        }
        Ok(self)
    }

    /// What the model is shown: the encoder's tokens, or the windows where none is frozen.
    pub fn tokens(
        &self,
        encoder: Option<&FrozenEncoder>,
        input: InputShape,
        coordinates: Option<&[[f64; 3]]>,
    ) -> Result<WindowTokens> {
        match encoder {
            Some(encoder) => self.encoded(encoder, coordinates),
            None if self.masked.iter().any(Option::is_some) => {
                let problem = "the scan is shorter than a window, and an encoder under training reads \
                               whole windows";
                Err(Error::StageInput { stage: "encode", problem: problem.to_owned() })
            }
            None => Ok(as_they_are(&self.windows, input)),
        }
    }

    fn encoded(
        &self,
        encoder: &FrozenEncoder,
        coordinates: Option<&[[f64; 3]]>,
    ) -> Result<WindowTokens> {
        let mut all: Option<WindowTokens> = None;
        for (window, masked) in self.windows.iter().zip(&self.masked) {
            let tokens = match masked {
                Some(n_real) => encoder.encode_short(window, coordinates, *n_real)?,
                None => encoder.encode(window, coordinates)?,
            };
            match &mut all {
                None => all = Some(tokens),
                Some(all) => all.append(tokens),
            }
        }
        all.ok_or_else(|| {
            let problem = "the scan has no window".to_owned();
            Error::StageInput { stage: "encode", problem }
        })
    }
}

/// The real frames of windows that a mask completes.
fn masked(windows: &[scan::Window], cut: &Cut) -> Vec<Option<usize>> {
    let masks = cut.pad() == PadPolicy::Masked;
    let of =
        |window: &scan::Window| (masks && window.n_real < cut.n_frames()).then_some(window.n_real);
    windows.iter().map(of).collect()
}

/// The frames of each window without those that fill it up.
fn real_frames(windows: &[scan::Window]) -> Vec<Range<usize>> {
    windows.iter().map(|it| it.first_frame..it.first_frame + it.n_real).collect()
}

/// Mean framewise displacement of each window; `None` where a window has no frame with a value.
fn of_windows(fd_mm: &Array1<f64>, windows: &[scan::Window]) -> Option<Vec<f64>> {
    let of = |window: &scan::Window| {
        let frames = window.first_frame..window.first_frame + window.n_real;
        scan::mean_displacement(&fd_mm.slice(ndarray::s![frames]).to_vec())
    };
    windows.iter().map(of).collect()
}

/// Sizes of a scan's tokens, or of its windows.
pub fn shape(tokens: &WindowTokens, input: InputShape) -> Vec<usize> {
    let WindowTokens { n_windows, n_tokens, dim, .. } = *tokens;
    let item = if n_tokens == 0 { input.dims() } else { vec![n_tokens, dim] };
    [&[n_windows], item.as_slice()].concat()
}

/// The windows themselves, for an encoder that is trained with the model; their mean frames stand
/// for them.
fn as_they_are(windows: &[Vec<f32>], input: InputShape) -> WindowTokens {
    let dims = input.dims();
    let (n_frames, width) = (dims[0], dims[1..].iter().product::<usize>());
    let mean = |window: &Vec<f32>| -> Vec<f32> {
        let frames = || window.chunks_exact(width);
        (0..width).map(|at| frames().map(|it| it[at]).sum::<f32>() / n_frames as f32).collect()
    };
    WindowTokens {
        n_windows: windows.len(),
        n_tokens: 0,
        dim: width,
        values: windows.concat(),
        means: windows.iter().flat_map(mean).collect(),
        classes: None,
    }
}
