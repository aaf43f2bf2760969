//! `render`: the page of a run, a page a person, and figures, from what was measured.
mod answers;
mod cohort;
mod config;
mod drawing;
mod people;
mod recordings;
mod volumes;

pub use config::RenderConfig;

use std::path::Path;

use preprocess::Kind;
use serde_json::{Value, json};

use super::{AskedCohort, Pages};
use crate::{
    Result,
    media::Media,
    plan::SourcePlan,
    record,
    runner::Runner,
    stage::{Artifact, Stage, work::Work},
};
use drawing::Drawing;
pub(super) use drawing::Measured;
use people::People;

impl Work for RenderConfig {
    fn name(&self) -> &'static str {
        "render"
    }

    fn version(&self) -> u32 {
        8
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Evidence, Artifact::Pages)
    }

    fn gives(&self, have: Artifact) -> Option<Artifact> {
        match have {
            Artifact::Evidence | Artifact::Answers => Some(Artifact::Pages),
            Artifact::Media(Kind::ParcelSeries | Kind::ScanWindows | Kind::Tokens)
                if self.people =>
            {
                Some(Artifact::Pages)
            }
            _ => None,
        }
    }
}

/// Draws the pages, where a stage asks for it.
pub(super) fn render(
    runner: &mut Runner<'_, '_, '_>,
    media: &Media<'_>,
    measured: Option<Measured<'_>>,
    asked: Option<&AskedCohort>,
) -> Result<Option<Pages>> {
    let found = runner.find(|stage| match stage {
        Stage::Render(config) => Some(config),
        _ => None,
    });
    let Some((stage, config)) = found else { return Ok(None) };
    let away = volumes::away(media);
    let pages = runner.stage(
        stage,
        &mut (),
        |()| json!([named(media), media.left_out(), record::left(media), away]),
        |(), folders, control| {
            let drawing = Drawing::of(config, media, measured, asked, away.clone())?;
            let rows = People::of(&drawing).write(folders.result, control)?;
            let findings = drawing.findings();
            for (name, figure) in findings.iter().flat_map(pages::Findings::figures) {
                let path = folders.result.join("figures").join(name);
                files::write_atomic(&path, figure.svg.standalone().as_bytes())?;
            }
            if let Some(mask) = volumes::mask(media)? {
                files::write_atomic(&folders.result.join(volumes::MASK), &mask)?;
            }
            for (name, html) in drawing.cohort(rows, findings).pages() {
                files::write_atomic(&folders.result.join(name), html.as_bytes())?;
            }
            Ok(())
        },
        |(), dir| load(dir),
    )?;
    Ok(Some(pages))
}

/// The scans as pages name them.
fn named(media: &Media<'_>) -> Value {
    match &media.plan.source {
        SourcePlan::Cohort(cohort) => {
            let scans = cohort.scans.iter();
            json!(scans.map(|scan| (&scan.subject, &scan.session, scan.run)).collect::<Vec<_>>())
        }
        _ => {
            json!(media.scans().iter().map(|scan| (&scan.subject, &scan.name)).collect::<Vec<_>>())
        }
    }
}

fn load(dir: &Path) -> Result<Pages> {
    let is_page = |name: &String| Path::new(name).extension().is_some_and(|it| it == "html");
    let mut names: Vec<String> = files::list(dir)?.into_iter().filter(is_page).collect();
    let figures = dir.join("figures");
    if figures.is_dir() {
        names.extend(files::list(&figures)?.iter().map(|name| format!("figures/{name}")));
    }
    Ok(Pages { dir: dir.to_owned(), names })
}
