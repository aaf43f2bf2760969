//! Everything a pipeline can refuse, as sentences about the user's files.
use std::{io, path::PathBuf};

use scan::Split;

use crate::{stage::Artifact, yaml::YamlError};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a pipeline cannot be read, planned or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the sentence beside each variant says what its fields hold")]
pub enum Error {
    // files
    #[error("{}: cannot {action}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{}: is not the JSON it should be: {source}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{}: is damaged: {problem}", path.display())]
    Arrays { path: PathBuf, problem: String },

    // what the user wrote
    #[error(transparent)]
    Yaml(#[from] YamlError),
    #[error("--set {set}: {problem}")]
    Override { set: String, problem: String },
    #[error("name {name:?} cannot be a folder name, expected letters, digits, - and _")]
    Name { name: String },

    #[error("{}: line {line}: {problem}", path.display())]
    Prompt { path: PathBuf, line: usize, problem: String },

    // the chain of stages
    #[error("there are no stages, expected at least one")]
    NoStages,
    #[error("stage {stage} needs {takes}, but what comes before it gives {have}")]
    Chain { at: usize, stage: &'static str, takes: Artifact, have: Artifact },
    #[error("stage {stage} is listed twice")]
    StageTwice { at: usize, stage: &'static str },
    #[error("stage {stage} needs the section {section}, which is missing")]
    MissingSection { stage: &'static str, section: &'static str },
    #[error("stages.{stage}: {problem}")]
    StageInput { stage: &'static str, problem: String },
    #[error(
        "denoise takes {degrees}, which leaves {found} degrees of freedom, expected at least \
         {least} (`min_degrees_of_freedom`)"
    )]
    DegreesOfFreedom { degrees: scan::DegreesOfFreedom, found: usize, least: usize },
    #[error("stages.{stage}.{field} is {found}, expected {expected}")]
    Setting { stage: &'static str, field: &'static str, found: String, expected: String },

    // the cohort
    #[error("{}: split {split} has no rows, stage {stage} needs some", path.display())]
    EmptySplit { path: PathBuf, split: Split, stage: &'static str },
    #[error("{}: {column} {found:?} cannot be part of a file name, expected letters and digits", path.display())]
    Label { path: PathBuf, column: &'static str, found: String },
    #[error("{}: row {row}: the report does not state the scored slot {slot}: {report:?}", path.display())]
    UnscoredReport { path: PathBuf, row: usize, slot: String, report: String },
    #[error("{}: row {row}: {source}", path.display())]
    Row { path: PathBuf, row: usize, source: Box<scan::Error> },
    #[error("{}: every test report states {value}, a comparison needs two different values", path.display())]
    OneValue { path: PathBuf, value: String },
    #[error("{}: TR is {found} s, but {} has {expected} s", path.display(), first.display())]
    RepetitionTime { path: PathBuf, found: f64, first: PathBuf, expected: f64 },
    #[error("{}: grid is {found}, but {} has {expected}", path.display(), first.display())]
    Grid { path: PathBuf, found: String, first: PathBuf, expected: String },
    #[error("{}: its sform and its qform disagree about left and right, expected one of them to be right and the other to be unset", path.display())]
    Sides { path: PathBuf },
    #[error("{}: same bytes as {}, but one is in split {first_split} and one in split {split}", path.display(), first.display())]
    SameScan { path: PathBuf, first: PathBuf, first_split: Split, split: Split },
    #[error("{source}")]
    Cohort { kind: &'static str, source: Box<cohort::Error> },
    #[error("{}: holds no text, expected texts separated by blank lines", path.display())]
    EmptyCorpus { path: PathBuf },

    // pictures
    #[error("{}: {problem}", path.display())]
    Pictures { path: PathBuf, problem: String },
    #[error("every picture failed, the first with: {reason}")]
    NoPicture { reason: String },

    // repetitions
    #[error("repeat.{field} is {found}, expected {expected}")]
    Repeat { field: &'static str, found: String, expected: String },

    // the model
    #[error("{}: language model {missing}", path.display())]
    LanguageModel { path: PathBuf, missing: &'static str },
    #[error("model.encoder: {0}")]
    Encoder(encoder::Error),
    #[error("model.encoder: {file}: {error} ({n} of {of} scans)")]
    EncoderTime { file: String, n: usize, of: usize, error: Box<encoder::Error> },
    #[error("{key} is 0, expected at least 1")]
    Size { key: String },
    #[error("{}: package was not written by a pipeline: {problem}", path.display())]
    Package { path: PathBuf, problem: String },
    #[error("{}: reads tokens that another program wrote ({encoder}), so nothing makes them of a scan; add scan and tokens to its pipeline's cohort and run that", path.display())]
    TokensOnly { path: PathBuf, encoder: String },
    #[error("{}: {problem}", path.display())]
    Tokens { path: PathBuf, problem: String },
    #[error("{}: {source}", path.display())]
    Series { path: PathBuf, source: Box<Error> },
    #[error("{}: {problem}", path.display())]
    NoSuchWindow { path: PathBuf, problem: String },

    // from below
    #[error(transparent)]
    Scan(#[from] scan::Error),
    #[error(transparent)]
    Report(#[from] report::Error),
    #[error(transparent)]
    Model(#[from] flamingo::Error),
    #[error(transparent)]
    Train(Box<train::Error>),
    #[error(transparent)]
    Tables(#[from] tables::Error),
    #[error(transparent)]
    Encode(#[from] encoder::Error),

    // the run
    #[error("stage {stage}: {source}")]
    Stage { stage: &'static str, source: Box<Error> },
    #[error("every scan of split {split} failed, the first with: {reason}")]
    NothingLeft { split: Split, reason: String },
    #[error("stopped after saving, run the same command again to go on")]
    Interrupted,
    #[error("{}", several(problems))]
    Several { problems: Vec<Error> },
}

impl From<train::Error> for Error {
    fn from(error: train::Error) -> Self {
        match error {
            train::Error::Interrupted { .. } => Self::Interrupted,
            other => Self::Train(Box::new(other)),
        }
    }
}

impl Error {
    /// Whether a signal ended the run after everything was saved.
    pub fn is_interrupted(&self) -> bool {
        match self {
            Self::Interrupted => true,
            Self::Stage { source, .. } => source.is_interrupted(),
            _ => false,
        }
    }

    /// Whether the disk is at fault, and not the scan that was worked on.
    pub(crate) fn is_about_the_machine(&self) -> bool {
        matches!(self, Self::Io { action, .. } if *action != "read") || self.is_interrupted()
    }

    /// The key of the pipeline that is wrong, where it is one; a stage is named or counted from 0.
    pub(crate) fn key(&self) -> Option<String> {
        match self {
            Self::Name { .. } => Some("name".to_owned()),
            Self::NoStages => Some("stages".to_owned()),
            Self::Chain { at, .. } | Self::StageTwice { at, .. } => Some(format!("stages.{at}")),
            Self::MissingSection { stage, .. } | Self::StageInput { stage, .. } => {
                Some(format!("stages.{stage}"))
            }
            Self::DegreesOfFreedom { .. } => Some("stages.denoise".to_owned()),
            Self::Setting { stage, field, .. } => Some(format!("stages.{stage}.{field}")),
            Self::Repeat { field, .. } => Some(format!("repeat.{field}")),
            Self::Encoder(_) | Self::EncoderTime { .. } => Some("model.encoder".to_owned()),
            Self::Size { key } => Some(key.clone()),
            Self::Cohort { kind, source } => match source.as_ref() {
                cohort::Error::Query(_) => Some(format!("cohort.{kind}.where")),
                cohort::Error::Setting { field, .. } => Some(format!("cohort.{kind}.{field}")),
                _ => None,
            },
            _ => None,
        }
    }

    /// What the user could do, where there is a cure.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Yaml(error) => error.hint(),
            Self::Cohort { source, .. } => source.hint(),
            Self::Stage { source, .. } => source.hint(),
            Self::Several { problems } => problems.iter().find_map(Self::hint),
            Self::LanguageModel { .. } => Some(
                "write one with `neuroflamingo run pipelines/pretrain-tiny-lm.yaml`, or point \
                 model.lm.hf at a Hugging Face folder or model.lm.gguf at a GGUF file"
                    .to_owned(),
            ),
            Self::Scan(scan::Error::SplitLeak { .. }) => Some(
                "put all rows of that unit into one split, or choose another cohort.pairs.split_unit"
                    .to_owned(),
            ),
            Self::Model(flamingo::Error::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Some("a model package is the folder `model` of a run directory".to_owned())
            }
            Self::Model(error) => error.cure().map(str::to_owned),
            Self::Row { source, .. } if matches!(**source, scan::Error::Window { .. }) => {
                Some("shorten the window, or drop the row from the table".to_owned())
            }
            Self::DegreesOfFreedom { .. } => Some(
                "take fewer columns (`columns: { motion: basic, demean: true }`), or longer scans"
                    .to_owned(),
            ),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("paths in a pipeline are relative to the file that names them".to_owned())
            }
            _ => None,
        }
    }

    /// One error of many; `Ok` where there are none.
    pub(crate) fn collect(mut problems: Vec<Self>) -> Result<()> {
        match problems.len() {
            0 => Ok(()),
            1 => Err(problems.remove(0)),
            _ => Err(Self::Several { problems }),
        }
    }
}

/// The first few of many; a wrong number in one place is often wrong for every row.
fn several(problems: &[Error]) -> String {
    const SHOWN: usize = 8;
    let lines = problems.iter().take(SHOWN).map(|it| it.to_string().replace('\n', "\n  "));
    let more = problems.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("and {more} more"));
    let first = format!("{} problems", problems.len());
    [first].into_iter().chain(lines).chain(more).collect::<Vec<_>>().join("\n  ")
}
