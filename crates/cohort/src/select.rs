//! From everything that was found to the recordings that are wanted and good.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use files::FileIndex;
use rayon::prelude::*;

use crate::{
    censored,
    division::SplitConfig,
    entity::{Entities, Entity},
    error::{Error, Result},
    labels::LabelTables,
    quality::QcThresholds,
    query::Query,
    reason::Reason,
    recording::{Cohort, Excluded, Recording, Source},
    spelling::label_from,
    timing::{Header, PLAUSIBLE_S, repetition_time},
    twice,
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

/// What a folder or a table holds, before anybody asked.
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// What was found and expected where neither a recording nor a reason against one was found.
    pub(crate) sought: String,
    /// What the user could do about that.
    pub(crate) cure: Option<String>,
    pub(crate) recordings: Vec<Recording>,
    pub(crate) excluded: Vec<Excluded>,
}

impl Found {
    /// Labels joined, entities, query, headers, quality: in this order, each for what the one
    /// before it left. A query that asks for the repetition time comes after the headers. Files that
    /// `known` has seen are not opened.
    pub(crate) fn select(
        mut self,
        asked: Selection,
        known: &FileIndex,
        tables: LabelTables,
    ) -> Result<Cohort> {
        let query = asked.check()?;
        if self.recordings.is_empty() && self.excluded.is_empty() {
            return Err(Error::Nothing { path: self.path, sought: self.sought, cure: self.cure });
        }
        let unmet = unmet(&self.recordings, asked.entities);
        self.keep(|recording| {
            if chosen(&recording.entities, asked.entities) { Ok(()) } else { Err(Reason::Entities) }
        });
        let of_query = query.iter().flat_map(Query::columns).map(str::to_owned);
        let of_split = asked.split.iter().flat_map(|split| split.columns()).cloned();
        let warnings = tables.join(&mut self.recordings, &of_query.chain(of_split).collect())?;
        let query = query.as_ref();
        let asks_headers = query.is_some_and(|query| query.asks_headers(&self.recordings));
        if !asks_headers {
            self.ask(query)?;
        }
        twice::spelled_twice(&mut self.recordings, &mut self.excluded);
        let judged: Vec<Result<Recording, Excluded>> = std::mem::take(&mut self.recordings)
            .into_par_iter()
            .map(|mut recording| match examine(&mut recording, asked, known) {
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
        if asks_headers {
            self.ask(query)?;
        }
        twice::joined(&mut self.recordings, &mut self.excluded);
        let Self { path, mut recordings, mut excluded, .. } = self;
        recordings.sort_by_cached_key(Recording::name);
        excluded.sort_by(|a, b| a.name.cmp(&b.name));
        if recordings.is_empty() {
            return Err(Error::NothingLeft { path, excluded, unmet });
        }
        Ok(Cohort { path, recordings, excluded, warnings })
    }

    /// Leaves out the recordings that a query is not true of.
    fn ask(&mut self, query: Option<&Query>) -> Result<()> {
        let Some(query) = query else { return Ok(()) };
        if !self.recordings.is_empty() {
            query.check(&self.recordings)?;
        }
        self.keep(|recording| query.refuses(recording).map_or(Ok(()), Err));
        Ok(())
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
            recordings.iter().map(|it| it.entities.get(*entity).unwrap_or(ABSENT)).collect();
        let is_met = there.iter().any(|label| wants(labels, label));
        (!is_met && !there.is_empty()).then(|| {
            let there: Vec<&str> = there.into_iter().take(5).collect();
            let (name, labels) = (entity.name(), labels.join(" or "));
            format!("{name} {labels} is asked for, {name} {} is there", there.join(", "))
        })
    })
}

/// What stands for an entity that a name does not have, in `entities` and in sentences.
pub(crate) const ABSENT: &str = "none";

/// Whether each entity that is asked for has one of its wanted labels; `none` is for a name without it.
pub(crate) fn chosen(entities: &Entities, wanted: &Wanted) -> bool {
    wanted.iter().all(|(it, labels)| wants(labels, entities.get(*it).unwrap_or(ABSENT)))
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
fn examine(recording: &mut Recording, asked: Selection, known: &FileIndex) -> Result<(), Reason> {
    let mut t_r = Err("no file says it".to_owned());
    if let Source::File(path) = &recording.source {
        let header = Header::known(path, known)?;
        recording.n_frames = header.n_frames.or(recording.n_frames);
        t_r = header.t_r;
        recording.kept = censored::placed(path, recording.n_frames, known)?;
    }
    recording.t_r = Some(repetition_time(recording.t_r, t_r, asked.t_r)?);
    asked.qc_thresholds.and_then(|it| it.judge(recording, known)).map_or(Ok(()), Err)
}
