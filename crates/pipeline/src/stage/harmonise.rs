//! `harmonise`: site and covariates out of the table of embeddings, as fitted on its training people.
mod config;

pub use config::{CombatSettings, HarmoniseConfig};

use std::path::Path;

use engine::{Failure, Kind, Reason};
use harmonise::{Combat, CombatConfig, Person, Residuals, Terms};
use ndarray::{Array1, Array2};
use scan::FailureKind;
use serde_json::{Value, json};
use tables::{Cell, Column, Table};

use super::{
    Artifact,
    embed::{is_of_numbers, number, table, vector},
    embeddings::{RUNS, SUBJECTS},
    work::{Preparation, Work, load_failures, write_failures},
};
use crate::{
    Error, Result,
    event::{Control, Event},
    media::Media,
};

const HARMONISED: &str = "embeddings_harmonised.parquet";
const HARMONISED_RUNS: &str = "embeddings_runs_harmonised.parquet";
const FITTED: &str = "harmonise.json";

impl Work for HarmoniseConfig {
    fn name(&self) -> &'static str {
        "harmonise"
    }

    fn version(&self) -> u32 {
        2
    }

    fn signature(&self) -> (Artifact, Artifact) {
        let tokens = Artifact::Media(preprocess::Kind::Tokens);
        (tokens, tokens)
    }

    fn check(&self) -> Result<()> {
        let refuse = |problem: String| Err(Error::StageInput { stage: self.name(), problem });
        if self.combat.is_none() && self.regress_out.is_empty() {
            return refuse("takes nothing out, expected `combat` or `regress_out`".to_owned());
        }
        // an effect may be kept while sites are made alike, and be taken out then
        for list in [self.of_combat(), self.regressed()] {
            if let Some(column) = tables::first_twice(list) {
                return refuse(format!("names the column {column} twice"));
            }
        }
        Ok(())
    }

    fn preparation(&self) -> Option<&dyn Preparation> {
        Some(self)
    }
}

impl Preparation for HarmoniseConfig {
    fn inputs(&self, _: &Media<'_>) -> Value {
        // the tables, with splits and labels, are the stage before
        Value::Null
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let Some(people) = table(media, self.name(), SUBJECTS, self.columns())? else {
            return write_failures(dir, &[]);
        };
        let runs = table(media, self.name(), RUNS, self.columns())?
            .expect("written beside that of people");
        let fitted = self.fit(&people)?;
        for text in fitted.notes() {
            control.tell(Event::Note { stage: self.name(), text });
        }
        files::write_json(&dir.join(FITTED), &fitted.said(self))?;
        let scans: Vec<usize> =
            (0..media.scans().len()).filter(|idx| !media.failures.contains_key(idx)).collect();
        let write = |table: &Table, rows: &[_], name: &str| -> Result<()> {
            let bytes = harmonised(table, rows)?.to_parquet()?;
            Ok(files::write_atomic(&dir.join(name), &bytes)?)
        };
        write(&people, &fitted.apply(self, &people), HARMONISED)?;
        let rows = fitted.apply(self, &runs);
        write(&runs, &rows, HARMONISED_RUNS)?;
        let (mut failures, n) = (Vec::new(), media.scans().len());
        for (&unit, refused) in scans.iter().zip(&rows) {
            let Err(why) = refused else { continue };
            let kind = Kind::new(FailureKind::Table.name());
            let reason = Reason::plain(why.clone()).of_kind(kind);
            control.unit_failed(self.name(), (unit, n), &media.scans()[unit].unit, &reason);
            failures.push(Failure::of_contents(unit, reason));
        }
        engine::none_in_reach(&failures, scans.len() - failures.len(), "scans")?;
        write_failures(dir, &failures)
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        load_failures(media, self.name(), dir)?;
        let embeddings = media.embeddings.as_mut().expect("the table is made before");
        if embeddings.files.is_empty() {
            return Ok(());
        }
        for name in [HARMONISED, HARMONISED_RUNS] {
            let path = dir.join(name);
            tables::read(&path)?;
            embeddings.files.push((name, files::read_bytes(&path)?));
        }
        embeddings.files.push((FITTED, files::read_bytes(&dir.join(FITTED))?));
        Ok(())
    }
}

