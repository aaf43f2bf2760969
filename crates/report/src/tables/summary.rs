//! The table an evaluation ends in: what was generated, beside what it must beat.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::{
    evidence::{Evidence, Measure, MissingBaseline},
    metrics::Interval,
};

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SummaryRow {
    /// Who answered.
    pub name: String,
    /// Accuracy of the scored slot with its 95 % interval.
    pub accuracy: Interval,
}

/// Generated reports, their controls and the baselines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SummaryTable {
    /// What the numbers are.
    #[serde(default)]
    pub measure: Measure,
    /// What the ends of the intervals are, such as `95 % interval over subjects`.
    pub intervals: String,
    /// From top to bottom.
    pub rows: Vec<SummaryRow>,
    /// What has no row, and why.
    pub missing: Vec<MissingBaseline>,
}

impl SummaryTable {
    /// Generated, shuffled, then the baselines, without a scan and with the majority template first.
    pub fn new(evidence: &Evidence) -> Self {
        let n_shuffles = evidence.shuffled.draws.len();
        let row = |name: &str, accuracy| SummaryRow { name: name.to_owned(), accuracy };
        let mut rows = vec![
            row("generated", evidence.accuracy),
            row(&format!("shuffled scans (mean of {n_shuffles})"), evidence.shuffled.interval),
        ];
        rows.extend(evidence.baselines.iter().map(|it| row(&it.name, it.accuracy)));
        let intervals = format!("95 % interval over {}s", evidence.verdict.resampled.noun());
        let missing = evidence.missing_baselines.clone();
        Self { measure: evidence.measure, intervals, rows, missing }
    }

    /// Aligned columns, without colours.
    pub fn terminal(&self) -> String {
        let width = self.width();
        let mut text = format!("{:width$}  {:>8}  {}\n", "", self.measure.name(), self.intervals);
        for SummaryRow { name, accuracy } in &self.rows {
            let Interval { estimate, low, high } = accuracy;
            writeln!(text, "{name:width$}  {estimate:>8.2}  [{low:.2}, {high:.2}]")
                .expect("a String takes every line");
        }
        for MissingBaseline { name, reason } in &self.missing {
            writeln!(text, "{name:width$}   missing  {reason}").expect("a String takes every line");
        }
        text
    }

    /// The same in Markdown.
    pub fn markdown(&self) -> String {
        let width = self.width();
        let mut text =
            format!("| {:width$} | {:>8} | {} |\n", "", self.measure.name(), self.intervals);
        let under = "-".repeat(self.intervals.chars().count());
        writeln!(text, "| {} | -------: | {under} |", "-".repeat(width))
            .expect("a String takes every line");
        for SummaryRow { name, accuracy } in &self.rows {
            let Interval { estimate, low, high } = accuracy;
            let name = name.replace('|', "\\|");
            writeln!(text, "| {name:width$} | {estimate:>8.2} | [{low:.2}, {high:.2}]  |")
                .expect("a String takes every line");
        }
        for missing in &self.missing {
            let [name, reason] = [&missing.name, &missing.reason].map(|it| it.replace('|', "\\|"));
            writeln!(text, "| {name:width$} |  missing | {reason} |")
                .expect("a String takes every line");
        }
        text
    }

    fn width(&self) -> usize {
        let missing = self.missing.iter().map(|it| &it.name);
        let names = self.rows.iter().map(|row| &row.name).chain(missing);
        names.map(|name| name.chars().count()).max().unwrap_or(0).max(3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> SummaryTable {
        let row = |name: &str, estimate, low, high| SummaryRow {
            name: name.to_owned(),
            accuracy: Interval { estimate, low, high },
        };
        SummaryTable {
            measure: Measure::Accuracy,
            intervals: "95 % interval".to_owned(),
            rows: vec![row("generated", 0.75, 0.5625, 0.9375), row("LDA", 1.0, 1.0, 1.0)],
            missing: Vec::new(),
        }
    }

    #[test]
    fn columns_are_aligned_on_the_terminal() {
        let expected = "           accuracy  95 % interval\n\
                        generated      0.75  [0.56, 0.94]\n\
                        LDA            1.00  [1.00, 1.00]\n";
        assert_eq!(table().terminal(), expected);
    }

    #[test]
    fn markdown_has_a_head_and_a_line_a_row() {
        let expected = "|           | accuracy | 95 % interval |\n\
                        | --------- | -------: | ------------- |\n\
                        | generated |     0.75 | [0.56, 0.94]  |\n\
                        | LDA       |     1.00 | [1.00, 1.00]  |\n";
        assert_eq!(table().markdown(), expected);
    }

    #[test]
    fn what_is_missing_stands_below_with_its_reason() {
        let mut table = table();
        let (name, reason) = ("logistic regression".to_owned(), "one class | <of> two".to_owned());
        table.missing.push(MissingBaseline { name, reason });
        let last = "\nlogistic regression   missing  one class | <of> two\n";
        assert!(table.terminal().ends_with(last), "{}", table.terminal());
        assert!(table.terminal().contains("\nLDA                      1.00  [1.00, 1.00]\n"));
        let last = "\n| logistic regression |  missing | one class \\| <of> two |\n";
        assert!(table.markdown().ends_with(last), "{}", table.markdown());
    }
}
