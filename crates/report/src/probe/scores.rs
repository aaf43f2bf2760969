//! Scores of a probe, with intervals over people.

use serde::Serialize;

use super::{ProbePrediction, ProbeSettings};
use crate::metrics::{Interval, bootstrap, correlation, mean, roc_auc};

/// How often classes were right. Each person counts alike, by the mean over the divisions that tried them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClassScores {
    /// Share of right classes.
    pub accuracy: Interval,
    /// The same, each class counting alike.
    pub balanced_accuracy: Interval,
    /// Share that the most frequent class of the training people would have right.
    pub majority: Interval,
    /// How much more is right than by the most frequent class.
    pub gain: Interval,
    /// Mean and standard deviation of the accuracy over divisions.
    pub over_splits: [f64; 2],
    /// The same of the area under the receiver operating characteristic, of two classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auc_over_splits: Option<[f64; 2]>,
}

/// How near numbers were. Each person counts alike, by the mean over the divisions that tried them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NumberScores {
    /// One minus the squared error over that of the mean of the training people.
    pub r2: Interval,
    /// Mean absolute error, in the unit of the number.
    pub mae: Interval,
    /// The same of the mean of the training people.
    pub mae_of_mean: Interval,
    /// Mean and standard deviation over divisions of the correlation between numbers and predictions.
    pub correlation_over_splits: [f64; 2],
}

/// What was predicted, in the order of divisions and samples, and what is said without features.
pub(super) struct Tried<'a> {
    pub(super) predictions: &'a [ProbePrediction],
    pub(super) baseline: &'a [f64],
    pub(super) person: &'a [usize],
    pub(super) settings: ProbeSettings,
}

/// A person that was tried: the mean over divisions of each quantity.
struct Person<const N: usize> {
    /// The first sample.
    sample: usize,
    means: [f64; N],
}

impl Tried<'_> {
    pub(super) fn classes(&self, class: &[usize], n_classes: usize) -> ClassScores {
        let right = |truth: usize, found: f64| f64::from(found as usize == truth);
        let people = self.people(|it, without| {
            let truth = class[it.sample];
            [right(truth, it.found), right(truth, without)]
        });
        let accuracy = |drawn: &[&Person<2>], at: usize| mean_of(drawn, at);
        let balanced = |drawn: &[&Person<2>]| {
            let of = |wanted: usize| {
                let of_class = drawn.iter().copied().filter(|it| class[it.sample] == wanted);
                let of_class: Vec<&Person<2>> = of_class.collect();
                (!of_class.is_empty()).then(|| mean_of(&of_class, 0))
            };
            let shares: Vec<f64> = (0..n_classes).filter_map(of).collect();
            mean(&shares)
        };
        ClassScores {
            accuracy: self.interval(&people, |drawn| accuracy(drawn, 0)),
            balanced_accuracy: self.interval(&people, balanced),
            majority: self.interval(&people, |drawn| accuracy(drawn, 1)),
            gain: self.interval(&people, |drawn| accuracy(drawn, 0) - accuracy(drawn, 1)),
            over_splits: self.over_splits(|of_split| {
                let right = of_split.iter().map(|it| right(class[it.sample], it.found));
                Some(mean(&right.collect::<Vec<_>>()))
            }),
            auc_over_splits: (n_classes == 2).then(|| {
                self.over_splits(|of_split| {
                    let second = of_split.iter().map(|it| {
                        let probability = it.probability.unwrap_or(f64::NAN);
                        if it.found > 0.0 { probability } else { 1.0 - probability }
                    });
                    let positive: Vec<bool> =
                        of_split.iter().map(|it| class[it.sample] == 1).collect();
                    roc_auc(&second.collect::<Vec<_>>(), &positive)
                })
            }),
        }
    }

    pub(super) fn numbers(&self, numbers: &[f64]) -> NumberScores {
        let people = self.people(|it, without| {
            let [error, plain] = [it.found, without].map(|found| found - numbers[it.sample]);
            [error * error, plain * plain, error.abs(), plain.abs()]
        });
        NumberScores {
            r2: self.interval(&people, |drawn| 1.0 - mean_of(drawn, 0) / mean_of(drawn, 1)),
            mae: self.interval(&people, |drawn| mean_of(drawn, 2)),
            mae_of_mean: self.interval(&people, |drawn| mean_of(drawn, 3)),
            correlation_over_splits: self.over_splits(|of_split| {
                let pairs = of_split.iter().map(|it| (it.found, numbers[it.sample]));
                let (found, numbers): (Vec<f64>, Vec<f64>) = pairs.unzip();
                correlation(&found, &numbers)
            }),
        }
    }

    /// Everybody who was tried, with the means of what `of` says of a prediction and of that without
    /// features.
    fn people<const N: usize>(
        &self,
        of: impl Fn(&ProbePrediction, f64) -> [f64; N],
    ) -> Vec<Person<N>> {
        let n_people = self.person.iter().max().map_or(0, |last| last + 1);
        let mut sums: Vec<(Option<usize>, [f64; N], f64)> = vec![(None, [0.0; N], 0.0); n_people];
        for (it, &without) in self.predictions.iter().zip(self.baseline) {
            let (sample, sum, n) = &mut sums[self.person[it.sample]];
            sample.get_or_insert(it.sample);
            sum.iter_mut().zip(of(it, without)).for_each(|(sum, value)| *sum += value);
            *n += 1.0;
        }
        let person = |(sample, sum, n): (Option<usize>, [f64; N], f64)| {
            Some(Person { sample: sample?, means: sum.map(|sum| sum / n) })
        };
        sums.into_iter().filter_map(person).collect()
    }

    /// Percentiles over draws of people with replacement.
    fn interval<const N: usize>(
        &self,
        people: &[Person<N>],
        score: impl Fn(&[&Person<N>]) -> f64,
    ) -> Interval {
        let ProbeSettings { bootstrap: n_draws, seed, .. } = self.settings;
        bootstrap(people.len(), n_draws, seed, |drawn| {
            score(&drawn.iter().map(|&place| &people[place]).collect::<Vec<_>>())
        })
    }

    /// Mean and standard deviation (n − 1) over the divisions in which there is a score.
    fn over_splits(&self, score: impl Fn(&[ProbePrediction]) -> Option<f64>) -> [f64; 2] {
        let scores: Vec<f64> =
            self.predictions.chunk_by(|a, b| a.split == b.split).filter_map(score).collect();
        let level = mean(&scores);
        let squares: f64 = scores.iter().map(|it| (it - level).powi(2)).sum();
        [level, (squares / (scores.len().max(2) - 1) as f64).sqrt()]
    }
}

fn mean_of<const N: usize>(people: &[&Person<N>], at: usize) -> f64 {
    people.iter().map(|it| it.means[at]).sum::<f64>() / people.len() as f64
}
