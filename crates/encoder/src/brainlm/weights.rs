//! Published weight files of both networks, told apart by their tensor names.

use std::path::Path;

use nn::weights::Frozen;

use super::{
    BrainLmNetwork, ImageConfig, ImageDecoder, ImageMae, RegionTime, RegionTimeConfig,
    RegionTimeDecoder,
};
use crate::weights::{Shapes, published, strict};
use crate::{Error, Result};

/// The network whose name the tensors carry: in each, queries lie one level deeper than in the other.
fn described(frozen: &Frozen) -> Option<&'static str> {
    let has = |part: &str| frozen.list().iter().any(|info| info.name.contains(part));
    match (has(".attention.self."), has(".attention.attention.")) {
        (true, false) => Some(REGION_TIME),
        (false, true) => Some(IMAGE),
        _ => None,
    }
}

const REGION_TIME: &str = "region_time";
const IMAGE: &str = "image";

/// Tensors that are in the files of regions × time but are not learned, or never used: the stored
/// sines, and a head that the original's parent class builds.
fn is_dead(name: &str) -> bool {
    name.ends_with("pos_embedding.pe") || name.starts_with("decoder.decoder_pred.")
}

impl BrainLmNetwork {
    /// The name of this network in a pipeline file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RegionTime(_) => REGION_TIME,
            Self::Image(_) => IMAGE,
        }
    }

    /// Opens a published file of this network; every tensor must be one of its encoder or decoder,
    /// of the right shape, and none may be missing. A file without a decoder is an encoder.
    ///
    /// # Errors
    /// Names the file, and the other network or the tensor.
    pub fn open_weights(&self, path: &Path) -> Result<Frozen> {
        let frozen = open(path)?;
        let found = which(&frozen, path)?;
        if found != self.name() {
            let problem = format!(
                "its tensors are those of BrainLM's `{found}` network, expected those of \
                 `{}`: the two share no weights",
                self.name()
            );
            return Err(Error::Checkpoint { path: path.to_owned(), problem });
        }
        let frozen = match self {
            Self::RegionTime(_) => frozen.renamed(|name| (!is_dead(name)).then(|| name.into()))?,
            Self::Image(_) => frozen,
        };
        let decodes = has_decoder(&frozen);
        strict(&frozen, |vb| match self {
            Self::RegionTime(config) => {
                RegionTime::new(config, vb.clone())?;
                if decodes { RegionTimeDecoder::new(config, vb).map(drop) } else { Ok(()) }
            }
            Self::Image(config) => {
                ImageMae::new(config, vb.clone())?;
                if decodes { ImageDecoder::new(config, vb).map(drop) } else { Ok(()) }
            }
        })?;
        Ok(frozen)
    }

    /// The network of a published file, from its shapes; `n_heads` for those that do not tell how many
    /// heads there are, which are all pictures but the two published sizes.
    ///
    /// # Errors
    /// Names the file, and what its shapes do not say.
    pub fn of_weights(path: &Path, n_heads: Option<usize>) -> Result<Self> {
        let frozen = open(path)?;
        let (shapes, decodes) = (Shapes::of(&frozen), has_decoder(&frozen));
        let told = Told { shapes, path, decodes, n_heads };
        Ok(match which(&frozen, path)? {
            REGION_TIME => Self::RegionTime(told.region_time()?),
            _ => Self::Image(told.image()?),
        })
    }
}

/// A file of the bare encoder class has its names without the `vit.` of the whole model.
fn open(path: &Path) -> Result<Frozen> {
    let frozen = published(path, &["model_state_dict", "state_dict", "model"])?;
    let is_whole = |name: &str| name.starts_with("vit.") || name.starts_with("decoder.");
    if frozen.list().iter().any(|info| is_whole(&info.name)) {
        return Ok(frozen);
    }
    Ok(frozen.renamed(|name| Some(format!("vit.{name}")))?)
}

fn which(frozen: &Frozen, path: &Path) -> Result<&'static str> {
    described(frozen).ok_or_else(|| {
        let problem = "its tensors are of no BrainLM: expected `….attention.self.query.weight` \
                       (region_time) or `….attention.attention.query.weight` (image)";
        Error::Checkpoint { path: path.to_owned(), problem: problem.to_owned() }
    })
}

