//! A foreign Flamingo becomes a package: OpenFlamingo's checkpoint, a language model, a CLIP.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Tensor};
use encoder::{ClipActivation, ClipConfig, EncoderConfig, InputShape, VisionFeature};
use lm::{CausalLm, Pretrained};
use nn::weights::Frozen;
use nn::{Precision, seeded};
use serde::Serialize;

use crate::foreign::{Role, role};
use crate::package::{NewPackage, all_finite, digest, write};
use crate::{
    Compat, Error, Flamingo, FlamingoConfig, GatesConfig, Manifest, ResamplerConfig, Result,
    Vocabulary,
};

/// What to import, and what the files do not say.
#[derive(Clone, Debug)]
pub struct Import<'a> {
    /// Name of the package.
    pub name: &'a str,
    /// OpenFlamingo's `checkpoint.pt`, or one of its kin.
    pub checkpoint: &'a Path,
    /// The language model: a Hugging Face folder, or one GGUF file.
    pub lm: &'a Path,
    /// CLIP's weights: open_clip's or Hugging Face's names.
    pub vision: &'a Path,
    /// Width of one attention head in the resampler and the gated blocks; OpenFlamingo's is 64.
    pub head_dim: usize,
    /// Width of one attention head in CLIP; 64 in all released ones.
    pub clip_head_dim: usize,
    /// CLIP's non-linearity.
    pub activation: ClipActivation,
    /// Seed of the special tokens' rows that no file holds.
    pub seed: u64,
}

/// What became of the tensors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Parameters of the resampler, the gated blocks and the special tokens' rows.
    pub n_adapter: usize,
    /// Parameters of CLIP's visual tower.
    pub n_vision: usize,
    /// Parameters of the language model.
    pub n_lm: usize,
    /// Tensors of the checkpoint that are the language model's own and equal its file.
    pub n_repeated: usize,
    /// Tensors that are computed, not learned, and were left out.
    pub n_buffers: usize,
    /// Special tokens whose rows no file holds: drawn anew, and kept in the package.
    pub drawn_rows: Vec<String>,
}

/// A checkpoint's tensors by what they are.
#[derive(Default)]
struct Sorted {
    adapter: HashMap<String, Tensor>,
    lm: BTreeMap<String, Tensor>,
    n_buffers: usize,
}

/// Writes a package from foreign files; `folder` is whole or absent.
///
/// # Errors
/// Names the file, and the tensor that is missing, unexpected, of another shape, not finite, or not
/// the language model's.
pub fn import(folder: &Path, import: &Import) -> Result<Imported> {
    let pretrained = lm::open(import.lm, Precision::F32)?;
    let Pretrained { lm, tokenizer, n_parameters } = pretrained;
    let vocabulary = Vocabulary::new(tokenizer, lm.vocab_size())?;
    let mut sorted = sort(import.checkpoint, lm.as_ref())?;
    let mut imported =
        Imported { n_lm: n_parameters, n_buffers: sorted.n_buffers, ..Imported::default() };
    special_rows(import, lm.as_ref(), &vocabulary, &mut sorted, &mut imported)?;

    let vision = Frozen::open(import.vision)?.tensors()?;
    let vision = encoder::clip::weights::visual(&vision)
        .map_err(|error| unfit(import.vision, error.to_string()))?;
    let clip = clip_config(import, &vision)?;
    let input = InputShape::Image { size: clip.image_size };
    let config = FlamingoConfig {
        encoder: EncoderConfig::Clip(clip),
        resampler: resampler(import, &sorted.adapter)?,
        gates: gates(import, &sorted.adapter, lm.blocks_name())?,
        compat: Compat::None,
    };
    // built once before anything is written: every name and shape is checked
    let adapter = Frozen::from_tensors(import.checkpoint, sorted.adapter.clone());
    let encoder = Frozen::from_tensors(import.vision, vision.clone());
    let special = vocabulary.special.clone();
    let (encoder_vb, adapter_vb) = (encoder.builder(DType::F32), adapter.builder(DType::F32));
    Flamingo::new(&config, input, lm, special, encoder_vb, adapter_vb)?;
    adapter.all_used()?;
    encoder.all_used()?;
    all_finite(&adapter, import.checkpoint)?;
    all_finite(&encoder, import.vision)?;

    let count = |tensors: &HashMap<String, Tensor>| tensors.values().map(Tensor::elem_count).sum();
    (imported.n_adapter, imported.n_vision) = (count(&sorted.adapter), count(&vision));
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    write(
        folder,
        &NewPackage {
            name: import.name,
            seed: import.seed,
            input,
            config: &config,
            encoder: &vision,
            adapter: &sorted.adapter,
            lm: import.lm,
            preprocessing: serde_json::json!({ "image": "clip_openai_v1" }),
            trained_on: serde_json::json!({
                "imported_from": name(import.checkpoint),
                "sha256": digest(import.checkpoint)?,
            }),
            files: &[],
            licence: "as the imported checkpoint",
        },
    )?;
    Manifest::read(folder)?;
    Ok(imported)
}

