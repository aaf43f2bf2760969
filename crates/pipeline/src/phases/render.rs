//! `render`: the page of a run, a page a person, and figures, from what was measured.
mod cohort;
mod config;
mod drawing;
mod people;
mod recordings;

pub use config::RenderConfig;

use std::path::Path;

use ndarray::Axis;
use pages::WindowMap;
use preprocess::Kind;
use serde_json::{Value, json};

use super::{Evaluation, Pages, Trained, WrittenReport};
use crate::{
    Result,
    media::Media,
    plan::SourcePlan,
    record,
    runner::Runner,
    stage::{Artifact, Stage, work::Work},
};
use drawing::Drawing;
use people::People;

/// The page that lists everybody.
const INDEX: &str = "index.html";

impl Work for RenderConfig {
    fn name(&self) -> &'static str {
        "render"
    }

    fn version(&self) -> u32 {
        6
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Evidence, Artifact::Pages)
    }

    fn gives(&self, have: Artifact) -> Option<Artifact> {
        match have {
            Artifact::Evidence => Some(Artifact::Pages),
            Artifact::Media(Kind::ParcelSeries | Kind::ScanWindows | Kind::Tokens)
                if self.people =>
            {
                Some(Artifact::Pages)
            }
            _ => None,
        }
    }
}

/// A trained model, what it wrote, and what was found out about that.
type Measured<'a> = (&'a Trained, &'a [WrittenReport], &'a Evaluation);

/// Draws the pages, where a stage asks for it.
pub(super) fn render(
    runner: &mut Runner<'_, '_, '_>,
    media: &Media<'_>,
    measured: Option<Measured<'_>>,
) -> Result<Option<Pages>> {
    let found = runner.find(|stage| match stage {
        Stage::Render(config) => Some(config),
        _ => None,
    });
    let Some((stage, config)) = found else { return Ok(None) };
    let pages = runner.stage(
        stage,
        &mut (),
        |()| json!([named(media), media.left_out(), record::left(media)]),
        |(), folders, control| {
            let drawing = Drawing::of(config, media, measured)?;
            let rows = People::of(&drawing).write(folders.result, control)?;
            let findings = drawing.findings();
            for (name, figure) in findings.iter().flat_map(pages::Findings::figures) {
                let path = folders.result.join("figures").join(name);
                files::write_atomic(&path, figure.svg.standalone().as_bytes())?;
            }
            for (name, html) in drawing.cohort(rows, findings).pages(INDEX) {
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

/// The slice with the most voxels of the mask: x to the right, y upwards; black is outside.
fn window_map(media: &Media<'_>, row: usize, caption: String) -> WindowMap {
    let mask = media.mask.as_ref().expect("windows come from a mask");
    let window = media.cleaned[row].as_ref().expect("reports come from windows");
    let mean = window.mean_axis(Axis(0)).expect("a window has frames");
    let [n_x, n_y, n_z] = mask.grid_shape();
    let mut n_voxels = vec![0_usize; n_z];
    mask.indices().iter().for_each(|idx| n_voxels[idx % n_z] += 1);
    let fullest = (0..n_z).max_by_key(|&z| (n_voxels[z], n_z - z)).expect("a grid has slices");
    let mut rows = vec![vec![f32::NAN; n_x]; n_y];
    for (&idx, &value) in mask.indices().iter().zip(&mean) {
        let (x, y, z) = (idx / (n_y * n_z), idx / n_z % n_y, idx % n_z);
        if z == fullest {
            rows[n_y - 1 - y][x] = value;
        }
    }
    let [x_mm, y_mm, _] = mask.affine().zooms();
    WindowMap { rows, zooms_mm: [x_mm, y_mm], caption }
}
