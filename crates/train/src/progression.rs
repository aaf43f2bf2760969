//! How far a training has come; what a saved state keeps beside the tensors.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::judge::{Judgement, LOSS};

/// A loss that many times as large as the largest of the first steps, or as 1 nat a token where those are smaller, is no
/// step of a training that goes well.
pub(crate) const EXPLODED: f64 = 10.;
/// Those steps; before them every loss may be.
pub(crate) const FIRST_STEPS: usize = 10;

/// One point of the training curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Steps done.
    pub step: usize,
    /// Mean training loss since the point before.
    pub loss: f64,
    /// Weighted mean negative log-likelihood on the validation examples.
    pub nll: f64,
    /// Further metrics of the validation, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
}

impl CurvePoint {
    /// By what points are compared: the larger, the better. Of equal ones the more likely is better.
    fn rank(&self, best_by: &str) -> [f64; 2] {
        let value = if best_by == LOSS {
            -self.nll
        } else {
            self.metrics.get(best_by).copied().unwrap_or(f64::NAN)
        };
        [value, -self.nll]
    }
}

/// Losses, judgements and the best state so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Progression {
    step: usize,
    pub(crate) curve: Vec<CurvePoint>,
    pub(crate) chosen_step: usize,
    /// The loss of every step; nothing of a step in which nothing was learned.
    #[serde(default)]
    pub(crate) losses: Vec<Option<f64>>,
    /// Time that the training took so far, in seconds.
    #[serde(default)]
    pub(crate) seconds: f64,
    /// The encoder that it began with, weights hashed: the state holds what moved of them alone.
    #[serde(default)]
    encoder: String,
    /// Digests of the settings and of the data that it learns from; empty where they were not written down.
    #[serde(default)]
    recipe: String,
    #[serde(default)]
    data: String,
    /// Tensors of the best state, named `best/…`.
    #[serde(skip)]
    pub(crate) best: HashMap<String, Tensor>,
}

impl Progression {
    /// Nothing done, with the encoder of this identity, by settings and data of these digests.
    pub(crate) fn of(encoder: String, recipe: String, data: String) -> Self {
        Self { encoder, recipe, data, ..Self::default() }
    }

    /// Steps done.
    pub(crate) fn step(&self) -> usize {
        self.step
    }

    /// Steps that changed the weights.
    pub(crate) fn n_updates(&self) -> usize {
        self.losses.iter().flatten().count()
    }

    /// The steps, counted from 1, in which nothing was learned.
    pub(crate) fn unlearned(&self) -> Vec<usize> {
        (1..).zip(&self.losses).filter_map(|(step, loss)| loss.is_none().then_some(step)).collect()
    }

    /// Mean loss of the steps from `first` on, counted from 0, that learned something; 0 where none did.
    pub(crate) fn mean_loss(&self, first: usize) -> f64 {
        let losses: Vec<f64> = self.losses[first..].iter().flatten().copied().collect();
        losses.iter().sum::<f64>() / losses.len().max(1) as f64
    }

    /// Why a saved training is another one than this.
    pub(crate) fn differs(&self, saved: &Self) -> Option<String> {
        let parts = [
            ("began with the encoder", &saved.encoder, &self.encoder),
            ("follows the settings", &saved.recipe, &self.recipe),
            ("learned from the data", &saved.data, &self.data),
        ];
        let shown = |digest: &str| digest.chars().take(16).collect::<String>();
        let differs =
            |(_, found, expected): &(_, &String, &String)| !found.is_empty() && found != expected;
        parts.into_iter().find(differs).map(|(what, found, expected)| {
            format!("it {what} {}…, expected {}…", shown(found), shown(expected))
        })
    }

    /// Refuses a state without the loss of every step, as earlier versions saved it.
    pub(crate) fn is_whole(&self) -> Result<(), String> {
        let n = self.losses.len();
        if n == self.step {
            return Ok(());
        }
        Err(format!("it has {n} losses of {} steps", self.step))
    }

    /// The largest loss of the first steps, where `loss` is so much larger that the training has left its road.
    pub(crate) fn exploded_from(&self, loss: f64) -> Option<f64> {
        let first: Vec<f64> = self.losses.iter().flatten().take(FIRST_STEPS).copied().collect();
        let most = first.iter().fold(0f64, |most, loss| most.max(loss.abs()));
        (first.len() == FIRST_STEPS && loss > EXPLODED * most.max(1.)).then_some(most)
    }

