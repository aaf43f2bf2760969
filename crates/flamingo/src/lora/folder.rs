//! A base model's files and an adapter become files of the merged model.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use formats::Value;
use nn::weights::{Frozen, save_with};
use serde::Serialize;

use super::{Corrections, LoraAdapter, TiedNames, wrong};
use crate::package::{in_place, io};
use crate::{Error, Fault, Result};

/// The names of weights in folders, and of the lists of their shards.
const WEIGHTS: [&str; 6] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
];

/// What became of an adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MergedLora {
    /// Tensors of the base.
    pub tensors: usize,
    /// Those that the adapter changed or brought.
    pub changed: Vec<String>,
    /// The weights that were written.
    pub weights: PathBuf,
}

/// Merges an adapter into the weights of its base model, a folder of Hugging Face or `open_clip` or one
/// weight file, and writes a folder or file of the same form: whole, or not at all.
///
/// # Errors
/// Names the file, and the tensor that does not fit; `to` must not be there.
pub fn merge_lora(base: &Path, adapter: &Path, to: &Path) -> Result<MergedLora> {
    if to.exists() {
        let reason = "is there already, choose another name".to_owned();
        return Err(Error::Import { path: to.to_owned(), reason, fault: Fault::Target });
    }
    let adapter = LoraAdapter::open(adapter)?;
    let Base { file, folder: from, metadata } = weights(base)?;
    let tied = from.as_deref().and_then(tied);
    let names = tied.as_ref().map(|[embedding, head]| TiedNames { embedding, head });
    let own = file.tensors()?;
    let merged = adapter.apply(&own, adapter.tensors(), names, Corrections::Merged)?;
    let mut changed: Vec<String> = Vec::new();
    for (name, tensor) in &merged {
        if own.get(name).is_none_or(|own| own.id() != tensor.id()) {
            finite(name, tensor, to)?;
            changed.push(name.clone());
        }
    }
    changed.sort();
    let tensors = own.len();
    if let Some(folder) = from {
        in_place(to, |staged| {
            copy_beside(&folder, staged)?;
            Ok(save_with(&staged.join(WEIGHTS[0]), &merged, &metadata)?)
        })?;
        return Ok(MergedLora { tensors, changed, weights: to.join(WEIGHTS[0]) });
    }
    let staged = files::Aside::new(to).map_err(io(to))?;
    save_with(staged.path(), &merged, &metadata)?;
    staged.keep().map_err(io(to))?;
    Ok(MergedLora { tensors, changed, weights: to.to_owned() })
}

fn finite(name: &str, tensor: &Tensor, path: &Path) -> Result<()> {
    let sum = tensor.to_dtype(DType::F64)?.abs()?.sum_all()?.to_scalar::<f64>()?;
    if sum.is_finite() {
        return Ok(());
    }
    Err(Error::NotFinite { path: path.to_owned(), name: name.to_owned() })
}

/// What is corrected.
struct Base {
    /// Its tensors, under the names that they have there.
    file: Frozen,
    /// The folder that they are in, where configs lie beside them.
    folder: Option<PathBuf>,
    /// What the file holds beside them, such as the `args` of a checkpoint.
    metadata: Value,
}

/// The weights of a file or folder.
fn weights(base: &Path) -> Result<Base> {
    if !base.is_dir() {
        let whole = formats::open(base)?;
        let metadata = whole.metadata().clone();
        let container = crate::import::inner(whole)?;
        if container.format() == formats::Format::Gguf {
            let reason =
                "is GGUF, whose blocks cannot take corrections; expected the model's folder";
            return Err(wrong(base, reason.to_owned()));
        }
        let file = Frozen::from_container(container).unwrapped()?;
        return Ok(Base { file, folder: None, metadata });
    }
    let is_there = |name: &&&str| base.join(name).is_file();
    let Some(name) = WEIGHTS.iter().find(is_there) else {
        return Err(wrong(
            base,
            format!("found no weights, expected one of {}", WEIGHTS.join(", ")),
        ));
    };
    let (file, metadata) = if name.contains(".index.") {
        (lm::folder_weights(base)?, Value::None)
    } else {
        let container = formats::open(&base.join(name))?;
        let metadata = container.metadata().clone();
        (Frozen::from_container(container), metadata)
    };
    Ok(Base { file: file.unwrapped()?, folder: Some(base.to_owned()), metadata })
}

/// Embedding and head of a language model that ties them; nothing for any other model.
fn tied(folder: &Path) -> Option<[String; 2]> {
    lm::LmConfig::open(&folder.join("config.json")).ok()?.tied_names()
}

/// Copies configs, tokenizer and cards, but no weights.
fn copy_beside(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).map_err(io(from))?.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let text = name.to_string_lossy();
        let is_weights = ["safetensors", "bin", "pt", "pth", "gguf", "h5", "msgpack"]
            .iter()
            .any(|end| text.ends_with(&format!(".{end}")))
            || text.ends_with(".index.json");
        if path.is_file() && !is_weights && !text.starts_with("adapter_") {
            fs::copy(&path, to.join(&name)).map_err(io(&path))?;
        }
    }
    Ok(())
}
