//! How a run stands, in words: on the terminal, and on its page while it is served.
use std::fmt::Write as _;

use pipeline::{RunState, RunStatus, TaskCounts};

/// What a person asks first, with a blank line at its end.
pub(crate) fn in_words(status: &RunStatus) -> String {
    let who = format!("process {} on {}, since {}", status.pid, status.host, status.since);
    let mut said = match status.state {
        RunState::Running => format!("{}: running, {who}\n", status.name),
        RunState::Finished => format!("{}: finished, {who}\n", status.name),
        RunState::Failed => format!("{}: ended with an error, {who}\n", status.name),
        RunState::Stopped => format!("{}: stopped, {who}; the same command goes on\n", status.name),
    };
    if let Some(TaskCounts { running, done, all }) = status.tasks {
        let _ = writeln!(said, "{done} of {all} tasks done, {running} running");
    }
    if let Some((name, n)) = &status.repetition {
        let _ = writeln!(said, "repetition {name}, of {n}");
    }
    let _ =
        writeln!(said, "{:<16}{:>9}{:>9}{:>9}{:>9}", "stage", "done", "failed", "running", "left");
    for stage in &status.stages {
        let left = stage.left.map_or_else(|| "-".to_owned(), |left| left.to_string());
        let _ = writeln!(
            said,
            "{:<16}{:>9}{:>9}{:>9}{left:>9}",
            stage.stage, stage.done, stage.failed, stage.running
        );
    }
    if let Some(rate) = status.rate_per_s {
        let left = status.left_s.map_or_else(String::new, |s| format!(", about {s:.0} s left"));
        let _ = writeln!(said, "{rate:.1} scans a second{left}");
    }
    for (kind, n) in &status.failed {
        let _ = writeln!(said, "{n:>7}  {kind}");
    }
    said
}
