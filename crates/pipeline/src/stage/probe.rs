//! `probe`: what a linear model reads out of the table of embeddings about people it has not seen.
mod config;

pub use config::{ProbeConfig, ProbeRows};

use std::{collections::BTreeMap, path::Path};

use ndarray::Array2;
use preprocess::Kind;
use report::{
    counted,
    metrics::Interval,
    probe::{Probe, ProbePrediction, ProbeSamples, ProbeScores, ProbeSettings, ProbeTarget, probe},
};
use serde_json::{Value, json};
use tables::{Cell, Column, Separator, Table};

use super::{
    Artifact,
    embed::{number, table, vector},
    embeddings::{RUNS, SUBJECTS},
    settings::{MOST_DRAWS, POSITIVE, Rule, Settings},
    work::{Preparation, Work, load_failures, write_failures},
};
use crate::{
    Error, Result,
    event::{Control, Event},
    media::Media,
};

const SCORES: &str = "probe.json";
const PREDICTIONS: &str = "predictions.csv";

/// Some people are tried, and some are left.
const PART: Rule = ("between 0 and 1", |x| x > 0.0 && x < 1.0);

impl Work for ProbeConfig {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn version(&self) -> u32 {
        1
    }

    fn signature(&self) -> (Artifact, Artifact) {
        let tokens = Artifact::Media(Kind::Tokens);
        (tokens, tokens)
    }

    fn check(&self) -> Result<()> {
        let stage = self.name();
        let columns: Vec<&str> = self.columns().collect();
        if columns.is_empty() {
            let problem = "reads nothing out, expected columns under `classes` or `numbers`";
            return Err(Error::StageInput { stage, problem: problem.to_owned() });
        }
        if let Some(column) = tables::first_twice(columns) {
            let problem = format!("names the column {column} twice");
            return Err(Error::StageInput { stage, problem });
        }
        let settings = Settings(stage);
        settings.at_most(&[
            ("n_splits", self.n_splits, MOST_DRAWS),
            ("bootstrap", self.bootstrap, MOST_DRAWS),
        ])?;
        settings.numbers(PART, &[("test_share", self.test_share)])?;
        Ok(settings.numbers(POSITIVE, &[("logistic_c", self.logistic_c)])?)
    }

    fn preparation(&self) -> Option<&dyn Preparation> {
        Some(self)
    }
}

impl Preparation for ProbeConfig {
    fn inputs(&self, media: &Media<'_>) -> Value {
        // the table, with its labels, is the stage before
        json!(media.run.seed)
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        write_failures(dir, &[])?;
        let name = match self.rows {
            ProbeRows::People => SUBJECTS,
            ProbeRows::Recordings => RUNS,
        };
        let Some(table) = table(media, self.name(), name, self.columns())? else { return Ok(()) };
        let mut found = Vec::new();
        for (at, column) in self.columns().enumerate() {
            let target = Target::of(&table, column, at < self.classes.len());
            let probe = self.probe(&table, &target, media.run.seed, at, control)?;
            let said = match &probe {
                Ok(probe) => in_words(&probe.scores, &target, self.n_splits),
                Err(reason) => format!("cannot be probed: {reason}"),
            };
            let text = format!("{column}: {said}");
            control.tell(Event::Note { stage: self.name(), text });
            found.push((target, probe));
        }
        let encoder = media.tokens.as_ref().map(|it| it.about.encoder_id.clone());
        let targets: Vec<Value> = found.iter().map(|(target, probe)| target.said(probe)).collect();
        let scores = json!({ "encoder": encoder, "settings": self, "targets": targets });
        files::write_json(&dir.join(SCORES), &scores)?;
        let predictions = predictions(&table, &found)?.to_text(Separator::Comma)?;
        Ok(files::write_atomic(&dir.join(PREDICTIONS), &predictions)?)
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        load_failures(media, self.name(), dir)?;
        for name in [SCORES, PREDICTIONS] {
            let path = dir.join(name);
            if path.is_file() {
                media.files.insert(name.to_owned(), path);
            }
        }
        Ok(())
    }
}

