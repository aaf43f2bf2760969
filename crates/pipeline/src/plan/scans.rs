//! What the scans' headers say, without a voxel read.
use std::path::{Path, PathBuf};

use ::cohort::{Kept, Reason, Timings};
use files::FileIndex;
use scan::Split;
use serde::{Deserialize, Serialize};

use super::{CohortPlan, ScanPlan};
use crate::{Error, Result};

/// What all scans share.
pub(super) struct Facts {
    pub(super) t_r_s: f64,
    affine: [[f64; 4]; 4],
    /// Empty where no scan has the header of an image.
    pub(super) grid: Vec<usize>,
}

/// What is asked of the header of an image; all of its voxels were read, too.
#[derive(Serialize, Deserialize)]
struct Inspected {
    dims: Vec<usize>,
    affine: [[f64; 4]; 4],
    has_t_r: bool,
    sides_disagree: bool,
}

impl Inspected {
    /// Reads a scan that was not seen before.
    fn known(path: &Path, known: &FileIndex) -> scan::Result<Self> {
        known.fact(path, &scan::files_of_scan(path), "inspected", || {
            let found = scan::inspect(path)?;
            let (has_t_r, sides_disagree) = (found.t_r.is_some(), found.sides_disagree);
            Ok(Self { dims: found.dims, affine: found.affine, has_t_r, sides_disagree })
        })
    }
}

/// Fills in frames and TR of each scan, unless `t_r` says it of all; where they must be `alike`, all are
/// images with the first one's TR and grid.
pub(super) fn check_headers(
    known: &FileIndex,
    scans: &mut [ScanPlan],
    t_r: Option<f64>,
    alike: bool,
    problems: &mut Vec<Error>,
) -> Option<Facts> {
    let mut first: Option<(usize, Facts)> = None;
    let mut timings = Timings::new(known);
    for idx in 0..scans.len() {
        let path = scans[idx].path.clone();
        let header = match Inspected::known(&path, known) {
            Ok(header) if alike || header.dims.len() == 4 => header,
            // only its voxels are bad: the run fails this scan and goes on with the others
            Err(scan::Error::Truncated { .. } | scan::Error::Gzip { .. }) => continue,
            _ if !alike => {
                match other_form(&mut scans[idx], t_r, &mut timings) {
                    Ok(t_r_s) => {
                        let facts = Facts { t_r_s, affine: [[0.0; 4]; 4], grid: Vec::new() };
                        _ = first.get_or_insert((idx, facts));
                    }
                    Err(error) => problems.push(error),
                }
                continue;
            }
            Ok(_) => unreachable!("an image is taken as it is"),
            Err(error) => {
                problems.push(error.into());
                continue;
            }
        };
        let [x, y, z, n_frames] = header.dims[..] else {
            let found = header.dims;
            problems.push(scan::Error::Dimensions { path, found, expected: 4 }.into());
            continue;
        };
        let timing = match timings.of(&path, t_r) {
            Ok(timing) => timing,
            Err(reason) => {
                problems.push(untimed(&path, reason, |path, problem| {
                    if !header.has_t_r {
                        return scan::Error::RepetitionTime { path, problem }.into();
                    }
                    let problem =
                        format!("repetition time: {problem}; `t_r` of the pairs settles it");
                    Error::Recording { path, problem }
                }));
                continue;
            }
        };
        let t_r_s = timing.t_r.seconds;
        if alike && let Some(kept) = timing.kept {
            let problem = left_out(n_frames, &kept);
            problems.push(Error::Recording { path, problem });
            continue;
        }
        (scans[idx].start_s, scans[idx].kept) = (timing.start_s, timing.kept);
        (scans[idx].n_frames, scans[idx].t_r_s) = (Some(n_frames), Some(t_r_s));
        if header.sides_disagree {
            problems.push(Error::Sides { path: path.clone() });
        }
        let grid = vec![x, y, z];
        match &first {
            None => first = Some((idx, Facts { t_r_s, affine: header.affine, grid })),
            Some((at, facts)) if alike => {
                let first = scans[*at].path.clone();
                if (t_r_s - facts.t_r_s).abs() > 1e-6 * facts.t_r_s {
                    let expected = facts.t_r_s;
                    let (path, first) = (path.clone(), first.clone());
                    problems.push(Error::RepetitionTime { path, found: t_r_s, first, expected });
                }
                if grid != facts.grid || !is_near(&header.affine, &facts.affine) {
                    let (grid, expected) =
                        (place(&grid, &header.affine), place(&facts.grid, &facts.affine));
                    problems.push(Error::Grid { path, found: grid, first, expected });
                }
            }
            Some(_) => {}
        }
    }
    if first.is_none() && problems.is_empty() {
        // every scan is damaged below its header: say so now, nothing could be run
        problems.extend(scan::inspect(&scans[0].path).err().map(Error::from));
    }
    first.map(|(_, facts)| facts)
}

