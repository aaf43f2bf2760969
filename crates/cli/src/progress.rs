//! Events as bars where someone watches, as lines where a file does.
use std::{
    io::{IsTerminal as _, stderr},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pipeline::{Event, Observer, Progress as Training};

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
}

/// Countable work, since when it is watched.
#[derive(Clone, Copy)]
struct Work {
    stage: &'static str,
    begun: Instant,
    /// What was done then; none until something is told.
    before: Option<usize>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix:>10} {bar:32} {pos}/{len} {msg}")
                .expect("the template is a constant");
            let target = ProgressDrawTarget::stderr_with_hz(8);
            ProgressBar::with_draw_target(None, target).with_style(style)
        });
        Self { bar, stage: "", last_line: Instant::now(), work: None }
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

    /// The time that is left of countable work; work that began unseen is watched from now on.
    fn left(&mut self, stage: &'static str, done: usize, total: usize) -> String {
        let unseen = Work { stage, begun: Instant::now(), before: Some(done) };
        let work = self.work.filter(|work| work.stage == stage).unwrap_or(unseen);
        let before = work.before.unwrap_or(done.saturating_sub(1));
        self.work = Some(Work { before: Some(before), ..work });
        time_left(work.begun.elapsed(), done.saturating_sub(before), total.saturating_sub(done))
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

impl Observer for Progress {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Repetition { name, idx, n } => {
                self.line(&format!("{name} ({} of {n})", idx + 1));
            }
            Event::StageStarted { stage, idx, n } => {
                self.stage = stage;
                self.last_line = Instant::now();
                self.work = Some(Work { stage, begun: self.last_line, before: None });
                self.line(&format!("{stage} (stage {} of {n})", idx + 1));
            }
            Event::StageCached { stage } => self.line(&format!("{stage}: stored result taken")),
            Event::StageFinished { stage, seconds } => {
                if let Some(bar) = &self.bar {
                    bar.reset();
                }
                self.line(&format!("{stage}: done in {seconds:.1} s"));
            }
            Event::Advanced { stage, done, total } => {
                let left = self.left(stage, *done, *total);
                self.advance(stage, *done, *total, &left);
            }
            Event::Training(Training::Step { step, n_steps, loss, lr }) => {
                let message = format!("loss {loss:.4}, rate {lr:.2e}");
                self.advance(self.stage, *step, *n_steps, &message);
            }
            Event::Training(Training::Validated { step, nll, best }) => {
                let best = if *best { ", best so far" } else { "" };
                self.line(&format!(
                    "{}: step {step}, held out {nll:.4} nats a token{best}",
                    self.stage
                ));
            }
            Event::UnitFailed { stage, unit, reason } => {
                self.line(&format!("{unit}: left out by {stage}: {reason}"));
            }
            Event::UnitRedone { stage, unit, reason } => {
                self.line(&format!("{unit}: {stage} is done again: {reason}"));
            }
            Event::Note { stage, text } => self.line(&format!("{stage}: {text}")),
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
    fn the_rest_takes_as_long_as_what_was_done() {
        let left =
            |seconds, n_done, n_left| time_left(Duration::from_secs(seconds), n_done, n_left);
        assert_eq!(left(20, 2, 4), "about 40 s left");
        assert_eq!(left(600, 2, 4), "about 20 min left");
        assert_eq!(left(3600, 1, 9), "about 9.0 h left");
        assert_eq!(left(5, 0, 4) + &left(5, 4, 0), "");
    }
}
