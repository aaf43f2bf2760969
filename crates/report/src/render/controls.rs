//! The table of controls on the page: each number with what chance would give.

use std::fmt::Write;

use super::conditions::{self, three_digits};
use crate::{
    evidence::{Evidence, Retrieval},
    metrics::Interval,
};

/// The section with its heading; `texts` are the generated ones.
pub(super) fn section(evidence: &Evidence, n_different: usize, n_texts: usize) -> String {
    let mut html =
        "<h2>Does the text depend on the scan?</h2>\n<div class=\"scroll\"><table>".to_owned();
    for (name, value, chance) in rows(evidence, n_different, n_texts) {
        push(
            &mut html,
            format_args!(
                "<tr><th scope=\"row\">{name}</th><td>{value}</td>\
                 <td class=\"soft\">{chance}</td></tr>\n"
            ),
        );
    }
    html.push_str("</table></div>\n");
    html.push_str(&conditions::html(evidence));
    if !evidence.gates.is_empty() {
        html.push_str(
            "<p>Gate openings, tanh; 0 before training:</p>\n\
             <div class=\"scroll\"><table><thead><tr><th scope=\"col\">block</th>\
             <th scope=\"col\">attention</th><th scope=\"col\">feed-forward</th></tr></thead><tbody>",
        );
        for gate in &evidence.gates {
            push(
                &mut html,
                format_args!(
                    "<tr><th scope=\"row\">{}</th><td>{:+.3}</td><td>{:+.3}</td></tr>",
                    gate.block, gate.attention, gate.feed_forward
                ),
            );
        }
        html.push_str("</tbody></table></div>\n");
    }
    html
}

fn push(html: &mut String, line: std::fmt::Arguments<'_>) {
    html.write_fmt(line).expect("a String takes every line");
}

fn rows(evidence: &Evidence, n_different: usize, n_texts: usize) -> Vec<(String, String, String)> {
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
        (
            over.as_str(),
            best.difference.to_string(),
            format!("0 if level with {}", super::html::escape(&best.name)),
        )
    }));
    rows.into_iter().map(|(name, value, chance)| (name.to_owned(), value, chance)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{EvidenceConfig, example};

    #[test]
    fn every_step_of_the_rule_stands_in_the_table() {
        let input = example::seeing(16);
        let evidence = Evidence::measure(&input, &EvidenceConfig::standard(1)).unwrap();
        let html = section(&evidence, 4, 16);
        for part in [
            "over pairs of windows</th><td>1.00 [0.79, 1.00]",
            "of one label</th><td>1.00",
            "Pairs compared</th><td>120 of 120",
            "Permutation p</th><td>0.001",
            "another person's</th><td>0.75 [0.54, 0.75]",
            "likeliest of a report</th><td>16 of 16</td><td class=\"soft\">1.0 by chance",
            "likeliest of a scan</th><td>16 of 16</td>",
            "another run&#39;s scan of the same label</th><td>16</td>",
            "Different texts</th><td>4 of 16",
            "best baseline</th><td>",
            "<th scope=\"row\">0</th><td>+0.200</td><td>-0.100</td>",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("NaN") && !html.contains("inf"));
    }
}
