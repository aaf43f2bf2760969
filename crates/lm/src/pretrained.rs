//! Language models on disk: a Hugging Face folder.

use std::collections::HashMap;
use std::path::Path;

use candle_core::DType;
use nn::weights::{Frozen, Variables, save};

use crate::{CausalLm, Error, LlamaConfig, LmConfig, Result, Tokenizer};

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

/// Opens a folder with `config.json`, `tokenizer.json` and `model.safetensors`; every tensor of the
/// file must belong to the model.
pub fn open(folder: &Path, dtype: DType) -> Result<Pretrained> {
    let path = folder.join("config.json");
    let config = LmConfig::open(&path)?;
    let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"))?;
    if tokenizer.vocab_size() > config.vocab_size() {
        let reason = format!(
            "vocab_size is {}, but tokenizer.json beside it knows {} tokens",
            config.vocab_size(),
            tokenizer.vocab_size()
        );
        return Err(config_error(&path, reason));
    }
    let frozen = Frozen::open(&folder.join("model.safetensors"))?;
    let frozen = frozen.renamed(|name| config.rename(name))?;
    let lm = config.build(frozen.builder(dtype))?;
    frozen.all_used()?;
    let n_parameters = frozen.tensors().values().map(candle_core::Tensor::elem_count).sum();
    Ok(Pretrained { lm, tokenizer, n_parameters })
}

/// Writes `config.json` and `model.safetensors` (in `dtype`) into an existing folder, as Hugging
/// Face's `LlamaForCausalLM` reads them.
pub fn write(
    folder: &Path,
    config: &LlamaConfig,
    variables: &Variables,
    dtype: DType,
) -> Result<()> {
    let path = folder.join("config.json");
    let mut json = serde_json::to_value(config).map_err(|error| config_error(&path, error))?;
    json["model_type"] = "llama".into();
    json["architectures"] = serde_json::json!(["LlamaForCausalLM"]);
    json["hidden_act"] = "silu".into();
    let text = serde_json::to_string_pretty(&json).map_err(|error| config_error(&path, error))?;
    std::fs::write(&path, text + "\n").map_err(|source| Error::Io { path, source })?;
    let tensors = variables
        .tensors()
        .into_iter()
        .map(|(name, tensor)| Ok((name, tensor.to_dtype(dtype)?)))
        .collect::<Result<HashMap<_, _>>>()?;
    Ok(save(&folder.join("model.safetensors"), &tensors)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Llama, Step, train_bpe};
    use candle_core::{Device, Tensor};

    fn folder() -> (tempfile::TempDir, Llama) {
        let folder = tempfile::tempdir().unwrap();
        let texts = vec!["viewing of faces".to_owned()];
        train_bpe(&texts, 262, &folder.path().join("tokenizer.json")).unwrap();
        let config = LlamaConfig::tiny(262);
        let variables = Variables::default();
        let lm = Llama::new(&config, variables.builder(2, DType::F32)).unwrap();
        write(folder.path(), &config, &variables, DType::F32).unwrap();
        (folder, lm)
    }

    #[test]
    fn a_written_model_reads_back_the_same() -> Result<()> {
        let (folder, lm) = folder();
        let back = open(folder.path(), DType::F32)?;
        let ids = Tensor::new(&[[5u32, 80, 260]], &Device::Cpu)?;
        let step = Step::plain(1, 3)?;
        let gap = (back.lm.logits(&ids, &step)? - lm.logits(&ids, &step)?)?.abs()?.max_all()?;
        assert_eq!(gap.to_scalar::<f32>()?, 0.);
        Ok(())
    }

    #[test]
    fn another_architecture_or_a_small_embedding_is_refused_by_name() {
        let (folder, _) = folder();
        let path = folder.path().join("config.json");
        let text = std::fs::read_to_string(&path).unwrap();
        for (edit, expected) in [
            (("\"llama\"", "\"mamba\""), "unknown variant `mamba`, expected one of `llama`"),
            (("262", "200"), "vocab_size is 200, but tokenizer.json beside it knows"),
            (("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3"), "cannot share 3"),
        ] {
            std::fs::write(&path, text.replace(edit.0, edit.1)).unwrap();
            let error = open(folder.path(), DType::F32).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
