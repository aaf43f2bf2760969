//! A whole model in one GGUF file, or in the parts of one: config and tokenizer from its metadata,
//! weights from its blocks.

#[cfg(test)]
mod by_hand;
mod config;
mod metadata;
mod names;
mod parts;
#[cfg(test)]
mod tests;
mod tokenizer;

use std::path::{Path, PathBuf};

use self::metadata::Metadata;
use self::parts::Parts;
use crate::{ChatTemplate, Described, LmConfig, Result};

/// Reads a `.gguf` up to its weights.
pub(crate) fn describe(path: &Path) -> Result<Described> {
    let parts = Parts::open(path)?;
    let metadata = Metadata::of(parts.first());
    let config = config::read(&metadata, &parts)?;
    let tokenizer = tokenizer::read(&metadata)?;
    // llama.cpp turns neighbours in the blocks of LLaMA, and halves of a head in those of Qwen3
    let order = |name: &str| match &config {
        LmConfig::Llama(llama) => names::row_order(llama, name),
        LmConfig::SmolLm3(smol) => names::row_order(&smol.llama, name),
        _ => None,
    };
    let weights = parts.weights()?.renamed(names::hugging_face)?.reordered(order);
    crate::pretrained::check_vocabulary(path, &config, &tokenizer)?;
    Ok(Described { config, tokenizer, weights, notes: Vec::new() })
}

/// The chat template in the metadata of the file; none where it has none.
pub(crate) fn chat_template(path: &Path) -> Result<Option<ChatTemplate>> {
    let parts = Parts::open(path)?;
    let metadata = Metadata::of(parts.first());
    let Some(source) = metadata.text("tokenizer.chat_template")? else { return Ok(None) };
    let tokens = metadata.texts("tokenizer.ggml.tokens")?.unwrap_or_default();
    let token = |name: &str| -> Result<String> {
        let id = metadata.count(&format!("tokenizer.ggml.{name}_token_id"))?;
        Ok(id.and_then(|id| tokens.get(id)).map_or_else(String::new, |it| (*it).to_owned()))
    };
    Ok(Some(ChatTemplate::new(path, source.to_owned(), token("bos")?, token("eos")?)))
}

/// The files of the model that a `.gguf` holds, or is a part of.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    Ok(Parts::open(path)?.paths())
}
