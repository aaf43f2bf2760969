//! Series from which censored frames were left out: where their frames stood in the run.
//!
//! XCP-D writes `sub-…_outliers.tsv` with a row for every frame of the run, 1 where a frame was censored,
//! and in its mode `linc` leaves the censored frames out of series and images, with the repetition time
//! as it was.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use files::FileIndex;
use scan::FailureKind;
use serde::{Deserialize, Serialize};

use crate::{
    entity::{BidsName, RECORDING},
    reason::{Part, Reason},
};

/// The most bytes of a table whose rows are counted.
const MAX_BYTES: u64 = 1 << 30;

/// The frames of a run that a scan still has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Their numbers in the run, from 0, ascending.
    pub frames: Vec<usize>,
    /// Frames of the run.
    pub of: usize,
}

/// Where the frames of a scan stood in its run, by the table of outliers of the same recording beside it;
/// none where the scan has all of them, or no such table is there.
///
/// # Errors
/// Where the table keeps another number of frames than the scan has, with both, or cannot be read.
pub(crate) fn placed(
    scan: &Path,
    n_frames: Option<usize>,
    known: &FileIndex,
) -> Result<Option<Kept>, Reason> {
    let (Some(found), Some(table)) = (n_frames, outliers_of(scan)) else { return Ok(None) };
    if !table.is_file() {
        return Ok(None);
    }
    known.fact(&table, &[], &format!("kept of {found}"), || placed_by(&table, found))
}

fn placed_by(table: &Path, found: usize) -> Result<Option<Kept>, Reason> {
    let Some(flags) = flags(table).map_err(|error| Reason::Unreadable {
        part: Part::Outliers,
        problem: error.to_string(),
        kind: FailureKind::Unreadable,
    })?
    else {
        return Ok(None);
    };
    let of = flags.len();
    if found == of {
        return Ok(None);
    }
    // the columns are kinds of outliers, of which any one or all of them may have been taken out
    let n_columns = flags.iter().map(Vec::len).max().unwrap_or(0);
    let without = |is_out: &dyn Fn(&[bool]) -> bool| -> Vec<usize> {
        (0..of).filter(|&frame| !is_out(&flags[frame])).collect()
    };
    let of_column = |at: usize| without(&|row| row.get(at).copied().unwrap_or(true));
    let all = without(&|row| row.iter().any(|flag| *flag));
    let n_kept = all.len();
    let mut fitting = (0..n_columns).map(of_column).chain([all]).filter(|it| it.len() == found);
    match fitting.next() {
        Some(frames) if fitting.all(|other| other == frames) => Ok(Some(Kept { frames, of })),
        _ => Err(Reason::Censored { found, kept: n_kept, of }),
    }
}

/// The table of outliers of the same recording, which may be there.
fn outliers_of(scan: &Path) -> Option<PathBuf> {
    let name = BidsName::parse(scan.file_name()?.to_str()?)?;
    Some(scan.with_file_name(format!("{}_outliers.tsv", name.entities.only(&RECORDING))))
}

/// The flags of each frame in a table of outliers; what is no 0 is one.
fn flags(table: &Path) -> io::Result<Option<Vec<Vec<bool>>>> {
    let is_set = |cell: &str| cell.trim().parse::<f64>().is_ok_and(|value| value != 0.0);
    let mut flags = Vec::new();
    let is_read = each_row(table, |row| {
        flags.push(String::from_utf8_lossy(row).split('\t').map(is_set).collect());
    })?;
    Ok((is_read && !flags.is_empty()).then_some(flags))
}

/// Frames of a table `…_timeseries.tsv`, whose rows BIDS makes the frames; none of other files.
///
/// # Errors
/// Where the table cannot be read.
pub(crate) fn rows_of_table(path: &Path) -> io::Result<Option<usize>> {
    let name = path.file_name().and_then(|it| BidsName::parse(it.to_str()?));
    let is_table = name.is_some_and(|it| {
        it.suffix == "timeseries" && [".tsv", ".1D"].contains(&it.extension.as_str())
    });
    let mut n_rows = 0;
    Ok((is_table && each_row(path, |_| n_rows += 1)?).then_some(n_rows))
}

/// Hands on each row of a table below its line of names, if it has one; false, without reading it, where
/// it is larger than any such table.
fn each_row(path: &Path, mut take: impl FnMut(&[u8])) -> io::Result<bool> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    if !about.is_file() || about.len() > MAX_BYTES {
        return Ok(false);
    }
    let is_row = |line: &[u8]| {
        let line = line.trim_ascii();
        !line.is_empty() && !line.starts_with(b"#")
    };
    // whether it holds names is seen by the row below
    let mut first: Option<Vec<u8>> = None;
    let mut n_seen = 0;
    for line in BufReader::new(file).split(b'\n') {
        let line = line?;
        if !is_row(&line) {
            continue;
        }
        n_seen += 1;
        if n_seen == 1 {
            first = Some(line);
            continue;
        }
        if let Some(first) = first.take().filter(|first| !is_header(first, Some(&line))) {
            take(&first);
        }
        take(&line);
    }
    if let Some(first) = first.filter(|first| !is_header(first, None)) {
        take(&first);
    }
    Ok(true)
}

