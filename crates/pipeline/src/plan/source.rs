//! What a run reads: scans with reports, recordings, pictures or text.
use std::{collections::BTreeSet, path::PathBuf};

use ::cohort::{Cohort, Division, Excluded, Recording};
use report::counted;

use super::{BenchmarkPlan, CohortPlan, PicturesPlan};

/// The input data.
#[derive(Clone, Debug)]
pub enum SourcePlan {
    /// Scans with reports.
    Cohort(CohortPlan),
    /// Pictures, and the package that writes under them.
    Pictures(PicturesPlan),
    /// Pictures with questions, and the package that is asked.
    Benchmark(BenchmarkPlan),
    /// Recordings of a BIDS folder or a manifest.
    Recordings(RecordingsPlan),
    /// Text alone.
    Corpus {
        /// The file.
        path: PathBuf,
        /// Its digest.
        sha256: String,
        /// One text each.
        texts: Vec<String>,
    },
}

/// Recordings with their divisions.
#[derive(Clone, Debug)]
pub struct RecordingsPlan {
    /// The recordings, and those that are left out.
    pub cohort: Cohort,
    /// One for each fold; none where nothing is divided.
    pub divisions: Vec<Division>,
}

impl RecordingsPlan {
    /// Its recordings, by name.
    pub fn recordings(&self) -> &[Recording] {
        &self.cohort.recordings
    }

    /// Recordings that are left out, each with its reason and the name of a subject.
    pub fn excluded(&self) -> &[Excluded] {
        &self.cohort.excluded
    }

    /// `24 recordings, 12 subjects; TR 2 s, 490 frames`: nobody is named.
    pub(super) fn in_words(&self) -> String {
        let recordings = self.recordings();
        let t_r = recordings.iter().filter_map(|it| it.t_r).map(|t_r| t_r.seconds);
        let frames = recordings.iter().filter_map(|it| it.n_frames);
        let facts = [span("TR ", t_r, " s"), span("", frames.map(|n| n as f64), " frames")];
        let facts: Vec<String> = facts.into_iter().flatten().collect();
        format!(
            "{}, {}; {}",
            counted(recordings.len(), "recording"),
            counted(self.cohort.n_subjects(), "subject"),
            facts.join(", ")
        )
    }

    /// `3 × reason`, most first, and under each the first recording's sentence; nobody is named.
    pub(super) fn left_out(&self) -> Vec<String> {
        self.cohort.counts().iter().flat_map(::cohort::Count::lines).collect()
    }
}

/// One value, or the smallest and the largest.
fn span(before: &str, values: impl Iterator<Item = f64>, after: &str) -> Option<String> {
    // as written, so that 0.72 and 0.72000003 are told apart only where they are shown apart
    let values: BTreeSet<String> = values.map(|value| format!("{value:09.3}")).collect();
    let shown = |text: &String| text.parse::<f64>().expect("a number was written").to_string();
    match (values.first(), values.last()) {
        (Some(first), Some(last)) if first == last => {
            Some(format!("{before}{}{after}", shown(first)))
        }
        (Some(first), Some(last)) => {
            Some(format!("{before}{} to {}{after}", shown(first), shown(last)))
        }
        _ => None,
    }
}
