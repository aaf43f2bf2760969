//! `answers.csv`: a row for each window, question and allowed answer.
use flamingo::LogLikelihood;
use serde::{Deserialize, Serialize};
use tables::{Column, Separator, Table};

use super::{answers::Answers, config::Question};
use crate::{Result, media::Media, plan::AskPlan};

/// The answer to one question about one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GivenAnswer {
    pub(crate) scan_idx: usize,
    subject: String,
    session: Option<String>,
    pub(crate) scan: String,
    /// From 1 within the scan; none where the model sees scans as a whole.
    pub(crate) window: Option<usize>,
    pub(crate) question: String,
    /// Everything that was allowed.
    pub(crate) allowed: Vec<Allowed>,
    /// The likeliest of these.
    pub(crate) given: usize,
    /// Which of these is true, where it is known.
    pub(crate) truth: Option<usize>,
    pub(crate) trained_on: bool,
}

/// One allowed answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Allowed {
    pub(crate) answer: String,
    /// With the own scan.
    pub(crate) probability: f64,
    pub(crate) no_scan: f64,
    /// The mean over other scans, where some were exchanged.
    pub(crate) other_scans: Option<f64>,
    log_likelihood: LogLikelihood,
}

/// The answers to a question, window by window.
pub(super) fn given(
    media: &Media<'_>,
    plan: &AskPlan,
    question: &Question,
    answers: &Answers,
) -> Vec<GivenAnswer> {
    let of = |(at, &place): (usize, &usize)| {
        let window = &plan.windows[place];
        let scan = &media.scans()[window.scan_idx];
        let answered = &answers.answered[at];
        let allowed = |(idx, answer): (usize, &String)| Allowed {
            answer: answer.clone(),
            probability: answered.own[idx],
            no_scan: answered.no_scan[idx],
            other_scans: answered.other_scans.as_ref().map(|it| it[idx]),
            log_likelihood: answers.own[at][idx],
        };
        GivenAnswer {
            scan_idx: window.scan_idx,
            subject: scan.subject.clone(),
            session: scan.session.clone(),
            scan: scan.name.clone(),
            window: window.window,
            question: question.id.clone(),
            allowed: question.answers.iter().enumerate().map(allowed).collect(),
            given: answered.given(),
            truth: answered.truth,
            trained_on: answers.trained_on[at],
        }
    };
    answers.there.iter().enumerate().map(of).collect()
}

/// The table as text.
pub(super) fn text(given: &[GivenAnswer]) -> Result<Vec<u8>> {
    let rows: Vec<(&GivenAnswer, usize)> =
        given.iter().flat_map(|it| (0..it.allowed.len()).map(move |at| (it, at))).collect();
    let text = |of: &dyn Fn(&GivenAnswer, &Allowed) -> Option<String>| {
        Column::Text(rows.iter().map(|(it, at)| of(it, &it.allowed[*at])).collect())
    };
    let number = |of: &dyn Fn(&Allowed) -> Option<f64>| {
        Column::Number(rows.iter().map(|(it, at)| of(&it.allowed[*at])).collect())
    };
    let integer = |of: &dyn Fn(&GivenAnswer, &Allowed) -> Option<usize>| {
        let cells = rows.iter().map(|(it, at)| Some(of(it, &it.allowed[*at])? as i64));
        Column::Integer(cells.collect())
    };
    let flag = |of: &dyn Fn(&GivenAnswer, usize) -> Option<bool>| {
        Column::Flag(rows.iter().map(|(it, at)| of(it, *at)).collect())
    };
    let table = Table::new([
        ("participant_id", text(&|it, _| Some(it.subject.clone()))),
        ("session_id", text(&|it, _| it.session.clone())),
        ("scan", text(&|it, _| Some(it.scan.clone()))),
        ("window", integer(&|it, _| it.window)),
        ("question", text(&|it, _| Some(it.question.clone()))),
        ("answer", text(&|_, it| Some(it.answer.clone()))),
        ("probability", number(&|it| Some(it.probability))),
        ("no_scan", number(&|it| Some(it.no_scan))),
        ("other_scans", number(&|it| it.other_scans)),
        ("is_given", flag(&|it, at| Some(it.given == at))),
        ("is_true", flag(&|it, at| Some(it.truth? == at))),
        ("log_likelihood", number(&|it| Some(it.log_likelihood.sum))),
        ("n_tokens", integer(&|_, it| Some(it.log_likelihood.n_tokens))),
        ("trained_on", flag(&|it, _| Some(it.trained_on))),
    ])?;
    Ok(table.to_text(Separator::Comma)?)
}
