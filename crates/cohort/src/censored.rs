//! Series from which censored frames were removed: their rows are not evenly spaced in time.
//!
//! XCP-D writes `sub-…_outliers.tsv` with a row for every frame of the run, 1 where a frame was censored,
//! and in its mode `linc` leaves the censored frames out of series and images, with the repetition time
//! as it was.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use crate::{
    entity::{BidsName, RECORDING},
    reason::Reason,
};

/// The most bytes of a table whose rows are counted.
const MAX_BYTES: u64 = 1 << 30;

/// Refuses a scan whose table of outliers has more rows than the scan has frames.
pub(crate) fn evenly_spaced(scan: &Path, n_frames: Option<usize>) -> Result<(), Reason> {
    let (Some(found), Some(expected)) = (n_frames, frames_of_outliers(scan)) else { return Ok(()) };
    if found == expected { Ok(()) } else { Err(Reason::Censored { found, expected }) }
}

/// Rows of the table of outliers of the same recording, where one lies beside the scan.
fn frames_of_outliers(scan: &Path) -> Option<usize> {
    let name = BidsName::parse(scan.file_name()?.to_str()?)?;
    let table = format!("{}_outliers.tsv", name.entities.only(&RECORDING));
    count(&scan.with_file_name(table))
}

/// Frames of a table `…_timeseries.tsv`, whose rows BIDS makes the frames.
pub(crate) fn rows_of_table(path: &Path) -> Option<usize> {
    let name = BidsName::parse(path.file_name()?.to_str()?)?;
    (name.suffix == "timeseries" && [".tsv", ".1D"].contains(&name.extension.as_str()))
        .then(|| count(path))
        .flatten()
}

/// Rows of a table below its line of names, if it has one.
fn count(path: &Path) -> Option<usize> {
    let file = File::open(path).ok().filter(|file| {
        file.metadata().is_ok_and(|file| file.is_file() && file.len() <= MAX_BYTES)
    })?;
    let mut lines = BufReader::new(file).split(b'\n');
    let is_row = |line: &Vec<u8>| {
        let line = line.trim_ascii();
        !line.is_empty() && !line.starts_with(b"#")
    };
    let mut rows = lines.by_ref().map_while(std::io::Result::ok).filter(is_row);
    let (first, second) = (rows.next()?, rows.next());
    let header = usize::from(is_header(&first, second.as_deref()));
    Some(1 + usize::from(second.is_some()) + rows.count() - header)
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
            assert_eq!(rows_of_table(&path), Some(n), "{text:?}");
        }
        assert_eq!(rows_of_table(&path.with_extension("csv")), None);
    }

    #[test]
    fn a_series_without_its_censored_frames_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub-01_task-rest_run-2_atlas-A_stat-mean_timeseries.tsv");
        let rows = |name: &str, n: usize| format!("{name}\n{}", "0\n".repeat(n));
        write(&path, &rows("a", 51));
        assert_eq!(evenly_spaced(&path, Some(51)), Ok(()));
        write(&dir.path().join("sub-01_task-rest_outliers.tsv"), &rows("fd", 70));
        assert_eq!(evenly_spaced(&path, Some(51)), Ok(()), "of another run");
        write(&dir.path().join("sub-01_task-rest_run-2_outliers.tsv"), &rows("fd", 60));
        let reason = Err(Reason::Censored { found: 51, expected: 60 });
        assert_eq!(evenly_spaced(&path, Some(51)), reason);
        assert_eq!(evenly_spaced(&path, Some(60)), Ok(()), "interpolated");
        assert_eq!(evenly_spaced(&path, None), Ok(()));
    }
}
