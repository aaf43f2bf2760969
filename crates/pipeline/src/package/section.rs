//! The section `preprocessing` of a package: the stages between a scan and the model as they were, what was
//! fitted to the cohort, the atlas and the encoder, so that any scan goes the way of the cohort's.
use std::{collections::BTreeMap, path::Path};

use encoder::InputShape;
use flamingo::{ChatFrame, IMAGE, Manifest};
use preprocess::{Packing, Recipe, SeriesFacts, Step, StepRegistry};
use report::{
    metrics::SlotTrust,
    prompt::{Labels, PromptTemplate, Technique},
    questions::QuestionWords,
    slots::SlotSet,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::parts::{KnownScan, Packed};
use crate::{
    Error, Result,
    answers::Trust,
    framed::{framed, with_scan},
    media::Media,
    named::Scaling,
    stage::{AboutTokens, Stage, TokenSet, given},
};

/// Repetition times this near to each other are the same.
const SAME: f64 = 1e-3;

const FORMAT: u32 = 3;
/// Only models that are shown tokens; stages under their old names.
const OF_TOKENS: u32 = 2;
/// Only models that are shown one window of voxels; no list of stages.
const OF_WINDOWS: u32 = 1;

/// The section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Section {
    format: u32,
    /// The tokens that the model is shown; none where it is shown windows of events as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tokens: Option<AboutTokens>,
    /// The windows that the encoder reads.
    pub(super) windows: InputShape,
    /// The stages between a scan and the model; their files lie in the package.
    pub(super) stages: Vec<Stage>,
    /// The shortest and the longest repetition time of the cohort's scans where they are encoded.
    pub(super) t_r_s: [f64; 2],
    pub(super) prompt: PromptTemplate,
    /// What the chat template of the language model wrote around prompts, where its training had them so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chat: Option<ChatFrame>,
    pub(super) slots: SlotSet,
    /// Divides log-likelihoods of a slot's values, where the slot has no temperature of its own; fitted on
    /// windows that were not trained on.
    pub(super) temperature: f64,
    /// Of each slot that has its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) slot_trust: BTreeMap<String, SlotTrust>,
    /// How numbers beside the scan become what the model is shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) omics: Vec<Scaling>,
    /// Scans of the cohort table, so that their windows can be asked for by number.
    pub(super) scans: Vec<KnownScan>,
}

/// The section of a model that is shown one window of voxels, as it was written before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfWindows {
    #[serde(rename = "format")]
    _format: u32,
    t_r_s: f64,
    mask: Value,
    clean: Value,
    window: Value,
    whitening_shrinkage: Option<f64>,
    prompt: PromptTemplate,
    slots: SlotSet,
    temperature: f64,
    #[serde(default)]
    slot_trust: BTreeMap<String, SlotTrust>,
    scans: Vec<KnownScan>,
}

impl OfWindows {
    fn into_section(self, windows: InputShape) -> serde_json::Result<Section> {
        let mut stages = vec![json!({ "mask": self.mask })];
        if !self.clean.is_null() {
            stages.push(json!({ "clean": self.clean }));
        }
        stages.push(json!({ "event_windows": self.window }));
        let fitted = self.whitening_shrinkage;
        stages.extend(fitted.map(|it| json!({ "whiten": { "shrinkage": { "fixed": it } } })));
        Ok(Section {
            format: FORMAT,
            tokens: None,
            windows,
            stages: serde_json::from_value(stages.into())?,
            t_r_s: [self.t_r_s; 2],
            prompt: self.prompt,
            chat: None,
            slots: self.slots,
            temperature: self.temperature,
            slot_trust: self.slot_trust,
            omics: Vec::new(),
            scans: self.scans,
        })
    }
}

impl Section {
    /// That of the package in `dir`, of this format or of one before it.
    pub(crate) fn read(dir: &Path, manifest: &Manifest) -> Result<Self> {
        let refuse = |problem: String| Error::Package { path: dir.to_owned(), problem };
        let (section, input) = (&manifest.preprocessing, manifest.input);
        let format = section.get("format").and_then(Value::as_u64);
        let is = |known: u32| format == Some(u64::from(known));
        let said = section.clone();
        if is(OF_WINDOWS) && section.get("tokens").is_none() {
            let before = serde_json::from_value::<OfWindows>(said);
            let now = before.and_then(|it| it.into_section(input));
            return now.map_err(|error| refuse(error.to_string()));
        }
        match format {
            Some(found) if !is(FORMAT) && !is(OF_TOKENS) => {
                let problem = format!(
                    "its preprocessing has format {found}, expected {FORMAT}: run its pipeline again"
                );
                Err(refuse(problem))
            }
            _ => serde_json::from_value(said).map_err(|error| refuse(error.to_string())),
        }
    }
}

