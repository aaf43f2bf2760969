//! `embed`: one vector a subject, from windows over runs, as a table with what it came from.
mod config;

pub use config::{EmbedConfig, WindowPooling};

use std::{collections::BTreeMap, path::Path};

use ::cohort::Value as Label;
use encoder::weighted_mean;
use ndarray::Array1;
use preprocess::Kind;
use scan::ImageQualityMetrics;
use serde_json::{Value, json};
use tables::{Cell, Column, Table};

use super::{
    Artifact,
    cohort_columns::CohortColumns,
    embeddings::{Embeddings, RUNS, SUBJECTS},
    token_set::{TokenFacts, TokenSet},
    work::{Preparation, Work, each_scan, load_failures},
};
use crate::{Error, Result, event::Control, media::Media};

/// One run's vector with what it came from.
#[derive(Clone, Debug)]
struct Run {
    scan_idx: usize,
    subject: String,
    session: Option<String>,
    name: String,
    vector: Vec<f64>,
    facts: TokenFacts,
    quality: Option<ImageQualityMetrics>,
}

impl Work for EmbedConfig {
    fn name(&self) -> &'static str {
        "embed"
    }

    fn version(&self) -> u32 {
        2
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Media(Kind::Tokens), Artifact::Media(Kind::Tokens))
    }

    fn check(&self) -> Result<()> {
        let versioned = self.strategy.rsplit_once("_v").is_some_and(|(name, version)| {
            !name.is_empty() && !version.is_empty() && version.chars().all(|c| c.is_ascii_digit())
        });
        let plain = self.strategy.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if versioned && plain {
            return Ok(());
        }
        let (stage, field, found) = (self.name(), "strategy", self.strategy.clone());
        let expected = "letters, digits and _ that end in a version, as in rest_fc_windows_v1";
        Err(Error::Setting { stage, field, found, expected: expected.to_owned() })
    }

    fn preparation(&self) -> Option<&dyn Preparation> {
        Some(self)
    }
}

impl Preparation for EmbedConfig {
    fn inputs(&self, media: &Media<'_>) -> Value {
        CohortColumns::of(media).decides()
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let tokens = tokens(media);
        let runs = each_scan(media, self.name(), dir, control, |idx| {
            let unit = tokens.units[idx].as_ref().expect("failed scans are passed over");
            let scan = &media.scans()[idx];
            Ok(Run {
                scan_idx: idx,
                subject: scan.subject.clone(),
                session: scan.session.clone(),
                name: scan.name.clone(),
                vector: self.of_run(unit)?,
                facts: TokenSet::facts(unit)?,
                quality: media.quality.get(idx).cloned().flatten(),
            })
        })?;
        let runs: Vec<Run> = runs.into_iter().flatten().collect();
        if runs.is_empty() {
            // a table without rows would look like a result
            return Ok(());
        }
        let mut subjects: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
        for run in &runs {
            subjects.entry(&run.subject).or_default().push(run);
        }
        let subjects = self.table(media, &subjects.into_iter().collect::<Vec<_>>(), false)?;
        files::write_atomic(&dir.join(SUBJECTS), &subjects)?;
        let each: Vec<(&str, Vec<&Run>)> =
            runs.iter().map(|run| (run.subject.as_str(), vec![run])).collect();
        Ok(files::write_atomic(&dir.join(RUNS), &self.table(media, &each, true)?)?)
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        load_failures(media, self.name(), dir)?;
        let names = [SUBJECTS, RUNS].into_iter();
        let is_left = (0..media.scans().len()).any(|idx| !media.failures.contains_key(&idx));
        let files = names.filter(|_| is_left).map(|name| {
            let path = dir.join(name);
            tables::read(&path)?;
            Ok((name, files::read_bytes(&path)?))
        });
        let files = files.collect::<Result<_>>()?;
        media.embeddings = Some(Embeddings { files });
        Ok(())
    }
}

