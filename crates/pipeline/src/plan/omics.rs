//! Several media of a report: their names in the prompt, and numbers of people beside their scans.
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use encoder::{EncoderConfig, InputShape, OmicsConfig};
use flamingo::{IMAGE, MediumConfig, OwnEncoder, is_name, unnamed};
use scan::{PairsTable, Split};
use tables::{Cell, Column, Table};

use super::{CohortPlan, RunPlan};
use crate::{
    Error, Result,
    spec::{Loaded, MediumSpec, OmicsSpec, PairsSpec, Spec},
};

/// The numbers of a medium, row by row of the table of pairs.
#[derive(Clone, Debug, PartialEq)]
pub struct OmicsPlan {
    /// The medium.
    pub name: String,
    /// The columns.
    pub columns: Vec<String>,
    /// A cell for each column; of one without any value none.
    pub rows: Vec<Option<Vec<Option<f64>>>>,
    /// Digest of the table that they lie in, where it is one of its own.
    pub sha256: Option<String>,
    encoder: OmicsConfig,
}

impl OmicsPlan {
    /// The same numbers for the architecture of the model.
    fn medium(&self) -> MediumConfig {
        let encoder = EncoderConfig::from(self.encoder.clone());
        let input = InputShape::Columns { n: self.columns.len() };
        MediumConfig { name: self.name.clone(), own: Some(OwnEncoder { encoder, input }) }
    }
}

impl CohortPlan {
    /// The media of the model by name, where there are several.
    pub(crate) fn media_of_model(&self, spec: &PairsSpec) -> Vec<MediumConfig> {
        let medium = |name: &String| {
            let omics = self.omics.iter().find(|it| it.name == *name);
            omics.map_or_else(|| MediumConfig { name: name.clone(), own: None }, OmicsPlan::medium)
        };
        spec.media.keys().map(medium).collect()
    }
}

fn refuse<T>(name: &str, problem: String) -> Result<T> {
    Err(Error::Medium { name: name.to_owned(), problem })
}

/// Refuses names that the prompt and the media do not share, and a model that would not see all media.
pub(super) fn are_named(spec: &Spec, pairs: &PairsSpec) -> Result<()> {
    let template: String = pairs.prompt.clone().into();
    let (_, names) = unnamed(&template);
    let named: Vec<&str> = names.iter().flatten().copied().collect();
    let known = || pairs.media.keys().map(|name| format!("<image:{name}>")).collect::<Vec<_>>();
    for name in &named {
        if !pairs.media.contains_key(*name) {
            let expected = if pairs.media.is_empty() {
                "no name, because cohort.pairs.media names none".to_owned()
            } else {
                known().join(", ")
            };
            return Err(Error::PromptMedium { name: (*name).to_owned(), expected });
        }
    }
    if pairs.media.is_empty() {
        return Ok(());
    }
    for (name, medium) in &pairs.media {
        if !is_name(name) {
            return refuse(name, "is no name, expected letters, digits, _ and -".to_owned());
        }
        let n = named.iter().filter(|it| *it == name).count();
        if n != 1 {
            let problem = format!("the prompt has {n} <image:{name}>, expected 1");
            return refuse(name, problem);
        }
        if let MediumSpec::Omics(omics) = medium
            && [omics.n_tokens, omics.dim].iter().any(|n| !(1..=4096).contains(n))
        {
            let problem = format!(
                "n_tokens is {} and dim is {}, expected 1 to 4096",
                omics.n_tokens, omics.dim
            );
            return refuse(name, problem);
        }
    }
    let scans = pairs.media.iter().filter(|(_, it)| matches!(it, MediumSpec::Scan));
    let scans: Vec<&String> = scans.map(|it| it.0).collect();
    if scans.len() != 1 {
        let name = scans.get(1).or(scans.first()).map_or_else(String::new, |it| (*it).clone());
        return refuse(&name, format!("{} media are `scan`, expected 1", scans.len()));
    }
    let Some(model) = &spec.model else { return Ok(()) };
    if model.gates.get().only_attend_immediate_media {
        let problem = format!(
            "model.gates.only_attend_immediate_media is true, so that text would see the last of {} media \
             only: expected false",
            pairs.media.len()
        );
        return refuse(scans[0], problem);
    }
    match model.resampler.get().max_num_media {
        Some(most) if most < pairs.media.len() => {
            let n = pairs.media.len();
            let problem = format!("model.resampler.max_num_media is {most}, expected at least {n}");
            refuse(scans[0], problem)
        }
        _ => Ok(()),
    }
}

