//! Which voxels are looked at: fitted once, on training runs, and applied to every run.

use std::fmt::Debug;

use ndarray::{Array2, Array3};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    affine::Affine,
    bold::{Bold, Volume},
    error::{Error, Result},
    frames::Frames,
    geometry::{Grid, Prepared},
    series::VoxelSeries,
};

/// Affines of one grid may differ by this much, in mm a voxel or mm, through 32-bit headers.
const AFFINE_TOLERANCE: f64 = 1e-3;

/// How voxels are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VoxelMaskConfig {
    /// A voxel is kept when its mean over time, averaged over the runs, is larger than this
    /// multiple of the average over all voxels of the grid, background included.
    pub above_mean: f64,
}

/// Voxels of one grid, in row-major order of (x, y, z).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct VoxelMask {
    grid_shape: [usize; 3],
    affine: Affine,
    indices: Vec<usize>,
}

/// A mask as it stands in a file, not yet checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    grid_shape: [usize; 3],
    affine: Affine,
    indices: Vec<usize>,
}

impl VoxelMask {
    /// Chooses voxels by the mean image of the runs; every run counts the same.
    pub fn fit(runs: &[&Bold], config: &VoxelMaskConfig) -> Result<Self> {
        let above_mean = config.above_mean;
        if !(above_mean.is_finite() && above_mean >= 0.0) {
            let expected = "a finite number, not negative";
            return Err(Error::Setting { field: "above_mean", found: above_mean, expected });
        }
        let first = runs.first().ok_or(Error::NoRuns)?;
        let mut mean = Array3::<f64>::zeros(first.grid_shape());
        for run in runs {
            check_grid(*run, first.grid_shape(), first.affine())?;
            let frame_mean = run.frame_mean().into_data();
            let found = frame_mean.iter().filter(|x| !x.is_finite()).count();
            if found > 0 {
                return Err(Error::NonFiniteMean { scan: run.name(), found });
            }
            mean.zip_mut_with(&frame_mean, |sum, &x| *sum += f64::from(x) / runs.len() as f64);
        }
        let threshold = above_mean * mean.sum() / mean.len() as f64;
        let rule = format!("none has a mean above {threshold}");
        Self::of(first.grid_shape(), first.affine(), mean.iter().map(|&x| x > threshold), rule)
    }

    /// Takes the voxels of an image that are not zero; NaN counts as zero.
    pub fn from_volume(volume: &Volume) -> Result<Self> {
        let kept = volume.data().iter().map(|&x| x != 0.0 && !x.is_nan());
        Self::of(volume.grid_shape(), volume.affine(), kept, "the image is zero".to_owned())
    }

    fn of(
        grid_shape: [usize; 3],
        affine: &Affine,
        kept: impl Iterator<Item = bool>,
        rule: String,
    ) -> Result<Self> {
        let indices: Vec<usize> =
            kept.enumerate().filter_map(|(index, kept)| kept.then_some(index)).collect();
        if indices.is_empty() {
            return Err(Error::EmptyMask { total: grid_shape.iter().product(), rule });
        }
        Ok(Self { grid_shape, affine: affine.clone(), indices })
    }

    /// Number of voxels kept.
    pub fn n_voxels(&self) -> usize {
        self.indices.len()
    }

    /// The grid the mask belongs to.
    pub fn grid_shape(&self) -> [usize; 3] {
        self.grid_shape
    }

    /// The grid's place in the world.
    pub fn affine(&self) -> &Affine {
        &self.affine
    }

    /// Positions in the row-major grid, ascending.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// Takes the series of the voxels: `(n_frames, n_voxels)`.
    ///
    /// Refuses a run on another grid and a run with a value inside the mask that is not finite;
    /// both errors name the file.
    pub fn apply(&self, bold: &Bold) -> Result<VoxelSeries> {
        check_grid(bold, self.grid_shape, &self.affine)?;
        let n_frames = bold.n_frames();
        let data = bold.data().as_slice().expect("a run is row-major by construction");
        let mut values = Array2::zeros((n_frames, self.n_voxels()));
        for (column, &index) in self.indices.iter().enumerate() {
            let series = &data[index * n_frames..(index + 1) * n_frames];
            for (frame, &value) in series.iter().enumerate() {
                values[[frame, column]] = value;
            }
        }
        let found = values.iter().filter(|x: &&f32| !x.is_finite()).count();
        if found > 0 {
            return Err(Error::NonFinite { scan: bold.name(), found, total: values.len() });
        }
        Ok(VoxelSeries { values, t_r: bold.t_r() })
    }

