//! The cohort table: which report belongs to which moment of which scan.
//!
//! A CSV or TSV file with a header line and these columns, in any order:
//!
//! | column | meaning |
//! | --- | --- |
//! | `subject` | label of a person, letters, digits and + |
//! | `session` | label of a visit, letters, digits and + |
//! | `scan` | path of a 4D NIfTI file, relative to the table's folder |
//! | `onset` | seconds from the first frame to the event |
//! | `duration` | length of the event in seconds |
//! | `report` | text, in quotation marks where it has commas or line breaks |
//! | `split` | `train`, `validation` (or `choose`, as older tables say) or `test` |
//!
//! A column `site` may be there too: where the person was scanned, in every row. Further columns are allowed
//! by name only.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    path::{Path, PathBuf},
};

use csv::{ErrorKind, StringRecord};
use serde::Serialize;

use crate::{
    error::{Error, Result},
    split::{Split, SplitUnit},
};

/// The column that need not be there.
const SITE: &str = "site";

/// One row: an event in a scan and its report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// Row of the table, counted as a spreadsheet does: the header is row 1.
    pub row: usize,
    /// Label of a person.
    pub subject: String,
    /// Label of a visit.
    pub session: String,
    /// The scan as the table names it; [`PairsTable::scan_path`] finds it.
    pub scan: PathBuf,
    /// Seconds from the first frame.
    pub onset: f64,
    /// Seconds.
    pub duration: f64,
    /// The text, with its line breaks.
    pub report: String,
    /// What the row is for.
    pub split: Split,
    /// Where the person was scanned, if the table says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// The cells of the further columns, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub further: BTreeMap<String, String>,
}

/// A checked table.
#[derive(Clone, Debug, PartialEq)]
pub struct PairsTable {
    /// The file.
    pub path: PathBuf,
    /// Its rows, in its order; never empty.
    pub pairs: Vec<Pair>,
}

/// Reads and checks a table: columns, every cell, scans that are there, no pair twice.
pub fn read_pairs(path: impl AsRef<Path>) -> Result<PairsTable> {
    read_pairs_with(path, &[])
}

/// The same for a table that may have further columns.
pub fn read_pairs_with(path: impl AsRef<Path>, further: &[&str]) -> Result<PairsTable> {
    let path = path.as_ref();
    crate::pointer::refuse(path)?;
    let bytes = formats::read_up_to(path, formats::MAX_TABLE)
        .map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    // The parser would take the rest of the file as one report.
    if bytes.split(|&b| b == b'"').count() % 2 == 0 {
        let problem = "a quotation mark is not closed";
        return Err(Error::Table { path: path.to_path_buf(), problem });
    }
    let names = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let delimiter = if names.contains(&b'\t') { b'\t' } else { b',' };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(bytes);
    let headers = reader.headers().map_err(|e| record_error(path, 1, e))?.clone();
    let records = reader.records().enumerate();
    PairsTable::checked(
        path,
        &headers,
        further,
        records.map(|(idx, record)| {
            let row = idx + 2;
            (row, record.map_err(|e| record_error(path, row, e)))
        }),
    )
}

impl PairsTable {
    /// The columns; all are required but `site`, `sex` and `age`.
    pub const COLUMNS: [&str; 10] =
        ["subject", "session", "scan", "onset", "duration", "report", "split", SITE, "sex", "age"];

    /// Optional columns whose cells stand among the further ones of each row, as they are.
    const OF_PEOPLE: [&str; 2] = ["sex", "age"];

    /// Checks rows that were read from the table in `path` in another form than text, each with its number; every row has
    /// a cell for each name. It may have `further` columns.
    pub fn of_rows(
        path: impl AsRef<Path>,
        names: &[String],
        further: &[&str],
        rows: impl Iterator<Item = (usize, Vec<String>)>,
    ) -> Result<Self> {
        let names = StringRecord::from(names.to_vec());
        let rows = rows.map(|(row, cells)| (row, Ok(StringRecord::from(cells))));
        Self::checked(path.as_ref(), &names, further, rows)
    }

