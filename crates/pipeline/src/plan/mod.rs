//! Everything resolved and checked before a scan is opened.
mod ask;
mod asked;
mod benchmark;
mod beside;
mod classes;
mod cohort;
mod disk;
mod encoder;
mod few_shot;
mod folds;
mod frames;
mod harmonised;
mod hashed;
mod labels;
mod lengths;
mod lm;
mod memory;
mod metric;
mod names;
mod notes;
mod omics;
mod pairs;
mod peak;
mod pictures;
mod recordings;
mod resolved;
mod rows;
mod run;
mod scans;
mod show;
mod source;
mod table;
mod texts;
mod trained;
mod training;
mod trains;
mod unfit;
mod view;
mod warm_start;

pub use asked::AskPlan;
pub(crate) use asked::AskedWindow;
pub use benchmark::{BenchmarkPicture, BenchmarkPlan, Item, Task, Truth};
pub use disk::Disk;
pub use lm::LmPlan;
pub use omics::OmicsPlan;
pub(crate) use omics::{People, number};
pub use pictures::{PicturePlan, PicturesPlan};
pub use resolved::Plan;
pub use run::RunPlan;
pub(crate) use scans::left_out;
pub use source::{RecordingsPlan, SourcePlan};
pub use table::{CohortPlan, RowPlan, ScanPlan};
pub(crate) use table::{joined, slots};
pub(crate) use texts::follows_in_time;
pub use trained::EncoderPlan;
pub use training::TrainingPlan;

use std::{num::NonZeroUsize, path::Path};

use frames::Frames;
use preprocess::{Kind, Made, Planned, Recipe};
use report::counted;
use resolved::window;

use crate::{
    Error, Result, phases,
    spec::{CACHE, CohortSpec, Loaded, ModelSpec, Spec},
    stage::{self, Artifact, Stage},
};

impl Plan {
    /// Resolves and checks everything; several problems are told at once.
    pub fn new(loaded: Loaded) -> Result<Self> {
        let spec = &loaded.spec;
        let placed = |problems: Vec<Error>| {
            Error::collect(problems.into_iter().map(|error| loaded.place(error)).collect())
        };
        placed(said(spec))?;
        let outputs = loaded.resolve(&spec.outputs);
        let mut problems = Vec::new();
        let mut keep = |result: Result<()>| problems.extend(result.err());
        let lm = lm::plan(&loaded).map_err(|error| keep(Err(error))).unwrap_or_default();
        keep(writable(&outputs));
        let source = source_of(&loaded).map_err(|error| keep(Err(error))).ok();
        let runs = source.as_ref().map(|source| runs(spec, source)).transpose();
        let runs = runs.map_err(|error| keep(Err(error))).ok().flatten();
        let scans = source.as_ref().map_or_else(Vec::new, view::scans);
        keep(encoder::placed(spec, &scans));
        if matches!(source, Some(SourcePlan::Cohort(_))) {
            keep(unfit::refuse_if_all(&loaded, &scans));
        }
        let planned =
            Planned { inputs: &loaded, recordings: &scans, stack: crate::spec::stack(spec) };
        let made = Recipe::made(spec.steps(), Some(planned));
        let made = made.map_err(|error| keep(Err(error.into()))).ok();
        let n_parcels = made.as_ref().and_then(Made::n_parcels);
        if let (Some(SourcePlan::Cohort(cohort)), Some(runs), Some(made)) = (&source, &runs, &made)
        {
            for run in runs {
                keep(classes::noise_has_an_inverse(spec, cohort, run, made));
            }
        }
        let encoder = made.and_then(|made| {
            encoder::fits(&loaded, &scans, &made).map_err(|error| keep(Err(error))).ok()
        });
        let encoder = encoder.flatten();
        let (mut disk, mut trained, mut training, mut ask) = (None, None, None, None);
        if let (Some(source), Some(runs)) = (&source, &runs) {
            let frames = Frames::new(&loaded, &scans, n_parcels);
            let reads_volumes = encoder.as_ref().is_some_and(EncoderPlan::reads_volumes);
            keep(lengths::check(spec, source, runs, &frames, reads_volumes));
            keep(harmonised::check(spec, source, runs));
            keep(lengths::places_suffice(spec, scans.len(), &frames));
            keep(beside::stored_windows(&loaded, &scans, &frames));
            disk = Disk::of(spec, &scans, n_parcels, encoder.as_ref(), &frames, &outputs);
            if let SourcePlan::Cohort(cohort) = source {
                keep(names::fit(cohort));
                keep(rows::name_what_is_seen(spec, cohort, &frames));
                let (loaded, scans, lm) = (&loaded, &scans, lm.as_ref());
                let (encoder, frames) = (encoder.as_ref(), &frames);
                keep(metric::can_be_reached(spec, cohort, runs));
                if let Some(lm) = lm {
                    keep(warm_start::fits(loaded, lm));
                    let given = texts::Given {
                        loaded,
                        cohort,
                        scans,
                        runs,
                        lm,
                        encoder,
                        frames,
                        n_parcels,
                    };
                    let checked = texts::check(&given).map_err(|error| keep(Err(error))).ok();
                    if let Some((moved, learned)) = checked.flatten() {
                        (trained, training) = (moved, Some(learned));
                    }
                }
            }
        }
        keep(source.as_ref().map_or(Ok(()), |source| something_is_learned(spec, source)));
        if let (Some(source), Some(runs)) = (&source, &runs) {
            ask = ask::plan(&loaded, source, &scans, runs).map_err(|error| keep(Err(error))).ok();
            keep(phases::has_training_people(spec, source, runs));
            keep(selected(spec, source));
        }
        placed(problems)?;
        let (Some(source), Some(runs)) = (source, runs) else {
            unreachable!("what is missing was a problem")
        };
        let run_dir = outputs.join(&spec.name);
        // one number of threads for scans and for models: RAYON_NUM_THREADS, or the cores
        let n_workers = NonZeroUsize::new(rayon::current_num_threads());
        let n_workers = n_workers.unwrap_or(NonZeroUsize::MIN);
        let budget = engine::Budget { n_workers, ..engine::Budget::of_machine() };
        let cache_dir = outputs.join(CACHE);
        let command = Vec::new();
        let pseudonyms = None;
        Ok(Self {
            loaded,
            source,
            lm,
            encoder,
            runs,
            run_dir,
            cache_dir,
            budget,
            command,
            disk,
            trained,
            training,
            ask: ask.flatten(),
            pseudonyms,
        })
    }
}