/// One of the tables of this stage, for a stage after it; none where no recording is left.
///
/// # Errors
/// Where this stage is not before it, or the table has no such column of numbers or classes.
pub(super) fn table<'a>(
    media: &Media<'_>,
    stage: &'static str,
    name: &str,
    columns: impl Iterator<Item = &'a str>,
) -> Result<Option<Table>> {
    let refuse = |problem: String| Error::StageInput { stage, problem };
    let none = || refuse("expected the stage embed before it".to_owned());
    let embeddings = media.embeddings.as_ref().ok_or_else(none)?;
    let bytes = embeddings.files.iter().find(|(it, _)| *it == name).map(|(_, bytes)| bytes);
    let Some(bytes) = bytes else { return Ok(None) };
    let table = tables::read_parquet(Path::new(name), bytes.clone())?;
    for column in columns {
        if !matches!(
            table.column(column),
            Some(Column::Text(_) | Column::Flag(_) | Column::Integer(_) | Column::Number(_))
        ) {
            let known: Vec<&str> = table.names().filter(|it| *it != "embedding").collect();
            return Err(refuse(format!(
                "the table of embeddings has no column {column} of numbers or classes, expected one of {}",
                known.join(", ")
            )));
        }
    }
    Ok(Some(table))
}

/// The vector of a row of such a table.
pub(super) fn vector(table: &Table, row: usize) -> Array1<f64> {
    match table.column("embedding").map(|it| it.cell(row)) {
        Some(Cell::Vector(values)) => values.iter().map(|&x| f64::from(x)).collect(),
        _ => unreachable!("tables of embeddings have vectors"),
    }
}

/// Whether a column holds numbers: one in which an age is known from below only, as `89+`, is text in a table.
pub(super) fn is_of_numbers(column: &Column) -> bool {
    match column {
        Column::Integer(_) | Column::Number(_) => true,
        Column::Text(cells) => {
            let mut known = cells.iter().flatten().peekable();
            known.peek().is_some() && known.all(|cell| Label::of_number(cell).is_some())
        }
        _ => false,
    }
}

/// The number of a cell; none where it is not known, or from below only.
pub(super) fn number(cell: &Cell<'_>) -> Option<f64> {
    match cell {
        Cell::Integer(number) => Some(*number as f64),
        Cell::Number(number) => Some(*number).filter(|it| it.is_finite()),
        Cell::Text(text) => match Label::of_number(text) {
            Some(Label::Number(number)) => Some(number),
            _ => None,
        },
        _ => None,
    }
}

fn tokens<'a>(media: &'a Media<'_>) -> &'a TokenSet {
    media.tokens.as_ref().expect("embeddings come from tokens")
}

impl EmbedConfig {
    fn of_run(&self, unit: &engine::Unit) -> Result<Vec<f64>> {
        let refuse = |problem: &str| {
            let (stage, problem) = ("embed", problem.to_owned());
            Err(Error::StageInput { stage, problem })
        };
        let name = match self.window {
            WindowPooling::Cls => "classes",
            WindowPooling::Mean => "means",
        };
        let Some(windows) = TokenSet::vectors(unit, name)? else {
            return refuse("the encoder has no class token, expected window: mean");
        };
        let fd_mm = TokenSet::facts(unit)?.fd_mm;
        let Some(weights) = self.run.weights(windows.nrows(), fd_mm.as_deref()) else {
            return refuse(
                "inverse_fd needs the framewise displacement of every window, and no confounds give it",
            );
        };
        let windows: Vec<Vec<f64>> = windows.rows().into_iter().map(|row| row.to_vec()).collect();
        Ok(weighted_mean(&windows, &weights).expect("a scan has windows of one width"))
    }

