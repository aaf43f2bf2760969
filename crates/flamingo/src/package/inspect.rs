//! What is inside a package, and whether it is whole; weights are described, or read one by one.

use std::fs;
use std::path::Path;

use candle_core::DType;
use encoder::WeightsSource;
use nn::weights::{Frozen, Outline, TensorInfo, is_correction};
use serde::Serialize;

use super::parts::{Outlines, Parts};
use super::{all_finite, check_parts, is_clip};
use crate::manifest::{ADAPTER, BASE, ENCODER, LM, MANIFEST};
use crate::{Error, GateOpening, Manifest, Part, Result, Vocabulary, encoder_package};

/// One weight file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WeightFile {
    /// Path inside the package.
    pub file: String,
    /// Whether the training moved it.
    pub trained: bool,
    /// Licence of its contents.
    pub licence: String,
    /// Parameters in all tensors.
    pub n_parameters: usize,
    /// Every tensor.
    pub tensors: Vec<TensorInfo>,
}

/// Parameters by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// As OpenFlamingo counts them: resampler, gated blocks and the whole embedding, and with them
    /// what moved of an encoder that is no CLIP.
    pub trainable: usize,
    /// All others.
    pub frozen: usize,
    /// A brain encoder; none where CLIP is the encoder.
    pub encoder: usize,
    /// The resampler.
    pub resampler: usize,
    /// The gated blocks.
    pub gated_blocks: usize,
    /// The input embedding with the special tokens' rows, as long as the vocabulary.
    pub embedding: usize,
    /// Corrections of low rank beside the language model's layers.
    pub lora_of_lm: usize,
    /// The same beside the encoder's, which are counted with it too.
    pub lora_of_encoder: usize,
    /// Of the embedding those that training moves: the special tokens' rows, unless all were moved.
    pub embedding_moved: usize,
}

impl Parameters {
    /// Of a model whose tensors have these shapes and whose vocabulary has `n_ids` ids.
    pub(crate) fn of(outlines: &Outlines, is_clip: bool, n_ids: usize, all_moved: bool) -> Self {
        let Outlines { encoder, base, adapter, lm, walked } = outlines;
        let of = |part: fn(&str) -> bool| {
            let shapes = adapter.shapes().into_iter().filter(|(name, _)| part(name));
            shapes.map(|(_, shape)| shape.iter().product::<usize>()).sum::<usize>()
        };
        let of_lm = of(is_correction);
        let of_encoder = encoder.shapes().into_iter().filter(|(name, _)| is_correction(name));
        let of_encoder =
            of_encoder.map(|(_, shape)| shape.iter().product::<usize>()).sum::<usize>();
        let resampler = of(|name| name.starts_with("perceiver."));
        let gated_blocks = of(|name| name.contains(".gated_cross_attn_layer."));
        let special = of(|name| name.ends_with(".special_rows"));
        let embedding = n_ids * walked.shape().embedding_dim;
        // rows beyond the tokenizer's ids are dropped, those before them are the embedding's
        let dropped =
            walked.shape().vocab_size * walked.shape().embedding_dim - (embedding - special);
        let encoder_n = if is_clip { 0 } else { encoder.n_parameters() };
        let around = encoder.n_parameters() + base.n_parameters() + adapter.n_parameters();
        let all = around + lm.n_parameters() - dropped;
        let trainable = encoder_n + resampler + gated_blocks + embedding + of_lm;
        Self {
            trainable,
            frozen: all - trainable,
            encoder: encoder_n + base.n_parameters(),
            resampler,
            gated_blocks,
            embedding,
            lora_of_lm: of_lm,
            lora_of_encoder: of_encoder,
            embedding_moved: if all_moved { embedding } else { special },
        }
    }
}

/// Parameters that a training moves, and those that stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trained {
    /// The resampler.
    pub resampler: usize,
    /// The gated blocks.
    pub gated_blocks: usize,
    /// Rows of the special tokens, of the embedding and, where it is not tied, of the head.
    pub special_rows: usize,
    /// Corrections of low rank beside the language model's layers.
    pub lora_of_lm: usize,
    /// Of the encoder, corrections of low rank included.
    pub encoder: usize,
    /// The language model, which stays.
    pub frozen_lm: usize,
    /// What stays of the encoder.
    pub frozen_encoder: usize,
}

