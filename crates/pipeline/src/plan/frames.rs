//! How many frames scans have, and how many the stages leave of them, by what describes their files.
use std::{cell::RefCell, collections::BTreeMap};

use ::cohort::Kept;
use preprocess::{Inputs as _, Recipe, Recording, Step, Timing};
use scan::{OpenOptions, VolumeAxes};

use crate::spec::{Loaded, stack};

/// Frames of the scans of a cohort. A scan whose table says no number is looked at when it is asked for,
/// once.
pub(super) struct Frames<'a> {
    loaded: &'a Loaded,
    scans: &'a [Recording],
    n_parcels: Option<usize>,
    /// Those that series go through.
    steps: Vec<&'a dyn Step>,
    /// What was found in the scans that were looked at.
    found: RefCell<BTreeMap<usize, Option<usize>>>,
}

impl<'a> Frames<'a> {
    /// `n_parcels`: of the atlas, where one is read.
    pub(super) fn new(
        loaded: &'a Loaded,
        scans: &'a [Recording],
        n_parcels: Option<usize>,
    ) -> Self {
        Self::of_steps(loaded, scans, n_parcels, loaded.spec.steps().collect())
    }

    /// The same where scans go through the steps of a package.
    pub(super) fn of_steps(
        loaded: &'a Loaded,
        scans: &'a [Recording],
        n_parcels: Option<usize>,
        steps: Vec<&'a dyn Step>,
    ) -> Self {
        Self { loaded, scans, n_parcels, steps, found: RefCell::default() }
    }

    /// Frames in the file; none where they are not known.
    pub(super) fn in_file(&self, idx: usize) -> Option<usize> {
        let scan = &self.scans[idx];
        if let Some(n_frames) = scan.n_frames {
            return Some(n_frames);
        }
        *self.found.borrow_mut().entry(idx).or_insert_with(|| {
            let shape = self.loaded.shape(&scan.path, &self.options(scan));
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
        let in_file = Timing { n_frames: self.in_file(idx), t_r_s: self.t_r_s(idx) };
        // what is made of frames that nobody knows is not known either
        in_file.both()?;
        Recipe::timing(self.steps.iter().copied(), in_file).both()
    }

    /// How the scan is opened.
    fn options(&self, scan: &Recording) -> OpenOptions {
        let spec = &self.loaded.spec;
        let mut steps = self.steps.iter();
        let options = steps.find_map(|it| it.opens(scan, self.n_parcels, stack(spec)));
        options.unwrap_or_else(|| OpenOptions {
            t_r: scan.t_r_s,
            volume_axes: VolumeAxes::default(),
            ..OpenOptions::default()
        })
    }
}
