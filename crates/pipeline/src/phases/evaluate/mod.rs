//! `evaluate`: scores of the reports, and whether they depend on the scans.
mod baselines;
mod config;
mod each_medium;
mod evaluation;
mod measure;
mod notes;
mod others;
mod said;
mod settings;
mod sources;
mod texts;

use serde_json::json;

pub use config::EvaluateConfig;
pub(crate) use evaluation::Evaluation;
use evaluation::Written;

use super::{Trained, WrittenReport};
use crate::{Result, answers::Reading, media::Media, runner::Runner, stage::Stage};

const METRICS: &str = "metrics.json";

/// Measures the reports, where a stage asks for it.
pub(super) fn evaluate(
    runner: &mut Runner<'_, '_, '_>,
    media: &Media<'_>,
    trained: &Trained,
    reports: &[WrittenReport],
) -> Result<Option<Evaluation>> {
    let found = runner.find(|stage| match stage {
        Stage::Evaluate(config) => Some(config),
        _ => None,
    });
    let Some((stage, config)) = found else { return Ok(None) };
    let evaluation = runner.stage(
        stage,
        &mut (),
        |()| json!([null, media.left_out()]),
        |(), folders, control| {
            let reading = Reading::kept_in(stage.name(), folders.unfinished);
            let written = Written { media, trained, reports, reading: &reading };
            let evaluation = measure::evaluate(config, &written, control)?;
            Ok(files::write_json(&folders.result.join(METRICS), &evaluation)?)
        },
        |(), dir| Ok(files::read_json(&dir.join(METRICS))?),
    )?;
    Ok(Some(evaluation))
}
