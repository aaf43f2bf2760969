//! `generate`: a free-running report for every test window.
use std::path::Path;

use flamingo::{GenerateConfig, Model};
use scan::Split;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Artifact, settings::Settings, work::Work};
use crate::{
    Result,
    event::Control,
    readout::{self, Answer, Query, Reading},
    state::State,
};

/// A test window's report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WrittenReport {
    pub(crate) row: usize,
    pub(crate) prompt: String,
    pub(crate) answer: Answer,
}

impl Work for GenerateConfig {
    fn name(&self) -> &'static str {
        "generate"
    }

    fn version(&self) -> u32 {
        1
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Model, Artifact::Reports)
    }

    fn check(&self) -> Result<()> {
        let settings = Settings(self.name());
        if self.n_texts() > 1 {
            let expected = "1: a window has one report";
            return settings.refuse("num_return_sequences", &self.n_texts(), expected);
        }
        match GenerateConfig::check(self) {
            Err(flamingo::Error::Setting { field, found, expected }) => {
                settings.refuse(field, &found, &expected)
            }
            other => Ok(other?),
        }
    }

    fn inputs(&self, _: &State<'_>) -> Value {
        Value::Null
    }

    fn compute(&self, state: &State<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let model = open(state)?;
        let rows = state.rows_of(Split::Test)?;
        let queries: Vec<Query> = rows
            .iter()
            .map(|&row| Ok(Query { prompt: state.prompt(row), medium: Some(state.medium(row)?) }))
            .collect::<Result<_>>()?;
        let fit = state.fit.as_ref().expect("reports come from a fitted model");
        let (slots, temperature) = (state.slots(), fit.temperature.value);
        let reading = Reading::kept_in(self.name(), &state.keep_dir);
        let answers =
            readout::answers(&model, slots, temperature, &queries, self, &reading, control)?;
        let reports: Vec<WrittenReport> = rows
            .into_iter()
            .zip(queries)
            .zip(answers)
            .map(|((row, query), answer)| WrittenReport { row, prompt: query.prompt, answer })
            .collect();
        Ok(files::write_json(&dir.join("reports.json"), &reports)?)
    }

    fn load(&self, state: &mut State<'_>, dir: &Path) -> Result<()> {
        state.reports = files::read_json(&dir.join("reports.json"))?;
        Ok(())
    }
}

pub(super) fn open(state: &State<'_>) -> Result<Model> {
    Ok(Model::open(state.model_dir.as_ref().expect("reports come from a fitted model"))?)
}