/// What was fitted to the training people.
struct Fitted {
    combat: Option<Combat>,
    residuals: Option<Residuals>,
    n_people: usize,
    /// What `ComBat` keeps.
    keep: Kinds,
    regressed: Kinds,
}

impl HarmoniseConfig {
    /// The columns that `ComBat` asks for.
    fn of_combat(&self) -> Vec<&str> {
        let combat = self.combat.iter();
        combat.flat_map(|it| it.keep.iter().chain([&it.site])).map(String::as_str).collect()
    }

    /// Every column that is named.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.of_combat().into_iter().chain(self.regressed())
    }

    fn regressed(&self) -> Vec<&str> {
        self.regress_out.iter().map(String::as_str).collect()
    }

    /// Fits on the rows of the training split, or on all where nothing is divided.
    fn fit(&self, table: &Table) -> Result<Fitted> {
        let trains = |row: &usize| {
            table.column("split").is_none_or(|it| it.cell(*row) == Cell::Text("train"))
        };
        let none = &[][..];
        let keep = Kinds::of(table, self.combat.as_ref().map_or(none, |it| &it.keep));
        let regressed = Kinds::of(table, &self.regress_out);
        let site = self.combat.as_ref().map(|it| it.site.as_str());
        let known = |row: &usize| {
            person(table, *row, site, &keep).is_ok()
                && person(table, *row, None, &regressed).is_ok()
        };
        let rows: Vec<usize> = (0..table.n_rows()).filter(trains).filter(known).collect();
        let refuse = |error: harmonise::Error| Error::StageInput {
            stage: self.name(),
            problem: error.to_string(),
        };
        let people = |site: Option<&str>, kinds: &Kinds| -> Vec<Person> {
            rows.iter().filter_map(|&row| person(table, row, site, kinds).ok()).collect()
        };
        let width = vector(table, 0).len();
        let mut measures = Array2::zeros((rows.len(), width));
        for (mut into, &row) in measures.rows_mut().into_iter().zip(&rows) {
            into.assign(&vector(table, row));
        }
        let combat = match &self.combat {
            None => None,
            Some(settings) => {
                let people = people(site, &keep);
                let config = CombatConfig { unseen_sites: settings.unseen_sites };
                let terms = keep.terms(&people).map_err(refuse)?;
                let fitted = Combat::fit(measures.view(), &people, &terms, config);
                let fitted = fitted.map_err(refuse)?;
                for (mut row, person) in measures.rows_mut().into_iter().zip(&people) {
                    // people of a site of one stay as they are for the fit of the rest
                    if let Ok(without) = fitted.apply(row.view(), person) {
                        row.assign(&without);
                    }
                }
                Some(fitted)
            }
        };
        let residuals = if self.regress_out.is_empty() {
            None
        } else {
            let people = people(None, &regressed);
            let terms = regressed.terms(&people).map_err(refuse)?;
            Some(Residuals::fit(measures.view(), &people, &terms).map_err(refuse)?)
        };
        Ok(Fitted { combat, residuals, n_people: rows.len(), keep, regressed })
    }
}

impl Fitted {
    /// Each row of the table without what was fitted, or why not.
    fn apply(&self, config: &HarmoniseConfig, table: &Table) -> Vec<Result<Array1<f64>, String>> {
        let of = |row: usize| -> Result<Array1<f64>, String> {
            let mut measures = vector(table, row);
            if let (Some(combat), Some(settings)) = (&self.combat, &config.combat) {
                let person = person(table, row, Some(&settings.site), &self.keep)?;
                measures = combat.apply(measures.view(), &person).map_err(|it| it.to_string())?;
            }
            if let Some(residuals) = &self.residuals {
                let person = person(table, row, None, &self.regressed)?;
                measures =
                    residuals.apply(measures.view(), &person).map_err(|it| it.to_string())?;
            }
            Ok(measures)
        };
        (0..table.n_rows()).map(of).collect()
    }

