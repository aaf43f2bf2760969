//! `compose`: reference reports from what was measured and from columns of the cohort's table.
mod config;

pub use config::ComposeConfig;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
};

use ::cohort::{Labels, Value as Label};
use preprocess::{Kind, SeriesFacts, StoredSeries};
use report::{
    compose::{
        Composed, Measured, Parcellation, ReportSpec, Spread, StatementSpec, Statistics, Template,
        network_measures,
    },
    counted,
    slots::{Section, SlotSet},
};
use scan::Split;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tables::{Column, Separator, Table};

use super::adjusted::{Adjusted, Covariates, adjust};
use crate::{
    Error, Result,
    event::{Control, Event},
    media::Media,
    plan::{RunPlan, SourcePlan},
    runner::Runner,
    spec::Spec,
    stage::{Artifact, Stage, labels_with, work::Work},
};

const COMPOSED: &str = "composed.json";
/// Where the files stand in the folder of a run.
const FOLDER: &str = "composed";

/// What the stage keeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Composition {
    slots: SlotSet,
    statistics: Statistics,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adjusted: Option<Adjusted>,
    reports: Vec<ScanReport>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ScanReport {
    scan_idx: usize,
    scan: String,
    seconds: f64,
    #[serde(flatten)]
    composed: Composed,
}

/// Files, by their path in the run directory.
pub(crate) type ComposedFiles = BTreeMap<String, Vec<u8>>;

impl Work for ComposeConfig {
    fn name(&self) -> &'static str {
        "compose"
    }

    fn version(&self) -> u32 {
        1
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Media(Kind::ParcelSeries), Artifact::Composed)
    }

    fn check(&self) -> Result<()> {
        let again = |idx: &usize| self.regress_out[..*idx].contains(&self.regress_out[*idx]);
        if let Some(idx) = (0..self.regress_out.len()).find(again) {
            let problem = format!("regress_out names the column {} twice", self.regress_out[idx]);
            return Err(Error::StageInput { stage: self.name(), problem });
        }
        Ok(self.report.get().check()?)
    }
}

/// Refuses to compose without training people to measure others by.
pub(crate) fn has_training_people(
    spec: &Spec,
    source: &SourcePlan,
    runs: &[RunPlan],
) -> Result<()> {
    let config = spec.stages().iter().find_map(|it| match it {
        Stage::Compose(config) => Some(config),
        _ => None,
    });
    let Some(config) = config else { return Ok(()) };
    let refuse = |problem: String| Err(Error::StageInput { stage: "compose", problem });
    let SourcePlan::Recordings(recordings) = source else {
        return refuse(
            "composes reports for recordings; those of cohort.pairs have some".to_owned(),
        );
    };
    // what each will have, as far as it is known before it is read
    let covariates = |it: &::cohort::Recording| {
        let measured = preprocess::Measured::QUANTITIES
            .map(|of| (!of.of_motion || it.confounds.is_some()).then_some(0.0));
        labels_with(&it.labels, &measured)
    };
    let all: Vec<Labels> = recordings.recordings().iter().map(covariates).collect();
    let known: BTreeSet<&str> = all.iter().flat_map(|it| it.keys().map(String::as_str)).collect();
    if let Some(column) = config.regress_out.iter().find(|it| !known.contains(it.as_str())) {
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return refuse(format!("regress_out names {column}, expected one of {known}"));
    }
    let adjusts = |it: &Labels| config.regress_out.iter().all(|column| it.contains_key(column));
    let of = if config.regress_out.is_empty() { "" } else { " with every column of regress_out" };
    for run in runs {
        let trained = recordings.recordings().iter().zip(&all).zip(&run.splits);
        let trained = trained.filter(|((_, of), split)| **split == Split::Train && adjusts(of));
        let mut people: Vec<&str> = trained.map(|((it, _), _)| it.subject()).collect();
        people.sort_unstable();
        people.dedup();
        if people.len() < Statistics::MIN_PEOPLE {
            return refuse(format!(
                "measures everyone by the training people, and there are {}{of}: expected at least {} in \
                 cohort.{}.split",
                people.len(),
                Statistics::MIN_PEOPLE,
                spec.cohort.name(),
            ));
        }
    }
    Ok(())
}

