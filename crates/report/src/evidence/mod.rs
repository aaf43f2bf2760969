//! Whether the text depends on the scan: the same reports with the right scan, with another and with
//! none.
//!
//! `nll[i][j]` is the mean negative log-likelihood a token, in nats, of report `i` given scan `j`;
//! `value[i][j]` the value stated when prompt `i` is answered with scan `j`. The diagonal is real, the
//! rest are controls.

mod answers;
mod input;
mod likelihood;
mod units;
mod verdict;

use serde::{Deserialize, Serialize};

pub use answers::Shuffled;
#[cfg(test)]
pub(crate) use input::example;
pub use input::{EvidenceConfig, EvidenceInput, GateOpening};
pub use likelihood::Retrieval;
pub use units::{ResampledUnit, Unit, UnitCounts};
pub use verdict::{Answer, Verdict};

use crate::{
    Result,
    metrics::{Bootstrap, Interval},
};

/// Every control of one evaluation, and the line it ends in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The line.
    pub verdict: Verdict,
    /// How much likelier a report is with its own scan than with another, in nats a token.
    pub likelihood_gain: Interval,
    /// How often a report is likelier with its own scan than with one of another true value.
    pub two_afc: Interval,
    /// How often a random pairing of reports and scans has as large a likelihood gain.
    pub permutation_p: f64,
    /// Finding a report's scan among all of them.
    pub retrieval: Retrieval,
    /// Share of right values with the right scan.
    pub accuracy: Interval,
    /// The same with scans dealt at random.
    pub shuffled: Shuffled,
    /// The same without any scan.
    pub no_scan: Interval,
    /// The same for a report that always states the most frequent training value.
    pub majority: Interval,
    /// Real minus shuffled accuracy, where shuffled never deals a window its own scan.
    pub reliance: Interval,
    /// Share of answers that change when the scan is another one.
    pub sensitivity: f64,
    /// How far each gate is open.
    pub gates: Vec<GateOpening>,
}

impl Evidence {
    /// Accuracy with the interval this evidence would give it: for baselines on the same windows.
    pub fn accuracy_of(
        correct: &[bool],
        units: &[Unit],
        config: &EvidenceConfig,
    ) -> Result<Interval> {
        let (resampled, _) = units::choose(units);
        let values: Vec<f64> = correct.iter().map(|&right| f64::from(u8::from(right))).collect();
        Bootstrap { n_draws: config.n_draws, seed: config.seed }
            .mean(&values, &units::clusters(units, resampled))
    }

    /// Measures everything. Intervals resample the largest unit with at least 8 members.
    pub fn measure(input: &EvidenceInput, config: &EvidenceConfig) -> Result<Self> {
        input.check()?;
        config.check()?;
        let (resampled, counts) = units::choose(&input.units);
        let cluster = units::clusters(&input.units, resampled);
        let bootstrap = Bootstrap { n_draws: config.n_draws, seed: config.seed };
        let interval = |values: &[f64]| bootstrap.mean(values, &cluster);

        let likelihood_gain = interval(&likelihood::gains(&input.nll))?;
        let (values, windows) = likelihood::forced_choices(&input.nll, &input.truth)?;
        let chosen: Vec<usize> = windows.into_iter().map(|window| cluster[window]).collect();
        let two_afc = bootstrap.mean(&values, &chosen)?;
        Ok(Self {
            verdict: Verdict::new(two_afc, likelihood_gain, counts, resampled),
            likelihood_gain,
            two_afc,
            permutation_p: likelihood::permutation_p(&input.nll, config),
            retrieval: Retrieval::of(&input.nll),
            accuracy: interval(&answers::real(input))?,
            shuffled: Shuffled::of(input, config),
            no_scan: interval(&answers::without_scan(input))?,
            majority: interval(&answers::majority(input))?,
            reliance: interval(&answers::reliance(input))?,
            sensitivity: answers::sensitivity(input),
            gates: input.gates.clone(),
        })
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "shares of small counts are exact")]
mod tests {
    use super::*;

    const CONFIG: EvidenceConfig =
        EvidenceConfig { n_draws: 2000, n_permutations: 999, n_shuffles: 1000, seed: 3 };

    #[test]
    fn a_model_that_sees_is_told_from_one_that_does_not() {
        let seeing = Evidence::measure(&example::seeing(16), &CONFIG).unwrap();
        assert_eq!(seeing.verdict.answer, Answer::Yes);
        assert_eq!(seeing.accuracy.estimate, 1.0);
        assert_eq!(seeing.retrieval.recall_at_1, 1.0);
        assert!(seeing.permutation_p <= 0.001 && seeing.shuffled.p <= 0.001);
        assert!(seeing.reliance.low > 0.5 && seeing.sensitivity > 0.5);

        let blind = Evidence::measure(&example::blind(16), &CONFIG).unwrap();
        assert_eq!(blind.verdict.answer, Answer::No);
        assert_eq!(blind.two_afc, Interval { estimate: 0.5, low: 0.5, high: 0.5 });
        assert_eq!((blind.sensitivity, blind.reliance.estimate), (0.0, 0.0));
        assert_eq!(blind.permutation_p, 1.0);
        assert_eq!(blind.accuracy.estimate, blind.shuffled.mean);
    }

    #[test]
    fn too_few_windows_leave_it_open() {
        let evidence = Evidence::measure(&example::seeing(7), &CONFIG).unwrap();
        assert_eq!(evidence.verdict.answer, Answer::Undecided);
    }

    #[test]
    fn evidence_survives_json_and_does_not_depend_on_the_run() {
        let evidence = Evidence::measure(&example::seeing(16), &CONFIG).unwrap();
        assert_eq!(evidence, Evidence::measure(&example::seeing(16), &CONFIG).unwrap());
        let json = serde_json::to_string(&evidence).unwrap();
        assert_eq!(serde_json::from_str::<Evidence>(&json).unwrap(), evidence);
    }
}
