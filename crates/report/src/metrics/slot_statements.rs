//! What reports state about one slot of any kind, beside what is true.

use serde::{Deserialize, Serialize};

use super::{
    Agreement, NumberError, RiskCoverage, SetScores, StatementRates, brier, number_error,
    reliability, risk_coverage, same_length, set_scores, statement_rates,
};
use crate::{
    Result,
    slots::{Slot, SlotReading},
};

/// Scores of one slot over reports. A report that contradicts itself states something and is never right; one
/// that hedges states nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlotStatements {
    /// The slot.
    pub slot: String,
    /// `choice`, `ordinal`, `number`, `flag` or `set`.
    pub kind: String,
    /// Whether it counts for the verdict.
    pub scored: bool,
    /// Reports whose true value is known.
    pub n_truth: usize,
    /// Reports that state the true value: of a number its bin, of a set every member.
    pub n_right: usize,
    /// Reports with two statements that exclude each other.
    pub n_contradictory: usize,
    /// Reports that only say that something may be.
    pub n_hedged: usize,
    /// Reports with a number that cannot be.
    pub n_out_of_range: usize,
    /// Coverage, omission, contradiction and hallucination.
    pub rates: StatementRates,
    /// Precision, recall and F1 over the values, the bins or the members.
    pub findings: Findings,
    /// Of a number: how far it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<NumberError>,
    /// Of a slot with probabilities: whether they are worth what they say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<SlotCalibration>,
    /// Of a slot that asks for a share of errors: what is stated and sure enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub determined: Option<Determined>,
}

/// What of a slot is stated with a probability that is high enough.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Determined {
    /// The share of errors that was asked for.
    pub max_error: f64,
    /// The least probability, fitted to the validation windows; 2 where none had so few errors.
    pub least: f64,
    /// Validation windows that it was fitted to.
    pub n_validation: usize,
    /// Reports that state a value, and whose true value is known.
    pub n_stated: usize,
    /// Those of them whose probability is high enough.
    pub n: usize,
    /// Those of these that are right.
    pub n_right: usize,
}

/// Precision, recall and F1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Over all labels together.
    pub micro: Agreement,
    /// Means over the labels for which the number exists.
    pub macro_mean: Agreement,
    /// Of the labels that are findings; none where no slot names some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abnormal: Option<Agreement>,
}

/// Whether the probabilities of a slot are worth what they say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlotCalibration {
    /// Windows with a truth and probabilities.
    pub n: usize,
    /// Multi-class Brier score.
    pub brier: f64,
    /// Expected calibration error over bins of equal mass.
    pub ece: f64,
    /// Error of the most probable value among the most confident answers.
    pub risk_coverage: RiskCoverage,
}

impl SlotStatements {
    /// Scores a slot; each column has one entry a report, `probabilities` an empty one where there are none.
    pub fn of(
        slot: &Slot,
        scored: bool,
        truth: &[Option<String>],
        readings: &[SlotReading],
        probabilities: &[Vec<f64>],
    ) -> Result<Self> {
        same_length("readings of a slot", readings.len(), truth.len())?;
        same_length("probabilities of a slot", probabilities.len(), truth.len())?;
        let count = |is: fn(&SlotReading) -> bool| readings.iter().filter(|it| is(it)).count();
        let right = truth.iter().zip(readings).map(|(truth, reading)| {
            truth.as_deref().zip(reading.value()).is_some_and(|(it, said)| slot.agrees(it, said))
        });
        let right: Vec<bool> = right.collect();
        // what is right counts as the truth itself, what is wrong as something else
        let said: Vec<Option<&str>> = readings
            .iter()
            .zip(truth.iter().zip(&right))
            .map(|(reading, (truth, right))| match reading {
                SlotReading::Absent | SlotReading::Hedged { .. } => None,
                _ if *right => truth.as_deref(),
                _ => Some("\0"),
            })
            .collect();
        let known: Vec<Option<&str>> = truth.iter().map(Option::as_deref).collect();
        let [true_sets, stated_sets] = sets(slot, truth, readings);
        let number = match slot.number() {
            None => None,
            Some(form) => {
                let of = |value: Option<&str>| value.and_then(|it| slot.number_of(it));
                let stated: Vec<Option<f64>> = readings.iter().map(|it| of(it.value())).collect();
                let truth: Vec<Option<f64>> = known.iter().map(|it| of(*it)).collect();
                Some(number_error(&truth, &stated, form.within())?)
            }
        };
        Ok(Self {
            slot: slot.name.clone(),
            kind: slot.kind_name().to_owned(),
            scored,
            n_truth: truth.iter().flatten().count(),
            n_right: right.iter().filter(|it| **it).count(),
            n_contradictory: count(|it| matches!(it, SlotReading::Conflicting { .. })),
            n_hedged: count(|it| matches!(it, SlotReading::Hedged { .. })),
            n_out_of_range: count(|it| matches!(it, SlotReading::OutOfRange { .. })),
            rates: statement_rates(&known, &said)?,
            findings: Findings::of(&true_sets, &stated_sets, &abnormal(slot))?,
            number,
            calibration: calibration(slot, truth, probabilities)?,
            determined: None,
        })
    }
}

