//! The cohort table against its scans: headers, windows, reports, splits.
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use preprocess::{Kind, Recipe, Timing};
use report::slots::{Slot, SlotReading, SlotSet};
use scan::{Pair, PairsTable, Split, WindowConfig};

use super::{
    CohortPlan, RowPlan, RunPlan, ScanPlan, labels, omics, pairs, scans, slots,
    table::{joint, slots_of},
};
use crate::{
    Error, Result,
    phases::AskConfig,
    spec::{Loaded, PairsSpec, Spec},
    stage::{Artifact, Stage},
};

pub(super) fn plan(
    loaded: &Loaded,
    spec: &PairsSpec,
    window: Option<&WindowConfig>,
) -> Result<CohortPlan> {
    let path = loaded.resolve(&spec.table);
    let slots = slots_of(spec);
    labels::state_no_truth(&spec.prompt, slots)?;
    omics::are_named(&loaded.spec, spec)?;
    let of_slots = slots.slots().iter().filter_map(|it| it.truth.column());
    let of_questions = loaded.spec.ask().into_iter().flat_map(AskConfig::columns);
    let further = of_slots.chain(spec.prompt.columns()).chain(of_questions);
    let further: Vec<&str> = further.chain(omics::columns(spec)).collect();
    let table = pairs::read(&path, &further)?;
    if loaded.spec.repeat.as_ref().is_none_or(|repeat| !repeat.divides()) {
        table.check_splits(spec.split_unit)?;
    }
    if let Some(found) = spec.t_r.filter(|it| !(it.is_finite() && *it > 0.0)) {
        return Err(scan::Error::BadRepetitionTime { found }.into());
    }
    let omics = omics::plan(loaded, spec, &table)?;
    let (mut scans, rows) = list(loaded, &table, spec)?;
    if loaded.spec.stages().iter().any(Stage::asks_for_confounds) {
        scans.iter_mut().for_each(|it| it.confounds = ::cohort::confounds_beside(&it.path));
    }
    let mut problems = Vec::new();
    // parcels and volumes are brought onto one grid; voxels of a mask have to be on it
    let alike = loaded.spec.steps().any(preprocess::Step::wants_one_grid);
    let facts = scans::check_headers(loaded.known(), &mut scans, spec.t_r, alike, &mut problems);
    if let (Some(window), Some(facts)) = (window, &facts) {
        for row in &rows {
            let scan = &scans[row.scan_idx];
            // that of the first is asked of all of one grid
            let t_r_s = scan.t_r_s.filter(|_| !alike).unwrap_or(facts.t_r_s);
            let in_file = Timing { n_frames: scan.n_frames, t_r_s: Some(t_r_s) };
            let timing = Recipe::timing(loaded.spec.steps(), in_file);
            // in a scan from which frames were left out an event lies elsewhere: it is cut when it is read
            let (Some((n_frames, t_r_s)), None) = (timing.both(), &scan.kept) else { continue };
            let onset_s = scan.since_first_frame(row.onset_s);
            if let Err(source) = window.frames(onset_s, t_r_s, n_frames) {
                let (path, row, source) = (path.clone(), row.row, Box::new(source));
                problems.push(Error::Row { path, row, source });
            }
        }
    }
    Error::collect(problems)?;
    let facts = facts.expect("without any readable header there is a problem");
    let sha256 = scan::sha256_file(&path)?;
    Ok(CohortPlan { table: path, sha256, scans, rows, t_r_s: facts.t_r_s, grid: facts.grid, omics })
}

fn list(
    loaded: &Loaded,
    table: &PairsTable,
    spec: &PairsSpec,
) -> Result<(Vec<ScanPlan>, Vec<RowPlan>)> {
    let slots = slots_of(spec);
    let mut scans: Vec<ScanPlan> = Vec::new();
    let mut rows: Vec<RowPlan> = Vec::new();
    for pair in &table.pairs {
        for (column, label) in [("subject", &pair.subject), ("session", &pair.session)] {
            if label.is_empty() || !label.chars().all(|c| c.is_ascii_alphanumeric() || c == '+') {
                let (path, found) = (table.path.clone(), label.clone());
                return Err(Error::Label { path, column, found });
            }
        }
        let path = table.scan_path(pair);
        let known = scans.iter().position(|scan| scan.path == path);
        if known.is_none() {
            scans.push(scan_plan(loaded, table, pair, &scans)?);
        }
        let scan_idx = known.unwrap_or(scans.len() - 1);
        let truths = truths(slots, pair, &table.path)?;
        rows.push(RowPlan {
            row: pair.row,
            scan_idx,
            window: 1 + rows.iter().filter(|row| row.scan_idx == scan_idx).count(),
            onset_s: pair.onset,
            duration_s: pair.duration,
            report: pair.report.clone(),
            truth: joint(slots, &truths, &pair.report),
            truths,
            labels: labels::of(&spec.prompt, pair, &table.path)?,
            asked: labels::asked(loaded.spec.ask(), pair, &table.path)?,
            sex: of_person(pair, "sex").map(|it| it.to_lowercase()),
            age: of_person(pair, "age"),
            split: pair.split,
        });
    }
    let sites = sites(table);
    scans.iter_mut().for_each(|scan| scan.site = sites.get(scan.subject.as_str()).cloned());
    Ok((scans, rows))
}

