//! The table of the own scan beside other scans.

use std::fmt::Write;

use super::html::escape;
use crate::{
    evidence::{Condition, Evidence},
    metrics::Interval,
};

const COLUMNS: [&str; 4] = ["windows", "2AFC", "gain, nats a token", "written"];

/// Aligned columns, without colours; nothing where nothing was compared.
pub fn terminal(evidence: &Evidence) -> String {
    let conditions = &evidence.conditions;
    if conditions.is_empty() {
        return String::new();
    }
    let head = "own scan against";
    let names = conditions.iter().map(|it| it.name.chars().count());
    let width = names.chain([head.len()]).max().unwrap_or_default();
    let rows: Vec<[String; 4]> = conditions.iter().map(cells).collect();
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|at| {
            rows.iter().map(|row| row[at].chars().count()).fold(COLUMNS[at].len(), usize::max)
        })
        .collect();
    let mut text = String::new();
    let mut line = |name: &str, cells: [&str; 4]| {
        write!(text, "{name:width$}").expect("a String takes all");
        for (cell, w) in cells.iter().zip(&widths) {
            write!(text, "  {cell:>w$}").expect("a String takes all");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    };
    line(head, COLUMNS);
    for (condition, row) in conditions.iter().zip(&rows) {
        line(&condition.name, row.each_ref().map(String::as_str));
    }
    for note in notes(conditions) {
        writeln!(text, "{note}").expect("a String takes all");
    }
    text
}

/// The same for the page.
pub(super) fn html(evidence: &Evidence) -> String {
    let conditions = &evidence.conditions;
    if conditions.is_empty() {
        return String::new();
    }
    let mut html =
        "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">own scan against</th>"
            .to_owned();
    for column in COLUMNS {
        write!(html, "<th scope=\"col\">{column}</th>").expect("a String takes all");
    }
    html.push_str("</tr></thead><tbody>\n");
    for condition in conditions {
        write!(html, "<tr><th scope=\"row\">{}</th>", escape(&condition.name))
            .expect("a String takes all");
        for cell in cells(condition) {
            write!(html, "<td>{}</td>", escape(&cell)).expect("a String takes all");
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n");
    for note in notes(conditions) {
        writeln!(html, "<p>{}</p>", escape(&note)).expect("a String takes all");
    }
    html.push_str(
        "<p class=\"soft\">By chance 2AFC is 0.50, and gain and written are 0. A model that knows only what is \
         typical of a label is at chance against scans of the same label.</p>\n",
    );
    html
}

fn notes(conditions: &[Condition]) -> impl Iterator<Item = String> {
    conditions.iter().filter_map(|it| it.note.as_ref().map(|note| format!("{}: {note}", it.name)))
}

fn cells(condition: &Condition) -> [String; 4] {
    let Condition { n_windows, two_afc, likelihood_gain, written, .. } = condition;
    [
        n_windows.to_string(),
        or_dash(two_afc.map(|it| it.to_string())),
        or_dash(likelihood_gain.map(three_digits)),
        or_dash(written.map(|it| it.to_string())),
    ]
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
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
    fn every_condition_has_a_line_and_what_is_left_out_is_said() {
        let mut input = example::seeing(16);
        input.truth[3] = "boat".to_owned();
        let evidence = Evidence::measure(&input, &EvidenceConfig::standard(1)).unwrap();
        let text = terminal(&evidence);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("own scan against"), "{text}");
        assert!(lines[1].starts_with("another run's scan   "), "{text}");
        assert!(
            lines[2].starts_with("another run's scan of the same label       15  1.00"),
            "{text}"
        );
        let last = "another run's scan of the same label: 1 window left out, alone with the label";
        assert_eq!((lines.len(), lines[3]), (4, last), "{text}");
        let html = html(&evidence);
        assert_eq!((html.matches("<tr>").count(), html.matches("<td>").count()), (3, 8));
        assert!(!html.contains("NaN") && !html.contains("inf"));
    }
}