    /// Takes the series of the voxels as nilearn's `NiftiMasker` does, `(n_frames, n_voxels)`, from
    /// a run that is read frame by frame and never held.
    ///
    /// A run on another grid is seen on the mask's by a cubic spline; it is blurred before where a
    /// full width at half maximum is given, in mm along each voxel axis; values that are not finite
    /// count as 0.
    pub fn extract(
        &self,
        run: &dyn Frames,
        smoothing_fwhm_mm: Option<[f64; 3]>,
    ) -> Result<VoxelSeries> {
        let own = Grid { shape: self.grid_shape, affine: self.affine.clone() };
        let (grid, first) =
            if run.grid().matches(&own) { (own, [0; 3]) } else { self.surroundings()? };
        // Frames have x fastest, masks z.
        let [nx, ny, _] = grid.shape;
        let place = |&index: &usize| {
            let [x, y, z] = std::array::from_fn(|axis| self.voxel(index)[axis] - first[axis]);
            x + nx * (y + ny * z)
        };
        let voxels: Vec<usize> = self.indices.iter().map(place).collect();
        let mut frames = Prepared::new(run, Some(&grid), smoothing_fwhm_mm)?;
        let mut values = Array2::zeros((run.n_frames(), voxels.len()));
        let mut held = vec![0.0; voxels.len()];
        run.each(&mut |index, frame| {
            frames.apply(frame).read_at(&voxels, &mut held);
            let finite = |x: f64| if x.is_finite() { x as f32 } else { 0.0 };
            values.row_mut(index).iter_mut().zip(&held).for_each(|(to, &x)| *to = finite(x));
            Ok(())
        })?;
        Ok(VoxelSeries { values, t_r: run.t_r() })
    }

    /// Place of a voxel along each axis.
    fn voxel(&self, index: usize) -> [usize; 3] {
        let [_, ny, nz] = self.grid_shape;
        [index / (ny * nz), index / nz % ny, index % nz]
    }

    /// The part of the grid that holds the mask and a voxel around it, which is all that nilearn
    /// resamples to, and its first voxel.
    fn surroundings(&self) -> Result<(Grid, [usize; 3])> {
        let (mut first, mut end) = (self.grid_shape, [0; 3]);
        for &index in &self.indices {
            for (axis, place) in self.voxel(index).into_iter().enumerate() {
                first[axis] = first[axis].min(place.saturating_sub(1));
                end[axis] = end[axis].max((place + 2).min(self.grid_shape[axis]));
            }
        }
        let mut rows = *self.affine.rows();
        let corner = self.affine.apply(first.map(|n| n as f64));
        rows.iter_mut().zip(corner).for_each(|(row, x)| row[3] = x);
        let shape = std::array::from_fn(|axis| end[axis] - first[axis]);
        Ok((Grid { shape, affine: Affine::new(rows)? }, first))
    }
}

impl TryFrom<Parts> for VoxelMask {
    type Error = Error;

    fn try_from(Parts { grid_shape, affine, indices }: Parts) -> Result<Self> {
        let damaged = |problem: &str| Err(Error::DamagedMask { problem: problem.to_owned() });
        let total = grid_shape.iter().try_fold(1_usize, |total, &n| total.checked_mul(n));
        let (Some(total), Some(&last)) = (total, indices.last()) else {
            return damaged("it has no voxels or an impossible grid");
        };
        if last >= total || indices.windows(2).any(|pair| pair[0] >= pair[1]) {
            return damaged("its voxel indices are not ascending positions of its grid");
        }
        Ok(Self { grid_shape, affine, indices })
    }
}

