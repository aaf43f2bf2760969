//! `evaluate_few_shot`: a package is asked about pictures, after so many solved examples.
mod answers;
mod config;
mod features;
mod lengths;
mod questions;
mod scores;

pub(crate) use config::STAGE;
use config::VERSION;
pub use config::{
    ChoosingConfig, Demonstrations, FeatureTable, Features, FewShotConfig, RandomDemonstrations,
};
pub(crate) use features::from_table;
pub(crate) use lengths::Lengths;
pub(crate) use questions::{Asked, at_random};
pub(crate) use scores::{FewShotMetrics, ShotMetrics};

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use engine::{Failure, Reason, none_in_reach};
use flamingo::Compat;
use report::{counted, few_shot::nearest};
use serde_json::{Value, json};

use self::{
    answers::{Asking, first_reason},
    features::Vectors,
    scores::AnswersOf,
};
use crate::{
    Error, Result,
    event::{Control, Event},
    plan::{BenchmarkPlan, Item, Plan},
    runner::{Folders, Runner},
    stage::{
        Artifact, Stage,
        settings::{MOST_DRAWS, MOST_IN_BATCH, Settings},
        work::{FAILURES, Work, read_failures},
    },
};

const METRICS: &str = "metrics.json";

/// More demonstrations than any model reads.
const MOST_SHOTS: usize = 1024;

/// A finished evaluation.
pub(crate) struct FewShot {
    pub(crate) metrics: FewShotMetrics,
    /// Its files, by the names that they have in a run folder.
    pub(crate) files: Vec<(String, PathBuf)>,
    /// Why items are left out, by their place in the data set.
    pub(crate) failures: BTreeMap<usize, Reason>,
}

impl Work for FewShotConfig {
    fn name(&self) -> &'static str {
        STAGE
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Benchmark, Artifact::Scores)
    }

    fn check(&self) -> Result<()> {
        let settings = Settings(self.name());
        let mut shots = self.shots.clone();
        shots.sort_unstable();
        shots.dedup();
        if shots.is_empty() || shots.len() < self.shots.len() {
            let found = format!("{:?}", self.shots);
            return Ok(settings.refuse("shots", &found, "at least one number, each once")?);
        }
        if let Some(found) = shots.last().filter(|&&it| it > MOST_SHOTS) {
            return Ok(settings.refuse("shots", found, &format!("at most {MOST_SHOTS}"))?);
        }
        settings.at_most(&[("bootstrap", self.bootstrap, MOST_DRAWS)])?;
        if let Some(n_items) = self.n_items {
            settings.at_least(1, &[("n_items", n_items)])?;
        }
        if let Demonstrations::Random(random) = &self.demonstrations {
            settings.at_least(1, &[("demonstrations.random.among", random.among)])?;
        }
        if let Some(choosing) = &self.choosing {
            settings.at_most(&[
                ("choosing.batch_size", choosing.batch_size, MOST_IN_BATCH),
                ("choosing.orders", choosing.orders, 200),
            ])?;
        }
        let Some(writing) = &self.writing else { return Ok(()) };
        if writing.n_texts() > 1 {
            let (found, expected) = (writing.n_texts(), "1: a question has one answer");
            return Ok(settings.refuse("writing.num_return_sequences", &found, expected)?);
        }
        match writing.check_free() {
            Err(flamingo::Error::Setting { field, found, expected }) => {
                let expected = format!("{expected} (writing.{field})");
                Ok(settings.refuse("writing", &found, &expected)?)
            }
            other => Ok(other?),
        }
    }
}

/// Asks the package, where a stage says so.
pub(super) fn few_shot(runner: &mut Runner<'_, '_, '_>) -> Result<Option<FewShot>> {
    let found = runner.find(|stage| match stage {
        Stage::EvaluateFewShot(config) => Some(config),
        _ => None,
    });
    let Some((stage, config)) = found else { return Ok(None) };
    let (plan, seed) = (runner.plan, runner.run.seed);
    let evaluation = runner.stage(
        stage,
        &mut (),
        |()| decides(plan, config, seed),
        |(), folders, control| evaluate(plan, config, seed, folders, control),
        |(), dir| load(dir),
    )?;
    Ok(Some(evaluation))
}

/// Everything that decides an evaluation beside its settings.
fn decides(plan: &Plan, config: &FewShotConfig, seed: u64) -> Value {
    let benchmark = plan.benchmark();
    let asked = Asked::of(benchmark, config, seed);
    let pictures = asked.pictures(benchmark).into_iter().map(|it| &benchmark.pictures[it].sha256);
    let table = features_path(plan, config).and_then(|path| plan.loaded.sha256(&path).ok());
    json!({
        "model": benchmark.model_id,
        "files": benchmark.files.iter().map(|(_, sha256)| sha256).collect::<Vec<_>>(),
        "pictures": pictures.collect::<Vec<_>>(),
        // where folders are classes, names say which
        "items": benchmark.test.iter().map(|it| &it.id).collect::<Vec<_>>(),
        "examples": benchmark.train.iter().map(|it| &it.id).collect::<Vec<_>>(),
        "features": table,
        "seed": seed,
    })
}

fn features_path(plan: &Plan, config: &FewShotConfig) -> Option<PathBuf> {
    match &config.demonstrations {
        Demonstrations::Rices(Features::Table(table)) => Some(plan.loaded.resolve(&table.file)),
        _ => None,
    }
}

