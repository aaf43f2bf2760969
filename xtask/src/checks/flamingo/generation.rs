//! Writing: greedy and beam search, a forced `<image>`, the scores of every step.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use candle_core::{DType, Tensor};
use flamingo::{Choice, Chosen, Decoding, Flamingo, Forced, MediaView, Prompts, Sequence};
use lm::decode::{BeamConfig, EarlyStopping, Length};
use serde::Deserialize;

use super::case::Case;
use super::forward::TOLERANCE;
use crate::checks::Worst;

/// The settings of one recorded run.
#[derive(Deserialize)]
struct Run {
    eos_token_id: u32,
    #[serde(default = "one")]
    num_beams: usize,
    #[serde(default = "one")]
    num_return_sequences: usize,
    #[serde(default)]
    length_penalty: f64,
    #[serde(default)]
    early_stopping: bool,
    row: Option<usize>,
    step: Option<usize>,
    token: Option<u32>,
    scores_are_of_steps: Option<[usize; 2]>,
}

fn one() -> usize {
    1
}

impl Run {
    fn decoding(&self, case: &Case) -> Decoding {
        let mut decoding = Decoding::greedy(case.spec.max_new_tokens, self.eos_token_id);
        decoding.num_return_sequences = self.num_return_sequences;
        if let (Some(prompt), Some(step), Some(id)) = (self.row, self.step, self.token) {
            decoding.forced.push(Forced { prompt, step, id });
        }
        if self.num_beams > 1 {
            let early = self.early_stopping;
            decoding.choice = Choice::Beams(BeamConfig {
                num_beams: self.num_beams,
                length_penalty: self.length_penalty,
                length: Length::Whole,
                early_stopping: if early { EarlyStopping::Full } else { EarlyStopping::Heuristic },
            });
        }
        decoding
    }
}

/// The prompts of the part `gen`, with the padding that they were recorded with.
pub(super) fn prompts(case: &Case) -> Result<Prompts> {
    let (ids, real) = (case.rows("gen.input_ids")?, case.rows("gen.attention_mask")?);
    let ids = ids.iter().map(|row| row.iter().map(|&id| id as u32).collect()).collect();
    let real = real.iter().map(|row| row.iter().map(|&flag| flag != 0).collect()).collect();
    Ok(Prompts::new(ids, real, case.spec.media_token_id)?)
}

/// Compares every recorded run.
pub(super) fn run(case: &Case, worst: &mut Worst) -> Result<()> {
    let Some(runs) = case.expect.get("gen_runs") else { return Ok(()) };
    let runs: BTreeMap<String, Run> =
        serde_json::from_value(runs.clone()).context("expect.gen_runs")?;
    let (flamingo, _) = case.build()?;
    let media = flamingo.encode_media(&case.media("gen")?)?;
    for (name, run) in &runs {
        one_run(case, &flamingo, &media, name, run, worst)
            .with_context(|| format!("gen.{name}"))?;
    }
    Ok(())
}

fn one_run(
    case: &Case,
    flamingo: &Flamingo,
    media: &MediaView,
    name: &str,
    run: &Run,
    worst: &mut Worst,
) -> Result<()> {
    let prompts = prompts(case)?;
    let mut steps: BTreeMap<usize, Vec<Vec<f32>>> = BTreeMap::new();
    let written = flamingo.generate_ids(prompts, Some(media), &run.decoding(case), &mut |it| {
        let Chosen { sequence, scores, .. } = it;
        steps.entry(sequence).or_default().push(scores.to_vec());
        Ok(())
    })?;

    let recorded = case.rows(&format!("gen.{name}.sequences"))?;
    let found = whole(case, &written, recorded[0].len())?;
    worst.equal(&format!("tokens of {name}"), &found, &recorded);
    if run.num_beams > 1 {
        let scores = case.get(&format!("gen.{name}.sequences_scores"))?.to_vec1::<f32>()?;
        for (found, expected) in written.iter().flatten().zip(scores) {
            let expected = f64::from(expected);
            let error = found.score.map_or(f64::NAN, |found| (found - expected).abs());
            // a negative length penalty multiplies by the length's square
            worst.add(&format!("scores of {name}"), error / expected.abs().max(1.), TOLERANCE);
        }
    }
    let scores = format!("gen.{name}.scores");
    if run.scores_are_of_steps.is_some() || case.io.contains_key(&scores) {
        let scores = case.get(&scores)?;
        let first = run.scores_are_of_steps.map_or(0, |[first, _]| first);
        let forced = run.step.filter(|_| run.token.is_some());
        compare_scores(scores, &steps, first, forced, name, worst)?;
    }
    Ok(())
}

/// Prompts with their padding, then the texts, padded to the recorded width.
fn whole(case: &Case, written: &[Vec<Sequence>], width: usize) -> Result<Vec<Vec<i64>>> {
    let prompts = case.rows("gen.input_ids")?;
    let rows = prompts.iter().zip(written).flat_map(|(prompt, texts)| {
        texts.iter().map(move |text| {
            let mut row = prompt.clone();
            row.extend(text.ids.iter().map(|&id| i64::from(id)));
            row.resize(row.len().max(width), i64::from(case.spec.pad_token_id));
            row
        })
    });
    Ok(rows.collect())
}

/// Scores `(batch, n_steps, vocab_size)`, the first of step `first`, while a text is still open;
/// not of the forced step, whose scores were bent.
fn compare_scores(
    recorded: &Tensor,
    steps: &BTreeMap<usize, Vec<Vec<f32>>>,
    first: usize,
    forced: Option<usize>,
    name: &str,
    worst: &mut Worst,
) -> Result<()> {
    let recorded = recorded.to_dtype(DType::F32)?.to_vec3::<f32>()?;
    for (row, recorded) in recorded.iter().enumerate() {
        for (step, expected) in (first..).zip(recorded).filter(|(step, _)| Some(*step) != forced) {
            let Some(found) = steps.get(&row).and_then(|steps| steps.get(step)) else { break };
            let gaps = found.iter().zip(expected).map(|(a, b)| f64::from((a - b).abs()));
            let gap =
                gaps.fold(0., |worst: f64, gap| if gap.is_nan() { gap } else { worst.max(gap) });
            worst.add(&format!("scores of {name}, step {step}"), gap, TOLERANCE);
        }
    }
    Ok(())
}
