//! A foreign Flamingo becomes a package: OpenFlamingo's checkpoint, a language model, a CLIP.

mod beside;
mod sizes;
mod sort;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Tensor};
use encoder::{ClipActivation, EncoderConfig, InputShape, VisionFeature};
use lm::Described;
use nn::weights::{Frozen, Outline};
use serde::Serialize;

use self::beside::Beside;

pub(crate) use self::sort::inner;
use crate::package::{self, NewPackage, all_finite, digest, replaceable, write_referencing};
use crate::{Compat, Error, Fault, Flamingo, FlamingoConfig, Result, Vocabulary};

/// What to import, and what the files do not say.
#[derive(Clone, Debug)]
pub struct Import<'a> {
    /// Name of the package.
    pub name: &'a str,
    /// OpenFlamingo's `checkpoint.pt`, or one of its kin.
    pub checkpoint: &'a Path,
    /// The language model: a Hugging Face folder, or one GGUF file.
    pub lm: &'a Path,
    /// CLIP's weights, open_clip's or Hugging Face's names: a file, or a Hugging Face folder.
    pub vision: &'a Path,
    /// Whether the package names CLIP's file and its digest instead of holding a copy.
    pub reference_vision: bool,
    /// Whether tensors of the language model that the checkpoint trained are taken however far they
    /// are from the language model's; else such a checkpoint is taken for another model's.
    pub trained_lm: bool,
    /// Width of one attention head in the resampler and the gated blocks; OpenFlamingo's is 64.
    pub head_dim: usize,
    /// Width of one attention head in CLIP; absent: what the `config.json` or
    /// `open_clip_config.json` beside the weights says, or 64, as in all of OpenAI's.
    pub clip_head_dim: Option<usize>,
    /// CLIP's non-linearity; absent: what that config says, or the quick one where none is there.
    pub activation: Option<ClipActivation>,
    /// Which tokens of CLIP the checkpoint was trained on.
    pub vision_feature: VisionFeature,
    /// Licence of the checkpoint.
    pub licence: &'a str,
    /// Seed of the special tokens' rows that no file holds.
    pub seed: u64,
}

/// Tensors and the parameters in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Tensors.
    pub tensors: usize,
    /// Parameters.
    pub parameters: usize,
}

impl Count {
    fn of<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Self {
        tensors.fold(Self::default(), |all, tensor| Self {
            tensors: all.tensors + 1,
            parameters: all.parameters + tensor.elem_count(),
        })
    }
}

/// What became of the tensors. None is missing, unexpected or of another shape: that is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// The checkpoint's tensors that the package holds.
    pub loaded: Loaded,
    /// The files that training left alone.
    pub frozen: FrozenParts,
    /// Tensors that are the language model's own, or stand in the checkpoint twice.
    pub repeated: usize,
    /// Tensors that are computed, not learned, or CLIP's own, and were left out.
    pub left_out: usize,
    /// Tensors of the language model that the checkpoint moved: kept, and used in their place.
    pub moved: Vec<String>,
    /// Special tokens whose rows no file holds: drawn anew, and kept in the package.
    pub drawn_rows: Vec<String>,
    /// What in the files contradicts itself, and what was made of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Of the model that the checkpoint lacks: none.
    pub missing: usize,
    /// Of the checkpoint that the model lacks: none.
    pub unexpected: usize,
    /// Of another shape: none.
    pub wrong_shape: usize,
}

/// The checkpoint's tensors that the package holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Loaded {
    /// The resampler.
    pub resampler: Count,
    /// The gated blocks.
    pub gated_blocks: Count,
    /// Rows of the special tokens.
    pub special_rows: Count,
    /// Tensors of the language model that the checkpoint moved.
    pub moved: Count,
}

/// The files that training left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FrozenParts {
    /// The language model.
    pub language_model: Count,
    /// CLIP's visual tower.
    pub vision: Count,
}

