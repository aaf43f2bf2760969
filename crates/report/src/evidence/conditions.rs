//! What the own scan is worth beside other scans of a kind.

use serde::{Deserialize, Serialize};

use super::{
    ConditionKind, EvidenceInput, Level, Substitute,
    pairs::{Pairs, TIE},
    units::Units,
    written,
};
use crate::{
    Result, counted,
    metrics::{Interval, mean_interval, same_length, share_interval},
};

/// The own scan against scans of a kind. Positive numbers speak for the own scan; a number is missing where
/// there is nothing to compare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// Which scans.
    pub kind: ConditionKind,
    /// The same in words.
    pub name: String,
    /// Windows that have such a scan.
    pub n_windows: usize,
    /// Windows that have none and are left out.
    pub n_left_out: usize,
    /// How often the own scan makes the true report likelier. Chance is 0.5.
    pub two_afc: Option<Interval>,
    /// By how much, in nats a token.
    pub likelihood_gain: Option<Interval>,
    /// Accuracy or ROUGE-L with the own scan minus with the other.
    pub written: Option<Interval>,
    /// What else there is to say, such as who is left out and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Scans of other people: of anybody, of people who match, and of people with the same label.
///
/// Each pair of windows exchanges scans, `d = nll[i][j] + nll[j][i] - nll[i][i] - nll[j][j]`, so that what
/// makes a report or a scan likely by itself cancels. 2AFC is the share of pairs with `d > 0`, the gain half
/// the mean of `d`.
pub(super) fn derangements(
    input: &EvidenceInput,
    units: &Units,
    values: &[usize],
) -> Vec<Condition> {
    let level = units.others();
    let other = units.of(level);
    let whose = |level: Level| format!("another {}'s scan", level.noun());
    let mut found =
        vec![of_partners((ConditionKind::Another, whose(level)), input, units, |i, j| {
            other[i] != other[j]
        })];
    if let Some((names, groups)) = units.matched() {
        let name = format!("{} of the same {names}", whose(level));
        let mut matched = of_partners((ConditionKind::Matched, name), input, units, |i, j| {
            other[i] != other[j] && groups[i].is_some() && groups[i] == groups[j]
        });
        let n = matched.n_left_out;
        matched.note = (n > 0).then(|| {
            let them = if n == 1 { "its" } else { "their" };
            format!("{} left out, alone in {them} group of {names}", counted(n, "window"))
        });
        found.push(matched);
    }
    // the pairs that give the verdict its kind
    let level = Pairs::level_of_equal_values(input, units, values).unwrap_or(level);
    let of = units.of(level);
    let name = format!("{} of the same label", whose(level));
    let mut same = of_partners((ConditionKind::SameLabel, name), input, units, |i, j| {
        values[i] == values[j] && of[i] != of[j]
    });
    let n = same.n_left_out;
    same.note = (n > 0).then(|| format!("{} left out, alone with the label", counted(n, "window")));
    found.push(same);
    found
}

/// What stands in for the own scan of each window, window by window: the share of windows whose true report is
/// likelier with the own scan, by how much, and how much better the text is. `real` is how right the text is with
/// the own scan.
pub(super) fn of_substitute(
    input: &EvidenceInput,
    units: &Units,
    real: &[f64],
    substitute: &Substitute,
) -> Result<Condition> {
    let Substitute { kind, name, nll, right, missing } = substitute;
    let n = input.units.len();
    let mut found = Condition {
        kind: *kind,
        name: name.clone(),
        n_windows: 0,
        n_left_out: n,
        two_afc: None,
        likelihood_gain: None,
        written: None,
        note: missing.as_ref().map(|reason| format!("not measured: {reason}")),
    };
    if missing.is_some() {
        return Ok(found);
    }
    same_length("likelihoods of a substitute", nll.len(), n)?;
    same_length("texts of a substitute", right.len(), n)?;
    let mut cluster = Vec::new();
    let (mut gains, mut wins, mut written) = (Vec::new(), Vec::new(), Vec::new());
    for (window, place) in input.compared() {
        let gain = nll[window] - input.nll[window][place];
        cluster.push(units.resampled()[window]);
        gains.push(gain);
        wins.push(if gain.abs() < TIE { 0.5 } else { f64::from(u8::from(gain > 0.0)) });
        written.push(real[window] - right[window]);
    }
    found.n_windows = cluster.len();
    found.n_left_out = n - cluster.len();
    found.two_afc = Some(share_interval(&wins, &cluster)?);
    found.likelihood_gain = Some(mean_interval(&gains, &cluster));
    found.written = Some(mean_interval(&written, &cluster).within(-1.0, 1.0));
    Ok(found)
}

