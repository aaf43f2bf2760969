//! What a run tells whoever watches it; the library itself never prints.
use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use train::Progress;

use crate::{Error, Result};

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
    },
    /// A stage is done.
    StageFinished {
        /// Stage name.
        stage: &'static str,
        /// Wall time.
        seconds: f64,
    },
    /// Countable work inside a stage.
    Advanced {
        /// Stage name.
        stage: &'static str,
        /// What is done.
        done: usize,
        /// What there is.
        total: usize,
    },
    /// A training step or a validation.
    Training(Progress),
    /// A scan is left out, the others go on.
    UnitFailed {
        /// Stage that could not go on with it.
        stage: &'static str,
        /// Subject, session and scan.
        unit: String,
        /// Why.
        reason: String,
    },
    /// A stored result of a scan is not what it should be, and is made again.
    UnitRedone {
        /// Stage that asked for it.
        stage: &'static str,
        /// Subject, session and scan.
        unit: String,
        /// What is wrong with the file.
        reason: String,
    },
    /// A finding about all scans; it names no subject.
    Note {
        /// Stage that found it.
        stage: &'static str,
        /// The sentence.
        text: String,
    },
    /// A finished run directory.
    Published {
        /// The folder.
        run_dir: PathBuf,
    },
}

/// Watches a run.
pub trait Observer {
    /// Called from the thread that runs the pipeline.
    fn event(&mut self, event: &Event);
}

/// Ignores everything.
#[derive(Debug)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _: &Event) {}
}

/// The observer and the wish to stop, handed down to every stage.
pub struct Control<'a> {
    observer: &'a mut dyn Observer,
    stop: &'a AtomicBool,
}

impl<'a> Control<'a> {
    /// `stop` may be set from a signal handler at any time.
    pub fn new(observer: &'a mut dyn Observer, stop: &'a AtomicBool) -> Self {
        Self { observer, stop }
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.observer.event(&event);
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Work between two of these is lost when a signal comes.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        if self.stopping() { Err(Error::Interrupted) } else { Ok(()) }
    }
}