/// Writes a package from foreign files; `folder` is whole or absent.
///
/// # Errors
/// Names the file, and the tensors that are missing, unexpected, of another shape, not finite, or
/// another language model's.
pub fn import(folder: &Path, import: &Import) -> Result<Imported> {
    replaceable(folder)?;
    let described = Described::open(import.lm)?;
    let own = Outline::default();
    let lm = described.outline(&own)?;
    fits(&own, &described.weights, import.lm, Fault::LanguageModel)?;
    let vocabulary = Vocabulary::new(described.tokenizer.clone(), lm.shape().vocab_size)
        .map_err(|error| unfit(import.lm, Fault::LanguageModel, error.to_string()))?;
    let sorted = sort::sort(import.checkpoint, lm.as_ref(), &described.config)?;
    let mut imported = Imported {
        left_out: sorted.n_left_out,
        repeated: sorted.n_repeated,
        notes: described.notes.clone(),
        ..Imported::default()
    };

    let vision_file = sizes::clip_file(import.vision)?;
    let vision = visual(&vision_file)?;
    let is_alone = !vision.contains_key("proj") && is_vision_model(&vision_file)?;
    let clip = sizes::clip(import, &vision_file, &vision, is_alone)?;
    let (input, width) = (InputShape::Image { size: clip.image_size }, clip.width);
    let shapes = sizes::Shapes::of(import, &sorted.adapter);
    let config = FlamingoConfig {
        encoder: EncoderConfig::Clip(clip),
        resampler: shapes.resampler()?,
        gates: shapes.gates(lm.shape().blocks_name, lm.shape().dim)?,
        lora: None,
        media: Vec::new(),
        compat: Compat::None,
    };
    // every name and shape is compared before a value is read
    let (adapter, encoder) = (Outline::default(), Outline::default());
    let outlined = described.outline(&Outline::default())?;
    let (encoder_vb, adapter_vb) = (encoder.builder(), adapter.builder());
    Flamingo::new(&config, input, outlined, 0..0, encoder_vb, adapter_vb)
        .map_err(|error| unfit(import.checkpoint, Fault::Pairing, error.to_string()))?;
    fits(&adapter, &sorted.adapter, import.checkpoint, Fault::Pairing)?;
    let seen = Frozen::from_tensors(&vision_file, vision.clone());
    fits(&encoder, &seen, &vision_file, Fault::Vision)?;
    all_finite(&seen, &vision_file)?;
    // also what the checkpoint replaces: whether it does is seen by comparing it with these
    all_finite(&described.weights, import.lm)?;

    let mut tensors = sorted.adapter.tensors()?;
    let of = |part: &str| {
        let named = tensors.iter().filter(|(name, _)| name.starts_with(part));
        Count::of(named.map(|(_, tensor)| tensor))
    };
    (imported.loaded.resampler, imported.loaded.gated_blocks) = (of("perceiver."), of("lang_"));
    let moved = vocabulary::moved(import, &described, lm.as_ref(), &vocabulary, &sorted)?;
    let rows = vocabulary::special_rows(import, &described, lm.as_ref(), &vocabulary, &sorted)?;
    imported.repeated += moved.n_repeated;
    imported.loaded.moved = Count::of(moved.tensors.values());
    imported.moved = moved.tensors.keys().cloned().collect();
    imported.loaded.special_rows = Count::of(rows.tensors.values());
    imported.drawn_rows = rows.drawn;
    tensors.extend(moved.tensors);
    tensors.extend(rows.tensors);
    all_finite(&Frozen::from_tensors(import.checkpoint, tensors.clone()), import.checkpoint)?;
    imported.frozen = FrozenParts {
        language_model: Count {
            tensors: described.weights.list().len(),
            parameters: described.weights.n_values(),
        },
        vision: Count::of(vision.values()),
    };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let preprocess = Beside::read(&vision_file, width)?.preprocess(input.dims()[1]);
    let package = NewPackage {
        name: import.name,
        seed: import.seed,
        input,
        config: &config,
        encoder: &vision,
        frozen_encoder: None,
        coordinates: None,
        adapter: &tensors,
        lm: import.lm,
        preprocessing: serde_json::json!({ "image": preprocess }),
        trained_on: serde_json::json!({
            "imported_from": name(import.checkpoint),
            "sha256": digest(import.checkpoint)?,
        }),
        files: &[],
        licence: import.licence,
    };
    write_referencing(folder, &package, import.reference_vision.then_some(&*vision_file))?;
    Ok(imported)
}

fn unfit(path: &Path, fault: Fault, reason: String) -> Error {
    Error::Import { path: path.to_owned(), reason, fault }
}

/// The same as [`package::fits`]; a gated block that is elsewhere hints at another language model.
pub(crate) fn fits(wanted: &Outline, found: &Frozen, path: &Path, fault: Fault) -> Result<()> {
    package::fits(wanted, found, path, fault).map_err(|error| match error {
        Error::Import { path, reason, fault } if fault == Fault::LanguageModel => {
            let config = if path.is_dir() { "its config.json" } else { "its metadata" };
            unfit(&path, fault, format!("{reason}; {config} says what is expected"))
        }
        Error::Import { path, reason, fault } if reason.contains("`lang_encoder.") => {
            let reason = format!("{reason}; is it the language model that it was trained with?");
            unfit(&path, fault, reason)
        }
        error => error,
    })
}

/// The visual tower of a CLIP file, under open_clip's names.
pub(crate) fn visual(path: &Path) -> Result<HashMap<String, Tensor>> {
    use encoder::clip::{names, weights};
    let container = sort::inner(formats::open(path)?)?;
    let frozen = Frozen::from_container(container);
    let unknown: Vec<_> = frozen.list().into_iter().map(|info| info.name).collect();
    if let Some(name) = unknown.iter().find(|name| names::role(name) == names::Role::Unknown) {
        let reason = format!("tensor `{name}` belongs to no CLIP");
        return Err(unfit(path, Fault::Vision, reason));
    }
    // the text tower is not read
    let ours = frozen.renamed(|name| (names::role(name) != names::Role::Text).then(|| name.into()));
    let tensors = weights::visual(&ours?.tensors()?);
    tensors.map_err(|error| unfit(path, Fault::Vision, error.to_string()))
}

/// Whether a file is what transformers saves of a vision model alone, which has no projection.
fn is_vision_model(path: &Path) -> Result<bool> {
    use encoder::clip::names::{Role, role};
    let container = sort::inner(formats::open(path)?)?;
    let mut names = container.entries().iter().map(|entry| formats::unwrapped(&entry.name));
    let bare = |name: &str| name.strip_prefix("vision_model.").unwrap_or(name).to_owned();
    // buffers aside, nothing of a text tower is there
    let is_own = |name: &str| name.ends_with("position_ids") || role(name) != Role::Text;
    Ok(names.all(|name| is_own(&name))
        && container
            .entries()
            .iter()
            .any(|entry| bare(&formats::unwrapped(&entry.name)) == "embeddings.class_embedding"))
}

/// A tensor's numbers, to be compared with others.
fn numbers(frozen: &Frozen, name: &str) -> Result<Tensor> {
    Ok(frozen.stored(name)?.to_tensor(DType::F32)?)
}
