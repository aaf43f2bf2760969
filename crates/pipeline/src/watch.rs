//! What a run has told so far of scans that failed, for when it cannot be finished.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use engine::{Observer, Reason};

use crate::{
    event::Event,
    journal::{Ended, Scribe},
};

/// Stage and reason of each scan that failed, by its place among all scans.
pub(crate) type Failed = BTreeMap<usize, (&'static str, Reason)>;

/// Hands events on, remembers the failures among them, and writes the journal of the run.
pub(crate) struct Watch<'a> {
    inner: &'a mut dyn Observer<Event>,
    failed: Arc<Mutex<Failed>>,
    /// Where the lock on the run folder is held.
    scribe: Arc<Mutex<Option<Scribe>>>,
}

/// The other end of a [`Watch`].
#[derive(Clone)]
pub(crate) struct Watched {
    failed: Arc<Mutex<Failed>>,
    scribe: Arc<Mutex<Option<Scribe>>>,
}

impl Watched {
    /// The failures of the repetition that runs.
    pub(crate) fn failed(&self) -> Failed {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What happens from now on goes into a journal.
    pub(crate) fn write(&self, scribe: Scribe) {
        *self.scribe.lock().unwrap_or_else(PoisonError::into_inner) = Some(scribe);
    }

    /// The run ends.
    pub(crate) fn end(&self, ended: Ended) {
        let mut scribe = self.scribe.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut scribe) = scribe.take() {
            scribe.end(ended);
        }
    }
}

impl<'a> Watch<'a> {
    pub(crate) fn new(inner: &'a mut dyn Observer<Event>) -> Self {
        Self { inner, failed: Arc::default(), scribe: Arc::default() }
    }

    /// Its other end.
    pub(crate) fn watched(&self) -> Watched {
        Watched { failed: Arc::clone(&self.failed), scribe: Arc::clone(&self.scribe) }
    }
}

impl Observer<Event> for Watch<'_> {
    fn event(&mut self, event: &Event) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Repetition { .. } => failed.clear(),
            Event::Engine(engine::Event::UnitFailed {
                stage,
                number,
                reason,
                anonymous,
                kind,
                ..
            }) => {
                let (named, anonymous, kind) = (reason.clone(), anonymous.clone(), kind.clone());
                failed.insert(number - 1, (stage, Reason { named, anonymous, kind }));
            }
            Event::StageCached { stage, failures } => {
                failed.extend(failures.iter().map(|it| (it.unit, (*stage, it.reason.clone()))));
            }
            _ => {}
        }
        drop(failed);
        if let Some(scribe) = &mut *self.scribe.lock().unwrap_or_else(PoisonError::into_inner) {
            scribe.event(event);
        }
        self.inner.event(event);
    }
}
