//! What an evaluation hands over to be judged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Unit;
use crate::{
    Error, Result,
    metrics::{Bootstrap, at_least, same_length},
};

/// Everything the model did with `n` windows; `nll` and `value` are `n` by `n`, reports by scans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceInput {
    /// Where each window comes from.
    pub units: Vec<Unit>,
    /// The true value of the scored slot.
    pub truth: Vec<String>,
    /// Mean negative log-likelihood a token of the true report `i` given scan `j`, in nats.
    pub nll: Vec<Vec<f64>>,
    /// The scored slot as generated from prompt `i` and scan `j`; none where it is not stated.
    pub value: Vec<Vec<Option<String>>>,
    /// The scored slot as generated from prompt `i` alone.
    pub no_scan: Vec<Option<String>>,
    /// The most frequent value among the training windows.
    pub majority: String,
    /// Passed through to the tables.
    pub gates: Vec<GateOpening>,
}

/// How far the gates of one block are open: `tanh` of its two scalars, 0 before training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateOpening {
    /// The language model's block behind the gate.
    pub block: usize,
    /// Opening of the cross-attention.
    pub attention: f64,
    /// Opening of the feed-forward.
    pub feed_forward: f64,
}

/// How often to draw, and from which seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceConfig {
    /// Bootstrap draws, at least 2,000.
    pub n_draws: usize,
    /// Random pairings behind the p-value of the likelihood gain, at least 999.
    pub n_permutations: usize,
    /// Random deals of scans behind the shuffled accuracy.
    pub n_shuffles: usize,
    /// The same seed gives the same evidence.
    pub seed: u64,
}

impl EvidenceConfig {
    /// Fewer pairings cannot reach p = 0.001.
    pub const MIN_PERMUTATIONS: usize = 999;

    /// 2,000 draws, 999 pairings, 1,000 deals.
    pub const fn standard(seed: u64) -> Self {
        let (n_draws, n_permutations) = (Bootstrap::MIN_DRAWS, Self::MIN_PERMUTATIONS);
        Self { n_draws, n_permutations, n_shuffles: 1000, seed }
    }

    pub(super) fn check(&self) -> Result<()> {
        at_least("bootstrap draws", self.n_draws, Bootstrap::MIN_DRAWS)?;
        at_least("permutations", self.n_permutations, Self::MIN_PERMUTATIONS)?;
        at_least("shuffles", self.n_shuffles, 1)
    }
}

impl EvidenceInput {
    pub(super) fn check(&self) -> Result<()> {
        let n = self.units.len();
        at_least("windows", n, 2)?;
        same_length("true values", self.truth.len(), n)?;
        same_length("rows of likelihoods", self.nll.len(), n)?;
        same_length("rows of generated values", self.value.len(), n)?;
        same_length("values without scan", self.no_scan.len(), n)?;
        for (idx, row) in self.nll.iter().enumerate() {
            same_length("likelihoods in a row", row.len(), n)?;
            if let Some(&found) = row.iter().find(|nll| !nll.is_finite()) {
                return Err(Error::NotFinite { what: "a likelihood of report", idx, found });
            }
        }
        self.value.iter().try_for_each(|row| same_length("generated values in a row", row.len(), n))
    }

    pub(super) fn is_correct(&self, report: usize, scan: usize) -> bool {
        self.value[report][scan].as_deref() == Some(self.truth[report].as_str())
    }
}

/// Small made-up evaluations, for tests.
#[cfg(test)]
pub(crate) mod example {
    use super::*;

    const VALUES: [&str; 4] = ["cat", "face", "house", "shoe"];

    fn make(
        n: usize,
        nll: impl Fn(usize, usize) -> f64,
        stated: impl Fn(usize) -> usize,
    ) -> EvidenceInput {
        let name = |idx: usize| VALUES[idx % VALUES.len()].to_owned();
        let unit = |idx: usize| Unit {
            subject: "1".to_owned(),
            scan: format!("{}", idx / 8),
            window: format!("{idx}"),
        };
        EvidenceInput {
            units: (0..n).map(unit).collect(),
            truth: (0..n).map(name).collect(),
            nll: (0..n).map(|i| (0..n).map(|j| nll(i, j)).collect()).collect(),
            value: (0..n).map(|_| (0..n).map(|j| Some(name(stated(j)))).collect()).collect(),
            no_scan: vec![Some(name(0)); n],
            majority: name(1),
            gates: vec![GateOpening { block: 0, attention: 0.2, feed_forward: -0.1 }],
        }
    }

    /// States what the scan shows and prefers its own scan.
    pub(crate) fn seeing(n: usize) -> EvidenceInput {
        make(n, |i, j| if i == j { 0.5 } else { 1.0 + 0.01 * j as f64 }, |scan| scan)
    }

    /// Writes the same whatever the scan.
    pub(crate) fn blind(n: usize) -> EvidenceInput {
        make(n, |i, _| 1.0 + 0.1 * i as f64, |_| 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_other_sizes_are_refused() {
        let mut input = example::seeing(8);
        input.nll[3].pop();
        assert_eq!(
            input.check().unwrap_err().to_string(),
            "likelihoods in a row: found 7, expected 8"
        );
        let mut input = example::seeing(8);
        input.nll[3][1] = f64::NAN;
        assert_eq!(
            input.check().unwrap_err().to_string(),
            "a likelihood of report 3 is NaN, expected a finite number"
        );
        assert!(example::seeing(1).check().is_err());
    }

    #[test]
    fn too_few_permutations_are_refused() {
        let few = EvidenceConfig { n_permutations: 99, ..EvidenceConfig::standard(0) };
        assert_eq!(
            few.check().unwrap_err().to_string(),
            "permutations: found 99, expected at least 999"
        );
    }
}
