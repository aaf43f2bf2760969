//! Whether the text depends on the scan: the same reports with the right scan, with another and with
//! none.
//!
//! `nll` holds the mean negative log-likelihood a token, in nats, of each report given each scan, and
//! `value` what is stated when each prompt is answered with each scan. Own scans are real, the rest are
//! controls. `docs/verdict.md` explains the rule.

mod answers;
mod blocks;
mod conditions;
mod contradiction;
mod input;
mod likelihood;
mod occlusion;
mod pairs;
mod permutation;
mod rule;
mod substitutes;
mod units;
mod verdict;
mod written;

use serde::{Deserialize, Serialize};

pub use answers::{Shuffled, unchanged};
pub use blocks::blocks;
pub use conditions::Condition;
pub use contradiction::Contradiction;
#[cfg(test)]
pub(crate) use input::example;
pub use input::{
    Baseline, EvidenceConfig, EvidenceInput, GateOpening, Measure, MissingBaseline, Shares,
};
pub use likelihood::Retrieval;
pub use occlusion::Grounding;
pub use substitutes::{ConditionKind, Occluded, OccludedSlot, Substitute, ToldOtherwise};
pub use units::{Level, Unit, UnitCounts, age_bin};
pub use verdict::{Answer, BestBaseline, Kind, Reason, Verdict};

use self::{pairs::Pairs, rule::Findings, units::Units};
use crate::{
    Error, Result,
    metrics::{Interval, mean_interval, share_interval},
};

/// Every control of one evaluation, and the line it ends in. All intervals are 95 %, over the units that
/// the verdict names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The line.
    pub verdict: Verdict,
    /// Two-alternative forced choice over pairs of windows of different value: how often the right
    /// pairing of two reports and two scans is likelier than the swapped one. Decides.
    pub two_afc: Interval,
    /// The same report by report: the share of scans of another value that the own scan beats.
    pub two_afc_rows: Interval,
    /// Half the difference of swapped and right pairings, in nats a token. Decides.
    pub likelihood_gain: Interval,
    /// How often random pairings are as likely as the right one. Decides.
    pub permutation_p: f64,
    /// Accuracy of the scored slot with the own scan minus with another person's; of free text, ROUGE-L to
    /// the own true report minus to another person's. Decides.
    pub written: Option<Interval>,
    /// The own scan against scans of other people (of anybody, of people who match, of the same label), and against
    /// what else was shown in its place.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Whether statements go with their place; one entry a slot that the model states, where any has a place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grounding: Vec<Grounding>,
    /// Whom the text follows where the prompt contradicts the scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contradiction: Option<Contradiction>,
    /// Finding a report's scan among those it was compared with.
    pub retrieval: Retrieval,
    /// Finding a scan's report.
    #[serde(default)]
    pub retrieval_of_reports: Retrieval,
    /// Share of right values with the right scan.
    pub accuracy: Interval,
    /// The same with scans dealt at random.
    pub shuffled: Shuffled,
    /// The same without any scan.
    pub no_scan: Interval,
    /// The same for a report that always states the most frequent training value.
    pub majority: Interval,
    /// The same for other ways to answer.
    pub baselines: Vec<BaselineScore>,
    /// Ways to answer that could not be fitted, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_baselines: Vec<MissingBaseline>,
    /// Share of answers that change when the scan is another one.
    pub sensitivity: f64,
    /// Of the reports that state a scored value (of free text, of all), the share that say the same without a
    /// scan: claims that no scan is needed for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unchanged_without_scan: Option<f64>,
    /// How far each gate is open.
    pub gates: Vec<GateOpening>,
    /// What `accuracy`, `shuffled`, `no_scan`, `majority` and the baselines measure.
    #[serde(default, skip_serializing_if = "is_default")]
    pub measure: Measure,
}

/// How well a baseline does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineScore {
    /// Its name.
    pub name: String,
    /// Share of right values.
    pub accuracy: Interval,
    /// Accuracy of the generated reports minus this.
    pub difference: Interval,
}

