//! The series of every region of a run, in one pass over its frames.
//!
//! Source: nilearn 0.14 `NiftiLabelsMasker` and `regions.img_to_signals_labels`. Unlike there, a
//! label that was lost on the way is a column of zeros and is reported: an encoder trained on 424
//! parcels needs 424 columns.

use ndarray::Array2;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Atlas,
    coverage::{Meeting, Unseen},
    regions::{Reduction, Regions},
};
use crate::{
    bold::Volume,
    error::{Error, Result},
    footprint::{BYTES_OF_SERIES, Footprint},
    frames::Frames,
    geometry::{Grid, Interpolation, Prepared, Resampler},
    nii::Stretch,
    series::{ParcelSeries, n_above_least},
};

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
    /// Series of all regions, `(n_frames, n_parcels)`. Values that are not finite count as 0, and frames that have some are
    /// counted; only
    /// voxels where `mask` is not 0 count at all. A region without data is a column of zeros and is
    /// reported, and so is the share of each region that has data.
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
        let labels = if compat { self.labels.clone() } else { self.on(grid) };
        let mut taken = labels.clone();
        if let Some(mask) = mask {
            let inside = on_grid(&mask.x_fastest(), mask.grid(), grid);
            taken.iter_mut().zip(inside).filter(|(_, x)| *x == 0.0).for_each(|(l, _)| *l = 0);
        }
        let mut regions = Regions::new(self, &taken, config.reduction, compat);
        if regions.are_empty() {
            return Err(Error::NoParcel { scan: run.name() });
        }
        let moved = (!compat).then_some(grid);
        let is_same = compat || grid.matches(run.grid());
        let all = || (0..run.grid().n_voxels()).collect();
        let mut unseen = Unseen::new(if is_same { regions.voxels() } else { all() });
        let whole = Stretch { first: 0, n: run.grid().n_voxels() as u32, sum: 0 };
        let looked_at = if is_same { regions.stretches() } else { vec![whole] };
        let mut broken = Vec::with_capacity(run.n_frames());
        let mut frames = Prepared::new(run, moved, config.smoothing_fwhm_mm)?;
        let mut values = Array2::zeros((run.n_frames(), self.n_parcels()));
        run.each(&mut |index, frame| {
            unseen.look(frame);
            broken.push(frame.n_nonfinite(&looked_at));
            let mut row = values.row_mut(index);
            let row = row.as_slice_mut().expect("rows of a new array are contiguous");
            regions.reduce(frames.apply(frame), row);
            Ok(())
        })?;
        let run_grid = run.grid();
        let meeting =
            Meeting { run: run_grid, grid, labels: &labels, taken: &taken, by_index: compat };
        let coverage = meeting.coverage(self, &unseen);
        let mut lost = Vec::new();
        for ((parcel, &share), mut column) in
            self.parcels.iter().zip(&coverage).zip(values.columns_mut())
        {
            if share == 0.0 {
                column.fill(0.0);
                lost.push(parcel.label);
            }
        }
        if lost.len() == self.n_parcels() {
            return Err(Error::NoData { scan: run.name() });
        }
        let (t_r, parcels, coverage) = (run.t_r(), self.parcels.clone(), Some(coverage));
        let n_nonfinite_frames = n_above_least(&broken);
        Ok(ParcelSeries { values, t_r, parcels, lost, coverage, n_nonfinite_frames })
    }

    /// The most bytes that reading a scan, [`extract`](Self::extract) and keeping the series take
    /// beside the atlas; a scan that is a parcel series is only kept. Cleaning comes on top:
    /// [`SignalConfig::n_bytes`](crate::SignalConfig::n_bytes).
    pub fn extract_bytes(&self, scan: &Footprint, config: &ExtractConfig) -> u64 {
        let n_series = scan.n_frames().map_or(scan.n_values, |n| n * self.n_parcels() as u64);
        let series = BYTES_OF_SERIES * n_series;
        if scan.n_voxels == 0 {
            return scan.n_bytes + series;
        }
        let n_voxels = scan.n_voxels.max(self.grid.n_voxels() as u64);
        let is_raw = config.grid == WorkingGrid::Data && config.smoothing_fwhm_mm.is_none();
        // Labels, voxels of the regions, those without data and stretches: 8 + 8 + 16 + 32, or labels
        // on their way to another grid. Then images before, between and after, with their holes filled.
        let in_a_voxel = if is_raw { 64 } else { 64 + 80 };
        scan.n_bytes + in_a_voxel * n_voxels + series
    }

    /// Labels on another grid, x fastest: the nearest voxel's, 0 outside.
    pub fn on(&self, grid: &Grid) -> Vec<i32> {
        let labels: Vec<f64> = self.labels.iter().map(|&label| f64::from(label)).collect();
        on_grid(&labels, &self.grid, grid).into_iter().map(|x| x as i32).collect()
    }
}

pub(super) fn on_grid(values: &[f64], from: &Grid, to: &Grid) -> Vec<f64> {
    if from.matches(to) {
        return values.to_vec();
    }
    Resampler::new(from, to, Interpolation::Nearest).apply(values)
}
