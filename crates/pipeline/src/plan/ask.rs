//! Whether a package can be asked the questions of `ask` about a cohort, before a scan is opened.
use std::collections::BTreeSet;

use encoder::{EncoderConfig, InputShape};
use flamingo::{END_OF_CHUNK, IMAGE, Manifest, PackageTexts, RankBy};
use preprocess::{Recipe, Recording, Step, Timing};
use report::{
    counted,
    prompt::{Labels, Technique},
};
use scan::WindowConfig;
use serde_json::json;

use super::{AskPlan, AskedWindow, CohortPlan, RowPlan, RunPlan, SourcePlan, frames::Frames, rows};
use crate::{
    Error, Result,
    model_id::model_id,
    package::{Posed, Section},
    phases::{AskConfig, Question},
    spec::{Loaded, Spec},
};

/// Its name in a file.
const STAGE: &str = "ask";

/// Resolves the package, and checks what is asked of it; nothing where nothing is asked.
pub(super) fn plan(
    loaded: &Loaded,
    source: &SourcePlan,
    scans: &[Recording],
    runs: &[RunPlan],
) -> Result<Option<AskPlan>> {
    let Some(config) = loaded.spec.ask() else { return Ok(None) };
    let section = "package";
    let package = loaded.spec.package.as_ref();
    let package = package.ok_or(Error::MissingSection { stage: STAGE, section })?;
    let package = loaded.resolve(package);
    let mut manifest = flamingo::inspect(&package)?.manifest;
    manifest.find_encoders(loaded.encoders());
    if matches!(manifest.input, InputShape::Image { .. }) {
        return refuse(format!("the package reads {}, expected one for scans", manifest.input));
    }
    if manifest.config.media.len() > 1 {
        let n = manifest.config.media.len();
        return refuse(format!(
            "the package reads {n} media of a person, expected one for scans alone"
        ));
    }
    let mut section = Section::read(&package, &manifest)?;
    section.find_steps(loaded.steps());
    asked_once(runs)?;
    let steps: Vec<&dyn Step> = section.steps().collect();
    let events = steps.iter().find_map(|step| step.cut()?.events().cloned());
    let windows = windows(&loaded.spec, config, source, events.as_ref())?;
    match (source, &events) {
        (SourcePlan::Cohort(cohort), Some(events)) => inside(cohort, &steps, events)?,
        (SourcePlan::Cohort(cohort), None) => {
            let frames = Frames::of_steps(loaded, scans, None, steps.clone());
            let sliding = steps.iter().find_map(|step| step.cut()?.sliding().cloned());
            rows::of_whole_scans(cohort, sliding.as_ref(), &frames)?;
        }
        _ => {}
    }
    known_rate(&section, scans)?;
    for question in &config.questions {
        truths_are_answers(question, source, &windows)?;
        states_no_answer(question, &windows)?;
    }
    texts(config, &section, &PackageTexts::open(&package)?, &windows)?;
    let trained_on = trained_on(&manifest);
    let preprocessing = preprocessing(&section, &manifest)?;
    let (model_id, manifest) = (model_id(&manifest), manifest.digest());
    let n_questions = config.questions.len();
    Ok(Some(AskPlan {
        package,
        model_id,
        manifest,
        preprocessing,
        n_questions,
        windows,
        trained_on,
    }))
}

/// How a package shows a scan, hashed: its settings, the versions of its stages, and its frozen encoder.
fn preprocessing(section: &Section, manifest: &Manifest) -> Result<String> {
    let frozen = manifest.frozen_encoder.as_ref().map(EncoderConfig::identity);
    let frozen = frozen.transpose().map_err(Error::Encoder)?;
    let decides = json!([manifest.preprocessing, section.versions(), frozen]);
    Ok(files::sha256_bytes(decides.to_string().as_bytes()))
}

fn refuse<T>(problem: String) -> Result<T> {
    Err(Error::StageInput { stage: STAGE, problem })
}

/// Every scan is asked about, so there is nothing to divide or repeat.
fn asked_once(runs: &[RunPlan]) -> Result<()> {
    if runs.len() > 1 {
        return refuse(format!(
            "asks about every scan once, and {} are to be made: expected no `repeat` and one division at most",
            counted(runs.len(), "run")
        ));
    }
    Ok(())
}

/// Digests of the scans that a package was trained on.
fn trained_on(manifest: &Manifest) -> BTreeSet<String> {
    let scans = manifest.trained_on["scans_sha256"].as_array();
    scans.into_iter().flatten().filter_map(|it| it.as_str().map(str::to_owned)).collect()
}

