//! What a linear model reads out of the vectors of an encoder, before any text is trained: many seeded
//! divisions of the people, a model for each, and what it says of people whom it has not seen.

mod divide;
mod scores;

use ndarray::{ArrayView2, Axis};
use serde::Serialize;

pub use scores::{ClassScores, NumberScores};

use crate::{
    Error,
    linear::{Logistic, Ridge, Scaler, majority_class},
    metrics::{argmax, at_least, same_length, softmax},
};

/// Penalties among which each ridge regression chooses.
const ALPHAS: [f64; 9] = [1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];

/// How a probe is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProbeSettings {
    /// Divisions of the people.
    pub n_splits: usize,
    /// Share of the people that a model is tried on; the others it learns from.
    pub test_share: f64,
    /// Weight of the data against the penalty of the logistic regression.
    pub logistic_c: f64,
    /// Draws of people behind each interval.
    pub bootstrap: usize,
    /// Of divisions and draws.
    pub seed: u64,
}

/// The samples: one row each, several of one person together on one side of every division.
#[derive(Clone, Copy, Debug)]
pub struct ProbeSamples<'a> {
    /// `(n_samples, n_features)`.
    pub features: ArrayView2<'a, f32>,
    /// The person of each sample, from 0.
    pub person: &'a [usize],
}

/// What is read out of them.
#[derive(Clone, Copy, Debug)]
pub enum ProbeTarget<'a> {
    /// A class of each sample, from 0, of so many.
    Classes(&'a [usize], usize),
    /// A number of each sample.
    Numbers(&'a [f64]),
}

/// What a model said of a sample that it had not learned from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProbePrediction {
    /// Of which division, from 0.
    pub split: usize,
    /// Of which sample.
    pub sample: usize,
    /// The likeliest class, or the number.
    pub found: f64,
    /// The probability of the class; of numbers none.
    pub probability: Option<f64>,
}

/// The scores over all divisions.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ProbeScores {
    /// Of classes.
    Classes(ClassScores),
    /// Of numbers.
    Numbers(NumberScores),
}

/// A probe of one target.
#[derive(Clone, Debug)]
pub struct Probe {
    /// By division, then by sample.
    pub predictions: Vec<ProbePrediction>,
    /// The same in numbers.
    pub scores: ProbeScores,
}

/// Fits and tries one linear model a division: logistic regression for classes, ridge regression for
/// numbers, on features that are standardised by the people it learns from. `between` is asked after each
/// division, and its error ends the work.
///
/// # Errors
/// Where there are fewer than four people, or fewer than two people of a class; where a number is not finite.
pub fn probe<E: From<Error>>(
    samples: ProbeSamples<'_>,
    target: ProbeTarget<'_>,
    settings: ProbeSettings,
    mut between: impl FnMut(usize) -> std::result::Result<(), E>,
) -> std::result::Result<Probe, E> {
    let ProbeSamples { features, person } = samples;
    same_length("people of samples", person.len(), features.nrows())?;
    let n_people = person.iter().max().map_or(0, |last| last + 1);
    at_least("people", n_people, 4)?;
    let class = match target {
        ProbeTarget::Classes(class, n_classes) => {
            same_length("classes", class.len(), person.len())?;
            Some((class, n_classes))
        }
        ProbeTarget::Numbers(numbers) => {
            same_length("numbers", numbers.len(), person.len())?;
            let differ = numbers.windows(2).any(|pair| pair[0] != pair[1]);
            at_least("different numbers", 1 + usize::from(differ), 2)?;
            None
        }
    };
    let strata = divide::strata(person, n_people, class)?;
    let mut predictions = Vec::new();
    let mut baseline = Vec::new();
    for split in 0..settings.n_splits {
        let is_test = divide::test_people(&strata, n_people, settings, split);
        let rows = |wanted: bool| -> Vec<usize> {
            (0..person.len()).filter(|&row| is_test[person[row]] == wanted).collect()
        };
        let (train, test) = (rows(false), rows(true));
        let known = features.select(Axis(0), &train);
        let scaler = Scaler::fit(known.view())?;
        let known = scaler.apply(known.view())?;
        let unseen = scaler.apply(features.select(Axis(0), &test).view())?;
        match target {
            ProbeTarget::Classes(class, n_classes) => {
                let learned: Vec<usize> = train.iter().map(|&row| class[row]).collect();
                let model = Logistic::fit(known.view(), &learned, n_classes, settings.logistic_c)?;
                let scores = model.scores(unseen.view())?;
                for (&sample, scores) in test.iter().zip(scores.rows()) {
                    let shares = softmax(&scores.to_vec(), 1.0);
                    let best = argmax(&shares);
                    let (found, probability) = (best as f64, Some(shares[best]));
                    predictions.push(ProbePrediction { split, sample, found, probability });
                }
                let majority = majority_class(&learned, n_classes)? as f64;
                baseline.extend(test.iter().map(|_| majority));
            }
            ProbeTarget::Numbers(numbers) => {
                let learned: Vec<f64> = train.iter().map(|&row| numbers[row]).collect();
                let model = Ridge::fit(known.view(), &learned, &ALPHAS)?;
                for (&sample, found) in test.iter().zip(model.predict(unseen.view())?) {
                    predictions.push(ProbePrediction { split, sample, found, probability: None });
                }
                let level = learned.iter().sum::<f64>() / learned.len() as f64;
                baseline.extend(test.iter().map(|_| level));
            }
        }
        between(split)?;
    }
    let tried = scores::Tried { predictions: &predictions, baseline: &baseline, person, settings };
    let scores = match target {
        ProbeTarget::Classes(class, n_classes) => {
            ProbeScores::Classes(tried.classes(class, n_classes))
        }
        ProbeTarget::Numbers(numbers) => ProbeScores::Numbers(tried.numbers(numbers)),
    };
    Ok(Probe { predictions, scores })
}

#[cfg(test)]
mod tests;
