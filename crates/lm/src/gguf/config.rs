//! Metadata to the config of a LLaMA.

use formats::{Container, Dtype};

use super::metadata::Metadata;
use crate::config::Architecture;
use crate::limits::{self, LAYERS, POSITIONS, WIDTH};
use crate::{Activation, LlamaConfig, Result, Rope, RopeScaling};

/// Tensor of divisors, one a rotary frequency: how llama.cpp stores the scaling of Llama 3.
const DIVISORS: &str = "rope_freqs.weight";

/// Reads the keys of architecture `llama`.
pub(super) fn llama(metadata: &Metadata, container: &Container) -> Result<LlamaConfig> {
    let key = "general.architecture";
    let architecture = metadata.need(key, metadata.text(key)?)?;
    if architecture != "llama" {
        return Err(
            metadata.wrong(format!("found architecture `{architecture}`, expected `llama`"))
        );
    }
    let optional = |name: &str| metadata.count(&format!("llama.{name}"));
    let count = |name: &str| metadata.need(&format!("llama.{name}"), optional(name)?);
    let number = |name: &str| metadata.number(&format!("llama.{name}"));
    if optional("expert_count")?.is_some_and(|n| n > 0) {
        return Err(metadata.wrong("a mixture of experts is not supported"));
    }
    let has = |name: &str| container.get(name).is_some();
    let Some([vocab_size, _]) = container.get("token_embd.weight").map(|e| e.shape.as_slice())
    else {
        return Err(metadata.wrong("tensor `token_embd.weight` is missing"));
    };
    let (width, heads) = (count("embedding_length")?, count("attention.head_count")?);
    let head_dim = optional("attention.key_length")?;
    let (n_layers, length) = (count("block_count")?, count("context_length")?);
    let feed_forward = count("feed_forward_length")?;
    let eps_key = "llama.attention.layer_norm_rms_epsilon";
    let eps = metadata.need(eps_key, metadata.number(eps_key)?)?;
    let theta = number("rope.freq_base")?.unwrap_or(10_000.);
    // what `problem` says too, under the names of this file
    let counts = limits::count(&[
        ("llama.block_count", n_layers, LAYERS),
        ("llama.context_length", length, POSITIONS),
        ("llama.embedding_length", width, WIDTH),
        ("llama.feed_forward_length", feed_forward, WIDTH),
    ]);
    if let Some(problem) = counts
        .or_else(|| limits::positive("llama.rope.freq_base", theta))
        .or_else(|| limits::eps(eps_key, eps))
    {
        return Err(metadata.wrong(problem));
    }
    let config = LlamaConfig {
        hidden_size: width,
        intermediate_size: feed_forward,
        vocab_size: *vocab_size,
        num_hidden_layers: n_layers,
        num_attention_heads: heads,
        num_key_value_heads: optional("attention.head_count_kv")?,
        head_dim,
        rms_norm_eps: eps,
        rope_theta: theta,
        rope_scaling: Some(Rope { scaling: scaling(metadata, container)?, ..Rope::default() }),
        max_position_embeddings: length,
        hidden_act: Activation::Silu,
        attention_bias: has("blk.0.attn_q.bias"),
        mlp_bias: has("blk.0.ffn_gate.bias"),
        tie_word_embeddings: !has("output.weight"),
    };
    if let Some(problem) = config.problem() {
        return Err(metadata.wrong(problem));
    }
    for name in ["rope.dimension_count", "attention.value_length"] {
        if let Some(found) = optional(name)?.filter(|&found| found != config.head_dim()) {
            return Err(metadata.wrong(format!(
                "llama.{name} is {found}, expected the width of a head, {}",
                config.head_dim()
            )));
        }
    }
    Ok(config)
}

fn scaling(metadata: &Metadata, container: &Container) -> Result<RopeScaling> {
    if let Some(entry) = container.get(DIVISORS) {
        if entry.dtype != Dtype::F32 {
            let found = entry.dtype;
            return Err(metadata.wrong(format!("tensor `{DIVISORS}` is {found}, expected F32")));
        }
        let bytes = container.read(entry)?;
        let (values, _) = bytes.as_chunks::<4>();
        let divisors = values.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect();
        return Ok(RopeScaling::Each { divisors });
    }
    let key = "llama.rope.scaling.factor";
    match metadata.text("llama.rope.scaling.type")? {
        None | Some("none") => Ok(RopeScaling::Plain),
        Some("linear") => {
            Ok(RopeScaling::Linear { factor: metadata.need(key, metadata.number(key)?)? })
        }
        Some(other) => {
            Err(metadata
                .wrong(format!("found rotary scaling `{other}`, expected `none` or `linear`")))
        }
    }
}
