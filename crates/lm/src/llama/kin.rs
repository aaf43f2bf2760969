//! Models of LLaMA's blocks under other names: Mistral, Qwen3, SmolLM3.

use candle_core::Result;
use nn::Builder;
use serde::{Deserialize, Serialize};

use super::LlamaConfig;
use crate::config::Architecture;
use crate::tie::{SharedNames, Tie};
use crate::{CausalLm, Llama};

/// What a model of LLaMA's blocks does differently.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variant {
    /// Whether the queries and keys of each head are normed before they are rotated.
    pub(crate) normed_heads: bool,
    /// Blocks whose queries and keys are not rotated.
    pub(crate) unrotated: Vec<usize>,
}

/// Mistral (Jiang et al. 2023): LLaMA's blocks, with a window over the past in its first release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MistralConfig {
    /// The fields that it shares with LLaMA.
    #[serde(flatten)]
    pub llama: LlamaConfig,
    /// Past tokens that a token sees; `null`: all of them.
    #[serde(default = "sliding_window")]
    pub sliding_window: Option<usize>,
}

/// The value that Hugging Face's classes assume where a file does not say.
#[expect(clippy::unnecessary_wraps, reason = "the field's type")]
fn sliding_window() -> Option<usize> {
    Some(4096)
}

/// What is wrong with a window over the past of a model that reads `length` tokens.
fn shorter(window: Option<usize>, length: usize) -> Option<String> {
    let window = window.filter(|&window| window < length)?;
    Some(format!(
        "a sliding window of {window} tokens is not supported where a sequence may have {length}; \
         expected none"
    ))
}

/// What is wrong with the kinds of attention that a config lists.
fn unknown_layers(layer_types: Option<&[String]>) -> Option<String> {
    let known = ["full_attention", "sliding_attention"];
    let other = layer_types?.iter().find(|kind| !known.contains(&kind.as_str()))?;
    Some(format!("found `{other}` among layer_types, expected `full_attention`"))
}

impl Architecture for MistralConfig {
    fn problem(&self) -> Option<String> {
        let length = self.llama.n_positions();
        self.llama.problem().or_else(|| shorter(self.sliding_window, length))
    }

    fn vocab_size(&self) -> usize {
        self.llama.vocab_size
    }

    fn rename(&self, name: &str) -> Option<String> {
        self.llama.rename(name)
    }

    fn shared_names(&self) -> SharedNames {
        self.llama.shared_names()
    }

    fn tie(&mut self) -> Tie<'_> {
        self.llama.tie()
    }

    fn build(&self, vb: Builder) -> Result<Box<dyn CausalLm>> {
        self.llama.build(vb)
    }
}

/// Qwen3 (Qwen Team 2025): the queries and keys of each head are normed before they are rotated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Qwen3Config {
    /// The fields that it shares with LLaMA.
    #[serde(flatten)]
    pub llama: LlamaConfig,
    /// Whether some blocks see a window of the past alone.
    #[serde(default)]
    pub use_sliding_window: bool,
    /// Past tokens in that window.
    #[serde(default = "sliding_window")]
    pub sliding_window: Option<usize>,
    /// The first block with a window, where `layer_types` does not say.
    #[serde(default = "max_window_layers")]
    pub max_window_layers: usize,
    /// The kind of attention of each block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_types: Option<Vec<String>>,
}

/// The value that Hugging Face's class assumes where a file does not say.
fn max_window_layers() -> usize {
    28
}

impl Qwen3Config {
    fn has_windows(&self) -> bool {
        let windows = match &self.layer_types {
            Some(types) => types.iter().any(|kind| kind == "sliding_attention"),
            None => self.max_window_layers < self.llama.num_hidden_layers,
        };
        self.use_sliding_window && windows
    }

    /// The smallest useful model, for tests.
    pub fn tiny(vocab_size: usize) -> Self {
        Self::of(LlamaConfig { head_dim: Some(6), ..LlamaConfig::tiny(vocab_size) })
    }

    /// One without windows.
    pub(crate) fn of(llama: LlamaConfig) -> Self {
        Self {
            llama,
            use_sliding_window: false,
            sliding_window: sliding_window(),
            max_window_layers: max_window_layers(),
            layer_types: None,
        }
    }
}

impl Architecture for Qwen3Config {
    fn problem(&self) -> Option<String> {
        let window = self.sliding_window.filter(|_| self.has_windows());
        self.llama
            .problem()
            .or_else(|| unknown_layers(self.layer_types.as_deref()))
            .or_else(|| shorter(window, self.llama.n_positions()))
    }

    fn vocab_size(&self) -> usize {
        self.llama.vocab_size
    }

    fn rename(&self, name: &str) -> Option<String> {
        self.llama.rename(name)
    }

    fn shared_names(&self) -> SharedNames {
        self.llama.shared_names()
    }

    fn tie(&mut self) -> Tie<'_> {
        self.llama.tie()
    }

    fn build(&self, vb: Builder) -> Result<Box<dyn CausalLm>> {
        let variant = Variant { normed_heads: true, ..Variant::default() };
        Ok(Box::new(Llama::of(&self.llama, &variant, vb)?))
    }
}

/// SmolLM3 (Bakouch et al. 2025): every fourth block goes without rotary positions (Yang et al. 2025).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SmolLm3Config {
    /// The fields that it shares with LLaMA.
    #[serde(flatten)]
    pub llama: LlamaConfig,
    /// 1 for each block whose queries and keys are rotated, 0 for the others; absent: every
    /// `no_rope_layer_interval`-th is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_rope_layers: Option<Vec<u8>>,
    /// Distance between blocks without rotary positions.
    #[serde(default = "no_rope_layer_interval")]
    pub no_rope_layer_interval: usize,
    /// Whether the blocks without rotary positions see a window of the past alone.
    #[serde(default)]
    pub use_sliding_window: bool,
    /// Past tokens in that window.
    #[serde(default)]
    pub sliding_window: Option<usize>,
    /// The kind of attention of each block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_types: Option<Vec<String>>,
}

