//! `finetune`: fit encoder, resampler and gates to the training windows; the language model stays.
mod samples;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use encoder::InputSpace;
use flamingo::{FlamingoConfig, Manifest, Model};
use preprocess::Kind;
use report::{
    metrics::{SlotTrust, Temperature},
    slots::SlotSpan,
};
use scan::Split;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use train::{Example, FitConfig, FitInputs, Fitted, PackageCard};

use crate::{
    Result,
    answers::{self, Query, Reading, Trust},
    event::Control,
    framed::with_scan,
    media::Media,
    package::Packed,
    plan::LmPlan,
    runner::{Folders, Runner},
    spec::{CohortSpec, ModelSpec},
    stage::{
        Artifact, Stage,
        settings::{
            BELOW_ONE, FACTOR, MOST_IN_BATCH, MOST_STEPS, NOT_NEGATIVE, POSITIVE, RATE, SHARE,
            Settings,
        },
        work::Work,
    },
    training_log::{self, TrainingLog},
};
use samples::Samples;
pub(crate) use samples::{asked_slots, metrics};

/// A trained model.
pub(crate) struct Trained {
    pub(crate) fit: Fit,
    /// Opened from its package.
    pub(crate) model: Model,
    /// The folder of the package.
    pub(crate) model_dir: PathBuf,
    /// What the training told, by the name in a run folder.
    pub(crate) log: Vec<(String, PathBuf)>,
}

/// What a fit says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fit {
    /// As `train` gives it.
    pub(crate) curve: Value,
    pub(crate) chosen_step: usize,
    pub(crate) n_trained: usize,
    pub(crate) n_frozen: usize,
    pub(crate) n_train: usize,
    #[serde(alias = "n_choose")]
    pub(crate) n_validation: usize,
    #[serde(flatten)]
    pub(crate) fitting: Fitting,
}

const MODEL: &str = "model";

impl Work for FitConfig {
    fn name(&self) -> &'static str {
        "finetune"
    }

    fn version(&self) -> u32 {
        5
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Media(Kind::Windows), Artifact::Model)
    }

    fn gives(&self, have: Artifact) -> Option<Artifact> {
        matches!(have, Artifact::Media(Kind::Windows | Kind::Tokens)).then_some(Artifact::Model)
    }

    fn needs_model(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        let settings = Settings(self.name());
        settings.at_most(&[
            ("steps", self.steps, MOST_STEPS),
            ("batch_size", self.batch_size, MOST_IN_BATCH),
            ("accumulate", self.accumulate, MOST_IN_BATCH),
            ("validate_every", self.validate_every, usize::MAX),
            ("checkpoint_every", self.checkpoint_every, usize::MAX),
            ("samples", self.samples.max(1), MOST_IN_BATCH),
            ("patience", self.patience.unwrap_or(usize::MAX), usize::MAX),
            ("overfit", self.overfit.unwrap_or(usize::MAX), usize::MAX),
        ])?;
        let positive = [
            ("learning_rate", self.learning_rate),
            ("clip_norm", self.clip_norm),
            ("max_minutes", self.max_minutes.unwrap_or(1.)),
        ];
        settings.numbers(POSITIVE, &positive)?;
        settings.numbers(RATE, &positive[..1])?;
        settings.numbers(FACTOR, &positive[2..])?;
        let factors = [
            ("weight_decay", self.weight_decay),
            ("gates_lr_scale", self.gates_lr_scale),
            ("encoder_lr_scale", self.encoder_lr_scale),
            ("slot_weight", self.slot_weight),
        ];
        settings.numbers(NOT_NEGATIVE, &factors)?;
        settings.numbers(FACTOR, &factors)?;
        let weights: Vec<_> =
            self.slot_weights.values().map(|weight| ("slot_weights", *weight)).collect();
        settings.numbers(NOT_NEGATIVE, &weights)?;
        settings.numbers(FACTOR, &weights)?;
        let shares = [
            ("final_lr", self.final_lr),
            ("augment.class_averaging", self.augment.class_averaging),
        ];
        settings.numbers(SHARE, &shares)?;
        let below_one =
            [("augment.voxel_dropout", self.augment.voxel_dropout), ("averaging", self.averaging)];
        settings.numbers(BELOW_ONE, &below_one)?;
        self.auxiliary.as_ref().map_or(Ok(()), |auxiliary| {
            settings.at_most(&[("auxiliary.batch_size", auxiliary.batch_size, MOST_IN_BATCH)])?;
            settings.numbers(NOT_NEGATIVE, &[("auxiliary.weight", auxiliary.weight)])?;
            Ok(settings.numbers(FACTOR, &[("auxiliary.weight", auxiliary.weight)])?)
        })
    }
}

