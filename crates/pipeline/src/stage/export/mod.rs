//! `export`: parcel series, connectivity and embeddings as tables for other programs, each with its dictionary.
mod config;
mod matrix;
mod rows;
mod series;

pub use config::{ExportConfig, ExportFormat, ExportedConnectivity, ExportedWindows};

use std::path::{Path, PathBuf};

use preprocess::Kind;
use serde_json::Value;

use self::rows::Rows;
use super::{
    Artifact,
    cohort_columns::{CohortColumns, described},
    quality::where_measured,
    work::{Preparation, Work, load_failures, write_failures},
};
use crate::{Error, Result, event::Control, media::Media};

const FOLDER: &str = "export";

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
                matrix::write(connectivity, self.format, media, &scans, &folder, control)?;
            }
            if self.embeddings {
                self.write_embeddings(media, &folder)?;
            }
        }
        write_failures(dir, &[])
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        load_failures(media, self.name(), dir)?;
        let mut folders = vec![PathBuf::from(FOLDER)];
        while let Some(folder) = folders.pop().filter(|it| dir.join(it).is_dir()) {
            for name in files::list(&dir.join(&folder))? {
                let inside = folder.join(&name);
                if dir.join(&inside).is_dir() {
                    folders.push(inside);
                } else {
                    media.files.insert(inside.display().to_string(), dir.join(&inside));
                }
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
            let dictionary = described(&table);
            let rows = Rows::of_vectors(&table, "embedding")?;
            rows.write(dictionary, self.format, dir, stem)?;
        }
        Ok(())
    }
}