impl ProbeConfig {
    /// Every column that is named: classes, then numbers.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.classes.iter().chain(&self.numbers).map(String::as_str)
    }

    /// One target on the rows that have it.
    fn probe(
        &self,
        table: &Table,
        target: &Target,
        seed: u64,
        at: usize,
        control: &mut Control<'_>,
    ) -> Result<Result<Probe, report::Error>> {
        let vectors: Vec<_> = target.rows.iter().map(|&row| vector(table, row)).collect();
        let width = vectors.first().map_or(0, ndarray::Array1::len);
        let features = Array2::from_shape_fn((vectors.len(), width), |(row, column)| {
            vectors[row][column] as f32
        });
        let samples = ProbeSamples { features: features.view(), person: &target.person };
        let settings = ProbeSettings {
            n_splits: self.n_splits,
            test_share: self.test_share,
            logistic_c: self.logistic_c,
            bootstrap: self.bootstrap,
            seed,
        };
        let values = match &target.values {
            Values::Classes { names, class } => ProbeTarget::Classes(class, names.len()),
            Values::Numbers(numbers) => ProbeTarget::Numbers(numbers),
        };
        let (stage, total) = (self.name(), self.columns().count() * self.n_splits);
        let probed = probe(samples, values, settings, |split| {
            let done = at * self.n_splits + split + 1;
            control.tell(engine::Event::Advanced { stage, done, total });
            control.checkpoint().map_err(Stopped::Engine)
        });
        match probed {
            Ok(probe) => Ok(Ok(probe)),
            Err(Stopped::Report(error)) => Ok(Err(error)),
            Err(Stopped::Engine(error)) => Err(error.into()),
        }
    }
}

/// Why a probe ended early.
enum Stopped {
    Engine(engine::Error),
    Report(report::Error),
}

impl From<report::Error> for Stopped {
    fn from(error: report::Error) -> Self {
        Self::Report(error)
    }
}

/// A column, on the rows that have a value of it.
struct Target {
    column: String,
    rows: Vec<usize>,
    /// The person of each of these, from 0.
    person: Vec<usize>,
    n_without: usize,
    values: Values,
}

enum Values {
    /// The classes that occur, in order, and which of them each row is of.
    Classes {
        names: Vec<String>,
        class: Vec<usize>,
    },
    Numbers(Vec<f64>),
}

impl Target {
    fn of(table: &Table, column: &str, is_class: bool) -> Self {
        let cell = |row: usize| table.column(column).expect("the columns were checked").cell(row);
        let known = |row: usize| {
            if is_class { in_a_word(&cell(row)).is_some() } else { number(&cell(row)).is_some() }
        };
        let rows: Vec<usize> = (0..table.n_rows()).filter(|&row| known(row)).collect();
        let who = table.column("participant_id").expect("tables of embeddings have people");
        let mut people = BTreeMap::new();
        let person = rows.iter().map(|&row| {
            let n = people.len();
            *people.entry(in_a_word(&who.cell(row))).or_insert(n)
        });
        let person = person.collect();
        let values = if is_class {
            let words: Vec<String> = rows.iter().filter_map(|&row| in_a_word(&cell(row))).collect();
            let mut names = words.clone();
            names.sort();
            names.dedup();
            let class = words.iter().map(|it| names.partition_point(|name| name < it)).collect();
            Values::Classes { names, class }
        } else {
            Values::Numbers(rows.iter().filter_map(|&row| number(&cell(row))).collect())
        };
        let n_without = table.n_rows() - rows.len();
        Self { column: column.to_owned(), rows, person, n_without, values }
    }

    fn n_people(&self) -> usize {
        self.person.iter().max().map_or(0, |last| last + 1)
    }

