//! What a run tells whoever watches it; the library itself never prints.
use std::path::PathBuf;

use train::Progress;

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// One repetition of many begins.
    Repetition {
        /// Its name, also its folder.
        name: String,
        /// From 0.
        idx: usize,
        /// How many there are.
        n: usize,
    },
    /// A stage begins to compute.
    StageStarted {
        /// Stage name.
        stage: &'static str,
        /// From 0.
        idx: usize,
        /// Stages of this pipeline.
        n: usize,
    },
    /// A stage's stored result was taken.
    StageCached {
        /// Stage name.
        stage: &'static str,
        /// Scans that it left out when it was computed.
        failures: Vec<engine::Failure>,
    },
    /// A stage is done.
    StageFinished {
        /// Stage name.
        stage: &'static str,
        /// Wall time.
        seconds: f64,
        /// Megabytes (10⁶ bytes) that the program took at most so far, told of trainings.
        peak_memory_mb: Option<u64>,
    },
    /// A training step or a validation.
    Training(Progress),
    /// A finding about all scans; it names no subject.
    Note {
        /// Stage that found it.
        stage: &'static str,
        /// The sentence.
        text: String,
    },
    /// What happened to units of work.
    Engine(engine::Event),
    /// A finished run directory.
    Published {
        /// The folder.
        run_dir: PathBuf,
    },
}

impl From<engine::Event> for Event {
    fn from(event: engine::Event) -> Self {
        Self::Engine(event)
    }
}

/// The observer and the wish to stop, handed down to every stage.
pub type Control<'a> = engine::Control<'a, Event>;
