//! What the pages of a run are drawn from.
use std::collections::BTreeMap;

use ndarray::Axis;
use pages::{
    Answers, Leaning, LeaningPlace, LeaningToken, ReportView, SlotView, WindowMap, by_network,
};
use report::generated::GeneratedReport;
use serde_json::{Value, json};

use super::{config::RenderConfig, recordings};
use crate::{
    Result,
    media::Media,
    methods,
    phases::{AskedCohort, Attributed, Evaluation, Found, Place, Token, Trained, WrittenReport},
    publish,
    record::{self, Left},
    stage::Stage,
};

/// A trained model, what it wrote, and what was found out about that.
#[derive(Clone, Copy)]
pub(in crate::phases) struct Measured<'a> {
    pub(in crate::phases) trained: &'a Trained,
    pub(in crate::phases) reports: &'a [WrittenReport],
    pub(in crate::phases) evaluation: &'a Evaluation,
    /// What the reports lean on, where a stage asks for it.
    pub(in crate::phases) attributed: Option<&'a Attributed>,
}

/// A run with what all of its pages share.
pub(super) struct Drawing<'a> {
    pub(super) config: &'a RenderConfig,
    pub(super) media: &'a Media<'a>,
    pub(super) measured: Option<Measured<'a>>,
    /// Answers to questions about every scan.
    pub(super) asked: Option<&'a AskedCohort>,
    /// The reports with where they come from.
    pub(super) generated: Vec<GeneratedReport>,
    /// The recordings that are not there.
    pub(super) left: Vec<Left>,
    /// The recordings whose scans cannot be opened now.
    pub(super) away: Vec<usize>,
    /// The order of parcels in figures.
    pub(super) order: Vec<usize>,
    /// Networks in that order, each with its number of parcels.
    pub(super) networks: Vec<(String, usize)>,
    /// The steps that series went through.
    pub(super) after: String,
    pub(super) boilerplate: String,
    /// Everything here that decides the page of any person.
    pub(super) shared: Value,
}

impl<'a> Drawing<'a> {
    pub(super) fn of(
        config: &'a RenderConfig,
        media: &'a Media<'a>,
        measured: Option<Measured<'a>>,
        asked: Option<&'a AskedCohort>,
        away: Vec<usize>,
    ) -> Result<Self> {
        let generated = match measured {
            Some(Measured { trained, reports, .. }) => publish::generated(media, trained, reports)?,
            None => Vec::new(),
        };
        let about = media.parcels.as_ref().map(|it| &it.about);
        let names = about.map_or_else(Vec::new, |it| preprocess::names(&it.parcels));
        let (order, networks) = by_network(&names);
        let spec = media.plan.spec();
        let steps = spec.stages().iter().filter(|stage| stage.changes_series());
        let after = steps.map(Stage::name).collect::<Vec<_>>().join(", ");
        let references = methods::references(media.plan).into_iter().map(|it| it.cited(""));
        let boilerplate = format!(
            "Results were computed with {} References: {}",
            methods::paragraph(media.plan, media.run.seed),
            references.collect::<Vec<_>>().join(" ")
        );
        let evidence = measured.map(|it| &it.evaluation.evidence);
        let shared = json!({
            "run": spec.name,
            "config": config,
            "boilerplate": boilerplate,
            "after": after,
            "parcels": about.map(|it| &it.parcels),
            "atlas": about.map(|it| &it.atlas),
            "verdict": evidence.map(|it| &it.verdict),
            "grounding": evidence.map(|it| &it.grounding),
            // which statements are scored, and how near is right
            "slots": measured.map(|_| media.slots()),
        });
        let left = record::left(media);
        Ok(Self {
            config,
            media,
            measured,
            asked,
            generated,
            left,
            away,
            order,
            networks,
            after,
            boilerplate,
            shared,
        })
    }

