//! How many frames scans have, and how many the stages leave of them, by what describes their files.
use std::{cell::RefCell, collections::BTreeMap};

use ::cohort::Kept;
use preprocess::{
    Recording,
    steps::{ParcellateConfig, PrepareConfig, ResampleTimeConfig, VolumesConfig},
};
use scan::{OpenOptions, VolumeAxes};

use crate::{
    spec::{Spec, stack},
    stage::Stage,
};

/// Frames of the scans of a cohort. A scan whose table says no number is looked at when it is asked for,
/// once.
pub(super) struct Frames<'a> {
    spec: &'a Spec,
    scans: &'a [Recording],
    n_parcels: Option<usize>,
    parcellated: Option<&'a ParcellateConfig>,
    volumes: Option<&'a VolumesConfig>,
    resampled: Option<&'a ResampleTimeConfig>,
    prepared: Option<&'a PrepareConfig>,
    /// What was found in the scans that were looked at.
    found: RefCell<BTreeMap<usize, Option<usize>>>,
}

impl<'a> Frames<'a> {
    /// `n_parcels`: of the atlas, where one is read.
    pub(super) fn new(spec: &'a Spec, scans: &'a [Recording], n_parcels: Option<usize>) -> Self {
        let stages = spec.stages().iter();
        let parcellated = stages.clone().find_map(|stage| match stage {
            Stage::Parcellate(config) => Some(config),
            _ => None,
        });
        let volumes = stages.clone().find_map(|stage| match stage {
            Stage::Volumes(config) => Some(config),
            _ => None,
        });
        let resampled = stages.clone().find_map(|stage| match stage {
            Stage::ResampleTime(config) => Some(config),
            _ => None,
        });
        let prepared = stages.clone().find_map(|stage| match stage {
            Stage::Prepare(config) => Some(config),
            _ => None,
        });
        let found = RefCell::default();
        Self { spec, scans, n_parcels, parcellated, volumes, resampled, prepared, found }
    }

    /// Frames in the file; none where they are not known.
    pub(super) fn in_file(&self, idx: usize) -> Option<usize> {
        let scan = &self.scans[idx];
        if let Some(n_frames) = scan.n_frames {
            return Some(n_frames);
        }
        *self.found.borrow_mut().entry(idx).or_insert_with(|| {
            let shape = scan::shape(&scan.path, &self.options(scan));
            shape.ok().map(scan::Shape::n_frames)
        })
    }

    /// Where the frames stood in the run, of a scan from which frames were left out.
    pub(super) fn kept(&self, idx: usize) -> Option<&Kept> {
        self.scans[idx].kept.as_ref()
    }

    /// Seconds between two frames of the file.
    pub(super) fn t_r_s(&self, idx: usize) -> Option<f64> {
        self.scans[idx].t_r_s
    }

    /// Frames and the seconds between two, where windows are cut out of series; the most, where stages
    /// drop frames. None where they are not known.
    pub(super) fn of_series(&self, idx: usize) -> Option<(usize, f64)> {
        let (n, t_r_s) = (self.in_file(idx)?, self.t_r_s(idx)?);
        let (n, t_r_s) = match self.resampled {
            Some(to) if !to.keeps(t_r_s) => (to.how.n_frames(n, t_r_s, to.t_r_s), to.t_r_s),
            _ => (n, t_r_s),
        };
        Some(match self.prepared {
            Some(PrepareConfig { policy, .. }) => (policy.n_frames(n, t_r_s), policy.t_r_s(t_r_s)),
            None => (n, t_r_s),
        })
    }

    /// How the scan is opened.
    fn options(&self, scan: &Recording) -> OpenOptions {
        match (self.n_parcels, self.parcellated, self.volumes) {
            (Some(n), Some(config), _) => config.options(n, scan, stack(self.spec)),
            (_, _, Some(volumes)) => volumes.options(scan),
            _ => OpenOptions {
                t_r: scan.t_r_s,
                volume_axes: VolumeAxes::default(),
                ..OpenOptions::default()
            },
        }
    }
}
