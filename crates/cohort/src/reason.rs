//! Why a recording is not in the cohort.

use std::fmt;

use scan::FailureKind;
use serde::Serialize;

/// A file of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The images or series.
    Scan,
    /// The voxels that are brain.
    Mask,
    /// The nuisance series.
    Confounds,
    /// The share of each parcel that had data.
    Coverage,
    /// The frames that were censored.
    Outliers,
    /// The JSON beside the scan.
    Sidecar,
    /// The whole folder of a subject or a visit.
    Folder,
}

/// How a path leaves the cohort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// By `..`.
    Parents,
    /// By a link.
    Link,
    /// It is an absolute path to somewhere else.
    Elsewhere,
}

/// Why a recording is left out. Nobody is named: a reason may stand in a log.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// The `entities` of the pipeline do not choose it.
    Entities,
    /// The `where` of the pipeline is not true of it.
    Query,
    /// The `where` of a stage is not true of what was measured.
    Unselected {
        /// What was measured of the columns that it asks for.
        found: String,
    },
    /// The `where` of the pipeline asks for something that is missing.
    Unknown {
        /// The first column that is missing.
        column: String,
    },
    /// Its row names no scan.
    NoScan,
    /// A label is missing, or has characters other than letters, digits and `+`. In tables, `_` and `-`
    /// are taken out first.
    Label {
        /// Which: `subject`, `session`, ….
        what: &'static str,
    },
    /// Its file name is not a BIDS name, or has another subject or session than its folder.
    Name {
        /// The part that is wrong; never the label of a person or a visit.
        problem: String,
    },
    /// One of its files lies outside of the cohort's folder; it was not opened.
    Outside {
        /// Which.
        part: Part,
        /// How.
        way: Way,
    },
    /// One of its files is not there.
    Missing {
        /// Which.
        part: Part,
    },
    /// One of its files is a folder, a device or a pipe.
    NoFile {
        /// Which.
        part: Part,
    },
    /// One of its files cannot be read.
    Unreadable {
        /// Which.
        part: Part,
        /// The sentence, without the path.
        problem: String,
        /// What kind of failure it is.
        #[serde(skip)]
        kind: FailureKind,
    },
    /// Nobody says when its frames were taken, or two say different things.
    RepetitionTime {
        /// The sentence.
        problem: String,
    },
    /// Its run is there under another spelling of the same number.
    SameRun {
        /// The other spelling.
        other: String,
        /// Whether both files have the same bytes, so that one of them stays.
        is_copy: bool,
    },
    /// It joins runs that are recordings of their own.
    Joined {
        /// How many.
        n_runs: usize,
    },
    /// Censored frames were removed, and its table of outliers does not say which.
    Censored {
        /// Frames of its series.
        found: usize,
        /// Frames that its table of outliers keeps.
        kept: usize,
        /// Rows of that table.
        of: usize,
    },
    /// A cell of its row is not what the column should hold.
    Row {
        /// The column.
        column: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A figure of its quality is beyond a threshold.
    Quality {
        /// The threshold, as it stands in the pipeline: `motion_fd_mean`.
        threshold: &'static str,
        /// Its value.
        limit: f64,
        /// What was found.
        found: f64,
    },
    /// A stage of the pipeline could not go on with it.
    Unfit {
        /// The stage.
        stage: &'static str,
        /// The sentence, without the path.
        problem: String,
        /// What kind of failure it is.
        #[serde(skip)]
        kind: FailureKind,
    },
    /// A threshold is asked for, and nothing says the figure.
    Unmeasured {
        /// The threshold.
        threshold: &'static str,
        /// What would say it.
        needs: &'static str,
    },
}

impl Reason {
    /// Whether the user wanted it otherwise: a file is wrong, not the recording unwanted.
    pub fn is_failure(&self) -> bool {
        !matches!(
            self,
            Self::Entities
                | Self::Query
                | Self::Unselected { .. }
                | Self::Unknown { .. }
                | Self::NoScan
                | Self::Quality { .. }
                | Self::Unmeasured { .. }
                | Self::Joined { .. }
                | Self::SameRun { is_copy: true, .. }
        )
    }

