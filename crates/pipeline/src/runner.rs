//! Runs the stages of one run in their order: each is computed, or taken from the store.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use engine::{Failure, Key, Store, check_digests};
use serde_json::{Value, json};

use crate::{
    Error, Result,
    event::{Control, Event},
    operations::add_ops,
    plan::{Plan, RunPlan},
    record::{StageRecord, peak_memory_mb},
    stage::{Stage, work::read_failures},
};

/// The stages of one run; the key of each holds those of all before it.
pub(crate) struct Runner<'a, 'c, 'o> {
    pub(crate) plan: &'a Plan,
    pub(crate) run: &'a RunPlan,
    pub(crate) control: &'c mut Control<'o>,
    store: Store,
    upstream: Option<Key>,
    /// What was run so far.
    pub(crate) records: Vec<StageRecord>,
    /// Digests of stored files that were checked in this run, by path.
    pub(crate) checked: BTreeMap<PathBuf, String>,
}

/// Where a stage works.
#[derive(Clone, Copy)]
pub(crate) struct Folders<'a> {
    /// Holds its result when it is done.
    pub(crate) result: &'a Path,
    /// Keeps what it needs to go on after a stop.
    pub(crate) unfinished: &'a Path,
}

impl<'a, 'c, 'o> Runner<'a, 'c, 'o> {
    pub(crate) fn new(plan: &'a Plan, run: &'a RunPlan, control: &'c mut Control<'o>) -> Self {
        Self {
            plan,
            run,
            control,
            store: Store::new(&plan.cache_dir),
            upstream: None,
            records: Vec::new(),
            checked: BTreeMap::new(),
        }
    }

