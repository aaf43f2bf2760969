//! What is read: windows of scans with their reports, recordings, or text alone.
use std::{collections::BTreeMap, path::PathBuf};

use ::cohort::{ArrowConfig, BidsConfig, FilesConfig, Hdf5Config, ManifestConfig, SplitConfig};
use config::Component;
use report::{prompt::PromptTemplate, slots::SlotSet};
use scan::SplitUnit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::BenchmarkSpec;
use crate::{Error, Result};

/// The input of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CohortSpec {
    /// Windows of scans paired with reports.
    Pairs(PairsSpec),
    /// Images to caption.
    Pictures(PicturesSpec),
    /// Pictures with captions, questions or classes, to be asked with solved examples before them.
    Benchmark(BenchmarkSpec),
    /// Text without scans, to train a language model on.
    Corpus(CorpusSpec),
    /// Recordings of a BIDS dataset, or of derivatives such as fMRIPrep's.
    Bids(BidsConfig),
    /// Parcel series in the rows of Arrow files, as `brainmarks` keeps them.
    Arrow(ArrowConfig),
    /// Recordings found by a path pattern, such as HCP's folders or a laboratory's own.
    Files(FilesConfig),
    /// Recordings that a CSV, TSV or Parquet table lists.
    Manifest(ManifestConfig),
    /// Parcel series of many subjects in one HDF5 file.
    Hdf5(Hdf5Config),
}

impl CohortSpec {
    /// Its name in the file.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Pairs(_) => "pairs",
            Self::Pictures(_) => "pictures",
            Self::Benchmark(_) => "benchmark",
            Self::Corpus(_) => "corpus",
            Self::Bids(_) => "bids",
            Self::Arrow(_) => "arrow",
            Self::Files(_) => "files",
            Self::Manifest(_) => "manifest",
            Self::Hdf5(_) => "hdf5",
        }
    }

    /// Every path it names.
    pub(super) fn paths(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::Pairs(pairs) => {
                let tables = pairs.media.values_mut().filter_map(MediumSpec::table_mut);
                [&mut pairs.table].into_iter().chain(tables).collect()
            }
            Self::Pictures(pictures) => vec![&mut pictures.table],
            Self::Benchmark(benchmark) => benchmark.paths(),
            Self::Corpus(corpus) => vec![&mut corpus.texts],
            Self::Bids(bids) => {
                [&mut bids.dir].into_iter().chain(&mut bids.root).chain(&mut bids.labels).collect()
            }
            Self::Arrow(arrow) => [&mut arrow.dir].into_iter().chain(&mut arrow.labels).collect(),
            Self::Files(files) => [&mut files.dir]
                .into_iter()
                .chain(&mut files.root)
                .chain(&mut files.labels)
                .collect(),
            Self::Manifest(manifest) => [&mut manifest.table]
                .into_iter()
                .chain(&mut manifest.root)
                .chain(&mut manifest.labels)
                .collect(),
            Self::Hdf5(hdf5) => [&mut hdf5.file].into_iter().chain(&mut hdf5.labels).collect(),
        }
    }

    /// How recordings are divided.
    pub(crate) fn split(&self) -> Option<&SplitConfig> {
        match self {
            Self::Pairs(_) | Self::Pictures(_) | Self::Benchmark(_) | Self::Corpus(_) => None,
            Self::Bids(bids) => bids.split.as_ref(),
            Self::Arrow(arrow) => arrow.split.as_ref(),
            Self::Files(files) => files.split.as_ref(),
            Self::Manifest(manifest) => manifest.split.as_ref(),
            Self::Hdf5(hdf5) => hdf5.split.as_ref(),
        }
    }

    /// Refuses what is wrong whatever the files hold.
    pub(crate) fn check(&self) -> Result<()> {
        let checked = match self {
            Self::Pairs(_) | Self::Pictures(_) | Self::Benchmark(_) | Self::Corpus(_) => Ok(()),
            Self::Bids(bids) => bids.check(),
            Self::Arrow(arrow) => arrow.check(),
            Self::Files(files) => files.check(),
            Self::Manifest(manifest) => manifest.check(),
            Self::Hdf5(hdf5) => hdf5.check(),
        };
        checked.map_err(|source| self.error(source))
    }

    /// An error of the cohort, which knows where in the file it stands.
    pub(crate) fn error(&self, source: ::cohort::Error) -> Error {
        Error::Cohort { kind: self.name(), source: Box::new(source) }
    }
}

/// How recordings lie in a file of many, where the cohort is one.
pub(crate) fn stack(spec: &super::Spec) -> Option<&Hdf5Config> {
    match &spec.cohort {
        CohortSpec::Hdf5(config) => Some(config),
        _ => None,
    }
}

/// A table of windows and reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PairsSpec {
    /// CSV, TSV or Parquet with the columns subject, session, scan, onset, duration, report, split.
    pub table: PathBuf,
    /// The unit that stays in one split as a whole.
    pub split_unit: SplitUnit,
    /// The statements of a report that can be right or wrong. Without slots, reports are free text,
    /// scored by similarity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<Component<SlotSet>>,
    /// The prompt before each report; contains `{technique}` once, and may state columns that say something of the
    /// person, such as `{age}`.
    pub prompt: PromptTemplate,
    /// The media of a report by name, where there are several: the prompt says where each is looked at, as
    /// `<image:NAME>`. Default: one, the scan, which is looked at before the prompt.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub media: BTreeMap<String, MediumSpec>,
    /// Repetition time of all scans in seconds; overrides the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t_r: Option<f64>,
    /// Terms of use of the data, a sentence or an address: they stand in the card of a model that was trained on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<String>,
}

/// What a medium of a report is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediumSpec {
    /// The scan of the column `scan`, by the stages and `model.encoder`.
    Scan,
    /// Numbers of the person, such as polygenic scores or expression.
    Omics(OmicsSpec),
}

impl MediumSpec {
    fn table_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            Self::Scan => None,
            Self::Omics(omics) => omics.table.as_mut(),
        }
    }
}

/// Columns of numbers, standardised by the training people; a cell that is missing becomes their mean, and is marked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OmicsSpec {
    /// The columns. Default: all of `table` but the person's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// CSV, TSV or Parquet with a row a person, who stands in its column `subject` or `participant_id`. Default: the columns
    /// are those of the table of pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<PathBuf>,
    /// Tokens that stand for all columns together.
    #[serde(default = "n_tokens")]
    pub n_tokens: usize,
    /// Width of a token; a linear map brings it to the width of the scan's, where that is another.
    #[serde(default = "dim")]
    pub dim: usize,
}

const fn n_tokens() -> usize {
    4
}

const fn dim() -> usize {
    32
}

/// A table of pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PicturesSpec {
    /// CSV with the column image, relative to the table, and perhaps reference: a text that someone
    /// wrote under it. A picture with several references has several rows.
    pub table: PathBuf,
    /// The prompt before each caption; contains `<image>` once.
    pub prompt: String,
}

/// Plain texts, separated by blank lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorpusSpec {
    /// The file.
    pub texts: PathBuf,
}
