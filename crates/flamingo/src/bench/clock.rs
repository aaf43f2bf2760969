//! Times, processor time, and the speed of memory beside them.

use std::cell::Cell;
use std::time::Instant;

use crate::Result;

/// Words that are read to learn how fast memory is: many times what the caches hold.
const WORDS: usize = 1 << 26;
/// Words of these that are read at a time, one part after the other.
const PART: usize = 1 << 24;
/// Fewest repetitions of a figure.
const FEWEST: usize = 3;

/// Processor time that this process has taken so far, in seconds, its ended threads included;
/// nothing where the system does not tell it.
#[cfg(unix)]
#[allow(clippy::unnecessary_wraps)]
pub(super) fn cpu_s() -> Option<f64> {
    use rustix::time::{ClockId, clock_gettime};

    let taken = clock_gettime(ClockId::ProcessCPUTime);
    Some(taken.tv_sec as f64 + taken.tv_nsec as f64 / 1e9)
}

#[cfg(not(unix))]
pub(super) fn cpu_s() -> Option<f64> {
    None
}

/// A stretch of time, and of processor time where that is told.
#[derive(Clone, Copy)]
pub(super) struct Start(Instant, Option<f64>);

impl Start {
    pub(super) fn now() -> Self {
        let cpu = cpu_s();
        Self(Instant::now(), cpu)
    }

    /// Seconds since then.
    pub(super) fn elapsed(self) -> Stretch {
        let seconds = self.0.elapsed().as_secs_f64();
        Stretch { seconds, cpu: self.1.zip(cpu_s()).map(|(start, end)| end - start) }
    }
}

/// How long something took.
#[derive(Clone, Copy)]
pub(super) struct Stretch {
    pub(super) seconds: f64,
    pub(super) cpu: Option<f64>,
}

impl Stretch {
    /// Of several pieces together.
    pub(super) fn of(pieces: &[Self]) -> Self {
        let cpu = pieces.iter().map(|piece| piece.cpu).sum();
        Self { seconds: pieces.iter().map(|piece| piece.seconds).sum(), cpu }
    }
}

/// Much memory, to be read.
pub(super) struct Memory {
    words: Vec<u64>,
    next: Cell<usize>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { words: (0..WORDS as u64).collect(), next: Cell::new(0) }
    }

    /// Reads the next part: seconds.
    pub(super) fn read(&self) -> f64 {
        let at = self.next.replace((self.next.get() + PART) % WORDS);
        let part = &self.words[at..at + PART];
        let start = Instant::now();
        std::hint::black_box(nn::on_worker(|| nn::read_all(part)));
        start.elapsed().as_secs_f64()
    }
}

/// GB/s of so many reads that took these seconds together.
fn gb_s(n_reads: usize, seconds: f64) -> f64 {
    (n_reads * PART * size_of::<u64>()) as f64 / seconds / 1e9
}

/// The repetitions of a figure.
#[derive(Default)]
pub(super) struct Samples {
    seconds: Vec<f64>,
    cpu: Vec<f64>,
    /// GB/s that memory gave meanwhile.
    memory: Vec<f64>,
}

impl Samples {
    /// Repeats `run`, once unmeasured.
    pub(super) fn of(memory: &Memory, seconds: f64, run: impl Fn() -> Result<()>) -> Result<Self> {
        let mut samples = Self::default();
        run()?;
        while !samples.enough(seconds) {
            let start = Start::now();
            run()?;
            let stretch = start.elapsed();
            samples.push(stretch, &[memory.read(), memory.read()]);
        }
        Ok(samples)
    }

    /// Whether they took so long together.
    pub(super) fn enough(&self, seconds: f64) -> bool {
        self.n() >= FEWEST && self.seconds.iter().sum::<f64>() >= seconds
    }

    /// A repetition, and the seconds of the reads of memory that went with it.
    pub(super) fn push(&mut self, stretch: Stretch, reads: &[f64]) {
        self.seconds.push(stretch.seconds);
        self.cpu.extend(stretch.cpu);
        self.memory.push(gb_s(reads.len(), reads.iter().sum()));
    }

    pub(super) fn n(&self) -> usize {
        self.seconds.len()
    }

    pub(super) fn median(&self) -> f64 {
        median(&self.seconds)
    }

    pub(super) fn min(&self) -> f64 {
        self.seconds.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(super) fn cpu(&self) -> Option<f64> {
        self.cpu.iter().copied().min_by(f64::total_cmp)
    }

    pub(super) fn memory_gb_s(&self) -> f64 {
        median(&self.memory)
    }

    /// Bytes a second, where every repetition takes so many, as a share of what memory gave
    /// meanwhile.
    pub(super) fn of_memory(&self, bytes: usize) -> f64 {
        let share = |(seconds, memory): (&f64, &f64)| bytes as f64 / seconds / 1e9 / memory;
        median(&self.seconds.iter().zip(&self.memory).map(share).collect::<Vec<_>>())
    }
}

fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3., 1., 2.]), 2.);
        assert_eq!(median(&[4., 1., 2., 3.]), 2.5);
    }

    #[test]
    fn a_share_is_that_of_its_own_repetition() {
        let stretch = |seconds| Stretch { seconds, cpu: None };
        let mut samples = Samples::default();
        // memory that halves, and takes the work with it
        for slower in [1., 2., 4.] {
            samples.push(stretch(slower), &[slower, slower]);
        }
        assert_eq!(samples.of_memory(PART * 8), 1.);
        assert_eq!(samples.memory_gb_s(), gb_s(1, 2.));
        let pieces = [stretch(1.), Stretch { seconds: 2., cpu: Some(1.) }];
        let together = Stretch::of(&pieces);
        assert_eq!((together.seconds, together.cpu), (3., None));
    }

    #[test]
    #[cfg(unix)]
    fn processor_time_only_grows_and_keeps_that_of_ended_threads() {
        let work = || (0..20_000_000u64).map(std::hint::black_box).sum::<u64>();
        let mut last = cpu_s().unwrap();
        for _ in 0..5 {
            assert!(std::thread::spawn(work).join().unwrap() > 0);
            let now = cpu_s().unwrap();
            assert!(now > last);
            last = now;
        }
    }
}