/// Precision, recall and F1 over the labels of several slots; `readings` and `truth` have one row a slot.
pub fn together(
    slots: &[&Slot],
    truth: &[Vec<Option<String>>],
    readings: &[Vec<SlotReading>],
) -> Result<Findings> {
    same_length("slots with readings", readings.len(), slots.len())?;
    same_length("slots with a truth", truth.len(), slots.len())?;
    let n = truth.first().map_or(0, Vec::len);
    let mut joined = [vec![Vec::new(); n], vec![Vec::new(); n]];
    for ((slot, truth), readings) in slots.iter().zip(truth).zip(readings) {
        for (joined, own) in joined.iter_mut().zip(sets(slot, truth, readings)) {
            joined.iter_mut().zip(own).for_each(|(row, own)| row.extend(own));
        }
    }
    let abnormal: Vec<bool> = slots.iter().flat_map(|slot| abnormal(slot)).collect();
    let [truth, stated] = joined;
    Findings::of(&truth, &stated, &abnormal)
}

impl Findings {
    fn of(truth: &[Vec<bool>], stated: &[Vec<bool>], abnormal: &[bool]) -> Result<Self> {
        let scores: SetScores = set_scores(truth, stated, abnormal)?;
        let abnormal = abnormal.contains(&true).then_some(scores.abnormal);
        Ok(Self { micro: scores.micro, macro_mean: scores.macro_mean, abnormal })
    }
}

/// The labels that are true and that are stated, a row a report.
fn sets(slot: &Slot, truth: &[Option<String>], readings: &[SlotReading]) -> [Vec<Vec<bool>>; 2] {
    let of = |value: Option<&str>| match value {
        Some(value) => slot.members(value),
        None => vec![false; slot.values.len()],
    };
    [
        truth.iter().map(|it| of(it.as_deref())).collect(),
        readings.iter().map(|it| of(it.value())).collect(),
    ]
}

fn abnormal(slot: &Slot) -> Vec<bool> {
    slot.values.keys().map(|value| slot.abnormal.contains(value)).collect()
}

