//! A whole LLaMA in one GGUF file: config and tokenizer from its metadata, weights from its blocks.

#[cfg(test)]
mod by_hand;
mod config;
mod metadata;
mod names;
#[cfg(test)]
mod tests;
mod tokenizer;

use std::path::Path;

use formats::Format;
use nn::weights::Frozen;

use self::metadata::Metadata;
use crate::{Described, Error, LmConfig, Result};

/// Reads a `.gguf` up to its weights.
pub(crate) fn describe(path: &Path) -> Result<Described> {
    let container = formats::open(path)?;
    if container.format() != Format::Gguf {
        return Err(Error::Config {
            path: path.to_owned(),
            reason: "found weights alone, expected a folder with a config.json, or a GGUF file"
                .to_owned(),
        });
    }
    let metadata = Metadata::of(&container);
    let llama = config::llama(&metadata, &container)?;
    let tokenizer = tokenizer::read(&metadata)?;
    let order = |name: &str| names::row_order(&llama, name);
    let weights = Frozen::from_container(container).renamed(names::hugging_face)?.reordered(order);
    let config = LmConfig::Llama(llama.clone());
    crate::pretrained::check_vocabulary(path, &config, &tokenizer)?;
    Ok(Described { config, tokenizer, weights })
}
