//! The series of parcels, a file a recording.
use std::{collections::BTreeSet, path::Path};

use preprocess::SeriesFacts;
use scan::{Parcel, ParcelSeries};
use serde_json::{Map, Value, json};
use tables::{Column, Table};

use super::{config::ExportFormat, rows};
use crate::{
    Result,
    event::Control,
    media::Media,
    stage::{
        cohort_columns::{CohortColumns, described},
        prepared_series,
    },
};

/// A file a recording, a list of them, and what their columns are.
pub(super) fn write(
    format: ExportFormat,
    media: &Media<'_>,
    scans: &[usize],
    dir: &Path,
    control: &mut Control<'_>,
) -> Result<()> {
    let parcels = parcels(media);
    let names = unique_names(&parcels);
    let folder = dir.join("series");
    files::make_dir(&folder)?;
    let mut listed: Vec<(String, SeriesFacts)> = Vec::with_capacity(scans.len());
    for &idx in scans {
        control.checkpoint()?;
        let series = prepared_series(media, idx)?;
        let file = format!("{}_timeseries.{}", media.scans()[idx].name, format.ending());
        let path = folder.join(&file);
        if format == ExportFormat::Hdf5 {
            let facts = &series.facts;
            scan::write_hdf5(
                &path,
                &ParcelSeries {
                    values: series.values,
                    t_r: facts.t_r_s,
                    parcels: parcels.clone(),
                    lost: facts.lost.clone(),
                    coverage: facts.coverage.clone(),
                    n_nonfinite_frames: facts.n_nonfinite_frames,
                },
            )?;
        } else {
            let columns = names.iter().zip(series.values.columns()).map(|(name, column)| {
                (name.clone(), Column::Number(column.iter().map(|&x| Some(x)).collect()))
            });
            rows::write_table(&Table::new(columns)?, format, &path)?;
        }
        listed.push((format!("series/{file}"), series.facts));
    }
    let columns = vec![
        ("file".to_owned(), Column::Text(listed.iter().map(|it| Some(it.0.clone())).collect())),
        (
            "n_frames".to_owned(),
            Column::Integer(listed.iter().map(|it| Some(it.1.n_frames as i64)).collect()),
        ),
        ("t_r".to_owned(), Column::Number(listed.iter().map(|it| Some(it.1.t_r_s)).collect())),
    ];
    let table = CohortColumns::of(media).of_recordings(media, scans, columns)?;
    let mut dictionary = described(&table);
    for (name, said) in [
        ("file", "The series, below the folder of this table"),
        ("n_frames", "Frames of the series"),
    ] {
        dictionary.insert(name.to_owned(), json!({ "Description": said }));
    }
    let seconds = json!({ "Description": "Seconds between two frames", "Units": "s" });
    dictionary.insert("t_r".to_owned(), seconds);
    rows::write_described(&table, dictionary, format, dir, "recordings")?;
    let of_parcel = |(name, parcel): (&String, &Parcel)| {
        let said = json!({
            "Description": "Series of a parcel, as left by the stages before export",
            "Parcel": parcel.name, "Label": parcel.label, "CentreMm": parcel.centre_mm,
        });
        (name.clone(), said)
    };
    let columns: Map<String, Value> = names.iter().zip(&parcels).map(of_parcel).collect();
    Ok(files::write_json(&dir.join("timeseries.json"), &columns)?)
}

pub(super) fn parcels(media: &Media<'_>) -> Vec<Parcel> {
    media.parcels.as_ref().expect("the plan asks for parcel series").about.parcels.clone()
}

/// A name for each parcel that no other has: atlases name both sides of a region alike.
pub(super) fn unique_names(parcels: &[Parcel]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let named = |parcel: &Parcel| {
        let plain = files::one_line(&parcel.name);
        let mut name = if plain.is_empty() { parcel.label.to_string() } else { plain };
        while !taken.insert(name.clone()) {
            name = format!("{name}_{}", parcel.label);
        }
        name
    };
    parcels.iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parcels_of_one_name_get_columns_of_their_own() {
        let parcel = |label, name: &str| Parcel { label, name: name.to_owned(), centre_mm: None };
        let parcels = [parcel(1, "V1"), parcel(2, "V1"), parcel(3, ""), parcel(4, "V1_2")];
        assert_eq!(unique_names(&parcels), ["V1", "V1_2", "3", "V1_2_4"]);
    }
}
