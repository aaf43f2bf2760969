//! The matrix of connectivity of each recording, or of its windows: the triangle below the diagonal as a row.
use std::path::Path;

use ndarray::{Array2, ArrayView2, s};
use preprocess::StoredSeries;
use report::counted;
use scan::Parcel;
use serde_json::json;
use tables::{Column, Table};

use super::{
    config::{ExportFormat, ExportedConnectivity},
    rows::{self, Rows},
    series::{parcels, unique_names},
};
use crate::{
    Error, Result,
    event::{Control, Event},
    media::Media,
    stage::{
        cohort_columns::{CohortColumns, described},
        prepared_series,
        work::each_scan,
    },
};

/// Where a row's numbers are from.
struct Place {
    scan_idx: usize,
    /// Which window of the recording, from 0.
    window: usize,
    /// First frame and frames, and seconds from the first frame of the series.
    frames: (usize, usize),
    t_r_s: f64,
}

/// A row a recording or a window, and the list of edges.
pub(super) fn write(
    config: &ExportedConnectivity,
    format: ExportFormat,
    media: &Media<'_>,
    scans: &[usize],
    (stage_dir, dir): (&Path, &Path),
    control: &mut Control<'_>,
) -> Result<()> {
    let parcels = parcels(media);
    let names = unique_names(&parcels);
    let pairs: Vec<(usize, usize)> =
        (0..parcels.len()).flat_map(|row| (0..row).map(move |column| (row, column))).collect();
    let mut n_rows = 0;
    for &idx in scans {
        n_rows += media.measured(idx)?.map_or(0, |it| config.frames(it.n_frames).len());
    }
    fits(media, format, n_rows * pairs.len())?;
    let (mut places, mut values, mut n_short) = (Vec::new(), Vec::new(), 0);
    // what cannot be had of one recording leaves that one out
    each_scan(media, "export", stage_dir, control, |scan_idx| {
        let series = prepared_series(media, scan_idx)?;
        let frames = config.frames(series.values.nrows());
        n_short += usize::from(frames.is_empty());
        let mut edges = Vec::with_capacity(frames.len());
        for &(first, n_frames) in &frames {
            let part = series.values.slice(s![first..first + n_frames, ..]);
            edges.push(config.edges(part, &series, &parcels)?);
        }
        let t_r_s = series.facts.t_r_s;
        let windows = frames.into_iter().enumerate();
        places.extend(windows.map(|(window, frames)| Place { scan_idx, window, frames, t_r_s }));
        values.extend(edges.into_iter().flatten());
        Ok(())
    })?;
    if n_short > 0 {
        let scans = counted(n_short, "scan");
        let text = format!("{scans} shorter than a window of connectivity, which gives no row");
        control.tell(Event::Note { stage: "export", text });
    }
    let values = Array2::from_shape_vec((places.len(), pairs.len()), values);
    let values = values.expect("each row has an edge for each pair");
    let about = config.about(media, &places)?;
    let mut dictionary = described(&about);
    for (name, said) in [
        ("window", "The window of the recording, from 0"),
        ("first_frame", "The first frame of the window in the series, from 0"),
        ("n_frames", "Frames of which the connectivity is"),
    ] {
        if about.column(name).is_some() {
            dictionary.insert(name.to_owned(), json!({ "Description": said }));
        }
    }
    if config.windows.is_some() {
        let said = "Seconds from the first frame of the series";
        dictionary.insert("onset".to_owned(), json!({ "Description": said, "Units": "s" }));
    }
    let edge = |(row, column): &(usize, usize)| format!("{}~{}", names[*row], names[*column]);
    let edges: Vec<String> = pairs.iter().map(edge).collect();
    dictionary.insert(
        "connectivity".to_owned(),
        json!({
            "Description": "Connectivity of two parcels, called as they are with ~ between: the triangle \
                            below the diagonal, row by row; none where one of them has no data",
            "Kind": config.kind, "Estimator": config.estimator,
        }),
    );
    write_edges(&pairs, &edges, &names, &parcels, format, dir)?;
    let rows = Rows { about, called: "connectivity", names: edges, values };
    rows.write(dictionary, format, dir, "connectivity")
}

/// Refuses a table that memory cannot hold.
fn fits(media: &Media<'_>, format: ExportFormat, n_values: usize) -> Result<()> {
    // the matrix, and its copies as columns and as the bytes of a file
    let n_bytes_each = match format {
        ExportFormat::Tsv => 8 + 16 + 20,
        ExportFormat::Parquet => 8 + 3 * 4,
        ExportFormat::Hdf5 => 8,
    };
    let (needed, limit) = (n_bytes_each * n_values as u64, media.plan.budget.n_bytes);
    if needed <= limit {
        return Ok(());
    }
    let problem = format!(
        "connectivity takes {} MB of memory, the limit is {} MB: expected fewer parcels or windows, or a \
         larger --mem-mb",
        needed / 1_000_000,
        limit / 1_000_000
    );
    Err(Error::StageInput { stage: "export", problem })
}

