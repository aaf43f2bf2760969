//! Language models on disk: a Hugging Face folder, or one GGUF file.

#[cfg(test)]
mod tests;
mod weights;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::DType;
use nn::weights::{Frozen, LoraConfig, Outline, Source, Variables, save};
use nn::{Device, Precision};

use crate::declared::NEIGHBOURS;
use crate::{CausalLm, Error, LlamaConfig, LmConfig, Result, Tokenizer, gguf};

/// The config of a folder.
const CONFIG: &str = "config.json";
/// Its tokenizer.
const TOKENIZER: &str = "tokenizer.json";

/// Other files that hold a tokenizer, and the form that they have.
const OTHER_TOKENIZERS: [(&str, &str); 7] = [
    ("tokenizer.model", "a SentencePiece model"),
    ("spiece.model", "a SentencePiece model"),
    ("sentencepiece.bpe.model", "a SentencePiece model"),
    ("tekken.json", "Mistral's own form"),
    ("qwen.tiktoken", "the form of tiktoken"),
    ("vocab.json", "GPT-2's list of tokens, whose merges lie beside it"),
    ("vocab.txt", "BERT's list of tokens"),
];

/// A model and its tokenizer, as read.
pub struct Pretrained {
    /// The frozen model.
    pub lm: Box<dyn CausalLm>,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Parameters of the model.
    pub n_parameters: usize,
}

fn config_error(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::Config { path: path.to_owned(), reason: reason.to_string() }
}

/// Opens a Hugging Face folder (`config.json`, `tokenizer.json`, and weights as safetensors or
/// PyTorch's `.bin`, whole or in shards) or a `.gguf` file. The model works in `f32`; its matrices are
/// kept at `precision`, on the CPU.
///
/// # Errors
/// Every tensor of the files must belong to the model, and the other way round: the first that is
/// missing, unexpected or of another shape is named with its file.
pub fn open(path: &Path, precision: Precision) -> Result<Pretrained> {
    Described::open(path)?.load(precision, &Device::cpu())
}

/// A model whose files are known and whose weights are not read yet.
#[derive(Clone, Debug)]
pub struct Described {
    /// The architecture.
    pub config: LmConfig,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The weights under this crate's names, read when they are asked for.
    pub weights: Frozen,
    /// What in the files contradicts itself, and what was made of it: a sentence each.
    pub notes: Vec<String>,
}

impl Described {
    /// Reads everything but the weights, as [`open`] does.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_file() {
            return gguf::describe(path);
        }
        let config_path = path.join(CONFIG);
        let mut config = LmConfig::open(&config_path)?;
        let tokenizer = tokenizer_in(path, config.vocab_size())?;
        check_vocabulary(&config_path, &config, &tokenizer)?;
        let (weights, note) = config.take(&weights::open(path)?)?;
        Ok(Self { config, tokenizer, weights, notes: note.into_iter().collect() })
    }

    /// The model from its weights, all of them and no others, its matrices kept at `precision`.
    pub fn load(self, precision: Precision, device: &Device) -> Result<Pretrained> {
        self.load_corrected(precision, device, None, Outline::default())
    }

    /// The same with corrections of low rank beside its linear layers, in `f32` whatever those are kept in.
    ///
    /// # Errors
    /// Also where the model has no such layers.
    pub fn load_corrected(
        self,
        precision: Precision,
        device: &Device,
        lora: Option<&LoraConfig>,
        corrections: impl Source + 'static,
    ) -> Result<Pretrained> {
        let Self { config, tokenizer, weights, .. } = self;
        let weights = weights.kept(precision);
        let problem = lora.map(|lora| config.lora_problem(lora)).transpose()?.flatten();
        if let Some(problem) = problem {
            return Err(Error::Lora(problem));
        }
        let lm = config.build(config.corrected(weights.clone(), corrections, lora)?.on(device))?;
        weights.all_used()?;
        Ok(Pretrained { lm, tokenizer, n_parameters: weights.n_values() })
    }

    /// The model without weights, to be asked for its names and sizes; in `outline` what it needs.
    pub fn outline(&self, outline: &Outline) -> Result<Box<dyn CausalLm>> {
        Ok(self.config.build(outline.builder())?)
    }
}

/// The files that [`open`] reads, for whoever copies or checks a model.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return gguf::files(path);
    }
    let neighbours = NEIGHBOURS.map(|name| path.join(name)).into_iter();
    let mut files = vec![path.join(CONFIG), path.join(TOKENIZER)];
    files.extend(neighbours.filter(|path| path.is_file()));
    files.extend(weights::files(path)?);
    Ok(files)
}

/// The weights of a folder, whole or in shards, under the names of its files.
pub fn folder_weights(folder: &Path) -> Result<Frozen> {
    weights::open(folder)
}

/// The tokenizer of a folder, for an embedding of `n_rows` rows.
fn tokenizer_in(folder: &Path, n_rows: usize) -> Result<Tokenizer> {
    let path = folder.join(TOKENIZER);
    if path.is_file() || formats::dangling(&path).is_some() {
        return Tokenizer::open_within(&path, n_rows);
    }
    let others = OTHER_TOKENIZERS.iter().find(|(name, _)| folder.join(name).is_file());
    let found = match others {
        Some((name, form)) => format!("holds the tokenizer as {name}, {form}, which is not read"),
        None => "holds no tokenizer".to_owned(),
    };
    Err(Error::NoTokenizer { path: folder.to_owned(), found })
}

/// Fails where the tokenizer has ids that the embedding has no rows for.
pub(crate) fn check_vocabulary(
    path: &Path,
    config: &LmConfig,
    tokenizer: &Tokenizer,
) -> Result<()> {
    let (rows, tokens) = (config.vocab_size(), tokenizer.vocab_size());
    if tokens > rows {
        let reason = format!("vocab_size is {rows}, but the tokenizer knows {tokens} tokens");
        return Err(config_error(path, reason));
    }
    Ok(())
}

/// Writes `config.json` and `model.safetensors` (in `dtype`) into an existing folder, as Hugging
/// Face's `LlamaForCausalLM` reads them. The rotary settings stand where transformers reads them since
/// version 5, and where it read them before.
pub fn write(
    folder: &Path,
    config: &LlamaConfig,
    variables: &Variables,
    dtype: DType,
) -> Result<()> {
    let path = folder.join(CONFIG);
    let rope = config.rope();
    let config = LmConfig::Llama(config.clone());
    let mut json = serde_json::to_value(config).map_err(|error| config_error(&path, error))?;
    json["architectures"] = serde_json::json!(["LlamaForCausalLM"]);
    for (name, value) in rope.places() {
        json[name] = value;
    }
    let text = serde_json::to_string_pretty(&json).map_err(|error| config_error(&path, error))?;
    std::fs::write(&path, text + "\n").map_err(|source| Error::Io { path, source })?;
    let tensors = variables
        .tensors()
        .into_iter()
        .map(|(name, tensor)| Ok((name, tensor.to_dtype(dtype)?)))
        .collect::<Result<HashMap<_, _>>>()?;
    Ok(save(&folder.join("model.safetensors"), &tensors)?)
}
