//! Who watches the work, and the wish to stop it.

use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use crate::{Error, Kind, Reason, Result, lock::Lost};

/// Something that happened to units of work.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Countable work inside a stage.
    Advanced {
        /// Stage name.
        stage: &'static str,
        /// What is done.
        done: usize,
        /// What there is.
        total: usize,
    },
    /// Work on a unit begins.
    UnitBegun {
        /// Stage that works on it.
        stage: &'static str,
        /// Its place among all units, from 0.
        unit: usize,
    },
    /// The result of a unit is kept.
    UnitDone {
        /// Stage that worked on it.
        stage: &'static str,
        /// Its place among all units, from 0.
        unit: usize,
    },
    /// A unit is left out, the others go on.
    UnitFailed {
        /// Stage that could not go on with it.
        stage: &'static str,
        /// Its name.
        unit: String,
        /// Its place among all units, from 1.
        number: usize,
        /// Units in all.
        n: usize,
        /// Why, in words that may name the unit.
        reason: String,
        /// The same in words that name nobody.
        anonymous: String,
        /// What kind of failure it is.
        kind: Kind,
    },
    /// A stored result of a unit is not what it should be, and is made again.
    UnitRedone {
        /// Stage that asked for it.
        stage: &'static str,
        /// Its name.
        unit: String,
        /// What is wrong with the file.
        reason: String,
    },
    /// A stored result is not what was written: it is removed and made again.
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Units whose files could not be read are tried again.
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
}

impl Event {
    /// A failed unit, the `idx`th of `n`.
    fn unit_failed(
        stage: &'static str,
        (idx, n): (usize, usize),
        unit: &str,
        reason: &Reason,
    ) -> Self {
        let Reason { named: reason, anonymous, kind } = reason.clone();
        let (unit, number) = (unit.to_owned(), idx + 1);
        Self::UnitFailed { stage, unit, number, n, reason, anonymous, kind }
    }
}

/// Watches work; `E` is what whoever works can tell, with [`Event`] among it.
pub trait Observer<E = Event> {
    /// Called from the thread that runs the work.
    fn event(&mut self, event: &E);
}

/// Ignores everything.
#[derive(Debug)]
pub struct Silent;

impl<E> Observer<E> for Silent {
    fn event(&mut self, _: &E) {}
}

/// How units are worked on; no result depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Execution {
    /// Units at once; `None`: as many as the budget has cores.
    pub jobs: Option<NonZeroUsize>,
    /// End at the first unit that fails, after those that have begun.
    pub stop_on_first_failure: bool,
}

/// The observer and the wish to stop, handed down to everything that works.
pub struct Control<'a, E = Event> {
    observer: &'a mut dyn Observer<E>,
    stop: &'a AtomicBool,
    /// Set when another run took the run folder over.
    lost: Option<Lost>,
    execution: Execution,
    /// Stage and reason of the failure that ends the work.
    failed: Option<(&'static str, String)>,
}

impl<'a, E: From<Event>> Control<'a, E> {
    /// `stop` may be set from a signal handler at any time.
    pub fn new(observer: &'a mut dyn Observer<E>, stop: &'a AtomicBool) -> Self {
        Self { observer, stop, lost: None, execution: Execution::default(), failed: None }
    }

    /// The same, and it stops when the lock on the run folder is lost.
    pub fn holding(self, lost: Lost) -> Self {
        Self { lost: Some(lost), ..self }
    }

    /// The same, and units are worked on in this way.
    pub fn executing(self, execution: Execution) -> Self {
        Self { execution, ..self }
    }

    /// How units are worked on.
    pub fn execution(&self) -> Execution {
        self.execution
    }

    /// Tells the observer that a unit failed, the `idx`th of `n`. Where the first failure ends the work,
    /// the next [`Control::checkpoint`] is an error.
    pub fn unit_failed(
        &mut self,
        stage: &'static str,
        place: (usize, usize),
        unit: &str,
        reason: &Reason,
    ) {
        self.tell(Event::unit_failed(stage, place, unit, reason));
        if self.execution.stop_on_first_failure && self.failed.is_none() {
            self.failed = Some((stage, reason.anonymous.clone()));
        }
    }

    /// Tells the observer that a unit is left out because it is not wanted, the `idx`th of `n`: that is no
    /// failure, and the work goes on.
    pub fn unit_left_out(
        &mut self,
        stage: &'static str,
        place: (usize, usize),
        unit: &str,
        reason: &Reason,
    ) {
        self.tell(Event::unit_failed(stage, place, unit, reason));
    }

    /// Tells the observer.
    pub fn tell(&mut self, event: impl Into<E>) {
        self.observer.event(&event.into());
    }

    /// Whether work has to stop.
    pub fn stopping(&self) -> bool {
        (self.stop())()
    }

    /// The same, to be asked from any thread.
    pub fn stop(&self) -> impl Fn() -> bool + Send + Sync + use<'a, E> {
        let (stop, lost) = (self.stop, self.lost.clone());
        move || stop.load(Ordering::Relaxed) || lost.as_ref().is_some_and(Lost::is_lost)
    }

    /// Work between two of these is lost when a signal comes.
    pub fn checkpoint(&self) -> Result<()> {
        self.lost.as_ref().map_or(Ok(()), Lost::check)?;
        if let Some((stage, reason)) = &self.failed {
            return Err(Error::FirstFailure { stage, reason: reason.clone() });
        }
        if self.stopping() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Waits, and ends early when it has to stop.
    pub fn wait(&self, time: Duration) -> Result<()> {
        const STEP: Duration = Duration::from_millis(50);
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.checkpoint()?;
            std::thread::sleep(STEP.min(time));
        }
        self.checkpoint()
    }
}
