//! Volumes: on which grid, in which order, on which scale, and the windows of them.
use half::f16;
use ndarray::{Array2, Array4, ArrayView4, Axis, s};
use scan::{
    Affine, Background, Bold, EncoderPolicy, GlobalZ, Grid, ImageQualityMetrics, Interpolation,
    Margins, OpenOptions, Orientation, Range, ReadOptions, Resampler, Scan, Space, VolumeAxes,
    VoxelSeries, Window,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Cut, Error, Recording, Result,
    mirror::{LeftRightPairs, LeftRightTemplate, MirrorCheck, look_of_run},
};

/// The step that makes them, by its name and version.
pub(crate) const STEP: (&str, u32) = ("volumes", 2);

/// On which grid, in which order, on which scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumesConfig {
    /// Voxels along each axis, in the order of `axes`.
    pub shape: [usize; 3],
    /// Where the axes point: `LAS` for BrainMT, `RAS` for fMRIPrep's files.
    pub axes: Orientation,
    /// Rows of the matrix from voxels to mm that scans are resampled to; absent: they must be on
    /// `shape` already, and are only turned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affine: Option<[[f64; 4]; 4]>,
    /// What voxels that are exactly 0 become, after all others were standardised by one mean and one
    /// deviation.
    pub background: Background,
    /// Voxels added around the volumes, or cut off where a number is negative, with the value of the first
    /// voxel, as SwiFT's data sets do; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margins: Option<Margins>,
    /// The policy by whose rate, scale and margins volumes are made instead of `background` alone; the
    /// stage `prepare` sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<EncoderPolicy>,
    /// Whether values are rounded to 16 bits, as the tensors of BrainMT are.
    pub half: bool,
    /// How tensors lie (`.pt`, `.npy`, HDF5), which do not say it; absent: scans are NIfTI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensors: Option<TensorVolumes>,
    /// Whether the scans are on that scale already, as the tensors of BrainMT are, and are left on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub standardised: bool,
    /// Leaves out scans whose left and right seem exchanged, of tensors too, because `space` says where
    /// they lie; absent: not looked at. Scans are read for it only where the encoder reads volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror_check: Option<MirrorCheck>,
}

/// Axes and place of volumes without a header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TensorVolumes {
    /// Their axes, the slowest first; `xyzt` as BrainMT's.
    #[serde(default)]
    pub axes: VolumeAxes,
    /// Where their voxels lie: `fsl_mni2mm`, or `affine` with rows from voxels to mm.
    pub space: Space,
}

/// Volumes of a scan, on their grid but not on their scale yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Volumes {
    /// By which settings they come to scale.
    pub config: VolumesConfig,
    /// `(x, y, z, t)`.
    pub run: Bold,
    /// Of what was read.
    pub quality: ImageQualityMetrics,
}

impl VolumesConfig {
    /// The grid of the volumes that an encoder reads.
    pub fn grid(&self) -> [usize; 3] {
        let margins = self.margins.or_else(|| self.policy.and_then(EncoderPolicy::margins));
        margins.and_then(|margins| margins.grid(self.shape).ok()).unwrap_or(self.shape)
    }

    /// Refuses settings that a policy does not allow.
    pub fn fits(&self, policy: EncoderPolicy) -> Result<()> {
        let setting = |field, found: String, expected: &str| {
            let (stage, expected) = (STEP.0, expected.to_owned());
            Err(Error::Setting { stage, field, found, expected })
        };
        if !policy.reads_volumes() {
            return setting("policy", files::to_json(&policy), "a policy that reads volumes");
        }
        if self.margins.is_some() {
            let expected = "none, because the policy has its own";
            return setting("margins", files::to_json(&self.margins), expected);
        }
        if self.standardised {
            let expected = "false, because the policy brings volumes to scale";
            return setting("standardised", "true".to_owned(), expected);
        }
        if self.background != Background::Minimum {
            return setting("background", "zero".to_owned(), "minimum, as in the policy");
        }
        policy.margins().map_or(Ok(()), |margins| Ok(margins.grid(self.shape).map(drop)?))
    }

