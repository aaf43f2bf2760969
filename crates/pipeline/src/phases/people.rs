//! Pages of recordings whose parcel series were read: one a person, one a cohort.
use std::{collections::BTreeMap, path::Path};

use pages::{
    Carpet, CohortPage, Matrix, Outcome, Outlier, PersonPage, PersonRow, RecordingView, by_network,
    carpet, glass_brain, matrix, outliers,
};
use preprocess::{Measured, SeriesFacts, StoredSeries};
use rayon::prelude::*;
use report::counted;

use crate::{
    Result,
    event::Control,
    media::Media,
    record::{Left, left},
    stage::{SeriesSet, Stage},
};

/// Pixels of a side of a thumbnail.
const THUMBNAIL: usize = 64;

/// People whose pages are drawn between two looks at whether the run is to stop.
const AT_ONCE: usize = 64;

/// What all recordings share.
struct Cohort<'a> {
    media: &'a Media<'a>,
    parcels: &'a SeriesSet,
    /// The order of parcels in figures.
    order: Vec<usize>,
    networks: Vec<(String, usize)>,
    /// The steps that the series went through.
    after: String,
    boilerplate: String,
    /// The page that lists everybody.
    everybody: &'a str,
}

/// Writes the pages into `dir`: `sub-….html`, and the list of everybody, which is called `everybody`.
pub(super) fn write(
    media: &Media<'_>,
    everybody: &str,
    dir: &Path,
    control: &mut Control<'_>,
) -> Result<()> {
    let parcels = media.parcels.as_ref().expect("the plan asks for parcel series");
    let (order, networks) = by_network(&preprocess::names(&parcels.about.parcels));
    let steps = media.plan.spec().stages().iter().filter(|stage| stage.changes_series());
    let after = steps.map(Stage::name).collect::<Vec<_>>().join(", ");
    let cohort = Cohort {
        media,
        parcels,
        order,
        networks,
        boilerplate: boilerplate(media, parcels, &after),
        after,
        everybody,
    };
    let left = left(media);
    let mut people: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (idx, scan) in media.scans().iter().enumerate() {
        people.entry(&scan.subject).or_default().push(idx);
    }
    let people: Vec<(&str, Vec<usize>)> = people.into_iter().collect();
    let mut rows = Vec::with_capacity(people.len());
    for some in people.chunks(AT_ONCE) {
        control.checkpoint()?;
        let drawn =
            some.par_iter().map(|(subject, scans)| cohort.person(subject, scans, &left, dir));
        rows.extend(drawn.collect::<Result<Vec<_>>>()?);
    }
    let page = cohort.page(rows, &left);
    for (name, html) in page.pages(everybody) {
        files::write_atomic(&dir.join(name), html.as_bytes())?;
    }
    Ok(())
}