    pub(super) fn evaluation(&self) -> Option<&'a Evaluation> {
        self.measured.map(|it| it.evaluation)
    }

    /// Whether anything of a scan can be shown.
    pub(super) fn is_there(&self, idx: usize) -> bool {
        let media = self.media;
        let series = media.parcels.as_ref().is_some_and(|it| it.units[idx].is_some());
        series
            || (!media.failures.contains_key(&idx)
                && media.quality.get(idx).is_some_and(Option::is_some))
    }

    pub(super) fn recording(&self, idx: usize) -> Result<recordings::Drawn> {
        recordings::draw(self, idx)
    }

    /// Everything that decides how a recording looks.
    pub(super) fn decides(&self, idx: usize) -> Value {
        let media = self.media;
        let unit = media.series().and_then(|it| it.units[idx].as_ref());
        let (name, is_away) = (&media.scans()[idx].name, self.away.contains(&idx));
        json!([name, unit.map(|it| &it.key), media.quality.get(idx), is_away])
    }

    /// A report as its person's page shows it.
    pub(super) fn report(&self, idx: usize) -> Result<ReportView> {
        let reports = self.known().reports;
        let row = reports[idx].row;
        let map = self.config.window_maps.then(|| self.map(row)).transpose()?;
        Ok(ReportView {
            report: self.generated[idx].clone(),
            slots: self.slots(idx),
            truth: Some(self.media.cohort().rows[row].report.clone()),
            map,
            beside: self.beside(idx),
            leaning: self.found(idx).map(leaning),
        })
    }

    /// Everything that decides how a report looks.
    pub(super) fn decides_report(&self, idx: usize) -> Value {
        let reports = self.known().reports;
        let row = reports[idx].row;
        let planned = &self.media.cohort().rows[row];
        let series = self.media.series().and_then(|it| it.units[planned.scan_idx].as_ref());
        let window = || (series.map(|it| &it.key), self.media.events(), planned.onset_s);
        json!([
            self.generated[idx],
            planned.report,
            planned.truths,
            self.beside(idx),
            self.found(idx),
            self.config.window_maps.then(window),
        ])
    }

    fn map(&self, row: usize) -> Result<WindowMap> {
        window_map(self.media, row, "Mean of the cleaned window".to_owned())
    }

    /// What is known of each slot of a report.
    fn slots(&self, idx: usize) -> Vec<SlotView> {
        let Measured { reports, evaluation, .. } = self.known();
        let slots = self.media.slots();
        let planned = &self.media.cohort().rows[reports[idx].row];
        let view = |(at, found): (usize, &report::generated::GeneratedSlot)| {
            let slot = &slots.slots()[at];
            let truth = planned.truths[at].clone();
            let agrees = |truth: &String| {
                found.stated.as_ref().is_some_and(|stated| slot.agrees(truth, stated))
            };
            let grounding = evaluation.evidence.grounding.iter().find(|it| it.slot == slot.name);
            SlotView {
                is_scored: slots.scored_idxs().contains(&at),
                is_right: truth.as_ref().map(agrees),
                truth,
                is_grounded: grounding.filter(|it| it.reason.is_none()).map(|it| it.is_grounded),
            }
        };
        self.generated[idx].slots.iter().enumerate().map(view).collect()
    }

    fn known(&self) -> Measured<'a> {
        self.measured.expect("reports come from a model")
    }

    /// What a report leans on, where it was looked into.
    fn found(&self, idx: usize) -> Option<&'a Found> {
        let Measured { reports, attributed, .. } = self.known();
        attributed?.found.iter().find(|it| it.row == reports[idx].row)
    }

    /// What is written where the model sees something else.
    fn beside(&self, idx: usize) -> Vec<(String, String)> {
        let Some(window) = self.evaluation().and_then(|it| it.windows.get(idx)) else {
            return Vec::new();
        };
        let other = window.other_scan.as_ref().map(|other| format!("With the scan of {other}"));
        let with = other.zip(window.text_with_other_scan.clone());
        let without = window.text_without_scan.clone();
        with.into_iter().chain(without.map(|text| ("Without a scan".to_owned(), text))).collect()
    }

    /// How many scored statements of some reports are right.
    pub(super) fn answers(&self, name: &str, reports: &[usize]) -> Answers {
        let mut found = Answers { name: name.to_owned(), ..Answers::default() };
        for &idx in reports {
            let slots = self.slots(idx);
            let right: Vec<bool> =
                slots.iter().filter(|it| it.is_scored).filter_map(|it| it.is_right).collect();
            found.n_windows += usize::from(!right.is_empty());
            found.n += right.len();
            found.n_right += right.iter().filter(|it| **it).count();
        }
        found
    }

    /// The same of each group that `of` puts a report's row into.
    pub(super) fn answers_by(&self, of: impl Fn(usize) -> Option<String>) -> Vec<Answers> {
        let reports = self.measured.map_or(&[][..], |it| it.reports);
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (idx, report) in reports.iter().enumerate() {
            if let Some(group) = of(report.row) {
                groups.entry(group).or_default().push(idx);
            }
        }
        groups.iter().map(|(name, reports)| self.answers(name, reports)).collect()
    }
}

/// What a report leans on, as its page shows it.
fn leaning(found: &Found) -> Leaning {
    let token = |it: &Token| LeaningToken {
        text: it.text.clone(),
        difference: it.own - it.none,
        looks_at: it.looked_at(),
    };
    let place = |it: &Place| {
        let said = [(it.attention, 4), (it.gradient, 3), (it.occlusion, 3)];
        let number = |(value, n): (Option<f64>, usize)| {
            value.map_or_else(|| "n/a".to_owned(), |value| format!("{value:.n$}"))
        };
        LeaningPlace { name: it.name.clone(), said: said.map(number) }
    };
    Leaning {
        gain_nats: found.gain(),
        agreement: found.agreement,
        tokens: found.tokens.iter().map(token).collect(),
        places: found.leaned_on.iter().map(place).collect(),
    }
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
