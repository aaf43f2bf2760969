//! Pages of people, each a unit of the engine: it is drawn once, and another person's change leaves it alone.
use std::{collections::BTreeMap, path::Path};

use engine::{Engine, Header, Judged, Key, Numbers, Store, Units};
use pages::{Outcome, PersonPage, PersonRow};
use preprocess::SeriesFacts;
use rayon::prelude::*;
use report::counted;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    answers,
    drawing::Drawing,
    volumes::{self, VolumeBytes},
};
use crate::{Error, Result, event::Control, methods, model_id::model_id, record::Left};

/// Raised when the same run would now give another page.
const VERSION: u32 = 4;

/// Bytes that drawing a page takes beside the series: pictures, and the page itself.
const PAGE_BYTES: u64 = 32 << 20;

/// One person of a run, with places in its lists.
pub(super) struct Person<'a> {
    pub(super) subject: &'a str,
    pub(super) scans: Vec<usize>,
    pub(super) reports: Vec<usize>,
    pub(super) left: Vec<&'a Left>,
}

/// What the list of everybody says of a person.
#[derive(Serialize, Deserialize)]
struct Row {
    facts: String,
    n_recordings: usize,
    n_left_out: usize,
    thumbnail: Option<String>,
    /// Files beside the page, one an array.
    volumes: Vec<String>,
}

/// Everybody, by the label; a unit is the first scan of a person, so that units are called as scans are.
pub(super) struct People<'a> {
    drawing: &'a Drawing<'a>,
    by_first_scan: BTreeMap<usize, Person<'a>>,
}

const HTML: &str = "html";
const THUMBNAIL: &str = "thumbnail";

/// A page, a line of the list, a thumbnail, and volumes beside the page.
type Drawn = (PersonPage, Row, Option<Vec<u8>>, Vec<VolumeBytes>);

impl<'a> People<'a> {
    pub(super) fn of(drawing: &'a Drawing<'a>) -> Self {
        let mut people: BTreeMap<&str, Person<'a>> = BTreeMap::new();
        for (idx, scan) in drawing.media.scans().iter().enumerate() {
            let person = people.entry(&scan.subject).or_insert_with(|| Person {
                subject: &scan.subject,
                scans: Vec::new(),
                reports: Vec::new(),
                left: Vec::new(),
            });
            person.scans.push(idx);
        }
        for (idx, report) in drawing.generated.iter().enumerate() {
            if let Some(person) = people.get_mut(report.subject.as_str()) {
                person.reports.push(idx);
            }
        }
        for it in &drawing.left {
            if let Some(person) = people.get_mut(it.subject.as_str()) {
                person.left.push(it);
            }
        }
        let by_first_scan = people.into_values().map(|it| (it.scans[0], it)).collect();
        Self { drawing, by_first_scan }
    }

    /// Writes `sub-….html` of everybody into `dir`, and gives the lines of the list.
    pub(super) fn write(&self, dir: &Path, control: &mut Control<'_>) -> Result<Vec<PersonRow>> {
        let plan = self.drawing.media.plan;
        let store = Store::new(&plan.cache_dir);
        let outcomes = Engine::new(&store, plan.budget).each(self, control)?;
        let one = |(unit, person): (&usize, &Person<'_>)| {
            let key = outcomes.keys[*unit].as_ref().expect("a page that failed ends the run");
            let path = store.unit(self.stage(), key);
            let (header, mut arrays) = engine::read(&path, key)?;
            let row: Row = serde_json::from_value(header.facts)
                .map_err(|error| engine::Error::damaged(&path, error.to_string()))?;
            let page = format!("sub-{}.html", person.subject);
            files::write_atomic(&dir.join(&page), &arrays.take_bytes(HTML))?;
            for path in &row.volumes {
                files::write_atomic(&dir.join(path), &arrays.take_bytes(path))?;
            }
            let thumbnail = row.thumbnail.map(|shows| (arrays.take_bytes(THUMBNAIL), shows));
            Ok(PersonRow {
                subject: person.subject.to_owned(),
                page: Some(page),
                outcome: match (row.n_recordings, row.n_left_out) {
                    (0, _) => Outcome::Missing,
                    (_, 0) => Outcome::Whole,
                    _ => Outcome::Partly,
                },
                facts: row.facts,
                thumbnail,
            })
        };
        let rows = self.by_first_scan.par_iter().map(one);
        let mut rows = rows.collect::<Result<Vec<PersonRow>>>()?;
        rows.sort_by(|a, b| a.subject.cmp(&b.subject));
        Ok(rows)
    }

    fn page(&self, person: &Person<'_>) -> Result<Drawn> {
        let drawing = self.drawing;
        let (mut recordings, mut thumbnail, mut volumes) = (Vec::new(), None, Vec::new());
        let (mut n_frames, mut n_lost) = (0, None);
        for &idx in person.scans.iter().filter(|idx| drawing.is_there(**idx)) {
            let drawn = drawing.recording(idx)?;
            n_frames += drawn.n_frames;
            n_lost = drawn.n_lost.map(|n| n + n_lost.unwrap_or(0)).or(n_lost);
            thumbnail = thumbnail.or(drawn.thumbnail);
            volumes.extend(drawn.mean);
            recordings.push(drawn.view);
        }
        let mut facts = vec![counted(recordings.len(), "recording"), counted(n_frames, "frame")];
        facts.extend(n_lost.map(|n| format!("{} lost", counted(n, "parcel"))));
        let answers = drawing.answers(person.subject, &person.reports);
        if answers.n > 0 {
            facts.push(format!("{} of {} statements right", answers.n_right, answers.n));
        }
        let row = Row {
            facts: facts.join(", "),
            n_recordings: recordings.len(),
            n_left_out: person.left.len(),
            thumbnail: thumbnail.as_ref().map(|(_, shows): &(Vec<u8>, String)| shows.clone()),
            volumes: volumes.iter().map(|(path, _)| path.clone()).collect(),
        };
        let reports = person.reports.iter().map(|&idx| drawing.report(idx));
        let page = PersonPage {
            subject: person.subject.to_owned(),
            run: drawing.media.plan.spec().name.clone(),
            verdict: drawing.evaluation().map(|it| it.evidence.verdict.clone()),
            answers: answers::of_scans(drawing.asked, &person.scans),
            reports: reports.collect::<Result<_>>()?,
            recordings,
            left_out: person.left.iter().map(|it| (it.scan.clone(), it.reason.clone())).collect(),
            boilerplate: drawing.boilerplate.clone(),
            provenance: self.provenance(person),
        };
        Ok((page, row, thumbnail.map(|(png, _)| png), volumes))
    }

