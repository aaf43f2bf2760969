//! What is measured of a recording on its road: its length, its motion, its signal, its coverage.
use scan::ImageQualityMetrics;

use crate::SeriesFacts;

/// What a column of a table of measurements holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// The name of the column.
    pub name: &'static str,
    /// Its unit, as BIDS writes it; none of counts and shares.
    pub units: Option<&'static str>,
    /// What it is, and by whose definition.
    pub description: &'static str,
    /// Whether it counts things.
    pub is_count: bool,
    /// Whether only series of parcels have it.
    pub of_parcels: bool,
    /// Whether a table of confounds or motion must say it.
    pub of_motion: bool,
}

const PLAIN: Quantity = Quantity {
    name: "",
    units: None,
    description: "",
    is_count: false,
    of_parcels: false,
    of_motion: false,
};

/// One recording, measured. What is not known is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Frames that are there.
    pub n_frames: usize,
    /// Seconds between two of them.
    pub t_r_s: f64,
    /// Mean framewise displacement in mm, over the frames that have one.
    pub fd_mean_mm: Option<f64>,
    /// The largest of them.
    pub fd_max_mm: Option<f64>,
    /// DVARS in percent, the median over frames.
    pub median_dvars_percent: Option<f64>,
    /// Temporal signal-to-noise ratio, the median over voxels or parcels.
    pub median_tsnr: Option<f64>,
    /// The share of the parcels that has data, the mean over parcels.
    pub coverage: Option<f64>,
    /// Parcels without data.
    pub n_lost: Option<usize>,
    /// Frames with values that are not finite.
    pub n_nonfinite_frames: Option<usize>,
}

impl Measured {
    /// Its quantities, in the order of [`Measured::values`].
    pub const QUANTITIES: [Quantity; 9] = [
        Quantity {
            name: "n_frames",
            description: "Frames that are left at this place of the chain of stages",
            is_count: true,
            ..PLAIN
        },
        Quantity {
            name: "t_r",
            units: Some("s"),
            description: "Seconds between two frames at this place of the chain of stages",
            ..PLAIN
        },
        Quantity {
            name: "mean_fd",
            units: Some("mm"),
            description: "Framewise displacement of Power et al. (2012), mean over the frames of the file \
                          that have a value: the column framewise_displacement of the confounds, or \
                          computed from its six parameters of motion on a sphere of 50 mm",
            of_motion: true,
            ..PLAIN
        },
        Quantity {
            name: "max_fd",
            units: Some("mm"),
            description: "The largest framewise displacement of a frame of the file",
            of_motion: true,
            ..PLAIN
        },
        Quantity {
            name: "dvars",
            units: Some("percent"),
            description: "DVARS of Power et al. (2012) before any cleaning: change from frame to frame in \
                          percent of the mean of each voxel or parcel, root mean square over these, \
                          median over frames",
            ..PLAIN
        },
        Quantity {
            name: "tsnr",
            description: "Temporal signal-to-noise ratio before any cleaning: mean over standard deviation \
                          (n - 1) without the linear trend, median over the voxels or parcels that the \
                          first stage reads; none of centred series",
            ..PLAIN
        },
        Quantity {
            name: "coverage",
            description: "Share of the voxels or vertices of a parcel that have data, mean over parcels",
            of_parcels: true,
            ..PLAIN
        },
        Quantity {
            name: "n_lost_parcels",
            description: "Parcels without data, whose series are zero",
            is_count: true,
            of_parcels: true,
            ..PLAIN
        },
        Quantity {
            name: "n_nonfinite_frames",
            description: "Frames of the file in which values of parcels are no finite numbers, beside those \
                          that are none in any frame; they count as 0",
            is_count: true,
            of_parcels: true,
            ..PLAIN
        },
    ];

    /// Of a recording whose parcel series were extracted.
    pub fn of_series(facts: &SeriesFacts) -> Self {
        let shares = facts.coverage.as_ref().filter(|it| !it.is_empty());
        Self {
            n_frames: facts.n_frames,
            t_r_s: facts.t_r_s,
            fd_mean_mm: facts.fd_mean_mm,
            fd_max_mm: facts.fd_max_mm,
            // a voxel that two parcels share is counted for each: never more than all
            coverage: shares.map(|it| (it.iter().sum::<f64>() / it.len() as f64).min(1.0)),
            n_lost: Some(facts.lost.len()),
            n_nonfinite_frames: Some(facts.n_nonfinite_frames),
            ..Self::of_figures(&facts.quality)
        }
    }

    /// Of a recording by the figures of its file alone.
    pub fn of_figures(quality: &ImageQualityMetrics) -> Self {
        Self {
            n_frames: quality.n_frames,
            t_r_s: quality.t_r,
            fd_mean_mm: None,
            fd_max_mm: None,
            median_dvars_percent: quality.median_dvars_percent,
            median_tsnr: quality.median_tsnr,
            coverage: None,
            n_lost: None,
            n_nonfinite_frames: None,
        }
    }

    /// Each quantity's value, in the order of [`Measured::QUANTITIES`].
    pub fn values(&self) -> [Option<f64>; 9] {
        [
            Some(self.n_frames as f64),
            Some(self.t_r_s),
            self.fd_mean_mm,
            self.fd_max_mm,
            self.median_dvars_percent,
            self.median_tsnr,
            self.coverage,
            self.n_lost.map(|n| n as f64),
            self.n_nonfinite_frames.map(|n| n as f64),
        ]
    }
}
