//! `finetune`: fit encoder, resampler and gates to the training windows; the language model stays.
use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use encoder::InputSpace;
use flamingo::{FlamingoConfig, IMAGE, Medium, Model};
use ndarray::s;
use report::metrics::{Temperature, fit_temperature};
use scan::Split;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use train::{Example, FitConfig, FitInputs, Fitted, PackageCard};

use super::{
    Artifact, Parcels,
    settings::{
        BELOW_ONE, FACTOR, MOST_IN_BATCH, MOST_STEPS, NOT_NEGATIVE, POSITIVE, RATE, SHARE, Settings,
    },
    work::Work,
};
use crate::{
    Result,
    event::{Control, Event},
    package::Packed,
    plan::LmPlan,
    readout::{self, Query, Reading},
    spec::ModelSpec,
    state::State,
};

/// What a fit says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fit {
    /// As `train` gives it.
    pub(crate) curve: Value,
    pub(crate) chosen_step: usize,
    pub(crate) n_trained: usize,
    pub(crate) n_frozen: usize,
    pub(crate) n_train: usize,
    pub(crate) n_choose: usize,
    pub(crate) temperature: Temperature,
}

const MODEL: &str = "model";

impl Work for FitConfig {
    fn name(&self) -> &'static str {
        "finetune"
    }

    fn version(&self) -> u32 {
        3
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Windows, Artifact::Model)
    }

    fn gives(&self, have: Artifact) -> Option<Artifact> {
        matches!(have, Artifact::Windows | Artifact::Tokens).then_some(Artifact::Model)
    }

    fn needs_model(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        let settings = Settings(self.name());
        settings.at_most(&[
            ("steps", self.steps, MOST_STEPS),
            ("batch_size", self.batch_size, MOST_IN_BATCH),
            ("validate_every", self.validate_every, usize::MAX),
            ("checkpoint_every", self.checkpoint_every, usize::MAX),
        ])?;
        let positive = [("learning_rate", self.learning_rate), ("clip_norm", self.clip_norm)];
        settings.numbers(POSITIVE, &positive)?;
        settings.numbers(RATE, &positive[..1])?;
        let factors = [
            ("weight_decay", self.weight_decay),
            ("gates_lr_scale", self.gates_lr_scale),
            ("encoder_lr_scale", self.encoder_lr_scale),
            ("slot_weight", self.slot_weight),
        ];
        settings.numbers(NOT_NEGATIVE, &factors)?;
        settings.numbers(FACTOR, &factors)?;
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
            settings.numbers(FACTOR, &[("auxiliary.weight", auxiliary.weight)])
        })
    }

    fn inputs(&self, state: &State<'_>) -> Value {
        let rows = state.cohort().rows.iter().zip(&state.run.splits);
        let rows: Vec<_> = rows.map(|(row, split)| (split, &row.report)).collect();
        // what lies in the encoder's files decides the tokens, or the windows, before
        let mut model_said = flamingo(state);
        model_said
            .encoder
            .relocate(&|path| path.file_name().map_or_else(PathBuf::new, PathBuf::from));
        json!({
            "name": state.plan.spec().name,
            "seed": state.run.seed,
            "slots": state.slots(),
            "prompt": state.prompt_template(),
            "table": state.cohort().sha256,
            "rows": rows,
            "model": model_said,
            "lm": lm(state).digests,
            "precision": model(state).precision,
        })
    }

    fn compute(&self, state: &State<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let (train, choose) = (state.rows_of(Split::Train)?, state.rows_of(Split::Choose)?);
        let examples = |rows: &[usize], reach| {
            rows.iter().map(|&row| example(state, row, reach)).collect::<Result<Vec<_>>>()
        };
        let config = &flamingo(state);
        let coordinates = coordinates(state, config)?;
        let inputs = FitInputs {
            lm: &lm(state).dir,
            precision: model(state).precision,
            config,
            input: state.input(),
            coordinates: coordinates.as_deref(),
            fit: self,
            seed: state.run.seed,
            train: &examples(&train, self.augment.jitter_frames)?,
            choose: &examples(&choose, 0)?,
            state: &state.keep_dir,
        };
        let fitted = train::fit(&inputs, &mut |progress| {
            control.tell(Event::Training(progress.clone()));
            if control.stopping() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        // the temperature needs the chosen weights in a model, and the package needs the temperature
        let draft = dir.join("draft");
        fitted.save(&draft, &card(state, &train, 1.0)?)?;
        let temperature = temperature(&Model::open(&draft)?, state, &choose, control)?;
        fitted.save(&dir.join(MODEL), &card(state, &train, temperature.value)?)?;
        files::remove_dir(&draft)?;
        write_fit(dir, &fitted, [train.len(), choose.len()], temperature)
    }

    fn load(&self, state: &mut State<'_>, dir: &Path) -> Result<()> {
        let model_dir = dir.join(MODEL);
        // a part that was damaged, or written by an older version, is found here and made again
        Model::open(&model_dir)?;
        state.fit = Some(files::read_json(&dir.join("fit.json"))?);
        state.model_dir = Some(model_dir);
        Ok(())
    }
}

fn model<'a>(state: &State<'a>) -> &'a ModelSpec {
    state.plan.spec().model.as_ref().expect("the plan asks for a model where one is fitted")
}