    /// The settings that `of` finds among the stages, with their stage.
    pub(crate) fn find<C>(
        &self,
        of: impl Fn(&'a Stage) -> Option<&'a C>,
    ) -> Option<(&'a Stage, &'a C)> {
        let mut stages = self.plan.spec().stages().iter();
        stages.find_map(|stage| Some((stage, of(stage)?)))
    }

    /// The result of the next stage. `context` is what it changes; `inputs` is what decides the result
    /// beside its settings and the stages before; `compute` writes it into a folder, and `load` reads it
    /// from there, whether new or stored.
    pub(crate) fn stage<C, T>(
        &mut self,
        stage: &Stage,
        context: &mut C,
        inputs: impl FnOnce(&C) -> Value,
        compute: impl Fn(&C, Folders<'_>, &mut Control<'_>) -> Result<()>,
        load: impl Fn(&mut C, &Path) -> Result<T>,
    ) -> Result<T> {
        let name = stage.name();
        self.control.checkpoint()?;
        let mut decides = inputs(context);
        // tables and pages of a stage hold labels; results of single recordings do not
        if let Some(hashed_ids) = self.plan.hashed_ids() {
            decides = json!({ "hashed_ids": hashed_ids, "inputs": decides });
        }
        if stage.step().is_none() {
            add_ops(self.plan.loaded.device()?, &mut decides);
        }
        let key = key(stage, &decides, self.upstream.as_ref());
        tracing::info!(stage = name, key = key.as_str(), "resolved");
        let settings = || serde_json::to_string(stage).expect("settings are plain values");
        tracing::debug!(settings = %settings(), "with");
        let begun = Instant::now();
        let found = self.found(stage, &key, context, compute, load);
        let (result, stored) = found.map_err(|source| match source {
            source if source.is_interrupted() => engine::Error::Interrupted.into(),
            source => Error::Stage { stage: name, source: Box::new(source) },
        })?;
        let seconds = begun.elapsed().as_secs_f64();
        if !stored {
            let trains = matches!(stage, Stage::Finetune(_) | Stage::Pretrain(_));
            let peak_memory_mb = if trains { peak_memory_mb() } else { None };
            self.control.tell(Event::StageFinished { stage: name, seconds, peak_memory_mb });
        }
        self.plan.loaded.known().save()?;
        self.records.push(StageRecord::new(name, &key, stored, seconds));
        self.upstream = Some(key);
        Ok(result)
    }

    /// Computes the result unless it is there; says whether it was.
    fn found<C, T>(
        &mut self,
        stage: &Stage,
        key: &Key,
        context: &mut C,
        compute: impl Fn(&C, Folders<'_>, &mut Control<'_>) -> Result<()>,
        load: impl Fn(&mut C, &Path) -> Result<T>,
    ) -> Result<(T, bool)> {
        let name = stage.name();
        let dir = self.store.dir(name, key);
        if dir.is_dir() {
            // a damaged result is made again; what it loads is taken only if all of it could be read
            match stored(&dir, |dir| load(context, dir)) {
                Ok(Some((result, checked, failures))) => {
                    self.checked.extend(checked);
                    self.control.tell(Event::StageCached { stage: name, failures });
                    return Ok((result, true));
                }
                Ok(None) => {}
                Err(error) if error.is_of_the_system() => return Err(error),
                Err(error) => {
                    let problem = files::one_line(&files::without_folders(&error.to_string()));
                    self.control.tell(engine::Event::Damaged { file: files::shown(&dir), problem });
                }
            }
            files::remove_dir(&dir)?;
        }
        let (idx, n) = (self.records.len(), self.plan.spec().stages().len());
        self.control.tell(Event::StageStarted { stage: name, idx, n });
        let unfinished = self.store.state_dir(name, key);
        self.store.make(name, key, self.control, |result, control| {
            compute(context, Folders { result, unfinished: &unfinished }, control)
        })?;
        self.checked.extend(check_digests(&dir)?);
        Ok((load(context, &dir)?, false))
    }
}

/// From the stage's version and parameters, what it reads, and the key of the stage before.
///
/// Files that settings name stand there without their folders; their digests are among the inputs. So a
/// pipeline that lies elsewhere, as the one beside a record, finds what is stored.
fn key(stage: &Stage, inputs: &Value, upstream: Option<&Key>) -> Key {
    let mut stage = stage.clone();
    for path in stage.paths() {
        *path = path.file_name().map_or_else(|| path.clone(), PathBuf::from);
    }
    Key::of(&json!({
        "stage": stage,
        "version": stage.version(),
        "inputs": inputs,
        "upstream": upstream,
    }))
}

/// A result with the digests of its files and the scans that it left out.
type Stored<T> = (T, BTreeMap<PathBuf, String>, Vec<Failure>);

/// A stored result whose every file is what was written, with their digests and the scans that it left
/// out; `None` where some were left out for reasons that may have passed.
fn stored<T>(dir: &Path, load: impl FnOnce(&Path) -> Result<T>) -> Result<Option<Stored<T>>> {
    let checked = check_digests(dir)?;
    // stages that work on no single scan list none
    let failures = read_failures(dir).unwrap_or_default();
    if failures.iter().any(|it| it.transient) {
        return Ok(None);
    }
    Ok(Some((load(dir)?, checked, failures)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_follows_parameters_inputs_and_upstream() {
        let stage = |yaml: &str| -> Stage { config::parse(Path::new("s.yaml"), yaml).unwrap() };
        let mask = stage("mask: { above_mean: 0.6 }");
        let of_mask = |inputs: Value, upstream| key(&mask, &inputs, upstream);
        let base = of_mask(json!(["aa"]), None);
        assert_eq!(base, of_mask(json!(["aa"]), None));
        assert_ne!(base, of_mask(json!(["ab"]), None), "another scan");
        assert_ne!(base, of_mask(json!(["aa"]), Some(&base)), "another stage before");
        let other = key(&stage("mask: { above_mean: 0.7 }"), &json!(["aa"]), None);
        assert_ne!(base, other, "another parameter");
        let atlas = |path: &str| {
            let yaml = format!("parcellate: {{ atlas: {{ id: a, labels: {path} }} }}");
            key(&stage(&yaml), &json!(["aa"]), None)
        };
        assert_eq!(atlas("atlas.nii"), atlas("../../data/atlas.nii"), "the same file elsewhere");
        assert_ne!(atlas("atlas.nii"), atlas("other.nii"));
    }
}