impl ExportedConnectivity {
    /// First frame and frames of each row of a recording.
    fn frames(&self, n: usize) -> Vec<(usize, usize)> {
        let Some(windows) = self.windows else { return vec![(0, n)] };
        let firsts = (0..n).step_by(windows.stride);
        firsts
            .filter(|first| windows.n_frames <= n - first)
            .map(|first| (first, windows.n_frames))
            .collect()
    }

    /// The triangle below the diagonal; NaN where a parcel is lost, which the others do not depend on.
    fn edges(
        &self,
        part: ArrayView2<'_, f64>,
        series: &StoredSeries,
        parcels: &[Parcel],
    ) -> Result<Vec<f64>> {
        let lost = &series.facts.lost;
        let there: Vec<usize> =
            (0..parcels.len()).filter(|&at| !lost.contains(&parcels[at].label)).collect();
        let known = part.select(ndarray::Axis(1), &there);
        let found = scan::connectivity(&known, self.kind, self.estimator)?;
        let mut all = Array2::from_elem((parcels.len(), parcels.len()), f64::NAN);
        for (row, &into_row) in there.iter().enumerate() {
            for (column, &into_column) in there.iter().enumerate() {
                all[[into_row, into_column]] = found[[row, column]];
            }
        }
        Ok(scan::lower_triangle(&all))
    }

    /// Whose each row is, and of which frames.
    fn about(&self, media: &Media<'_>, places: &[Place]) -> Result<Table> {
        let scans: Vec<usize> = places.iter().map(|it| it.scan_idx).collect();
        let whole = |of: &dyn Fn(usize) -> usize| {
            Column::Integer((0..places.len()).map(|row| Some(of(row) as i64)).collect())
        };
        let mut columns = vec![("n_frames".to_owned(), whole(&|row| places[row].frames.1))];
        if self.windows.is_some() {
            let onset = |it: &Place| Some(it.frames.0 as f64 * it.t_r_s);
            columns.push(("window".to_owned(), whole(&|row| places[row].window)));
            columns.push(("first_frame".to_owned(), whole(&|row| places[row].frames.0)));
            columns.push(("onset".to_owned(), Column::Number(places.iter().map(onset).collect())));
        }
        CohortColumns::of(media).of_recordings(media, &scans, columns)
    }
}

/// Which two parcels each edge joins.
fn write_edges(
    pairs: &[(usize, usize)],
    edges: &[String],
    names: &[String],
    parcels: &[Parcel],
    format: ExportFormat,
    dir: &Path,
) -> Result<()> {
    let text = |of: &dyn Fn(&(usize, usize)) -> String| {
        Column::Text(pairs.iter().map(|pair| Some(of(pair))).collect())
    };
    let label = |of: &dyn Fn(&(usize, usize)) -> usize| {
        Column::Integer(pairs.iter().map(|pair| Some(i64::from(parcels[of(pair)].label))).collect())
    };
    let table = Table::new([
        ("edge", Column::Text(edges.iter().cloned().map(Some).collect())),
        ("first", text(&|pair| names[pair.0].clone())),
        ("second", text(&|pair| names[pair.1].clone())),
        ("first_label", label(&|pair| pair.0)),
        ("second_label", label(&|pair| pair.1)),
    ])?;
    let dictionary = json!({
        "edge": { "Description": "The edge, in the order of the table of connectivity" },
        "first": { "Description": "The parcel of the row of the matrix" },
        "second": { "Description": "The parcel of its column" },
        "first_label": { "Description": "Label of the first parcel in the atlas" },
        "second_label": { "Description": "Label of the second parcel in the atlas" },
    });
    let dictionary = dictionary.as_object().cloned().unwrap_or_default();
    rows::write_described(&table, dictionary, format, dir, "edges")
}

#[cfg(test)]
mod tests {
    use scan::{ConnectivityKind, CovarianceEstimator};

    use super::*;
    use crate::stage::export::config::ExportedWindows;

    #[test]
    fn windows_lie_where_whole_ones_are() {
        let windows = Some(ExportedWindows { n_frames: 20, stride: 15 });
        let (kind, estimator) = (ConnectivityKind::Correlation, CovarianceEstimator::Empirical);
        let config = ExportedConnectivity { kind, estimator, windows };
        assert_eq!(config.frames(50), [(0, 20), (15, 20), (30, 20)]);
        assert_eq!(config.frames(49), [(0, 20), (15, 20)]);
        assert!(config.frames(19).is_empty());
        let whole = ExportedConnectivity { windows: None, ..config };
        assert_eq!(whole.frames(19), [(0, 19)]);
    }
}