/// What is wrong whatever the files hold.
fn said(spec: &Spec) -> Vec<Error> {
    let chain = stage::check_chain(spec.stages(), &spec.cohort);
    let model = spec.model.as_ref().map_or(Ok(()), ModelSpec::check);
    let settings = spec.stages().iter().map(Stage::check);
    [spec.cohort.check(), chain, model]
        .into_iter()
        .chain(settings)
        .filter_map(Result::err)
        .collect()
}

fn source_of(loaded: &Loaded) -> Result<SourcePlan> {
    match &loaded.spec.cohort {
        CohortSpec::Pairs(pairs) => {
            Ok(SourcePlan::Cohort(cohort::plan(loaded, pairs, window(&loaded.spec).as_ref())?))
        }
        CohortSpec::Pictures(pictures) => {
            Ok(SourcePlan::Pictures(pictures::plan(loaded, pictures)?))
        }
        CohortSpec::Benchmark(benchmark) => {
            Ok(SourcePlan::Benchmark(few_shot::plan(loaded, benchmark)?))
        }
        CohortSpec::Corpus(corpus) => {
            let path = loaded.resolve(&corpus.texts);
            let text = files::read_table(&path)?;
            let texts = text.split("\n\n").map(str::trim).filter(|text| !text.is_empty());
            let texts: Vec<String> = texts.map(str::to_owned).collect();
            if texts.is_empty() {
                return Err(Error::EmptyCorpus { path });
            }
            Ok(SourcePlan::Corpus { path, sha256: files::sha256_bytes(text.as_bytes()), texts })
        }
        CohortSpec::Bids(_)
        | CohortSpec::Arrow(_)
        | CohortSpec::Files(_)
        | CohortSpec::Manifest(_)
        | CohortSpec::Hdf5(_) => Ok(SourcePlan::Recordings(recordings::plan(loaded)?)),
    }
}

fn runs(spec: &Spec, source: &SourcePlan) -> Result<Vec<RunPlan>> {
    let cohort = match source {
        SourcePlan::Cohort(cohort) => cohort,
        SourcePlan::Recordings(recordings) => return recordings::runs(spec, recordings),
        SourcePlan::Pictures(_) | SourcePlan::Benchmark(_) | SourcePlan::Corpus { .. } => {
            folds::are_absent(spec, "nothing, pictures and texts are not divided")?;
            return folds::of_seeds(spec, &[]);
        }
    };
    let runs = folds::plan(spec, cohort)?;
    omics::vary(cohort, &runs)?;
    for run in &runs {
        cohort::check_splits(spec, cohort, run)?;
        classes::suffice(spec, cohort, run)?;
    }
    Ok(runs)
}

/// Refuses a query of the stage `select` for what will not be known of any recording.
fn selected(spec: &Spec, source: &SourcePlan) -> Result<()> {
    let found = spec.stages().iter().enumerate().find_map(|(at, stage)| match stage {
        Stage::Select(config) => Some((at, config)),
        _ => None,
    });
    let Some((at, config)) = found else { return Ok(()) };
    let stage = "select";
    let SourcePlan::Recordings(plan) = source else {
        let problem =
            "asks for labels and measurements, expected a cohort of recordings".to_owned();
        return Err(Error::StageInput { stage, problem });
    };
    let series = Artifact::Media(Kind::ParcelSeries);
    let reads_parcels = spec.stages()[..at].iter().any(|stage| stage.gives(series));
    let asked = config.can_be_asked(plan.recordings(), reads_parcels);
    asked.map_err(|source| Error::StageQuery { stage, source })
}

/// A corpus has texts beside those that are held out, and none is longer than the model reads.
fn something_is_learned(spec: &Spec, source: &SourcePlan) -> Result<()> {
    let (SourcePlan::Corpus { texts, .. }, [Stage::Pretrain(config)]) = (source, spec.stages())
    else {
        return Ok(());
    };
    let refuse = |field, found: usize, expected| {
        let (stage, found) = ("pretrain", found.to_string());
        Err(Error::Setting { stage, field, found, expected })
    };
    if config.held_out >= texts.len() {
        let expected = format!("less than the {} of the corpus", counted(texts.len(), "text"));
        return refuse("held_out", config.held_out, expected);
    }
    let scratch = tempfile::tempdir();
    let scratch = scratch.map_err(files::at("make a folder in", &std::env::temp_dir()))?;
    let longest = train::longest_text(config, texts, scratch.path())?;
    if longest > config.n_positions {
        let expected = format!("at least {longest}, the tokens of the longest text of the corpus");
        return refuse("n_positions", config.n_positions, expected);
    }
    memory::holds_training(config, texts, longest, scratch.path())
}

/// Tries it in the nearest folder that is there, and leaves nothing behind.
fn writable(outputs: &Path) -> Result<()> {
    let existing = outputs.ancestors().find(|dir| dir.exists());
    let dir = existing.unwrap_or(Path::new("."));
    Ok(tempfile::tempfile_in(dir).map(drop).map_err(files::at("write into", dir))?)
}