    /// What decides the volumes of a scan beside the scan.
    pub fn decides_volumes(&self) -> Value {
        // who is left out changes nothing in the others
        let stage = Self { mirror_check: None, ..self.clone() };
        json!({ "stage": stage, "version": STEP.1 })
    }

    /// Which blocks of voxels lie opposite each other.
    pub fn sides(&self) -> LeftRightPairs {
        LeftRightPairs::of_grid(self.shape, self.axes)
    }

    /// Bytes that a scan needs at most: as it is read, turned, measured, standardised and cut; none
    /// for one that will fail to be read.
    pub fn cost(&self, scan: &Recording) -> u64 {
        let Ok(read) = scan::footprint(&scan.path, &self.options(scan)) else { return 0 };
        let n_voxels = self.shape.iter().product::<usize>() as u64;
        let n_frames = read.n_frames().unwrap_or(0);
        let n_voxels = n_voxels.max(self.grid().iter().product::<usize>() as u64);
        let n_frames = match (self.policy, scan.t_r_s) {
            (Some(policy), Some(t_r_s)) => {
                n_frames.max(policy.n_frames(n_frames as usize, t_r_s) as u64)
            }
            _ => n_frames,
        };
        let n_values = read.n_values.max(n_voxels.saturating_mul(n_frames));
        // four runs in 32 bits, a few images in 64
        let images = if self.affine.is_some() { 80 * n_voxels.max(read.n_voxels) } else { 0 };
        read.n_bytes.saturating_add(n_values.saturating_mul(4 * 4)).saturating_add(images)
    }

    /// How a scan is opened.
    pub fn options(&self, scan: &Recording) -> OpenOptions {
        OpenOptions {
            t_r: scan.t_r_s,
            volume_axes: self.tensors.as_ref().map_or_else(VolumeAxes::default, |it| it.axes),
            space: self.tensors.as_ref().map(|it| it.space),
            ..OpenOptions::default()
        }
    }

    /// A scan on its grid, `(x, y, z, t)`.
    pub fn placed(&self, scan: &Recording) -> Result<Bold> {
        self.on_grid(self.read(scan)?.reoriented(self.axes)?)
    }

    /// A scan on its grid; one that is more like those of `cohort` when it is mirrored is refused.
    pub fn volumes(&self, scan: &Recording, cohort: Option<&LeftRightTemplate>) -> Result<Volumes> {
        let run = self.placed(scan)?;
        if let (Some(check), Some(cohort)) = (&self.mirror_check, cohort) {
            check.one(cohort, &self.sides(), &look_of_run(&run, self.axes))?;
        }
        Ok(Volumes { quality: self.quality(&run)?, config: self.clone(), run })
    }

    fn read(&self, scan: &Recording) -> Result<Bold> {
        let (path, t_r) = (&scan.path, scan.t_r_s);
        match scan::open(path, &self.options(scan))?.scan {
            Scan::Bold(run) => Ok(run),
            Scan::BoldFile(_) => {
                scan::check_placed(path)?;
                Ok(scan::read_bold_with(path, &ReadOptions { t_r })?)
            }
            other => {
                let problem = format!("the scan is {}, expected a run of volumes", other.kind());
                Err(Error::StageInput { stage: STEP.0, problem })
            }
        }
    }

    /// Of the voxels that are not background: exactly 0, or on their scale already the same always.
    fn quality(&self, run: &Bold) -> Result<ImageQualityMetrics> {
        let n_frames = run.n_frames();
        let background = |first: f32| if self.standardised { first } else { 0.0 };
        let lanes = run.data().lanes(Axis(3)).into_iter();
        let inside: Vec<_> =
            lanes.filter(|it| it.iter().any(|x| *x != background(it[0]))).collect();
        let mut values = Array2::<f32>::zeros((n_frames, inside.len()));
        values.columns_mut().into_iter().zip(inside).for_each(|(mut to, from)| to.assign(&from));
        Ok(ImageQualityMetrics::measure(&VoxelSeries { values, t_r: run.t_r() })?)
    }