/// Words, or distinct whole numbers above rows that hold others.
fn is_header(first: &[u8], second: Option<&[u8]>) -> bool {
    let cells = |line: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(line);
        text.trim_start_matches('\u{feff}')
            .trim()
            .split(['\t', ','])
            .map(|it| it.trim().to_owned())
            .collect()
    };
    let first = cells(first);
    let is_value =
        |cell: &String| matches!(cell.as_str(), "" | "n/a" | "NA") || cell.parse::<f64>().is_ok();
    if !first.iter().all(is_value) {
        return true;
    }
    let whole = |cell: &String| cell.parse::<f64>().ok().filter(|it| it.fract() == 0.0);
    let Some(mut labels) = first.iter().map(whole).collect::<Option<Vec<f64>>>() else {
        return false;
    };
    labels.sort_by(f64::total_cmp);
    let distinct = labels.windows(2).all(|pair| pair[0] < pair[1]);
    let second = second.map(cells).unwrap_or_default();
    labels.len() > 1 && distinct && second.iter().any(|cell| whole(cell).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::write;

    fn placed(scan: &Path, n_frames: Option<usize>) -> Result<Option<Kept>, Reason> {
        super::placed(scan, n_frames, &FileIndex::unkept())
    }

    #[test]
    fn rows_are_counted_below_the_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub-01_atlas-A_stat-mean_timeseries.tsv");
        for (text, n) in [
            ("a\tb\n1.5\t2\n3\tn/a\n", 2),
            ("1.5\t2\n3\t4", 2),
            ("17\t199\n0.5\t1.5\n", 1),
            ("\u{feff}a\tb\r\n\r\n1\t2\r\n", 1),
            ("# made by hand\n1\t2\n", 1),
            ("a\tb\n", 0),
        ] {
            write(&path, text);
            assert_eq!(rows_of_table(&path).unwrap(), Some(n), "{text:?}");
        }
        assert_eq!(rows_of_table(&path.with_extension("csv")).unwrap(), None);
    }

    #[test]
    fn a_table_that_cannot_be_read_is_no_answer_that_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub-01_atlas-A_stat-mean_timeseries.tsv");
        assert!(rows_of_table(&path).is_err(), "not there");
        write(&path, "a\n1\n2\n");
        assert_eq!(rows_of_table(&path).unwrap(), Some(2));
        let gone = placed_by(&dir.path().join("sub-01_outliers.tsv"), 2).unwrap_err();
        assert!(matches!(gone, Reason::Unreadable { part: Part::Outliers, .. }), "{gone}");
    }

    #[test]
    fn frames_are_placed_by_the_table_of_outliers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub-01_task-rest_atlas-A_stat-mean_timeseries.tsv");
        let outliers = |text: &str| write(&dir.path().join("sub-01_task-rest_outliers.tsv"), text);
        let kept = |frames: &[usize], of| Ok(Some(Kept { frames: frames.to_vec(), of }));
        outliers("framewise_displacement\n0\n1\n0\n0\n1\n");
        assert_eq!(placed(&path, Some(3)), kept(&[0, 2, 3], 5));
        assert_eq!(placed(&path, Some(5)), Ok(None), "interpolated");
        let reason = Err(Reason::Censored { found: 4, kept: 3, of: 5 });
        assert_eq!(placed(&path, Some(4)), reason);
        // several kinds of outliers: the one that fits, or all of them
        outliers("fd\tdvars\n0.0\t0\n1.0\t0\n0.0\t1\n0.0\t0\n1.0\t0\n");
        assert_eq!(placed(&path, Some(3)), kept(&[0, 2, 3], 5));
        assert_eq!(placed(&path, Some(4)), kept(&[0, 1, 3, 4], 5));
        assert_eq!(placed(&path, Some(2)), kept(&[0, 3], 5));
        // two kinds that fit, and keep other frames
        outliers("fd\tdvars\n0\t1\n1\t0\n0\t0\n");
        assert_eq!(placed(&path, Some(2)), Err(Reason::Censored { found: 2, kept: 1, of: 3 }));
    }

    #[test]
    fn a_series_of_another_number_of_frames_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub-01_task-rest_run-2_atlas-A_stat-mean_timeseries.tsv");
        let rows = |name: &str, n: usize| format!("{name}\n{}", "0\n".repeat(n));
        write(&path, &rows("a", 51));
        assert_eq!(placed(&path, Some(51)), Ok(None));
        write(&dir.path().join("sub-01_task-rest_outliers.tsv"), &rows("fd", 70));
        assert_eq!(placed(&path, Some(51)), Ok(None), "of another run");
        write(&dir.path().join("sub-01_task-rest_run-2_outliers.tsv"), &rows("fd", 60));
        let reason = Err(Reason::Censored { found: 51, kept: 60, of: 60 });
        assert_eq!(placed(&path, Some(51)), reason);
        assert_eq!(placed(&path, Some(60)), Ok(None), "interpolated");
        assert_eq!(placed(&path, None), Ok(None));
    }
}