    /// A row for each group of runs.
    fn table(
        &self,
        media: &Media<'_>,
        groups: &[(&str, Vec<&Run>)],
        of_runs: bool,
    ) -> Result<Vec<u8>> {
        let about = &tokens(media).about;
        let width = groups.first().map_or(1, |(_, runs)| runs[0].vector.len());
        let vectors = groups.iter().flat_map(|(_, runs)| {
            let vectors: Vec<Vec<f64>> = runs.iter().map(|run| run.vector.clone()).collect();
            weighted_mean(&vectors, &vec![1.0; runs.len()]).expect("runs of one width")
        });
        let values = vectors.map(|x| x as f32).collect();
        let same = |text: &str| Column::Text(vec![Some(text.to_owned()); groups.len()]);
        let text = |of: &dyn Fn(&Run) -> Option<String>| {
            Column::Text(groups.iter().map(|(_, runs)| of(runs[0])).collect())
        };
        let sum = |of: &dyn Fn(&Run) -> usize| {
            let sums = groups.iter().map(|(_, runs)| runs.iter().map(|run| of(run)).sum::<usize>());
            Column::Integer(sums.map(|n| Some(n as i64)).collect())
        };
        // the mean over runs; none where it is not known of all
        let mean = |of: &dyn Fn(&Run) -> Option<f64>| {
            let known =
                |runs: &Vec<&Run>| runs.iter().map(|run| of(run)).collect::<Option<Vec<_>>>();
            let means = groups
                .iter()
                .map(|(_, runs)| known(runs).map(|all| all.iter().sum::<f64>() / all.len() as f64));
            Column::Number(means.collect())
        };
        let quality = |of: fn(&ImageQualityMetrics) -> Option<f64>| {
            mean(&move |run: &Run| of(run.quality.as_ref()?))
        };
        let mut columns = vec![("participant_id", text(&|run| Some(run.subject.clone())))];
        if of_runs {
            columns.push(("session_id", text(&|run| run.session.clone())));
            columns.push(("scan", text(&|run| Some(run.name.clone()))));
        } else {
            let counts = groups.iter().map(|(_, runs)| Some(runs.len() as i64));
            columns.push(("n_runs", Column::Integer(counts.collect())));
        }
        let measured = [
            ("n_windows", sum(&|run| run.facts.n_windows)),
            ("n_frames", sum(&|run| run.facts.n_frames)),
            ("t_r_s", mean(&|run| Some(run.facts.t_r_s))),
            ("mean_fd_mm", mean(&|run| run.facts.fd_mean_mm)),
            ("median_tsnr", quality(|it| it.median_tsnr)),
            ("median_dvars_percent", quality(|it| it.median_dvars_percent)),
            ("n_lost_parcels", sum(&|run| run.facts.n_lost)),
            ("strategy", same(&self.strategy)),
            ("pooling", same(&pooling(self))),
            ("encoder", same(&about.encoder_id)),
            ("encoder_sha256", same(&about.identity)),
            ("preparation_sha256", same(&about.preparation)),
            ("embedding", Column::Vector { width, values }),
        ];
        let of_group = |(_, runs): &(&str, Vec<&Run>)| runs.iter().map(|it| it.scan_idx).collect();
        let scans: Vec<Vec<usize>> = groups.iter().map(of_group).collect();
        let taken = columns.iter().chain(&measured).map(|(name, _)| *name);
        let said = CohortColumns::of(media).columns(&scans, &taken.collect::<Vec<_>>());
        let named = |(name, column): (&str, Column)| (name.to_owned(), column);
        let columns = columns.into_iter().map(named).chain(said);
        Ok(Table::new(columns.chain(measured.map(named)))?.to_parquet()?)
    }
}

/// `window cls, run inverse_fd, subject mean`.
fn pooling(config: &EmbedConfig) -> String {
    let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let (window, run) = (word(json!(config.window)), word(json!(config.run)));
    format!("window {window}, run {run}, subject mean")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_known_from_below_leaves_a_column_of_numbers() {
        let text =
            |cells: &[&str]| Column::Text(cells.iter().map(|it| Some((*it).to_owned())).collect());
        assert!(is_of_numbers(&text(&["40", "50.5", "89+"])));
        assert!(!is_of_numbers(&text(&["40", "old"])) && !is_of_numbers(&Column::Text(vec![None])));
        assert!(!is_of_numbers(&text(&["01", "02"])), "codes are classes");
        assert_eq!(number(&Cell::Text("50.5")), Some(50.5));
        assert_eq!(number(&Cell::Text("89+")), None);
    }
}
