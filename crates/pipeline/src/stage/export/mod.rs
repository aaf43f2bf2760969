//! `export`: parcel series, connectivity and embeddings as tables for other programs, each with its dictionary.
mod config;
mod matrix;
mod rows;
mod series;

pub use config::{ExportConfig, ExportFormat, ExportedConnectivity, ExportedWindows};

use std::path::Path;

use preprocess::Kind;
use serde_json::{Value, json};

use self::rows::Rows;
use super::{
    Artifact,
    cohort_columns::{CohortColumns, described},
    quality::where_measured,
    work::{Preparation, Work, load_failures, write_failures},
};
use crate::{Error, Result, event::Control, media::Media};

const FOLDER: &str = "export";

/// What `embed` writes beside labels; a label of such a name has a prefix.
const COLUMNS: [(&str, &str); 13] = [
    ("n_runs", "Recordings of the person that were joined"),
    ("n_windows", "Windows, the sum over runs"),
    ("n_frames", "Frames, the sum over runs"),
    ("t_r_s", "Seconds between two frames, the mean over runs"),
    ("mean_fd_mm", "Mean framewise displacement in mm, the mean over runs"),
    ("median_tsnr", "Median temporal signal-to-noise ratio, the mean over runs"),
    ("median_dvars_percent", "Median DVARS in percent, the mean over runs"),
    ("n_lost_parcels", "Parcels without data, the sum over runs"),
    ("strategy", "Name of the recipe"),
    ("pooling", "How windows, runs and people were joined"),
    ("encoder", "Name of the encoder"),
    ("encoder_sha256", "What identifies the encoder"),
    ("preparation_sha256", "What identifies the stages before the encoder"),
];

impl Work for ExportConfig {
    fn name(&self) -> &'static str {
        "export"
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

    fn check(&self) -> Result<()> {
        let stage = self.name();
        if !self.series && self.connectivity.is_none() && !self.embeddings {
            let problem = "writes nothing, expected `series`, `connectivity` or `embeddings`";
            return Err(Error::StageInput { stage, problem: problem.to_owned() });
        }
        if self.embeddings && self.format == ExportFormat::Parquet {
            let expected = "tsv or hdf5: tables of embeddings are written as Parquet without it";
            let (found, expected) = ("parquet".to_owned(), expected.to_owned());
            return Err(Error::Setting { stage, field: "format", found, expected });
        }
        let windows = self.connectivity.and_then(|it| it.windows);
        let least = [
            ("connectivity.windows.n_frames", windows.map(|it| it.n_frames), 3),
            ("connectivity.windows.stride", windows.map(|it| it.stride), 1),
        ];
        for (field, found, least) in least {
            if let Some(found) = found.filter(|found| *found < least) {
                let (found, expected) = (found.to_string(), format!("at least {least}"));
                return Err(Error::Setting { stage, field, found, expected });
            }
        }
        Ok(())
    }

    fn preparation(&self) -> Option<&dyn Preparation> {
        Some(self)
    }
}

impl Preparation for ExportConfig {
    fn inputs(&self, media: &Media<'_>) -> Value {
        CohortColumns::of(media).decides()
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let scans: Vec<usize> =
            (0..media.scans().len()).filter(|idx| !media.failures.contains_key(idx)).collect();
        if !scans.is_empty() {
            let folder = dir.join(FOLDER);
            files::make_dir(&folder)?;
            if self.series {
                series::write(self.format, media, &scans, &folder, control)?;
            }
            if let Some(connectivity) = &self.connectivity {
                let dirs = (dir, &*folder);
                matrix::write(connectivity, self.format, media, &scans, dirs, control)?;
            }
            if self.embeddings {
                self.write_embeddings(media, &folder)?;
            }
        }
        // connectivity is had of each recording by itself, and has said what failed
        if scans.is_empty() || self.connectivity.is_none() {
            write_failures(dir, &[])
        } else {
            Ok(())
        }
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        load_failures(media, self.name(), dir)?;
        let folder = dir.join(FOLDER);
        if folder.is_dir() {
            for inside in files::below(&folder)? {
                let name = Path::new(FOLDER).join(&inside).display().to_string();
                media.files.insert(name, folder.join(inside));
            }
        }
        Ok(())
    }
}

impl ExportConfig {
    /// The tables of embeddings, as they are at this place.
    fn write_embeddings(&self, media: &Media<'_>, dir: &Path) -> Result<()> {
        let files = media.embeddings.iter().flat_map(|it| &it.files);
        for (name, bytes) in files.filter(|(name, _)| name.ends_with(".parquet")) {
            let table = tables::read_parquet(Path::new(name), bytes.clone())?;
            let stem = name.trim_end_matches(".parquet");
            let mut dictionary = described(&table);
            let said = "The vector of the row, as the stage embed joined it";
            dictionary.insert("embedding".to_owned(), json!({ "Description": said }));
            for (name, said) in COLUMNS.iter().filter(|(name, _)| table.column(name).is_some()) {
                dictionary.insert((*name).to_owned(), json!({ "Description": said }));
            }
            let rows = Rows::of_vectors(&table, "embedding")?;
            rows.write(dictionary, self.format, dir, stem)?;
        }
        Ok(())
    }
}