    fn checked(
        path: &Path,
        names: &StringRecord,
        further: &[&str],
        records: impl Iterator<Item = (usize, Result<StringRecord>)>,
    ) -> Result<Self> {
        let columns = Columns::find(path, names, further)?;
        let mut table = Self { path: path.to_path_buf(), pairs: Vec::new() };
        for (row, record) in records {
            let record = record?;
            let pair = Cells { path, row, record: &record, columns: &columns }.pair()?;
            if !table.scan_path(&pair).is_file() {
                let expected = "a file, relative to the table's folder";
                let found = pair.scan.display().to_string();
                return Err(Error::Cell { path: table.path, row, column: "scan", found, expected });
            }
            table.pairs.push(pair);
        }
        if table.pairs.is_empty() {
            return Err(Error::Table { path: table.path, problem: "it has no rows" });
        }
        table.check_duplicates()?;
        Ok(table)
    }

    /// Where the scan of a row lies: relative to the folder of the table.
    pub fn scan_path(&self, pair: &Pair) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(&pair.scan)
    }

    /// Rows of one split.
    pub fn of_split(&self, split: Split) -> impl Iterator<Item = &Pair> {
        self.pairs.iter().filter(move |pair| pair.split == split)
    }

    /// Refuses a table in which one unit lies in two splits, and names it.
    pub fn check_splits(&self, unit: SplitUnit) -> Result<()> {
        let mut seen = HashMap::new();
        for pair in &self.pairs {
            let key = match unit {
                SplitUnit::Subject => (pair.subject.clone(), String::new(), PathBuf::new()),
                SplitUnit::Session => (pair.subject.clone(), pair.session.clone(), PathBuf::new()),
                SplitUnit::Scan => (String::new(), String::new(), self.scan_identity(pair)),
            };
            let first: &Pair = seen.entry(key).or_insert(pair);
            if first.split != pair.split {
                return Err(Error::SplitLeak {
                    path: self.path.clone(),
                    unit,
                    name: match unit {
                        SplitUnit::Subject => pair.subject.clone(),
                        SplitUnit::Session => {
                            format!("{} of subject {}", pair.session, pair.subject)
                        }
                        SplitUnit::Scan => pair.scan.display().to_string(),
                    },
                    first: first.split,
                    first_row: first.row,
                    second: pair.split,
                    row: pair.row,
                });
            }
        }
        Ok(())
    }

    fn check_duplicates(&self) -> Result<()> {
        let mut seen = HashMap::new();
        for pair in &self.pairs {
            // −0 and 0 are one onset
            let key = (self.scan_identity(pair), (pair.onset + 0.0).to_bits());
            match seen.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(pair.row);
                }
                Entry::Occupied(entry) => {
                    return Err(Error::DuplicatePair {
                        path: self.path.clone(),
                        first_row: *entry.get(),
                        row: pair.row,
                        scan: pair.scan.clone(),
                        onset: pair.onset,
                    });
                }
            }
        }
        Ok(())
    }

    /// One name for one file, however the table spells it.
    fn scan_identity(&self, pair: &Pair) -> PathBuf {
        let path = self.scan_path(pair);
        path.canonicalize().unwrap_or(path)
    }
}

/// Positions of [`PairsTable::COLUMNS`] in the file.
struct Columns {
    required: [usize; 7],
    site: Option<usize>,
    further: Vec<(String, usize)>,
}

