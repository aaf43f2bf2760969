//! What the processes of one training add up.

use crate::Result;

/// How the gradients of several processes, each with micro-batches of its own, become those of one step.
pub(crate) trait Reduce {
    /// Which of them this is, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn n_ranks(&self) -> usize;

    /// Adds to `sum` what each process gives, in the order of their ranks, so that all of them end with the
    /// numbers of one process that took the micro-batches in turn.
    fn add(&self, sum: &mut [f32], own: &[f32]) -> Result<()>;
}

/// A process alone.
pub(crate) struct Alone;

impl Reduce for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn n_ranks(&self) -> usize {
        1
    }

    fn add(&self, sum: &mut [f32], own: &[f32]) -> Result<()> {
        sum.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
        Ok(())
    }
}

/// Threads of one process, to test what processes would do.
#[cfg(test)]
pub(crate) mod threads {
    use std::sync::{Arc, Barrier, Mutex};

    use super::*;

    struct Shared {
        barrier: Barrier,
        given: Mutex<Vec<Vec<f32>>>,
    }

    pub(crate) struct Thread {
        rank: usize,
        n_ranks: usize,
        shared: Arc<Shared>,
    }

    /// One for each thread.
    pub(crate) fn of(n_ranks: usize) -> Vec<Thread> {
        let given = Mutex::new(vec![Vec::new(); n_ranks]);
        let shared = Arc::new(Shared { barrier: Barrier::new(n_ranks), given });
        (0..n_ranks).map(|rank| Thread { rank, n_ranks, shared: shared.clone() }).collect()
    }

    impl Reduce for Thread {
        fn rank(&self) -> usize {
            self.rank
        }

        fn n_ranks(&self) -> usize {
            self.n_ranks
        }

        fn add(&self, sum: &mut [f32], own: &[f32]) -> Result<()> {
            self.shared.given.lock().unwrap()[self.rank] = own.to_vec();
            self.shared.barrier.wait();
            for given in self.shared.given.lock().unwrap().iter() {
                Alone.add(sum, given)?;
            }
            // nobody gives the next numbers before all have read these
            self.shared.barrier.wait();
            Ok(())
        }
    }
}
