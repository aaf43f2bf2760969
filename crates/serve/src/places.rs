//! Places for connections: those that have passed the gate keep theirs, the others wait in a short queue.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{self, AbortHandle},
    time,
};

/// Connections at once; a browser opens six.
const MOST: usize = 64;

/// A connection that has not passed the gate after this time is closed.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often that is looked at.
const EVERY: Duration = Duration::from_millis(500);

/// Connections that have not passed the gate, the oldest first.
type Strangers = BTreeMap<u64, (Instant, AbortHandle)>;

/// The places of a server.
pub(crate) struct Places {
    free: Arc<Semaphore>,
    strangers: Arc<Mutex<Strangers>>,
    n_taken: u64,
}

/// The place of one connection; free again when the value is dropped.
pub(crate) struct Place {
    _free: OwnedSemaphorePermit,
    strangers: Arc<Mutex<Strangers>>,
    number: u64,
}

impl Places {
    /// Places of a runtime, in which those that wait too long are closed.
    pub(crate) fn new() -> Self {
        let strangers = Arc::<Mutex<Strangers>>::default();
        let watched = Arc::clone(&strangers);
        task::spawn(async move {
            loop {
                time::sleep(EVERY).await;
                let now = Instant::now();
                let is_late = |since: &Instant| now.duration_since(*since) > PATIENCE;
                lock(&watched)
                    .values()
                    .filter(|(at, _)| is_late(at))
                    .for_each(|(_, it)| it.abort());
            }
        });
        Self { free: Arc::new(Semaphore::new(MOST)), strangers, n_taken: 0 }
    }

    /// A place for a new connection. Where none is free, the oldest one that has not passed the gate loses its
    /// own; where all have passed it, one of them must end first.
    pub(crate) async fn take(&mut self) -> Place {
        if self.free.available_permits() == 0
            && let Some((_, (_, oldest))) = lock(&self.strangers).pop_first()
        {
            oldest.abort();
        }
        let free = Arc::clone(&self.free).acquire_owned().await.expect("it is never closed");
        self.n_taken += 1;
        Place { _free: free, strangers: Arc::clone(&self.strangers), number: self.n_taken }
    }

    /// Says which task, that has not run yet, serves the connection at the place of this number.
    pub(crate) fn watch(&self, number: u64, task: AbortHandle) {
        lock(&self.strangers).insert(number, (Instant::now(), task));
    }
}

impl Place {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The connection has passed the gate: it keeps its place.
    pub(crate) fn keep(&self) {
        lock(&self.strangers).remove(&self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.keep();
    }
}

fn lock(strangers: &Mutex<Strangers>) -> MutexGuard<'_, Strangers> {
    strangers.lock().unwrap_or_else(PoisonError::into_inner)
}
