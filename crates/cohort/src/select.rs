//! From everything that was found to the recordings that are wanted and good.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use crate::{
    division::SplitConfig,
    entity::{Entities, Entity},
    error::{Error, Result},
    labels::{self, LabelTable},
    quality::QcThresholds,
    query::{Answer, Query},
    reason::{Part, Reason},
    recording::{Cohort, Excluded, Recording, RepetitionTime, Source, TrSource, counted},
    spelling::label_from,
};

/// Labels that are wanted of some entities.
pub type Wanted = BTreeMap<Entity, Vec<String>>;

/// What every kind of cohort is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selection<'a> {
    pub(crate) entities: &'a Wanted,
    pub(crate) query: Option<&'a str>,
    pub(crate) qc_thresholds: Option<&'a QcThresholds>,
    /// Seconds, whatever the files say.
    pub(crate) t_r: Option<f64>,
    pub(crate) split: Option<&'a SplitConfig>,
}

/// Faster and slower scans than these are not known; a value outside is a wrong unit.
const PLAUSIBLE_S: std::ops::RangeInclusive<f64> = 0.05..=30.0;

/// Two that say the same repetition time agree up to this share of it.
const SAME_T_R: f64 = 1e-3;

/// What a folder or a table holds, before anybody asked.
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// What was found and expected where neither a recording nor a reason against one was found.
    pub(crate) sought: String,
    pub(crate) recordings: Vec<Recording>,
    pub(crate) excluded: Vec<Excluded>,
}

impl Found {
    /// Labels joined, entities, query, headers, quality: in this order, each for what the one
    /// before it left.
    pub(crate) fn select(mut self, asked: Selection, tables: &[LabelTable]) -> Result<Cohort> {
        let query = asked.check()?;
        if self.recordings.is_empty() && self.excluded.is_empty() {
            return Err(Error::Nothing { path: self.path, sought: self.sought });
        }
        let unmet = unmet(&self.recordings, asked.entities);
        self.keep(|recording| {
            if chosen(&recording.entities, asked.entities) { Ok(()) } else { Err(Reason::Entities) }
        });
        let is_asked = |column: &str| {
            query.as_ref().is_some_and(|query| query.asks(column))
                || asked.split.is_some_and(|split| split.asks(column))
        };
        labels::join(tables, &mut self.recordings, &is_asked)?;
        if let Some(query) = &query {
            if !self.recordings.is_empty() {
                query.check(&self.recordings)?;
            }
            self.keep(|recording| match query.answer(recording) {
                Answer::True => Ok(()),
                Answer::False => Err(Reason::Query),
                Answer::Unknown(column) => Err(Reason::Unknown { column: column.to_owned() }),
            });
        }
        let judged: Vec<Result<Recording, Excluded>> = std::mem::take(&mut self.recordings)
            .into_par_iter()
            .map(|mut recording| match examine(&mut recording, asked) {
                Ok(()) => Ok(recording),
                Err(reason) => Err(Excluded { name: recording.name(), reason }),
            })
            .collect();
        for outcome in judged {
            match outcome {
                Ok(recording) => self.recordings.push(recording),
                Err(excluded) => self.excluded.push(excluded),
            }
        }
        if self.recordings.is_empty() {
            let counts = counted(&self.excluded);
            return Err(Error::NothingLeft { path: self.path, counts, unmet });
        }
        let Self { path, mut recordings, mut excluded, .. } = self;
        recordings.sort_by_cached_key(Recording::name);
        excluded.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Cohort { path, recordings, excluded })
    }

    /// Refuses two recordings that could not be told apart.
    pub(crate) fn same_names(&self) -> Result<()> {
        let mut names: Vec<String> = self.recordings.iter().map(Recording::name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            let problem = "two recordings have the same name".to_owned();
            return Err(Error::Folder { path: self.path.clone(), problem });
        }
        Ok(())
    }

    fn keep(&mut self, mut fits: impl FnMut(&Recording) -> Result<(), Reason>) {
        let excluded = &mut self.excluded;
        self.recordings.retain(|recording| match fits(recording) {
            Ok(()) => true,
            Err(reason) => {
                excluded.push(Excluded { name: recording.name(), reason });
                false
            }
        });
    }
}