fn calibration(
    slot: &Slot,
    truth: &[Option<String>],
    probabilities: &[Vec<f64>],
) -> Result<Option<SlotCalibration>> {
    let rows = truth.iter().zip(probabilities);
    let rows = rows.filter_map(|(truth, row)| Some((slot.class(truth.as_deref()?)?, row)));
    let (class, rows): (Vec<usize>, Vec<Vec<f64>>) =
        rows.filter(|(_, row)| !row.is_empty()).map(|(class, row)| (class, row.clone())).unzip();
    if class.is_empty() {
        return Ok(None);
    }
    let best = rows.iter().zip(&class).map(|(row, class)| {
        let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (most, row.iter().position(|it| *it == most) == Some(*class))
    });
    let (confidence, correct): (Vec<f64>, Vec<bool>) = best.unzip();
    Ok(Some(SlotCalibration {
        n: class.len(),
        brier: brier(&rows, &class)?,
        ece: reliability(&rows, &class)?.ece,
        risk_coverage: risk_coverage(&confidence, &correct)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::example::typed;

    fn of(slot: &str, cases: &[(Option<&str>, &str)]) -> SlotStatements {
        let slots = typed();
        let idx = slots.slots().iter().position(|it| it.name == slot).unwrap();
        let truth: Vec<Option<String>> =
            cases.iter().map(|(truth, _)| truth.map(str::to_owned)).collect();
        let readings: Vec<SlotReading> =
            cases.iter().map(|(_, text)| slots.parse(text).slots[idx].clone()).collect();
        let none = vec![Vec::new(); cases.len()];
        SlotStatements::of(&slots.slots()[idx], true, &truth, &readings, &none).unwrap()
    }

    #[test]
    fn statements_are_counted_by_what_they_are() {
        let found = of(
            "motion",
            &[
                (Some("low"), "Motion: head motion was low."),
                (Some("low"), "Motion: head motion was high."),
                (Some("high"), "Motion: head motion was low. Head motion was high."),
                (Some("high"), "Motion: head motion may be high."),
                (Some("moderate"), "Motion: nothing."),
                (None, "Motion: head motion was moderate."),
            ],
        );
        assert_eq!(
            (found.n_truth, found.n_right, found.n_contradictory, found.n_hedged),
            (5, 1, 1, 1)
        );
        // stated in 4 of 6, twice otherwise than true, once without a truth; 2 of 5 truths missing
        assert_eq!(found.rates.coverage, 4.0 / 6.0);
        assert_eq!((found.rates.contradiction, found.rates.hallucination), (Some(0.5), Some(0.25)));
        assert_eq!(found.rates.omission, Some(0.4));
        // one statement each of low, high and moderate counts, low alone is right
        assert_eq!(found.findings.micro.precision, Some(1.0 / 3.0));
        assert_eq!(found.findings.micro.recall, Some(0.2));
        // high was true twice and never found
        assert_eq!(found.findings.abnormal.unwrap().recall, Some(0.0));
    }

    #[test]
    fn numbers_are_right_in_their_bin_and_off_by_years() {
        let found = of(
            "age",
            &[
                (Some("34.5"), "Demographics: age 36 years."),
                (Some("29"), "Demographics: age 31 years."),
                (Some("40"), "Demographics: age 400 years."),
                (Some("60"), "Demographics: unknown."),
            ],
        );
        let number = found.number.unwrap();
        assert_eq!(
            (number.n, number.n_stated, number.mae, number.within),
            (4, 2, Some(1.75), Some(1.0))
        );
        assert_eq!((found.n_right, found.n_out_of_range), (1, 1));
        assert_eq!(found.rates.contradiction, Some(2.0 / 3.0));
    }

    #[test]
    fn sets_are_right_as_a_whole_and_scored_by_member() {
        let found = of(
            "networks",
            &[
                (Some("Vis, SM"), "Impression: visual network and somatomotor network."),
                (Some("Vis"), "Impression: visual network and default mode network."),
                (Some("none"), "Impression: no network."),
            ],
        );
        assert_eq!((found.n_right, found.rates.contradiction), (2, Some(1.0 / 3.0)));
        assert_eq!(found.findings.micro.precision, Some(0.75));
        assert_eq!(found.findings.micro.recall, Some(1.0));
    }

    #[test]
    fn several_slots_are_scored_together() {
        let slots = typed();
        let texts =
            ["Motion: head motion was high.\nFindings: DMN decreased.", "Findings: DMN normal."];
        let chosen: Vec<usize> = slots.scored_idxs()[..2].to_vec();
        let readings: Vec<Vec<SlotReading>> = chosen
            .iter()
            .map(|&idx| texts.iter().map(|it| slots.parse(it).slots[idx].clone()).collect())
            .collect();
        let of = |values: [&str; 2]| values.map(|it| Some(it.to_owned())).to_vec();
        let truth = [of(["high", "low"]), of(["decreased", "increased"])];
        let chosen: Vec<&Slot> = chosen.iter().map(|&idx| &slots.slots()[idx]).collect();
        let found = together(&chosen, &truth, &readings).unwrap();
        assert_eq!((found.micro.precision, found.micro.recall), (Some(1.0), Some(0.5)));
        assert_eq!(found.abnormal.unwrap().recall, Some(2.0 / 3.0));
    }

    #[test]
    fn probabilities_are_judged_where_there_are_some() {
        let slots = typed();
        let slot = &slots.slots()[0];
        let truth = ["low", "high"].map(|it| Some(it.to_owned()));
        let readings = vec![SlotReading::Absent; 2];
        let rows = [vec![0.8, 0.1, 0.1], vec![0.6, 0.2, 0.2]];
        let found = SlotStatements::of(slot, true, &truth, &readings, &rows).unwrap();
        let found = found.calibration.unwrap();
        assert_eq!((found.n, found.risk_coverage.points.len()), (2, 2));
        assert!((found.risk_coverage.area - 0.25).abs() < 1e-12);
        assert!((found.brier - 0.55).abs() < 1e-12, "{}", found.brier);
    }
}