    /// What kind of failure it is, to count by.
    pub fn failure_kind(&self) -> FailureKind {
        match self {
            Self::Entities
            | Self::Query
            | Self::Unselected { .. }
            | Self::Unknown { .. }
            | Self::NoScan
            | Self::Joined { .. }
            | Self::SameRun { is_copy: true, .. } => FailureKind::NotSelected,
            Self::Label { .. } | Self::Name { .. } | Self::SameRun { .. } => FailureKind::Name,
            Self::Outside { .. } => FailureKind::OutsideFolder,
            Self::Missing { part: Part::Confounds } => FailureKind::NoConfounds,
            Self::Missing { .. } => FailureKind::Missing,
            Self::NoFile { .. } => FailureKind::Unreadable,
            Self::Unreadable { kind, .. } | Self::Unfit { kind, .. } => *kind,
            Self::RepetitionTime { .. } => FailureKind::RepetitionTime,
            Self::Censored { .. } => FailureKind::ConfoundsMismatch,
            Self::Row { .. } => FailureKind::Table,
            Self::Quality { .. } | Self::Unmeasured { .. } => FailureKind::Quality,
        }
    }

    /// The stage that could not go on with the recording, where one was asked.
    pub fn stage(&self) -> Option<&'static str> {
        match self {
            Self::Unfit { stage, .. } => Some(stage),
            _ => None,
        }
    }

    /// The reason without its numbers, to count by.
    pub fn kind(&self) -> String {
        match self {
            Self::Quality { threshold, limit, .. } => format!("beyond {threshold} {limit}"),
            Self::Unselected { .. } => Self::Query.to_string(),
            Self::Unreadable { part, .. } => format!("{part} cannot be read"),
            Self::RepetitionTime { .. } => "repetition time unknown or contradictory".to_owned(),
            Self::SameRun { is_copy: true, .. } => {
                "a copy under another number of its run".to_owned()
            }
            Self::SameRun { is_copy: false, .. } => "run there in two spellings".to_owned(),
            Self::Joined { .. } => "joins runs that are there too".to_owned(),
            Self::Censored { .. } => "frames were removed, and which is not known".to_owned(),
            Self::Name { .. } => "file name is not a BIDS name of its folder".to_owned(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scan => "scan",
            Self::Mask => "mask",
            Self::Confounds => "confounds table",
            Self::Coverage => "table of coverage",
            Self::Outliers => "table of outliers",
            Self::Sidecar => "sidecar",
            Self::Folder => "folder",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entities => write!(f, "not among the entities asked for"),
            Self::Query => write!(f, "`where` is not true"),
            Self::Unselected { found } => write!(f, "`where` is not true: {found}"),
            Self::Unknown { column } => write!(f, "`where` asks for {column}, which is missing"),
            Self::NoScan => write!(f, "its row names no scan"),
            Self::Label { what } => write!(f, "{what} is not a label of letters, digits and +"),
            Self::Name { problem } => write!(f, "file name is not a BIDS name: {problem}"),
            Self::Outside { part, way: Way::Parents } => {
                write!(f, "{part} leaves the cohort's folder by `..`")
            }
            Self::Outside { part, way: Way::Link } => {
                write!(f, "{part} leaves the cohort's folder by a link")
            }
            Self::Outside { part, way: Way::Elsewhere } => {
                write!(f, "{part} lies outside of the cohort's folder")
            }
            Self::Missing { part } => write!(f, "{part} is not there"),
            Self::NoFile { part } => write!(f, "{part} is no file"),
            Self::Unreadable { part, problem, .. } => write!(f, "{part} cannot be read: {problem}"),
            Self::RepetitionTime { problem } => {
                write!(f, "repetition time: {problem}; give `t_r` to settle it")
            }
            Self::SameRun { other, is_copy: true } => {
                write!(f, "its run is there as run-{other} too, the same file")
            }
            Self::SameRun { other, is_copy: false } => write!(
                f,
                "its run is there as run-{other} too, with another content: rename one or leave it \
                 out with `entities`"
            ),
            Self::Joined { n_runs } => {
                write!(f, "holds the frames of {n_runs} of its runs, which are there too")
            }
            Self::Censored { found, kept, of } => write!(
                f,
                "has {found} frames and its table of outliers {of}, of which it keeps {kept}: which \
                 frames are there is not known; take the interpolated series, which XCP-D writes in \
                 its mode abcd"
            ),
            Self::Row { column, expected } => write!(f, "column {column} is not {expected}"),
            Self::Quality { threshold, limit, found } => {
                write!(f, "{threshold} is {found:.4}, the threshold is {limit}")
            }
            Self::Unfit { problem, .. } => f.write_str(problem),
            Self::Unmeasured { threshold, needs } => {
                write!(f, "{threshold} cannot be judged without {needs}")
            }
        }
    }
}
