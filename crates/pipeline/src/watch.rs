//! What a run has told so far of scans that failed, for when it cannot be finished.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use engine::{Observer, Reason};

use crate::event::Event;

/// Stage and reason of each scan that failed, by its place among all scans.
pub(crate) type Failed = BTreeMap<usize, (&'static str, Reason)>;

/// Hands events on, and remembers the failures among them.
pub(crate) struct Watch<'a> {
    inner: &'a mut dyn Observer<Event>,
    failed: Arc<Mutex<Failed>>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(inner: &'a mut dyn Observer<Event>) -> Self {
        Self { inner, failed: Arc::default() }
    }

    /// What tells the failures of the repetition that runs.
    pub(crate) fn failed(&self) -> impl Fn() -> Failed + use<> {
        let failed = Arc::clone(&self.failed);
        move || failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        self.inner.event(event);
    }
}
