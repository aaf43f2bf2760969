//! Models that see tokens of a whole scan: the stages before them as they were, what was fitted to the
//! cohort, the atlas and the encoder, so that any scan goes the way of the cohort's.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use encoder::{EncoderConfig, FrozenEncoder, InputShape};
use flamingo::Model;
use preprocess::{Inputs, Packing, PreparedScan, Recipe, Recording, Step, StepRegistry};
use report::{counted, metrics::SlotTrust, prompt::PromptTemplate, slots::SlotSet};
use serde::{Deserialize, Serialize};

use super::parts::{KnownScan, Look, NO_CONFOUNDS, Packed, part, section};
use crate::{
    Error, OneScan, Place, Result,
    answers::Trust,
    media::Media,
    one_scan::Timed,
    shown::technique,
    stage::{AboutTokens, EncodeConfig, Stage, TokenSet, given},
};

const FORMAT: u32 = 2;

/// The key that only this section has.
pub(super) const SECTION: &str = "tokens";

/// The section `preprocessing` of a model that is shown tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FromTokens {
    format: u32,
    tokens: AboutTokens,
    /// The windows that the encoder reads.
    windows: InputShape,
    /// The stages between a scan and the model; their files lie in the package.
    stages: Vec<Stage>,
    /// The shortest and the longest repetition time of the cohort's scans where they are encoded.
    t_r_s: [f64; 2],
    prompt: PromptTemplate,
    pub(super) slots: SlotSet,
    /// Divides log-likelihoods of a slot's values, where the slot has no temperature of its own; fitted on
    /// windows that were not trained on.
    pub(super) temperature: f64,
    /// Of each slot that has its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) slot_trust: BTreeMap<String, SlotTrust>,
    /// Scans of the cohort table, so that their windows can be asked for by number.
    pub(super) scans: Vec<KnownScan>,
}

/// What a run's package holds.
pub(super) fn packed(media: &Media<'_>, set: &TokenSet, trust: Trust) -> Result<Packed> {
    let encoder = media.plan.loaded.encoder().expect("tokens come from an encoder");
    let windows = given::input(&encoder, media)?;
    let mut stages = Vec::new();
    if given::stored(&encoder).is_none() {
        let all = media.plan.spec().stages().iter();
        stages = all.filter(|stage| stage.serves(windows)).cloned().collect();
    }
    let kept = Packing {
        about: media.parcels.as_ref().map(|it| &it.about),
        volume_left_right: media.volume_left_right.as_ref(),
        place: &|path| media.place(path),
    };
    let files = Recipe::pack(stages.iter_mut().filter_map(Stage::step_mut), &kept)?;
    let section = FromTokens {
        format: FORMAT,
        tokens: set.about.clone(),
        windows,
        stages,
        t_r_s: times(set)?,
        prompt: media.prompt_template().clone(),
        slots: media.slots().clone(),
        temperature: trust.temperature,
        slot_trust: trust.slots,
        scans: KnownScan::all(media.cohort()),
    };
    let section = serde_json::to_value(section).expect("plain values");
    let is_before = !encoder.trainable().moves() && given::stored(&encoder).is_none();
    Ok(Packed { section, files, frozen_encoder: is_before.then_some(encoder) })
}

/// The shortest and the longest repetition time.
fn times(set: &TokenSet) -> Result<[f64; 2]> {
    let mut range = [f64::INFINITY, 0.0];
    for unit in set.units.iter().flatten() {
        let t_r_s = TokenSet::facts(unit)?.t_r_s;
        range = [range[0].min(t_r_s), range[1].max(t_r_s)];
    }
    Ok(range)
}

/// A package of a model that sees tokens of a whole scan.
pub(crate) struct TokenReader {
    pub(super) section: FromTokens,
    recipe: Recipe,
    encode: EncodeConfig,
    /// None where the encoder is part of the model.
    frozen: Option<FrozenEncoder>,
}

/// The files of a package.
struct Files<'a>(&'a Path);

impl Inputs for Files<'_> {
    fn place(&self, path: &Path) -> PathBuf {
        self.0.join(path)
    }

    fn digest(&self, path: &Path) -> preprocess::Result<String> {
        Ok(scan::sha256_scan(path)?)
    }

    fn fitted(&self, name: &str) -> Option<PathBuf> {
        Some(self.0.join(name))
    }
}

impl TokenReader {
    pub(super) fn open(dir: &Path, model: &Model, registry: &StepRegistry) -> Result<Self> {
        let mut section: FromTokens = section(dir, model, FORMAT)?;
        section.stages.iter_mut().for_each(|stage| stage.find_step(registry));
        let (path, manifest) = (dir.to_owned(), model.manifest());
        let frozen = match &manifest.frozen_encoder {
            Some(encoder) => Some(FrozenEncoder::open(encoder, section.windows)?),
            None if matches!(manifest.config.encoder, EncoderConfig::Stored(_)) => {
                let encoder = section.tokens.encoder_id;
                return Err(Error::TokensOnly { path, encoder });
            }
            None => None,
        };
        if frozen.as_ref().is_some_and(|it| it.identity() != section.tokens.identity) {
            let problem = "its encoder is another one than made the tokens of its training";
            return Err(Error::Package { path, problem: problem.to_owned() });
        }
        let steps: Vec<&dyn Step> = section.stages.iter().filter_map(Stage::step).collect();
        for file in steps.iter().flat_map(|step| step.parts()) {
            part(dir, model, &file)?;
        }
        let recipe =
            Recipe::unpack(&steps, &Files(dir)).map_err(|error| naming(dir, error.into()))?;
        let encode = section.stages.iter().find_map(|stage| match stage {
            Stage::Encode(config) => Some(config.clone()),
            _ => None,
        });
        let Some((recipe, encode)) = recipe.zip(encode) else {
            let problem = "its stages do not lead from a scan to tokens".to_owned();
            return Err(Error::Package { path, problem });
        };
        Ok(Self { section, recipe, encode, frozen })
    }