impl Columns {
    fn find(path: &Path, headers: &StringRecord, further: &[&str]) -> Result<Self> {
        let path = || path.to_path_buf();
        let allowed: &'static [&'static str] = &PairsTable::COLUMNS;
        let mut places = [None; 8];
        let mut more: Vec<(String, usize)> = Vec::new();
        for (place, header) in headers.iter().enumerate() {
            let of_people = PairsTable::OF_PEOPLE.contains(&header);
            if of_people || (further.contains(&header) && !allowed.contains(&header)) {
                if more.iter().any(|it| it.0 == header) {
                    let problem = "a column appears twice";
                    return Err(Error::Table { path: path(), problem });
                }
                more.push((header.to_owned(), place));
                continue;
            }
            let Some(column) = allowed.iter().position(|name| *name == header) else {
                let found = header.to_owned();
                return Err(Error::UnknownColumn { path: path(), found, allowed });
            };
            if places[column].replace(place).is_some() {
                return Err(Error::DoubleColumn { path: path(), column: allowed[column] });
            }
        }
        let mut found = [0; 7];
        for ((place, slot), column) in places.iter().zip(&mut found).zip(allowed) {
            *slot = place.ok_or_else(|| Error::MissingColumn { path: path(), column })?;
        }
        Ok(Self { required: found, site: places[7], further: more })
    }
}

/// The cells of one row.
struct Cells<'a> {
    path: &'a Path,
    row: usize,
    record: &'a StringRecord,
    columns: &'a Columns,
}

impl Cells<'_> {
    fn pair(&self) -> Result<Pair> {
        let report = self.text(5);
        if report.trim().is_empty() {
            return self.refuse(5, "a text");
        }
        let split = match self.text(6) {
            "train" => Split::Train,
            "validation" | "choose" => Split::Validation,
            "test" => Split::Test,
            _ => return self.refuse(6, "train, validation or test"),
        };
        if self.text(2).is_empty() {
            return self.refuse(2, "the path of a scan");
        }
        Ok(Pair {
            row: self.row,
            subject: self.label(0)?,
            session: self.label(1)?,
            scan: PathBuf::from(self.text(2)),
            onset: self.seconds(3)?,
            duration: self.seconds(4)?,
            report: report.to_owned(),
            split,
            site: self.site()?,
            further: self.further(),
        })
    }

    fn text(&self, column: usize) -> &str {
        &self.record[self.columns.required[column]]
    }

    fn further(&self) -> BTreeMap<String, String> {
        let cell = |(name, place): &(String, usize)| (name.clone(), self.record[*place].to_owned());
        self.columns.further.iter().map(cell).collect()
    }

    /// The site; a table that has the column says it of every row.
    fn site(&self) -> Result<Option<String>> {
        let Some(column) = self.columns.site else { return Ok(None) };
        let found = self.record[column].trim();
        if matches!(found, "" | "n/a") {
            let (path, row, found) = (self.path.to_path_buf(), self.row, found.to_owned());
            let expected = "where the person was scanned";
            return Err(Error::Cell { path, row, column: SITE, found, expected });
        }
        Ok(Some(found.to_owned()))
    }

    /// Labels become parts of file names, so nothing else may be in them.
    fn label(&self, column: usize) -> Result<String> {
        let text = self.text(column);
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+') {
            return self.refuse(column, "letters, digits and + only, at least one");
        }
        Ok(text.to_owned())
    }

    fn seconds(&self, column: usize) -> Result<f64> {
        match self.text(column).parse::<f64>() {
            Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(seconds),
            _ => self.refuse(column, "a finite number of seconds, not negative"),
        }
    }

    fn refuse<T>(&self, column: usize, expected: &'static str) -> Result<T> {
        Err(Error::Cell {
            path: self.path.to_path_buf(),
            row: self.row,
            column: PairsTable::COLUMNS[column],
            found: self.text(column).to_owned(),
            expected,
        })
    }
}

fn record_error(path: &Path, row: usize, error: csv::Error) -> Error {
    let problem = match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("has {len} cells, expected {expected_len} as in the header")
        }
        ErrorKind::Utf8 { err, .. } => format!("cell {} is not UTF-8", err.field() + 1),
        _ => error.to_string(),
    };
    Error::Row { path: path.to_path_buf(), row, problem }
}

#[cfg(test)]
mod tests;