/// Fits the adapter to the training windows, where a stage asks for it.
pub(super) fn finetune(
    runner: &mut Runner<'_, '_, '_>,
    media: &Media<'_>,
) -> Result<Option<Trained>> {
    let found = runner.find(|stage| match stage {
        Stage::Finetune(config) => Some(config),
        _ => None,
    });
    let Some((stage, config)) = found else { return Ok(None) };
    let trained = runner.stage(
        stage,
        &mut (),
        |()| json!([inputs(config, media), media.left_out()]),
        |(), folders, control| fit(config, media, folders, control),
        |(), dir| load(media, dir),
    )?;
    Ok(Some(trained))
}

/// What decides the fit beside its settings and the stages before.
fn inputs(config: &FitConfig, media: &Media<'_>) -> Value {
    let rows = media.cohort().rows.iter().zip(&media.run.splits);
    let rows: Vec<_> = rows.map(|(row, split)| (split, &row.report)).collect();
    // what lies in the encoder's files decides the tokens, or the windows, before
    let mut model_said = flamingo(media);
    model_said.encoder.relocate(&|path| path.file_name().map_or_else(PathBuf::new, PathBuf::from));
    let from = config.from.as_ref().map(|from| Manifest::read(&media.place(from)));
    let from = from.and_then(Result::ok).map(|manifest| manifest.trained_sha256());
    let mut said = json!({
        "from": from,
        "samples": samples::writing(config, media),
        "name": media.plan.spec().name,
        "seed": media.run.seed,
        "slots": media.slots(),
        "prompt": media.prompt_template(),
        "table": media.cohort().sha256,
        "rows": rows,
        "model": model_said,
        "lm": lm(media).digests,
        "precision": model(media).precision,
    });
    let omics = &media.cohort().omics;
    if !omics.is_empty() {
        let tables = omics.iter().map(|it| (&it.columns, &it.sha256));
        said["omics"] = json!(tables.collect::<Vec<_>>());
    }
    if let Some(chat) = media.chat() {
        said["chat"] = json!(chat);
    }
    said
}

fn fit(
    config: &FitConfig,
    media: &Media<'_>,
    folders: Folders<'_>,
    control: &mut Control<'_>,
) -> Result<()> {
    let (train, validation) = (media.rows_of(Split::Train)?, media.rows_of(Split::Validation)?);
    let (train, validation) = config.division(&train, &validation);
    let examples = |rows: &[usize], reach| {
        rows.iter().map(|&row| example(config, media, row, reach)).collect::<Result<Vec<_>>>()
    };
    let flamingo = &flamingo(media);
    let samples = Samples::new(config, media, validation);
    let from = config.from.as_ref().map(|from| media.place(from));
    let config = &FitConfig { from, ..config.clone() };
    let coordinates = coordinates(media, flamingo)?;
    let stop = control.stop();
    let inputs = FitInputs {
        lm: &lm(media).dir,
        precision: model(media).precision,
        device: media.plan.loaded.device()?,
        config: flamingo,
        input: media.input(),
        coordinates: coordinates.as_deref(),
        fit: config,
        seed: media.run.seed,
        train: &examples(train, config.augment.jitter_frames)?,
        validation: &examples(validation, 0)?,
        judge: samples.as_ref().map(|samples| samples as &dyn train::Judge),
        stop: &stop,
        state: folders.unfinished,
    };
    let log = TrainingLog::new(&media.plan.dir_of(media.run), folders.unfinished);
    let fitted = log.follow(control, folders.result, |tell| train::fit(&inputs, tell))?;
    // the temperature needs the chosen weights in a model, and the package needs the temperature
    let draft = folders.result.join("draft");
    fitted.save(&draft, &card(media, train, &Fitting::default())?)?;
    // after the training: its state is there still, and so is what was read of the model
    let reading = Reading::kept_in("finetune", &folders.unfinished.join("temperature"));
    let trust = trust(&opened(media, &draft)?, media, validation, &reading, control)?;
    fitted.save(&folders.result.join(MODEL), &card(media, train, &trust)?)?;
    files::remove_dir(&draft)?;
    write_fit(folders.result, &fitted, [train.len(), validation.len()], trust)
}