impl Trained {
    /// Of a model whose tensors have these shapes.
    pub(crate) fn of(outlines: &Outlines) -> Self {
        let Outlines { encoder, base, adapter, lm, .. } = outlines;
        let of = |part: fn(&str) -> bool| {
            let shapes = adapter.shapes().into_iter().filter(|(name, _)| part(name));
            shapes.map(|(_, shape)| shape.iter().product::<usize>()).sum::<usize>()
        };
        Self {
            resampler: of(|name| name.starts_with("perceiver.")),
            gated_blocks: of(|name| name.contains(".gated_cross_attn_layer.")),
            special_rows: of(|name| name.ends_with("_rows")),
            lora_of_lm: of(is_correction),
            encoder: encoder.n_parameters(),
            frozen_lm: lm.n_parameters(),
            frozen_encoder: base.n_parameters(),
        }
    }

    /// All that move.
    pub fn n(&self) -> usize {
        let Self { resampler, gated_blocks, special_rows, lora_of_lm, encoder, .. } = *self;
        resampler + gated_blocks + special_rows + lora_of_lm + encoder
    }

    /// All that stay.
    pub fn n_frozen(&self) -> usize {
        self.frozen_lm + self.frozen_encoder
    }
}

/// What is inside a package.
#[derive(Clone, Debug, Serialize)]
pub struct PackageInfo {
    /// The manifest.
    pub manifest: Manifest,
    /// Parameters by what they are for.
    pub parameters: Parameters,
    /// The gated blocks' openings.
    pub gates: Vec<GateOpening>,
    /// Weight files.
    pub weights: Vec<WeightFile>,
}

/// Lists a package's parts, tensors and gates, without reading its weights.
///
/// # Errors
/// When a part is missing, or its tensors are not those of the model.
pub fn inspect(folder: &Path) -> Result<PackageInfo> {
    let manifest = Manifest::read(folder)?;
    let parts = Parts::open(folder, &manifest)?;
    let outlines = parts.outlines(&manifest)?;
    parts.check(folder, &outlines)?;
    let is_clip = is_clip(&manifest.config);
    let embedding = format!("lang_encoder.{}.weight", outlines.walked.shape().embedding_name);
    let parameters = Parameters::of(
        &outlines,
        is_clip,
        parts.vocabulary()?.special.end,
        parts.moved.contains(&embedding),
    );
    let weights = manifest
        .parts
        .iter()
        .filter(|part| is_weights(&part.file))
        .map(|part| {
            let tensors = nn::weights::list_tensors(&part.place(folder))?;
            Ok(WeightFile {
                trained: part.file == ADAPTER || (part.file == ENCODER && !is_clip),
                n_parameters: tensors.iter().map(|it| it.shape.iter().product::<usize>()).sum(),
                file: part.file.clone(),
                licence: part.licence.clone(),
                tensors,
            })
        })
        .collect::<Result<_>>()?;
    let gates = gates(&parts.adapter, outlines.walked.shape().blocks_name)?;
    Ok(PackageInfo { manifest, parameters, gates, weights })
}

/// What a package's language model makes of texts, without its weights.
pub struct PackageTexts {
    vocabulary: Vocabulary,
    limit: usize,
}

impl PackageTexts {
    /// Reads the tokenizer, and how long a text may be.
    ///
    /// # Errors
    /// Where a part is missing or not what it should be.
    pub fn open(folder: &Path) -> Result<Self> {
        let parts = Parts::open(folder, &Manifest::read(folder)?)?;
        let limit = parts.lm.outline(&Outline::default())?.shape().n_positions;
        Ok(Self { vocabulary: parts.vocabulary()?, limit })
    }

    /// Longest text, in tokens.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Refuses a prompt that could not be continued with `n_new` tokens.
    ///
    /// # Errors
    /// When its `<image>` do not count `n_media`, or it does not fit into the language model.
    pub fn check(&self, prompt: &str, n_media: usize, n_new: usize) -> Result<()> {
        let found = self.vocabulary.prompt(prompt, n_media)?.len().saturating_add(n_new);
        let limit = self.limit;
        if found > limit { Err(Error::TooLong { found, limit }) } else { Ok(()) }
    }

