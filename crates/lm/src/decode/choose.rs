//! Choosing one id from a row of scores.

use candle_nn::Init;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The id with the highest score; of equal scores the lowest id.
///
/// # Errors
/// When every id is forbidden.
pub fn argmax(scores: &[f32]) -> Result<u32> {
    let mut best = (None, f32::NEG_INFINITY);
    for (id, &score) in scores.iter().enumerate() {
        if score > best.1 {
            best = (Some(id as u32), score);
        }
    }
    best.0.ok_or(Error::NothingAllowed)
}

/// Logits to log-probabilities, in place.
pub fn log_softmax(logits: &mut [f32]) {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let total: f64 = logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
    let log_total = largest + total.ln();
    for logit in logits {
        *logit = (f64::from(*logit) - log_total) as f32;
    }
}

/// How an id is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Divides the scores: below 1 the likely ids gain, above 1 the unlikely ones.
    pub temperature: f64,
    /// Only so many of the likeliest ids are drawn from.
    pub top_k: Option<usize>,
    /// Only the fewest ids that together reach this probability are drawn from.
    pub top_p: Option<f64>,
    /// Where the random numbers begin.
    pub seed: u64,
}

impl Sampling {
    /// Draws an id; the same seed, stream and scores give the same id, whatever else is drawn.
    ///
    /// # Errors
    /// When every id is forbidden.
    pub fn draw(&self, scores: &mut [f32], stream: &str) -> Result<u32> {
        // counted from the largest, so that the coldest temperature leaves that one finite
        let largest = f64::from(scores[argmax(scores)? as usize]);
        for score in scores.iter_mut() {
            *score = ((f64::from(*score) - largest) / self.temperature) as f32;
        }
        if let Some(k) = self.top_k {
            keep_top_k(scores, k);
        }
        if let Some(p) = self.top_p {
            keep_top_p(scores, p);
        }
        let weights = probabilities(scores)?;
        let uniform = Init::Uniform { lo: 0., up: 1. };
        let mut left = nn::seeded::initial(self.seed, stream, 1, uniform)?[0];
        for (id, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0. {
                return Ok(id as u32);
            }
        }
        // the probabilities' sum may fall short of 1 by a rounding error
        argmax(scores)
    }
}

/// Forbids all ids whose score is below the `k`-th highest; equals of the `k`-th stay.
pub fn keep_top_k(scores: &mut [f32], k: usize) {
    if k == 0 || k >= scores.len() {
        return;
    }
    let mut sorted = scores.to_vec();
    let (_, least, _) = sorted.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    let least = *least;
    for score in scores {
        if *score < least {
            *score = f32::NEG_INFINITY;
        }
    }
}

/// Keeps the fewest ids whose probabilities together reach `p`, at least one (Holtzman et al. 2020).
pub fn keep_top_p(scores: &mut [f32], p: f64) {
    let Ok(weights) = probabilities(scores) else { return };
    let mut ids: Vec<usize> = (0..scores.len()).filter(|&id| weights[id] > 0.).collect();
    ids.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut mass = 0.;
    for (rank, id) in ids.into_iter().enumerate() {
        if rank > 0 && mass >= p {
            scores[id] = f32::NEG_INFINITY;
        }
        mass += weights[id];
    }
}

