//! What steps make of recordings, by their settings and the files that these name, before a recording is
//! opened.
use crate::{Cut, Inputs, Recording, policy::PrepareConfig, volumes::VolumesConfig};
use cohort::Hdf5Config;
use encoder::InputSpace;

/// What is there after some steps.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// Series of parcels, or of voxels, of which the grid bounds how many; none where no atlas and no grid was
    /// read.
    pub series: Option<InputSpace>,
    /// Whether series are of the voxels of a mask.
    pub has_mask: bool,
    /// What the parcels are called, in their order.
    pub labels: Vec<String>,
    /// Volumes, as they are made when a scan is encoded.
    pub volumes: Option<VolumesConfig>,
    /// Scale of the series.
    pub normalisation: Option<String>,
    /// The repetition time of the series in seconds, and how near to it one stays as it is; absent: each
    /// has its own.
    pub rate: Option<(f64, f64)>,
    /// How windows lie in scans.
    pub cut: Option<Cut>,
    /// The policy that scale, repetition time and windows follow.
    pub policy: Option<PrepareConfig>,
}

impl Made {
    /// Parcels of a series; none where there are none.
    pub fn n_parcels(&self) -> Option<usize> {
        match self.series {
            Some(InputSpace::Parcels { n, .. }) => Some(n),
            _ => None,
        }
    }

    /// The volumes that an encoder would read.
    pub fn volume_space(&self) -> Option<InputSpace> {
        let space =
            |it: &VolumesConfig| InputSpace::Volume { shape: it.grid(), axes: it.axes.to_string() };
        self.volumes.as_ref().map(space)
    }
}

/// Whose headers are asked.
#[derive(Clone, Copy)]
pub struct Planned<'a> {
    /// Files that settings name.
    pub inputs: &'a dyn Inputs,
    /// Every recording of the cohort.
    pub recordings: &'a [Recording],
    /// How a file of many recordings is read.
    pub stack: Option<&'a Hdf5Config>,
}

/// Frames of a recording, and the seconds between two, as far as they are known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// Frames; the most, where a step drops some.
    pub n_frames: Option<usize>,
    /// Seconds between two.
    pub t_r_s: Option<f64>,
}

impl Timing {
    /// As the file has them.
    pub fn in_file(recording: &Recording) -> Self {
        Self { n_frames: recording.n_frames, t_r_s: recording.t_r_s }
    }

    /// Both, where they are known.
    pub fn both(self) -> Option<(usize, f64)> {
        self.n_frames.zip(self.t_r_s)
    }
}

/// How many frames a step needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// The setting that says so.
    pub field: Option<&'static str>,
    /// The number.
    pub least: usize,
    /// What else would do.
    pub or: &'static str,
    /// Frames as the file has them, or as the step meets them.
    pub in_file: bool,
    /// Only of the recordings that are learned from.
    pub of_training: bool,
}

impl Need {
    /// Of frames as the step meets them.
    pub fn of(field: Option<&'static str>, least: usize) -> Self {
        Self { field, least, or: "", in_file: false, of_training: false }
    }
}
