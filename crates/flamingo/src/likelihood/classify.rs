//! Answering by choosing: the likeliest of some given texts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LogLikelihood, Scored};
use crate::{Model, Request, Result};

/// What the classes of a prompt are ranked by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RankBy {
    /// The mean log-probability of a class's tokens: short and long names have the same chance.
    #[default]
    Mean,
    /// Their sum: the log-probability of the name.
    Sum,
}

/// A prompt's classes with their likelihoods.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Classified {
    /// The likeliest class.
    pub best: usize,
    /// Of each class among the given ones, summing to 1.
    pub probabilities: Vec<f64>,
    /// Of each class.
    pub likelihoods: Vec<LogLikelihood>,
}

/// Ranks classes by their likelihoods; of equals the first wins.
pub fn classified(likelihoods: Vec<LogLikelihood>, by: RankBy) -> Classified {
    let scores = likelihoods.iter().map(|it| match by {
        RankBy::Mean => it.mean(),
        RankBy::Sum => it.sum,
    });
    let scores: Vec<f64> = scores.collect();
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let best = scores.iter().position(|&score| score == largest).unwrap_or(0);
    let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    let probabilities = weights.into_iter().map(|weight| weight / total).collect();
    Classified { best, probabilities, likelihoods }
}

impl Model {
    /// For each request the likeliest of `classes` to continue it.
    pub fn classify(
        &self,
        requests: &[Request],
        classes: &[String],
        by: RankBy,
        batch_size: usize,
    ) -> Result<Vec<Classified>> {
        let scored = |request: &Request, class: &String| Scored {
            prompt: request.prompt.clone(),
            continuation: class.clone(),
            media: request.media.clone(),
        };
        let items: Vec<Scored> = requests
            .iter()
            .flat_map(|request| classes.iter().map(move |class| scored(request, class)))
            .collect();
        let found = self.log_likelihood(&items, batch_size)?;
        Ok(found.chunks(classes.len().max(1)).map(|it| classified(it.to_vec(), by)).collect())
    }
}
