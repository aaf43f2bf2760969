//! What a run tells whoever watches it; the library itself never prints.
use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use train::Progress;

use crate::{Error, Result, lock::Lost, reasons::Reason};

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
        /// Its place among all scans, from 1.
        number: usize,
        /// Scans in all.
        n: usize,
        /// Why, in words that may name the scan.
        reason: String,
        /// The same in words that name nobody.
        anonymous: String,
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
    /// A stored result is not what was written: it is removed and made again.
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Scans whose files could not be read are tried again.
    TriedAgain {
        /// Stage that works on them.
        stage: &'static str,
        /// How many.
        n: usize,
    },
    /// Another run makes the same result: this one waits for it.
    Waiting {
        /// Stage name.
        stage: &'static str,
        /// Who makes it.
        holder: String,
    },
    /// A finished run directory.
    Published {
        /// The folder.
        run_dir: PathBuf,
    },
}

impl Event {
    /// A failed scan, the `idx`th of `n`.
    pub(crate) fn unit_failed(
        stage: &'static str,
        (idx, n): (usize, usize),
        unit: &str,
        reason: &Reason,
    ) -> Self {
        let Reason { named: reason, anonymous } = reason.clone();
        Self::UnitFailed { stage, unit: unit.to_owned(), number: idx + 1, n, reason, anonymous }
    }
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
    /// Set when another run took the run folder over.
    lost: Option<Lost>,
}

impl<'a> Control<'a> {
    /// `stop` may be set from a signal handler at any time.
    pub fn new(observer: &'a mut dyn Observer, stop: &'a AtomicBool) -> Self {
        Self { observer, stop, lost: None }
    }

    /// The same, and it stops when the lock on the run folder is lost.
    pub(crate) fn holding(self, lost: Lost) -> Self {
        Self { lost: Some(lost), ..self }
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.observer.event(&event);
    }

    pub(crate) fn stopping(&self) -> bool {
        (self.stop())()
    }

    /// The same, to be asked from any thread.
    pub(crate) fn stop(&self) -> impl Fn() -> bool + Send + Sync + use<'a> {
        let (stop, lost) = (self.stop, self.lost.clone());
        move || stop.load(Ordering::Relaxed) || lost.as_ref().is_some_and(Lost::is_lost)
    }

    /// Work between two of these is lost when a signal comes.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        self.lost.as_ref().map_or(Ok(()), Lost::check)?;
        if self.stopping() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Waits, and ends early when it has to stop.
    pub(crate) fn wait(&self, time: Duration) -> Result<()> {
        const STEP: Duration = Duration::from_millis(50);
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.checkpoint()?;
            std::thread::sleep(STEP.min(time));
        }
        self.checkpoint()
    }
}
