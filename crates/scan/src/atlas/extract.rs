//! The series of every region of a run, in one pass over its frames.
//!
//! Source: nilearn 0.14 `NiftiLabelsMasker` and `regions.img_to_signals_labels`. Unlike there, a
//! label that was lost on the way is a column of zeros and is reported: an encoder trained on 424
//! parcels needs 424 columns.

use std::ops::Range as Span;

use ndarray::Array2;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Atlas;
use crate::{
    bold::Volume,
    error::{Error, Result},
    frames::Frames,
    geometry::{Grid, Interpolation, Range, Resampler, Smoother},
    series::ParcelSeries,
};

/// How the voxels of a region become one number a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// Arithmetic mean.
    Mean,
    /// The middle value, or the mean of the two in the middle.
    Median,
    /// Sum.
    Sum,
    /// Smallest value.
    Minimum,
    /// Largest value.
    Maximum,
    /// Mean squared distance from the mean, divided by n.
    Variance,
    /// Its square root.
    StandardDeviation,
}

/// On which grid voxels and labels meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkingGrid {
    /// That of the run; labels are resampled, nearest.
    Data,
    /// That of the labels; every frame is resampled by a cubic spline and kept in the range of the
    /// whole run, which takes a second pass over the file.
    Labels,
}

/// How series are taken out of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtractConfig {
    /// On which grid voxels and labels meet.
    pub grid: WorkingGrid,
    /// Full width at half maximum of a blur before, in mm along each voxel axis.
    #[serde(default)]
    pub smoothing_fwhm_mm: Option<[f64; 3]>,
    /// How the voxels of a region become one number.
    pub reduction: Reduction,
    /// Does as the toolkit of BrainLM: voxels and labels are matched by their index whatever the
    /// affines say, and voxels that are NaN are left out of the mean instead of counting as 0.
    #[serde(default)]
    pub brainlm_toolkit_compat: bool,
}

impl Default for ExtractConfig {
    /// Means on the grid of the run.
    fn default() -> Self {
        Self {
            grid: WorkingGrid::Data,
            smoothing_fwhm_mm: None,
            reduction: Reduction::Mean,
            brainlm_toolkit_compat: false,
        }
    }
}

impl Atlas {
    /// Series of all regions, `(n_frames, n_parcels)`. Values that are not finite count as 0; only
    /// voxels where `mask` is not 0 count at all.
    pub fn extract(
        &self,
        run: &dyn Frames,
        config: &ExtractConfig,
        mask: Option<&Volume>,
    ) -> Result<ParcelSeries> {
        let compat = config.brainlm_toolkit_compat;
        if compat && run.grid().shape != self.grid.shape {
            let (found, expected) = (run.grid().shape, self.grid.shape);
            return Err(Error::AtlasShape { scan: run.name(), found, expected });
        }
        let to_labels = config.grid == WorkingGrid::Labels && !compat;
        let grid = if to_labels { &self.grid } else { run.grid() };
        let mut labels = if compat { self.labels.clone() } else { self.on(grid) };
        if let Some(mask) = mask {
            let inside = on_grid(&mask.x_fastest(), mask.grid(), grid);
            labels.iter_mut().zip(inside).filter(|(_, x)| *x == 0.0).for_each(|(l, _)| *l = 0);
        }
        let regions = Regions::new(self, &labels);
        let frames = Prepared::new(run, grid, config)?;
        let mut values = Array2::zeros((run.n_frames(), self.n_parcels()));
        let mut held = vec![0.0; regions.voxels.len()];
        let mut image = Vec::new();
        run.each(&mut |index, frame| {
            if frames.is_raw() {
                frame.read_at(&regions.voxels, &mut held);
            } else {
                image.resize(run.grid().n_voxels(), 0.0);
                frame.read(&mut image);
                let seen = frames.apply(&mut image);
                held.iter_mut().zip(&regions.voxels).for_each(|(to, &voxel)| *to = seen[voxel]);
            }
            let mut row = values.row_mut(index);
            for (column, span) in regions.spans.iter().enumerate() {
                row[column] = if compat {
                    nanmean(&held[span.clone()])
                } else {
                    reduce(&mut held[span.clone()], config.reduction)
                };
            }
            Ok(())
        })?;
        let is_lost = |(parcel, span): (&super::Parcel, &Span<usize>)| {
            span.is_empty().then_some(parcel.label)
        };
        let lost = self.parcels.iter().zip(&regions.spans).filter_map(is_lost).collect();
        Ok(ParcelSeries { values, t_r: run.t_r(), parcels: self.parcels.clone(), lost })
    }

