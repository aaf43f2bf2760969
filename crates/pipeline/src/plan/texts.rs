//! Prompts and reports against the language model that reads them, before a scan is opened.
use std::collections::BTreeSet;

use flamingo::{
    Compat, Constrain, END_OF_CHUNK, GenerateConfig, IMAGE, LanguageModel, Precision, Trained,
    unnamed,
};
use preprocess::{Recipe, Recording};
use report::{
    prompt::{Labels, Technique},
    slots::SlotSet,
};
use scan::Split;

use super::{
    CohortPlan, EncoderPlan, LmPlan, RowPlan, RunPlan, TrainingPlan,
    frames::Frames,
    memory::{Batch, Kept, Sizes, Texts, holds_weights},
    notes, peak,
    table::slots_of,
    trains::{self, Around},
};
use crate::{
    Error, Result,
    framed::{framed, with_scan},
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
/// it; says what is trained and what is learned. Nothing is asked where nothing is fitted.
pub(super) fn check(given: &Given<'_>) -> Result<Option<(Option<Trained>, TrainingPlan)>> {
    let spec = &given.loaded.spec;
    let CohortSpec::Pairs(pairs) = &spec.cohort else { return Ok(None) };
    if !spec.stages().iter().any(|stage| matches!(stage, Stage::Finetune(_))) {
        return Ok(None);
    }
    holds_no_token(given.cohort, pairs)?;
    notes::prompt_states_nothing(pairs, slots_of(pairs), given.cohort)?;
    let lm = LanguageModel::describe(&given.lm.dir)?;
    if given.lm.chat.is_some() {
        takes_no_turn(given.cohort, pairs, &lm)?;
    }
    let around = fits_around(given, &lm)?;
    let prompt = longest_prompt(given, &lm, pairs)?;
    let reports = reports_fit(given, &lm, prompt)?;
    batches_fit(given, &lm, prompt, &reports)?;
    let generate = spec.generate();
    if let Some(config) = generate {
        let compat = spec.model.as_ref().map(|model| model.compat).unwrap_or_default();
        writing_fits(config, &lm, prompt, slots_of(pairs), compat)?;
    }
    let notes = notes::of(given.cohort, given.runs, &reports, generate);
    let peak = around.as_ref().and_then(|around| reckoned(given, &lm, around, prompt, &reports));
    let plan =
        TrainingPlan { prompt_tokens: prompt, report_tokens: reports, notes, peak_memory_mb: peak };
    Ok(Some((around.map(|it| it.trained), plan)))
}

/// Megabytes that the training takes at most. Not reckoned where the activations of an encoder belong to it, or where no
/// header says how long the scans are.
fn reckoned(
    given: &Given<'_>,
    lm: &LanguageModel,
    around: &Around,
    prompt: usize,
    reports: &[usize],
) -> Option<u64> {
    let spec = &given.loaded.spec;
    let fit = spec.finetune()?;
    let encoder = &around.config.encoder;
    // one that is shown windows of events is trained, and a published one is larger than what was measured
    let moves = |plan: &EncoderPlan| plan.trainable.moves();
    if given.encoder.map_or_else(|| encoder.weights().is_some(), moves) {
        return None;
    }
    let encoder = encoder.spec(around.input).ok()?;
    let cut = spec.stages().iter().find_map(Stage::cut);
    let window = super::resolved::window(spec);
    let n_windows = |row: &RowPlan| match &cut {
        Some(cut) if window.is_none() => {
            let (n_frames, _) = given.frames.of_series(row.scan_idx)?;
            // of a model that is shown windows of events a row is one
            cut.n_windows(n_frames, 1)
        }
        _ => Some(1),
    };
    let run = given.runs.first()?;
    let learned = given.cohort.rows.iter().zip(&run.splits).filter(|(_, it)| **it != Split::Test);
    let n_windows: Vec<usize> = learned.map(|(row, _)| n_windows(row)).collect::<Option<_>>()?;
    let of_window = match (given.encoder, window) {
        (None, Some(it)) => {
            let of_grid = || given.cohort.grid.iter().product();
            let n_voxels: usize = given.n_parcels.unwrap_or_else(of_grid);
            (it.n_frames + 2 * fit.augment.jitter_frames) * n_voxels
        }
        _ => encoder.n_tokens() * encoder.vis_dim,
    };
    let training = peak::Training {
        dim: lm.dim(),
        n_blocks: lm.n_blocks(),
        n_block_parameters: lm.n_block_parameters(),
        lm_bytes: bytes_of(given, lm),
        n_ids: lm.n_ids(),
        n_trained: around.trained.n(),
        gates: &around.config.gates,
        resampler: &around.config.resampler,
        vis_dim: encoder.vis_dim,
        n_media_tokens: encoder.n_tokens() * n_windows.iter().max()?,
        n_held: of_window * n_windows.iter().sum::<usize>(),
        n_tokens: prompt + reports.iter().max()?,
        n_learned: 1. + reports.iter().sum::<usize>() as f64 / reports.len() as f64,
        batch_size: fit.batch_size,
        n_windows: fit.auxiliary.as_ref().map_or(0, |it| it.batch_size).max(fit.batch_size),
        checkpointing: fit.activation_checkpointing,
    };
    Some(training.peak_mb())
}

/// Bytes of the language model's weights as a training keeps them.
fn bytes_of(given: &Given<'_>, lm: &LanguageModel) -> usize {
    let precision = given.loaded.spec.model.as_ref().map(|model| model.precision);
    match precision.unwrap_or_default() {
        Precision::F32 => 4 * lm.n_parameters(),
        Precision::Bf16 | Precision::F16 => 2 * lm.n_parameters(),
        // blocks of 32 numbers with a scale
        Precision::Q8_0 => lm.n_parameters() * 34 / 32,
        Precision::Stored => {
            let dir = &given.lm.dir;
            let file = |name: &String| if dir.is_dir() { dir.join(name) } else { dir.clone() };
            let sizes = given.lm.digests.keys().filter_map(|name| file(name).metadata().ok());
            sizes.map(|it| it.len() as usize).sum()
        }
    }
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

/// Refuses words of a chat that hold a special token: it could end the turn of the user and begin another.
fn takes_no_turn(cohort: &CohortPlan, pairs: &PairsSpec, lm: &LanguageModel) -> Result<()> {
    let template: String = pairs.prompt.clone().into();
    if let Some(token) = lm.special_in(&template)? {
        return Err(Error::PromptSpecial { token });
    }
    for row in &cohort.rows {
        for (column, cell) in &row.labels {
            if let Some(token) = lm.special_in(cell)? {
                let problem = format!(
                    "{column} holds the special token `{token}`, which may end the user's turn"
                );
                let (path, row) = (cohort.table.clone(), row.row);
                return Err(Error::RowProblem { path, row, problem });
            }
        }
    }
    Ok(())
}

/// Refuses gates and a resampler that do not fit between the encoder and the language model.
fn fits_around(given: &Given<'_>, lm: &LanguageModel) -> Result<Option<Around>> {
    let model = given.loaded.spec.model.as_ref().expect("the language model stands in it");
    let (every, most) = (model.gates.get().every, lm.n_blocks());
    if every > most {
        return Err(Error::TooManyOf { key: "model.gates.every".to_owned(), found: every, most });
    }
    let Some(around) = trains::around(given, lm)? else { return Ok(None) };
    let n_trained = around.trained.n();
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
    Ok(Some(around))
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
        let n_frames = window.as_ref().map(|it| it.n_frames).or_else(|| given.frames.in_file(idx));
        let of_scan = (scan.t_r_s.unwrap_or(given.cohort.t_r_s), n_frames.unwrap_or(9999));
        if !facts.contains(&of_scan) {
            facts.push(of_scan);
        }
    }
    // what is said of people; of one who is not in the table perhaps nothing
    let nobody = Labels::new();
    let mut people: BTreeSet<&Labels> = given.cohort.rows.iter().map(|row| &row.labels).collect();
    people.insert(&nobody);
    let mut longest = 0;
    for (t_r_s, n_volumes) in facts {
        // the voxels of the mask and the quality are measured later: as many digits, in several guises
        for digits in ["99999999", "11111111", "83517264"] {
            let n_digits = n_voxels.to_string().len().min(digits.len());
            let n_voxels = digits[..n_digits].parse().expect("digits");
            let median_tsnr = Some(digits[..5].parse().expect("digits"));
            let technique = Technique { t_r_s, n_volumes, n_voxels, median_tsnr };
            for labels in &people {
                let prompt = framed(given.lm.chat.as_ref(), pairs.prompt.fill(&technique, labels));
                let prompt = with_scan(prompt);
                let (prompt, images) = unnamed(&prompt);
                longest = longest.max(lm.prompt_length(&prompt, images.len())?);
            }
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
    compat: Compat,
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
        let missing = if slots.slots().is_empty() {
            Some("`cohort.pairs.slots`, which say what may be written")
        } else if compat == Compat::OpenFlamingo {
            Some("a model without `compat: open_flamingo`")
        } else {
            None
        };
        if let Some(expected) = missing {
            let (found, expected) = (format!("{constrain:?}").to_lowercase(), expected.to_owned());
            return Err(Error::Setting { stage: "generate", field: "constrain", found, expected });
        }
        follows_in_time(constrain, slots)?;
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

/// Refuses to write canonical sentences where a derived slot comes before what it follows from.
pub(crate) fn follows_in_time(constrain: Constrain, slots: &SlotSet) -> Result<()> {
    let early = slots.derived_too_early().filter(|_| constrain == Constrain::Slots);
    let (Some(early), Some(scored)) = (early, slots.scored()) else { return Ok(()) };
    let (stage, field, found) = ("generate", "constrain", "slots".to_owned());
    let expected = format!(
        "slots in another order: {} follows from {} and would be written before it",
        early.name, scored.name
    );
    Err(Error::Setting { stage, field, found, expected })
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