fn check_grid(run: &dyn Frames, expected: [usize; 3], affine: &Affine) -> Result<()> {
    let grid = run.grid();
    if grid.shape != expected {
        return Err(Error::GridShape { scan: run.name(), found: grid.shape, expected });
    }
    let found = grid.affine.max_abs_diff(affine);
    if found > AFFINE_TOLERANCE {
        return Err(Error::GridAffine { scan: run.name(), found, limit: AFFINE_TOLERANCE });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nii::{read_bold, testing::fixture};
    use ndarray::Array4;

    fn affine(zoom: f64) -> Affine {
        let row = |i| std::array::from_fn(|j| if i == j { zoom } else { 0.0 });
        Affine::new([row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]]).unwrap()
    }

    fn bold(values: [f32; 8], zoom: f64) -> Bold {
        let data = Array4::from_shape_vec((2, 2, 1, 2), values.to_vec()).unwrap();
        Bold::new(data, affine(zoom), 2.0).unwrap()
    }

    // The whole grid's mean image: numpy 2.4 on nibabel 5.4.2 counts 481 voxels above 0.6 of its
    // mean; the mean over voxels above zero would give 458.
    #[test]
    fn twelve_runs_of_a_real_slice_give_481_voxels() {
        let runs: Vec<Bold> = (1..=12)
            .map(|run| read_bold(fixture(&format!("run{run:03}/bold_1slice.nii.gz"))).unwrap())
            .collect();
        let runs: Vec<&Bold> = runs.iter().collect();
        let mask = VoxelMask::fit(&runs, &VoxelMaskConfig { above_mean: 0.6 }).unwrap();
        assert_eq!(mask.n_voxels(), 481);
        assert_eq!(mask.apply(runs[3]).unwrap().values.dim(), (121, 481));
    }

    #[test]
    fn each_run_counts_the_same_and_series_keep_voxel_and_frame() {
        // means of the two runs: [1, 3, 5, 7] and [9, 3, 1, 1]; of both: [5, 3, 3, 4], mean 3.75
        let a = bold([0.0, 2.0, 2.0, 4.0, 4.0, 6.0, 6.0, 8.0], 2.0);
        let b = bold([9.0, 9.0, 3.0, 3.0, 1.0, 1.0, 1.0, 1.0], 2.0);
        let mask = VoxelMask::fit(&[&a, &b], &VoxelMaskConfig { above_mean: 1.0 }).unwrap();
        assert_eq!(mask.indices(), [0, 3]);
        let series = mask.apply(&a).unwrap();
        assert_eq!(series.values.as_slice().unwrap(), [0.0, 6.0, 2.0, 8.0]);
        assert_eq!(series.t_r, 2.0);
    }

    #[test]
    fn a_streamed_file_gives_the_series_of_the_run_read_from_it() {
        let path = fixture("run002/bold_25mm.nii.gz");
        let bold = read_bold(&path).unwrap();
        let mask = VoxelMask::fit(&[&bold], &VoxelMaskConfig { above_mean: 1.0 }).unwrap();
        let file = crate::BoldFile::open(&path).unwrap();
        assert_eq!(mask.extract(&file, None).unwrap(), mask.apply(&bold).unwrap());
        let blurred = mask.extract(&file, Some([30.0; 3])).unwrap();
        assert_eq!(blurred, mask.extract(&bold, Some([30.0; 3])).unwrap());
        assert_ne!(blurred, mask.apply(&bold).unwrap());
    }

    // nilearn 0.14.1: NiftiMasker(brain.nii.gz).fit_transform(run), then with smoothing_fwhm=30,
    // detrend and zscore_sample, where it blurs in 32 bits
    #[test]
    fn a_mask_image_gives_the_series_of_nilearns_masker() {
        use crate::{CleanConfig, Detrend, Standardize, clean};
        let mask = crate::read_volume(fixture("masks_25mm/brain.nii.gz")).unwrap();
        let mask = VoxelMask::from_volume(&mask).unwrap();
        let run = crate::BoldFile::open(fixture("run001/bold_25mm.nii.gz")).unwrap();
        let facts = |series: &VoxelSeries| {
            let values = series.values.mapv(f64::from);
            [values[[5, 7]], values[[60, 64]], values.mapv(f64::abs).sum()]
        };
        let raw = mask.extract(&run, None).unwrap();
        assert_eq!((raw.values.dim(), facts(&raw)), ((121, 129), [89.0, 1020.0, 17_053_789.0]));
        let config =
            CleanConfig { detrend: Detrend::Linear, standardize: Standardize::ZscoreSample };
        let blurred = clean(&mask.extract(&run, Some([30.0; 3])).unwrap(), &config).unwrap();
        let expected = [0.201_777_830_719_947_81, -0.357_914_090_156_555_2, 12_414.194_095_512_077];
        for (found, expected) in facts(&blurred).into_iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-4 * expected.abs().max(1.0),
                "{found} {expected}"
            );
        }
    }

    // nilearn 0.14.1: NiftiMasker(mask, standardize=None).fit_transform(run), then with
    // smoothing_fwhm=30
    #[test]
    fn a_run_on_another_grid_is_seen_on_the_masks_as_nilearn_does() {
        let rows = [
            [-20.0, 0.0, 0.0, 55.0],
            [0.0, 22.0, 0.0, -82.5],
            [0.0, 0.0, 24.0, -92.5],
            [0.0, 0.0, 0.0, 1.0],
        ];
        let kept = Array3::from_shape_fn((6, 6, 5), |(x, y, z)| {
            f32::from(u8::from((x + 2 * y + 3 * z) % 4 != 0 && x > 1 && y < 5))
        });
        let mask = Volume::new(kept, Affine::new(rows).unwrap()).unwrap();
        let mask = VoxelMask::from_volume(&mask).unwrap();
        let run = crate::BoldFile::open(fixture("run001/bold_25mm.nii.gz")).unwrap();
        let expected = [
            (None, [422.768_249_511_718_75, 275.197_662_353_515_6, 7_593_890.558_090_478]),
            (
                Some([30.0; 3]),
                [474.233_917_236_328_1, 400.711_853_027_343_75, 7_474_567.154_060_364],
            ),
        ];
        for (fwhm, expected) in expected {
            let values = mask.extract(&run, fwhm).unwrap().values.mapv(f64::from);
            let found = [values[[5, 7]], values[[60, 40]], values.mapv(f64::abs).sum()];
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5 * expected, "{found} {expected}");
            }
        }
    }

    #[test]
    fn another_grid_is_refused_in_one_sentence() {
        let a = bold([1.0; 8], 2.0);
        let mask = VoxelMask::fit(&[&a], &VoxelMaskConfig { above_mean: 0.5 }).unwrap();
        let moved = mask.apply(&bold([1.0; 8], 2.002)).unwrap_err().to_string();
        assert!(moved.starts_with("scan: affine differs by 0.00"), "{moved}");
        assert!(mask.apply(&bold([1.0; 8], 2.0005)).is_ok());
        let data = Array4::zeros((2, 1, 2, 2));
        let turned = mask.apply(&Bold::new(data, affine(2.0), 2.0).unwrap()).unwrap_err();
        let expected = "scan: grid is [2, 1, 2], expected [2, 2, 1] as in the voxel mask";
        assert_eq!(turned.to_string(), expected);
    }

    #[test]
    fn nan_matters_inside_the_mask_only() {
        let clean = bold([0.0, 0.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0], 2.0);
        let mask = VoxelMask::fit(&[&clean], &VoxelMaskConfig { above_mean: 0.5 }).unwrap();
        let nan = f32::NAN;
        assert!(mask.apply(&bold([nan, nan, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0], 2.0)).is_ok());
        let error = mask.apply(&bold([0.0, 0.0, 4.0, nan, 4.0, 4.0, f32::INFINITY, 4.0], 2.0));
        let expected = "scan: 2 of 6 values inside the voxel mask are not finite";
        assert_eq!(error.unwrap_err().to_string(), expected);
        let holes = bold([0.0, 0.0, 4.0, nan, 4.0, 4.0, f32::INFINITY, 4.0], 2.0);
        let filled = mask.extract(&holes, None).unwrap().values;
        assert_eq!(filled, ndarray::array![[4.0, 4.0, 0.0], [0.0, 4.0, 4.0]]);
        let with_nan = bold([nan, 0.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0], 2.0);
        assert!(VoxelMask::fit(&[&with_nan], &VoxelMaskConfig { above_mean: 0.5 }).is_err());
    }

    #[test]
    fn a_mask_that_keeps_nothing_or_a_bad_setting_is_refused() {
        let flat = bold([1.0; 8], 2.0);
        for above_mean in [1.0, -0.1, f64::NAN] {
            assert!(VoxelMask::fit(&[&flat], &VoxelMaskConfig { above_mean }).is_err());
        }
        assert!(VoxelMask::fit(&[], &VoxelMaskConfig { above_mean: 0.6 }).is_err());
    }

    #[test]
    fn json_keeps_a_mask_and_damage_is_noticed() {
        let a = bold([0.0, 0.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0], 2.0);
        let mask = VoxelMask::fit(&[&a], &VoxelMaskConfig { above_mean: 0.5 }).unwrap();
        let text = serde_json::to_string(&mask).unwrap();
        assert_eq!(serde_json::from_str::<VoxelMask>(&text).unwrap(), mask);
        for damage in ["[1,2,4]", "[2,1,3]", "[1,1,3]", "[]"] {
            let damaged = text.replace("[1,2,3]", damage);
            assert!(serde_json::from_str::<VoxelMask>(&damaged).is_err(), "{damage}");
        }
    }
}
