//! Prompts and reports against the language model that reads them, before a scan is opened.
use flamingo::{Constrain, END_OF_CHUNK, GenerateConfig, IMAGE, LanguageModel, Trained};
use preprocess::{Recipe, Recording};
use report::{prompt::Technique, slots::SlotSet};
use scan::Split;

use super::{
    CohortPlan, EncoderPlan, LmPlan, RunPlan,
    frames::Frames,
    memory::{Batch, Kept, Sizes, Texts, holds_weights},
    table::slots_of,
    trains,
};
use crate::{
    Error, Result,
    spec::{CohortSpec, Loaded, PairsSpec},
    stage::Stage,
};

/// Most numbers that a training moves: each takes twenty bytes and more.
const MOST_TRAINED: usize = 4_000_000_000;

/// What a plan knows when texts are looked at.
pub(super) struct Given<'a> {
    pub(super) loaded: &'a Loaded,
    pub(super) cohort: &'a CohortPlan,
    pub(super) scans: &'a [Recording],
    pub(super) runs: &'a [RunPlan],
    pub(super) lm: &'a LmPlan,
    pub(super) encoder: Option<&'a EncoderPlan>,
    pub(super) frames: &'a Frames<'a>,
    pub(super) n_parcels: Option<usize>,
}

/// Refuses a language model that is not whole or that gates do not fit, and texts that are too long for
/// it; says what is trained. Nothing is asked where nothing is fitted.
pub(super) fn check(given: &Given<'_>) -> Result<Option<Trained>> {
    let spec = &given.loaded.spec;
    let CohortSpec::Pairs(pairs) = &spec.cohort else { return Ok(None) };
    if !spec.stages().iter().any(|stage| matches!(stage, Stage::Finetune(_))) {
        return Ok(None);
    }
    holds_no_token(given.cohort, pairs)?;
    let lm = LanguageModel::describe(&given.lm.dir)?;
    let trained = fits_around(given, &lm)?;
    let prompt = longest_prompt(given, &lm, pairs)?;
    let reports = reports_fit(given, &lm, prompt)?;
    batches_fit(given, &lm, prompt, &reports)?;
    let generate = spec.stages().iter().find_map(|stage| match stage {
        Stage::Generate(config) => Some(config),
        _ => None,
    });
    if let Some(config) = generate {
        writing_fits(config, &lm, prompt, slots_of(pairs))?;
    }
    Ok(trained)
}

/// The tokens that say where a scan is looked at and where a report ends are put where they belong;
/// others would be read as further scans, and as the end.
fn holds_no_token(cohort: &CohortPlan, pairs: &PairsSpec) -> Result<()> {
    let tokens = [IMAGE, END_OF_CHUNK];
    let template: String = pairs.prompt.clone().into();
    if let Some(token) = tokens.into_iter().find(|token| template.contains(token)) {
        return Err(Error::PromptToken { token });
    }
    for row in &cohort.rows {
        if let Some(token) = tokens.into_iter().find(|token| row.report.contains(token)) {
            let problem = format!("the report holds the token `{token}`, which has its own place");
            let (path, row) = (cohort.table.clone(), row.row);
            return Err(Error::RowProblem { path, row, problem });
        }
    }
    Ok(())
}

/// Refuses gates and a resampler that do not fit between the encoder and the language model.
fn fits_around(given: &Given<'_>, lm: &LanguageModel) -> Result<Option<Trained>> {
    let model = given.loaded.spec.model.as_ref().expect("the language model stands in it");
    let (every, most) = (model.gates.get().every, lm.n_blocks());
    if every > most {
        return Err(Error::TooManyOf { key: "model.gates.every".to_owned(), found: every, most });
    }
    let Some(trained) = trains::of_training(given, lm)? else { return Ok(None) };
    let n_trained = trained.n();
    if n_trained > MOST_TRAINED {
        let problem = format!(
            "would train {n_trained} numbers, expected at most {MOST_TRAINED}: make the resampler, the \
             gates, the encoder or the rank of `lora` smaller"
        );
        return Err(Error::StageInput { stage: "finetune", problem });
    }
    holds_weights(n_trained, 0).map_err(|problem| {
        let problem = format!("what is trained is too large: {problem}");
        Error::StageInput { stage: "finetune", problem }
    })?;
    Ok(Some(trained))
}