/// What an optional column says of a person.
fn of_person(pair: &Pair, column: &str) -> Option<String> {
    let cell = pair.further.get(column)?.trim();
    (!matches!(cell, "" | "n/a")).then(|| cell.to_owned())
}

/// The site of each subject. Who was scanned at several is like nobody who was at one of them only.
fn sites(table: &PairsTable) -> BTreeMap<&str, String> {
    let mut sites: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for pair in &table.pairs {
        if let Some(site) = &pair.site {
            sites.entry(&pair.subject).or_default().insert(site);
        }
    }
    let joined = |sites: BTreeSet<&str>| sites.into_iter().collect::<Vec<_>>().join("\n");
    sites.into_iter().map(|(subject, sites)| (subject, joined(sites))).collect()
}

fn scan_plan(
    loaded: &Loaded,
    table: &PairsTable,
    pair: &Pair,
    before: &[ScanPlan],
) -> Result<ScanPlan> {
    let path = table.scan_path(pair);
    let same = |scan: &&ScanPlan| scan.subject == pair.subject && scan.session == pair.session;
    Ok(ScanPlan {
        subject: pair.subject.clone(),
        session: pair.session.clone(),
        site: None,
        run: 1 + before.iter().filter(same).count(),
        sha256: loaded.sha256(&path)?,
        name: pair.scan.display().to_string(),
        coverage: ::cohort::coverage_beside(&path),
        path,
        n_frames: None,
        t_r_s: None,
        start_s: 0.0,
        kept: None,
        confounds: None,
    })
}

/// The true value of each slot: what the report states, or the cell of a column.
fn truths(slots: &SlotSet, pair: &Pair, table: &Path) -> Result<Vec<Option<String>>> {
    let stated = slots.parse(&pair.report).slots;
    let of = |(slot, reading): (&Slot, &SlotReading)| {
        let Some(column) = slot.truth.column() else {
            return Ok(reading.value().map(str::to_owned));
        };
        // `site` is a column of every table
        let site = pair.site.as_ref().filter(|_| column == "site");
        let Some(cell) = pair.further.get(column).or(site) else {
            let problem =
                format!("column {column} is missing, which slot {} is true by", slot.name);
            return Err(Error::TableProblem { path: table.to_owned(), problem });
        };
        slot.true_value(cell).map_err(|error| {
            let (path, row, problem) = (table.to_owned(), pair.row, error.to_string());
            Error::RowProblem { path, row, problem }
        })
    };
    slots.slots().iter().zip(&stated).map(of).collect()
}

/// Each split that a stage needs is there, and no scan is in two of them under two names.
pub(super) fn check_splits(spec: &Spec, cohort: &CohortPlan, run: &RunPlan) -> Result<()> {
    let gives = |artifact| {
        let mut stages = spec.stages().iter();
        stages.find(|stage| stage.gives(artifact)).map(Stage::name)
    };
    let needed = [
        (Split::Train, gives(Artifact::Media(Kind::Series)).or(gives(Artifact::Model))),
        (Split::Validation, gives(Artifact::Model)),
        (Split::Test, gives(Artifact::Reports)),
    ];
    for (split, stage) in needed {
        if let Some(stage) = stage
            && !run.splits.contains(&split)
        {
            return Err(Error::EmptySplit { path: cohort.table.clone(), split, stage });
        }
    }
    // a cell of a column may be missing; a report that does not state what it is scored by is a mistake
    let slots = slots(spec);
    let by_text = |idx: &usize| slots.slots()[*idx].truth.column().is_none();
    if gives(Artifact::Evidence).is_some() && slots.scored_idxs().iter().any(by_text) {
        for (row, split) in cohort.rows.iter().zip(&run.splits) {
            if row.truth.is_none() && *split != Split::Validation {
                return Err(Error::UnscoredReport {
                    path: cohort.table.clone(),
                    row: row.row,
                    slot: slots.scored().map_or_else(String::new, |it| it.name.clone()),
                    report: row.report.clone(),
                });
            }
        }
    }
    if gives(Artifact::Evidence).is_some() {
        let tested = cohort.rows.iter().zip(&run.splits).filter(|(_, it)| **it == Split::Test);
        let mut values: Vec<_> = tested.filter_map(|(row, _)| row.truth.as_ref()).collect();
        values.dedup();
        if let [value] = values[..] {
            return Err(Error::OneValue { path: cohort.table.clone(), value: value.clone() });
        }
        if values.is_empty() {
            let (path, split) = (cohort.table.clone(), Split::Test);
            let problem = "no row has a true value of a scored slot, expected two different ones";
            return Err(Error::SplitProblem { path, split, problem: problem.to_owned() });
        }
    }
    scans::check_same_bytes(cohort, &run.splits)
}
