//! Everything a pipeline can refuse, as sentences about the user's files.
use std::{
    io,
    path::{Path, PathBuf},
};

use scan::{FailureKind, Split};

use crate::stage::Artifact;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a pipeline cannot be read, planned or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the sentence beside each variant says what its fields hold")]
pub enum Error {
    // files
    #[error(transparent)]
    Files(#[from] files::Error),
    #[error("{}: {problem}", path.display())]
    Stats { path: PathBuf, problem: String },
    #[error("{}: is damaged: {problem}", path.display())]
    Arrays { path: PathBuf, problem: String },
    #[error("{}: found format {found}, expected {expected}: another version of neuroflamingo wrote it", path.display())]
    RecordFormat { path: PathBuf, found: String, expected: u32 },

    // what the user wrote
    #[error(transparent)]
    Config(config::Error),
    #[error("name {name:?} cannot be a folder name, expected letters, digits, - and _")]
    Name { name: String },
    #[error("name has {found} letters, expected at most {most}: it becomes the name of a folder")]
    LongName { found: usize, most: usize },

    #[error("{}: line {line}: {problem}", path.display())]
    Prompt { path: PathBuf, line: usize, problem: String },

    #[error(
        "cohort.pairs.prompt holds the token `{token}`, which is put where it belongs: leave it out"
    )]
    PromptToken { token: &'static str },
    #[error("cohort.pairs.prompt has `<image:{name}>`, which is no medium: expected {expected}")]
    PromptMedium { name: String, expected: String },
    #[error("cohort.pairs.media.{name}: {problem}")]
    Medium { name: String, problem: String },
    #[error(
        "cohort.pairs.prompt holds the special token `{token}`, which model.chat puts where it belongs: leave it out"
    )]
    PromptSpecial { token: String },
    #[error(
        "cohort.pairs.prompt states {value} of slot {slot}, which reports are to state from the scan: leave it out"
    )]
    PromptLeak { slot: String, value: String },
    #[error(
        "cohort.pairs.prompt states the column {column}, by which slot {slot} is true: the model would be told what it \
         is asked for"
    )]
    PromptTruth { column: String, slot: String },
    #[error(
        "cohort.pairs.prompt has up to {found} tokens with its scan and the words after it, the language model reads {limit}"
    )]
    LongPrompt { found: usize, limit: usize },

    // the chain of stages
    #[error("there are no stages, expected at least one")]
    NoStages,
    #[error("stage {stage} needs {takes}, but what comes before it gives {have}{between}")]
    Chain { at: usize, stage: &'static str, takes: Artifact, have: Artifact, between: &'static str },
    #[error("stage {stage} is listed twice")]
    StageTwice { at: usize, stage: &'static str },
    #[error("stage {stage} needs the section {section}, which is missing")]
    MissingSection { stage: &'static str, section: &'static str },
    #[error("stages.{stage}: {problem}")]
    StageInput { stage: &'static str, problem: String },
    #[error("stages.{stage}.where: {source}")]
    StageQuery { stage: &'static str, source: cohort::QueryError },
    #[error("{source}")]
    NoneFits { source: Box<Error>, excluded: Vec<cohort::Excluded> },
    #[error("stages.{stage}.{field} is {found}, expected {expected}")]
    Setting { stage: &'static str, field: &'static str, found: String, expected: String },

    // the cohort
    #[error("{}: split {split} has no rows, stage {stage} needs some", path.display())]
    EmptySplit { path: PathBuf, split: Split, stage: &'static str },
    #[error("{}: {column} {found:?} cannot be part of a file name, expected letters, digits and +", path.display())]
    Label { path: PathBuf, column: &'static str, found: String },
    #[error("{}: row {row}: the report does not state the scored slot {slot}: {report:?}", path.display())]
    UnscoredReport { path: PathBuf, row: usize, slot: String, report: String },
    #[error("{}: row {row}: {source}", path.display())]
    Row { path: PathBuf, row: usize, source: Box<scan::Error> },
    #[error("{}: row {row}: {problem}", path.display())]
    RowProblem { path: PathBuf, row: usize, problem: String },
    #[error("{}: {problem}", path.display())]
    TableProblem { path: PathBuf, problem: String },
    #[error("{}: split {split}: {problem}", path.display())]
    SplitProblem { path: PathBuf, split: Split, problem: String },
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
    #[error("{}: {problem}", path.display())]
    Recording { path: PathBuf, problem: String },
    #[error("{}: {problem}", path.display())]
    Salt { path: PathBuf, problem: String },
    #[error("{source}")]
    Cohort { kind: &'static str, source: Box<cohort::Error> },
    #[error(
        "cohort.{kind}.qc_thresholds.{threshold} cannot be judged: no stage reads the scans, and the cohort has no column {column}"
    )]
    Threshold { kind: &'static str, threshold: &'static str, column: &'static str },
    #[error("{}: holds no text, expected texts separated by blank lines", path.display())]
    EmptyCorpus { path: PathBuf },

    // pictures
    #[error("{}: {problem}", path.display())]
    Pictures { path: PathBuf, problem: String },
    #[error("every picture failed, the first with: {reason}")]
    NoPicture { reason: String },

    // questions
    #[error("no scan could be shown to the package, the first fails with: {reason}")]
    NothingToAsk { reason: String },

    // a record
    #[error("{}: {problem}", path.display())]
    Record { path: PathBuf, problem: String },

    // a job array
    #[error("{}: {problem}", path.display())]
    WorkList { path: PathBuf, problem: String },
    #[error("{place}: {problem}")]
    Submit { place: String, problem: String },
    #[error("{place}: {problem}")]
    BidsApp { place: String, problem: String },
    #[error(
        "stage {stage} must see every recording, so nothing can be divided among tasks: run the pipeline as one job"
    )]
    Indivisible { stage: &'static str },

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
    #[error("{key} is {found}, expected at most {most}")]
    TooManyOf { key: String, found: usize, most: usize },
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
    Prepare(#[from] preprocess::Error),
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
    #[error(
        "encoder `{encoder}` reads where the parcels are: name the table of their coordinates \
         (--coordinates)"
    )]
    NoCoordinates { encoder: &'static str },

    // the run
    #[error("stage {stage}: {source}")]
    Stage { stage: &'static str, source: Box<Error> },
    #[error("every scan of split {split} failed, the first with: {reason}")]
    NothingLeft { split: Split, reason: String },
    #[error(transparent)]
    Engine(engine::Error),
    #[error("no recording is left after stage {stage}:\n  {reasons}")]
    NoneGood { stage: &'static str, reasons: String, status: String },
    #[error("{}: a run works here, nothing is removed", path.display())]
    CacheInUse { path: PathBuf },
    #[error("{}: this run was stopped before its end, or its tasks are not gathered, so nothing says yet which results it goes on with", path.display())]
    Unfinished { path: PathBuf },
    #[error("{}", several(problems))]
    Several { problems: Vec<Error> },
}

impl From<config::Error> for Error {
    fn from(error: config::Error) -> Self {
        match error {
            config::Error::Files(error) => Self::Files(error),
            other => Self::Config(other),
        }
    }
}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Self {
        match error {
            engine::Error::Files(error) => Self::Files(error),
            other => Self::Engine(other),
        }
    }
}

impl From<train::Error> for Error {
    fn from(error: train::Error) -> Self {
        match error {
            train::Error::Interrupted { .. } => engine::Error::Interrupted.into(),
            other => Self::Train(Box::new(other)),
        }
    }
}

impl Error {
    /// What was wrong with a scan, whoever read it.
    pub(crate) fn of_scan(&self) -> Option<&scan::Error> {
        match self {
            Self::Scan(error) | Self::Prepare(preprocess::Error::Scan(error)) => Some(error),
            _ => None,
        }
    }

    /// What the engine said, whoever asked it.
    pub(crate) fn of_engine(&self) -> Option<&engine::Error> {
        match self {
            Self::Engine(error) | Self::Prepare(preprocess::Error::Engine(error)) => Some(error),
            Self::Stage { source, .. } => source.of_engine(),
            _ => None,
        }
    }

    /// What was wrong with a file, whoever read or wrote it.
    fn of_file(&self) -> Option<&files::Error> {
        match self {
            Self::Files(error) | Self::Prepare(preprocess::Error::Files(error)) => Some(error),
            _ => None,
        }
    }

    /// Whether a signal ended the run after everything was saved.
    pub fn is_interrupted(&self) -> bool {
        match self {
            Self::Model(flamingo::Error::Stopped) => true,
            Self::Stage { source, .. } => source.is_interrupted(),
            _ => matches!(self.of_engine(), Some(engine::Error::Interrupted)),
        }
    }

    /// What kind of failure it is of a recording or a picture.
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::Prepare(error) => error.kind(),
            Self::Scan(error) => error.kind(),
            Self::Row { source, .. } => source.kind(),
            Self::Stage { source, .. }
            | Self::Series { source, .. }
            | Self::NoneFits { source, .. } => source.kind(),
            Self::Files(error) => preprocess::kind_of_file(error),
            Self::Encode(error) => preprocess::kind_of_encoding(error),
            Self::Engine(engine::Error::OverBudget { .. }) => FailureKind::Memory,
            Self::Tables(_) => FailureKind::Table,
            Self::RepetitionTime { .. } | Self::EncoderTime { .. } => FailureKind::RepetitionTime,
            Self::Grid { .. } => FailureKind::Geometry,
            Self::Sides { .. } => FailureKind::LeftRight,
            _ => FailureKind::Other,
        }
    }

    /// The stage in which a run ended.
    pub(crate) fn stage(&self) -> Option<&'static str> {
        match self {
            Self::Stage { stage, .. } => Some(stage),
            _ => None,
        }
    }

    /// Whether another run took the run folder over.
    pub(crate) fn is_lock_lost(&self) -> bool {
        matches!(self.of_engine(), Some(engine::Error::LockLost { .. }))
    }

    /// Whether the run ended at its first failure, as was asked.
    pub fn is_first_failure(&self) -> bool {
        matches!(self.of_engine(), Some(engine::Error::FirstFailure { .. }))
    }

    /// The stored result that is not what was written, where this is the reason.
    pub(crate) fn damaged_file(&self) -> Option<&Path> {
        match self.of_engine() {
            Some(engine::Error::Damaged { path, .. }) => Some(path),
            _ => None,
        }
    }

    /// Whether the run has to stop, whichever scan was worked on: the disk is full, a stored result
    /// is damaged, a signal came.
    pub(crate) fn stops_the_run(&self) -> bool {
        self.of_file().is_some_and(files::Error::is_of_writing)
            || self.of_engine().is_some_and(engine::Error::stops_the_run)
            || self.is_interrupted()
    }

    /// Whether the system is at fault and not the contents of a file, so that the same work may
    /// succeed later.
    pub(crate) fn is_of_the_system(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if error.downcast_ref::<io::Error>().is_some_and(is_of_the_system) {
                return true;
            }
            if let Some(error) = error.downcast_ref::<scan::Error>()
                && matches!(error, scan::Error::OutOfMemory { .. } | scan::Error::Changed { .. })
            {
                return true;
            }
            cause = error.source();
        }
        // `transparent` variants hide themselves from the chain
        let of_scan = self.of_scan();
        matches!(of_scan, Some(scan::Error::OutOfMemory { .. } | scan::Error::Changed { .. }))
    }

    /// The recordings that were left out, each with its reason, where none is left.
    pub fn excluded(&self) -> &[cohort::Excluded] {
        match self {
            Self::Cohort { source, .. } => match source.as_ref() {
                cohort::Error::NothingLeft { excluded, .. } => excluded,
                _ => &[],
            },
            Self::NoneFits { excluded, .. } => excluded,
            Self::Several { problems } => {
                problems.iter().map(Self::excluded).find(|it| !it.is_empty()).unwrap_or(&[])
            }
            _ => &[],
        }
    }

    /// The key of the pipeline that is wrong, where it is one; a stage is named or counted from 0.
    pub(crate) fn key(&self) -> Option<String> {
        match self {
            Self::Name { .. } | Self::LongName { .. } => Some("name".to_owned()),
            Self::NoStages => Some("stages".to_owned()),
            Self::Chain { at, .. } | Self::StageTwice { at, .. } => Some(format!("stages.{at}")),
            Self::MissingSection { stage, .. } | Self::StageInput { stage, .. } => {
                Some(format!("stages.{stage}"))
            }
            Self::Prepare(error) => error.key(),
            Self::Setting { stage, field, .. } => Some(format!("stages.{stage}.{field}")),
            Self::StageQuery { stage, .. } => Some(format!("stages.{stage}.where")),
            Self::Repeat { field, .. } => Some(format!("repeat.{field}")),
            Self::Encoder(_) | Self::EncoderTime { .. } => Some("model.encoder".to_owned()),
            Self::Medium { name, .. } if name.is_empty() => Some("cohort.pairs.media".to_owned()),
            Self::Medium { name, .. } => Some(format!("cohort.pairs.media.{name}")),
            Self::PromptMedium { .. }
            | Self::PromptToken { .. }
            | Self::PromptLeak { .. }
            | Self::PromptTruth { .. }
            | Self::LongPrompt { .. } => Some("cohort.pairs.prompt".to_owned()),
            Self::Size { key } | Self::TooManyOf { key, .. } => Some(key.clone()),
            Self::Threshold { kind, threshold, .. } => {
                Some(format!("cohort.{kind}.qc_thresholds.{threshold}"))
            }
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
            Self::Config(error) => error.hint(),
            Self::Cohort { source, .. } => source.hint(),
            Self::Stage { source, .. } | Self::NoneFits { source, .. } => source.hint(),
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
            Self::Unfinished { .. } => Some(
                "run it again to its end, or give --unfinished to remove what it did so far".to_owned(),
            ),
            _ if self.of_file().is_some_and(files::Error::is_of_absence) => {
                Some("paths in a pipeline are relative to the file that names them".to_owned())
            }
            Self::Prepare(error) if error.hint().is_some() => error.hint(),
            _ => self.of_engine().and_then(engine::Error::hint),
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

/// The system says so with a number; libraries that find damaged contents have none.
fn is_of_the_system(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>());
    error.raw_os_error().is_some() || inner.is_some_and(is_of_the_system)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_contents_are_blamed_for_good() {
        let path = || PathBuf::from("a.nii.gz");
        let gone = || io::Error::from_raw_os_error(2);
        let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete deflate stream");
        let of_the_system: [Error; 5] = [
            scan::Error::Read { path: path(), source: gone() }.into(),
            scan::Error::Gzip { path: path(), source: io::Error::from_raw_os_error(5) }.into(),
            files::Error::Io { action: "read", path: path(), source: gone() }.into(),
            Error::Row {
                path: path(),
                row: 2,
                source: Box::new(scan::Error::Read {
                    path: path(),
                    source: io::Error::other(gone()),
                }),
            },
            scan::Error::Changed { path: path() }.into(),
        ];
        for error in of_the_system {
            assert!(error.is_of_the_system(), "{error}");
        }
        let of_contents: [Error; 3] = [
            scan::Error::Gzip { path: path(), source: cut() }.into(),
            scan::Error::NoRuns.into(),
            files::Error::Io { action: "read", path: path(), source: cut() }.into(),
        ];
        for error in of_contents {
            assert!(!error.is_of_the_system(), "{error}");
        }
    }

    #[test]
    fn what_a_step_says_means_the_same_to_a_run() {
        let path = || PathBuf::from("a.nii.gz");
        let of = |error: preprocess::Error| Error::from(error);
        let changed = of(scan::Error::Changed { path: path() }.into());
        assert!(changed.is_of_the_system() && !changed.stops_the_run());
        let gone = io::Error::from_raw_os_error(2);
        let gone = of(files::Error::Io { action: "read", path: path(), source: gone }.into());
        assert!(gone.is_of_the_system() && gone.hint().is_some_and(|it| it.starts_with("paths")));
        assert_eq!(gone.kind(), FailureKind::Missing);
        let stopped = of(engine::Error::Interrupted.into());
        assert!(stopped.is_interrupted() && stopped.stops_the_run());
        let setting = preprocess::Error::Setting {
            stage: "denoise",
            field: "columns",
            found: "all".to_owned(),
            expected: "some".to_owned(),
        };
        let setting = of(setting);
        assert_eq!(setting.to_string(), "stages.denoise.columns is all, expected some");
        assert_eq!(setting.key().as_deref(), Some("stages.denoise.columns"));
        let nested = Error::Stage { stage: "denoise", source: Box::new(stopped) };
        assert!(nested.is_interrupted());
    }
}