/// Every window of the cohort with the cells that questions name: rows of a table, or recordings as a whole.
fn windows(
    spec: &Spec,
    config: &AskConfig,
    source: &SourcePlan,
    events: Option<&WindowConfig>,
) -> Result<Vec<AskedWindow>> {
    let kind = spec.cohort.name();
    match source {
        SourcePlan::Cohort(cohort) => {
            let window = |row: &RowPlan| AskedWindow {
                scan_idx: row.scan_idx,
                window: events.map(|_| row.window),
                cells: row.asked.clone(),
                site: cohort.scans[row.scan_idx].site.clone(),
                sex: row.sex.clone(),
                age: row.age.clone(),
            };
            let mut windows: Vec<AskedWindow> = Vec::new();
            for row in &cohort.rows {
                let window = window(row);
                // a scan that is seen as a whole is asked about once
                let same = |it: &&AskedWindow| it.scan_idx == row.scan_idx;
                let earlier = if events.is_none() { windows.iter().find(same) } else { None };
                match earlier {
                    None => windows.push(window),
                    Some(earlier) if *earlier == window => {}
                    Some(_) => {
                        let (path, row) = (cohort.table.clone(), row.row);
                        let problem = "says other things than an earlier row of the same scan, which the package \
                                       sees as a whole";
                        let problem = problem.to_owned();
                        return Err(Error::RowProblem { path, row, problem });
                    }
                }
            }
            Ok(windows)
        }
        SourcePlan::Recordings(_) if events.is_some() => refuse(format!(
            "the package sees windows of events, and cohort.{kind} has none: list scans and onsets under cohort.pairs"
        )),
        SourcePlan::Recordings(plan) => {
            let recordings = plan.recordings();
            let known: BTreeSet<&str> =
                recordings.iter().flat_map(|it| it.labels.keys().map(String::as_str)).collect();
            let columns = config.columns();
            if let Some(column) = columns.iter().find(|it| !known.contains(**it)) {
                let known = known.into_iter().collect::<Vec<_>>();
                let expected = match &known[..] {
                    [] => "a table of labels, and there is none".to_owned(),
                    known => format!("one of {}", known.join(", ")),
                };
                return refuse(format!("names the column {column}, expected {expected}"));
            }
            let window = |(scan_idx, it): (usize, &::cohort::Recording)| {
                let cell = |name: &str| Some(it.labels.get(name)?.in_words());
                let cells = columns.iter().filter_map(|name| {
                    let label = report::prompt::label(name, &cell(name)?);
                    Some(label.map(|label| Some(((*name).to_owned(), label?))))
                });
                let cells: std::result::Result<Vec<_>, String> = cells.collect();
                let cells = cells.or_else(refuse)?.into_iter().flatten().collect();
                let (site, sex, age) = (cell("site"), cell("sex"), cell("age"));
                let sex = sex.map(|it| it.to_lowercase());
                Ok(AskedWindow { scan_idx, window: None, cells, site, sex, age })
            };
            recordings.iter().enumerate().map(window).collect()
        }
        SourcePlan::Pictures(_) | SourcePlan::Benchmark(_) | SourcePlan::Corpus { .. } => {
            unreachable!("the chain of stages was checked")
        }
    }
}

/// Refuses events whose windows do not lie in their scans, as far as headers say it.
fn inside(cohort: &CohortPlan, steps: &[&dyn Step], events: &WindowConfig) -> Result<()> {
    let mut problems = Vec::new();
    for row in &cohort.rows {
        let scan = &cohort.scans[row.scan_idx];
        let in_file = Timing { n_frames: scan.n_frames, t_r_s: scan.t_r_s };
        let timing = Recipe::timing(steps.iter().copied(), in_file);
        let (Some((n_frames, t_r_s)), None) = (timing.both(), &scan.kept) else { continue };
        if let Err(source) = events.frames(scan.since_first_frame(row.onset_s), t_r_s, n_frames) {
            let (path, row, source) = (cohort.table.clone(), row.row, Box::new(source));
            problems.push(Error::Row { path, row, source });
        }
    }
    Error::collect(problems)
}

/// Refuses a cohort of which no scan has a repetition time that the package was fitted to.
fn known_rate(section: &Section, scans: &[Recording]) -> Result<()> {
    let mut first = None;
    for scan in scans {
        let Some(t_r_s) = scan.t_r_s else { return Ok(()) };
        match section.other_rate(t_r_s) {
            None => return Ok(()),
            Some(problem) => first = first.or(Some(problem)),
        }
    }
    first.map_or(Ok(()), |problem| {
        refuse(format!("{problem} (the first of {})", counted(scans.len(), "scan")))
    })
}