/// Composes a report for every scan, where a stage asks for it.
pub(super) fn compose(
    runner: &mut Runner<'_, '_, '_>,
    media: &Media<'_>,
) -> Result<Option<ComposedFiles>> {
    let found = runner.find(|stage| match stage {
        Stage::Compose(config) => Some(config),
        _ => None,
    });
    let Some((stage, config)) = found else { return Ok(None) };
    let files = runner.stage(
        stage,
        &mut (),
        |()| {
            let splits: Vec<_> = (0..media.scans().len()).map(|idx| media.split_of(idx)).collect();
            let subjects: Vec<_> = media.scans().iter().map(|it| (&it.subject, &it.name)).collect();
            let labels = media.labels();
            json!([{ "splits": splits, "scans": subjects, "labels": labels, "seed": media.run.seed },
                   media.left_out()])
        },
        |(), folders, control| {
            let composition = composition(config, media, control)?;
            Ok(files::write_json(&folders.result.join(COMPOSED), &composition)?)
        },
        |(), dir| written(media, &files::read_json(&dir.join(COMPOSED))?),
    )?;
    Ok(Some(files))
}

fn composition(
    config: &ComposeConfig,
    media: &Media<'_>,
    control: &mut Control<'_>,
) -> Result<Composition> {
    let parcels = media.parcels.as_ref().expect("reports are composed from parcel series");
    let names: Vec<&str> = parcels.about.parcels.iter().map(|it| it.name.as_str()).collect();
    let parcellation = Parcellation::of_names(&names);
    if parcellation.networks().is_empty() {
        let first = names.first().copied().unwrap_or_default();
        let problem = format!(
            "finds no network in the names of the atlas, such as {first:?}: expected names as \
             7Networks_LH_Default_PFC_1"
        );
        return Err(Error::StageInput { stage: "compose", problem });
    }
    let template: Template = config.spec().resolve(parcellation.networks())?;
    let labels = media.labels();
    let (mut measured, mut facts, mut covariates) = (Vec::new(), Vec::new(), Vec::new());
    for (idx, unit) in parcels.units.iter().enumerate() {
        control.checkpoint()?;
        let Some(unit) = unit.as_ref().filter(|_| !media.failures.contains_key(&idx)) else {
            continue;
        };
        let series = StoredSeries::read(unit)?;
        let mut quantities = of_series(&series.facts);
        let z = scan::fisher_z(&series.correlations(&parcels.about.parcels)?);
        quantities.extend(network_measures(z.view(), &parcellation));
        let columns = labels[idx].iter().map(|(name, value)| (name.clone(), value.in_words()));
        let view = &media.scans()[idx];
        measured.push(Measured {
            subject: view.subject.clone(),
            name: view.name.clone(),
            is_training: media.split_of(idx) == Some(Split::Train),
            columns: columns.collect(),
            quantities,
        });
        facts.push((idx, series.facts.n_frames as f64 * series.facts.t_r_s));
        covariates.push(covariates_of(&series.facts, labels[idx]));
    }
    let adjusted = adjust_for(&config.regress_out, &mut measured, &covariates, control)?;
    let statistics = Statistics::fit(&measured)?;
    let reports = measured.iter().zip(facts).map(|(scan, (scan_idx, seconds))| {
        let composed = template.compose(scan, &statistics, media.run.seed)?;
        Ok(ScanReport { scan_idx, scan: scan.name.clone(), seconds, composed })
    });
    let reports = reports.collect::<Result<Vec<_>>>()?;
    Ok(Composition { slots: template.slots, statistics, adjusted, reports })
}

/// Takes covariates out, where some are named; says how many scans could not be adjusted.
fn adjust_for(
    names: &[String],
    measured: &mut [Measured],
    covariates: &[Covariates],
    control: &mut Control<'_>,
) -> Result<Option<Adjusted>> {
    if names.is_empty() {
        return Ok(None);
    }
    let adjusted = adjust(names, measured, covariates)
        .map_err(|problem| Error::StageInput { stage: "compose", problem })?;
    if adjusted.n_unadjusted > 0 {
        let scans = counted(adjusted.n_unadjusted, "scan");
        let text =
            format!("{scans} without a covariate of regress_out: connectivity is not spoken of");
        control.tell(Event::Note { stage: "compose", text });
    }
    Ok(Some(adjusted))
}

/// What may be regressed out of a scan.
fn covariates_of(facts: &SeriesFacts, labels: &Labels) -> Covariates {
    labels_with(labels, &preprocess::Measured::of_series(facts).values())
}

impl ComposeConfig {
    /// The kind of report; one that is adjusted says so.
    fn spec(&self) -> ReportSpec {
        let mut spec = self.report.get().clone();
        if !self.regress_out.is_empty() {
            spec.statements.push(StatementSpec::sentence(
                Section::Limits,
                "Connectivity was adjusted for covariates, as fitted to the training people.",
            ));
        }
        spec
    }
}