impl Selection<'_> {
    /// Refuses what is wrong whatever the files hold; gives the query.
    pub(crate) fn check(&self) -> Result<Option<Query>> {
        if let Some(found) = self.t_r.filter(|t_r| !PLAUSIBLE_S.contains(t_r)) {
            let expected = "0.05 to 30 seconds".to_owned();
            return Err(Error::Setting { field: "t_r", found: found.to_string(), expected });
        }
        if let Some(Err((field, found))) = self.qc_thresholds.map(QcThresholds::check) {
            let (found, expected) = (found.to_string(), "a finite number above 0".to_owned());
            return Err(Error::Setting { field, found, expected });
        }
        self.split.map_or(Ok(()), SplitConfig::check)?;
        Ok(self.query.map(Query::parse).transpose()?)
    }
}

/// An entity whose wanted labels no recording has, and those that are there. Nobody is named.
fn unmet(recordings: &[Recording], wanted: &Wanted) -> Option<String> {
    let private = [Entity::Subject, Entity::Session];
    let mut asked = wanted.iter().filter(|(entity, _)| !private.contains(entity));
    asked.find_map(|(entity, labels)| {
        let there: BTreeSet<&str> =
            recordings.iter().map(|it| it.entities.get(*entity).unwrap_or("none")).collect();
        let is_met = there.iter().any(|label| wants(labels, label));
        (!is_met && !there.is_empty()).then(|| {
            let there: Vec<&str> = there.into_iter().take(5).collect();
            let (name, labels) = (entity.name(), labels.join(" or "));
            format!("{name} {labels} is asked for, {name} {} is there", there.join(", "))
        })
    })
}

/// Whether each entity that is asked for has one of its wanted labels.
pub(crate) fn chosen(entities: &Entities, wanted: &Wanted) -> bool {
    wanted.iter().all(|(it, labels)| entities.get(*it).is_some_and(|label| wants(labels, label)))
}

/// Whether what has these entities, and perhaps more, could be asked for.
pub(crate) fn may_be_chosen(entities: &Entities, wanted: &Wanted) -> bool {
    wanted.iter().all(|(it, labels)| entities.get(*it).is_none_or(|label| wants(labels, label)))
}

/// A label may be asked for as the study writes it.
fn wants(labels: &[String], label: &str) -> bool {
    labels.iter().any(|it| it == label || label_from(it).as_deref() == Some(label))
}

/// Header, repetition time and quality of one recording.
fn examine(recording: &mut Recording, asked: Selection) -> Result<(), Reason> {
    let mut header = Err("no file says it".to_owned());
    if let Source::File(path) = &recording.source {
        let glance =
            glance(path).map_err(|problem| Reason::Unreadable { part: Part::Scan, problem })?;
        recording.n_frames = glance.n_frames.or(recording.n_frames);
        header = glance.t_r;
    }
    recording.t_r = Some(repetition_time(recording.t_r, header, asked.t_r)?);
    asked.qc_thresholds.and_then(|it| it.judge(recording)).map_or(Ok(()), Err)
}

/// The header; the problem is a sentence without the path.
fn glance(path: &Path) -> Result<scan::Glance, String> {
    let without_path = |text: String| text.replace(&format!("{}: ", path.display()), "");
    let glance = scan::glance(path).map_err(|error| without_path(error.to_string()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_called_image = [".nii", ".nii.gz"].iter().any(|ending| name.ends_with(ending));
    if is_called_image && glance.n_frames.is_none() {
        return Err("it is called an image and holds none".to_owned());
    }
    Ok(glance)
}

fn repetition_time(
    said: Option<RepetitionTime>,
    header: Result<f64, String>,
    asked: Option<f64>,
) -> Result<RepetitionTime, Reason> {
    if let Some(seconds) = asked {
        return Ok(RepetitionTime { seconds, source: TrSource::Pipeline });
    }
    let refuse = |problem: String| {
        let problem = format!("{problem}; give `t_r` to settle it");
        Err(Reason::RepetitionTime { problem })
    };
    match (said, header) {
        (Some(RepetitionTime { seconds, .. }), _) if !PLAUSIBLE_S.contains(&seconds) => {
            refuse(format!("it is given as {seconds} s, expected 0.05 to 30 s"))
        }
        (Some(said), Ok(header)) if (said.seconds - header).abs() > SAME_T_R * header => {
            refuse(format!("{} s is given, the scan's header says {header} s", said.seconds))
        }
        (Some(said), _) => Ok(said),
        (None, Ok(seconds)) => Ok(RepetitionTime { seconds, source: TrSource::Header }),
        (None, Err(problem)) => refuse(problem),
    }
}
