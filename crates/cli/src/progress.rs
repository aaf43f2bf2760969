//! Events as bars where someone watches, as lines where a file does.
use std::{
    io::{IsTerminal as _, stderr},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pipeline::{EngineEvent, Event, Observer, Progress as Training};

use crate::print;

/// Lines of countable work come no faster than this.
const EVERY: Duration = Duration::from_secs(10);

/// Watches a run.
pub(crate) struct Progress {
    /// None where stderr is no terminal.
    bar: Option<ProgressBar>,
    stage: &'static str,
    last_line: Instant,
    work: Option<Work>,
    /// Whether scans, and with them subjects, are named.
    names: bool,
}

/// Countable work, since when it is watched.
#[derive(Clone, Copy)]
struct Work {
    stage: &'static str,
    begun: Instant,
    /// What was done then.
    before: usize,
    /// What is done now, of what.
    done: usize,
    total: usize,
}

impl Progress {
    /// `names`: whether scans are named, and with them subjects.
    pub(crate) fn new(names: bool) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix:>10} {bar:32} {pos}/{len} {msg}")
                .expect("the template is a constant");
            let target = ProgressDrawTarget::stderr_with_hz(8);
            ProgressBar::with_draw_target(None, target).with_style(style)
        });
        Self { bar, stage: "", last_line: Instant::now(), work: None, names }
    }

    /// Leaves the terminal as it was.
    pub(crate) fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| print::note(text)),
            None => print::note(text),
        }
    }

    /// The time that is left of countable work. What was done when it was first seen took unknown time;
    /// another total, or less done than before, is other work of the same stage.
    fn left(&mut self, stage: &'static str, done: usize, total: usize) -> String {
        let same = |work: &Work| work.stage == stage && work.total == total && work.done <= done;
        let unseen = Work { stage, begun: Instant::now(), before: done, done, total };
        let work = self.work.filter(same).unwrap_or(unseen);
        self.work = Some(Work { done, ..work });
        let (n_done, n_left) = (done - work.before, total.saturating_sub(done));
        time_left(work.begun.elapsed(), n_done, n_left)
    }

    /// So much of countable work is done.
    pub(crate) fn advance(
        &mut self,
        stage: &'static str,
        done: usize,
        total: usize,
        message: &str,
    ) {
        match &self.bar {
            Some(bar) => {
                bar.set_prefix(stage);
                bar.set_length(total as u64);
                bar.set_position(done as u64);
                bar.set_message(message.to_owned());
            }
            None if self.last_line.elapsed() >= EVERY => {
                self.last_line = Instant::now();
                print::note(&format!("{stage}: {done}/{total} {message}"));
            }
            None => {}
        }
    }
}

