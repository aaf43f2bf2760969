//! What an evaluation hands over to be judged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OccludedSlot, Substitute, ToldOtherwise, Unit};
use crate::{
    Error, Result,
    metrics::{at_least, same_length},
};

/// Everything the model did with `n` windows.
///
/// Reports and scans are compared within blocks of windows: row `i` of `nll` and `value` has an entry
/// for each window of the block that `i` is in, in the order of the block, and is empty for a window
/// in no block. One block of all windows in order makes them `n` by `n`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EvidenceInput {
    /// Where each window comes from.
    pub units: Vec<Unit>,
    /// The true value of the scored slot; with `free_text`, the true report.
    pub truth: Vec<String>,
    /// Windows that are compared with each other; no window is in two.
    pub blocks: Vec<Vec<usize>>,
    /// Mean negative log-likelihood a token of the true report `i` given a scan, in nats.
    pub nll: Vec<Vec<f64>>,
    /// The scored slot as generated from prompt `i` and a scan; `None` where it is not stated.
    pub value: Vec<Vec<Option<String>>>,
    /// The scored slot as generated from prompt `i` and its own scan.
    pub stated: Vec<Option<String>>,
    /// The scored slot as generated from prompt `i` alone.
    pub no_scan: Vec<Option<String>>,
    /// Generated reports with their own scan, where no slot is scored: what is written is then judged by
    /// ROUGE-L to the own true report minus to those of other people.
    pub free_text: Option<Vec<String>>,
    /// How right what was written is, where that is no matter of one value: of several slots, and of free
    /// text.
    pub shares: Option<Shares>,
    /// What was done with something in place of the own scans.
    pub substitutes: Vec<Substitute>,
    /// What was done with scans without the place of a slot.
    pub occluded: Vec<OccludedSlot>,
    /// What was done after a prompt that contradicts the scan.
    pub told_otherwise: Option<ToldOtherwise>,
    /// The most frequent value among the training windows.
    pub majority: String,
    /// Other ways to answer, on the same windows.
    pub baselines: Vec<Baseline>,
    /// Those that could not be fitted; passed through to the tables.
    pub missing: Vec<MissingBaseline>,
    /// Passed through to the tables.
    pub gates: Vec<GateOpening>,
}

/// How right each text is, from 0 to 1: the share of the scored slots that it states rightly, or its ROUGE-L.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// As `value` of the input: of what was generated from prompt `i` and a scan.
    pub cells: Vec<Vec<f64>>,
    /// With the own scan.
    pub stated: Vec<f64>,
    /// Without any scan.
    pub no_scan: Vec<f64>,
    /// Of what is most frequent among the training windows.
    pub majority: Vec<f64>,
}

/// What tells how right a text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Whether the scored slot is right; of several the share that is.
    #[default]
    Accuracy,
    /// ROUGE-L to the true report.
    RougeL,
}

impl Measure {
    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::RougeL => "ROUGE-L",
        }
    }

    /// The same where a sentence begins with it.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Accuracy => "Accuracy",
            Self::RougeL => "ROUGE-L",
        }
    }
}

/// Another way to answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Its name in tables.
    pub name: String,
    /// How right it is about each window: 1 or 0 of one slot, of several the share that is right.
    pub correct: Vec<f64>,
}

/// Another way to answer that could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingBaseline {
    /// Its name in tables.
    pub name: String,
    /// Why it is missing.
    pub reason: String,
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
    /// Random pairings behind the p-value of the likelihood, at least 999.
    pub n_permutations: usize,
    /// Random deals of scans behind the shuffled accuracy.
    pub n_shuffles: usize,
    /// The same seed gives the same evidence.
    pub seed: u64,
}

impl EvidenceConfig {
    /// Fewer pairings cannot reach p = 0.001.
    pub const MIN_PERMUTATIONS: usize = 999;
    /// All pairs of 8 windows; fewer decide nothing.
    pub const MIN_PAIRS: usize = 28;