/// The package in `dir`, whose encoder may be one that the program brings along.
fn opened(media: &Media<'_>, dir: &Path) -> Result<Model> {
    let loaded = &media.plan.loaded;
    Ok(Model::open_with(dir, &loaded.opening()?, loaded.encoders())?)
}

fn load(media: &Media<'_>, dir: &Path) -> Result<Trained> {
    let model_dir = dir.join(MODEL);
    // a part that was damaged, or written by an older version, is found here and made again
    let model = opened(media, &model_dir)?;
    let (fit, log) = (files::read_json(&dir.join("fit.json"))?, training_log::files_of(dir)?);
    Ok(Trained { fit, model, model_dir, log })
}

fn model<'a>(media: &Media<'a>) -> &'a ModelSpec {
    media.plan.spec().model.as_ref().expect("the plan asks for a model where one is fitted")
}

/// The trained part; where a frozen encoder ran before, its encoder hands tokens on.
fn flamingo(media: &Media<'_>) -> FlamingoConfig {
    let mut config = model(media).flamingo();
    if let CohortSpec::Pairs(pairs) = &media.plan.spec().cohort {
        config.media = media.cohort().media_of_model(pairs);
    }
    let own = media.plan.loaded.encoder().filter(|it| it.trainable().moves());
    let handed_on = || media.tokens.as_ref().map(|it| it.about.encoder.clone());
    match own.or_else(handed_on) {
        Some(encoder) => FlamingoConfig { encoder, ..config },
        None => config,
    }
}

/// Where the parcels are, for an encoder under training that reads it.
fn coordinates(media: &Media<'_>, config: &FlamingoConfig) -> Result<Option<Vec<[f64; 3]>>> {
    let spec = config.encoder.spec(media.input())?;
    let asks = matches!(spec.input, InputSpace::Parcels { coordinates: true, .. });
    Ok(media.series().filter(|_| asks).and_then(|it| it.about.coordinates()))
}

fn lm<'a>(media: &Media<'a>) -> &'a LmPlan {
    media.plan.lm.as_ref().expect("the plan asks for a language model where one is used")
}

/// A window with up to `reach` frames more on either side, as far as the scan goes.
fn example(config: &FitConfig, media: &Media<'_>, row: usize, reach: usize) -> Result<Example> {
    let report = media.cohort().rows[row].report.clone();
    let slots = media.slots().slots();
    let weighted = |span: SlotSpan| {
        let own = config.slot_weights.get(&slots[span.slot_idx].name);
        (span.range, own.copied().unwrap_or(config.slot_weight))
    };
    let balanced = config.balance.as_ref();
    let balanced = balanced.and_then(|name| slots.iter().position(|slot| slot.name == *name));
    let (medium, margin) = if media.tokens.is_some() {
        (media.medium(row)?, 0)
    } else {
        let (window, margin) = media.window(row, reach)?;
        (Arc::new(media.shown(window)?.into_dyn()), margin)
    };
    let prompt = with_scan(media.prompt(row));
    Ok(Example {
        name: format!("row {} of the table", media.cohort().rows[row].row),
        media: media.named.with(row, medium),
        scans: vec![media.named.scan()],
        margin,
        prompt,
        weighted: media.slots().spans(&report).into_iter().map(weighted).collect(),
        class: media.class(row),
        stratum: balanced.and_then(|idx| media.class_of(row, idx)),
        report,
    })
}

