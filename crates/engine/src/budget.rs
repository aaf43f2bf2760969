//! Many units of work at once, as many as cores and memory allow.
//!
//! ```text
//! units, in order ─→ wait until the next one fits ─→ workers ─→ results, as they are done ─→ caller
//! ```

use std::{
    convert::Infallible,
    num::NonZeroUsize,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc::sync_channel},
};

use crate::Error;

/// What work may take of a machine: the cores and the memory of all units that run at once.
///
/// ```
/// use engine::{Budget, Error};
///
/// let budget = Budget { n_workers: 2.try_into().unwrap(), n_bytes: 300_000_000 };
/// let squares = budget.map(&[1, 2, 3], |_| 100_000_000, |_, unit| Ok::<_, Error>(unit * unit));
/// assert_eq!(squares.into_iter().collect::<Result<Vec<_>, _>>()?, [1, 4, 9]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Units at once.
    pub n_workers: NonZeroUsize,
    /// Bytes of all of them together.
    pub n_bytes: u64,
}

impl Budget {
    /// All cores, and half of the memory that is free now; any memory where that is not known.
    pub fn of_machine() -> Self {
        let n_workers = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { n_workers, n_bytes: free_memory().map_or(u64::MAX, |n_bytes| n_bytes / 2) }
    }

    /// The same cores, with so many megabytes (10⁶ bytes).
    #[must_use]
    pub fn with_mem_mb(self, mem_mb: u64) -> Self {
        Self { n_bytes: mem_mb.saturating_mul(1_000_000), ..self }
    }

    /// The same memory, with so many units at once where that is said.
    #[must_use]
    pub fn with_jobs(self, jobs: Option<NonZeroUsize>) -> Self {
        Self { n_workers: jobs.unwrap_or(self.n_workers), ..self }
    }

    /// Works on all units, as [`Budget::each`] does, and gives their results in the order of the
    /// units.
    pub fn map<U: Sync, R: Send, E: From<Error> + Send>(
        &self,
        units: &[U],
        cost: impl Fn(&U) -> u64,
        work: impl Fn(usize, &U) -> Result<R, E> + Sync,
    ) -> Vec<Result<R, E>> {
        let mut results: Vec<Option<Result<R, E>>> = units.iter().map(|_| None).collect();
        let kept: Result<(), Infallible> = self.each(units, cost, work, |index, result| {
            results[index] = Some(result);
            Ok(())
        });
        let Ok(()) = kept;
        results.into_iter().map(|result| result.expect("every unit was worked on")).collect()
    }

    /// Works on all units, begun first to last, and hands each result to `done` on the calling
    /// thread as soon as it is there.
    ///
    /// `cost` is the most bytes that work on a unit takes. A unit waits until those before it leave
    /// it room; one that needs more than the whole budget is not begun: its result is
    /// [`Error::OverBudget`]. When `done` fails no further unit is begun, those that have begun are
    /// finished and dropped, and its error is returned.
    pub fn each<U: Sync, R: Send, E: From<Error> + Send, S>(
        &self,
        units: &[U],
        cost: impl Fn(&U) -> u64,
        work: impl Fn(usize, &U) -> Result<R, E> + Sync,
        mut done: impl FnMut(usize, Result<R, E>) -> Result<(), S>,
    ) -> Result<(), S> {
        self.steps(units, cost, work, |index, step| match step {
            Step::Begun => Ok(()),
            Step::Ended(result) => done(index, result),
        })
    }

