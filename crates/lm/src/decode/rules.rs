//! Rules that hold whichever way an id is chosen.

use crate::{Error, Result};

/// What a text may not say, and what it says less gladly.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// The id that ends a text.
    pub end: u32,
    /// Tokens before [`Rules::end`] is allowed.
    pub min_new_tokens: usize,
    /// Ids that are never written.
    pub banned: Vec<u32>,
    /// Divides the positive and multiplies the negative scores of ids that the text has.
    pub repetition_penalty: Option<f32>,
    /// No run of so many ids comes twice.
    pub no_repeat_ngram_size: Option<usize>,
}

impl Rules {
    /// No rule but the end.
    pub fn none(end: u32) -> Self {
        Self {
            end,
            min_new_tokens: 0,
            banned: Vec::new(),
            repetition_penalty: None,
            no_repeat_ngram_size: None,
        }
    }

    /// Applies them to the scores of the token after `text`: the prompt, without padding, and
    /// `n_new` written ids.
    ///
    /// # Errors
    /// When a score is not a finite number before any rule has touched it.
    pub fn apply(&self, scores: &mut [f32], text: &[u32], n_new: usize) -> Result<()> {
        if scores.iter().any(|score| !score.is_finite()) {
            return Err(Error::NotFinite);
        }
        if let Some(penalty) = self.repetition_penalty {
            penalise_repetition(scores, text, penalty);
        }
        if let Some(n) = self.no_repeat_ngram_size {
            ban_repeated_ngrams(scores, text, n);
        }
        if n_new < self.min_new_tokens {
            ban(scores, &[self.end]);
        }
        ban(scores, &self.banned);
        Ok(())
    }
}

/// Forbids `ids`.
pub fn ban(scores: &mut [f32], ids: &[u32]) {
    for &id in ids {
        if let Some(score) = scores.get_mut(id as usize) {
            *score = f32::NEG_INFINITY;
        }
    }
}

/// Forbids all but `id`.
pub fn force(scores: &mut [f32], id: u32) {
    scores.fill(f32::NEG_INFINITY);
    if let Some(score) = scores.get_mut(id as usize) {
        *score = 0.;
    }
}

/// Makes every id of `text` less likely, once each (Keskar et al. 2019, CTRL, section 4.1).
pub fn penalise_repetition(scores: &mut [f32], text: &[u32], penalty: f32) {
    let mut ids = text.to_vec();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        if let Some(score) = scores.get_mut(id as usize) {
            *score = if *score < 0. { *score * penalty } else { *score / penalty };
        }
    }
}

/// Forbids each id that would complete a run of `n` ids which `text` already has.
pub fn ban_repeated_ngrams(scores: &mut [f32], text: &[u32], n: usize) {
    let Some(start) = (text.len() + 1).checked_sub(n) else { return };
    let (Some(last), true) = (text.get(start..), n > 0) else { return };
    for run in text.windows(n) {
        if run[..n - 1] == *last {
            ban(scores, &run[n - 1..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: f32 = f32::NEG_INFINITY;

    #[test]
    fn a_repeated_id_is_penalised_once_on_either_side_of_zero() {
        let mut scores = [2., -2., 0., 1.];
        penalise_repetition(&mut scores, &[1, 0, 1, 2, 9], 2.);
        assert_eq!(scores, [1., -4., 0., 1.]);
    }

    #[test]
    fn no_run_of_ids_comes_twice() {
        let banned = |text: &[u32], n| {
            let mut scores = [0.; 4];
            ban_repeated_ngrams(&mut scores, text, n);
            (0..4).filter(|&id| scores[id] == NEVER).collect::<Vec<_>>()
        };
        // after 1 came 2 and 3
        assert_eq!(banned(&[1, 2, 1, 3, 1], 2), [2, 3]);
        assert_eq!(banned(&[1, 2, 3, 1, 2], 3), [3]);
        assert_eq!(banned(&[1, 1], 2), [1]);
        assert_eq!(banned(&[0, 2], 1), [0, 2]);
        assert!(banned(&[1, 2, 1], 4).is_empty());
        assert!(banned(&[1], 3).is_empty());
        assert!(banned(&[], 2).is_empty());
    }

    #[test]
    fn the_end_waits_for_the_shortest_length_and_banned_ids_wait_for_ever() -> Result<()> {
        let rules = Rules { min_new_tokens: 2, banned: vec![3, 77], ..Rules::none(1) };
        for (n_new, expected) in [(1, [0., NEVER, 0., NEVER]), (2, [0., 0., 0., NEVER])] {
            let mut scores = [0.; 4];
            rules.apply(&mut scores, &[0], n_new)?;
            assert_eq!(scores, expected);
        }
        Ok(())
    }

    #[test]
    fn the_penalty_is_taken_before_the_bans() -> Result<()> {
        let rules = Rules {
            repetition_penalty: Some(2.),
            no_repeat_ngram_size: Some(2),
            banned: vec![0],
            ..Rules::none(9)
        };
        let mut scores = [4., 4., 4., 4.];
        rules.apply(&mut scores, &[1, 2, 1], 0)?;
        assert_eq!(scores, [NEVER, 2., NEVER, 4.]);
        Ok(())
    }

    #[test]
    fn a_forced_id_is_the_only_one() {
        let mut scores = [5., 1., 2.];
        force(&mut scores, 2);
        assert_eq!(scores, [NEVER, NEVER, 0.]);
    }

    #[test]
    fn scores_that_are_no_numbers_are_an_error() {
        for bad in [f32::NAN, f32::INFINITY, NEVER] {
            assert!(matches!(Rules::none(0).apply(&mut [0., bad], &[], 0), Err(Error::NotFinite)));
        }
    }
}