/// What is known of a scan beside its connectivity.
fn of_series(facts: &SeriesFacts) -> BTreeMap<String, f64> {
    let measured = preprocess::Measured::of_series(facts);
    let known = [
        ("frames", Some(measured.n_frames as f64)),
        ("t_r", Some(measured.t_r_s)),
        ("mean_fd", measured.fd_mean_mm),
        ("tsnr", measured.median_tsnr),
        ("coverage", measured.coverage.map(|share| 100.0 * share)),
    ];
    known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// The table of reports, their slots, the statistics behind them, and each report for people.
fn written(media: &Media<'_>, found: &Composition) -> Result<ComposedFiles> {
    let at = |name: &str| format!("{FOLDER}/{name}");
    let mut files = ComposedFiles::new();
    files.insert(at("reports.csv"), table(media, found)?);
    let slots = "# What the reports of reports.csv state: cohort.pairs.slots.\n".to_owned();
    files.insert(at("slots.yaml"), (slots + &::config::write(&found.slots)).into_bytes());
    files.insert(at("statistics.tsv"), statistics(&found.statistics).into_bytes());
    if let Some(adjusted) = &found.adjusted {
        let text = files::to_json(adjusted) + "\n";
        files.insert(at("regressed_out.json"), text.into_bytes());
    }
    let statements: Vec<_> = found
        .reports
        .iter()
        .map(|it| json!({ "scan": it.scan, "statements": it.composed.statements }))
        .collect();
    files.insert(at("statements.json"), (files::to_json(&statements) + "\n").into_bytes());
    for it in &found.reports {
        files.insert(
            at(&format!("{}.txt", it.scan)),
            (it.composed.text.clone() + "\n").into_bytes(),
        );
    }
    Ok(files)
}

fn table(media: &Media<'_>, found: &Composition) -> Result<Vec<u8>> {
    let folder = media.plan.dir_of(media.run).join(FOLDER);
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let text = |of: &dyn Fn(&ScanReport) -> Option<String>| {
        Column::Text(found.reports.iter().map(of).collect())
    };
    let scan = |it: &ScanReport| &media.scans()[it.scan_idx];
    let path = |it: &ScanReport| {
        let path = whole(&scan(it).path);
        let relative = files::relative(&path, &whole(&folder)).unwrap_or(path);
        Some(relative.display().to_string())
    };
    let split = |it: &ScanReport| media.split_of(it.scan_idx).map(|split| split.to_string());
    // letters, digits and + only, as the table wants them
    let label = |label: &str| {
        label.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '+').collect::<String>()
    };
    let session = |it: &ScanReport| label(scan(it).session.as_deref().unwrap_or("1"));
    let number = |of: &dyn Fn(&ScanReport) -> f64| {
        Column::Number(found.reports.iter().map(|it| Some(of(it))).collect())
    };
    let mut columns: Vec<(String, Column)> = [
        ("subject", text(&|it| Some(label(&scan(it).subject)))),
        ("session", text(&|it| Some(session(it)))),
        ("scan", text(&path)),
        ("onset", number(&|_| 0.0)),
        ("duration", number(&|it| it.seconds)),
        ("report", text(&|it| Some(it.composed.model_text.clone()))),
        ("split", text(&split)),
    ]
    .map(|(name, column)| (name.to_owned(), column))
    .into();
    // where it is known of all, the verdict keeps to scans of one site
    let labels = media.labels();
    let site = |it: &ScanReport| labels[it.scan_idx].get("site").map(Label::in_words);
    let is_slot = found.slots.slot("site").is_some();
    if !is_slot && found.reports.iter().all(|it| site(it).is_some()) {
        columns.push(("site".to_owned(), text(&site)));
    }
    for (idx, slot) in found.slots.slots().iter().enumerate() {
        let value = |it: &ScanReport| {
            Some(it.composed.values[idx].clone().unwrap_or_else(|| "n/a".to_owned()))
        };
        // members of a set are parted by semicolons, which a cell need not quote
        let cell = |it: &ScanReport| value(it).map(|value| value.replace(", ", "; "));
        columns.push((slot.name.clone(), text(&cell)));
    }
    Ok(Table::new(columns)?.to_text(Separator::Comma)?)
}

/// A row a quantity, and how many people it is of.
fn statistics(found: &Statistics) -> String {
    let mut text = "quantity\tn_people\tmean\tsd\n".to_owned();
    for (name, Spread { n, mean, sd }) in &found.quantities {
        writeln!(text, "{name}\t{n}\t{mean:.6}\t{sd:.6}").expect("a String takes every line");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_a_table_for_people() {
        let spread = Spread { n: 9, mean: 0.5, sd: 0.125 };
        let found = Statistics { n_people: 9, quantities: [("tsnr".to_owned(), spread)].into() };
        let expected = "quantity\tn_people\tmean\tsd\ntsnr\t9\t0.500000\t0.125000\n";
        assert_eq!(statistics(&found), expected);
    }
}