/// Tokens of the longest prompt that a row may get, with its `<image>`.
fn longest_prompt(given: &Given<'_>, lm: &LanguageModel, pairs: &PairsSpec) -> Result<usize> {
    let made = Recipe::made(given.loaded.spec.steps(), None)?;
    let of_volumes = made.volumes.map(|it| it.shape.iter().product());
    let of_grid = given.cohort.grid.iter().product();
    let known = [given.n_parcels.unwrap_or(0), of_grid].into_iter().chain(of_volumes);
    let n_voxels: usize = known.max().unwrap_or(0);
    let window = super::resolved::window(&given.loaded.spec);
    let mut facts: Vec<(f64, usize)> = Vec::new();
    for (idx, scan) in given.scans.iter().enumerate() {
        let n_frames = window.map(|it| it.n_frames).or_else(|| given.frames.in_file(idx));
        let of_scan = (scan.t_r_s.unwrap_or(given.cohort.t_r_s), n_frames.unwrap_or(9999));
        if !facts.contains(&of_scan) {
            facts.push(of_scan);
        }
    }
    let mut longest = 0;
    for (t_r_s, n_volumes) in facts {
        // the voxels of the mask and the quality are measured later: as many digits, in several guises
        for digits in ["99999999", "11111111", "83517264"] {
            let n_digits = n_voxels.to_string().len().min(digits.len());
            let n_voxels = digits[..n_digits].parse().expect("digits");
            let median_tsnr = Some(digits[..5].parse().expect("digits"));
            let technique = Technique { t_r_s, n_volumes, n_voxels, median_tsnr };
            let prompt = format!("{IMAGE}{}", pairs.prompt.fill(&technique));
            longest = longest.max(lm.prompt_length(&prompt, 1)?);
        }
    }
    if longest >= lm.n_positions() {
        let limit = lm.n_positions();
        return Err(Error::LongPrompt { found: longest, limit });
    }
    Ok(longest)
}

/// Refuses reports that do not fit behind the longest prompt, of the rows that some stage reads; the
/// tokens of each of these.
fn reports_fit(given: &Given<'_>, lm: &LanguageModel, prompt: usize) -> Result<Vec<usize>> {
    let evaluates =
        given.loaded.spec.stages().iter().any(|stage| matches!(stage, Stage::Evaluate(_)));
    let limit = lm.n_positions();
    let mut found = Vec::new();
    for (idx, row) in given.cohort.rows.iter().enumerate() {
        let is_read = |run: &RunPlan| evaluates || run.splits[idx] != Split::Test;
        if !given.runs.iter().any(is_read) {
            continue;
        }
        let n_tokens = lm.rest_length(&row.report)?;
        if prompt + n_tokens > limit {
            let problem = format!(
                "the report has {n_tokens} tokens, expected at most {}: the language model reads \
                 {limit}, of which the prompt takes up to {prompt}",
                limit - prompt
            );
            let (path, row) = (given.cohort.table.clone(), row.row);
            return Err(Error::RowProblem { path, row, problem });
        }
        found.push(n_tokens);
    }
    Ok(found)
}

