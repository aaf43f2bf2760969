//! One line that says whether the text depends on the scan, and that says no as loudly as yes.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ResampledUnit, UnitCounts};
use crate::metrics::Interval;

const CHANCE: f64 = 0.5;
/// An interval around chance that is wider than this has not shown the absence of anything.
const NARROW: f64 = 0.3;

/// Whether the text depends on the scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It does: forced choice and likelihood gain are both above chance.
    Yes,
    /// It does not, as far as a narrow interval around chance can show.
    No,
    /// These windows cannot tell.
    Undecided,
}

impl Answer {
    /// The word on the line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Undecided => "undecided",
        }
    }
}

/// The line, and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Yes, no or undecided.
    pub answer: Answer,
    /// Two-alternative forced choice.
    pub two_afc: Interval,
    /// What was sampled.
    pub counts: UnitCounts,
    /// What the intervals resample.
    pub resampled: ResampledUnit,
}

impl Verdict {
    pub(super) fn new(
        two_afc: Interval,
        likelihood_gain: Interval,
        counts: UnitCounts,
        resampled: ResampledUnit,
    ) -> Self {
        let answer = if !counts.suffice() {
            Answer::Undecided
        } else if two_afc.low > CHANCE && likelihood_gain.low > 0.0 {
            Answer::Yes
        } else if two_afc.contains(CHANCE) && two_afc.width() < NARROW {
            Answer::No
        } else {
            Answer::Undecided
        };
        Self { answer, two_afc, counts, resampled }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SCAN-DEPENDENT: {} (2AFC {}, {})", self.answer.word(), self.two_afc, self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: UnitCounts = UnitCounts { windows: 16, runs: 2, subjects: 1 };

    fn interval(low: f64, high: f64) -> Interval {
        Interval { estimate: f64::midpoint(low, high), low, high }
    }

    fn verdict(two_afc: (f64, f64), gain: (f64, f64)) -> Answer {
        let (two_afc, gain) = (interval(two_afc.0, two_afc.1), interval(gain.0, gain.1));
        Verdict::new(two_afc, gain, COUNTS, ResampledUnit::Window).answer
    }

    #[test]
    fn the_line_is_exact() {
        let verdict = Verdict::new(
            Interval { estimate: 0.81, low: 0.72, high: 0.90 },
            interval(0.1, 0.2),
            COUNTS,
            ResampledUnit::Window,
        );
        assert_eq!(
            verdict.to_string(),
            "SCAN-DEPENDENT: yes (2AFC 0.81 [0.72, 0.90], n=16 windows, 2 runs, 1 subject)"
        );
    }

    #[test]
    fn yes_needs_both_lower_bounds() {
        assert_eq!(verdict((0.51, 0.9), (0.01, 0.2)), Answer::Yes);
        assert_eq!(verdict((0.51, 0.9), (-0.01, 0.2)), Answer::Undecided);
        assert_eq!(verdict((0.5, 0.9), (0.01, 0.2)), Answer::Undecided);
    }

    #[test]
    fn no_needs_a_narrow_interval_around_chance() {
        assert_eq!(verdict((0.4, 0.6), (-0.1, 0.1)), Answer::No);
        assert_eq!(verdict((0.3, 0.7), (-0.1, 0.1)), Answer::Undecided);
        assert_eq!(verdict((0.1, 0.3), (-0.1, -0.01)), Answer::Undecided);
        assert_eq!(verdict((0.4, 0.6), (0.01, 0.1)), Answer::No);
    }

    #[test]
    fn seven_windows_decide_nothing() {
        let counts = UnitCounts { windows: 7, runs: 1, subjects: 1 };
        let verdict =
            Verdict::new(interval(0.9, 1.0), interval(1.0, 2.0), counts, ResampledUnit::Window);
        assert_eq!(verdict.answer, Answer::Undecided);
    }
}