fn of_partners(
    (kind, name): (ConditionKind, String),
    input: &EvidenceInput,
    units: &Units,
    partners: impl Fn(usize, usize) -> bool,
) -> Condition {
    let (mut n_windows, mut n_left_out) = (0, 0);
    for block in &input.blocks {
        for &window in block {
            if block.iter().any(|&scan| partners(window, scan)) {
                n_windows += 1;
            } else {
                n_left_out += 1;
            }
        }
    }
    let pairs = Pairs::of(input, units, &partners);
    let pairs = (pairs.n > 0).then_some(pairs);
    Condition {
        kind,
        name,
        n_windows,
        n_left_out,
        two_afc: pairs.map(|it| it.two_afc(units)),
        likelihood_gain: pairs.map(|it| it.gain.interval()),
        written: written::beside(input, units, &partners),
        note: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Unit, age_bin};

    /// 24 people, half of them calm; `seen` is what the model makes of person `j`'s scan.
    fn cohort(nll: impl Fn(usize, usize) -> f64, seen: impl Fn(usize) -> usize) -> EvidenceInput {
        let n = 24;
        let name = |value: usize| ["calm", "tense"][value].to_owned();
        let mut input = EvidenceInput {
            blocks: vec![(0..n).collect()],
            majority: name(0),
            no_scan: vec![Some(name(0)); n],
            ..EvidenceInput::default()
        };
        for i in 0..n {
            input.units.push(Unit {
                subject: i.to_string(),
                sex: Some(["f", "m"][i / 2 % 2].to_owned()),
                ..Unit::default()
            });
            input.truth.push(name(i % 2));
            input.stated.push(Some(name(seen(i))));
            input.nll.push((0..n).map(|j| nll(i, j)).collect());
            input.value.push((0..n).map(|j| Some(name(seen(j)))).collect());
        }
        input
    }

    fn measured(input: &EvidenceInput) -> Vec<Condition> {
        let values: Vec<usize> = (0..24).map(|i| i % 2).collect();
        derangements(input, &Units::new(&input.units, &values), &values)
    }

    /// The label is read off the scan, and nothing else.
    fn stereotype() -> EvidenceInput {
        cohort(|i, j| if i % 2 == j % 2 { 0.5 } else { 1.0 }, |j| j % 2)
    }

    #[test]
    fn a_stereotype_gains_nothing_over_a_scan_of_the_same_label() {
        let [another, matched, same] = measured(&stereotype()).try_into().unwrap();
        // of the 23 other people 12 have the other label: d is 1 there, half of it is the gain
        let pairs = 24.0 * 23.0 / 2.0;
        let different = 12.0 * 12.0;
        assert!(
            (another.likelihood_gain.unwrap().estimate - 0.5 * different / pairs).abs() < 1e-12
        );
        let expected = (different + 0.5 * (pairs - different)) / pairs;
        assert!((another.two_afc.unwrap().estimate - expected).abs() < 1e-12);
        assert!((another.written.unwrap().estimate - 12.0 / 23.0).abs() < 1e-12);
        // 12 people of each sex, 6 of each label: 36 of 66 pairs differ
        assert!((matched.likelihood_gain.unwrap().estimate - 0.5 * 36.0 / 66.0).abs() < 1e-12);
        assert_eq!((matched.n_windows, matched.n_left_out, &matched.note), (24, 0, &None));
        assert_eq!(matched.name, "another subject's scan of the same sex");
        assert_eq!(same.two_afc.unwrap().estimate, 0.5);
        assert_eq!(same.likelihood_gain.unwrap().estimate, 0.0);
        let written = same.written.unwrap();
        assert!(written.estimate == 0.0 && written.contains(0.0));
    }

    #[test]
    fn a_model_that_knows_people_gains_over_every_scan() {
        let input = cohort(|i, j| if i == j { 0.25 } else { 1.0 }, |j| j % 2);
        for found in measured(&input) {
            assert_eq!(found.two_afc.unwrap().estimate, 1.0, "{}", found.name);
            assert_eq!(found.likelihood_gain.unwrap().estimate, 0.75, "{}", found.name);
        }
    }

    #[test]
    fn who_is_alone_in_a_group_is_left_out_and_said() {
        let mut input = stereotype();
        for (i, unit) in input.units.iter_mut().enumerate() {
            unit.age_bin = age_bin(if i < 20 { "34" } else { "71" });
        }
        // of 20 to 23 two are female and two male; one of them is of unknown sex
        input.units[20].sex = None;
        let matched = measured(&input).remove(1);
        assert_eq!(matched.name, "another subject's scan of the same sex and age");
        assert_eq!((matched.n_windows, matched.n_left_out), (22, 2));
        let note = matched.note.unwrap();
        assert_eq!(note, "2 windows left out, alone in their group of sex and age");
    }

    #[test]
    fn a_substitute_is_compared_window_by_window() {
        let input = stereotype();
        let values: Vec<usize> = (0..24).map(|i| i % 2).collect();
        let units = Units::new(&input.units, &values);
        // the own scan costs 0.5; the other one 0.75 for half of the windows, the same for a quarter, less for
        // the rest
        let nll = |i: usize| match i % 4 {
            0 | 1 => 0.75,
            2 => 0.5,
            _ => 0.25,
        };
        let (kind, name) = (ConditionKind::MeanScan, "mean training scan".to_owned());
        let mut mean = Substitute {
            kind,
            name,
            nll: (0..24).map(nll).collect(),
            right: (0..24).map(|i| f64::from(u8::from(i % 2 == 0))).collect(),
            missing: None,
        };
        let found = of_substitute(&input, &units, &[1.0; 24], &mean).unwrap();
        assert_eq!(found.two_afc.unwrap().estimate, 0.5 + 0.25 / 2.0);
        assert_eq!(found.likelihood_gain.unwrap().estimate, 0.25 / 4.0);
        assert_eq!(found.written.unwrap().estimate, 0.5);
        assert_eq!((found.n_windows, found.n_left_out), (24, 0));
        mean.nll.pop();
        assert!(of_substitute(&input, &units, &[1.0; 24], &mean).is_err());
        let none = Substitute::missing(kind, "mean training scan", "no reason".to_owned());
        let found = of_substitute(&input, &units, &[1.0; 24], &none).unwrap();
        assert_eq!((found.n_windows, found.two_afc), (0, None));
        assert_eq!(found.note.unwrap(), "not measured: no reason");
    }

    #[test]
    fn where_no_two_share_a_label_nothing_is_made_up() {
        let mut input = stereotype();
        input.truth = (0..24).map(|i| format!("finding {i}")).collect();
        let values: Vec<usize> = (0..24).collect();
        let same = derangements(&input, &Units::new(&input.units, &values), &values).remove(2);
        assert_eq!((same.two_afc, same.likelihood_gain, same.written), (None, None, None));
        assert_eq!((same.n_windows, same.n_left_out), (0, 24));
    }
}