/// Refuses as many texts side by side as no memory of this machine holds.
fn batches_fit(
    given: &Given<'_>,
    lm: &LanguageModel,
    prompt: usize,
    reports: &[usize],
) -> Result<()> {
    let sizes = Sizes { dim: lm.dim(), n_blocks: lm.n_blocks(), n_ids: lm.n_ids() };
    let longest = prompt + reports.iter().max().copied().unwrap_or(0);
    let n_predicted = reports.iter().min().copied().unwrap_or(0);
    let read = Texts { n_tokens: longest, n_predicted, kept: Kept::Nothing };
    let tested = given
        .runs
        .iter()
        .map(|run| run.splits.iter().filter(|split| **split == Split::Test).count());
    let n_tested = tested.max().unwrap_or(0);
    let batch = |stage, said, of, each| Batch { stage, said, of, each };
    given.loaded.spec.stages().iter().try_for_each(|stage| match stage {
        Stage::Finetune(config) => {
            let kept = if config.activation_checkpointing { Kept::Inputs } else { Kept::All };
            let learned = Texts { kept, ..read };
            batch("finetune", config.batch_size, usize::MAX, 1).fits(sizes, learned)
        }
        Stage::Generate(config) => {
            let written = Texts { n_tokens: prompt, n_predicted: 1, kept: Kept::Nothing };
            batch("generate", config.batch_size, n_tested, config.n_rows()).fits(sizes, written)
        }
        Stage::Evaluate(config) => {
            let n_pairs = n_tested.saturating_mul(n_tested);
            batch("evaluate", config.batch_size, n_pairs, 1).fits(sizes, read)
        }
        _ => Ok(()),
    })
}

/// Refuses to write more than fits behind the longest prompt.
fn writing_fits(
    config: &GenerateConfig,
    lm: &LanguageModel,
    prompt: usize,
    slots: &SlotSet,
) -> Result<()> {
    let limit = lm.n_positions();
    let refuse = |field, found: usize, expected: String| {
        Err(Error::Setting { stage: "generate", field, found: found.to_string(), expected })
    };
    if prompt + config.max_new_tokens > limit {
        let expected = format!(
            "at most {}: the language model reads {limit} tokens, of which the prompt takes up to \
             {prompt}",
            limit - prompt
        );
        return refuse("max_new_tokens", config.max_new_tokens, expected);
    }
    if config.no_repeat_ngram_size == Some(1) && prompt + config.max_new_tokens >= lm.n_ids() {
        let expected = format!(
            "at least 2: the language model has {} tokens, and no text of so many can be without \
             repetition",
            lm.n_ids()
        );
        return refuse("no_repeat_ngram_size", 1, expected);
    }
    if let Some(constrain) = config.constrain {
        if slots.slots().is_empty() {
            let found = format!("{constrain:?}").to_lowercase();
            let expected = "`cohort.pairs.slots`, which say what may be written".to_owned();
            return Err(Error::Setting { stage: "generate", field: "constrain", found, expected });
        }
        let longest = longest_of_slots(lm, slots)?;
        if constrain == Constrain::Slots && config.max_new_tokens < longest {
            let expected = format!("at least {longest}, as many as the slots' sentences take");
            return refuse("max_new_tokens", config.max_new_tokens, expected);
        }
    }
    // the values of a slot are compared where a text states it, or after its canonical words
    for slot in slots.slots() {
        let Some(alternatives) = slots.alternatives("", &slot.name) else { continue };
        for choice in &alternatives.choices {
            let text = format!("{}{}", alternatives.prefix, choice.surface);
            let n_tokens = lm.rest_length(&text)?;
            if prompt + n_tokens > limit {
                return Err(Error::LongPrompt { found: prompt + n_tokens, limit });
            }
        }
    }
    Ok(())
}

/// Tokens of the longest report of canonical sentences.
fn longest_of_slots(lm: &LanguageModel, slots: &SlotSet) -> Result<usize> {
    let mut n_tokens = 0;
    for sentences in slots.sentences() {
        let lengths = sentences.iter().map(|it| lm.rest_length(it));
        n_tokens += lengths.collect::<flamingo::Result<Vec<_>>>()?.into_iter().max().unwrap_or(0);
    }
    Ok(n_tokens)
}
