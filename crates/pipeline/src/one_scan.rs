//! One scan, as a user names it.
use std::path::Path;

use cohort::{Kept, Part, Reason, Timing, Timings};
use files::FileIndex;
use report::prompt::Labels;

use crate::{Error, Result};

/// Which part of the scan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// From 1: the table's windows of a scan the model knows, else consecutive ones.
    Window(usize),
    /// What began at this second: where the model's windows belong to events, one of them; else one
    /// window as long as those that its encoder reads.
    Onset(f64),
}

/// One scan, as the user names it.
#[derive(Clone, Copy, Debug)]
pub struct OneScan<'a> {
    /// The file.
    pub path: &'a Path,
    /// Which part of it; absent: all of it, for models that read whole scans.
    pub place: Option<Place>,
    /// Its table of confounds; absent: the one beside it, where the model's stages take some out.
    pub confounds: Option<&'a Path>,
    /// Seconds between frames; absent: as the file says.
    pub t_r: Option<f64>,
    /// What is known of the person, for models whose prompts state it; absent: nothing.
    pub labels: Option<&'a Labels>,
    /// A table of numbers of people, for models that read some beside the scan: of one person, or of those of the cohort;
    /// absent: those among the labels, and none where there are none.
    pub omics: Option<&'a Path>,
}

/// One scan with its timing, by the rule that cohorts follow.
pub(crate) struct Timed<'a> {
    /// With its repetition time.
    pub(crate) scan: OneScan<'a>,
    /// Seconds from its start to the time that its first frame stands for.
    pub(crate) start_s: f64,
    /// Where its frames stood in the run, of a scan from which frames were left out.
    pub(crate) kept: Option<Kept>,
}

impl<'a> OneScan<'a> {
    /// The same scan with its timing.
    pub(crate) fn timed(self) -> Result<Timed<'a>> {
        let refuse =
            |problem: String| Err(Error::Recording { path: self.path.to_owned(), problem });
        match Timings::new(&FileIndex::unkept()).of(self.path, self.t_r) {
            Ok(Timing { t_r, start_s, kept, .. }) => {
                Ok(Timed { scan: Self { t_r: Some(t_r.seconds), ..self }, start_s, kept })
            }
            // reading it says what is wrong
            Err(Reason::Unreadable { part: Part::Scan, .. }) => {
                Ok(Timed { scan: self, start_s: 0.0, kept: None })
            }
            Err(Reason::RepetitionTime { problem }) if problem.ends_with("does not say it") => {
                refuse(format!("{problem}, so it must be given (`t_r`): use --t-r"))
            }
            Err(Reason::RepetitionTime { problem }) => {
                refuse(format!("repetition time: {problem}; --t-r settles it"))
            }
            Err(reason) => refuse(reason.to_string()),
        }
    }
}