    /// What a reader should know of the fit.
    fn notes(&self) -> Vec<String> {
        let Some(combat) = &self.combat else { return Vec::new() };
        let left_out = combat.left_out();
        let mut notes = Vec::new();
        if !left_out.sites.is_empty() {
            let sites = left_out.sites.join(", ");
            notes.push(format!("sites of one training person, left out of the fit: {sites}"));
        }
        if !left_out.features.is_empty() {
            let n = left_out.features.len();
            notes
                .push(format!("{n} of the features are constant in training and stay as they are"));
        }
        notes
    }

    fn said(&self, config: &HarmoniseConfig) -> Value {
        json!({
            "settings": config,
            "n_training_people": self.n_people,
            "combat": self.combat,
            "residuals": self.residuals,
        })
    }
}

/// Columns, and which of them hold numbers in the table that was fitted to.
struct Kinds {
    columns: Vec<(String, bool)>,
}

impl Kinds {
    fn of(table: &Table, names: &[String]) -> Self {
        let of_numbers = |name: &String| table.column(name).is_some_and(is_of_numbers);
        Self { columns: names.iter().map(|name| (name.clone(), of_numbers(name))).collect() }
    }

    /// The names of columns of numbers, and of columns of classes, each in the order given.
    fn terms(&self, people: &[Person]) -> harmonise::Result<Terms> {
        let named = |wanted: bool| -> Vec<String> {
            let all = self.columns.iter().filter(|(_, is_number)| *is_number == wanted);
            all.map(|(name, _)| name.clone()).collect()
        };
        Terms::of(people, &named(true), &named(false))
    }
}

/// What a row says of its person, or which column it lacks.
fn person(table: &Table, row: usize, site: Option<&str>, kinds: &Kinds) -> Result<Person, String> {
    let cell = |name: &str| table.column(name).expect("the columns were checked").cell(row);
    let (mut numbers, mut classes) = (Vec::new(), Vec::new());
    for (name, is_number) in &kinds.columns {
        if *is_number {
            let lacks = || format!("has no {name} as a number, which the stage harmonise asks for");
            numbers.push(number(&cell(name)).ok_or_else(lacks)?);
            continue;
        }
        match cell(name) {
            Cell::Text(class) => classes.push(class.to_owned()),
            Cell::Flag(flag) => classes.push(flag.to_string()),
            _ => return Err(format!("has no {name}, which the stage harmonise asks for")),
        }
    }
    let site = match site.map(|name| (name, cell(name))) {
        None => String::new(),
        Some((_, Cell::Text(site))) => site.to_owned(),
        Some((_, Cell::Integer(site))) => site.to_string(),
        Some((_, Cell::Number(site))) => site.to_string(),
        Some((_, Cell::Flag(site))) => site.to_string(),
        Some((name, _)) => {
            return Err(format!("has no {name}, which the stage harmonise asks for"));
        }
    };
    Ok(Person { site, numbers, classes })
}

/// The table with the rows that could be harmonised, and their vectors as they are now.
fn harmonised(table: &Table, rows: &[Result<Array1<f64>, String>]) -> Result<Table> {
    let kept: Vec<bool> = rows.iter().map(Result::is_ok).collect();
    let values: Vec<f32> =
        rows.iter().flatten().flat_map(|it| it.iter().map(|&x| x as f32)).collect();
    let columns = table.columns().iter().map(|(name, column)| {
        let column = match column {
            Column::Vector { width, .. } => {
                Column::Vector { width: *width, values: values.clone() }
            }
            Column::Text(all) => Column::Text(of_rows(all, &kept)),
            Column::Integer(all) => Column::Integer(of_rows(all, &kept)),
            Column::Number(all) => Column::Number(of_rows(all, &kept)),
            Column::Flag(all) => Column::Flag(of_rows(all, &kept)),
            Column::Opaque { .. } => unreachable!("a table of ours has none"),
        };
        (name.clone(), column)
    });
    Ok(Table::new(columns)?)
}

fn of_rows<T: Clone>(all: &[T], kept: &[bool]) -> Vec<T> {
    all.iter().zip(kept).filter(|(_, kept)| **kept).map(|(cell, _)| cell.clone()).collect()
}

#[cfg(test)]
mod tests;