fn evaluate(
    plan: &Plan,
    config: &FewShotConfig,
    seed: u64,
    folders: Folders<'_>,
    control: &mut Control<'_>,
) -> Result<()> {
    let benchmark = plan.benchmark();
    let asked = Asked::of(benchmark, config, seed);
    let mut asking = Asking::new(benchmark, config, seed, &plan.loaded, &plan.cache_dir)?;
    let shown = demonstrations(plan, config, seed, &asked, &mut asking, control)?;
    let items: Vec<(usize, Vec<usize>)> =
        shown.iter().map(|(&item, shown)| (item, shown.clone())).collect();
    let total = config.shots.len() * items.len();
    let mut found = Vec::with_capacity(config.shots.len());
    for (idx, &shots) in config.shots.iter().enumerate() {
        let told = (idx * items.len(), total);
        found.push((shots, asking.answers(&items, shots, told, control)?));
    }
    // an item that failed after some shots is left out of all, so that they are of the same items
    let failures: Vec<Failure> = asking.failures.values().cloned().collect();
    for (_, answers) in &mut found {
        answers.retain(|item, _| !asking.failures.contains_key(item));
    }
    let n_done = found.first().map_or(0, |(_, answers)| answers.len());
    none_in_reach(&failures, n_done, "items")?;
    if let (0, Some(reason)) = (n_done, first_reason(&asking.failures)) {
        return Err(Error::NoPicture { reason: reason.anonymous.clone() });
    }
    let all =
        found.iter().map(|(shots, answers)| AnswersOf { shots: *shots, answers, shown: &shown });
    let (metrics, files) = scores::files(benchmark, config, seed, &all.collect::<Vec<_>>())?;
    let dir = folders.result;
    files::write_json(&dir.join(FAILURES), &failures)?;
    files::write_json(&dir.join(METRICS), &metrics)?;
    for (name, text) in files {
        files::write_atomic(&dir.join(name), text.as_bytes())?;
    }
    Ok(())
}

fn load(dir: &Path) -> Result<FewShot> {
    let is_published = |name: &String| {
        name == METRICS || name == "predictions.csv" || name.starts_with("answers_")
    };
    let names = files::list(dir)?.into_iter().filter(is_published);
    let failures = read_failures(dir)?.into_iter();
    Ok(FewShot {
        metrics: files::read_json(&dir.join(METRICS))?,
        files: names.map(|name| (name.clone(), dir.join(name))).collect(),
        failures: failures.map(|it| (it.unit, it.reason)).collect(),
    })
}

/// The examples that stand before each item, as many as the largest number of shots asks for; the nearest to the
/// question last.
fn demonstrations(
    plan: &Plan,
    config: &FewShotConfig,
    seed: u64,
    asked: &Asked,
    asking: &mut Asking<'_>,
    control: &mut Control<'_>,
) -> Result<BTreeMap<usize, Vec<usize>>> {
    let benchmark = plan.benchmark();
    let k = config.most_demonstrations();
    let vectors = vectors(plan, config, asked, asking, control)?;
    let Some(vectors) = vectors else {
        let shown = |&item: &usize| {
            let candidates = asked.candidates(benchmark, config.compat, item);
            (item, at_random(&candidates, k, seed, item))
        };
        return Ok(asked.items.iter().map(shown).collect());
    };
    let shown = retrieved(benchmark, config.compat, asked, &vectors, k);
    // what a table retrieves was checked with the plan, as what is drawn
    Lengths::of(benchmark, config)?.check(&shown)?;
    Ok(shown)
}

/// The `k` examples before each item whose pictures have the nearest vectors, the nearest last; an item or example
/// without a vector is passed over.
pub(crate) fn retrieved(
    benchmark: &BenchmarkPlan,
    compat: Compat,
    asked: &Asked,
    vectors: &Vectors,
    k: usize,
) -> BTreeMap<usize, Vec<usize>> {
    let of = |item: &Item| vectors.get(&item.picture).map(Vec::as_slice);
    let shown = |&item: &usize| {
        let own = of(&benchmark.test[item])?;
        let candidates = asked.candidates(benchmark, compat, item).into_iter();
        let (candidates, among): (Vec<usize>, Vec<&[f32]>) =
            candidates.filter_map(|it| Some((it, of(&benchmark.train[it])?))).unzip();
        let nearest = nearest(own, &among, k).into_iter().map(|at| candidates[at]);
        Some((item, nearest.collect()))
    };
    asked.items.iter().filter_map(shown).collect()
}

/// The vectors by which examples are retrieved, where they are. Items whose pictures cannot be read fail; examples
/// whose pictures cannot be read are passed over.
fn vectors(
    plan: &Plan,
    config: &FewShotConfig,
    asked: &Asked,
    asking: &mut Asking<'_>,
    control: &mut Control<'_>,
) -> Result<Option<Vectors>> {
    let benchmark = plan.benchmark();
    let wanted = asked.pictures(benchmark);
    let features = match &config.demonstrations {
        Demonstrations::Random(_) => return Ok(None),
        Demonstrations::Rices(features) => features,
    };
    if let Features::Table(table) = features {
        let path = plan.loaded.resolve(&table.file);
        return Ok(Some(from_table(&path, table, &benchmark.pictures, &wanted)?));
    }
    let (vectors, unread) = asking.vectors(&wanted, control)?;
    for &item in &asked.items {
        if let Some(failure) = unread.get(&benchmark.test[item].picture) {
            let failure = Failure { unit: item, ..failure.clone() };
            let place = (item, benchmark.test.len());
            control.unit_failed(STAGE, place, &benchmark.test[item].id, &failure.reason);
            asking.failures.insert(item, failure);
        }
    }
    let n =
        asked.pool.iter().filter(|&&it| unread.contains_key(&benchmark.train[it].picture)).count();
    if n > 0 {
        let text =
            format!("{} passed over, because the picture cannot be read", counted(n, "example"));
        control.tell(Event::Note { stage: STAGE, text });
    }
    Ok(Some(vectors))
}
