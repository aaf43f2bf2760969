//! Whether a language model can be used, told from its files without reading a weight.

use std::path::{Path, PathBuf};

use lm::Described;
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