impl Observer<Event> for Progress {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Repetition { name, idx, n } => {
                self.line(&format!("{name} ({} of {n})", idx + 1));
            }
            Event::StageStarted { stage, idx, n } => {
                self.stage = stage;
                self.last_line = Instant::now();
                self.work = None;
                self.line(&format!("{stage} (stage {} of {n})", idx + 1));
            }
            Event::StageCached { stage, .. } => self.line(&format!("{stage}: stored result taken")),
            Event::StageFinished { stage, seconds, peak_memory_mb } => {
                if let Some(bar) = &self.bar {
                    bar.reset();
                }
                let peak = peak_memory_mb.map(|mb| format!(", {mb} MB of memory at most"));
                self.line(&format!("{stage}: done in {seconds:.1} s{}", peak.unwrap_or_default()));
            }
            Event::Engine(EngineEvent::Advanced { stage, done, total }) => {
                let left = self.left(stage, *done, *total);
                self.advance(stage, *done, *total, &left);
            }
            Event::Training(Training::Step { step, n_steps, loss, lr, .. }) => {
                let message = format!("loss {loss:.4}, rate {lr:.2e}");
                self.advance(self.stage, *step, *n_steps, &message);
            }
            Event::Training(Training::Validated { step, nll, metrics, best }) => {
                let best = if *best { ", best so far" } else { "" };
                let further = metrics.iter().map(|(name, value)| format!(", {name} {value:.3}"));
                let further = further.collect::<Vec<_>>().concat();
                self.line(&format!(
                    "{}: step {step}, held out {nll:.4} nats a token{further}{best}",
                    self.stage
                ));
            }
            Event::Training(Training::NothingLearned { step }) => {
                self.line(&format!("{}: step {step} had nothing to learn", self.stage));
            }
            Event::Training(Training::StateLost { state, reason }) => {
                self.line(&format!(
                    "{}: the saved state {state} is damaged ({reason}); the training goes on from \
                     the state before it, or from the start",
                    self.stage
                ));
            }
            Event::Engine(EngineEvent::UnitFailed {
                stage,
                unit,
                number,
                n,
                reason,
                anonymous,
                ..
            }) => {
                let (unit, reason) = if self.names {
                    (unit.clone(), reason)
                } else {
                    (format!("{number} of {n}"), anonymous)
                };
                self.line(&format!("{unit}: left out by {stage}: {reason}"));
            }
            Event::Engine(EngineEvent::UnitRedone { stage, unit, reason }) => {
                let unit = if self.names { unit } else { "one scan" };
                self.line(&format!("{unit}: {stage} is done again: {reason}"));
            }
            Event::Note { stage, text } => self.line(&format!("{stage}: {text}")),
            Event::Engine(EngineEvent::Damaged { file, problem }) => {
                self.line(&format!("{file}: {problem}; it is made again"));
            }
            Event::Engine(EngineEvent::TriedAgain { stage, n }) => {
                self.line(&format!("{stage}: {n} could not be read now and are tried again"));
            }
            Event::Engine(EngineEvent::Waiting { stage, holder }) => {
                self.line(&format!(
                    "{stage}: waits for another run ({holder}) that makes the same"
                ));
            }
            _ => {}
        }
    }
}

/// How long the rest takes if it is as fast as what was done.
fn time_left(elapsed: Duration, n_done: usize, n_left: usize) -> String {
    if n_done == 0 || n_left == 0 {
        return String::new();
    }
    let seconds = elapsed.as_secs_f64() * n_left as f64 / n_done as f64;
    match seconds {
        s if s < 90.0 => format!("about {s:.0} s left"),
        s if s < 5400.0 => format!("about {:.0} min left", s / 60.0),
        s => format!("about {:.1} h left", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_comes_in_batches_is_not_taken_for_single_pieces() {
        let mut progress = Progress::new(false);
        let ago = |seconds| {
            Instant::now().checked_sub(Duration::from_secs(seconds)).expect("a machine that is up")
        };
        assert_eq!(progress.left("evaluate", 0, 1280), "");
        progress.work.as_mut().unwrap().begun = ago(100);
        assert_eq!(progress.left("evaluate", 128, 1280), "about 15 min left");
        // other work of the stage begins: nothing is known of it yet
        assert_eq!(progress.left("evaluate", 0, 40), "");
        progress.work.as_mut().unwrap().begun = ago(10);
        assert_eq!(progress.left("evaluate", 8, 40), "about 40 s left");
        assert_eq!(progress.left("evaluate", 2, 40), "");
        // what was there before took no time
        assert_eq!(progress.left("encode", 390, 400), "");
        progress.work.as_mut().unwrap().begun = ago(60);
        assert_eq!(progress.left("encode", 392, 400), "about 4 min left");
    }

    #[test]
    fn the_rest_takes_as_long_as_what_was_done() {
        let left =
            |seconds, n_done, n_left| time_left(Duration::from_secs(seconds), n_done, n_left);
        assert_eq!(left(20, 2, 4), "about 40 s left");
        assert_eq!(left(600, 2, 4), "about 20 min left");
        assert_eq!(left(3600, 1, 9), "about 9.0 h left");
        assert_eq!(left(5, 0, 4) + &left(5, 4, 0), "");
    }
}
