//! Times, processor time, and the speed of memory beside them.

use std::time::Instant;

use crate::Result;

/// Words that are read to learn how fast memory is: many times what the caches hold.
const WORDS: usize = 1 << 26;
/// Fewest repetitions of a figure.
const FEWEST: usize = 3;

pub(super) fn now() -> Instant {
    Instant::now()
}

/// Processor time that this process has taken so far, in seconds; nothing where the system does not
/// tell it as Linux does.
pub(super) fn cpu_s() -> Option<f64> {
    /// Parts of a second that Linux counts in, whatever its clock.
    const TICKS: f64 = 100.;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // after the name, which may hold anything: user and system time are the 12th and 13th field
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS)
}

/// Much memory, to be read.
pub(super) struct Memory(Vec<u64>);

impl Memory {
    pub(super) fn new() -> Self {
        Self((0..WORDS as u64).collect())
    }

    /// Reads all of it: GB/s.
    fn read(&self) -> f64 {
        let start = now();
        std::hint::black_box(nn::on_worker(|| nn::read_all(&self.0)));
        size_of_val(&*self.0) as f64 / start.elapsed().as_secs_f64() / 1e9
    }
}

/// The repetitions of a figure.
#[derive(Default)]
pub(super) struct Samples {
    seconds: Vec<f64>,
    cpu: Vec<f64>,
    memory: Vec<f64>,
}

impl Samples {
    /// Repeats `run`, once unmeasured.
    pub(super) fn of(memory: &Memory, seconds: f64, run: impl Fn() -> Result<()>) -> Result<Self> {
        let mut samples = Self::default();
        run()?;
        while !samples.enough(seconds) {
            let (start, cpu) = (now(), cpu_s());
            run()?;
            samples.push(start, now(), cpu, cpu_s());
            samples.memory(memory);
        }
        Ok(samples)
    }

    /// Whether they took so long together.
    pub(super) fn enough(&self, seconds: f64) -> bool {
        self.n() >= FEWEST && self.seconds.iter().sum::<f64>() >= seconds
    }

    pub(super) fn push(
        &mut self,
        start: Instant,
        end: Instant,
        cpu_start: Option<f64>,
        cpu_end: Option<f64>,
    ) {
        self.seconds.push((end - start).as_secs_f64());
        self.cpu.extend(cpu_start.zip(cpu_end).map(|(start, end)| end - start));
    }

    pub(super) fn memory(&mut self, memory: &Memory) {
        self.memory.push(memory.read());
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
    #[cfg(target_os = "linux")]
    fn processor_time_only_grows() {
        let start = cpu_s().expect("Linux tells");
        let memory: u64 = (0..100_000_000u64).map(std::hint::black_box).sum();
        assert!(memory > 0 && cpu_s().expect("Linux tells") >= start);
    }
}
