//! `quality`: what was measured of each recording, as a table with its dictionary.
mod config;

pub use config::QualityConfig;

use std::path::Path;

use preprocess::{Kind, Measured, Quantity};
use serde_json::{Map, Value, json};
use tables::{Column, Separator, Table};

use super::{
    Artifact,
    cohort_columns::CohortColumns,
    work::{Preparation, Work, load_failures, write_failures},
};
use crate::{Result, event::Control, media::Media};

const TABLE: &str = "quality.tsv";
const DICTIONARY: &str = "quality.json";

impl Work for QualityConfig {
    fn name(&self) -> &'static str {
        "quality"
    }

    fn version(&self) -> u32 {
        1
    }

    fn signature(&self) -> (Artifact, Artifact) {
        let series = Artifact::Media(Kind::ParcelSeries);
        (series, series)
    }

    fn gives(&self, have: Artifact) -> Option<Artifact> {
        where_measured(have)
    }

    fn preparation(&self) -> Option<&dyn Preparation> {
        Some(self)
    }
}

/// What there is after a stage that asks what was measured: the same as before, where a stage has read the
/// recordings.
pub(super) fn where_measured(have: Artifact) -> Option<Artifact> {
    let is_read = [Kind::ParcelSeries, Kind::Tokens].map(Artifact::Media).contains(&have);
    is_read.then_some(have)
}

impl Preparation for QualityConfig {
    fn is_by_recording(&self) -> bool {
        true
    }

    fn inputs(&self, media: &Media<'_>) -> Value {
        CohortColumns::of(media).decides()
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let mut scans = Vec::new();
        for idx in (0..media.scans().len()).filter(|idx| !media.failures.contains_key(idx)) {
            control.checkpoint()?;
            scans.extend(media.measured(idx)?.map(|measured| (idx, measured)));
        }
        if !scans.is_empty() {
            let table = table(media, &scans)?;
            files::write_atomic(&dir.join(TABLE), &table.to_text(Separator::Tab)?)?;
            files::write_json(&dir.join(DICTIONARY), &dictionary(&table))?;
        }
        write_failures(dir, &[])
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        load_failures(media, self.name(), dir)?;
        for name in [TABLE, DICTIONARY] {
            let file = dir.join(name);
            if file.is_file() {
                media.files.insert(name.to_owned(), file);
            }
        }
        Ok(())
    }
}

/// A row a recording: who, what was measured, fold, split and labels.
fn table(media: &Media<'_>, scans: &[(usize, Measured)]) -> Result<Table> {
    let measured = Measured::QUANTITIES.iter().enumerate().map(|(at, quantity)| {
        let values = scans.iter().map(|(_, it)| it.values()[at]);
        let column = if quantity.is_count {
            Column::Integer(values.map(|it| it.map(|n| n as i64)).collect())
        } else {
            Column::Number(values.collect())
        };
        (quantity.name.to_owned(), column)
    });
    let scans: Vec<usize> = scans.iter().map(|(idx, _)| *idx).collect();
    CohortColumns::of(media).of_recordings(media, &scans, measured.collect())
}

/// What the columns of a table of recordings hold, as BIDS describes them.
fn dictionary(table: &Table) -> Value {
    let described = |quantity: &Quantity| {
        let mut said = json!({ "Description": quantity.description });
        if let Some(units) = quantity.units {
            said["Units"] = json!(units);
        }
        said
    };
    let mut all: Map<String, Value> = super::cohort_columns::described(table);
    for quantity in &Measured::QUANTITIES {
        all.insert(quantity.name.to_owned(), described(quantity));
    }
    all.into()
}