fn unfit(path: &Path, reason: String) -> Error {
    Error::Import { path: path.to_owned(), reason }
}

/// The checkpoint's tensors, wherever it keeps them, by their roles.
fn sort(path: &Path, lm: &dyn CausalLm) -> Result<Sorted> {
    let container = formats::open(path)?;
    let container = match ["model_state_dict", "state_dict"].iter().find(|key| {
        container.entries().iter().any(|entry| entry.name.starts_with(&format!("{key}.")))
    }) {
        Some(key) => container.select(key)?,
        None => container,
    };
    let frozen = Frozen::from_container(container);
    let mut sorted = Sorted::default();
    for info in frozen.list() {
        let tensor = || -> Result<Tensor> { Ok(frozen.stored(&info.name)?.to_tensor(DType::F32)?) };
        match role(&info.name, lm.blocks_name()) {
            Role::Adapter(name) => {
                let tensor = tensor()?;
                if let Some(other) = sorted.adapter.get(&name)
                    && !equal(other, &tensor)?
                {
                    let reason = format!("two tensors stand for `{name}` and differ");
                    return Err(unfit(path, reason));
                }
                sorted.adapter.insert(name, tensor);
            }
            Role::Lm(name) => drop(sorted.lm.insert(name, tensor()?)),
            Role::Vision(_) | Role::Buffer => sorted.n_buffers += 1,
            Role::Unknown => {
                let name = info.name;
                let reason = format!("tensor `{name}` belongs to no part of a Flamingo");
                return Err(unfit(path, reason));
            }
        }
    }
    if sorted.adapter.is_empty() {
        let reason = "it holds no resampler and no gated block; expected a Flamingo checkpoint";
        return Err(unfit(path, reason.to_owned()));
    }
    Ok(sorted)
}

fn equal(a: &Tensor, b: &Tensor) -> Result<bool> {
    Ok(a.dims() == b.dims() && (a - b)?.abs()?.max_all()?.to_scalar::<f32>()? == 0.)
}

/// Takes the special tokens' rows out of the checkpoint's embedding and head, whose other rows must
/// be the language model's own.
fn special_rows(
    import: &Import,
    lm: &dyn CausalLm,
    vocabulary: &Vocabulary,
    sorted: &mut Sorted,
    imported: &mut Imported,
) -> Result<()> {
    let special = &vocabulary.special;
    let embedding = format!("{}.weight", lm.embedding_name());
    let mut rows = None;
    let mut output = None;
    for (name, tensor) in std::mem::take(&mut sorted.lm) {
        imported.n_repeated += 1;
        let is_head = name == "lm_head.weight" || name == "embed_out.weight";
        if name != embedding && !is_head {
            continue;
        }
        let (n_rows, _) = tensor.dims2()?;
        if n_rows < special.end {
            let reason = format!(
                "`{name}` has {n_rows} rows, the language model's tokenizer with Flamingo's special \
                 tokens needs {}; is it the language model that it was trained with?",
                special.end
            );
            return Err(unfit(import.checkpoint, reason));
        }
        let own = tensor.narrow(0, special.start, special.len())?.contiguous()?;
        if name == embedding {
            check_base(import, lm, &tensor.narrow(0, 0, special.start)?, &name)?;
            rows = Some(own);
        } else {
            output = Some(own);
        }
    }
    if special.is_empty() {
        return Ok(());
    }
    let place = format!("lang_encoder.{}", lm.embedding_name());
    let names: Vec<String> =
        special.clone().filter_map(|id| vocabulary.tokenizer.token(id as u32)).collect();
    let drawn = |which: &str| -> Result<Tensor> {
        let n = special.len() * lm.embedding_dim();
        let values = seeded::normal(import.seed, which, n, 0., 0.02);
        let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
        let shape = (special.len(), lm.embedding_dim());
        Ok(Tensor::from_vec(values, shape, &candle_core::Device::Cpu)?)
    };
    let input = match rows {
        Some(rows) => rows,
        None if special.end <= lm.vocab_size() => {
            // OpenFlamingo's resize keeps the matrix's spare rows for them
            let ids: Vec<u32> = special.clone().map(|id| id as u32).collect();
            let ids = Tensor::from_vec(ids, (1, special.len()), &candle_core::Device::Cpu)?;
            lm.embed(&ids)?.squeeze(0)?
        }
        None => {
            imported.drawn_rows.extend(names.iter().cloned());
            drawn("special_rows")?
        }
    };
    sorted.adapter.insert(format!("{place}.special_rows"), input);
    if !lm.tied() {
        let output = if let Some(rows) = output {
            rows
        } else {
            imported.drawn_rows.extend(names.iter().map(|name| format!("{name} (output)")));
            drawn("special_output_rows")?
        };
        sorted.adapter.insert(format!("{place}.special_output_rows"), output);
    }
    Ok(())
}

