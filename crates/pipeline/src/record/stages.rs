//! What is recorded of the stages of a run.
use engine::Key;
use serde::Serialize;

/// One stage of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct StageRecord {
    stage: String,
    key: String,
    /// Taken from the cache.
    stored: bool,
    seconds: f64,
    /// Megabytes (10⁶ bytes) that the process took at most until the stage was done; `None` where the
    /// system does not say it.
    peak_memory_mb: Option<u64>,
}

impl StageRecord {
    pub(crate) fn new(stage: &str, key: &Key, stored: bool, seconds: f64) -> Self {
        let (stage, key) = (stage.to_owned(), key.as_str().to_owned());
        Self {
            stage,
            key,
            stored,
            seconds: milliseconds(seconds),
            peak_memory_mb: peak_memory_mb(),
        }
    }
}

/// Megabytes (10⁶ bytes) that this process took at most so far.
pub(crate) fn peak_memory_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kib * 1024).div_ceil(1_000_000))
}

/// Seconds to the millisecond, as people read them.
pub(super) fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}
