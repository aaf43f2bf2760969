//! What happens to every frame of a run before its voxels are taken.

use super::{Grid, Interpolation, Range, Resampler, Smoother};
use crate::{
    error::{Error, Result},
    frames::{Frame, Frames},
};

/// To another grid by a cubic spline within the range of the whole run, then blurred.
pub(crate) struct Prepared {
    resampler: Option<(Resampler, Range)>,
    smoother: Option<Smoother>,
    /// A frame as it is stored, and as it became.
    image: Vec<f64>,
    seen: Vec<f64>,
}

impl Prepared {
    /// Prepares the frames of a run, on `grid` where that is another than theirs; blurred with a
    /// full width at half maximum in mm along each voxel axis. A run on another grid is read once
    /// for its range.
    pub(crate) fn new(
        run: &dyn Frames,
        grid: Option<&Grid>,
        smoothing_fwhm_mm: Option<[f64; 3]>,
    ) -> Result<Self> {
        let mut widths = smoothing_fwhm_mm.into_iter().flatten();
        if let Some(found) = widths.find(|x| !(x.is_finite() && *x >= 0.0)) {
            let (field, expected) = ("smoothing_fwhm_mm", "a finite width in mm, not negative");
            return Err(Error::Setting { field, found, expected });
        }
        let other = grid.filter(|grid| !run.grid().matches(grid));
        let smoother =
            smoothing_fwhm_mm.map(|fwhm| Smoother::new(other.unwrap_or(run.grid()), fwhm));
        let resampler = match other {
            None => None,
            Some(grid) => {
                let resampler = Resampler::new(run.grid(), grid, Interpolation::Cubic);
                Some((resampler, Range::of_run(run)?))
            }
        };
        let is_raw = resampler.is_none() && smoother.is_none();
        let image = vec![0.0; if is_raw { 0 } else { run.grid().n_voxels() }];
        Ok(Self { resampler, smoother, image, seen: Vec::new() })
    }

    /// A frame as it became.
    pub(crate) fn apply<'a>(&'a mut self, frame: Frame<'a>) -> Frame<'a> {
        if self.image.is_empty() {
            return frame;
        }
        frame.read(&mut self.image);
        let seen = match &self.resampler {
            None => &mut self.image,
            Some((resampler, range)) => {
                self.seen = resampler.apply(&self.image);
                range.clip(&mut self.seen);
                &mut self.seen
            }
        };
        if let Some(smoother) = &self.smoother {
            smoother.apply(seen);
        }
        Frame::of(seen)
    }
}