impl Evidence {
    /// Measures everything.
    ///
    /// Scans of equal digest are one unit. Intervals resample the largest unit with at least 8 members,
    /// but nothing smaller than the *carrier* of the value, the largest unit within which the value
    /// hardly varies; with fewer than 8 carriers the answer is undecided.
    pub fn measure(input: &EvidenceInput, config: &EvidenceConfig) -> Result<Self> {
        input.check()?;
        config.check()?;
        let values = units::numbered(input.truth.iter());
        let units = Units::new(&input.units, &values);
        let pairs = Pairs::of_different_values(input, &units, &values);
        if pairs.n == 0 {
            return Err(Error::NothingToChoose { value: input.truth[0].clone() });
        }
        let real = answers::real(input);
        let baselines = baselines(input, &units, &real)?;
        let (two_afc, rows) =
            (pairs.two_afc(&units), likelihood::two_afc_of_rows(input, &units, &values));
        let likelihood_gain = pairs.gain.interval();
        let permutation_p = permutation::p_value(input, &units, config);
        let written = written::of_others(input, &units);
        let same_value = Pairs::of_equal_values(input, &units, &values);
        let best = baselines.iter().reduce(|best, it| {
            if it.accuracy.estimate > best.accuracy.estimate { it } else { best }
        });
        let (pairs_used, pairs_all) = blocks::n_pairs(&input.blocks, input.units.len());
        let findings = Findings {
            pairs: two_afc,
            rows,
            gain: likelihood_gain,
            permutation_p,
            written,
            same_value: same_value.map(|it| it.two_afc(&units)),
            baseline: best
                .map(|it| BestBaseline { name: it.name.clone(), difference: it.difference }),
            counts: units.counts,
            resampled: units.resampled,
            n_sites: units.n_sites(),
            suffice: units.suffice(),
            pairs_used,
            pairs_all,
        };
        let accuracy = |values: &[f64]| share_interval(values, units.resampled());
        let mut conditions = conditions::derangements(input, &units, &values);
        for substitute in &input.substitutes {
            conditions.push(conditions::of_substitute(input, &units, &real, substitute)?);
        }
        let grounding = input.occluded.iter().map(|it| Grounding::of(it, &units));
        let told = input.told_otherwise.as_ref();
        let contradiction = told.map(|it| Contradiction::of(it, &units)).transpose()?.flatten();
        Ok(Self {
            verdict: Verdict::new(findings),
            two_afc,
            two_afc_rows: rows,
            likelihood_gain,
            permutation_p,
            written,
            conditions,
            grounding: grounding.collect::<Result<_>>()?,
            contradiction,
            retrieval: Retrieval::of_scans(input),
            retrieval_of_reports: Retrieval::of_reports(input),
            accuracy: accuracy(&real)?,
            shuffled: Shuffled::of(input, &units, config)?,
            no_scan: accuracy(&answers::without_scan(input))?,
            majority: accuracy(&answers::majority(input))?,
            baselines,
            missing_baselines: input.missing.clone(),
            sensitivity: answers::sensitivity(input),
            unchanged_without_scan: answers::unchanged(&input.stated, &input.no_scan),
            gates: input.gates.clone(),
            measure: match input.free_text {
                Some(_) => Measure::RougeL,
                None => Measure::Accuracy,
            },
        })
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The accuracy of every other way to answer, also without a scan and with the majority template, and
/// what the generated reports have over it.
fn baselines(input: &EvidenceInput, units: &Units, real: &[f64]) -> Result<Vec<BaselineScore>> {
    let without = [
        ("no scan", answers::without_scan(input)),
        ("majority template", answers::majority(input)),
    ];
    let given = input.baselines.iter().map(|it| (it.name.as_str(), it.correct.clone()));
    let score = |(name, right): (&str, Vec<f64>)| {
        let gained: Vec<f64> = real.iter().zip(&right).map(|(own, other)| own - other).collect();
        Ok(BaselineScore {
            name: name.to_owned(),
            accuracy: share_interval(&right, units.resampled())?,
            difference: mean_interval(&gained, units.resampled()).within(-1.0, 1.0),
        })
    };
    without.into_iter().chain(given).map(score).collect()
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "shares of small counts are exact")]
mod tests {
    use super::*;

    const CONFIG: EvidenceConfig =
        EvidenceConfig { n_permutations: 999, n_shuffles: 1000, seed: 3 };

    fn measure(input: &EvidenceInput) -> Evidence {
        Evidence::measure(input, &CONFIG).unwrap()
    }

