//! Learning rate over the steps.

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
    /// Steps in all.
    pub(crate) n_steps: usize,
    /// Steps over which it rises linearly.
    pub(crate) warmup_steps: usize,
    /// Share of the peak that it falls to.
    pub(crate) final_share: f64,
    /// How it goes on after it has risen.
    pub(crate) shape: LrSchedule,
}

impl Schedule {
    /// The learning rate of a step, counted from 0.
    pub(crate) fn rate(&self, step: usize) -> f64 {
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
        Schedule { peak: 2., n_steps: 1000, warmup_steps: 10, final_share: 0.1, shape }
    }

    #[test]
    fn it_rises_then_falls_to_the_final_share() {
        let cosine = schedule(LrSchedule::Cosine);
        assert!((cosine.rate(0) - 0.2).abs() < 1e-3);
        assert!((cosine.rate(9) - 2.).abs() < 1e-3);
        assert!((cosine.rate(500) - 1.1).abs() < 1e-9);
        assert!((cosine.rate(999) - 0.2).abs() < 1e-3);
        // 2 (0.1 + 0.9 · 3/4), and half and whole of the peak
        let linear = schedule(LrSchedule::Linear);
        assert!((linear.rate(250) - 1.55).abs() < 1e-9);
        let constant = schedule(LrSchedule::Constant);
        assert!((constant.rate(4) - 1.).abs() < 1e-9 && constant.rate(999) == 2.);
    }
}