    fn said(&self, probe: &Result<Probe, report::Error>) -> Value {
        let classes = match &self.values {
            Values::Classes { names, .. } => Some(names),
            Values::Numbers(_) => None,
        };
        let mut said = json!({
            "column": self.column,
            "classes": classes,
            "n_people": self.n_people(),
            "n_samples": self.rows.len(),
            "n_without_value": self.n_without,
        });
        match probe {
            Ok(probe) => said["scores"] = json!(probe.scores),
            Err(reason) => said["not_probed"] = json!(reason.to_string()),
        }
        said
    }

    /// The true value of a sample, and what was predicted, in the words of the table.
    fn words(&self, it: &ProbePrediction) -> [String; 2] {
        match &self.values {
            Values::Classes { names, class } => {
                [class[it.sample], it.found as usize].map(|class| names[class].clone())
            }
            Values::Numbers(numbers) => [numbers[it.sample], it.found].map(|x| x.to_string()),
        }
    }
}

fn in_a_word(cell: &Cell<'_>) -> Option<String> {
    match cell {
        Cell::Text(word) => Some((*word).to_owned()),
        Cell::Flag(flag) => Some(flag.to_string()),
        Cell::Integer(number) => Some(number.to_string()),
        Cell::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// `accuracy 0.81 [0.70, 0.91], most frequent class 0.52 [0.40, 0.64], …`.
fn in_words(scores: &ProbeScores, target: &Target, n_splits: usize) -> String {
    let scores = match scores {
        ProbeScores::Classes(it) => format!(
            "accuracy {}, most frequent class {}, difference {}",
            it.accuracy, it.majority, it.gain
        ),
        ProbeScores::Numbers(it) => {
            let [mae, of_mean] = [&it.mae, &it.mae_of_mean].map(in_its_unit);
            format!("R² {}, mean absolute error {mae}, of the mean {of_mean}", it.r2)
        }
    };
    format!("{scores}; {} of {} people", counted(n_splits, "division"), target.n_people())
}

/// Of any unit, so with three digits that count.
fn in_its_unit(of: &Interval) -> String {
    let digits = |x: f64| {
        let before = if x == 0.0 { 0.0 } else { x.abs().log10().floor() };
        format!("{x:.*}", (2.0 - before).clamp(0.0, 12.0) as usize)
    };
    format!("{} [{}, {}]", digits(of.estimate), digits(of.low), digits(of.high))
}

/// A row for each sample and division in which it was tried.
fn predictions(table: &Table, found: &[(Target, Result<Probe, report::Error>)]) -> Result<Table> {
    let each: Vec<(&Target, &ProbePrediction)> = found
        .iter()
        .filter_map(|(target, probe)| Some((target, probe.as_ref().ok()?)))
        .flat_map(|(target, probe)| probe.predictions.iter().map(move |it| (target, it)))
        .collect();
    let text = |of: &dyn Fn(&Target, &ProbePrediction) -> Option<String>| {
        Column::Text(each.iter().map(|(target, it)| of(target, it)).collect())
    };
    let of_table = |name: &'static str| {
        let column = table.column(name)?;
        let cells = text(&|target, it| in_a_word(&column.cell(target.rows[it.sample])));
        Some((name, cells))
    };
    let who = ["participant_id", "session_id", "scan"].into_iter().filter_map(of_table);
    let split = each.iter().map(|(_, it)| Some(it.split as i64 + 1)).collect();
    let columns = [
        ("target", text(&|target, _| Some(target.column.clone()))),
        ("split", Column::Integer(split)),
    ];
    let values = [
        ("truth", text(&|target, it| Some(target.words(it)[0].clone()))),
        ("prediction", text(&|target, it| Some(target.words(it)[1].clone()))),
        ("probability", Column::Number(each.iter().map(|(_, it)| it.probability).collect())),
    ];
    Ok(Table::new(columns.into_iter().chain(who).chain(values))?)
}
