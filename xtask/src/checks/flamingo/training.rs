//! Loss, every gradient, and four steps of `AdamW` as OpenFlamingo's training loop takes them.

use anyhow::{Context, Result, ensure};
use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};
use flamingo::Flamingo;
use nn::Ops;
use train::Optimizer;

use super::case::Case;
use super::compare::{gap, size};
use super::forward::{TOLERANCE, logits, text};
use crate::checks::Worst;

/// Hugging Face's loss: the next token's cross-entropy, mean over labels that are not −100.
fn loss(case: &Case, flamingo: &Flamingo) -> Result<Tensor> {
    let media = flamingo.encode_media(&case.media("fwd")?)?;
    let logits = logits(flamingo, &text(case, "fwd")?, &media, &mut |_, _, _| {})?;
    loss_of(case, flamingo.device().ops(), &logits)
}

fn loss_of(case: &Case, ops: Ops, logits: &Tensor) -> Result<Tensor> {
    let (_, n_tokens, _) = logits.dims3()?;
    let (mut places, mut targets) = (Vec::new(), Vec::new());
    for (row, labels) in case.rows("fwd.labels")?.iter().enumerate() {
        for (at, &label) in labels.iter().enumerate().skip(1).filter(|&(_, &label)| label >= 0) {
            places.push((row * n_tokens + at - 1) as u32);
            targets.push(label as u32);
        }
    }
    let places = Tensor::from_vec(places, targets.len(), logits.device())?;
    let logits = logits.flatten_to(1)?.index_select(&places, 0)?;
    Ok(nn::cross_entropy(ops, &logits, targets)?.mean_all()?)
}

/// Compares loss, gradients and the course of a short training.
pub(super) fn run(case: &Case, worst: &mut Worst) -> Result<()> {
    let (flamingo, variables) = case.build()?;
    let named: Vec<(String, Var)> =
        variables.all().into_iter().map(|(name, var)| (full_name(&name), var)).collect();

    let first = loss(case, &flamingo)?;
    let expected = case.get("fwd.loss")?.flatten_all()?.get(0)?.to_scalar::<f32>()?;
    worst.add("loss", f64::from((first.to_scalar::<f32>()? - expected).abs()), TOLERANCE);
    gradients(case, &named, &first.backward()?, worst)?;
    let (media, text) = (case.media("fwd")?, text(case, "fwd")?);
    let (again, grads) =
        flamingo.checkpointed(&media.clone().into(), &text, 1, |hidden, _, _| {
            loss_of(case, flamingo.device().ops(), &flamingo.head(hidden)?)
                .map_err(candle_core::Error::wrap)
        })?;
    worst.add("loss again", f64::from((again.to_scalar::<f32>()? - expected).abs()), TOLERANCE);
    gradients(case, &named, &grads, worst)?;
    steps(case, &flamingo, named, worst)
}

/// The language model's tensors stand under `lang_encoder` in OpenFlamingo.
pub(in crate::checks) fn full_name(name: &str) -> String {
    let ours = name.starts_with("perceiver.") || name.starts_with("lang_encoder.");
    if ours { name.to_owned() } else { format!("lang_encoder.{name}") }
}

fn gradients(
    case: &Case,
    named: &[(String, Var)],
    grads: &GradStore,
    worst: &mut Worst,
) -> Result<()> {
    let recorded = case.gradients()?;
    let total = number(&case.expect, &["grad_norm_total_unmasked"])?;
    for (name, expected) in &recorded {
        let var = named.iter().find(|(known, _)| known == name).map(|(_, var)| var);
        let var = var.with_context(|| format!("no variable is called `{name}`"))?;
        let grad = grads.get(var).with_context(|| format!("`{name}` got no gradient"))?;
        // a gate's gradient is a sum that cancels: judged beside the norm of all gradients
        let scale = if name.ends_with("_gate") { total } else { size(expected)?.max(1e-30) };
        let found = grad.reshape(expected.shape())?;
        worst.add(&format!("gradient of {name}"), gap(&found, expected, None)? / scale, TOLERANCE);
    }
    ensure!(!recorded.is_empty(), "grads.safetensors holds no gradient");
    let trainable = case.expect["trainable"].as_object().into_iter().flat_map(|all| all.keys());
    for name in trainable {
        ensure!(recorded.contains_key(name), "grads.safetensors lacks `{name}`");
    }
    Ok(())
}

/// Four steps: decay on the gated blocks alone, of the embedding only the special rows' gradients.
fn steps(
    case: &Case,
    flamingo: &Flamingo,
    named: Vec<(String, Var)>,
    worst: &mut Worst,
) -> Result<()> {
    let Some(losses) = case.expect["train"]["loss_before_each_step"].as_array() else {
        return Ok(());
    };
    let norms = case.expect["train"]["grad_norm_before_clip"].as_array().context("no norms")?;
    let embedding = case.expect["input_embedding_name"].as_str().context("no embedding name")?;
    let embedding = named.iter().find(|(name, _)| name == embedding).map(|(_, var)| var.clone());
    let special = [case.spec.media_token_id, case.spec.eoc_token_id];

    let decay = |name: &str| (1., if name.contains("gated_cross_attn") { 0.1 } else { 0. });
    let mut optimizer = Optimizer::new(flamingo.device(), named, 1., 0., decay)?;
    for (step, (expected, expected_norm)) in losses.iter().zip(norms).enumerate() {
        let loss = loss(case, flamingo)?;
        let mut grads = loss.backward()?;
        if let Some(embedding) = &embedding {
            let grad = only_rows(grads.get(embedding).context("no gradient")?, &special)?;
            grads.insert(embedding, grad);
        }
        let norm = optimizer.update(&grads, 1e-3)?;
        // a ReLU that is nearly 0 may open in one of two runs, which the norm shows at once and the
        // loss hardly; a wrong decay shows in the loss from 2e-4
        let (tolerance, norm_tolerance) = (1e-4, if step == 0 { 1e-4 } else { 1e-2 });
        let expected = expected.as_f64().context("a loss is a number")?;
        let found = f64::from(loss.to_dtype(DType::F32)?.to_scalar::<f32>()?);
        worst.add(&format!("loss of step {step}"), (found - expected).abs() / expected, tolerance);
        let expected = expected_norm.as_f64().context("a norm is a number")?;
        let error = (norm - expected).abs() / expected;
        worst.add(&format!("norm of step {step}"), error, norm_tolerance);
    }
    Ok(())
}

/// A gradient `(n_rows, dim)` with all rows but these at zero.
fn only_rows(grad: &Tensor, rows: &[u32]) -> Result<Tensor> {
    let n_rows = grad.dim(0)?;
    let kept: Vec<f32> = (0..n_rows as u32).map(|row| f32::from(rows.contains(&row))).collect();
    Ok(grad.broadcast_mul(&Tensor::from_vec(kept, (n_rows, 1), grad.device())?)?)
}

fn number(value: &serde_json::Value, path: &[&str]) -> Result<f64> {
    let found = path.iter().fold(value, |value, key| &value[*key]);
    found.as_f64().with_context(|| format!("case.json lacks expect.{}", path.join(".")))
}