/// Series, tensors and what else is opened by its content: their headers say less, or nothing.
fn other_form(scan: &mut ScanPlan, t_r: Option<f64>, timings: &mut Timings<'_>) -> Result<f64> {
    let path = scan.path.clone();
    scan::probe_header(&path)?;
    let unknown = |path, problem| {
        let problem = format!("{problem}; `t_r` of the pairs says it of all scans");
        scan::Error::RepetitionTime { path, problem }.into()
    };
    let timing = timings.of(&path, t_r).map_err(|reason| untimed(&path, reason, unknown))?;
    (scan.n_frames, scan.t_r_s) = (timing.n_frames, Some(timing.t_r.seconds));
    (scan.start_s, scan.kept) = (timing.start_s, timing.kept);
    Ok(timing.t_r.seconds)
}

/// What is said of a scan that windows of voxels cannot be cut of.
pub(crate) fn left_out(n_frames: usize, kept: &Kept) -> String {
    let of = kept.of;
    format!(
        "has {n_frames} of the {of} frames of its run, and windows of voxels are cut without gaps: give \
         the run with all frames"
    )
}

/// Why a scan has no timing; `unknown` makes an error of a repetition time that is not known.
fn untimed(path: &Path, reason: Reason, unknown: impl FnOnce(PathBuf, String) -> Error) -> Error {
    let path = path.to_path_buf();
    match reason {
        Reason::RepetitionTime { problem } => unknown(path, problem),
        reason => Error::Recording { path, problem: reason.to_string() },
    }
}

/// As near as the mask asks of scans of one grid.
fn is_near(a: &[[f64; 4]; 4], b: &[[f64; 4]; 4]) -> bool {
    a.iter().flatten().zip(b.iter().flatten()).all(|(a, b)| (a - b).abs() <= 1e-3)
}

/// `40×20×1 at (60.4, -35.6, 0.0)`.
fn place(grid: &[usize], affine: &[[f64; 4]; 4]) -> String {
    let sides: Vec<String> = grid.iter().map(usize::to_string).collect();
    let [x, y, z] = [0, 1, 2].map(|axis| affine[axis][3]);
    format!("{} at ({x:.1}, {y:.1}, {z:.1})", sides.join("×"))
}

/// A copy of a scan under another name may not be trained on and tested.
pub(super) fn check_same_bytes(cohort: &CohortPlan, splits: &[Split]) -> Result<()> {
    let split_of = |scan_idx: usize| {
        let row = cohort.rows.iter().position(|row| row.scan_idx == scan_idx);
        row.map(|row| splits[row])
    };
    for (idx, scan) in cohort.scans.iter().enumerate() {
        let same = cohort.scans[..idx].iter().position(|earlier| earlier.sha256 == scan.sha256);
        let Some(earlier) = same else { continue };
        if let (Some(first_split), Some(split)) = (split_of(earlier), split_of(idx))
            && first_split != split
        {
            let (path, first) = (scan.path.clone(), cohort.scans[earlier].path.clone());
            return Err(Error::SameScan { path, first, first_split, split });
        }
    }
    Ok(())
}