/// Refuses a true answer that is not allowed, and a column that says none.
fn truths_are_answers(
    question: &Question,
    source: &SourcePlan,
    windows: &[AskedWindow],
) -> Result<()> {
    let Some(column) = &question.truth else { return Ok(()) };
    let id = &question.id;
    let mut n_known = 0;
    for window in windows {
        let Some(cell) = window.cells.get(column) else { continue };
        n_known += 1;
        if question.answers.contains(cell) {
            continue;
        }
        let allowed = question.answers.join(", ");
        let problem = format!(
            "column {column} holds {cell:?}, which is no allowed answer to question {id}, expected {allowed} or n/a"
        );
        let SourcePlan::Cohort(cohort) = source else { return refuse(problem) };
        let of_window = |it: &&RowPlan| {
            it.scan_idx == window.scan_idx && window.window.is_none_or(|number| number == it.window)
        };
        let row = cohort.rows.iter().find(of_window).map_or(1, |it| it.row);
        return Err(Error::RowProblem { path: cohort.table.clone(), row, problem });
    }
    if n_known == 0 {
        return refuse(format!(
            "column {column}, which holds the answers to question {id}, is empty"
        ));
    }
    Ok(())
}

/// Refuses to tell the model what it is asked: the column of the truth, or a cell that holds an answer.
fn states_no_answer(question: &Question, windows: &[AskedWindow]) -> Result<()> {
    let id = &question.id;
    if let Some(column) =
        question.truth.as_deref().filter(|it| question.words.columns().contains(it))
    {
        return refuse(format!(
            "question {id} states the column {column}, which holds its answers: the model would be told what it is asked"
        ));
    }
    for (column, cell) in windows.iter().flat_map(|it| it.stated(question)) {
        if let Some(answer) = question.answers.iter().find(|answer| holds(&cell, answer)) {
            return refuse(format!(
                "question {id} states the column {column}, of which a cell holds the answer {answer:?}: the model would \
                 be told what it is asked"
            ));
        }
    }
    Ok(())
}

/// Whether a cell says an answer: as a whole, or, of an answer of more than three letters, among other words.
fn holds(cell: &str, answer: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|it| !it.is_empty());
        words.map(str::to_lowercase).collect()
    };
    let (cell, answer_words) = (words(cell), words(answer));
    if answer_words.is_empty() || answer.trim().chars().count() <= 3 {
        return cell == answer_words && !answer_words.is_empty();
    }
    cell.windows(answer_words.len()).any(|it| it == answer_words)
}

/// Refuses words and answers that the model cannot read, or that are the same to it.
fn texts(
    config: &AskConfig,
    section: &Section,
    texts: &PackageTexts,
    windows: &[AskedWindow],
) -> Result<()> {
    for question in &config.questions {
        let id = &question.id;
        let words = String::from(question.words.clone());
        for text in question.answers.iter().chain([&words]) {
            if let Some(token) = [IMAGE, END_OF_CHUNK].iter().find(|it| text.contains(**it)) {
                return refuse(format!(
                    "question {id} holds the token `{token}`, which has its own place"
                ));
            }
        }
        // as many digits as there may be, so that what is measured later is no longer
        let technique = Technique {
            t_r_s: 83.517,
            n_volumes: 83_517,
            n_voxels: 83_517_264,
            median_tsnr: Some(83_517.0),
        };
        let stated: BTreeSet<Labels> = windows.iter().map(|it| it.stated(question)).collect();
        let mut longest = 0;
        let mut ids = Vec::new();
        let posed = Posed::of(section.chat.as_ref(), &question.words, &technique, &Labels::new());
        for answer in &question.answers {
            let tokens = texts.continuation(&format!("{}{answer}", posed.blank))?;
            longest = longest.max(tokens.len());
            ids.push(tokens);
        }
        for (at, tokens) in ids.iter().enumerate() {
            let same = |other: &Vec<u32>| match config.rank_by {
                RankBy::Mean => tokens == other,
                // a text is never likelier than its beginning
                RankBy::Sum => tokens.starts_with(other) || other.starts_with(tokens),
            };
            if let Some(earlier) = ids[..at].iter().position(same) {
                let [a, b] = [earlier, at].map(|it| &question.answers[it]);
                let problem = if ids[earlier] == ids[at] {
                    "have the same tokens"
                } else {
                    "begin with the same tokens, and the shorter one would always be likelier: compare them by `rank_by: \
                     mean`, or give other words"
                };
                return refuse(format!("the answers {a:?} and {b:?} to question {id} {problem}"));
            }
        }
        for labels in &stated {
            let posed = Posed::of(section.chat.as_ref(), &question.words, &technique, labels);
            match texts.check(&posed.with_scan, 1, longest) {
                Err(flamingo::Error::TooLong { found, limit }) => {
                    return refuse(format!(
                        "question {id} has up to {found} tokens with its longest answer, the language model reads {limit}"
                    ));
                }
                other => other?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_says_an_answer_is_found() {
        assert!(holds("Male", "male") && holds("a female, 40", "female"));
        assert!(!holds("female", "male") && !holds("males", "male"));
        // short answers are words of other meanings too
        assert!(holds("No", "no") && !holds("no history", "no") && !holds("10", "1"));
        assert!(holds("left-handed writer", "left handed") && !holds("", "no"));
    }
}