    /// Records a step, which ended so many seconds after the beginning.
    pub(crate) fn took(&mut self, loss: Option<f64>, seconds: f64) {
        self.step += 1;
        self.losses.push(loss);
        self.seconds = seconds;
    }

    /// Records a judgement of the present state; true when it is the best so far by the metric `best_by`.
    pub(crate) fn judged(&mut self, Judgement { nll, metrics }: Judgement, best_by: &str) -> bool {
        let before = self.curve.last().map_or(0, |point| point.step);
        let point = CurvePoint { step: self.step, loss: self.mean_loss(before), nll, metrics };
        let rank = point.rank(best_by);
        let best = self.curve.iter().all(|earlier| rank > earlier.rank(best_by));
        self.curve.push(point);
        if best {
            self.chosen_step = self.step;
        }
        best
    }

    /// Whether the present state was judged.
    pub(crate) fn is_judged(&self) -> bool {
        self.curve.last().is_some_and(|point| point.step == self.step)
    }

    /// Whether all steps are done, the last `patience` judgements brought nothing better, or the time is up.
    pub(crate) fn is_over(
        &self,
        n_steps: usize,
        patience: Option<usize>,
        max_time: Option<Duration>,
    ) -> bool {
        let in_vain = self.curve.iter().rev().take_while(|it| it.step > self.chosen_step).count();
        self.step >= n_steps
            || patience.is_some_and(|patience| in_vain >= patience)
            || max_time.is_some_and(|most| self.seconds >= most.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_ends_by_steps_by_patience_or_by_time() {
        let mut it = Progression::default();
        for nll in [3., 2., 2.5, 2.2] {
            it.took(Some(1.), 10.);
            it.judged(Judgement { nll, ..Judgement::default() }, LOSS);
        }
        assert_eq!((it.chosen_step, it.step()), (2, 4));
        assert!(!it.is_over(5, Some(3), None) && it.is_over(5, Some(2), None));
        assert!(it.is_over(4, None, None));
        let time = |seconds| Some(Duration::from_secs(seconds));
        assert!(it.is_over(5, None, time(10)) && !it.is_over(5, None, time(11)));
    }

    #[test]
    fn another_metric_chooses_the_step_and_equal_ones_leave_it_to_the_loss() {
        let chosen = |best_by: &str| {
            let mut it = Progression::default();
            for (nll, right) in [(3., 0.25), (2., 0.75), (1.5, 0.75), (1., 0.5)] {
                it.took(Some(1.), 0.);
                let metrics = BTreeMap::from([("slot_accuracy".to_owned(), right)]);
                it.judged(Judgement { nll, metrics }, best_by);
            }
            // a metric is better the larger it is, so what counts as in vain follows it
            (it.chosen_step, it.is_over(9, Some(1), None))
        };
        assert_eq!(chosen("slot_accuracy"), (3, true));
        assert_eq!(chosen(LOSS), (4, false));
    }

    #[test]
    fn a_loss_explodes_by_the_largest_of_the_first_ten() {
        let mut it = Progression::default();
        for at in 0..10 {
            assert_eq!(it.exploded_from(1e9), None, "{at} steps say nothing yet");
            it.took(Some(1. + f64::from(at % 4)), 0.);
        }
        assert_eq!((it.exploded_from(40.), it.exploded_from(40.1)), (None, Some(4.)));
        // a training that begins near its end may rise
        let mut small = Progression::default();
        for _ in 0..FIRST_STEPS {
            small.took(Some(0.01), 0.);
        }
        assert_eq!((small.exploded_from(10.), small.exploded_from(10.1)), (None, Some(0.01)));
        // later ones change nothing
        it.took(Some(39.), 0.);
        assert_eq!(it.exploded_from(41.), Some(4.));
    }

    #[test]
    fn a_point_of_the_curve_has_the_mean_loss_since_the_one_before() {
        let mut it = Progression::default();
        for (loss, nll) in [(4., None), (2., Some(1.)), (7., Some(1.))] {
            it.took(Some(loss), 0.);
            _ = nll.map(|nll| it.judged(Judgement { nll, ..Judgement::default() }, LOSS));
        }
        assert_eq!(it.curve.iter().map(|point| point.loss).collect::<Vec<_>>(), [3., 7.]);
        assert_eq!(it.is_whole(), Ok(()));
        it.losses.pop();
        assert!(it.is_whole().unwrap_err().contains("2 losses of 3 steps"));
    }
}
