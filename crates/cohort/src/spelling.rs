//! Labels as studies write them: `2_0`, `NDAR_INV…`, `rfMRI_REST1_LR`.

use std::{collections::HashMap, path::Path};

use tables::Table;

use crate::{
    entity::{Entity, is_label},
    error::{Error, Result},
    labels::label_of,
};

/// The label of letters, digits and + that a text becomes, as converters to BIDS make it: each `_`
/// and `-` inside is taken out. None where anything else is in it.
pub(crate) fn label_from(text: &str) -> Option<String> {
    let is_mark = |c: char| c == '_' || c == '-';
    let label = text.replace(is_mark, "");
    let is_inside = !text.starts_with(is_mark) && !text.ends_with(is_mark);
    (is_inside && is_label(&label)).then_some(label)
}

/// Refuses two spellings in one column that become the same label: `1_0` and `10`.
pub(crate) fn one_each(path: &Path, table: &Table, columns: &[(Entity, &str)]) -> Result<()> {
    for &(entity, name) in columns {
        let column = table.column(name).expect("it was found");
        let mut seen: HashMap<String, (String, usize)> = HashMap::new();
        for row in 0..table.n_rows() {
            let Some(text) = label_of(column.cell(row), entity) else { continue };
            let Some(label) = label_from(&text) else { continue };
            let (known, first) = seen.entry(label).or_insert_with(|| (text.clone(), row));
            if *known != text {
                let (first, second) = (*first + table.first_line(), row + table.first_line());
                let (path, column) = (path.to_path_buf(), name.to_owned());
                return Err(Error::Spellings { path, column, first, second });
            }
        }
    }
    Ok(())
}

/// How a label is written, without what it says: `9` for each digit, `a` for each letter.
pub(crate) fn form(label: &str) -> String {
    let form = |c: char| match c {
        '0'..='9' => '9',
        '+' => '+',
        _ => 'a',
    };
    label.chars().map(form).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_inside_are_taken_out_and_nothing_else() {
        for (text, label) in [
            ("2_0", "20"),
            ("1000012_2_0", "100001220"),
            ("NDAR_INV0A1", "NDARINV0A1"),
            ("rfMRI_REST1_LR", "rfMRIREST1LR"),
            ("2014-05-20", "20140520"),
            ("01", "01"),
        ] {
            assert_eq!(label_from(text).as_deref(), Some(label));
        }
        // a number below 0 is a code for what is missing
        for text in ["", "_", "-9", "a_", "../..", "a/b", "a b", "a.b", "ä"] {
            assert_eq!(label_from(text), None, "{text}");
        }
        assert_eq!(form("NDAR0a"), "aaaa9a");
    }
}
