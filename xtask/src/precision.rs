//! What keeping a language model's weights in fewer bits costs.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use candle_core::{D, Device, Tensor};
use lm::Step;
use nn::Precision;

/// Prints, for every way to keep the weights, how far its logits are from those in `f32` and how
/// often its likeliest token is theirs.
#[expect(clippy::print_stdout, reason = "the table is what this chore is for")]
pub(crate) fn run(model: &Path, text: &Path, n_tokens: usize) -> Result<()> {
    let words =
        std::fs::read_to_string(text).with_context(|| format!("cannot read {}", text.display()))?;
    let exact = logits(model, &words, n_tokens, Precision::F32)?;
    let (n, _) = exact.dims2()?;
    let mean = exact.mean_all()?.to_scalar::<f32>()?;
    let spread = (&exact - f64::from(mean))?.sqr()?.mean_all()?.sqrt()?.to_scalar::<f32>()?;
    println!("{} over {n} tokens of {}", model.display(), text.display());
    println!("logits in f32 have a standard deviation of {spread:.2}");
    println!("| weights | largest difference | mean difference | same likeliest token |");
    println!("| --- | --- | --- | --- |");
    for precision in [Precision::Bf16, Precision::F16, Precision::Q8_0, Precision::Stored] {
        let ours = logits(model, &words, n_tokens, precision)?;
        let gap = (&ours - &exact)?.abs()?;
        let [largest, mean] = [gap.max_all()?, gap.mean_all()?].map(|gap| gap.to_scalar::<f32>());
        let same = ours.argmax(D::Minus1)?.eq(&exact.argmax(D::Minus1)?)?;
        let same = same.to_dtype(candle_core::DType::F32)?.mean_all()?.to_scalar::<f32>()?;
        let (largest, mean, same) = (largest?, mean?, 100. * same);
        println!("| {precision} | {largest:.3} | {mean:.4} | {same:.1} % |");
    }
    Ok(())
}

/// Logits `(n_tokens, vocab_size)` of the text's first tokens.
fn logits(model: &Path, text: &str, n_tokens: usize, precision: Precision) -> Result<Tensor> {
    let opened = lm::open(model, precision)?;
    let mut ids = opened.tokenizer.encode(text)?.ids;
    ids.truncate(n_tokens.min(opened.lm.shape().n_positions));
    ensure!(!ids.is_empty(), "a text of no tokens says nothing");
    let n = ids.len();
    let ids = Tensor::from_vec(ids, (1, n), &Device::Cpu)?;
    Ok(opened.lm.logits(&ids, &Step::plain(1, n)?)?.squeeze(0)?)
}
