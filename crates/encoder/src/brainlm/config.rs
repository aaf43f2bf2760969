//! The sizes of both networks, in the terms of their published `config.json`.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::region::LayerSizes;
use crate::vit::{BlockSizes, heads_problem};
use crate::{Error, Result};

/// Rows of the stored position table: no window has more patches.
pub(super) const MOST_PATCHES: usize = 5000;

fn eps() -> f64 {
    1e-12
}

fn taps() -> usize {
    65
}

fn channels() -> usize {
    3
}

/// Tokens of regions × time (`model_type: brainlm_mae`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegionTimeConfig {
    /// Width of a token (`vis_dim`): 256 in the checkpoint of 2023, 512 in `old_13M`.
    pub hidden_size: usize,
    /// Layers of the encoder.
    pub num_hidden_layers: usize,
    /// Attention heads of a layer, and kernels of its convolution.
    pub num_attention_heads: usize,
    /// Hidden width of the feed-forward.
    pub intermediate_size: usize,
    /// Layers of the decoder.
    pub decoder_num_hidden_layers: usize,
    /// Attention heads of the decoder.
    pub decoder_num_attention_heads: usize,
    /// Hidden width of the decoder's feed-forward.
    pub decoder_intermediate_size: usize,
    /// Parcels of the atlas.
    pub num_brain_voxels: usize,
    /// Volumes of a window in training; any multiple of a patch can be read.
    pub num_timepoints_per_voxel: usize,
    /// Volumes of one patch.
    pub timepoint_patching_size: usize,
    /// The share of tokens that was hidden in training.
    pub mask_ratio: f64,
    /// Whether the reconstruction is squeezed to −1 … 1.
    #[serde(default)]
    pub use_tanh_decoder: bool,
    /// Of all norms.
    #[serde(default = "eps")]
    pub layer_norm_eps: f64,
    /// Taps of the convolution of the values.
    #[serde(default = "taps")]
    pub conv_kernel_size: usize,
}

impl RegionTimeConfig {
    /// The checkpoint of June 2023 on GitHub.
    pub fn published_2023() -> Self {
        Self {
            hidden_size: 256,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            intermediate_size: 1024,
            decoder_num_hidden_layers: 2,
            decoder_num_attention_heads: 4,
            decoder_intermediate_size: 1024,
            num_brain_voxels: 424,
            num_timepoints_per_voxel: 200,
            timepoint_patching_size: 20,
            mask_ratio: 0.2,
            use_tanh_decoder: false,
            layer_norm_eps: eps(),
            conv_kernel_size: taps(),
        }
    }

    /// `old_13M` on Hugging Face.
    pub fn old_13m() -> Self {
        Self { hidden_size: 512, ..Self::published_2023() }
    }

    pub(super) fn encoder_sizes(&self) -> LayerSizes {
        LayerSizes {
            dim: self.hidden_size,
            hidden: self.intermediate_size,
            n_heads: self.num_attention_heads,
            n_taps: self.conv_kernel_size,
            eps: self.layer_norm_eps,
        }
    }

    pub(super) fn decoder_sizes(&self) -> LayerSizes {
        LayerSizes {
            hidden: self.decoder_intermediate_size,
            n_heads: self.decoder_num_attention_heads,
            ..self.encoder_sizes()
        }
    }

    /// What is wrong with the numbers, in one sentence.
    pub(super) fn problem(&self) -> Option<String> {
        let dim = self.hidden_size;
        let sizes = [
            dim / 2,
            self.intermediate_size,
            self.decoder_intermediate_size,
            self.num_brain_voxels,
            self.timepoint_patching_size,
        ];
        if sizes.contains(&0) || !dim.is_multiple_of(2) {
            return Some("sizes must be above 0 and hidden_size even".to_owned());
        }
        if self.conv_kernel_size.is_multiple_of(2) {
            let n = self.conv_kernel_size;
            return Some(format!("conv_kernel_size is {n}, expected an odd number"));
        }
        heads_problem(dim, self.num_attention_heads)
            .or_else(|| heads_problem(dim, self.decoder_num_attention_heads))
            .or_else(|| ratio_problem(self.mask_ratio))
    }
}

