//! The rule: what has to be shown for a yes, and for a no.

use super::{
    Level, UnitCounts,
    verdict::{Answer, BestBaseline, Reason},
};
use crate::metrics::Interval;

/// 2AFC of a model that sees nothing.
pub(super) const CHANCE: f64 = 0.5;
/// A 2AFC interval that holds chance shows the absence of something only if it ends below this.
const NEARLY_CHANCE: f64 = 0.65;
/// A random pairing may be as likely as the real one this often.
const SIGNIFICANT: f64 = 0.05;
/// An interval must clear chance by more than rounding.
pub(super) const ROUNDING: f64 = 1e-9;

/// Whether an interval of 2AFC holds chance and little above it.
pub(super) fn is_nearly_chance(two_afc: Interval) -> bool {
    two_afc.contains(CHANCE) && two_afc.high < NEARLY_CHANCE
}

/// What the rule looks at.
#[derive(Clone, Debug)]
pub(super) struct Findings {
    /// Of pairs; decides.
    pub(super) pairs: Interval,
    /// Of rows; printed where pairs are at their ceiling.
    pub(super) rows: Interval,
    pub(super) gain: Interval,
    pub(super) permutation_p: f64,
    /// `None` where there is no other person's scan.
    pub(super) written: Option<Interval>,
    /// 2AFC among windows of the same value.
    pub(super) same_value: Option<Interval>,
    pub(super) baseline: Option<BestBaseline>,
    pub(super) counts: UnitCounts,
    pub(super) resampled: Level,
    /// Sites within which subjects change scans.
    pub(super) n_sites: Option<usize>,
    pub(super) suffice: bool,
    pub(super) pairs_used: usize,
    pub(super) pairs_all: usize,
}

impl Findings {
    /// Whether likelihoods depend on the scan: both intervals above chance, and permutation.
    fn likelihood(&self) -> (bool, bool) {
        let above = self.pairs.low > CHANCE + ROUNDING && self.gain.low > ROUNDING;
        (above, above && self.permutation_p <= SIGNIFICANT)
    }

    pub(super) fn decide(&self) -> (Answer, Option<Reason>) {
        let undecided = |reason| (Answer::Undecided, Some(reason));
        if !self.suffice {
            return undecided(Reason::TooFewUnits);
        }
        let (above, likelihood) = self.likelihood();
        let written = self.written.is_some_and(|it| it.low > ROUNDING);
        let unwritten = self.written.is_none_or(|it| it.contains(0.0));
        let absent = is_nearly_chance(self.pairs);
        match (likelihood, written) {
            (true, true) => (Answer::Yes, None),
            (true, false) => undecided(Reason::LikelihoodOnly),
            (false, true) => undecided(Reason::WrittenOnly),
            (false, false) if absent && unwritten => (Answer::No, None),
            (false, false) if above => undecided(Reason::Permutation),
            (false, false) => undecided(Reason::WideInterval),
        }
    }
}

/// Findings that speak for a yes, to be changed by tests.
#[cfg(test)]
pub(super) mod example {
    use super::*;

    pub(in crate::evidence) fn interval(low: f64, high: f64) -> Interval {
        Interval { estimate: f64::midpoint(low, high), low, high }
    }

    /// Everything speaks for a yes.
    pub(in crate::evidence) fn findings() -> Findings {
        Findings {
            pairs: Interval { estimate: 0.81, low: 0.72, high: 0.90 },
            rows: interval(0.6, 0.8),
            gain: interval(0.1, 0.2),
            permutation_p: 0.001,
            written: Some(Interval { estimate: 0.31, low: 0.12, high: 0.50 }),
            same_value: Some(interval(0.4, 0.64)),
            baseline: Some(BestBaseline {
                name: "LDA".to_owned(),
                difference: interval(-0.1, 0.2),
            }),
            counts: UnitCounts { windows: 96, runs: 33, subjects: 33, repeated: 0 },
            resampled: Level::Subject,
            n_sites: None,
            suffice: true,
            pairs_used: 4560,
            pairs_all: 4560,
        }
    }

    pub(in crate::evidence) fn answer(
        change: impl FnOnce(&mut Findings),
    ) -> (Answer, Option<Reason>) {
        let mut findings = findings();
        change(&mut findings);
        findings.decide()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        example::{answer, interval},
        *,
    };

    #[test]
    fn yes_needs_every_step() {
        assert_eq!(answer(|_| ()).0, Answer::Yes);
        assert_eq!(answer(|it| it.pairs.low = 0.5).0, Answer::Undecided);
        assert_eq!(answer(|it| it.gain.low = 0.0).0, Answer::Undecided);
        assert_eq!(answer(|it| it.permutation_p = 0.051).0, Answer::Undecided);
        assert_eq!(answer(|it| it.written = None).0, Answer::Undecided);
        assert_eq!(answer(|it| it.suffice = false).1, Some(Reason::TooFewUnits));
        let by_chance = |it: &mut Findings| {
            (it.permutation_p, it.written) = (0.2, Some(interval(-0.1, 0.2)));
        };
        assert_eq!(answer(by_chance), (Answer::Undecided, Some(Reason::Permutation)));
    }

    #[test]
    fn no_needs_an_interval_that_ends_near_chance() {
        let no = |pairs: (f64, f64), written: (f64, f64)| {
            answer(|it| {
                it.pairs = interval(pairs.0, pairs.1);
                it.written = Some(interval(written.0, written.1));
            })
        };
        assert_eq!(no((0.4, 0.6), (-0.1, 0.1)), (Answer::No, None));
        assert_eq!(no((0.5, 0.5), (0.0, 0.0)), (Answer::No, None));
        let wide = (Answer::Undecided, Some(Reason::WideInterval));
        assert_eq!(no((0.49, 0.78), (-0.1, 0.1)), wide);
        assert_eq!(no((0.1, 0.3), (-0.1, 0.1)), wide);
        assert_eq!(no((0.4, 0.6), (-0.3, -0.1)), wide);
    }
}
