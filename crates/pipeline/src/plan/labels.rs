//! What a prompt states of a person: cells of the cohort table, none of which is what the model is asked for.
use std::path::Path;

use report::{
    prompt::{Labels, PromptTemplate, label},
    slots::SlotSet,
};
use scan::Pair;

use crate::{Error, Result, phases::AskConfig};

/// Refuses a prompt that states the column by which a slot is true.
pub(super) fn state_no_truth(prompt: &PromptTemplate, slots: &SlotSet) -> Result<()> {
    for slot in slots.slots() {
        if let Some(column) = slot.truth.column()
            && prompt.columns().contains(&column)
        {
            let (column, slot) = (column.to_owned(), slot.name.clone());
            return Err(Error::PromptTruth { column, slot });
        }
    }
    Ok(())
}

/// What the prompt states of a row's person.
pub(super) fn of(prompt: &PromptTemplate, pair: &Pair, table: &Path) -> Result<Labels> {
    cells(&prompt.columns(), "the prompt states", pair, table)
}

/// The cells of a row that questions state or are true by.
pub(super) fn asked(ask: Option<&AskConfig>, pair: &Pair, table: &Path) -> Result<Labels> {
    cells(&ask.map_or_else(Vec::new, AskConfig::columns), "a question names", pair, table)
}

fn cells(columns: &[&str], who: &str, pair: &Pair, table: &Path) -> Result<Labels> {
    let mut labels = Labels::new();
    for &column in columns {
        let site = pair.site.as_ref().filter(|_| column == "site");
        let Some(cell) = pair.further.get(column).or(site) else {
            let problem = format!("column {column} is missing, which {who}");
            return Err(Error::TableProblem { path: table.to_owned(), problem });
        };
        let label = label(column, cell).map_err(|problem| {
            let (path, row) = (table.to_owned(), pair.row);
            Error::RowProblem { path, row, problem }
        })?;
        labels.extend(label.map(|label| (column.to_owned(), label)));
    }
    Ok(labels)
}