/// The masked autoencoder of a window as a picture (`model_type: vit_mae`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageConfig {
    /// Width of a token (`vis_dim`): 768 in `vitmae_111M`, 1280 in `vitmae_650M`.
    pub hidden_size: usize,
    /// Blocks of the encoder.
    pub num_hidden_layers: usize,
    /// Attention heads of a block.
    pub num_attention_heads: usize,
    /// Hidden width of the feed-forward.
    pub intermediate_size: usize,
    /// Width of a token of the decoder.
    pub decoder_hidden_size: usize,
    /// Blocks of the decoder.
    pub decoder_num_hidden_layers: usize,
    /// Attention heads of the decoder.
    pub decoder_num_attention_heads: usize,
    /// Hidden width of the decoder's feed-forward.
    pub decoder_intermediate_size: usize,
    /// Pixels along a side of the square.
    pub image_size: usize,
    /// Pixels along a side of a patch.
    pub patch_size: usize,
    /// Channels that the published kernel has; they are all the same plane.
    #[serde(default = "channels")]
    pub num_channels: usize,
    /// The share of patches that was hidden in training.
    pub mask_ratio: f64,
    /// Of all norms.
    #[serde(default = "eps")]
    pub layer_norm_eps: f64,
}

impl ImageConfig {
    /// `vitmae_111M` on Hugging Face.
    pub fn vitmae_111m() -> Self {
        Self {
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            decoder_hidden_size: 512,
            decoder_num_hidden_layers: 8,
            decoder_num_attention_heads: 16,
            decoder_intermediate_size: 2048,
            image_size: 432,
            patch_size: 16,
            num_channels: channels(),
            mask_ratio: 0.75,
            layer_norm_eps: eps(),
        }
    }

    /// `vitmae_650M` on Hugging Face.
    pub fn vitmae_650m() -> Self {
        Self {
            hidden_size: 1280,
            num_hidden_layers: 32,
            num_attention_heads: 16,
            intermediate_size: 5120,
            image_size: 434,
            patch_size: 14,
            ..Self::vitmae_111m()
        }
    }

    /// Two tiny blocks for tests.
    #[cfg(test)]
    pub(super) fn tiny() -> Self {
        Self {
            hidden_size: 8,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            intermediate_size: 12,
            decoder_hidden_size: 4,
            decoder_num_hidden_layers: 1,
            decoder_num_attention_heads: 2,
            decoder_intermediate_size: 8,
            image_size: 12,
            patch_size: 4,
            ..Self::vitmae_111m()
        }
    }

    /// Patches along a side.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Patches of the square, the class token left out.
    pub fn n_tokens(&self) -> usize {
        self.grid() * self.grid()
    }

    pub(super) fn encoder_sizes(&self) -> BlockSizes {
        BlockSizes {
            dim: self.hidden_size,
            hidden: self.intermediate_size,
            n_heads: self.num_attention_heads,
            eps: self.layer_norm_eps,
        }
    }

    pub(super) fn decoder_sizes(&self) -> BlockSizes {
        BlockSizes {
            dim: self.decoder_hidden_size,
            hidden: self.decoder_intermediate_size,
            n_heads: self.decoder_num_attention_heads,
            eps: self.layer_norm_eps,
        }
    }

    /// What is wrong with the numbers, in one sentence.
    pub(super) fn problem(&self) -> Option<String> {
        let (size, patch) = (self.image_size, self.patch_size);
        if size == 0 || patch == 0 || !size.is_multiple_of(patch) {
            return Some(format!("patches of {patch} do not tile a square of {size}"));
        }
        if [self.intermediate_size, self.decoder_intermediate_size, self.num_channels].contains(&0)
        {
            return Some("sizes must be above 0".to_owned());
        }
        heads_problem(self.hidden_size, self.num_attention_heads)
            .or_else(|| heads_problem(self.decoder_hidden_size, self.decoder_num_attention_heads))
            .or_else(|| ratio_problem(self.mask_ratio))
    }
}

fn ratio_problem(ratio: f64) -> Option<String> {
    (!(0. ..1.).contains(&ratio)).then(|| format!("mask_ratio is {ratio}, expected 0 to below 1"))
}

