//! Whether a language model can be used, told from its files without reading a weight.

use std::path::{Path, PathBuf};

use lm::{ChatFrame, ChatTemplate, Described};
use nn::weights::Outline;

use crate::{Fault, Result, Vocabulary, import};

/// A language model whose config, tokenizer and weights fit together.
#[derive(Clone, Debug)]
pub struct LanguageModelFiles {
    /// Every file that it is read from.
    pub files: Vec<PathBuf>,
    /// What in them contradicts itself, and what was made of it.
    pub notes: Vec<String>,
    /// Longest text in tokens.
    pub n_positions: usize,
}

/// What the chat template of a language model writes around what a user says.
///
/// # Errors
/// Where it has no chat template, or one that cannot be used: with the file and the line.
pub fn chat_frame(path: &Path) -> Result<ChatFrame> {
    let reason = "has no chat template, neither in chat_template.jinja nor in tokenizer_config.json; in a GGUF file it \
                  is tokenizer.chat_template";
    let missing = || lm::Error::Config { path: path.to_owned(), reason: reason.to_owned() };
    let template = ChatTemplate::of(path)?.ok_or_else(missing)?;
    Ok(template.frame(&Described::open(path)?.tokenizer)?)
}

/// Looks at a Hugging Face folder, or a GGUF file, as a model around it would.
///
/// # Errors
/// Names the file that is missing or not read, or the tensors that are missing, unexpected or of
/// another shape than the config says.
pub fn check_language_model(path: &Path) -> Result<LanguageModelFiles> {
    let described = Described::open(path)?;
    let own = Outline::default();
    let lm = described.outline(&own)?;
    import::fits(&own, &described.weights, path, Fault::LanguageModel)?;
    Vocabulary::new(described.tokenizer.clone(), lm.shape().vocab_size)?;
    let n_positions = lm.shape().n_positions;
    Ok(LanguageModelFiles { files: lm::files(path)?, notes: described.notes, n_positions })
}
