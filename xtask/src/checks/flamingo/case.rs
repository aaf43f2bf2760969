//! A recorded OpenFlamingo case on disk, and the same model built from its weights.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::{DType, Tensor};
use encoder::{
    ClipActivation, ClipConfig, EncoderConfig, EncoderInput, InputShape, StoredConfig,
    VisionFeature,
};
use flamingo::{Compat, Flamingo, FlamingoConfig, GatesConfig, ResamplerConfig};
use nn::weights::{Frozen, Thawed, Variables};
use nn::{Builder, Device};
use serde::Deserialize;

/// Sizes and ids of a case: the part `spec` of its `case.json`.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::checks) struct Spec {
    every: usize,
    xattn: CrossAttention,
    perceiver: Perceiver,
    vision: String,
    pub(in crate::checks) eoc_token_id: u32,
    pub(in crate::checks) media_token_id: u32,
    pub(in crate::checks) pad_token_id: u32,
    /// Absent where nothing is written.
    #[serde(default)]
    pub(super) max_new_tokens: usize,
}

/// OpenFlamingo's `MaskedCrossAttention`, with its defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
struct CrossAttention {
    dim_head: usize,
    heads: usize,
    ff_mult: usize,
    only_attend_immediate_media: bool,
}

impl Default for CrossAttention {
    fn default() -> Self {
        Self { dim_head: 64, heads: 8, ff_mult: 4, only_attend_immediate_media: true }
    }
}

/// OpenFlamingo's `PerceiverResampler`, with its defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
struct Perceiver {
    depth: usize,
    dim_head: usize,
    heads: usize,
    num_latents: usize,
    max_num_media: Option<usize>,
    max_num_frames: Option<usize>,
    ff_mult: usize,
}

impl Default for Perceiver {
    fn default() -> Self {
        Self {
            depth: 6,
            dim_head: 64,
            heads: 8,
            num_latents: 64,
            max_num_media: None,
            max_num_frames: None,
            ff_mult: 4,
        }
    }
}

/// One folder.
pub(super) struct Case {
    pub(super) spec: Spec,
    pub(super) expect: serde_json::Value,
    pub(super) io: HashMap<String, Tensor>,
    folder: PathBuf,
    device: Device,
}

impl Case {
    pub(super) fn open(folder: &Path, device: &Device) -> Result<Self> {
        #[derive(Deserialize)]
        struct File {
            spec: Spec,
            expect: serde_json::Value,
        }
        let path = folder.join("case.json");
        let text = std::fs::read_to_string(&path)?;
        let File { spec, expect } =
            serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        Ok(Self {
            spec,
            expect,
            io: tensors(&folder.join("io.safetensors"), device)?,
            folder: folder.to_owned(),
            device: device.clone(),
        })
    }

    /// A recorded tensor.
    pub(super) fn get(&self, name: &str) -> Result<&Tensor> {
        self.io.get(name).with_context(|| format!("io.safetensors lacks `{name}`"))
    }

    /// A recorded matrix of ids or flags, row by row.
    pub(super) fn rows(&self, name: &str) -> Result<Vec<Vec<i64>>> {
        Ok(self.get(name)?.to_vec2::<i64>()?)
    }

    /// Recorded gradients by name.
    pub(super) fn gradients(&self) -> Result<HashMap<String, Tensor>> {
        tensors(&self.folder.join("grads.safetensors"), &self.device)
    }

    /// A file of the folder, as JSON.
    pub(super) fn json(&self, name: &str) -> Result<serde_json::Value> {
        json(&self.folder, name)
    }

    /// The media of one part of the case (`fwd` or `gen`), as the encoder reads them.
    pub(super) fn media(&self, part: &str) -> Result<EncoderInput> {
        let values = match self.io.get(&format!("{part}.vision_x")) {
            // given features stand on the channel axis of a picture one pixel high
            Some(values) if self.is_stub() => {
                let (batch, n_media, rest) = match values.dims() {
                    [batch, n_media, 1, 1, rest @ ..] => (*batch, *n_media, rest.to_vec()),
                    other => bail!("`{part}.vision_x` has shape {other:?}"),
                };
                values.reshape([&[batch, n_media, 1], rest.as_slice()].concat())?
            }
            Some(values) => values.clone(),
            None => self.factored(part)?,
        };
        Ok(EncoderInput::new(values))
    }

    /// Features stored as factors, `S[parcel, d] · C[b, t, time, d]`, time-major.
    fn factored(&self, part: &str) -> Result<Tensor> {
        let (parcels, times) = (self.get("brain.S")?, self.get(&format!("{part}.brain.C"))?);
        let (batch, n_media, n_times, dim) = times.dims4()?;
        let n_parcels = parcels.dim(0)?;
        let product = times.unsqueeze(3)?.broadcast_mul(parcels)?;
        Ok(product.reshape((batch, n_media, 1, n_times * n_parcels, dim))?)
    }

    fn is_stub(&self) -> bool {
        self.spec.vision == "stub"
    }

    /// The model, with OpenFlamingo's trainable tensors as variables: resampler, gated blocks and
    /// the input embedding.
    pub(super) fn build(&self) -> Result<(Flamingo, Variables)> {
        let input = self.media("fwd")?;
        let dims = input.values.dims();
        let features = self.is_stub().then(|| (dims[3], dims[4]));
        let trains_embedding = self.expect["trainable"]
            .as_object()
            .is_none_or(|all| all.keys().any(|name| is_embedding(name)));
        build(&self.folder, &self.spec, features, trains_embedding, &self.device)
    }
}