/// Which of the two networks, and its sizes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BrainLmNetwork {
    /// Tokens of regions × time (`brainlm_mae`): the checkpoint of 2023, `old_13M`.
    RegionTime(RegionTimeConfig),
    /// A masked autoencoder of the window as a picture (`vit_mae`): 111M, 650M.
    Image(ImageConfig),
}

impl BrainLmNetwork {
    /// Reads a published `config.json`.
    ///
    /// # Errors
    /// Names the file, and what is not a BrainLM or not built here.
    pub fn open(path: &Path) -> Result<Self> {
        let text = formats::read_text_up_to(path, formats::MAX_SETTINGS)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        if let Some(found) = formats::pointer(text.as_bytes()) {
            return Err(Error::Pointer { path: path.to_owned(), found });
        }
        let wrong = |problem: String| Error::Config { path: path.to_owned(), problem };
        let config = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        Self::published(&config).map_err(wrong)
    }

    /// Reads the contents of a published `config.json`; what it says beyond the sizes of these
    /// networks is left out, after a look at what would change the numbers.
    ///
    /// # Errors
    /// One sentence.
    pub fn published(config: &Value) -> Result<Self, String> {
        let differs = |key: &str, usual: Value| match config.get(key) {
            Some(found) if *found != usual => {
                Err(format!("{key} is {found}, this BrainLM is built for {usual} only"))
            }
            _ => Ok(()),
        };
        differs("hidden_act", "gelu".into())?;
        differs("qkv_bias", true.into())?;
        let network = match config["model_type"].as_str() {
            Some("brainlm_mae") => Self::RegionTime(region(config)?),
            None if config.get("num_brain_voxels").is_some() => Self::RegionTime(region(config)?),
            Some("vit_mae") | None => Self::Image(sizes(config, &ImageConfig::vitmae_111m())?),
            Some(other) => {
                return Err(format!("model_type is {other}, expected brainlm_mae or vit_mae"));
            }
        };
        network.problem().map_or(Ok(network), Err)
    }

    /// What is wrong with the numbers, in one sentence.
    pub(crate) fn problem(&self) -> Option<String> {
        match self {
            Self::RegionTime(config) => config.problem(),
            Self::Image(config) => config.problem(),
        }
    }

    /// Width of a token.
    pub fn hidden_size(&self) -> usize {
        match self {
            Self::RegionTime(config) => config.hidden_size,
            Self::Image(config) => config.hidden_size,
        }
    }
}

fn region(config: &Value) -> Result<RegionTimeConfig, String> {
    let (landmarks, segments) = (&config["num_landmarks"], &config["segment_means_seq_len"]);
    if landmarks != segments {
        return Err(format!(
            "num_landmarks is {landmarks} and segment_means_seq_len {segments}: the attention would be \
             approximated, which no published BrainLM does and which is not built here"
        ));
    }
    if let (Some(own), Some(decoder)) =
        (config["hidden_size"].as_u64(), config["decoder_hidden_size"].as_u64())
        && own != decoder
    {
        return Err(format!(
            "decoder_hidden_size is {decoder}, expected hidden_size, {own}: the decoder's coordinates \
             have that width"
        ));
    }
    sizes(config, &RegionTimeConfig::published_2023())
}

/// The fields that `like` has, out of a config with many more; a side given twice counts once.
fn sizes<T: Serialize + DeserializeOwned>(config: &Value, like: &T) -> Result<T, String> {
    let mut known = serde_json::to_value(like).map_err(|error| error.to_string())?;
    let fields = known.as_object_mut().ok_or("a config that is not a block of keys")?;
    fields.retain(|key, value| match config.get(key) {
        Some(Value::Array(sides)) if sides.len() == 2 && sides[0] == sides[1] => {
            *value = sides[0].clone();
            true
        }
        Some(found) => {
            *value = found.clone();
            true
        }
        // an encoder by itself may leave the sizes of its decoder out
        None => key.starts_with("decoder_"),
    });
    serde_json::from_value(known).map_err(|error| error.to_string())
}
