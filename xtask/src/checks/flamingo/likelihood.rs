//! How likely given continuations are, in whole passes and against a cached prompt.

use anyhow::{Context, Result, ensure};
use candle_core::Tensor;

use super::case::Case;
use super::forward::TOLERANCE;
use super::generation::prompts;
use crate::checks::Worst;

/// Compares tokens, sums and means of both ways.
pub(super) fn run(case: &Case, worst: &mut Worst) -> Result<()> {
    let Some(ll) = case.expect.get("ll") else { return Ok(()) };
    let classes: Vec<Vec<u32>> =
        serde_json::from_value(ll["classes"].clone()).context("expect.ll.classes")?;
    let (flamingo, _) = case.build()?;
    let media = flamingo.encode_media(&case.media("gen")?)?;
    let image = case.spec.media_token_id;
    let prompts = prompts(case)?;
    let pairs: Vec<(usize, &[u32])> = (0..prompts.len())
        .flat_map(|row| classes.iter().map(move |class| (row, class.as_slice())))
        .collect();

    let texts: Vec<Vec<u32>> = (0..prompts.len()).map(|row| prompts.text(row)).collect();
    let cached = flamingo.cache_prompts(prompts, Some(&media))?;
    compare(case, "cached", &cached.log_probs(&pairs)?, texts.len(), worst)?;

    let rows: Vec<u32> = pairs.iter().map(|&(row, _)| row as u32).collect();
    let whole = pairs.iter().map(|&(row, class)| [texts[row].as_slice(), class].concat());
    let starts: Vec<usize> = pairs.iter().map(|&(row, _)| texts[row].len()).collect();
    let media = media.select(&rows)?;
    let found = flamingo.log_probs(whole.collect(), &starts, Some(&media), image)?;
    compare(case, "uncached", &found, texts.len(), worst)
}

fn compare(
    case: &Case,
    way: &str,
    found: &[Vec<f64>],
    n_prompts: usize,
    worst: &mut Worst,
) -> Result<()> {
    let sums: Vec<f64> = found.iter().map(|tokens| tokens.iter().sum()).collect();
    let means = found.iter().zip(&sums).map(|(tokens, sum)| sum / tokens.len() as f64).collect();
    for (what, found) in [("tokens", found.concat()), ("sum", sums), ("mean", means)] {
        let name = format!("ll.{way}.{what}");
        let recorded: &Tensor = case.get(&name)?;
        ensure!(recorded.dim(0)? == n_prompts, "{name} is for other prompts");
        let recorded = recorded.flatten_all()?.to_vec1::<f32>()?;
        ensure!(recorded.len() == found.len(), "{name}: {} of {}", found.len(), recorded.len());
        for (found, expected) in found.iter().zip(recorded) {
            worst.add(&name, (found - f64::from(expected)).abs(), TOLERANCE);
        }
    }
    Ok(())
}