/// Columns of the table of pairs that media read.
pub(super) fn columns(pairs: &PairsSpec) -> impl Iterator<Item = &str> {
    let of_pairs = pairs.media.values().filter_map(|it| match it {
        MediumSpec::Omics(omics) if omics.table.is_none() => Some(&omics.columns),
        _ => None,
    });
    of_pairs.flatten().map(String::as_str)
}

/// Reads the numbers of all media that have some.
pub(super) fn plan(
    loaded: &Loaded,
    pairs: &PairsSpec,
    table: &PairsTable,
) -> Result<Vec<OmicsPlan>> {
    let omics = pairs.media.iter().filter_map(|(name, it)| match it {
        MediumSpec::Omics(omics) => Some((name, omics)),
        MediumSpec::Scan => None,
    });
    omics.map(|(name, omics)| of_medium(loaded, name, omics, table)).collect()
}

fn of_medium(
    loaded: &Loaded,
    name: &str,
    omics: &OmicsSpec,
    table: &PairsTable,
) -> Result<OmicsPlan> {
    let (columns, rows, sha256) = match &omics.table {
        None => (omics.columns.clone(), of_pairs(name, &omics.columns, table)?, None),
        Some(path) => {
            let path = loaded.resolve(path);
            let people = People::read(&path, name, &omics.columns)?;
            let rows = table.pairs.iter().map(|pair| people.of(&pair.subject)).collect();
            (people.columns, rows, Some(scan::sha256_file(&path)?))
        }
    };
    let none = |cells: Vec<Option<f64>>| Some(cells).filter(|it| it.iter().any(Option::is_some));
    let rows: Vec<_> =
        rows.into_iter().map(|row: Option<Vec<Option<f64>>>| row.and_then(none)).collect();
    if rows.iter().all(Option::is_none) {
        return refuse(name, format!("nobody of {} has a value of it", table.path.display()));
    }
    let encoder = OmicsConfig { n_tokens: omics.n_tokens, dim: omics.dim };
    Ok(OmicsPlan { name: name.to_owned(), columns, rows, sha256, encoder })
}

/// The cells of columns of the table of pairs.
fn of_pairs(
    name: &str,
    columns: &[String],
    table: &PairsTable,
) -> Result<Vec<Option<Vec<Option<f64>>>>> {
    if columns.is_empty() {
        let problem = "names no columns, expected `columns` of the table of pairs, or a `table`";
        return refuse(name, problem.to_owned());
    }
    let path = &table.path;
    let mut rows = Vec::with_capacity(table.pairs.len());
    for pair in &table.pairs {
        let cell = |column: &String| match pair.further.get(column) {
            None => {
                let problem = format!("column {column} is missing, which medium {name} reads");
                Err(Error::TableProblem { path: path.clone(), problem })
            }
            Some(cell) => number(cell).map_err(|problem| {
                let problem = format!("{column} is {problem}");
                Error::RowProblem { path: path.clone(), row: pair.row, problem }
            }),
        };
        rows.push(Some(columns.iter().map(cell).collect::<Result<Vec<_>>>()?));
    }
    Ok(rows)
}

/// A cell as a number; none where it says that there is none.
pub(crate) fn number(cell: &str) -> std::result::Result<Option<f64>, String> {
    let cell = cell.trim();
    if tables::is_missing(cell) {
        return Ok(None);
    }
    let number = cell.parse::<f64>().ok().filter(|it| it.is_finite());
    number.map(Some).ok_or_else(|| format!("`{cell}`, expected a number or n/a"))
}

/// A table with a row a person.
pub(crate) struct People {
    pub(crate) columns: Vec<String>,
    rows: BTreeMap<String, Vec<Option<f64>>>,
    /// Whether labels are whole numbers, which lost their zeros.
    are_numbers: bool,
}

impl People {
    /// Reads these columns, or all but the person's.
    pub(crate) fn read(path: &Path, name: &str, columns: &[String]) -> Result<Self> {
        let table = tables::read(path)?;
        let wrong = |problem: String| Error::TableProblem { path: path.to_owned(), problem };
        let person =
            ["subject", "participant_id"].into_iter().find(|it| table.column(it).is_some());
        let Some(person) = person else {
            return Err(wrong("has no column subject or participant_id, expected one".to_owned()));
        };
        let others = table.names().filter(|it| !["subject", "participant_id"].contains(it));
        let columns: Vec<String> =
            if columns.is_empty() { others.map(str::to_owned).collect() } else { columns.to_vec() };
        if columns.is_empty() {
            return Err(wrong("has no column beside the person's, expected numbers".to_owned()));
        }
        for column in &columns {
            match table.column(column) {
                None => {
                    let problem = format!("column {column} is missing, which medium {name} reads");
                    return Err(wrong(problem));
                }
                Some(Column::Integer(_) | Column::Number(_)) => {}
                // without any value nothing tells what it holds
                Some(cells) if (0..table.n_rows()).all(|row| cells.cell(row) == Cell::Missing) => {}
                Some(_) => {
                    let problem = format!("column {column} holds words, expected numbers or n/a");
                    return Err(wrong(problem));
                }
            }
        }
        let labels = table.column(person).expect("just found");
        let are_numbers = matches!(labels, Column::Integer(_));
        let mut rows = BTreeMap::new();
        for row in 0..table.n_rows() {
            let label = match labels.cell(row) {
                Cell::Text(text) => text.trim().trim_start_matches("sub-").to_owned(),
                Cell::Integer(number) => number.to_string(),
                _ => return Err(wrong(format!("row {} names nobody", row + table.first_line()))),
            };
            let cells = columns.iter().map(|column| cell(&table, column, row)).collect();
            if rows.insert(label, cells).is_some() {
                let row = row + table.first_line();
                return Err(wrong(format!("row {row} is a second one of a person, expected one")));
            }
        }
        Ok(Self { columns, rows, are_numbers })
    }