    /// 999 pairings, 1,000 deals.
    pub const fn standard(seed: u64) -> Self {
        Self { n_permutations: Self::MIN_PERMUTATIONS, n_shuffles: 1000, seed }
    }

    pub(super) fn check(&self) -> Result<()> {
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
        same_length("stated values", self.stated.len(), n)?;
        same_length("values without scan", self.no_scan.len(), n)?;
        same_length("generated reports", self.free_text.as_ref().map_or(n, Vec::len), n)?;
        if let Some(Shares { cells, stated, no_scan, majority }) = &self.shares {
            let rows = cells.len();
            for found in [rows, stated.len(), no_scan.len(), majority.len()] {
                same_length("shares", found, n)?;
            }
        }
        for baseline in &self.baselines {
            same_length("answers of a baseline", baseline.correct.len(), n)?;
        }
        let mut expected = vec![None; n];
        for block in &self.blocks {
            for &window in block {
                let place = expected.get_mut(window).filter(|it| it.is_none());
                let place = place.ok_or(Error::TooFew {
                    what: "windows that are each in one block",
                    found: window,
                    expected: n,
                })?;
                *place = Some(block.len());
            }
        }
        for (idx, (nll, value)) in self.nll.iter().zip(&self.value).enumerate() {
            let expected = expected[idx].unwrap_or(0);
            same_length("likelihoods in a row", nll.len(), expected)?;
            same_length("generated values in a row", value.len(), expected)?;
            let of_row = self.shares.as_ref().and_then(|it| it.cells.get(idx));
            same_length("shares in a row", of_row.map_or(expected, Vec::len), expected)?;
            if let Some(&found) = nll.iter().find(|nll| !nll.is_finite()) {
                return Err(Error::NotFinite { what: "a likelihood of report", idx, found });
            }
        }
        at_least("windows that are compared", self.compared().count(), 2)
    }

    /// Every compared window with the place of its own scan in its row.
    pub(super) fn compared(&self) -> impl Iterator<Item = (usize, usize)> {
        self.blocks
            .iter()
            .flat_map(|block| block.iter().enumerate().map(|(place, &window)| (window, place)))
    }

    /// Whether the report of a window is right with the scan at this place of its row.
    pub(super) fn right(&self, report: usize, place: usize) -> f64 {
        if let Some(shares) = &self.shares {
            return shares.cells[report][place];
        }
        let stated = self.value[report][place].as_deref();
        f64::from(u8::from(stated == Some(self.truth[report].as_str())))
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
            ..Unit::default()
        };
        EvidenceInput {
            units: (0..n).map(unit).collect(),
            truth: (0..n).map(name).collect(),
            blocks: vec![(0..n).collect()],
            nll: (0..n).map(|i| (0..n).map(|j| nll(i, j)).collect()).collect(),
            value: (0..n).map(|_| (0..n).map(|j| Some(name(stated(j)))).collect()).collect(),
            stated: (0..n).map(|j| Some(name(stated(j)))).collect(),
            no_scan: vec![Some(name(0)); n],
            free_text: None,
            shares: None,
            substitutes: Vec::new(),
            occluded: Vec::new(),
            told_otherwise: None,
            majority: name(1),
            baselines: vec![Baseline { name: "LDA".to_owned(), correct: vec![0.0; n] }],
            missing: Vec::new(),
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
    fn a_window_in_two_blocks_or_none_that_exists_is_refused() {
        let mut input = example::seeing(4);
        input.blocks = vec![vec![0, 1], vec![1, 2]];
        assert!(input.check().is_err());
        input.blocks = vec![vec![0, 7]];
        assert!(input.check().is_err());
        // windows in no block have empty rows
        input.blocks = vec![vec![2, 0]];
        for (idx, (nll, value)) in input.nll.iter_mut().zip(&mut input.value).enumerate() {
            let n = if idx % 2 == 0 { 2 } else { 0 };
            nll.truncate(n);
            value.truncate(n);
        }
        assert!(input.check().is_ok());
        assert_eq!(input.compared().collect::<Vec<_>>(), [(2, 0), (0, 1)]);
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
