//! What a language model can read, without its weights: enough to refuse texts and settings before a
//! training begins.

use std::path::Path;

use encoder::{InputShape, LoraConfig};
use lm::{Described, LmShape};
use nn::weights::Outline;

use crate::package::{Outlines, Trained};
use crate::{FlamingoConfig, Result, Vocabulary};

/// A language model whose weights are described and not read.
pub struct LanguageModel {
    described: Described,
    vocabulary: Vocabulary,
    shape: LmShape,
    n_parameters: usize,
    n_block_parameters: usize,
}

impl LanguageModel {
    /// Reads config and tokenizer, and the names and shapes of the weights.
    ///
    /// # Errors
    /// As [`lm::open`]; and where a tensor is missing, unexpected or of another shape.
    pub fn describe(path: &Path) -> Result<Self> {
        let described = Described::open(path)?;
        let outline = Outline::default();
        let shape = described.outline(&outline)?.shape().clone();
        if let Some(reason) = outline.compare(&described.weights.list()).sentence() {
            return Err(lm::Error::Config { path: path.to_owned(), reason }.into());
        }
        let vocabulary = Vocabulary::new(described.tokenizer.clone(), shape.vocab_size)?;
        let n_parameters = outline.n_parameters();
        let blocks =
            outline.shapes().into_iter().filter(|(name, _)| name.starts_with(shape.blocks_name));
        let n_block_parameters = blocks.map(|(_, dims)| dims.iter().product::<usize>()).sum();
        Ok(Self { described, vocabulary, shape, n_parameters, n_block_parameters })
    }

    /// The first special token that a text holds, such as one that ends the turn of a user.
    ///
    /// # Errors
    /// Where the tokenizer cannot read the text.
    pub fn special_in(&self, text: &str) -> Result<Option<String>> {
        let Vocabulary { tokenizer, banned, .. } = &self.vocabulary;
        let ids = tokenizer.encode_rest(text)?.ids;
        let special = ids.into_iter().find(|id| banned.contains(id));
        Ok(special.and_then(|id| tokenizer.token(id)))
    }

    /// Width of a token.
    pub fn dim(&self) -> usize {
        self.shape.dim
    }

    /// Transformer blocks.
    pub fn n_blocks(&self) -> usize {
        self.shape.n_blocks
    }

    /// Longest text, in tokens.
    pub fn n_positions(&self) -> usize {
        self.shape.n_positions
    }

    /// Ids of the vocabulary, the special tokens included.
    pub fn n_ids(&self) -> usize {
        self.vocabulary.special.end
    }

    /// Parameters of all of its transformer blocks.
    pub fn n_block_parameters(&self) -> usize {
        self.n_block_parameters
    }

    /// All of its parameters.
    pub fn n_parameters(&self) -> usize {
        self.n_parameters
    }

    /// Tokens of a prompt with one `<image>` a scan.
    ///
    /// # Errors
    /// Where its `<image>` do not count `n_media`.
    pub fn prompt_length(&self, prompt: &str, n_media: usize) -> Result<usize> {
        Ok(self.vocabulary.prompt(prompt, n_media)?.len())
    }

    /// Tokens of a text that follows a prompt.
    ///
    /// # Errors
    /// Where it has none, or holds an `<image>`.
    pub fn rest_length(&self, text: &str) -> Result<usize> {
        Ok(self.vocabulary.continuation(text)?.len())
    }

    /// What is wrong with corrections of low rank beside its linear layers, if anything.
    ///
    /// # Errors
    /// Where its config is of no model.
    pub fn lora_problem(&self, lora: &LoraConfig) -> Result<Option<String>> {
        Ok(self.described.config.lora_problem(lora)?)
    }

    /// What a training of this architecture moves, and what stays.
    ///
    /// # Errors
    /// Where the parts do not fit together.
    pub fn trained(&self, config: &FlamingoConfig, input: InputShape) -> Result<Trained> {
        let special = self.vocabulary.special.clone();
        let outlines = Outlines::new(config, input, &self.described.config, special)?;
        Ok(Trained::of(&outlines))
    }
}
