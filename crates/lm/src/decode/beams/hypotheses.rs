//! The best finished texts of one prompt.

use super::{BeamConfig, EarlyStopping};

/// A finished text.
#[derive(Clone, Debug, PartialEq)]
pub struct Hypothesis {
    /// Written ids, the end included where the text has one.
    pub ids: Vec<u32>,
    /// Sum of log-probabilities over a power of the length.
    pub score: f64,
    /// Whether the text ended by itself.
    pub stopped: bool,
}

/// At most `num_beams` texts, the best so far.
#[derive(Clone, Debug)]
pub(super) struct Hypotheses {
    kept: Vec<Hypothesis>,
    /// What a new text must beat once all places are taken.
    worst: f64,
}

impl Hypotheses {
    pub(super) fn new() -> Self {
        Self { kept: Vec::new(), worst: f64::INFINITY }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Adds a text; of equally bad ones the oldest goes.
    pub(super) fn add(&mut self, hypothesis: Hypothesis, config: &BeamConfig) {
        let score = hypothesis.score;
        let room = self.kept.len() < config.num_beams;
        if score == f64::NEG_INFINITY || !(room || score > self.worst) {
            return;
        }
        self.kept.push(hypothesis);
        if room {
            self.worst = self.worst.min(score);
            return;
        }
        let mut order: Vec<usize> = (0..self.kept.len()).collect();
        order.sort_by(|&a, &b| self.kept[a].score.total_cmp(&self.kept[b].score));
        self.worst = self.kept[order[1]].score;
        self.kept.remove(order[0]);
    }

    /// Whether no open text can come in: the best open one sums up to `best` now that it has
    /// `length` tokens, and ends with at most `longest`.
    pub(super) fn are_final(
        &self,
        best: f64,
        length: usize,
        longest: usize,
        config: &BeamConfig,
    ) -> bool {
        if self.kept.len() < config.num_beams {
            return false;
        }
        match config.early_stopping {
            EarlyStopping::Full => true,
            EarlyStopping::Never if config.length_penalty > 0. => {
                self.worst >= config.score(best, longest)
            }
            EarlyStopping::Heuristic | EarlyStopping::Never => {
                self.worst >= config.score(best, length)
            }
        }
    }

    /// The best `n`, best first; of equals the latest first.
    pub(super) fn best(mut self, n: usize) -> Vec<Hypothesis> {
        self.kept.sort_by(|a, b| a.score.total_cmp(&b.score));
        self.kept.reverse();
        self.kept.truncate(n);
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(early_stopping: EarlyStopping, length_penalty: f64) -> BeamConfig {
        BeamConfig { num_beams: 2, length_penalty, early_stopping, ..BeamConfig::new(2) }
    }

    fn filled(scores: &[f64], config: &BeamConfig) -> Hypotheses {
        let mut hypotheses = Hypotheses::new();
        for (idx, &score) in scores.iter().enumerate() {
            let ids = vec![idx as u32];
            hypotheses.add(Hypothesis { ids, score, stopped: true }, config);
        }
        hypotheses
    }

    #[test]
    fn the_worst_text_gives_way_to_a_better_one_only() {
        let config = config(EarlyStopping::Heuristic, 1.);
        let ids = |scores: &[f64]| -> Vec<u32> {
            filled(scores, &config).best(2).iter().map(|hypothesis| hypothesis.ids[0]).collect()
        };
        assert_eq!(ids(&[-3., -1., -2.]), [1, 2]);
        assert_eq!(ids(&[-1., -2., -2.]), [0, 1]);
        assert_eq!(ids(&[-2., -2., -1.]), [2, 1]);
        assert_eq!(ids(&[-1., -1.]), [1, 0]);
        assert_eq!(ids(&[f64::NEG_INFINITY, -7.]), [1]);
        assert_eq!(ids(&[-5., -4., -3., -3.5]), [2, 3]);
    }

    #[test]
    fn each_way_to_stop_asks_another_bound() {
        use EarlyStopping::{Full, Heuristic, Never};
        // the worst is −1; an open text of sum −8 stands at −2 with 4 tokens, at −1/2 with 16
        for (early_stopping, penalty, expected) in [
            (Full, 1., true),
            (Heuristic, 1., true),
            (Never, 1., false),
            // without a power of the length −8 stays −8
            (Never, 0., true),
            // −8 · 4: longer only makes it worse
            (Never, -1., true),
        ] {
            let config = config(early_stopping, penalty);
            let hypotheses = filled(&[-0.5, -1.], &config);
            assert_eq!(hypotheses.are_final(-8., 4, 16, &config), expected, "{config:?}");
            assert!(!filled(&[-0.5], &config).are_final(-8., 4, 16, &config));
        }
        let heuristic = config(Heuristic, 1.);
        assert!(!filled(&[-0.5, -1.], &heuristic).are_final(-3.9, 4, 16, &heuristic));
        assert!(filled(&[-0.5, -1.], &heuristic).are_final(-4., 4, 16, &heuristic));
    }
}