/// The model of a folder with `flamingo.safetensors`, `lm.safetensors`, `vision.safetensors` and both configs, with
/// what OpenFlamingo trains as variables: resampler, gated blocks and, where that is asked for, the input embedding.
///
/// `features` is the shape of features that stand in the vision tower's place.
pub(in crate::checks) fn build(
    folder: &Path,
    spec: &Spec,
    features: Option<(usize, usize)>,
    trains_embedding: bool,
    device: &Device,
) -> Result<(Flamingo, Variables)> {
    let variables = Variables::on(device);
    let (encoder, input, encoder_vb) = if let Some((n_tokens, dim)) = features {
        let none = Frozen::from_tensors(folder, HashMap::new());
        let config = EncoderConfig::Stored(StoredConfig::of_width(dim));
        (config, InputShape::Tokens { n_tokens, dim }, none.builder(DType::F32))
    } else {
        clip(folder)?
    };
    let config = FlamingoConfig {
        encoder,
        resampler: spec.resampler(),
        gates: spec.gates(),
        lora: None,
        media: Vec::new(),
        compat: Compat::OpenFlamingo,
    };
    let mut lm_config = lm::LmConfig::open(&folder.join("lm_config.json"))?;
    let (lm, _) = lm_config.take(&Frozen::open(&folder.join("lm.safetensors"))?)?;
    let thawed =
        |frozen: Frozen, which| Thawed::new(frozen.clone(), variables.started_at(frozen), which);
    let which = if trains_embedding { is_embedding } else { |_: &str| false };
    let lm_vb = thawed(lm.clone(), which).builder(DType::F32);
    let inner = lm_config.build(lm_vb.on(device))?;
    lm.all_used()?;
    let adapter = Frozen::open(&folder.join("flamingo.safetensors"))?;
    let adapter_vb = thawed(adapter.clone(), |_| true).builder(DType::F32);
    let end = inner.shape().vocab_size;
    let (encoder_vb, adapter_vb) = (encoder_vb.on(device), adapter_vb.on(device));
    let flamingo = Flamingo::new(&config, input, inner, end..end, encoder_vb, adapter_vb)?;
    adapter.all_used()?;
    Ok((flamingo, variables))
}

/// The tiny CLIP of the case.
fn clip(folder: &Path) -> Result<(EncoderConfig, InputShape, Builder)> {
    let file = json(folder, "vision_config.json")?;
    let open_clip = &file["open_clip"];
    let vision = &open_clip["vision_cfg"];
    let number = |value: &serde_json::Value, name: &str| {
        let found = value[name].as_u64().map(|found| found as usize);
        found.with_context(|| format!("vision_config.json lacks `{name}`"))
    };
    let quick = open_clip["quick_gelu"].as_bool().unwrap_or(false);
    let size = number(vision, "image_size")?;
    let config = ClipConfig {
        image_size: size,
        patch_size: number(vision, "patch_size")?,
        width: number(vision, "width")?,
        layers: number(vision, "layers")?,
        head_width: number(vision, "head_width")?,
        mlp_ratio: vision["mlp_ratio"].as_f64().unwrap_or(4.),
        embed_dim: number(open_clip, "embed_dim")?,
        activation: if quick { ClipActivation::QuickGelu } else { ClipActivation::Gelu },
        vision_feature: VisionFeature::PreLnPost,
        weights: None,
        trainable: encoder::Trainable::None,
    };
    let path = folder.join("vision.safetensors");
    let frozen = Frozen::from_tensors(
        &path,
        encoder::clip::weights::visual(&Frozen::open(&path)?.tensors()?)?,
    );
    Ok((EncoderConfig::Clip(config), InputShape::Image { size }, frozen.builder(DType::F32)))
}

impl Spec {
    fn resampler(&self) -> ResamplerConfig {
        let Perceiver { depth, dim_head, heads, num_latents, ff_mult, .. } = self.perceiver;
        ResamplerConfig {
            n_latents: num_latents,
            depth,
            n_heads: heads,
            head_dim: dim_head,
            ff_mult,
            max_num_media: self.perceiver.max_num_media,
            max_num_frames: self.perceiver.max_num_frames,
        }
    }

    fn gates(&self) -> GatesConfig {
        let CrossAttention { dim_head, heads, ff_mult, only_attend_immediate_media } = self.xattn;
        GatesConfig {
            every: self.every,
            n_heads: heads,
            head_dim: dim_head,
            ff_mult,
            only_attend_immediate_media,
        }
    }
}

/// The input embeddings of the four families.
fn is_embedding(name: &str) -> bool {
    ["embed_tokens.weight", "embed_in.weight", "wte.weight"].iter().any(|end| name.ends_with(end))
}

fn json(folder: &Path, name: &str) -> Result<serde_json::Value> {
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_str(&text)?)
}

/// The tensors of a file on a device.
pub(in crate::checks) fn tensors(path: &Path, device: &Device) -> Result<HashMap<String, Tensor>> {
    let all = Frozen::open(path)?.tensors()?.into_iter();
    all.map(|(name, tensor)| Ok((name, tensor.to_device(device.place())?))).collect()
}