    fn provenance(&self, person: &Person<'_>) -> Vec<(String, String)> {
        let media = self.drawing.media;
        let digest = |&idx: &usize| {
            let name = format!("sha256 of {}", media.scans()[idx].name);
            Some((name, media.digest(idx).ok()?))
        };
        let mut all: Vec<(String, String)> = person.scans.iter().filter_map(digest).collect();
        let atlas = media.parcels.as_ref().map(|it| &it.about.atlas);
        for part in ["labels", "coordinates", "names"] {
            let digest = atlas.and_then(|it| it[part]["sha256"].as_str());
            all.extend(digest.map(|it| (format!("sha256 of the atlas’s {part}"), it.to_owned())));
        }
        let trained = self.drawing.measured.map(|it| it.trained);
        all.extend(trained.map(|it| ("model".to_owned(), model_id(it.model.manifest()))));
        let mut row = |name: &str, value: String| all.push((name.to_owned(), value));
        row("program", format!("neuroflamingo {}", methods::VERSION));
        row("settings", "config_used.yaml beside this page".to_owned());
        row(
            "command",
            "neuroflamingo run config_used.yaml, where its paths lead to the data from this folder; the words that \
             were typed are in record.json"
                .to_owned(),
        );
        row("random seed", media.run.seed.to_string());
        all
    }
}

impl Units for People<'_> {
    type Error = Error;

    fn stage(&self) -> &'static str {
        "render"
    }

    fn len(&self) -> usize {
        self.drawing.media.scans().len()
    }

    fn is_there(&self, unit: usize) -> bool {
        self.by_first_scan.contains_key(&unit)
    }

    fn name(&self, unit: usize) -> &str {
        &self.drawing.media.scans()[unit].name
    }

    fn key(&self, unit: usize) -> Result<Key> {
        let person = &self.by_first_scan[&unit];
        let drawing = self.drawing;
        let recordings = person.scans.iter().map(|&idx| drawing.decides(idx));
        let reports = person.reports.iter().map(|&idx| drawing.decides_report(idx));
        Ok(Key::of(&json!({
            "pages": [VERSION, methods::VERSION],
            "shared": drawing.shared,
            "subject": person.subject,
            "recordings": recordings.collect::<Vec<_>>(),
            "reports": reports.collect::<Vec<_>>(),
            "answers": answers::of_scans(drawing.asked, &person.scans).rows,
            "left_out": person.left,
            "provenance": self.provenance(person),
        })))
    }

    fn footprint(&self, unit: usize) -> u64 {
        let parcels = self.drawing.media.parcels.as_ref();
        let n_bytes = |idx: &usize| {
            let parcels = parcels?;
            let facts = SeriesFacts::of(parcels.units[*idx].as_ref()?)?;
            // the series as it is read and standardised, and twice the matrix
            let (frames, columns) = (facts.n_frames as u64, parcels.about.parcels.len() as u64);
            Some(8 * columns * (4 * frames + 2 * columns))
        };
        let mean = |idx: &usize| volumes::mean_bytes(self.drawing.media, *idx);
        let scans = &self.by_first_scan[&unit].scans;
        let series = scans.iter().filter_map(n_bytes).max();
        let reading = scans.iter().filter_map(mean).map(|it| it.reading).max();
        let kept: u64 = scans.iter().filter_map(mean).map(|it| it.kept).sum();
        // the series of a recording are gone when its scan is read
        PAGE_BYTES + series.max(reading).unwrap_or(0) + kept
    }

    fn make(&self, unit: usize, key: &Key) -> Result<Vec<u8>> {
        let (page, row, thumbnail, volumes) = self.page(&self.by_first_scan[&unit])?;
        let html = page.html();
        let header = Header {
            key: key.clone(),
            what: "the page of a person".to_owned(),
            facts: serde_json::to_value(&row).expect("plain values"),
        };
        let thumbnail = thumbnail.unwrap_or_default();
        let (n_html, n_thumbnail) = ([html.len()], [thumbnail.len()]);
        let n_volumes: Vec<[usize; 1]> = volumes.iter().map(|(_, bytes)| [bytes.len()]).collect();
        let mut arrays: Vec<(&str, &[usize], Numbers<'_>)> = vec![
            (HTML, &n_html, Numbers::Bytes(html.as_bytes())),
            (THUMBNAIL, &n_thumbnail, Numbers::Bytes(&thumbnail)),
        ];
        for ((path, bytes), n) in volumes.iter().zip(&n_volumes) {
            arrays.push((path, n, Numbers::Bytes(bytes)));
        }
        Ok(engine::to_bytes(&header, &arrays))
    }

    /// A page holds what was read and checked before: what goes wrong is of the run.
    fn judge(&self, _unit: usize, error: Error) -> Result<Judged> {
        Err(error)
    }
}