    /// Labels on another grid, x fastest: the nearest voxel's, 0 outside.
    pub fn on(&self, grid: &Grid) -> Vec<i32> {
        let labels: Vec<f64> = self.labels.iter().map(|&label| f64::from(label)).collect();
        on_grid(&labels, &self.grid, grid).into_iter().map(|x| x as i32).collect()
    }
}

fn on_grid(values: &[f64], from: &Grid, to: &Grid) -> Vec<f64> {
    if from.matches(to) {
        return values.to_vec();
    }
    Resampler::new(from, to, Interpolation::Nearest).apply(values)
}

/// The voxels of each parcel, one parcel after the other.
struct Regions {
    voxels: Vec<usize>,
    spans: Vec<Span<usize>>,
}

impl Regions {
    fn new(atlas: &Atlas, labels: &[i32]) -> Self {
        let mut by_parcel = vec![Vec::new(); atlas.n_parcels()];
        for (voxel, label) in labels.iter().enumerate().filter(|(_, label)| **label != 0) {
            if let Ok(parcel) = atlas.parcels.binary_search_by_key(label, |p| p.label) {
                by_parcel[parcel].push(voxel);
            }
        }
        let mut spans = Vec::with_capacity(by_parcel.len());
        let mut voxels = Vec::new();
        for members in by_parcel {
            let start = voxels.len();
            voxels.extend(members);
            spans.push(start..voxels.len());
        }
        Self { voxels, spans }
    }
}

/// What happens to a frame before its voxels are taken.
struct Prepared {
    resampler: Option<(Resampler, Range)>,
    smoother: Option<Smoother>,
}

impl Prepared {
    fn new(run: &dyn Frames, grid: &Grid, config: &ExtractConfig) -> Result<Self> {
        let mut widths = config.smoothing_fwhm_mm.into_iter().flatten();
        if let Some(found) = widths.find(|x| !(x.is_finite() && *x >= 0.0)) {
            let (field, expected) = ("smoothing_fwhm_mm", "a finite width in mm, not negative");
            return Err(Error::Setting { field, found, expected });
        }
        let smoother = config.smoothing_fwhm_mm.map(|fwhm| Smoother::new(grid, fwhm));
        let resampler = if config.brainlm_toolkit_compat || run.grid().matches(grid) {
            None
        } else {
            let resampler = Resampler::new(run.grid(), grid, Interpolation::Cubic);
            Some((resampler, Range::of_run(run)?))
        };
        Ok(Self { resampler, smoother })
    }

    fn is_raw(&self) -> bool {
        self.resampler.is_none() && self.smoother.is_none()
    }

    fn apply(&self, image: &mut Vec<f64>) -> Vec<f64> {
        let mut seen = match &self.resampler {
            None => std::mem::take(image),
            Some((resampler, range)) => {
                let mut seen = resampler.apply(image);
                range.clip(&mut seen);
                seen
            }
        };
        if let Some(smoother) = &self.smoother {
            smoother.apply(&mut seen);
        }
        seen
    }
}

/// The mean of what is not NaN; 0 where nothing is left.
fn nanmean(values: &[f64]) -> f64 {
    let known = values.iter().filter(|x| !x.is_nan());
    let (sum, n) = known.fold((0.0, 0.0), |(sum, n), x| (sum + x, n + 1.0));
    if n > 0.0 { sum / n } else { 0.0 }
}

/// One number of many; an empty region is 0. Sorts the values where it needs to.
fn reduce(values: &mut [f64], reduction: Reduction) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = 0.0);
    let n = values.len() as f64;
    let sum = |values: &[f64]| values.iter().sum::<f64>();
    let variance = |values: &[f64]| {
        let mean = sum(values) / n;
        values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n
    };
    match reduction {
        Reduction::Mean => sum(values) / n,
        Reduction::Sum => sum(values),
        Reduction::Minimum => values.iter().copied().fold(f64::INFINITY, f64::min),
        Reduction::Maximum => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Reduction::Variance => variance(values),
        Reduction::StandardDeviation => variance(values).sqrt(),
        Reduction::Median => {
            values.sort_unstable_by(f64::total_cmp);
            let middle = values.len() / 2;
            let low = values[middle - usize::from(values.len().is_multiple_of(2))];
            f64::midpoint(low, values[middle])
        }
    }
}