/// The checkpoint's embedding of ordinary tokens must be the language model's.
fn check_base(import: &Import, lm: &dyn CausalLm, base: &Tensor, name: &str) -> Result<()> {
    let (n_rows, dim) = base.dims2()?;
    if dim != lm.embedding_dim() {
        let reason = format!(
            "`{name}` has rows of {dim} numbers, {} has {}; it was trained with another language model",
            import.lm.display(),
            lm.embedding_dim()
        );
        return Err(unfit(import.checkpoint, reason));
    }
    let ids = Tensor::arange(0u32, n_rows as u32, base.device())?.unsqueeze(0)?;
    let own = lm.embed(&ids)?.squeeze(0)?;
    let gap = (own - base)?.abs()?.max_all()?.to_scalar::<f32>()?;
    if gap.is_nan() || gap > 0. {
        let reason = format!(
            "`{name}` differs from {} by up to {gap:.1e} in rows that training leaves alone; it was \
             trained with another language model",
            import.lm.display()
        );
        return Err(unfit(import.checkpoint, reason));
    }
    Ok(())
}

/// A dimension of a tensor that must be there.
fn dim(
    import: &Import,
    adapter: &HashMap<String, Tensor>,
    name: &str,
    axis: usize,
) -> Result<usize> {
    let tensor = adapter
        .get(name)
        .ok_or_else(|| unfit(import.checkpoint, format!("tensor `{name}` is missing")))?;
    Ok(tensor.dim(axis)?)
}

fn heads(import: &Import, inner: usize) -> Result<usize> {
    if import.head_dim == 0 || !inner.is_multiple_of(import.head_dim) {
        let reason =
            format!("an attention of {inner} does not split into heads of {}", import.head_dim);
        return Err(unfit(import.checkpoint, reason));
    }
    Ok(inner / import.head_dim)
}

fn resampler(import: &Import, adapter: &HashMap<String, Tensor>) -> Result<ResamplerConfig> {
    let dim = |name: &str, axis| dim(import, adapter, name, axis);
    let layer = |idx: usize| format!("perceiver.layers.{idx}.0.to_q.weight");
    let vis_dim = dim("perceiver.latents", 1)?;
    let places = |name: &str| adapter.get(name).map(|places| places.dim(0)).transpose();
    Ok(ResamplerConfig {
        n_latents: dim("perceiver.latents", 0)?,
        depth: (0..adapter.len()).take_while(|&idx| adapter.contains_key(&layer(idx))).count(),
        n_heads: heads(import, dim(&layer(0), 0)?)?,
        head_dim: import.head_dim,
        ff_mult: dim("perceiver.layers.0.1.1.weight", 0)? / vis_dim.max(1),
        max_num_media: places("perceiver.media_time_embs")?,
        max_num_frames: places("perceiver.frame_embs")?,
    })
}

fn gates(import: &Import, adapter: &HashMap<String, Tensor>, blocks: &str) -> Result<GatesConfig> {
    let block = |idx: usize| format!("lang_encoder.{blocks}.{idx}.gated_cross_attn_layer");
    let first = (0..1024).find(|&idx| adapter.contains_key(&format!("{}.attn_gate", block(idx))));
    let Some(first) = first else {
        let reason = format!(
            "it has no gated block at `lang_encoder.{blocks}`; it was trained with another language model"
        );
        return Err(unfit(import.checkpoint, reason));
    };
    let dim = |name: &str, axis| dim(import, adapter, &format!("{}.{name}", block(first)), axis);
    Ok(GatesConfig {
        every: first + 1,
        n_heads: heads(import, dim("attn.to_q.weight", 0)?)?,
        head_dim: import.head_dim,
        ff_mult: dim("ff.1.weight", 0)? / dim("ff.1.weight", 1)?.max(1),
        only_attend_immediate_media: true,
    })
}

/// CLIP's size, from its shapes.
fn clip_config(import: &Import, vision: &HashMap<String, Tensor>) -> Result<ClipConfig> {
    let shape = |name: &str| {
        let tensor = vision.get(name);
        let tensor =
            tensor.ok_or_else(|| unfit(import.vision, format!("tensor `{name}` is missing")));
        tensor.map(|tensor| tensor.dims().to_vec())
    };
    let kernel = shape("conv1.weight")?;
    let n_positions = shape("positional_embedding")?[0];
    let (width, patch_size) = (kernel[0], kernel.last().copied().unwrap_or(0));
    let grid = ((n_positions.saturating_sub(1)) as f64).sqrt().round() as usize;
    let block = |idx: usize| format!("transformer.resblocks.{idx}.mlp.c_fc.weight");
    let layers = (0..vision.len()).take_while(|&idx| vision.contains_key(&block(idx))).count();
    let hidden = shape(&block(0))?[0];
    let embed_dim = shape("proj")?.last().copied().unwrap_or(0);
    Ok(ClipConfig {
        image_size: grid * patch_size,
        patch_size,
        width,
        layers,
        head_width: import.clip_head_dim,
        mlp_ratio: hidden as f64 / width.max(1) as f64,
        embed_dim,
        activation: import.activation,
        vision_feature: VisionFeature::PreLnPost,
    })
}
