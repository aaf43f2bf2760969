//! A second line of descriptions below the line of names, as the NIMH Data Archive and ABCD write it.

use super::{flag, number};

/// The column that says who, in tables of the archive.
const GUID: &str = "subjectkey";

/// Whether the first row below the names describes the columns.
///
/// It does where it has words for the column of the archive's ids, in which no id has a blank, or for a
/// column of numbers, and no number anywhere.
///
/// # Errors
/// A sentence where it has words in place of an id, and numbers.
pub(super) fn is_description(
    names: &[String],
    columns: &[Vec<Option<String>>],
) -> Result<bool, String> {
    let first = |at: usize| columns[at].first().and_then(Option::as_deref).map(str::trim);
    let describes = |at: usize| first(at).is_some_and(|cell| is_phrase(cell, &names[at]));
    let said: Vec<usize> = (0..names.len()).filter(|&at| first(at).is_some()).collect();
    let blank = |at: usize| first(at).is_some_and(|cell| cell.contains(char::is_whitespace));
    if let Some(guid) = (0..names.len()).find(|&at| names[at] == GUID && blank(at)) {
        let is_value = |at: &&usize| first(**at).is_some_and(is_value);
        return match said.iter().find(is_value) {
            None => Ok(true),
            Some(&other) => Err(format!(
                "describes the column {} and holds a value in {}, expected descriptions of all columns \
                 or the values of a subject",
                names[guid], names[other]
            )),
        };
    }
    let holds_numbers = |at: usize| {
        let mut below = columns[at].iter().skip(1).flatten().peekable();
        below.peek().is_some() && below.all(|cell| number(cell.trim()).is_some())
    };
    Ok(said.iter().all(|&at| describes(at)) && said.iter().any(|&at| holds_numbers(at)))
}

/// Whether a cell is several words, or the name of its column.
fn is_phrase(cell: &str, name: &str) -> bool {
    let n_words = cell.split_whitespace().filter(|word| word.contains(char::is_alphabetic)).count();
    n_words > 1 || cell.eq_ignore_ascii_case(name)
}

fn is_value(cell: &str) -> bool {
    number(cell).is_some() || flag(cell).is_some()
}
