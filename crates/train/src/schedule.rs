//! Learning rate over the steps.

use flamingo::Compat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the learning rate moves after warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LrSchedule {
    /// It falls along half a cosine to the last step.
    #[default]
    Cosine,
    /// It falls along a line to the last step.
    Linear,
    /// It stays at its peak.
    Constant,
}

/// The learning rate of every step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// Peak learning rate.
    pub(crate) peak: f64,
    /// Its length in steps.
    pub(crate) n_steps: usize,
    /// Steps over which it rises linearly.
    pub(crate) warmup_steps: usize,
    /// Share of the peak that it falls to.
    pub(crate) final_share: f64,
    /// How it goes on after it has risen.
    pub(crate) shape: LrSchedule,
    /// Whose schedule it is.
    pub(crate) compat: Compat,
}

impl Schedule {
    /// The learning rate of a step, counted from 0, before which the weights were updated so many times.
    pub(crate) fn rate(&self, step: usize, n_updates: usize) -> f64 {
        match self.compat {
            Compat::None => self.own(step),
            Compat::OpenFlamingo => self.original(n_updates),
        }
    }

    /// `get_{constant,linear,cosine}_schedule_with_warmup` of transformers, which the first update of a warm-up
    /// multiplies with 0.
    fn original(&self, n_updates: usize) -> f64 {
        let (at, warmup) = (n_updates as f64, self.warmup_steps as f64);
        if n_updates < self.warmup_steps {
            return self.peak * at / warmup.max(1.);
        }
        let after_warmup = (self.n_steps as f64 - warmup).max(1.);
        let height = match self.shape {
            LrSchedule::Cosine => {
                f64::midpoint(1., (std::f64::consts::PI * (at - warmup) / after_warmup).cos())
            }
            LrSchedule::Linear => (self.n_steps as f64 - at) / after_warmup,
            LrSchedule::Constant => 1.,
        };
        self.peak * (self.final_share + (1. - self.final_share) * height.max(0.))
    }

    fn own(&self, step: usize) -> f64 {
        let warmup = ((step + 1) as f64 / self.warmup_steps.max(1) as f64).min(1.);
        let gone = step as f64 / self.n_steps as f64;
        let height = match self.shape {
            LrSchedule::Cosine => {
                f64::midpoint(1., (std::f64::consts::PI * step as f64 / self.n_steps as f64).cos())
            }
            LrSchedule::Linear => 1. - gone,
            LrSchedule::Constant => return self.peak * warmup,
        };
        self.peak * warmup * (self.final_share + (1. - self.final_share) * height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(shape: LrSchedule) -> Schedule {
        Schedule {
            peak: 2.,
            n_steps: 1000,
            warmup_steps: 10,
            final_share: 0.1,
            shape,
            compat: Compat::None,
        }
    }

    #[test]
    fn it_rises_then_falls_to_the_final_share() {
        let cosine = schedule(LrSchedule::Cosine);
        assert!((cosine.own(0) - 0.2).abs() < 1e-3);
        assert!((cosine.own(9) - 2.).abs() < 1e-3);
        assert!((cosine.own(500) - 1.1).abs() < 1e-9);
        assert!((cosine.own(999) - 0.2).abs() < 1e-3);
        // 2 (0.1 + 0.9 · 3/4), and half and whole of the peak
        let linear = schedule(LrSchedule::Linear);
        assert!((linear.own(250) - 1.55).abs() < 1e-9);
        let constant = schedule(LrSchedule::Constant);
        assert!((constant.own(4) - 1.).abs() < 1e-9 && constant.own(999) == 2.);
    }
    #[test]
    fn the_original_begins_at_0_and_counts_updates() {
        let schedule = |shape| Schedule {
            peak: 1e-3,
            n_steps: 50,
            warmup_steps: 5,
            final_share: 0.,
            shape,
            compat: Compat::OpenFlamingo,
        };
        // by transformers' formulas: 1e-3 · 2/5, then 1e-3 · (1 + cos(π · 15/45)) / 2 and 1e-3 · 30/45
        let cosine = schedule(LrSchedule::Cosine);
        assert_eq!([cosine.rate(9, 0), cosine.rate(9, 5)], [0., 1e-3]);
        assert!((cosine.rate(0, 2) - 4e-4).abs() < 1e-12);
        assert!((cosine.rate(0, 20) - 7.5e-4).abs() < 1e-12);
        let linear = schedule(LrSchedule::Linear);
        assert!((linear.rate(0, 20) - 2e-3 / 3.).abs() < 1e-12 && linear.rate(0, 60) == 0.);
        assert_eq!(schedule(LrSchedule::Constant).rate(0, 49), 1e-3);
    }
}