/// The trained part; where a frozen encoder ran before, its encoder hands tokens on.
fn flamingo(state: &State<'_>) -> FlamingoConfig {
    let config = model(state).flamingo();
    let Some(tokens) = &state.tokens else { return config };
    let own = state.plan.loaded.encoder().filter(|it| it.trainable().moves());
    FlamingoConfig { encoder: own.unwrap_or_else(|| tokens.about.encoder.clone()), ..config }
}

/// Where the parcels are, for an encoder under training that reads it.
fn coordinates(state: &State<'_>, config: &FlamingoConfig) -> Result<Option<Vec<[f64; 3]>>> {
    let spec = config.encoder.spec(state.input())?;
    let asks = matches!(spec.input, InputSpace::Parcels { coordinates: true, .. });
    Ok(state.parcels.as_ref().filter(|_| asks).and_then(Parcels::coordinates))
}

fn lm<'a>(state: &State<'a>) -> &'a LmPlan {
    state.plan.lm.as_ref().expect("the plan asks for a language model where one is used")
}

/// A window with up to `reach` frames more on either side, as far as the scan goes.
fn example(state: &State<'_>, row: usize, reach: usize) -> Result<Example> {
    let report = state.cohort().rows[row].report.clone();
    let (medium, margin) = with_margin(state, row, reach)?;
    Ok(Example {
        media: vec![medium],
        margin,
        prompt: format!("{IMAGE}{}", state.prompt(row)),
        weighted: state.slots().spans(&report).into_iter().map(|span| span.range).collect(),
        class: state.class(row),
        report,
    })
}

fn with_margin(state: &State<'_>, row: usize, reach: usize) -> Result<(Arc<Medium>, usize)> {
    if state.tokens.is_some() {
        return Ok((state.medium(row)?, 0));
    }
    let planned = &state.cohort().rows[row];
    let series = state.series[planned.scan_idx].as_ref().expect("its window is there");
    let config = state.plan.window().expect("a model is fitted to windows");
    let onset_s = state.cohort().scans[planned.scan_idx].since_first_frame(planned.onset_s);
    let frames = config.frames(onset_s, series.t_r, series.n_frames())?;
    let margin = reach.min(frames.start).min(series.n_frames() - frames.end);
    if margin == 0 {
        return Ok((state.medium(row)?, 0));
    }
    let wider = series.values.slice(s![frames.start - margin..frames.end + margin, ..]);
    let medium = match &state.whitening {
        Some(whitening) => whitening.apply(wider)?,
        None => wider.to_owned(),
    };
    Ok((Arc::new(medium.into_dyn()), margin))
}

/// From the scored slot of the windows that were not trained on.
fn temperature(
    model: &Model,
    state: &State<'_>,
    choose: &[usize],
    control: &mut Control<'_>,
) -> Result<Temperature> {
    let labelled = choose.iter().filter_map(|&row| Some((row, state.class(row)?)));
    let (rows, class): (Vec<usize>, Vec<usize>) = labelled.unzip();
    let queries: Vec<(Query, String)> = rows
        .iter()
        .map(|&row| {
            let medium = Some(state.medium(row)?);
            let query = Query { prompt: state.prompt(row), medium };
            Ok((query, state.cohort().rows[row].report.clone()))
        })
        .collect::<Result<_>>()?;
    let slots = state.slots();
    let scored = &slots.scored().name;
    // after the training: its state is there still, and so is what was read of the model
    let reading = Reading::kept_in("finetune", &state.keep_dir.join("temperature"));
    let found = readout::slot_likelihoods(model, slots, scored, &queries, &reading, control)?;
    Ok(fit_temperature(&found, &class)?)
}

fn card(state: &State<'_>, train: &[usize], temperature: f64) -> Result<PackageCard> {
    let cohort = state.cohort();
    let mut scans: Vec<&str> =
        train.iter().map(|&row| cohort.scans[cohort.rows[row].scan_idx].sha256.as_str()).collect();
    scans.dedup();
    let Packed { section, files, frozen_encoder } = Packed::of(state, temperature)?;
    Ok(PackageCard {
        name: state.plan.spec().name.clone(),
        seed: state.run.seed,
        preprocessing: section,
        files,
        frozen_encoder,
        trained_on: json!({
            "table_sha256": cohort.sha256,
            "n_windows": train.len(),
            "scans_sha256": scans,
            "encoder": state.tokens.as_ref().map(|tokens| tokens.about.card()),
        }),
        licence: "Apache-2.0".to_owned(),
    })
}

fn write_fit(
    dir: &Path,
    fitted: &Fitted,
    [n_train, n_choose]: [usize; 2],
    temperature: Temperature,
) -> Result<()> {
    let fit = Fit {
        curve: serde_json::to_value(&fitted.curve).expect("a curve is plain numbers"),
        chosen_step: fitted.chosen_step,
        n_trained: fitted.n_trained,
        n_frozen: fitted.n_frozen,
        n_train,
        n_choose,
        temperature,
    };
    Ok(files::write_json(&dir.join("fit.json"), &fit)?)
}
