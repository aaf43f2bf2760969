//! `render`: figures and one page, from what was measured.
mod config;

pub use config::RenderConfig;

use std::{fmt::Write as _, path::Path};

use ndarray::Axis;
use preprocess::Kind;
use report::{
    generated::GeneratedReport,
    metrics::Copying,
    render::{
        OnPage, Page, PageReport, SummaryTable, WindowMap,
        svg::{self, CurvePoint},
    },
};
use serde_json::{Value, json};

use super::{Evaluation, Pages, Trained, WrittenReport, people};
use crate::{
    Result,
    media::Media,
    plan::SourcePlan,
    publish, record,
    runner::Runner,
    stage::{Artifact, Stage, coverage, work::Work},
};

const INDEX: &str = "index.html";

/// The list of everybody, beside the page of a run that has evidence.
const PEOPLE: &str = "people.html";

impl Work for RenderConfig {
    fn name(&self) -> &'static str {
        "render"
    }

    fn version(&self) -> u32 {
        5
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
        |()| {
            let mut inputs = vec![named(media), json!(media.left_out())];
            inputs.extend(config.people.then(|| json!(record::left(media))));
            json!(inputs)
        },
        |(), folders, control| {
            let everybody = if measured.is_some() { PEOPLE } else { INDEX };
            if config.people {
                people::write(media, everybody, folders.result, control)?;
            }
            let Some((trained, reports, evaluation)) = measured else { return Ok(()) };
            for (name, figure) in figures(evaluation) {
                let path = folders.result.join("figures").join(name);
                files::write_atomic(&path, figure.as_bytes())?;
            }
            let page = page(config, media, trained, reports, evaluation)?;
            let path = folders.result.join(INDEX);
            Ok(files::write_atomic(&path, page.html().as_bytes())?)
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

fn figures(evaluation: &Evaluation) -> Vec<(&'static str, String)> {
    let evidence = &evaluation.evidence;
    let (accuracy, shuffled) = (evidence.accuracy.estimate, &evidence.shuffled.draws);
    let n_windows = evaluation.windows.len();
    let mut figures = vec![
        ("shuffled.svg", svg::permutation_histogram(accuracy, shuffled, n_windows)),
        ("training.svg", svg::loss_curve(&curve(evaluation))),
    ];
    let scores = evaluation.scored();
    figures.extend(scores.map(|it| ("confusion.svg", svg::confusion(&it.confusion))));
    let calibration = evaluation.calibration.as_ref();
    figures.extend(calibration.map(|it| ("reliability.svg", svg::reliability(&it.reliability))));
    figures
}

/// A fit's curve as it is drawn.
fn curve(evaluation: &Evaluation) -> Vec<CurvePoint> {
    let points = evaluation.fit.curve.as_array().map(Vec::as_slice).unwrap_or_default();
    let point = |point: &Value| CurvePoint {
        step: point["step"].as_u64().unwrap_or_default() as usize,
        train: point["loss"].as_f64(),
        validation: point["nll"].as_f64(),
    };
    points.iter().map(point).collect()
}

fn page(
    config: &RenderConfig,
    media: &Media<'_>,
    trained: &Trained,
    reports: &[WrittenReport],
    evaluation: &Evaluation,
) -> Result<Page> {
    let slots = media.slots();
    let entry = |(idx, report): (usize, GeneratedReport)| {
        let row = reports[idx].row;
        let planned = &media.cohort().rows[row];
        let on_page = |&slot_idx: &usize| {
            let (slot, found) = (&slots.slots()[slot_idx], &report.slots[slot_idx]);
            let truth = planned.truths[slot_idx].clone().unwrap_or_default();
            let stated = found.stated.clone();
            let is_right = stated.as_ref().is_some_and(|it| slot.agrees(&truth, it));
            let (slot, confidence) = (slot.name.clone(), found.confidence);
            OnPage { slot, truth, stated, is_right, confidence }
        };
        let scored: Vec<OnPage> = slots.scored_idxs().iter().map(on_page).collect();
        let truth = scored.is_empty().then(|| planned.report.clone());
        let mut caption = "Mean of the cleaned window".to_owned();
        if let (false, Some(truth)) = (scored.is_empty(), &planned.truth) {
            write!(caption, "; true value: {truth}").expect("a String takes every line");
        }
        let map = config.window_maps.then(|| window_map(media, row, caption)).transpose()?;
        let beside = evaluation.windows.get(idx).into_iter().flat_map(|it| {
            let other = it.other_scan.as_ref().map(|other| format!("With the scan of {other}"));
            let with = other.zip(it.text_with_other_scan.clone());
            let without = it.text_without_scan.clone();
            with.into_iter().chain(without.map(|text| ("Without a scan".to_owned(), text)))
        });
        Ok(PageReport { report, scored, truth, map, beside: beside.collect() })
    };
    Ok(Page {
        title: media.plan.spec().name.clone(),
        evidence: evaluation.evidence.clone(),
        table: SummaryTable::new(&evaluation.evidence),
        scores: evaluation.scored().cloned(),
        reliability: evaluation.calibration.as_ref().map(|it| it.reliability.clone()),
        statements: evaluation.statements.clone(),
        curve: curve(evaluation),
        reports: publish::generated(media, trained, reports)?
            .into_iter()
            .enumerate()
            .map(entry)
            .collect::<Result<_>>()?,
        methods: methods(media, evaluation),
    })
}

/// The slice with the most voxels of the mask: x to the right, y upwards; black is outside.
fn window_map(media: &Media<'_>, row: usize, caption: String) -> Result<WindowMap> {
    let mask = media.voxels.as_ref().and_then(|it| it.about.mask.as_ref());
    let mask = mask.expect("the plan asks for a mask where maps are drawn");
    let mean = media.cleaned(row)?.mean_axis(Axis(0)).expect("a window has frames");
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
    Ok(WindowMap { rows, zooms_mm: [x_mm, y_mm], caption })
}

/// What generated texts repeat of those that were trained on.
fn shared(copying: &Copying) -> String {
    let Copying { n, n_distinct, n_verbatim, longest_run, mean_share, .. } = copying;
    format!(
        "{n_verbatim} of {n} texts ({n_distinct} different) stand in training reports word for word; the longest \
         run of shared words has {longest_run}, and a text's own longest is {:.0} % of it on average",
        100.0 * mean_share
    )
}

/// What was done with what, in words.
fn methods(media: &Media<'_>, evaluation: &Evaluation) -> Vec<(String, String)> {
    let fit = &evaluation.fit;
    let n_tested = evaluation.windows.len();
    let mut methods = vec![
        (
            "Scans".to_owned(),
            format!("{}, TR {} s", media.cohort().scans.len(), scan::seconds(media.cohort().t_r_s)),
        ),
        (
            "Windows".to_owned(),
            format!("{} training, {} validation, {n_tested} test", fit.n_train, fit.n_validation),
        ),
        (
            "Parameters".to_owned(),
            format!(
                "{} trained, {} frozen; step {} chosen",
                fit.n_trained, fit.n_frozen, fit.chosen_step
            ),
        ),
        ("Texts against the true ones".to_owned(), evaluation.texts.to_string()),
        ("Shared with training reports".to_owned(), shared(&evaluation.copying)),
        ("Seed".to_owned(), evaluation.seed.to_string()),
        ("Version".to_owned(), format!("neuroflamingo {}", env!("CARGO_PKG_VERSION"))),
    ];
    methods.extend(evaluation.notes.iter().map(|note| ("Note".to_owned(), note.clone())));
    if let Some(parcels) = &media.parcels {
        methods.push(("Parcels".to_owned(), coverage::in_words(parcels)));
    }
    for stage in media.plan.spec().stages() {
        let settings = serde_json::to_value(stage).unwrap_or_default();
        methods.push((format!("Stage {}", stage.name()), settings[stage.name()].to_string()));
    }
    methods
}