    /// Tokens of a text that follows a prompt.
    ///
    /// # Errors
    /// Where it has none, or holds an `<image>`.
    pub fn rest_length(&self, text: &str) -> Result<usize> {
        Ok(self.continuation(text)?.len())
    }

    /// The same tokens by their ids.
    ///
    /// # Errors
    /// Where it has none, or holds an `<image>`.
    pub fn continuation(&self, text: &str) -> Result<Vec<u32>> {
        self.vocabulary.continuation(text)
    }
}

fn is_weights(file: &str) -> bool {
    let ends = ["safetensors", "bin", "gguf"];
    [ADAPTER, ENCODER, BASE].contains(&file)
        || (file.starts_with(LM) && ends.iter().any(|end| file.ends_with(&format!(".{end}"))))
}

/// The openings, from the gates alone.
fn gates(adapter: &Frozen, blocks: &str) -> Result<Vec<GateOpening>> {
    let start = format!("lang_encoder.{blocks}.");
    let of = |name: &str| {
        let idx = name.strip_prefix(&start)?.strip_suffix(".gated_cross_attn_layer.attn_gate")?;
        idx.parse::<usize>().ok()
    };
    let mut blocks: Vec<usize> = adapter.list().iter().filter_map(|info| of(&info.name)).collect();
    blocks.sort_unstable();
    let open = |block: usize, gate: &str| -> Result<f64> {
        let name = format!("{start}{block}.gated_cross_attn_layer.{gate}");
        let gate = adapter.stored(&name)?.to_tensor(DType::F64)?;
        Ok(gate.tanh()?.get(0)?.to_scalar()?)
    };
    let opening = |block| {
        let (attention, feed_forward) = (open(block, "attn_gate")?, open(block, "ff_gate")?);
        Ok(GateOpening { block, attention, feed_forward })
    };
    blocks.into_iter().map(opening).collect()
}

/// Checks digests, shapes, that the tokenizer encodes and decodes a text, and that every weight is a
/// finite number; one tensor is read at a time. The
/// package may be that of a model or of an encoder alone.
pub fn verify(folder: &Path) -> Result<()> {
    if encoder_package::is_encoder(folder) {
        return encoder_package::verify(folder);
    }
    let manifest = Manifest::read(folder)?;
    check_parts(folder, &manifest.parts)?;
    check_covered(folder, &manifest.parts)?;
    let parts = Parts::open(folder, &manifest)?;
    parts.check(folder, &parts.outlines(&manifest)?)?;
    let of_lm =
        |error: lm::Error| Error::Manifest { path: folder.join(LM), reason: error.to_string() };
    parts.vocabulary()?.tokenizer.probe().map_err(of_lm)?;
    if let Some(encoder) = &manifest.frozen_encoder
        && let Some(WeightsSource::File(path)) = encoder.weights()
    {
        all_finite(&encoder.published_weights()?, path)?;
    }
    all_finite(&parts.adapter, &folder.join(ADAPTER))?;
    all_finite(&parts.encoder, &folder.join(ENCODER))?;
    all_finite(&parts.lm.weights, &folder.join(LM))
}

/// Fails where a file that a model is read from has no digest in the manifest.
fn check_covered(folder: &Path, parts: &[Part]) -> Result<()> {
    let lm = folder.join(LM);
    let of_lm = fs::read_dir(&lm).map_err(|source| Error::Io { path: lm, source })?;
    let of_lm =
        of_lm.flatten().map(|entry| format!("{LM}/{}", entry.file_name().to_string_lossy()));
    let hidden = format!("{LM}/.");
    let read = [ADAPTER, ENCODER].map(str::to_owned).into_iter().chain(of_lm);
    let read = read.filter(|file| folder.join(file).is_file() && !file.starts_with(&hidden));
    for file in read {
        if !parts.iter().any(|part| part.place(folder) == folder.join(&file)) {
            let reason = format!("it names no digest of {file}, which a model is read from");
            return Err(Error::Manifest { path: folder.join(MANIFEST), reason });
        }
    }
    Ok(())
}