impl Cohort<'_> {
    /// Writes a person's page, and gives the line of the list.
    fn person(
        &self,
        subject: &str,
        scans: &[usize],
        left: &[Left],
        dir: &Path,
    ) -> Result<PersonRow> {
        let mut recordings = Vec::new();
        let (mut n_frames, mut lost, mut thumbnail) = (0, 0, None);
        for &idx in scans {
            let Some(unit) = &self.parcels.units[idx] else { continue };
            let series = StoredSeries::read(unit)?;
            n_frames += series.facts.n_frames;
            lost += series.facts.lost.len();
            let (view, small) = self.recording(idx, &series);
            thumbnail = thumbnail.or(small);
            recordings.push(view);
        }
        let of_person = |it: &&Left| it.subject == subject;
        let left_out: Vec<(String, String)> =
            left.iter().filter(of_person).map(|it| (it.scan.clone(), it.reason.clone())).collect();
        let page = format!("sub-{subject}.html");
        let digest = |&idx: &usize| {
            Some((
                format!("sha256 of {}", self.media.scans()[idx].name),
                self.media.digest(idx).ok()?,
            ))
        };
        let mut provenance: Vec<(String, String)> = scans.iter().filter_map(digest).collect();
        provenance
            .push(("program".to_owned(), format!("neuroflamingo {}", env!("CARGO_PKG_VERSION"))));
        provenance.push(("settings".to_owned(), "config_used.yaml beside this page".to_owned()));
        let outcome = match (recordings.is_empty(), left_out.is_empty()) {
            (true, _) => Outcome::Missing,
            (false, false) => Outcome::Partly,
            (false, true) => Outcome::Whole,
        };
        let facts = format!(
            "{}, {}, {} lost",
            counted(recordings.len(), "recording"),
            counted(n_frames, "frame"),
            counted(lost, "parcel")
        );
        let html = PersonPage {
            subject: subject.to_owned(),
            run: self.media.plan.spec().name.clone(),
            everybody: self.everybody.to_owned(),
            recordings,
            left_out,
            boilerplate: self.boilerplate.clone(),
            provenance,
        }
        .html();
        files::write_atomic(&dir.join(&page), html.as_bytes())?;
        Ok(PersonRow { subject: subject.to_owned(), page: Some(page), outcome, facts, thumbnail })
    }

    /// A recording with its figures, and its matrix in small.
    fn recording(
        &self,
        idx: usize,
        series: &StoredSeries,
    ) -> (RecordingView, Option<pages::Picture>) {
        let facts = &series.facts;
        let fd_mm = series.fd_mm.as_ref().filter(|it| it.len() == series.values.nrows());
        let carpet = carpet(&Carpet {
            series: series.values.view(),
            order: &self.order,
            t_r_s: facts.t_r_s,
            fd_mm: fd_mm.map(|it| it.view()),
        });
        let correlations = series.correlations(&self.parcels.about.parcels).ok();
        let drawn = correlations.as_ref().map(|it| Matrix {
            values: it.view(),
            order: &self.order,
            networks: &self.networks,
        });
        let glass = correlations
            .as_ref()
            .zip(preprocess::places(&self.parcels.about.parcels))
            .and_then(|(it, places)| {
                let mean = |parcel: usize| {
                    let others = it.row(parcel);
                    let others = others.iter().enumerate().filter(|(other, _)| *other != parcel);
                    let known: Vec<f64> =
                        others.map(|(_, x)| *x).filter(|x| x.is_finite()).collect();
                    known.iter().sum::<f64>() / known.len() as f64
                };
                let means: Vec<f64> = (0..it.nrows()).map(mean).collect();
                glass_brain(&places, &means, "Mean correlation")
            });
        let view = RecordingView {
            name: self.media.scans()[idx].name.clone(),
            after: self.after.clone(),
            facts: self.facts(facts),
            carpet,
            matrix: drawn.as_ref().map(matrix),
            glass,
        };
        (view, drawn.map(|it| it.picture().reduced(THUMBNAIL)))
    }

    fn facts(&self, facts: &SeriesFacts) -> Vec<(String, String)> {
        let measured = Measured::of_series(facts);
        let of_parcel = |label: &i32| {
            self.parcels
                .about
                .parcels
                .iter()
                .find(|it| it.label == *label)
                .map(|it| it.name.as_str())
        };
        let names: Vec<&str> = facts.lost.iter().filter_map(of_parcel).collect();
        let lost = match names.len() {
            0 => "none".to_owned(),
            n => format!("{n}: {}", names.join(", ")),
        };
        let number = |value: Option<f64>, decimals: usize| {
            value.map_or("not known".to_owned(), |it| format!("{it:.decimals$}"))
        };
        let (n_frames, t_r_s) = (facts.quality.n_frames, facts.quality.t_r);
        let seconds = n_frames as f64 * t_r_s;
        [
            ("Repetition time", format!("{} s", scan::seconds(t_r_s))),
            ("Frames", format!("{n_frames} ({} s)", scan::seconds(seconds))),
            ("Mean framewise displacement (mm)", number(measured.fd_mean_mm, 3)),
            ("Median tSNR", number(measured.median_tsnr, 1)),
            ("Median DVARS (%)", number(measured.median_dvars_percent, 2)),
            ("Parcels without data", lost),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    fn page(&self, people: Vec<PersonRow>, left: &[Left]) -> CohortPage {
        let media = self.media;
        // one whose series were read may have failed later
        let is_whole =
            |idx: &usize| self.parcels.units[*idx].is_some() && !media.failures.contains_key(idx);
        let there: Vec<usize> = (0..media.scans().len()).filter(is_whole).collect();
        let point = |&idx: &usize| {
            let measured = self.media.measured(idx).ok()??;
            let scan = &media.scans()[idx];
            Some(Outlier {
                name: scan.name.clone(),
                page: format!("sub-{}.html", scan.subject),
                mean_fd_mm: measured.fd_mean_mm?,
                median_tsnr: measured.median_tsnr?,
                n_lost: measured.n_lost?,
            })
        };
        let points: Vec<Outlier> = there.iter().filter_map(point).collect();
        let mut counts = vec![("complete".to_owned(), there.len())];
        let mut kinds: BTreeMap<(bool, &str), usize> = BTreeMap::new();
        for it in left {
            *kinds.entry((it.status != "FAIL", it.kind.as_str())).or_default() += 1;
        }
        let named = |((unwanted, kind), n): ((bool, &str), usize)| {
            (format!("{}: {kind}", if unwanted { "left out" } else { "failed" }), n)
        };
        counts.extend(kinds.into_iter().map(named));
        let settings = |stage: &Stage| {
            let all = serde_json::to_value(stage).unwrap_or_default();
            (format!("Stage {}", stage.name()), all[stage.name()].to_string())
        };
        let mut methods = vec![("In words".to_owned(), self.boilerplate.clone())];
        methods.extend(media.plan.spec().stages().iter().map(settings));
        CohortPage {
            title: media.plan.spec().name.clone(),
            counts,
            outliers: outliers(&points),
            people,
            left_out: left.iter().map(|it| (it.scan.clone(), it.reason.clone())).collect(),
            methods,
        }
    }
}

/// What was done to the series, for a paper.
fn boilerplate(media: &Media<'_>, parcels: &SeriesSet, after: &str) -> String {
    let atlas = parcels.about.atlas["id"].as_str().unwrap_or("of the pipeline");
    format!(
        "Series of the {} parcels of the atlas {atlas} were processed with neuroflamingo {} by the steps {after}, \
         with the settings in config_used.yaml (run {}).",
        parcels.about.parcels.len(),
        env!("CARGO_PKG_VERSION"),
        media.plan.spec().name
    )
}
