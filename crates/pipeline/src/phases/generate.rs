//! `generate`: a free-running report for every test window.
use flamingo::GenerateConfig;
use scan::Split;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Trained;
use crate::{
    Result,
    answers::{self, Answer, Query, Reading},
    event::Control,
    media::Media,
    runner::Runner,
    stage::{Artifact, Stage, settings::Settings, work::Work},
};

const REPORTS: &str = "reports.json";

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
            return Ok(settings.refuse("num_return_sequences", &self.n_texts(), expected)?);
        }
        match GenerateConfig::check(self) {
            Err(flamingo::Error::Setting { field, found, expected }) => {
                Ok(settings.refuse(field, &found, &expected)?)
            }
            other => Ok(other?),
        }
    }
}

/// Writes a report for every test window, where a stage asks for it.
pub(super) fn generate(
    runner: &mut Runner<'_, '_, '_>,
    media: &Media<'_>,
    trained: &Trained,
) -> Result<Option<Vec<WrittenReport>>> {
    let found = runner.find(|stage| match stage {
        Stage::Generate(config) => Some(config),
        _ => None,
    });
    let Some((stage, config)) = found else { return Ok(None) };
    let reports = runner.stage(
        stage,
        &mut (),
        |()| json!([null, media.left_out()]),
        |(), folders, control| {
            let reading = Reading::kept_in(stage.name(), folders.unfinished);
            let reports = write(config, media, trained, &reading, control)?;
            Ok(files::write_json(&folders.result.join(REPORTS), &reports)?)
        },
        |(), dir| Ok(files::read_json(&dir.join(REPORTS))?),
    )?;
    Ok(Some(reports))
}

fn write(
    config: &GenerateConfig,
    media: &Media<'_>,
    trained: &Trained,
    reading: &Reading,
    control: &mut Control<'_>,
) -> Result<Vec<WrittenReport>> {
    let rows = media.rows_of(Split::Test)?;
    let queries: Vec<Query> = rows
        .iter()
        .map(|&row| Ok(Query { prompt: media.prompt(row), media: media.shown_of(row)? }))
        .collect::<Result<_>>()?;
    let (slots, trust) = (media.slots(), trained.fit.fitting.trust());
    let answers =
        answers::answers(&trained.model, slots, &trust, &queries, config, reading, control)?;
    let reports = rows.into_iter().zip(queries).zip(answers);
    let report = |((row, query), answer): ((usize, Query), Answer)| WrittenReport {
        row,
        prompt: query.prompt,
        answer,
    };
    Ok(reports.map(report).collect())
}