/// The value that Hugging Face's class assumes where a file does not say.
fn no_rope_layer_interval() -> usize {
    4
}

impl SmolLm3Config {
    /// The smallest useful model, for tests: the second of three blocks is not rotated.
    pub fn tiny(vocab_size: usize) -> Self {
        Self {
            no_rope_layers: Some(vec![1, 0, 1]),
            ..Self::of(LlamaConfig { num_hidden_layers: 3, ..LlamaConfig::tiny(vocab_size) })
        }
    }

    /// One whose every fourth block is not rotated, as llama.cpp's.
    pub(crate) fn of(llama: LlamaConfig) -> Self {
        Self {
            llama,
            no_rope_layers: None,
            no_rope_layer_interval: no_rope_layer_interval(),
            use_sliding_window: false,
            sliding_window: None,
            layer_types: None,
        }
    }

    fn is_rotated(&self, block: usize) -> bool {
        match &self.no_rope_layers {
            Some(rotated) => rotated.get(block).is_some_and(|&flag| flag != 0),
            None => !(block + 1).is_multiple_of(self.no_rope_layer_interval),
        }
    }
}

impl Architecture for SmolLm3Config {
    fn problem(&self) -> Option<String> {
        if let Some(problem) = self.llama.problem() {
            return Some(problem);
        }
        let n_blocks = self.llama.num_hidden_layers;
        if let Some(rotated) = self.no_rope_layers.as_ref().filter(|it| it.len() < n_blocks) {
            return Some(format!(
                "no_rope_layers has {} entries, expected one for each of the {n_blocks} layers",
                rotated.len()
            ));
        }
        if self.no_rope_layer_interval == 0 {
            return Some("no_rope_layer_interval is 0, expected 1 or more".to_owned());
        }
        let window = self.sliding_window.filter(|_| self.use_sliding_window);
        unknown_layers(self.layer_types.as_deref())
            .or_else(|| shorter(window, self.llama.n_positions()))
    }

    fn vocab_size(&self) -> usize {
        self.llama.vocab_size
    }

    fn rename(&self, name: &str) -> Option<String> {
        self.llama.rename(name)
    }

    fn shared_names(&self) -> SharedNames {
        self.llama.shared_names()
    }

    fn tie(&mut self) -> Tie<'_> {
        self.llama.tie()
    }

    fn build(&self, vb: Builder) -> Result<Box<dyn CausalLm>> {
        let unrotated = (0..self.llama.num_hidden_layers).filter(|&block| !self.is_rotated(block));
        let variant = Variant { unrotated: unrotated.collect(), ..Variant::default() };
        Ok(Box::new(Llama::of(&self.llama, &variant, vb)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny(fields: &str) -> String {
        let config = serde_json::to_string(&LlamaConfig::tiny(10)).unwrap();
        config.replacen('{', &format!("{{{fields}"), 1)
    }

    #[test]
    fn mistral_is_read_unless_its_window_is_shorter_than_its_context() {
        let json =
            |window: &str| serde_json::from_str::<MistralConfig>(&tiny(window)).unwrap().problem();
        assert_eq!(json(r#""sliding_window": null,"#), None);
        assert_eq!(json(r#""sliding_window": 64,"#), None);
        assert_eq!(json(""), None, "4096 is longer than the tiny model's 64");
        let problem = json(r#""sliding_window": 63,"#).unwrap();
        assert!(problem.contains("63 tokens") && problem.contains("64"), "{problem}");
    }

    #[test]
    fn windows_of_qwen3_matter_where_they_are_used() {
        let json =
            |fields: &str| serde_json::from_str::<Qwen3Config>(&tiny(fields)).unwrap().problem();
        assert_eq!(json(""), None);
        assert_eq!(json(r#""use_sliding_window": false, "sliding_window": 8,"#), None);
        let used = r#""use_sliding_window": true, "sliding_window": 8,"#;
        assert_eq!(json(used), None, "windows begin at block 28");
        let early = json(&format!(r#"{used} "max_window_layers": 1,"#)).unwrap();
        assert!(early.contains("sliding window of 8 tokens"), "{early}");
        let full = r#""layer_types": ["full_attention", "full_attention"],"#;
        assert_eq!(json(&format!(r#"{used} {full} "max_window_layers": 1,"#)), None);
        let other = json(r#""layer_types": ["chunked_attention"],"#).unwrap();
        assert!(other.contains("found `chunked_attention`"), "{other}");
    }

    #[test]
    fn blocks_without_positions_are_listed_or_every_fourth() {
        let config = SmolLm3Config::of(LlamaConfig::tiny(10));
        let rotated: Vec<bool> = (0..8).map(|block| config.is_rotated(block)).collect();
        assert_eq!(rotated, [true, true, true, false, true, true, true, false]);
        let listed = SmolLm3Config { no_rope_layers: Some(vec![0, 1]), ..config.clone() };
        assert_eq!((listed.is_rotated(0), listed.is_rotated(1)), (false, true));
        assert_eq!(listed.problem(), None);
        let short = SmolLm3Config { no_rope_layers: Some(vec![1]), ..config.clone() };
        assert!(short.problem().unwrap().contains("1 entries, expected one for each of the 2"));
        let zero = SmolLm3Config { no_rope_layer_interval: 0, ..config };
        assert!(zero.problem().unwrap().contains("no_rope_layer_interval is 0"));
    }
}
