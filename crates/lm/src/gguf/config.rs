//! Metadata to a config: of LLaMA, Qwen3 and SmolLM3.

use formats::Dtype;

use super::metadata::Metadata;
use super::parts::Parts;
use crate::limits::{self, LAYERS, POSITIONS, WIDTH};
use crate::{Activation, LlamaConfig, LmConfig, Qwen3Config, Result, Rope, RopeScaling};
use crate::{SmolLm3Config, config::Architecture};

/// Architectures that are read, by llama.cpp's names.
const ARCHITECTURES: [&str; 3] = ["llama", "qwen3", "smollm3"];

/// Tensor of divisors, one a rotary frequency: how llama.cpp stores the scaling of Llama 3.
const DIVISORS: &str = "rope_freqs.weight";

/// The keys of one architecture.
struct Keys<'a> {
    metadata: &'a Metadata,
    architecture: &'a str,
}

impl Keys<'_> {
    fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    fn optional(&self, name: &str) -> Result<Option<usize>> {
        self.metadata.count(&self.name(name))
    }

    fn count(&self, name: &str) -> Result<usize> {
        self.metadata.need(&self.name(name), self.optional(name)?)
    }

    fn number(&self, name: &str) -> Result<Option<f64>> {
        self.metadata.number(&self.name(name))
    }
}

/// Reads the keys of the file's architecture.
pub(super) fn read(metadata: &Metadata, parts: &Parts) -> Result<LmConfig> {
    let key = "general.architecture";
    let architecture = metadata.need(key, metadata.text(key)?)?;
    if !ARCHITECTURES.contains(&architecture) {
        let expected = ARCHITECTURES.map(|name| format!("`{name}`")).join(", ");
        return Err(metadata
            .wrong(format!("found architecture `{architecture}`, expected one of {expected}")));
    }
    let keys = Keys { metadata, architecture };
    let llama = llama(&keys, parts)?;
    let config = match architecture {
        "qwen3" => LmConfig::Qwen3(Qwen3Config::of(llama)),
        "smollm3" => LmConfig::SmolLm3(SmolLm3Config::of(llama)),
        _ => LmConfig::Llama(llama),
    };
    match config.problem() {
        Some(problem) => Err(metadata.wrong(problem)),
        None => Ok(config),
    }
}

/// What all architectures here share.
fn llama(keys: &Keys, parts: &Parts) -> Result<LlamaConfig> {
    let metadata = keys.metadata;
    if keys.optional("expert_count")?.is_some_and(|n| n > 0) {
        return Err(metadata.wrong("a mixture of experts is not supported"));
    }
    let embedding = parts.get("token_embd.weight").map(|(_, entry)| entry.shape.as_slice());
    let Some([vocab_size, _]) = embedding else {
        return Err(metadata.wrong("tensor `token_embd.weight` is missing"));
    };
    let (width, heads) = (keys.count("embedding_length")?, keys.count("attention.head_count")?);
    let (n_layers, length) = (keys.count("block_count")?, keys.count("context_length")?);
    let feed_forward = keys.count("feed_forward_length")?;
    let eps_key = keys.name("attention.layer_norm_rms_epsilon");
    let eps = metadata.need(&eps_key, metadata.number(&eps_key)?)?;
    let theta = keys.number("rope.freq_base")?.unwrap_or(10_000.);
    // what `problem` says too, under the names of this file
    let counts = limits::count(&[
        (&keys.name("block_count"), n_layers, LAYERS),
        (&keys.name("context_length"), length, POSITIONS),
        (&keys.name("embedding_length"), width, WIDTH),
        (&keys.name("feed_forward_length"), feed_forward, WIDTH),
    ]);
    if let Some(problem) = counts
        .or_else(|| limits::positive(&keys.name("rope.freq_base"), theta))
        .or_else(|| limits::eps(&eps_key, eps))
    {
        return Err(metadata.wrong(problem));
    }
    let magnitude = keys.number("rope.scaling.attn_factor")?.filter(|&factor| factor != 1.);
    let config = LlamaConfig {
        hidden_size: width,
        intermediate_size: feed_forward,
        vocab_size: *vocab_size,
        num_hidden_layers: n_layers,
        num_attention_heads: heads,
        num_key_value_heads: keys.optional("attention.head_count_kv")?,
        head_dim: keys.optional("attention.key_length")?,
        rms_norm_eps: eps,
        rope_theta: theta,
        rope_scaling: Some(Rope { scaling: scaling(keys, parts)?, magnitude, ..Rope::default() }),
        max_position_embeddings: length,
        hidden_act: Activation::Silu,
        attention_bias: parts.has("blk.0.attn_q.bias"),
        mlp_bias: parts.has("blk.0.ffn_gate.bias"),
        tie_word_embeddings: !parts.has("output.weight"),
    };
    if let Some(problem) = config.problem() {
        return Err(metadata.wrong(problem));
    }
    for name in ["rope.dimension_count", "attention.value_length"] {
        if let Some(found) = keys.optional(name)?.filter(|&found| found != config.head_dim()) {
            return Err(metadata.wrong(format!(
                "{} is {found}, expected the width of a head, {}",
                keys.name(name),
                config.head_dim()
            )));
        }
    }
    Ok(config)
}

/// How the positions are stretched: by a factor for all frequencies, which llama.cpp takes for linear
/// scaling where no type is named, by divisors of each of them, or by both.
fn scaling(keys: &Keys, parts: &Parts) -> Result<RopeScaling> {
    let metadata = keys.metadata;
    let said = match keys.number("rope.scaling.factor")? {
        // its name before there were other rules
        None => keys.number("rope.scale_linear")?,
        factor => factor,
    };
    let factor = match metadata.text(&keys.name("rope.scaling.type"))? {
        // 0 says that there is none
        None => said.filter(|&factor| factor != 0. && factor != 1.),
        Some("none") => None,
        Some("linear") => Some(metadata.need(&keys.name("rope.scaling.factor"), said)?),
        Some(other) => {
            return Err(metadata
                .wrong(format!("found rotary scaling `{other}`, expected `none` or `linear`")));
        }
    };
    if let Some(problem) =
        factor.and_then(|factor| limits::positive(&keys.name("rope.scaling.factor"), factor))
    {
        return Err(metadata.wrong(problem));
    }
    let Some((container, entry)) = parts.get(DIVISORS) else {
        return Ok(factor.map_or(RopeScaling::Plain, |factor| RopeScaling::Linear { factor }));
    };
    if entry.dtype != Dtype::F32 {
        let found = entry.dtype;
        return Err(metadata.wrong(format!("tensor `{DIVISORS}` is {found}, expected F32")));
    }
    let bytes = container.read(entry)?;
    let (values, _) = bytes.as_chunks::<4>();
    let divisor = |bytes: &[u8; 4]| f64::from(f32::from_le_bytes(*bytes)) * factor.unwrap_or(1.);
    Ok(RopeScaling::Each { divisors: values.iter().map(divisor).collect() })
}
