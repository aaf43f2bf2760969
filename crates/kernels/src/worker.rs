//! Many short parallel loops, one after the other: decoding starts hundreds for every token.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::crowd::{Crowd, Hands, Stretch};

/// How long a worker looks for work before it goes to sleep: longer than what stands between two
/// loops, and than waking up costs.
const PATIENCE: Duration = Duration::from_micros(200);

/// Runs something on a worker of the thread pool while the other workers stay awake.
///
/// Whoever starts many short loops must be one of those who share their work, and the others must
/// be there when a loop starts, or it waits for a thread to wake up. A worker that finds nothing for
/// a while sleeps all the same: nobody ever waits for one that only looks. Where other programs
/// keep the cores busy, so that workers are waited for longer than they help, one of them does it
/// alone, until they help again.
pub fn on_worker<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    static CROWD: Mutex<Crowd> = Mutex::new(Crowd::new());
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    let n_threads = rayon::current_num_threads();
    let running = Running::new(&RUNNING);
    // callers inside or beside each other are a crowd of their own, which one thread would only hold up
    if n_threads == 1 || !running.first {
        return together(f);
    }
    let crowd = || CROWD.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let hands = crowd().hands(Instant::now());
    let timed = || {
        let start = Stretch::start();
        let result = f();
        (result, start.and_then(|start| start.end(n_threads)))
    };
    let (result, stretch) = match hands {
        Hands::All => together(timed),
        Hands::One => alone(timed),
    };
    if let Some(stretch) = stretch {
        crowd().learn(hands, &stretch, Instant::now());
    }
    result
}

/// Counts a caller while it lives.
struct Running<'a> {
    count: &'a AtomicUsize,
    /// Whether there was no other when it came.
    first: bool,
}

impl<'a> Running<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        Self { count, first: count.fetch_add(1, Ordering::AcqRel) == 0 }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Runs something on a thread whose loops are shared with nobody.
fn alone<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    static ALONE: OnceLock<Option<rayon::ThreadPool>> = OnceLock::new();
    let pool = ALONE.get_or_init(|| rayon::ThreadPoolBuilder::new().num_threads(1).build().ok());
    match pool {
        Some(pool) => pool.install(f),
        None => together(f),
    }
}

fn together<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    let over = &AtomicBool::new(false);
    rayon::scope(|scope| {
        let own = rayon::current_thread_index();
        let _end = AtEnd(over);
        scope.spawn_broadcast(move |_, context| {
            if own != Some(context.index()) {
                look_for_work(over);
            }
        });
        f()
    })
}

/// Says that it is over, also where a panic ends it.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn look_for_work(over: &AtomicBool) {
    let mut found = Instant::now();
    while !over.load(Ordering::Acquire) {
        if rayon::yield_now() == Some(rayon::Yield::Executed) {
            found = Instant::now();
        } else if found.elapsed() > PATIENCE {
            return;
        } else {
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use super::*;
    use rayon::prelude::*;

    #[test]
    fn what_runs_on_a_worker_may_loop_nest_and_panic() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("a pool");
        let sum = |n: u64| (0..n).into_par_iter().sum::<u64>();
        let nested = || on_worker(|| (0..50).map(|n| on_worker(|| sum(n))).sum::<u64>());
        let expected = (0..50u64).map(|n| n * n.saturating_sub(1) / 2).sum::<u64>();
        assert_eq!(pool.install(nested), expected);
        assert_eq!(nested(), expected);
        let panics = AssertUnwindSafe(|| pool.install(|| on_worker(|| panic!("ended"))));
        let panicked = std::panic::catch_unwind(panics);
        assert!(panicked.is_err());
        assert_eq!(pool.install(nested), expected);
    }

    #[test]
    fn many_callers_share_the_workers() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("a pool");
        let sums: Vec<u64> = std::thread::scope(|scope| {
            let caller = || pool.install(|| on_worker(|| (0..1000u64).into_par_iter().sum()));
            let callers: Vec<_> = (0..8).map(|_| scope.spawn(caller)).collect();
            callers.into_iter().map(|it| it.join().expect("no panic")).collect()
        });
        assert_eq!(sums, [499_500; 8]);
    }
}