    pub(super) fn look(&self, one: &OneScan<'_>, known: Option<&KnownScan>) -> Result<Look> {
        let timed = &one.timed()?;
        let Timed { scan: one, start_s, .. } = timed;
        let onset_s = onset(one, known)?.map(|onset_s| onset_s - start_s);
        let scan = self.view(timed)?;
        let shown = self.shown(&scan, onset_s).map_err(|error| naming(one.path, error))?;
        let PreparedScan { seen, quality, .. } = &shown.prepared;
        let prompt = self.section.prompt.fill(&technique(quality));
        let stretch_s = seen.stretch_s(*start_s).expect("a scan that was read has frames");
        Ok(Look { medium: Arc::new(shown.medium), prompt, seen: seen.clone(), stretch_s })
    }

    /// The scan as stages see one of the cohort.
    fn view(&self, timed: &Timed<'_>) -> Result<Recording> {
        let Timed { scan: one, kept, .. } = timed;
        let refuse = |problem: &str| Error::NoSuchWindow {
            path: one.path.to_owned(),
            problem: problem.to_owned(),
        };
        let confounds = if self.section.stages.iter().any(Stage::asks_for_confounds) {
            let beside = || cohort::confounds_beside(one.path);
            let found = one.confounds.map(Path::to_owned).or_else(beside);
            Some(found.ok_or_else(|| {
                refuse(
                    "the model's stages take confounds out, and no table of them lies beside the scan: \
                     name it with --confounds",
                )
            })?)
        } else if one.confounds.is_some() {
            return Err(refuse(NO_CONFOUNDS));
        } else {
            None
        };
        let name = one.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Recording {
            subject: "unknown".to_owned(),
            session: None,
            name: name.clone(),
            unit: name.clone(),
            file: name,
            path: one.path.to_owned(),
            sha256: None,
            t_r_s: one.t_r,
            n_frames: None,
            kept: kept.clone(),
            confounds,
            coverage: cohort::coverage_beside(one.path),
            stacked: None,
        })
    }

    /// The scan as the cohort's were shown; where an onset is given, one window from there on instead of
    /// those of the stages.
    fn shown(&self, scan: &Recording, onset_s: Option<f64>) -> Result<Shown> {
        let prepared = self.recipe.prepare(scan, onset_s)?;
        self.check_time(&scan.path, prepared.t_r_s)?;
        let (input, coordinates) = (self.section.windows, self.recipe.coordinates());
        let tokens = prepared.tokens(self.frozen.as_ref(), input, coordinates.as_deref())?;
        Ok(Shown { medium: self.encode.medium(tokens, input), prepared })
    }

    /// Refuses a scan of another rate than those of the cohort.
    fn check_time(&self, path: &Path, t_r_s: f64) -> Result<()> {
        let [shortest, longest] = self.section.t_r_s;
        if t_r_s > shortest * (1.0 - SAME) && t_r_s < longest * (1.0 + SAME) {
            return Ok(());
        }
        // headers hold 32 bits
        let [found, shortest, longest] = [t_r_s, shortest, longest].map(|it| it as f32);
        let range = if shortest < longest { format!(" to {longest} s") } else { String::new() };
        let problem = format!("TR is {found} s, the model was fitted to {shortest} s{range}");
        Err(Error::NoSuchWindow { path: path.to_owned(), problem })
    }
}

/// Repetition times this near to each other are the same.
const SAME: f64 = 1e-3;

/// A scan's tokens, and what they were made of.
struct Shown {
    medium: flamingo::Medium,
    prepared: PreparedScan,
}

/// `error` with the scan's name, once.
fn naming(path: &Path, error: Error) -> Error {
    if error.to_string().contains(&path.display().to_string()) {
        return error;
    }
    Error::Series { path: path.to_owned(), source: Box::new(error) }
}

/// The second that a window is asked for from; none where the scan is seen as the cohort's were.
fn onset(one: &OneScan<'_>, known: Option<&KnownScan>) -> Result<Option<f64>> {
    let refuse = |problem: String| Error::NoSuchWindow { path: one.path.to_owned(), problem };
    let number = match one.place {
        None => return Ok(None),
        Some(Place::Onset(onset_s)) => return Ok(Some(onset_s)),
        Some(Place::Window(number)) => number,
    };
    match known {
        _ if number == 1 => Ok(None),
        Some(known) if (1..=known.windows.len()).contains(&number) => Ok(None),
        Some(known) => {
            let n = counted(known.windows.len(), "window");
            Err(refuse(format!("has {n} in the model's cohort, found --window {number}")))
        }
        None => Err(refuse(
            "the model sees a scan as a whole and writes one report of it, expected neither --window nor \
             --onset; --onset shows it one window from there on"
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests;