fn probabilities(scores: &[f32]) -> Result<Vec<f64>> {
    let largest = f64::from(scores[argmax(scores)? as usize]);
    let weights: Vec<f64> = scores.iter().map(|&s| (f64::from(s) - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    Ok(weights.into_iter().map(|weight| weight / total).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: f32 = f32::NEG_INFINITY;

    fn logs(probabilities: &[f32]) -> Vec<f32> {
        probabilities.iter().map(|p| p.ln()).collect()
    }

    fn kept(scores: &[f32]) -> Vec<usize> {
        (0..scores.len()).filter(|&id| scores[id] != NEVER).collect()
    }

    #[test]
    fn the_highest_score_wins_and_ties_go_to_the_lowest_id() -> Result<()> {
        assert_eq!(argmax(&[0., 5., 2., 5.])?, 1);
        assert_eq!(argmax(&[NEVER, -3., NEVER])?, 1);
        assert!(matches!(argmax(&[NEVER; 3]), Err(Error::NothingAllowed)));
        Ok(())
    }

    #[test]
    fn log_probabilities_sum_to_one_far_from_zero_too() {
        let mut logits = [1000., 1001., 999.];
        log_softmax(&mut logits);
        let total: f32 = logits.iter().map(|l| l.exp()).sum();
        assert!((total - 1.).abs() < 1e-6, "{total}");
        assert!((logits[1] - logits[0] - 1.).abs() < 1e-6);
    }

    #[test]
    fn top_k_keeps_the_equals_of_its_last() {
        let mut scores = vec![1., 4., 2., 4., 2.];
        keep_top_k(&mut scores, 3);
        assert_eq!(kept(&scores), [1, 2, 3, 4]);
        keep_top_k(&mut scores, 9);
        assert_eq!(kept(&scores), [1, 2, 3, 4]);
        keep_top_k(&mut scores, 1);
        assert_eq!(kept(&scores), [1, 3]);
    }

    #[test]
    fn top_p_is_the_smallest_set_that_reaches_the_mass() {
        let scores = logs(&[0.1, 0.5, 0.15, 0.25]);
        for (p, expected) in
            [(0.01, vec![1]), (0.49, vec![1]), (0.51, vec![1, 3]), (0.8, vec![1, 2, 3])]
        {
            let mut scores = scores.clone();
            keep_top_p(&mut scores, p);
            assert_eq!(kept(&scores), expected, "{p}");
        }
        let mut all = scores.clone();
        keep_top_p(&mut all, 1.);
        assert_eq!(kept(&all).len(), 4);
    }

    #[test]
    fn draws_follow_the_probabilities_and_the_temperature() -> Result<()> {
        let scores = logs(&[0.1, 0.2, 0.7]);
        // squared and normed: 0.01, 0.04, 0.49 of 0.54
        for (temperature, expected) in [(1., [0.1, 0.2, 0.7]), (0.5, [0.0185, 0.0741, 0.9074])] {
            let sampling = Sampling { temperature, top_k: None, top_p: None, seed: 3 };
            let mut counts = [0f64; 3];
            for n in 0..20_000 {
                counts[sampling.draw(&mut scores.clone(), &n.to_string())? as usize] += 1. / 2e4;
            }
            for (found, expected) in counts.iter().zip(expected) {
                assert!((found - expected).abs() < 0.012, "{counts:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn the_coldest_draws_are_the_likeliest_id() -> Result<()> {
        for temperature in [1e-300, 1e-40, 1e-9] {
            let sampling = Sampling { temperature, top_k: None, top_p: None, seed: 3 };
            for mut scores in [[-7., -2., -3.], [900., 1000., NEVER]] {
                assert_eq!(sampling.draw(&mut scores, "a")?, 1);
            }
        }
        Ok(())
    }

    #[test]
    fn a_draw_depends_on_seed_and_stream_alone() -> Result<()> {
        let draws = |seed, prefix: &str| {
            let sampling = Sampling { temperature: 1., top_k: Some(90), top_p: Some(0.99), seed };
            let streams = (0..20).map(|n| format!("{prefix}{n}"));
            streams.map(|stream| sampling.draw(&mut [0.; 100], &stream)).collect::<Result<Vec<_>>>()
        };
        assert_eq!(draws(1, "a")?, draws(1, "a")?);
        assert_ne!(draws(1, "a")?, draws(2, "a")?);
        assert_ne!(draws(1, "a")?, draws(1, "b")?);
        Ok(())
    }

    #[test]
    fn a_forbidden_id_is_never_drawn() -> Result<()> {
        let sampling = Sampling { temperature: 5., top_k: None, top_p: None, seed: 0 };
        for n in 0..200 {
            assert_eq!(sampling.draw(&mut [NEVER, 0., NEVER], &n.to_string())?, 1);
        }
        Ok(())
    }
}