    /// What the table says of a person; nothing of one who is not in it.
    pub(crate) fn of(&self, subject: &str) -> Option<Vec<Option<f64>>> {
        let bare = subject.trim_start_matches('0');
        let label = if self.are_numbers && !bare.is_empty() { bare } else { subject };
        self.rows.get(label).cloned()
    }

    /// The only person's.
    pub(crate) fn only(&self) -> Option<Vec<Option<f64>>> {
        self.rows.values().next().filter(|_| self.rows.len() == 1).cloned()
    }
}

fn cell(table: &Table, column: &str, row: usize) -> Option<f64> {
    match table.column(column).expect("asked before").cell(row) {
        Cell::Integer(number) => Some(number as f64),
        Cell::Number(number) => Some(number).filter(|it| it.is_finite()),
        _ => None,
    }
}

/// Refuses a column whose value is the same for all training people.
pub(super) fn vary(cohort: &CohortPlan, runs: &[RunPlan]) -> Result<()> {
    for (omics, run) in cohort.omics.iter().flat_map(|it| runs.iter().map(move |run| (it, run))) {
        for (at, column) in omics.columns.iter().enumerate() {
            let rows = omics.rows.iter().zip(&run.splits);
            let trained = rows.filter(|(_, split)| **split == Split::Train);
            let values = trained.filter_map(|(row, _)| row.as_ref()?[at]).map(f64::to_bits);
            let found = match values.collect::<BTreeSet<u64>>().len() {
                0 => "no value",
                1 => "one value only",
                _ => continue,
            };
            let problem =
                format!("column {column} has {found} among the training people, expected several");
            return refuse(&omics.name, problem);
        }
    }
    Ok(())
}

/// A line for each medium: what it is, and who lacks it.
pub(super) fn in_words(cohort: &CohortPlan, pairs: &PairsSpec) -> Vec<String> {
    let line = |(name, medium): (&String, &MediumSpec)| {
        let Some(omics) = cohort.omics.iter().find(|it| it.name == *name) else {
            debug_assert!(matches!(medium, MediumSpec::Scan));
            return format!("{IMAGE} {name}: the scan");
        };
        let people = cohort.rows.iter().zip(&omics.rows);
        let of = |is_there: bool| {
            let people = people.clone().filter(|(_, cells)| cells.is_some() == is_there);
            let people = people.map(|(row, _)| cohort.scans[row.scan_idx].subject.as_str());
            people.collect::<BTreeSet<_>>()
        };
        let (there, lacking) = (of(true), of(false));
        let n_lacking = lacking.difference(&there).count();
        let cells = || omics.rows.iter().flatten().flatten();
        let n_missing = cells().filter(|it| it.is_none()).count();
        format!(
            "{IMAGE} {name}: {} of {}; {} without any (masked), {n_missing} of {} cells missing (the \
             training mean, marked)",
            report::counted(omics.columns.len(), "column"),
            report::counted(there.len(), "person").replace("persons", "people"),
            n_lacking,
            cells().count(),
        )
    };
    pairs.media.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_is_missing_in_a_table_of_people_is_missing_in_one_of_pairs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("people.tsv");
        for word in ["n/a", "N/A", "NULL", "None", "NaN", "", "1.5"] {
            let table = format!("participant_id\ta\nsub-1\t{word}\nsub-2\t2.5\n");
            std::fs::write(&path, table).unwrap();
            let people = People::read(&path, "scores", &["a".to_owned()]).unwrap();
            assert_eq!(people.of("1"), Some(vec![number(word).unwrap()]), "{word}");
        }
        assert!(number("high").is_err() && number("inf").is_err());
    }
}
