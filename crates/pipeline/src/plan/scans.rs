//! What the scans' headers say, without a voxel read.
use super::{CohortPlan, ScanPlan};
use crate::{Error, Result};
use scan::Split;

/// What all scans share.
pub(super) struct Facts {
    pub(super) t_r_s: f64,
    pub(super) grid: Vec<usize>,
}

/// Fills in the frames of each scan; all must have the first one's TR and grid.
pub(super) fn check_headers(scans: &mut [ScanPlan], problems: &mut Vec<Error>) -> Option<Facts> {
    let mut first: Option<(usize, Facts)> = None;
    for idx in 0..scans.len() {
        let path = scans[idx].path.clone();
        let header = match scan::inspect(&path) {
            Ok(header) => header,
            // only its voxels are bad: the run fails this scan and goes on with the others
            Err(scan::Error::Truncated { .. } | scan::Error::Gzip { .. }) => continue,
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
        let Some(t_r_s) = header.t_r else {
            let problem = header.t_r_source;
            problems.push(scan::Error::RepetitionTime { path, problem }.into());
            continue;
        };
        scans[idx].n_frames = Some(n_frames);
        let grid = vec![x, y, z];
        match &first {
            None => first = Some((idx, Facts { t_r_s, grid })),
            Some((at, facts)) => {
                let first = scans[*at].path.clone();
                if (t_r_s - facts.t_r_s).abs() > 1e-6 * facts.t_r_s {
                    let expected = facts.t_r_s;
                    let (path, first) = (path.clone(), first.clone());
                    problems.push(Error::RepetitionTime { path, found: t_r_s, first, expected });
                }
                if grid != facts.grid {
                    let expected = facts.grid.clone();
                    problems.push(Error::Grid { path, found: grid, first, expected });
                }
            }
        }
    }
    if first.is_none() && problems.is_empty() {
        // every scan is damaged below its header: say so now, nothing could be run
        problems.extend(scan::inspect(&scans[0].path).err().map(Error::from));
    }
    first.map(|(_, facts)| facts)
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
