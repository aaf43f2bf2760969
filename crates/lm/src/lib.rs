//! Causal language models that can be walked one block at a time.
//!
//! Flamingo acts *between* the blocks of a frozen language model, so a model here is not one
//! `forward` but its parts ([`CausalLm`]): `embed`, `block` after `block`, `norm`, `head`. Nothing
//! is patched into a layer and no state hides in one: positions, padding and the key-value cache
//! are arguments.

mod activation;
mod adapted;
mod attend;
mod cache;
mod chat;
mod config;
mod declared;
pub mod decode;
mod embedding;
mod error;
mod extra_rows;
mod gguf;
mod hugging_face;
mod limits;
mod llama;
mod mpt;
mod names;
mod neox;
mod opt;
mod pretrained;
mod rope;
mod rotary;
mod step;
#[cfg(test)]
mod testing;
mod tie;
mod tokenizer;
mod tokenizer_file;

use candle_core::{Result as CandleResult, Tensor};

pub use activation::Activation;
pub use cache::Cache;
pub use chat::{ChatFrame, ChatTemplate, Message};
pub use config::LmConfig;
pub use error::{Error, Result};
pub use extra_rows::ExtraRows;
pub use hugging_face::PaddedRows;
pub use llama::{Llama, LlamaConfig, MistralConfig, Qwen3Config, SmolLm3Config};
pub use mpt::{LogitScale, MosaicGptConfig, Mpt, MptAttentionConfig, MptConfig};
pub use neox::{NeoX, NeoXConfig};
pub use opt::{Opt, OptConfig};
pub use pretrained::{Described, Pretrained, files, folder_weights, open, write};
pub use rope::{Rope, RopeScaling};
pub use step::Step;
pub use tokenizer::{END_OF_TEXT, Encoded, Tokenizer, train_bpe};

/// What is known of a language model before it reads anything.
#[derive(Clone, Debug)]
pub struct LmShape {
    /// Width of the residual stream.
    pub dim: usize,
    /// Width of the embedding's rows; differs from `dim` in models that project.
    pub embedding_dim: usize,
    /// Transformer blocks.
    pub n_blocks: usize,
    /// Rows of the embedding: ids from this on belong to [`ExtraRows`].
    pub vocab_size: usize,
    /// Longest sequence the positions reach.
    pub n_positions: usize,
    /// Whether the output head is the input embedding.
    pub tied: bool,
    /// Attribute path of the block list in the model's Hugging Face class, as checkpoints spell it.
    pub blocks_name: &'static str,
    /// Attribute path of the input embedding in the model's Hugging Face class.
    pub embedding_name: &'static str,
    /// What the model's Hugging Face class makes of padding, for [`Step::as_hugging_face`].
    pub padded_rows: PaddedRows,
}

/// A causal language model, cut so that something may happen before each block.
pub trait CausalLm: Send + Sync {
    /// Its sizes and names.
    fn shape(&self) -> &LmShape;

    /// Ids `(batch, n_tokens)` to tokens `(batch, n_tokens, embedding_dim)`: the rows of the
    /// embedding alone.
    fn embed(&self, ids: &Tensor) -> CandleResult<Tensor>;

    /// Embedded tokens to what the first block reads, `(batch, n_tokens, dim)`: projections and
    /// learned positions, where the model has them.
    fn enter(&self, xs: Tensor, step: &Step) -> CandleResult<Tensor> {
        let _ = step;
        Ok(xs)
    }

    /// Block `idx`: tokens `(batch, n_tokens, dim)` to the same shape; reads and extends `cache`.
    fn block(
        &self,
        idx: usize,
        xs: &Tensor,
        step: &Step,
        cache: Option<&mut Cache>,
    ) -> CandleResult<Tensor>;

    /// What stands between the last block and the head, a norm in most models: `(batch, n_tokens,
    /// dim)` to `(batch, n_tokens, embedding_dim)`.
    fn norm(&self, xs: &Tensor) -> CandleResult<Tensor>;

    /// Normed tokens `(…, dim)` to logits `(…, vocab_size)`.
    fn head(&self, xs: &Tensor) -> CandleResult<Tensor>;

    /// All blocks in order: ids to logits, without anything in between.
    fn logits(&self, ids: &Tensor, step: &Step) -> CandleResult<Tensor> {
        let mut xs = self.enter(self.embed(ids)?, step)?;
        for idx in 0..self.shape().n_blocks {
            xs = self.block(idx, &xs, step, None)?;
        }
        self.head(&self.norm(&xs)?)
    }
}