    /// A run on its scale.
    pub fn scaled(&self, run: Bold) -> Result<Bold> {
        let prepared = if let Some(policy) = self.policy {
            policy.volumes(run)?
        } else if self.standardised {
            run
        } else {
            GlobalZ::measure(&run)?.apply(&run, self.background)?
        };
        let prepared = match self.margins {
            Some(margins) => {
                let filler = prepared.data().first().copied().unwrap_or(0.0);
                margins.apply(&prepared, filler)?
            }
            None => prepared,
        };
        if !self.half {
            return Ok(prepared);
        }
        let (affine, t_r) = (prepared.affine().clone(), prepared.t_r());
        let rounded = prepared.into_data().mapv_into(|x| f16::from_f32(x).to_f32());
        Ok(Bold::new(rounded, affine, t_r)?)
    }

    fn on_grid(&self, run: Bold) -> Result<Bold> {
        let to = match self.affine {
            Some(rows) => Grid { shape: self.shape, affine: Affine::new(rows)? },
            None => Grid { shape: self.shape, affine: run.affine().clone() },
        };
        if run.grid_shape() == self.shape && (self.affine.is_none() || run.grid().matches(&to)) {
            return Ok(run);
        }
        if self.affine.is_none() {
            let sides = |[x, y, z]: [usize; 3]| format!("{x}×{y}×{z}");
            let problem = format!(
                "grid is {}, expected {} (`affine` says where it lies, and scans are resampled to it)",
                sides(run.grid_shape()),
                sides(self.shape)
            );
            return Err(Error::StageInput { stage: STEP.0, problem });
        }
        let resampler = Resampler::new(run.grid(), &to, Interpolation::Cubic);
        let range = Range::of_run(&run)?;
        let [x, y, z] = self.shape;
        let mut values = Array4::<f32>::zeros((x, y, z, run.n_frames()));
        for frame in 0..run.n_frames() {
            let image = run.data().index_axis(Axis(3), frame);
            let image: Vec<f64> = image.t().iter().map(|&x| f64::from(x)).collect();
            let mut seen = resampler.apply(&image);
            range.clip(&mut seen);
            // both have x fastest
            let mut to = values.index_axis_mut(Axis(3), frame);
            let turned = to.view_mut().reversed_axes();
            turned.into_iter().zip(seen).for_each(|(to, x)| *to = x as f32);
        }
        Ok(Bold::new(values, to.affine, run.t_r())?)
    }
}

/// Windows of volumes, each `(n_frames, x, y, z)` in row-major order.
pub(crate) fn cut_volumes(run: &Bold, cut: &Cut, starts: &[Window]) -> Vec<Vec<f32>> {
    let volumes = run.data().view();
    let window = |window: &Window| {
        let of_run =
            volumes.slice(s![.., .., .., window.first_frame..window.first_frame + window.n_real]);
        let mut flat = flattened(of_run);
        let missing = cut.n_frames() - window.n_real;
        let size = flat.len() / window.n_real.max(1);
        if missing > 0 {
            match cut.pad() {
                scan::PadPolicy::Repeat => {
                    let n = window.n_real;
                    (0..missing).for_each(|at| {
                        flat.extend_from_within((at % n) * size..(at % n + 1) * size);
                    });
                }
                scan::PadPolicy::MeanFrame => {
                    // in 64 bits, so that a constant background stays what it is
                    let n = window.n_real as f64;
                    let mean = of_run
                        .lanes(Axis(3))
                        .into_iter()
                        .map(|lane| (lane.iter().map(|x| f64::from(*x)).sum::<f64>() / n) as f32);
                    let mean: Vec<f32> = mean.collect();
                    (0..missing).for_each(|_| flat.extend(&mean));
                }
                scan::PadPolicy::Zeros | scan::PadPolicy::Masked | scan::PadPolicy::Refuse => {
                    flat.resize(flat.len() + missing * size, 0.0);
                }
            }
        }
        flat
    };
    starts.iter().map(window).collect()
}

/// `(x, y, z, t)` as `(t, x, y, z)`.
fn flattened(run: ArrayView4<'_, f32>) -> Vec<f32> {
    run.permuted_axes([3, 0, 1, 2]).iter().copied().collect()
}