/// A question as a model reads it.
pub(crate) struct Posed {
    pub(crate) with_scan: String,
    pub(crate) without_scan: String,
    /// Stands before every answer, and belongs to it.
    pub(crate) blank: String,
}

impl Posed {
    /// The words for one window, in the frame of a chat template where there is one: the answer then begins a turn,
    /// and nothing stands before it.
    pub(crate) fn of(
        chat: Option<&ChatFrame>,
        words: &QuestionWords,
        technique: &Technique,
        labels: &Labels,
    ) -> Self {
        let (text, blank) = words.fill(technique, labels);
        let text = framed(chat, text);
        let blank = if chat.is_some() { String::new() } else { blank };
        Self { without_scan: text.replace(IMAGE, ""), with_scan: with_scan(text), blank }
    }
}

impl Section {
    /// The steps between a scan and what the model is shown.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &dyn Step> {
        self.stages.iter().filter_map(Stage::step)
    }

    /// The name and the version of every stage.
    pub(crate) fn versions(&self) -> Vec<(&str, u32)> {
        self.stages.iter().map(|stage| (stage.name(), stage.version())).collect()
    }

    /// Looks for steps among those that the program brings along.
    pub(crate) fn find_steps(&mut self, steps: &StepRegistry) {
        self.stages.iter_mut().for_each(|stage| stage.find_step(steps));
    }

    /// Why a scan of this repetition time cannot be shown; none where the cohort's scans had it.
    pub(crate) fn other_rate(&self, t_r_s: f64) -> Option<String> {
        let [shortest, longest] = self.t_r_s;
        if t_r_s > shortest * (1.0 - SAME) && t_r_s < longest * (1.0 + SAME) {
            return None;
        }
        // headers hold 32 bits
        let [found, shortest, longest] = [t_r_s, shortest, longest].map(|it| it as f32);
        let range = if shortest < longest { format!(" to {longest} s") } else { String::new() };
        Some(format!("TR is {found} s, the model was fitted to {shortest} s{range}"))
    }
}

/// What a run's package holds.
pub(super) fn packed(media: &Media<'_>, trust: Trust) -> Result<Packed> {
    let encoder = media.plan.loaded.encoder().expect("a model has an encoder");
    let is_encoded = media.tokens.is_some();
    let windows = if is_encoded { given::input(&encoder, media)? } else { media.input() };
    let mut stages = Vec::new();
    if given::stored(&encoder).is_none() {
        let all = media.plan.spec().stages().iter();
        stages = all.filter(|stage| stage.serves(windows)).cloned().collect();
    }
    let kept = Packing {
        about: media.series().map(|it| &it.about),
        volume_left_right: media.volume_left_right.as_ref(),
        place: &|path| media.place(path),
        fitted: &|name| media.fitted.get(name).cloned(),
    };
    let files = Recipe::pack(stages.iter_mut().filter_map(Stage::step_mut), &kept)?;
    let section = Section {
        format: FORMAT,
        tokens: media.tokens.as_ref().map(|it| it.about.clone()),
        windows,
        stages,
        t_r_s: times(media)?,
        prompt: media.prompt_template().clone(),
        chat: media.chat().cloned(),
        slots: media.slots().clone(),
        temperature: trust.temperature,
        slot_trust: trust.slots,
        omics: media.named.scalings.clone(),
        scans: KnownScan::all(media.cohort()),
    };
    let section = serde_json::to_value(section).expect("plain values");
    let is_before = is_encoded && !encoder.trainable().moves() && given::stored(&encoder).is_none();
    Ok(Packed { section, files, frozen_encoder: is_before.then_some(encoder) })
}

/// The shortest and the longest repetition time.
fn times(media: &Media<'_>) -> Result<[f64; 2]> {
    let mut range = [f64::INFINITY, 0.0];
    let mut add = |t_r_s: f64| range = [range[0].min(t_r_s), range[1].max(t_r_s)];
    if let Some(tokens) = &media.tokens {
        for unit in tokens.units.iter().flatten() {
            add(TokenSet::facts(unit)?.t_r_s);
        }
    } else if let Some(series) = media.series() {
        let facts = series.units.iter().flatten().filter_map(SeriesFacts::of);
        facts.for_each(|it| add(it.t_r_s));
    }
    Ok(range)
}
