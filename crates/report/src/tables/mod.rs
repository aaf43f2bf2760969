//! Tables of what was measured, as words: the same cells on the terminal, in Markdown and on pages.

use std::fmt::Write as _;

mod conditions;
mod controls;
mod statements;
mod summary;

pub use conditions::{conditions, grounding, other_scans};
pub use controls::{Control, controls};
pub use statements::StatementTable;
pub use summary::{SummaryRow, SummaryTable};

/// A table of words with sentences below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// What the rows are.
    pub head: String,
    /// What the cells of a row are.
    pub columns: Vec<String>,
    /// The name of each row, and as many cells as there are columns.
    pub rows: Vec<(String, Vec<String>)>,
    /// What no column has room for.
    pub notes: Vec<String>,
}

impl Table {
    fn new(
        head: &str,
        columns: &[&str],
        rows: impl Iterator<Item = (String, Vec<String>)>,
    ) -> Self {
        let columns = columns.iter().map(|&it| it.to_owned()).collect();
        Self { head: head.to_owned(), columns, rows: rows.collect(), notes: Vec::new() }
    }

    fn noting(self, notes: impl Iterator<Item = String>) -> Self {
        Self { notes: notes.collect(), ..self }
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.notes.is_empty()
    }

    /// Aligned columns of at least `least` characters, without colours, and the notes below.
    fn terminal(&self, least: usize) -> String {
        let mut text = String::new();
        if !self.rows.is_empty() {
            let names = self.rows.iter().map(|it| it.0.chars().count());
            let width = names.chain([self.head.chars().count()]).max().unwrap_or_default();
            let wide = |at: usize| {
                let cells = self.rows.iter().map(|row| row.1[at].chars().count());
                cells.fold(self.columns[at].chars().count(), usize::max).max(least)
            };
            let widths: Vec<usize> = (0..self.columns.len()).map(wide).collect();
            let mut line = |name: &str, cells: &[String]| {
                write!(text, "{name:width$}").expect("a String takes all");
                for (cell, w) in cells.iter().zip(&widths) {
                    write!(text, "  {cell:>w$}").expect("a String takes all");
                }
                text.push('\n');
            };
            line(&self.head, &self.columns);
            self.rows.iter().for_each(|(name, cells)| line(name, cells));
        }
        for note in &self.notes {
            text.push_str(note);
            text.push('\n');
        }
        text
    }
}

/// A share with two digits, or a dash.
fn share(value: Option<f64>) -> String {
    or_dash(value.map(|it| format!("{it:.2}")))
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}
