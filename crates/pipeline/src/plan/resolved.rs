//! A pipeline that was checked: what it reads, what is done with it, and where results lie.
use std::path::PathBuf;

use flamingo::Trained;

use super::{
    AskPlan, BenchmarkPlan, CohortPlan, Disk, EncoderPlan, LmPlan, PicturesPlan, RecordingsPlan,
    RunPlan, SourcePlan, TrainingPlan,
};
use crate::spec::{Loaded, Spec};

/// A pipeline that can start.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) loaded: Loaded,
    /// The input data.
    pub source: SourcePlan,
    /// The frozen language model, where one is used.
    pub lm: Option<LmPlan>,
    /// What the encoder needs and gives, and what becomes of it, where it reads windows over whole
    /// scans.
    pub encoder: Option<EncoderPlan>,
    /// One run, or one for each seed and fold.
    pub runs: Vec<RunPlan>,
    /// Folder of this pipeline's run directory.
    pub run_dir: PathBuf,
    /// Folder of stored stage results, shared by all pipelines with the same outputs.
    pub cache_dir: PathBuf,
    /// Cores and memory for work on several scans at once.
    pub budget: engine::Budget,
    /// The command that asks for it, for the record.
    pub(crate) command: Vec<String>,
    /// What its results take on disk, where headers say it.
    pub disk: Option<Disk>,
    /// What a fine-tuning moves, and what it leaves as it is, where there is one.
    pub trained: Option<Trained>,
    /// What is learned, where something is fitted to reports.
    pub training: Option<TrainingPlan>,
    /// The package that is asked about every scan, where one is.
    pub ask: Option<AskPlan>,
    /// The labels of subjects, where they are not those of the files.
    pub(crate) pseudonyms: Option<::cohort::Pseudonyms>,
}

impl Plan {
    /// With so many megabytes (10⁶ bytes) for work on several scans at once.
    #[must_use]
    pub fn with_mem_mb(self, mem_mb: u64) -> Self {
        Self { budget: self.budget.with_mem_mb(mem_mb), ..self }
    }

    /// With the words of the command that asks for it; the record holds them without the folders of the
    /// machine.
    #[must_use]
    pub fn with_command(self, words: impl IntoIterator<Item = String>) -> Self {
        let command = words.into_iter().map(|word| files::without_folders(&word)).collect();
        Self { command, ..self }
    }

    /// How many files were read so far, for their digests or for what a plan asks of them; each as often as
    /// it was.
    pub fn n_files_read(&self) -> usize {
        self.loaded.known().n_read()
    }

    /// What the file says.
    pub fn spec(&self) -> &Spec {
        &self.loaded.spec
    }

    /// The folder of one of the runs.
    pub fn dir_of(&self, run: &RunPlan) -> PathBuf {
        run.label.as_ref().map_or_else(|| self.run_dir.clone(), |label| self.run_dir.join(label))
    }

    /// The cohort; only stages that read scans ask.
    pub(crate) fn cohort(&self) -> &CohortPlan {
        match &self.source {
            SourcePlan::Cohort(cohort) => cohort,
            _ => unreachable!("the chain of stages was checked"),
        }
    }

    /// The pictures; only stages that read pictures ask.
    pub(crate) fn pictures(&self) -> &PicturesPlan {
        match &self.source {
            SourcePlan::Pictures(pictures) => pictures,
            _ => unreachable!("the chain of stages was checked"),
        }
    }

    /// The data set; only stages that ask it ask.
    pub(crate) fn benchmark(&self) -> &BenchmarkPlan {
        match &self.source {
            SourcePlan::Benchmark(benchmark) => benchmark,
            _ => unreachable!("the chain of stages was checked"),
        }
    }

    /// The recordings, where the cohort is a folder or a manifest of them.
    pub fn recordings(&self) -> Option<&RecordingsPlan> {
        match &self.source {
            SourcePlan::Recordings(recordings) => Some(recordings),
            _ => None,
        }
    }

    /// What is wrong with tables that nothing was asked of; nobody is named.
    pub fn warnings(&self) -> &[String] {
        self.recordings().map_or(&[], |recordings| &recordings.cohort.warnings)
    }

    /// Whether there are several runs, each in a folder of its own.
    pub fn is_repeated(&self) -> bool {
        self.runs.iter().any(|run| run.label.is_some())
    }
}

/// How event windows lie, where a stage cuts them.
pub(super) fn window(spec: &Spec) -> Option<scan::WindowConfig> {
    spec.steps().find_map(|step| step.cut()?.events().cloned())
}
