//! What the stored results of a cohort take on disk, reckoned from headers.
use std::{fmt, path::Path};

use encoder::InputShape;
use preprocess::{Recipe, Recording, Step, Timing};
use serde::Serialize;

use super::{EncoderPlan, frames::Frames};
use crate::{spec::Spec, stage::Stage};

/// Bytes of a number of a stored window.
const F32: u64 = 4;
/// Bytes of a number of a stored series.
const F64: u64 = 8;
/// Names, shapes and facts beside the numbers of one result.
const BESIDE: u64 = 1200;

/// What a run stores, and what room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Bytes of the results that are kept of each recording: series of parcels, and tokens. Those that are
    /// stored already are among them. Series of the voxels of a mask are not: how many it leaves shows when scans
    /// are read.
    pub n_bytes: u64,
    /// Bytes that are free where they are kept; absent where the system does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_free: Option<u64>,
}

impl Disk {
    /// None where frames or parcels are not known from headers, or nothing is kept of single recordings.
    pub(super) fn of(
        spec: &Spec,
        scans: &[Recording],
        n_parcels: Option<usize>,
        encoder: Option<&EncoderPlan>,
        frames: &Frames<'_>,
        outputs: &Path,
    ) -> Option<Self> {
        let mut n_bytes = 0u64;
        for (idx, scan) in scans.iter().enumerate() {
            // a scan that nobody knows the length of is not reckoned
            let Some(n_frames) = frames.in_file(idx) else { continue };
            let in_file = Timing { n_frames: Some(n_frames), t_r_s: frames.t_r_s(idx) };
            let series = n_parcels.map_or(0, |n_parcels| of_series(spec, in_file, n_parcels));
            let tokens =
                encoder.map_or(0, |encoder| of_tokens(spec, in_file, scan.events_s.len(), encoder));
            n_bytes = n_bytes.saturating_add(series).saturating_add(tokens);
        }
        (n_bytes > 0).then(|| Self { n_bytes, n_free: free(outputs) })
    }

    /// Whether the disk has less room than results take.
    pub fn is_short(&self) -> bool {
        self.n_free.is_some_and(|n_free| n_free < self.n_bytes)
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "about {} of results", size(self.n_bytes))?;
        match self.n_free {
            Some(n_free) if self.is_short() => {
                write!(f, ", and only {} are free where they are written", size(n_free))
            }
            _ => Ok(()),
        }
    }
}

/// What is kept of a recording after each step that leaves a series of its own.
fn of_series(spec: &Spec, in_file: Timing, n_parcels: usize) -> u64 {
    let steps: Vec<&dyn Step> = spec.steps().collect();
    let keeps = |step: &&dyn Step| step.volume_policy().is_none() && step.deferred().is_none();
    let kept = steps.iter().enumerate().filter(|(_, step)| keeps(step)).map(|(at, _)| {
        let n_frames = Recipe::timing(steps[..=at].iter().copied(), in_file).n_frames;
        // and the displacement of each frame
        n_frames.map_or(0, |n| BESIDE + n as u64 * (n_parcels as u64 + 1) * F64)
    });
    kept.sum()
}

/// What is kept of its windows: tokens, or the windows themselves where the encoder is trained.
fn of_tokens(spec: &Spec, in_file: Timing, n_events: usize, encoder: &EncoderPlan) -> u64 {
    let of_stage = |stage: &Stage| match stage {
        Stage::Encode(config) => Some(config.bytes_of_number()),
        _ => None,
    };
    let (Some(number), Some(cut)) =
        (spec.stages().iter().find_map(of_stage), spec.stages().iter().find_map(Stage::cut))
    else {
        return 0;
    };
    let Some(n_frames) = Recipe::timing(spec.steps(), in_file).n_frames else { return 0 };
    let n_windows = cut.n_windows(n_frames, n_events).unwrap_or(0);
    let of_window = if encoder.trainable.moves() {
        let n_voxels = match encoder.input {
            InputShape::Window { n_frames, n_voxels } => n_frames * n_voxels,
            InputShape::Volume { n_frames, grid } => n_frames * grid.iter().product::<usize>(),
            _ => 0,
        };
        n_voxels as u64 * F32
    } else {
        // and their mean, and the class token
        let n_vectors = 1 + u64::from(encoder.spec.layout.has_class);
        let n_tokens = encoder.spec.n_tokens() as u64;
        encoder.spec.vis_dim as u64 * (n_tokens * number + n_vectors * F32)
    };
    BESIDE + n_windows as u64 * of_window
}

/// Bytes that are free on the disk of `path`, or of the folder above that is there.
fn free(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|it| it.is_dir())?;
    let disk = rustix::fs::statvfs(there).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// `3.2 GB`, of 10⁹ bytes each.
fn size(n_bytes: u64) -> String {
    let (unit, name) = match n_bytes {
        0..1_000_000 => (1e3, "kB"),
        1_000_000..1_000_000_000 => (1e6, "MB"),
        _ => (1e9, "GB"),
    };
    format!("{:.1} {name}", n_bytes as f64 / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_told_with_what_is_needed() {
        let disk = Disk { n_bytes: 3_210_000_000, n_free: Some(60_000_000_000) };
        assert_eq!(disk.to_string(), "about 3.2 GB of results");
        let short = Disk { n_free: Some(999_000), ..disk };
        assert!(short.is_short() && !disk.is_short());
        assert_eq!(
            short.to_string(),
            "about 3.2 GB of results, and only 999.0 kB are free where they are written"
        );
        assert!(free(Path::new("/nowhere/at all")).is_some(), "of the folder above");
    }
}
