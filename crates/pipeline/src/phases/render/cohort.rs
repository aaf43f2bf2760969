//! The page of everybody, and what was found out about the texts.
use std::collections::BTreeMap;

use pages::{Answers, CohortPage, CurvePoint, Figure, Findings, Outlier, PersonRow, outliers};
use report::{evidence::age_bin, metrics::Copying, tables::SummaryTable};
use serde_json::Value;

use super::{
    answers,
    drawing::{Drawing, Measured},
};
use crate::{
    media::Media,
    methods,
    phases::Evaluation,
    plan::SourcePlan,
    stage::{Stage, coverage},
};

impl Drawing<'_> {
    /// The page of everybody; `findings` are [`Drawing::findings`].
    pub(super) fn cohort(&self, people: Vec<PersonRow>, findings: Option<Findings>) -> CohortPage {
        let media = self.media;
        CohortPage {
            title: media.plan.spec().name.clone(),
            findings,
            asked: self.asked.map_or_else(Vec::new, |it| answers::questions(&it.metrics)),
            counts: self.counts(),
            outliers: self.outliers(),
            people,
            left_out: self.left.iter().map(|it| (it.scan.clone(), it.reason.clone())).collect(),
            boilerplate: self.boilerplate.clone(),
            methods: self.methods(),
        }
    }

    /// What was found out, where something was evaluated.
    pub(super) fn findings(&self) -> Option<Findings> {
        let Measured { reports, evaluation, .. } = self.measured?;
        let cohort = self.media.cohort();
        let scan = |row: usize| &cohort.scans[cohort.rows[row].scan_idx];
        let groups = [
            ("site", self.answers_by(|row| scan(row).site.clone())),
            ("sex", self.answers_by(|row| cohort.rows[row].sex.clone())),
            ("age", self.answers_by(|row| age_bin(cohort.rows[row].age.as_deref()?))),
            ("true value", self.answers_by(|row| cohort.rows[row].truth.clone())),
        ];
        let groups = groups.into_iter().filter(|(_, of)| (2..=MOST_GROUPS).contains(&of.len()));
        Some(Findings {
            evidence: evaluation.evidence.clone(),
            table: SummaryTable::new(&evaluation.evidence),
            scores: evaluation.scored().cloned(),
            reliability: evaluation.calibration.as_ref().map(|it| it.reliability.clone()),
            statements: evaluation.statements.clone(),
            curve: curve(evaluation),
            n_texts: reports.len(),
            n_distinct: evaluation.n_distinct_reports,
            people: self.answers_by(|row| Some(scan(row).subject.clone())),
            groups: groups.map(|(name, of): (&str, Vec<Answers>)| (name.to_owned(), of)).collect(),
        })
    }

    fn counts(&self) -> Vec<(String, usize)> {
        let n = self.media.scans().len();
        let is_whole = |idx: &usize| self.is_there(*idx) && !self.media.failures.contains_key(idx);
        let mut counts = vec![("complete".to_owned(), (0..n).filter(is_whole).count())];
        let mut kinds: BTreeMap<(bool, &str), usize> = BTreeMap::new();
        for it in &self.left {
            *kinds.entry((it.status != "FAIL", it.kind.as_str())).or_default() += 1;
        }
        let named = |((unwanted, kind), n): ((bool, &str), usize)| {
            (format!("{}: {kind}", if unwanted { "left out" } else { "failed" }), n)
        };
        counts.extend(kinds.into_iter().map(named));
        counts
    }

    fn outliers(&self) -> Option<Figure> {
        let media = self.media;
        let point = |idx: usize| {
            // one whose series were read may have failed later
            if media.failures.contains_key(&idx) {
                return None;
            }
            let measured = media.measured(idx).ok()??;
            let scan = &media.scans()[idx];
            Some(Outlier {
                name: scan.name.clone(),
                page: format!("sub-{}.html", scan.subject),
                mean_fd_mm: measured.fd_mean_mm?,
                median_tsnr: measured.median_tsnr?,
                n_lost: measured.n_lost?,
                probability: self.probability(idx),
            })
        };
        let points: Vec<Outlier> = (0..media.scans().len()).filter_map(point).collect();
        Some(Figure {
            title: "Motion and signal".to_owned(),
            svg: outliers(&points)?,
            shows: "Each point is a recording and leads to its person; larger points have more parcels without data, \
                    and less transparent ones a higher mean probability of what the texts state, where there are texts."
                .to_owned(),
            good: "one cloud.",
            bad: "points far to the right (motion) or far below the others.",
            curves: None,
        })
    }

    /// Mean probability of what the texts about a scan state in the scored slots.
    fn probability(&self, idx: usize) -> Option<f64> {
        let reports = self.measured?.reports;
        let SourcePlan::Cohort(cohort) = &self.media.plan.source else { return None };
        let of_scan = reports.iter().filter(|it| cohort.rows[it.row].scan_idx == idx);
        let scored = self.media.slots().scored_idxs();
        let known = of_scan
            .flat_map(|it| scored.iter().filter_map(|&slot| it.answer.slots.get(slot)?.confidence));
        let known: Vec<f64> = known.collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    }

    /// What was done with what, in words.
    fn methods(&self) -> Vec<(String, String)> {
        let media = self.media;
        let mut rows = self.evaluation().map_or_else(Vec::new, |it| of_evaluation(media, it));
        rows.push(("Random seed".to_owned(), media.run.seed.to_string()));
        rows.push(("Version".to_owned(), format!("neuroflamingo {}", methods::VERSION)));
        rows.extend(
            media.parcels.as_ref().map(|it| ("Parcels".to_owned(), coverage::in_words(it))),
        );
        let settings = |stage: &Stage| {
            let all = serde_json::to_value(stage).unwrap_or_default();
            (format!("Stage {}", stage.name()), all[stage.name()].to_string())
        };
        rows.extend(media.plan.spec().stages().iter().map(settings));
        rows
    }
}

/// A table of more groups is none.
const MOST_GROUPS: usize = 50;

fn of_evaluation(media: &Media<'_>, evaluation: &Evaluation) -> Vec<(String, String)> {
    let (fit, cohort) = (&evaluation.fit, media.cohort());
    let n_tested = evaluation.windows.len();
    let t_r_s = scan::seconds(cohort.t_r_s);
    let mut rows = vec![
        ("Scans", format!("{}, TR {t_r_s} s", cohort.scans.len())),
        (
            "Windows",
            format!("{} training, {} validation, {n_tested} test", fit.n_train, fit.n_validation),
        ),
        (
            "Parameters",
            format!(
                "{} trained, {} frozen; step {} chosen",
                fit.n_trained, fit.n_frozen, fit.chosen_step
            ),
        ),
        ("Texts against the true ones", evaluation.texts.to_string()),
        ("Shared with training reports", shared(&evaluation.copying)),
    ];
    rows.extend(evaluation.notes.iter().map(|note| ("Note", note.clone())));
    rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
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