/// What the validation windows say of probabilities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fitting {
    /// That of the first scored slot with probabilities.
    pub(crate) temperature: Temperature,
    /// Of each slot that has probabilities of its own.
    #[serde(default)]
    pub(crate) slots: BTreeMap<String, SlotTrust>,
}

impl Default for Fitting {
    fn default() -> Self {
        Self { temperature: Temperature::ONE, slots: BTreeMap::new() }
    }
}

impl Fitting {
    /// How likelihoods become probabilities.
    pub(crate) fn trust(&self) -> Trust {
        Trust { temperature: self.temperature.value, slots: self.slots.clone() }
    }
}

/// How likelihoods become probabilities, slot by slot, from the windows that were not trained on. A derived slot
/// follows from the true report there, and is left to the temperature of the scored one.
fn trust(
    model: &Model,
    media: &Media<'_>,
    validation: &[usize],
    reading: &Reading,
    control: &mut Control<'_>,
) -> Result<Fitting> {
    let slots = media.slots();
    let mut fitting = Fitting::default();
    let scored = slots.scored_idxs();
    // of numbers and sets there are no probabilities
    let first = scored.iter().copied().find(|&idx| slots.slots()[idx].is_one_of_values());
    for (idx, slot) in slots.slots().iter().enumerate() {
        if !slot.is_one_of_values() || slots.is_derived(&slot.name) {
            continue;
        }
        let labelled = validation.iter().filter_map(|&row| Some((row, media.class_of(row, idx)?)));
        let (rows, class): (Vec<usize>, Vec<usize>) = labelled.unzip();
        // of one value there is nothing to fit
        let found = if class.iter().collect::<BTreeSet<_>>().len() < 2 {
            Vec::new()
        } else {
            let query = |&row: &usize| {
                let query = Query { prompt: media.prompt(row), media: media.shown_of(row)? };
                Ok((query, media.cohort().rows[row].report.clone()))
            };
            let queries = rows.iter().map(query).collect::<Result<Vec<_>>>()?;
            answers::slot_likelihoods(model, slots, &slot.name, &queries, reading, control)?
        };
        let trust = SlotTrust::fit(&found, &class, slot.max_error)?;
        if Some(idx) == first {
            fitting.temperature = trust.temperature;
        }
        fitting.slots.insert(slot.name.clone(), trust);
    }
    Ok(fitting)
}

fn card(media: &Media<'_>, train: &[usize], fitting: &Fitting) -> Result<PackageCard> {
    let cohort = media.cohort();
    let mut scans: Vec<&str> =
        train.iter().map(|&row| cohort.scans[cohort.rows[row].scan_idx].sha256.as_str()).collect();
    scans.dedup();
    let Packed { section, files, frozen_encoder } = Packed::of(media, fitting.trust())?;
    let mut trained_on = json!({
        "table_sha256": cohort.sha256,
        "n_windows": train.len(),
        "scans_sha256": scans,
        "encoder": media.tokens.as_ref().map(|tokens| tokens.about.card()),
    });
    if let Some(terms) = media.terms() {
        trained_on["terms"] = json!(terms);
    }
    Ok(PackageCard {
        name: media.plan.spec().name.clone(),
        seed: media.run.seed,
        preprocessing: section,
        files,
        frozen_encoder,
        trained_on,
        licence: "Apache-2.0".to_owned(),
    })
}

fn write_fit(
    dir: &Path,
    fitted: &Fitted,
    [n_train, n_validation]: [usize; 2],
    fitting: Fitting,
) -> Result<()> {
    let fit = Fit {
        curve: serde_json::to_value(&fitted.curve).expect("a curve is plain numbers"),
        chosen_step: fitted.chosen_step,
        n_trained: fitted.n_trained,
        n_frozen: fitted.n_frozen,
        n_train,
        n_validation,
        fitting,
    };
    Ok(files::write_json(&dir.join("fit.json"), &fit)?)
}
