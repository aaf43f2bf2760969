//! What a foreign model's sizes are, from the shapes of its tensors.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use encoder::ClipConfig;
use nn::weights::Frozen;

use super::beside::Beside;
use super::{Import, unfit};
use crate::{Fault, GatesConfig, ResamplerConfig, Result};

/// The shapes of a checkpoint's resampler and gated blocks.
pub(super) struct Shapes<'a> {
    import: &'a Import<'a>,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl<'a> Shapes<'a> {
    pub(super) fn of(import: &'a Import<'a>, adapter: &Frozen) -> Self {
        let shapes = adapter.list().into_iter().map(|info| (info.name, info.shape)).collect();
        Self { import, shapes }
    }

    /// A dimension of a tensor that must be there.
    fn dim(&self, name: &str, axis: usize) -> Result<usize> {
        let refuse = |what: &str| {
            Err(unfit(
                self.import.checkpoint,
                Fault::Pairing,
                format!("1 tensor is {what}: `{name}`"),
            ))
        };
        match self.shapes.get(name) {
            None => refuse("missing"),
            Some(shape) => shape.get(axis).copied().map_or_else(|| refuse("of another shape"), Ok),
        }
    }

    fn heads(&self, inner: usize) -> Result<usize> {
        let head_dim = self.import.head_dim;
        if head_dim == 0 || !inner.is_multiple_of(head_dim) {
            let reason = format!(
                "an attention of {inner} does not split into heads of {head_dim}; say its heads' \
                 width with --head-dim"
            );
            return Err(unfit(self.import.checkpoint, Fault::Pairing, reason));
        }
        Ok(inner / head_dim)
    }

    pub(super) fn resampler(&self) -> Result<ResamplerConfig> {
        let layer = |idx: usize| format!("perceiver.layers.{idx}.0.to_q.weight");
        let depth = (0..self.shapes.len()).take_while(|&idx| self.shapes.contains_key(&layer(idx)));
        let places = |name: &str| {
            let there = self.shapes.contains_key(name);
            there.then(|| self.dim(name, 0)).transpose()
        };
        let vis_dim = self.dim("perceiver.latents", 1)?;
        Ok(ResamplerConfig {
            n_latents: self.dim("perceiver.latents", 0)?,
            depth: depth.count(),
            n_heads: self.heads(self.dim(&layer(0), 0)?)?,
            head_dim: self.import.head_dim,
            ff_mult: self.dim("perceiver.layers.0.1.1.weight", 0)? / vis_dim.max(1),
            max_num_media: places("perceiver.media_time_embs")?,
            max_num_frames: places("perceiver.frame_embs")?,
        })
    }

    /// Of gated blocks between the `blocks` of a language model that is `width` wide.
    pub(super) fn gates(&self, blocks: &str, width: usize) -> Result<GatesConfig> {
        let block = |idx: usize| format!("lang_encoder.{blocks}.{idx}.gated_cross_attn_layer");
        let is_there = |idx: &usize| {
            let block = block(*idx);
            self.shapes.keys().any(|name| name.starts_with(&block))
        };
        let Some(first) = (0..1024).find(is_there) else {
            let reason = format!(
                "it has no gated block at `lang_encoder.{blocks}`; it was trained with another \
                 language model than {}",
                self.import.lm.display()
            );
            return Err(unfit(self.import.checkpoint, Fault::Pairing, reason));
        };
        let dim = |name: &str, axis| self.dim(&format!("{}.{name}", block(first)), axis);
        let found = dim("attn.norm.weight", 0)?;
        if found != width {
            let reason = format!(
                "its gated blocks are {found} wide, {} is {width}; it was trained with another \
                 language model",
                self.import.lm.display()
            );
            return Err(unfit(self.import.checkpoint, Fault::Pairing, reason));
        }
        Ok(GatesConfig {
            every: first + 1,
            n_heads: self.heads(dim("attn.to_q.weight", 0)?)?,
            head_dim: self.import.head_dim,
            ff_mult: dim("ff.1.weight", 0)? / dim("ff.1.weight", 1)?.max(1),
            only_attend_immediate_media: true,
        })
    }
}

/// The weights of a CLIP folder, or the file itself.
pub(super) fn clip_file(path: &Path) -> Result<PathBuf> {
    const NAMES: [&str; 4] = [
        "model.safetensors",
        "open_clip_model.safetensors",
        "pytorch_model.bin",
        "open_clip_pytorch_model.bin",
    ];
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let mut paths = NAMES.iter().map(|name| path.join(name));
    let is_there = |path: &PathBuf| path.is_file() || formats::dangling(path).is_some();
    let found = paths.find(is_there);
    found.ok_or_else(|| {
        let expected = NAMES.join(", ");
        let reason = format!("found no weights of a CLIP, expected one of {expected}");
        unfit(path, Fault::Vision, reason)
    })
}

/// CLIP's size, from its shapes; a vision model that `is_alone` has no projection.
pub(super) fn clip(
    import: &Import,
    file: &Path,
    vision: &HashMap<String, Tensor>,
    is_alone: bool,
) -> Result<ClipConfig> {
    let shape = |name: &str| {
        let tensor = vision.get(name);
        let missing = || format!("1 tensor is missing: `{name}`");
        let tensor = tensor.ok_or_else(|| unfit(file, Fault::Vision, missing()));
        tensor.map(|tensor| tensor.dims().to_vec())
    };
    let kernel = shape("conv1.weight")?;
    let n_positions = shape("positional_embedding")?[0];
    let (width, patch_size) = (kernel[0], kernel.last().copied().unwrap_or(0));
    let beside = Beside::read(file, width)?;
    let head_width = import.clip_head_dim.or(beside.head_width).unwrap_or(64);
    if head_width == 0 || !width.is_multiple_of(head_width) {
        let reason = format!(
            "a width of {width} does not split into heads of {head_width}; say their width with \
             --clip-head-dim"
        );
        return Err(unfit(file, Fault::VisionConfig, reason));
    }
    let grid = ((n_positions.saturating_sub(1)) as f64).sqrt().round() as usize;
    let block = |idx: usize| format!("transformer.resblocks.{idx}.mlp.c_fc.weight");
    let layers = (0..vision.len()).take_while(|&idx| vision.contains_key(&block(idx))).count();
    let hidden = shape(&block(0))?[0];
    let embed_dim = if is_alone { 0 } else { shape("proj")?.last().copied().unwrap_or(0) };
    Ok(ClipConfig {
        image_size: grid * patch_size,
        patch_size,
        width,
        layers,
        head_width,
        mlp_ratio: hidden as f64 / width.max(1) as f64,
        embed_dim,
        activation: match import.activation {
            Some(activation) => activation,
            None => beside.activation()?.unwrap_or_default(),
        },
        vision_feature: import.vision_feature,
        weights: None,
        trainable: encoder::Trainable::None,
    })
}