    #[test]
    fn a_model_that_sees_is_told_from_one_that_does_not() {
        let seeing = measure(&example::seeing(16));
        assert_eq!(seeing.verdict.answer, Answer::Yes);
        assert_eq!(seeing.accuracy.estimate, 1.0);
        assert_eq!(seeing.retrieval.recall_at_1, 1.0);
        assert!(seeing.permutation_p <= 0.001 && seeing.shuffled.p <= 0.001);
        assert!(seeing.written.unwrap().low > 0.5 && seeing.sensitivity > 0.5);
        // each report is likelier with its own scan than with another cat's
        assert_eq!(seeing.verdict.kind, Kind::Individual);

        let blind = measure(&example::blind(16));
        assert_eq!(blind.verdict.answer, Answer::No);
        assert_eq!(blind.two_afc, Interval { estimate: 0.5, low: 0.5, high: 0.5 });
        assert_eq!((blind.sensitivity, blind.written.unwrap().estimate), (0.0, 0.0));
        assert_eq!(blind.permutation_p, 1.0);
        assert_eq!(blind.accuracy.estimate, blind.shuffled.mean);
    }

    #[test]
    fn gibberish_is_not_a_yes_however_likely_the_true_report() {
        let mut gibberish = example::seeing(16);
        gibberish.stated.fill(None);
        gibberish.value.iter_mut().for_each(|row| row.fill(None));
        let found = measure(&gibberish);
        assert_eq!(found.verdict.answer, Answer::Undecided);
        assert_eq!(found.verdict.reason, Some(Reason::LikelihoodOnly));
        assert_eq!(found.accuracy.estimate, 0.0);
        let line = found.verdict.to_string();
        assert!(line.starts_with("SCAN-DEPENDENT: undecided (likelihood yes, written text no; "));
    }

    #[test]
    fn a_stereotype_is_a_yes_by_value() {
        // the likelihood knows the value, not the window
        let mut input = example::seeing(16);
        for (i, row) in input.nll.iter_mut().enumerate() {
            for (j, cell) in row.iter_mut().enumerate() {
                *cell = if i % 4 == j % 4 { 0.5 } else { 1.0 };
            }
        }
        let found = measure(&input);
        assert_eq!((found.verdict.answer, found.verdict.kind), (Answer::Yes, Kind::Value));
        assert_eq!(found.verdict.same_value.unwrap().estimate, 0.5);
    }

    #[test]
    fn baselines_are_compared_window_by_window() {
        let mut input = example::seeing(16);
        input.stated[0] = None;
        input.baselines[0].correct = vec![1.0; 16];
        let best = measure(&input).verdict.baseline.unwrap();
        assert_eq!((best.name.as_str(), best.is_beaten()), ("LDA", false));
        assert_eq!(best.difference.estimate, -1.0 / 16.0);
        input.baselines.clear();
        let found = measure(&input);
        assert!(found.verdict.baseline.unwrap().is_beaten());
        let names: Vec<&str> = found.baselines.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["no scan", "majority template"]);
    }

    #[test]
    fn too_few_windows_leave_it_open() {
        let evidence = measure(&example::seeing(7));
        assert_eq!(evidence.verdict.reason, Some(Reason::TooFewUnits));
    }

    /// 40 people at two sites; the model knows the site, with which the value goes in three of four.
    fn site_leak() -> EvidenceInput {
        let n = 40;
        let site = |idx: usize| idx % 2;
        // 15 of the 20 people of a site have its value
        let value = |idx: usize| if idx / 2 % 4 == 3 { 1 - site(idx) } else { site(idx) };
        let name = |value: usize| ["calm", "tense"][value].to_owned();
        let mut input = EvidenceInput {
            blocks: vec![(0..n).collect()],
            majority: name(0),
            no_scan: vec![Some(name(0)); n],
            ..EvidenceInput::default()
        };
        for idx in 0..n {
            input.units.push(Unit { subject: idx.to_string(), ..Unit::default() });
            input.truth.push(name(value(idx)));
            input.stated.push(Some(name(site(idx))));
            // the report is likelier the nearer its value is to that of the scan's site
            let noise = |scan: usize| ((idx * 7 + scan * 13) % 11) as f64 / 100.0;
            let nll = |scan: usize| 1.0 + noise(scan) - f64::from(value(idx) == site(scan));
            input.nll.push((0..n).map(nll).collect());
            input.value.push((0..n).map(|scan| Some(name(site(scan)))).collect());
        }
        input
    }

