//! What stages need of other forms of the scans: volumes, and tokens that another program made.
use encoder::RunPooling;
use preprocess::{Inputs as _, Recording, steps::VolumesConfig};
use scan::Shape;

use super::frames::Frames;
use crate::{
    Error, Result,
    spec::Loaded,
    stage::{Stage, given},
};

/// Refuses to weigh windows of tokens that another program made by the displacement in other windows, if it
/// is so of all scans.
pub(super) fn stored_windows(
    loaded: &Loaded,
    scans: &[Recording],
    frames: &Frames<'_>,
) -> Result<()> {
    let weighs =
        |it: &Stage| matches!(it, Stage::Embed(config) if config.run == RunPooling::InverseFd);
    let windows = loaded.spec.steps().find_map(|step| step.cut()?.sliding().cloned());
    let Some(config) = loaded.encoder() else { return Ok(()) };
    let (Some(source), Some(windows), true) =
        (given::stored(&config), windows, loaded.spec.stages().iter().any(weighs))
    else {
        return Ok(());
    };
    let mut first = None;
    for (idx, scan) in scans.iter().enumerate() {
        let Some(stored) = given::n_stored_windows(source, &scan.name) else { continue };
        let n_frames = frames.of_series(idx).map(|(n, _)| n);
        let Some(cut) = n_frames.and_then(|n| windows.first_frames(n).ok()) else { continue };
        if cut.len() == stored {
            return Ok(());
        }
        first.get_or_insert((stored, cut.len()));
    }
    let Some((stored, cut)) = first else { return Ok(()) };
    let expected = format!(
        "mean, because a scan has tokens of {stored} windows, and the displacement is that of the {cut} of \
         stage sliding_windows"
    );
    Err(Error::Setting { stage: "embed", field: "run", found: "inverse_fd".to_owned(), expected })
}

/// Refuses scans that are no volumes on the grid of `volumes`, if it is so of all of them.
pub(super) fn volumes(loaded: &Loaded, config: &VolumesConfig, scans: &[Recording]) -> Result<()> {
    let mut first = None;
    for scan in scans {
        match problem(loaded, config, scan) {
            Some(problem) => _ = first.get_or_insert((scan, problem)),
            None => return Ok(()),
        }
    }
    first.map_or(Ok(()), |(scan, problem)| {
        let problem = format!("{}: {problem}", scan.file);
        Err(Error::StageInput { stage: "volumes", problem })
    })
}

/// Why a scan cannot be brought to the grid; what cannot be read is told where it is read.
fn problem(loaded: &Loaded, config: &VolumesConfig, scan: &Recording) -> Option<String> {
    let what = match loaded.shape(&scan.path, &config.options(scan)) {
        Ok(_) if scan.stacked.is_some() => "a parcel series in a file of many",
        Ok(Shape::Run { grid, .. }) => {
            let sorted = |mut sides: [usize; 3]| {
                sides.sort_unstable();
                sides
            };
            // turning changes the order of the axes, and nothing else
            let fits = config.affine.is_some() || sorted(grid) == sorted(config.shape);
            let sides = |[x, y, z]: [usize; 3]| format!("{x}×{y}×{z}");
            return (!fits).then(|| {
                format!(
                    "grid is {}, expected {} (`affine` says where it lies, and scans are resampled to it)",
                    sides(grid),
                    sides(config.shape)
                )
            });
        }
        Ok(Shape::Series { .. }) | Err(scan::Error::Axes { .. }) => "a parcel series",
        Ok(Shape::Grayordinates { .. }) => "a series of grayordinates",
        Ok(Shape::Cohort { .. }) => "a file of many subjects",
        Err(error @ (scan::Error::NoSpace { .. } | scan::Error::NamedGrid { .. })) => {
            let path = format!("{}: ", scan.path.display());
            return Some(error.to_string().replace(&path, ""));
        }
        Err(_) => return None,
    };
    Some(format!("the scan is {what}, expected a run of volumes"))
}
