//! A LLaMA folder as the GGUF file that llama.cpp's converter would make of it.

use std::path::Path;

use anyhow::{Context, Result};
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use serde_json::Value as Json;

/// Writes the folder's model in F32, with a tokenizer over bytes that cuts as GPT-2's does.
pub fn write(folder: &Path, path: &Path) -> Result<()> {
    let json = |name: &str| -> Result<Json> {
        let path = folder.join(name);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(serde_json::from_str(&text)?)
    };
    let (config, tokenizer) = (json("config.json")?, json("tokenizer.json")?);
    let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu)?;
    let heads = count(&config, "num_attention_heads")?;
    let kv_heads = count(&config, "num_key_value_heads").unwrap_or(heads);
    let mut stored = Vec::new();
    for (name, tensor) in &tensors {
        let n_heads = if name.contains("q_proj") {
            Some(heads)
        } else {
            name.contains("k_proj").then_some(kv_heads)
        };
        let tensor = match n_heads {
            Some(n_heads) => neighbours(tensor, n_heads)?,
            None => tensor.clone(),
        };
        stored.push((llama_cpp(name), QTensor::quantize(&tensor, GgmlDType::F32)?));
    }
    let mut keys = tokens(&tokenizer)?;
    let number = |name: &str| config[name].as_f64().with_context(|| format!("no {name}"));
    for (key, name) in [
        ("embedding_length", "hidden_size"),
        ("feed_forward_length", "intermediate_size"),
        ("block_count", "num_hidden_layers"),
        ("context_length", "max_position_embeddings"),
    ] {
        keys.push((format!("llama.{key}"), Value::U32(count(&config, name)? as u32)));
    }
    for (key, value) in [("head_count", heads), ("head_count_kv", kv_heads)] {
        keys.push((format!("llama.attention.{key}"), Value::U32(value as u32)));
    }
    let eps = Value::F32(number("rms_norm_eps")? as f32);
    keys.push(("llama.attention.layer_norm_rms_epsilon".to_owned(), eps));
    keys.push(("llama.rope.freq_base".to_owned(), Value::F32(number("rope_theta")? as f32)));
    keys.push(("general.architecture".to_owned(), Value::String("llama".to_owned())));
    let keys: Vec<(&str, &Value)> = keys.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let stored: Vec<(&str, &QTensor)> =
        stored.iter().map(|(name, blocks)| (name.as_str(), blocks)).collect();
    let mut file = std::fs::File::create(path).with_context(|| path.display().to_string())?;
    Ok(gguf_file::write(&mut file, &keys, &stored)?)
}

fn count(config: &Json, name: &str) -> Result<usize> {
    config[name].as_u64().map(|n| n as usize).with_context(|| format!("no {name}"))
}

/// The two entries of a rotary pair side by side, where Hugging Face has them half a head apart.
fn neighbours(tensor: &Tensor, n_heads: usize) -> Result<Tensor> {
    let half = tensor.dim(0)? / n_heads / 2;
    let split = tensor.reshape((n_heads, 2, half, ()))?;
    Ok(split.transpose(1, 2)?.contiguous()?.reshape(tensor.shape())?)
}

fn llama_cpp(name: &str) -> String {
    let mut name = name.to_owned();
    for (theirs, ours) in [
        ("model.embed_tokens", "token_embd"),
        ("model.layers.", "blk."),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("post_attention_layernorm", "ffn_norm"),
        ("input_layernorm", "attn_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ] {
        name = name.replace(theirs, ours);
    }
    name
}

/// The keys of a byte-level BPE tokenizer.
fn tokens(tokenizer: &Json) -> Result<Vec<(String, Value)>> {
    let model = &tokenizer["model"];
    let vocabulary = model["vocab"].as_object().context("no vocabulary")?;
    let mut tokens: Vec<(&String, u64)> =
        vocabulary.iter().filter_map(|(token, id)| Some((token, id.as_u64()?))).collect();
    tokens.sort_by_key(|(_, id)| *id);
    let special = tokenizer["added_tokens"].as_array().context("no added tokens")?;
    let is_special = |id: u64| special.iter().any(|token| token["id"].as_u64() == Some(id));
    let kinds = tokens.iter().map(|(_, id)| Value::I32(if is_special(*id) { 3 } else { 1 }));
    let merges = model["merges"].as_array().context("no merges")?.iter().map(|pair| {
        let pair = pair.as_array().into_iter().flatten().filter_map(Json::as_str);
        Value::String(pair.collect::<Vec<_>>().join(" "))
    });
    let texts = tokens.iter().map(|(token, _)| Value::String((*token).clone()));
    let key = |name: &str, value| (format!("tokenizer.ggml.{name}"), value);
    Ok(vec![
        key("model", Value::String("gpt2".to_owned())),
        key("pre", Value::String("gpt-2".to_owned())),
        key("tokens", Value::Array(texts.collect())),
        key("token_type", Value::Array(kinds.collect())),
        key("merges", Value::Array(merges.collect())),
    ])
}