/// A tensor that only files with a decoder have.
pub(crate) const DECODES: &str = "decoder.mask_token";

pub(crate) fn has_decoder(frozen: &Frozen) -> bool {
    frozen.contains(DECODES)
}

/// Sizes that shapes tell.
struct Told<'a> {
    shapes: Shapes,
    path: &'a Path,
    decodes: bool,
    n_heads: Option<usize>,
}

impl Told<'_> {
    fn dim(&self, name: &str, axis: usize) -> Result<usize> {
        self.shapes.get(name).and_then(|shape| shape.get(axis).copied()).ok_or_else(|| {
            let problem = format!("tensor `{name}` is missing");
            Error::Checkpoint { path: self.path.to_owned(), problem }
        })
    }

    fn region_time(&self) -> Result<RegionTimeConfig> {
        let conv = "attention.self.conv.weight";
        let layer = |tensor: &str| format!("vit.encoder.layer.0.{tensor}");
        let decoder = |tensor: &str| format!("decoder.decoder_layers.0.{tensor}");
        let usual = RegionTimeConfig::published_2023();
        let decoder_dim = |tensor: &str, usual: usize| {
            if self.decodes { self.dim(&decoder(tensor), 0) } else { Ok(usual) }
        };
        let projection = "vit.embeddings.signal_embedding_projection.weight";
        Ok(RegionTimeConfig {
            hidden_size: self.dim("vit.embeddings.cls_token", 2)?,
            num_hidden_layers: self.shapes.count("vit.encoder.layer", conv),
            num_attention_heads: self.dim(&layer(conv), 0)?,
            intermediate_size: self.dim(&layer("intermediate.dense.weight"), 0)?,
            decoder_num_hidden_layers: self.shapes.count("decoder.decoder_layers", conv),
            decoder_num_attention_heads: decoder_dim(conv, usual.decoder_num_attention_heads)?,
            decoder_intermediate_size: decoder_dim(
                "intermediate.dense.weight",
                usual.decoder_intermediate_size,
            )?,
            timepoint_patching_size: self.dim(projection, 1)?,
            conv_kernel_size: self.dim(&layer(conv), 2)?,
            ..usual
        })
    }

    fn image(&self) -> Result<ImageConfig> {
        let query = "attention.attention.query.weight";
        let layer = |tensor: &str| format!("vit.encoder.layer.0.{tensor}");
        let usual = ImageConfig::vitmae_111m();
        let dim = self.dim("vit.embeddings.cls_token", 2)?;
        // no shape tells the heads; those of the published networks are known
        let num_attention_heads = match (self.n_heads, dim) {
            (Some(n_heads), _) => n_heads,
            (None, 768) => 12,
            (None, 1280) => 16,
            (None, _) => {
                let problem = format!(
                    "its width is {dim} and its shapes do not tell how many heads share it; give its \
                     config.json or the number of heads"
                );
                return Err(Error::Checkpoint { path: self.path.to_owned(), problem });
            }
        };
        let patch_size = self.dim("vit.embeddings.patch_embeddings.projection.weight", 2)?;
        let n_tokens = self.dim("vit.embeddings.position_embeddings", 1)?.saturating_sub(1);
        let grid = (n_tokens as f64).sqrt().round() as usize;
        let sizes = ImageConfig {
            hidden_size: dim,
            num_hidden_layers: self.shapes.count("vit.encoder.layer", query),
            num_attention_heads,
            intermediate_size: self.dim(&layer("intermediate.dense.weight"), 0)?,
            image_size: grid * patch_size,
            patch_size,
            num_channels: self.dim("vit.embeddings.patch_embeddings.projection.weight", 1)?,
            ..usual
        };
        if !self.decodes {
            return Ok(sizes);
        }
        let hidden = "decoder.decoder_layers.0.intermediate.dense.weight";
        Ok(ImageConfig {
            decoder_hidden_size: self.dim("decoder.decoder_embed.weight", 0)?,
            decoder_num_hidden_layers: self.shapes.count("decoder.decoder_layers", query),
            decoder_intermediate_size: self.dim(hidden, 0)?,
            ..sizes
        })
    }
}
