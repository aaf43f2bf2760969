//! One line that says whether the text depends on the scan, and that says no as loudly as yes.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Level, UnitCounts,
    rule::{CHANCE, Findings, ROUNDING, is_nearly_chance},
};
use crate::{counted, metrics::Interval};

/// Whether the text depends on the scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It does: likelihoods and the written text are both above chance.
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

/// Why an answer is undecided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Fewer than 8 units between which the value varies.
    TooFewUnits,
    /// The likelihood of the true report depends on the scan, what is written does not.
    LikelihoodOnly,
    /// What is written depends on the scan, the likelihood of the true report does not.
    WrittenOnly,
    /// The intervals are above chance, but random pairings reach the real one too often.
    Permutation,
    /// The intervals are too wide.
    WideInterval,
}

/// What kind of yes it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The text depends on the value of the scored slot: a scan with the same value does as well.
    Value,
    /// The text depends on the very scan: it does better than another with the same value.
    Individual,
    /// These windows cannot tell, or no two have the same value.
    Unknown,
}

/// The best of the baselines, and how the generated reports compare with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestBaseline {
    /// Its name in the table.
    pub name: String,
    /// Accuracy of the generated reports minus that of the baseline, over the same units.
    pub difference: Interval,
}

impl BestBaseline {
    /// Whether the generated reports are better beyond chance.
    pub fn is_beaten(&self) -> bool {
        self.difference.low > ROUNDING
    }
}

/// The line, and what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Yes, no or undecided.
    pub answer: Answer,
    /// Why it is undecided.
    pub reason: Option<Reason>,
    /// Two-alternative forced choice as it is printed: that of pairs, and above 0.9 that of rows, whose
    /// interval keeps its width there.
    pub two_afc: Interval,
    /// What is written with the own scan minus with another person's.
    pub written: Option<Interval>,
    /// What was sampled.
    pub counts: UnitCounts,
    /// What the intervals resample.
    pub resampled: Level,
    /// Sites within which random pairings stay, where the value is a trait and sites are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sites: Option<usize>,
    /// Pairs of windows that were compared.
    pub pairs_used: usize,
    /// Pairs of windows that there are; more than were compared where pairs were drawn.
    pub pairs_all: usize,
    /// What kind of yes it would be.
    pub kind: Kind,
    /// 2AFC among windows of the same value; chance is 0.5.
    pub same_value: Option<Interval>,
    /// The best baseline, if there is one.
    pub baseline: Option<BestBaseline>,
}

impl Verdict {
    pub(super) fn new(findings: Findings) -> Self {
        /// Above this the interval of pairs is too narrow.
        const CEILING: f64 = 0.9;
        let (answer, reason) = findings.decide();
        let Findings { pairs, rows, written, same_value, baseline, .. } = findings;
        let kind = match same_value {
            Some(same) if same.low > CHANCE + ROUNDING => Kind::Individual,
            Some(same) if is_nearly_chance(same) => Kind::Value,
            None | Some(_) => Kind::Unknown,
        };
        Self {
            answer,
            reason,
            two_afc: if pairs.estimate > CEILING { rows } else { pairs },
            written,
            counts: findings.counts,
            resampled: findings.resampled,
            sites: findings.n_sites,
            pairs_used: findings.pairs_used,
            pairs_all: findings.pairs_all,
            kind,
            same_value,
            baseline,
        }
    }

    /// What the intervals resample and why nothing larger, and what random pairings stay within.
    pub fn units(&self) -> String {
        let Self { counts, resampled, .. } = *self;
        let n = counted(counts.at(resampled), resampled.noun());
        let larger = [Level::Subject, Level::Run].into_iter().filter(|level| *level < resampled);
        let few: Vec<String> =
            larger.map(|level| counted(counts.at(level), level.noun())).collect();
        let said = if self.reason == Some(Reason::TooFewUnits) {
            format!("Intervals resample {n}; fewer than 8 units carry the scored value.")
        } else if few.is_empty() {
            format!("Intervals resample {n}.")
        } else {
            format!("Intervals resample {n}, because there are only {}.", few.join(" and "))
        };
        match self.sites {
            None => said,
            Some(sites) => {
                format!("{said} Random pairings exchange scans within sites only ({sites}).")
            }
        }
    }

    /// What stands before the numbers of an undecided answer.
    fn because(&self) -> Option<String> {
        Some(match self.reason? {
            Reason::TooFewUnits => {
                let carriers = counted(self.counts.at(self.resampled), self.resampled.noun());
                format!("the value varies between {carriers} only, at least 8 are needed")
            }
            Reason::LikelihoodOnly => "likelihood yes, written text no".to_owned(),
            Reason::WrittenOnly => "written text yes, likelihood not above chance".to_owned(),
            Reason::Permutation => "permutation test not significant".to_owned(),
            Reason::WideInterval => return None,
        })
    }