    #[test]
    fn what_only_the_site_tells_is_no_yes_where_sites_are_known() {
        let mut input = site_leak();
        let unknown = measure(&input);
        assert_eq!((unknown.verdict.answer, unknown.verdict.sites), (Answer::Yes, None));
        for (idx, unit) in input.units.iter_mut().enumerate() {
            unit.site = Some(["north", "south"][idx % 2].to_owned());
        }
        let known = measure(&input);
        assert_ne!(known.verdict.answer, Answer::Yes);
        assert_eq!(known.verdict.reason, Some(Reason::WrittenOnly));
        assert!(known.permutation_p > 0.05 && unknown.permutation_p <= 0.01);
        let said =
            "Intervals resample 40 subjects. Random pairings exchange scans within sites only (2).";
        assert_eq!(known.verdict.units(), said);
    }

    #[test]
    fn shares_of_one_slot_are_its_accuracy() {
        let mut input = example::seeing(16);
        let plain = measure(&input);
        let right = |stated: &Option<String>, truth: &String| {
            f64::from(u8::from(stated.as_ref() == Some(truth)))
        };
        let of = |stated: &[Option<String>]| {
            stated.iter().zip(&input.truth).map(|(it, truth)| right(it, truth)).collect()
        };
        let cells = input.value.iter().zip(&input.truth);
        input.shares = Some(Shares {
            cells: cells
                .map(|(row, truth)| row.iter().map(|it| right(it, truth)).collect())
                .collect(),
            stated: of(&input.stated),
            no_scan: of(&input.no_scan),
            majority: input
                .truth
                .iter()
                .map(|it| right(&Some(input.majority.clone()), it))
                .collect(),
        });
        assert_eq!(measure(&input), plain);
        input.shares.as_mut().unwrap().cells[2].pop();
        let error = Evidence::measure(&input, &CONFIG).unwrap_err().to_string();
        assert_eq!(error, "shares in a row: found 15, expected 16");
    }

    #[test]
    fn free_text_is_measured_by_its_likeness() {
        let mut input = example::seeing(16);
        input.truth = (0..16).map(|idx| format!("finding {idx} in region {}", idx % 4)).collect();
        let seen = input.truth.clone();
        let likeness = |text: &str, truth: &str| crate::metrics::rouge_l(text, truth);
        let row = |truth: &String| seen.iter().map(|text| likeness(text, truth)).collect();
        input.shares = Some(Shares {
            cells: input.truth.iter().map(row).collect(),
            stated: vec![1.0; 16],
            no_scan: vec![0.0; 16],
            majority: input.truth.iter().map(|it| likeness(&seen[0], it)).collect(),
        });
        input.value = vec![seen.iter().cloned().map(Some).collect(); 16];
        input.free_text = Some(seen);
        input.baselines.clear();
        let found = measure(&input);
        assert_eq!((found.verdict.answer, found.measure), (Answer::Yes, Measure::RougeL));
        assert_eq!((found.accuracy.estimate, found.no_scan.estimate), (1.0, 0.0));
        assert!(found.majority.estimate > 0.2 && found.written.unwrap().low > 0.2);
    }

    #[test]
    fn one_value_leaves_nothing_to_choose() {
        let mut input = example::seeing(8);
        input.truth.fill("a".to_owned());
        let error = Evidence::measure(&input, &CONFIG).unwrap_err();
        assert!(error.to_string().contains("every window has the scored value a"));
    }

    #[test]
    fn blocks_are_measured_like_the_whole() {
        // two blocks of one cohort: what is compared is inside of them
        let whole = example::seeing(32);
        let mut parted = whole.clone();
        parted.blocks = vec![(0..16).collect(), (16..32).collect()];
        for (idx, (nll, value)) in parted.nll.iter_mut().zip(&mut parted.value).enumerate() {
            let half = if idx < 16 { 0..16 } else { 16..32 };
            *nll = nll[half.clone()].to_vec();
            *value = value[half].to_vec();
        }
        let (one, two) = (measure(&whole), measure(&parted));
        assert_eq!((one.verdict.answer, two.verdict.answer), (Answer::Yes, Answer::Yes));
        assert_eq!(one.accuracy, two.accuracy);
        assert_eq!((two.verdict.pairs_used, two.verdict.pairs_all), (240, 496));
        assert!(two.verdict.to_string().contains("240 of 496 pairs drawn"));
        assert_eq!(two.retrieval.chance_at_1, 1.0 / 16.0);
    }

    #[test]
    fn evidence_survives_json_and_does_not_depend_on_the_run() {
        for n in [3, 16] {
            let evidence = measure(&example::seeing(n));
            assert_eq!(evidence, measure(&example::seeing(n)));
            let json = serde_json::to_string(&evidence).unwrap();
            assert_eq!(serde_json::from_str::<Evidence>(&json).unwrap(), evidence);
        }
    }
}
