//! The controls of an evaluation: each number with what chance would give.

use crate::{
    evidence::{Evidence, Retrieval},
    metrics::Interval,
};

/// One of them, as words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// What was measured.
    pub name: String,
    /// What was found, with its interval.
    pub value: String,
    /// What chance or a blind model would give.
    pub chance: String,
}

/// Every step of the rule; `n_different` of `n_texts` generated texts are different ones.
pub fn controls(evidence: &Evidence, n_different: usize, n_texts: usize) -> Vec<Control> {
    let Evidence { verdict, retrieval, .. } = evidence;
    let or_none = |interval: Option<Interval>| {
        interval
            .map_or_else(|| "not measured: there is no such pair".to_owned(), |it| it.to_string())
    };
    let first = |of: &Retrieval| (of.recall_at_1 * of.n as f64).round();
    let by_chance = |of: &Retrieval| of.chance_at_1 * of.n as f64;
    let found = |of: &Retrieval| {
        let fifth =
            format!("; among the first 5: {:.2} ({:.2} by chance)", of.recall_at_5, of.chance_at_5);
        (format!("{} of {}", first(of), of.n), format!("{:.1} by chance{fifth}", by_chance(of)))
    };
    let (own_scan, own_report) = (found(retrieval), found(&evidence.retrieval_of_reports));
    let or_dash = |share: Option<f64>| share.map_or("–".to_owned(), |it| format!("{it:.2}"));
    let measure = evidence.measure.heading();
    let own = format!("{measure} with the own scan minus another person's");
    let mut rows = vec![
        (
            "Two-alternative forced choice over pairs of windows",
            evidence.two_afc.to_string(),
            "0.50 by chance".to_owned(),
        ),
        (
            "The same report by report",
            evidence.two_afc_rows.to_string(),
            "0.50 by chance".to_owned(),
        ),
        (
            "The same among windows of one label",
            or_none(verdict.same_value),
            "0.50 if only the label counts".to_owned(),
        ),
        (
            "Pairs compared",
            format!("{} of {}", verdict.pairs_used, verdict.pairs_all),
            "drawn by seed where not all are".to_owned(),
        ),
        (
            "Likelihood gain, nats a token",
            three_digits(evidence.likelihood_gain),
            "0 by chance".to_owned(),
        ),
        (
            "Permutation p",
            format!("{:.3}", evidence.permutation_p),
            "any value alike by chance".to_owned(),
        ),
        (own.as_str(), or_none(evidence.written), "0 for a blind model".to_owned()),
        ("Own scan is the likeliest of a report", own_scan.0, own_scan.1),
        ("Own report is the likeliest of a scan", own_report.0, own_report.1),
        (
            "Mean reciprocal rank of scan, of report",
            format!("{:.2}, {:.2}", retrieval.mrr, evidence.retrieval_of_reports.mrr),
            "1 at best".to_owned(),
        ),
        (
            "Share of others that rank before the own scan, report",
            format!(
                "{:.2}, {:.2}",
                retrieval.normalised_rank, evidence.retrieval_of_reports.normalised_rank
            ),
            "0.50 by chance".to_owned(),
        ),
        (
            "Answers that change with the scan",
            format!("{:.2}", evidence.sensitivity),
            "0 for a blind model".to_owned(),
        ),
        (
            "Statements that are the same without a scan",
            or_dash(evidence.unchanged_without_scan),
            "1 for a blind model".to_owned(),
        ),
        (
            "Different texts",
            format!("{n_different} of {n_texts}"),
            "1 if every scan gives the same".to_owned(),
        ),
    ];
    let over = format!("{measure} over the best baseline");
    rows.extend(verdict.baseline.as_ref().map(|best| {
        (over.as_str(), best.difference.to_string(), format!("0 if level with {}", best.name))
    }));
    let control = |(name, value, chance): (&str, String, String)| Control {
        name: name.to_owned(),
        value,
        chance,
    };
    rows.into_iter().map(control).collect()
}

/// Nats a token are small.
pub(super) fn three_digits(interval: Interval) -> String {
    if !interval.width().is_finite() {
        return format!("{:.3} [interval unknown]", interval.estimate);
    }
    let Interval { estimate, low, high } = interval;
    let [estimate, low, high] = [estimate, low, high].map(|it| {
        let text = format!("{it:.3}");
        if text == "-0.000" { "0.000".to_owned() } else { text }
    });
    format!("{estimate} [{low}, {high}]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{EvidenceConfig, example};

    #[test]
    fn every_step_of_the_rule_stands_in_the_table() {
        let input = example::seeing(16);
        let evidence = Evidence::measure(&input, &EvidenceConfig::standard(1)).unwrap();
        let controls = controls(&evidence, 4, 16);
        let row = |name: &str| {
            let found = controls.iter().find(|it| it.name.starts_with(name));
            found.unwrap_or_else(|| panic!("{name} is not there"))
        };
        for (name, value, chance) in [
            ("Two-alternative forced choice over pairs", "1.00 [0.79, 1.00]", "0.50 by chance"),
            ("The same among windows of one label", "1.00", "0.50 if only the label counts"),
            ("Pairs compared", "120 of 120", "drawn by seed"),
            ("Permutation p", "0.001", "any value alike"),
            ("Accuracy with the own scan minus another", "0.75 [0.54, 0.75]", "0 for a blind"),
            ("Own scan is the likeliest of a report", "16 of 16", "1.0 by chance"),
            ("Own report is the likeliest of a scan", "16 of 16", "1.0 by chance"),
            ("Different texts", "4 of 16", "1 if every scan"),
        ] {
            let found = row(name);
            assert!(found.value.starts_with(value), "{found:?}");
            assert!(found.chance.starts_with(chance), "{found:?}");
        }
        let all = format!("{controls:?}");
        assert!(!all.contains("NaN") && !all.contains("inf"));
    }
}