    /// The same, with the beginning of each unit.
    pub(crate) fn steps<U: Sync, R: Send, E: From<Error> + Send, S>(
        &self,
        units: &[U],
        cost: impl Fn(&U) -> u64,
        work: impl Fn(usize, &U) -> Result<R, E> + Sync,
        mut told: impl FnMut(usize, Step<R, E>) -> Result<(), S>,
    ) -> Result<(), S> {
        let costs = units.iter().map(cost).collect();
        let queue = Queue { costs, limit: self.n_bytes, ..Queue::default() };
        let (give, results) = sync_channel(self.n_workers.get());
        std::thread::scope(|scope| {
            // When a result is not wanted any more, nobody must wait to hand over another.
            let results = results;
            for _ in 0..self.n_workers.get().min(units.len()) {
                let (queue, work, give) = (&queue, &work, give.clone());
                scope.spawn(move || {
                    while let Some(index) = queue.take() {
                        // Given back even if the work panics, or the others would wait for ever.
                        let _room = Room { queue, n_bytes: queue.held(index) };
                        if give.send((index, Step::Begun)).is_err() {
                            return;
                        }
                        let result = match queue.costs[index] {
                            found if found > queue.limit => {
                                Err(Error::OverBudget { found, limit: queue.limit }.into())
                            }
                            _ => work(index, &units[index]),
                        };
                        if give.send((index, Step::Ended(result))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(give);
            let outcome = results.iter().try_for_each(|(index, step)| told(index, step));
            queue.stop();
            outcome
        })
    }
}

/// What becomes of a unit.
pub(crate) enum Step<R, E> {
    /// A worker has it.
    Begun,
    /// What the worker made of it.
    Ended(Result<R, E>),
}

/// Units in their order, given out as there is room for them.
#[derive(Default)]
struct Queue {
    costs: Vec<u64>,
    limit: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The first unit that nobody has taken.
    next: usize,
    in_use: u64,
    stopped: bool,
}

impl Queue {
    /// The next unit, once there is room for it; nothing when all are taken.
    fn take(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            let index = Some(state.next).filter(|&at| !state.stopped && at < self.costs.len())?;
            let after = state.in_use.saturating_add(self.held(index));
            if after <= self.limit {
                (state.next, state.in_use) = (index + 1, after);
                return Some(index);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What a unit holds while it is worked on: nothing if it is not begun.
    fn held(&self, index: usize) -> u64 {
        Some(self.costs[index]).filter(|&n_bytes| n_bytes <= self.limit).unwrap_or(0)
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Every change is one assignment, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of a unit in work, given back when it ends.
struct Room<'a> {
    queue: &'a Queue,
    n_bytes: u64,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.queue.lock().in_use -= self.n_bytes;
        self.queue.changed.notify_all();
    }
}

/// Bytes that could be had without swapping, where the system says so (Linux).
fn free_memory() -> Option<u64> {
    meminfo("MemAvailable:")
}

/// Bytes of the whole machine, swap included, where the system says so (Linux).
pub fn memory_of_machine() -> Option<u64> {
    Some(meminfo("MemTotal:")? + meminfo("SwapTotal:").unwrap_or(0))
}

fn meminfo(name: &str) -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    use super::*;

    fn budget(n_workers: usize, n_bytes: u64) -> Budget {
        Budget { n_workers: NonZeroUsize::new(n_workers).unwrap(), n_bytes }
    }

    /// Holds a unit long enough for others to begin beside it.
    fn dawdle() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }

    #[test]
    fn units_run_together_within_cores_and_memory() {
        let units: Vec<u64> = (0..40).map(|unit| 10 + unit * 7 % 50).collect();
        for (n_workers, n_bytes) in [(1, 1000), (4, 1000), (4, 60), (9, 59)] {
            let (bytes, running) = (AtomicU64::new(0), AtomicUsize::new(0));
            let (most_bytes, most_running) = (AtomicU64::new(0), AtomicUsize::new(0));
            let squares = budget(n_workers, n_bytes).map(
                &units,
                |unit| *unit,
                |index, unit| {
                    let now = bytes.fetch_add(*unit, Ordering::SeqCst) + unit;
                    most_bytes.fetch_max(now, Ordering::SeqCst);
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    most_running.fetch_max(now, Ordering::SeqCst);
                    dawdle();
                    // the first waits for company, however busy the machine is
                    let alone = || most_running.load(Ordering::SeqCst) < 2;
                    let mut patience = if index == 0 && n_workers > 1 { 30_000 } else { 0 };
                    while patience > 0 && alone() {
                        patience -= 1;
                        dawdle();
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                    bytes.fetch_sub(*unit, Ordering::SeqCst);
                    Ok::<_, Error>(unit * unit)
                },
            );
            let squares: Vec<u64> = squares.into_iter().map(Result::unwrap).collect();
            assert!(squares.iter().zip(&units).all(|(square, unit)| *square == unit * unit));
            assert!(most_bytes.into_inner() <= n_bytes);
            let most_running = most_running.into_inner();
            assert!(most_running <= n_workers && (n_workers == 1 || most_running > 1));
        }
    }

    #[test]
    fn a_unit_larger_than_the_budget_is_refused_and_the_others_go_on() {
        let results = budget(2, 2_000_000).map(
            &[1, 3_500_000, 2_000_000],
            |unit| *unit,
            |index, _| Ok::<_, Error>(index),
        );
        let words: Vec<String> = results
            .into_iter()
            .map(|it| it.map_or_else(|e| e.to_string(), |x| x.to_string()))
            .collect();
        assert_eq!(words[0], "0");
        assert_eq!(words[1], "needs 4 MB of memory, the budget is 2 MB");
        assert_eq!(words[2], "2");
    }

    #[test]
    fn results_arrive_as_they_are_done_and_a_refusal_stops_the_rest() {
        let begun = AtomicUsize::new(0);
        let units = [(); 100];
        let mut seen = 0;
        let stopped = budget(3, 9).each(
            &units,
            |()| 3,
            |_, ()| {
                begun.fetch_add(1, Ordering::SeqCst);
                dawdle();
                Ok::<_, Error>(())
            },
            |_, result| {
                result.unwrap();
                seen += 1;
                if seen == 5 { Err("enough") } else { Ok(()) }
            },
        );
        assert_eq!((stopped, seen), (Err("enough"), 5));
        assert!(begun.into_inner() < 20);
    }

    #[test]
    fn nothing_to_do_is_done_at_once() {
        let none: [u8; 0] = [];
        assert!(budget(3, 0).map(&none, |_| 1, |_, _| Ok::<_, Error>(())).is_empty());
        assert!(Budget::of_machine().with_mem_mb(300).n_bytes == 300_000_000);
        assert!(Budget::of_machine().n_bytes > 0);
        assert!(memory_of_machine().zip(free_memory()).is_none_or(|(all, free)| free <= all));
    }
}
