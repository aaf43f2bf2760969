//! Tables of the NIMH Data Archive, among them those of ABCD: their columns, and their second line.

use std::path::Path;

use tables::Table;

use crate::entity::Entity;

/// What says an entity where no usual column does, the first that is there.
const COLUMNS: [(Entity, &str); 3] = [
    (Entity::Subject, "subjectkey"),
    (Entity::Subject, "src_subject_id"),
    (Entity::Session, EVENT),
];

/// The visit of ABCD: `baseline_year_1_arm_1`.
const EVENT: &str = "eventname";

/// The column that says an entity.
pub(super) fn column(table: &Table, entity: Entity) -> Option<&str> {
    let of_entity = COLUMNS.iter().filter(|(it, _)| *it == entity);
    of_entity.map(|(_, name)| *name).find_map(|name| table.names().find(|it| *it == name))
}

/// A label of a column as ABCD's BIDS folders write it: `baselineYear1Arm1`.
pub(super) fn label(column: &str, text: String) -> String {
    if column != EVENT {
        return text;
    }
    let mut words = text.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |label, word| {
        let mut letters = word.chars();
        let capital = letters.next().map(|letter| letter.to_ascii_uppercase());
        label + &capital.into_iter().chain(letters).collect::<String>()
    })
}

/// What is said of a table whose second line is no row.
pub(crate) fn described(path: &Path, first_line: usize) -> Option<String> {
    let said =
        "row 2 describes the columns, as in tables of the NIMH Data Archive, and was left out";
    (first_line == 3).then(|| format!("{}: {said}", path.display()))
}