    /// What kind of yes it is, in words.
    fn kind_of_yes(&self) -> String {
        match (self.kind, self.same_value) {
            (Kind::Individual, Some(same)) => {
                format!("individual: a scan with the same label does worse (2AFC {same})")
            }
            (Kind::Value, Some(same)) => {
                format!("value: a scan with the same label does as well (2AFC {same})")
            }
            (Kind::Unknown, Some(same)) => {
                format!("value at least: a scan with the same label may do as well (2AFC {same})")
            }
            _ => "value or individual: no two windows share a label".to_owned(),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SCAN-DEPENDENT: {} (", self.answer.word())?;
        if let Some(because) = self.because() {
            write!(f, "{because}; ")?;
        }
        write!(f, "2AFC {}, ", self.two_afc)?;
        if let Some(written) = self.written {
            write!(f, "written {written}, ")?;
        }
        write!(f, "{}", self.counts)?;
        if self.pairs_used < self.pairs_all {
            write!(f, ", {} of {} pairs drawn", self.pairs_used, self.pairs_all)?;
        }
        write!(f, "; intervals over {}s)", self.resampled.noun())?;
        if self.answer == Answer::Yes {
            write!(f, "; {}", self.kind_of_yes())?;
            if let Some(best) = &self.baseline {
                let beats = if best.is_beaten() { "beats" } else { "does not beat" };
                let BestBaseline { name, difference } = best;
                write!(f, "; {beats} its best baseline, {name} (difference {difference})")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::rule::example::{answer, findings, interval};

    fn line(change: impl FnOnce(&mut Findings)) -> String {
        let mut findings = findings();
        change(&mut findings);
        Verdict::new(findings).to_string()
    }

    const NUMBERS: &str = "2AFC 0.81 [0.72, 0.90], written 0.31 [0.12, 0.50], \
                           n=96 windows, 33 subjects; intervals over subjects)";

    #[test]
    fn the_line_of_a_yes_says_its_kind_and_its_best_baseline() {
        let expected = format!(
            "SCAN-DEPENDENT: yes ({NUMBERS}; value: a scan with the same label does as well \
             (2AFC 0.52 [0.40, 0.64]); does not beat its best baseline, LDA (difference 0.05 \
             [-0.10, 0.20])"
        );
        assert_eq!(line(|_| ()), expected);
        let individual = line(|it| {
            it.same_value = Some(interval(0.6, 0.8));
            it.baseline.as_mut().unwrap().difference = interval(0.1, 0.3);
        });
        let expected = format!(
            "SCAN-DEPENDENT: yes ({NUMBERS}; individual: a scan with the same label does worse \
             (2AFC 0.70 [0.60, 0.80]); beats its best baseline, LDA (difference 0.20 [0.10, 0.30])"
        );
        assert_eq!(individual, expected);
        let open = line(|it| it.same_value = Some(interval(0.1, 0.9)));
        assert!(open.contains("; value at least: a scan with the same label may do as well (2AFC"));
        let unknown = line(|it| (it.same_value, it.baseline) = (None, None));
        assert!(unknown.ends_with("; value or individual: no two windows share a label"));
    }

    #[test]
    fn likelihood_without_text_is_undecided_and_said() {
        let gibberish = |it: &mut Findings| it.written = Some(interval(0.0, 0.0));
        assert_eq!(answer(gibberish), (Answer::Undecided, Some(Reason::LikelihoodOnly)));
        assert_eq!(
            line(gibberish),
            "SCAN-DEPENDENT: undecided (likelihood yes, written text no; 2AFC 0.81 [0.72, 0.90], \
             written 0.00 [0.00, 0.00], n=96 windows, 33 subjects; intervals over subjects)"
        );
        let silent = |it: &mut Findings| it.pairs = interval(0.4, 0.6);
        assert_eq!(answer(silent), (Answer::Undecided, Some(Reason::WrittenOnly)));
        assert!(line(silent).contains("(written text yes, likelihood not above chance; 2AFC"));
    }

    #[test]
    fn few_carriers_decide_nothing_and_are_named() {
        let few = line(|it| {
            it.suffice = false;
            it.counts = UnitCounts { windows: 40, runs: 4, subjects: 4, repeated: 0 };
        });
        let start = "SCAN-DEPENDENT: undecided (the value varies between 4 subjects only, \
                     at least 8 are needed; 2AFC";
        assert!(few.starts_with(start), "{few}");
    }

    #[test]
    fn drawn_pairs_are_counted() {
        let drawn = line(|it| it.pairs_all = 124_750);
        assert!(drawn.contains("33 subjects, 4560 of 124750 pairs drawn; intervals"), "{drawn}");
    }

    #[test]
    fn at_the_ceiling_the_interval_of_rows_is_printed() {
        let high = |it: &mut Findings| {
            it.pairs = interval(1.0, 1.0);
            it.rows = Interval { estimate: 0.98, low: 0.9, high: 1.0 };
        };
        assert!(line(high).contains("2AFC 0.98 [0.90, 1.00]"));
    }

    #[test]
    fn the_resampled_unit_is_explained() {
        let units = |change: fn(&mut Findings)| {
            let mut findings = findings();
            change(&mut findings);
            Verdict::new(findings).units()
        };
        assert_eq!(units(|_| ()), "Intervals resample 33 subjects.");
        let single = units(|it| {
            it.counts = UnitCounts { windows: 16, runs: 2, subjects: 1, repeated: 0 };
            it.resampled = Level::Window;
        });
        let expected =
            "Intervals resample 16 windows, because there are only 1 subject and 2 runs.";
        assert_eq!(single, expected);
    }
}
