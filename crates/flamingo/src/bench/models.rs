//! The models that are measured, of the sizes of published ones.

use encoder::{ClipConfig, ClipVision, EncoderConfig, InputShape, StoredConfig};
use lm::{CausalLm, Llama, LlamaConfig, Opt, OptConfig};
use nn::weights::Random;
use nn::{Builder, Precision};

use crate::{
    Compat, Error, Flamingo, FlamingoConfig, GatesConfig, Opening, PerceiverResampler,
    ResamplerConfig, Result,
};

/// Everything that can be measured, a name each.
pub const JOBS: [&str; 7] =
    ["opt125m_x1", "opt125m_x4", "opt1b3_x4", "llama1b_x4", "llama1b_x1", "vit", "perceiver"];

/// What is measured where nobody says.
pub const USUAL: [&str; 4] = ["opt125m_x1", "llama1b_x4", "vit", "perceiver"];

/// Width of CLIP ViT-L/14's tokens.
pub(super) const VIS_DIM: usize = 1024;
/// Its tokens of a picture.
pub(super) const N_TOKENS: usize = 256;
/// Ids that OpenFlamingo adds.
const N_SPECIAL: usize = 3;

/// A Flamingo that is given CLIP's tokens.
pub(super) struct Sized {
    pub(super) model: Flamingo,
    /// The id of `<image>`.
    pub(super) image: u32,
    /// Bytes of weights that a written token reads.
    pub(super) bytes: usize,
    /// How many weights these are.
    pub(super) weights: f64,
}

/// ViT-L/14.
pub(super) fn vit(opening: &Opening) -> Result<ClipVision> {
    Ok(ClipVision::new(&clip_config(), random(opening)?.1)?)
}

pub(super) fn clip_config() -> ClipConfig {
    ClipConfig {
        image_size: 224,
        patch_size: 14,
        width: VIS_DIM,
        layers: 24,
        head_width: 64,
        mlp_ratio: 4.,
        embed_dim: 768,
        activation: encoder::ClipActivation::QuickGelu,
        vision_feature: encoder::VisionFeature::PreLnPost,
        weights: None,
        trainable: encoder::Trainable::None,
    }
}

/// Random weights, and who hands them out on the device.
pub(super) fn random(opening: &Opening) -> Result<(Random, Builder)> {
    let random = Random::new(opening.precision)?;
    let vb = random.builder().on(&opening.device);
    Ok((random, vb))
}

/// OpenFlamingo's resampler.
pub(super) fn resampler(opening: &Opening) -> Result<PerceiverResampler> {
    let vb = random(opening)?.1.pp("perceiver");
    Ok(PerceiverResampler::new(&resampler_config(), VIS_DIM, vb)?)
}

pub(super) fn resampler_config() -> ResamplerConfig {
    ResamplerConfig {
        n_latents: 64,
        depth: 6,
        n_heads: 8,
        head_dim: 64,
        ff_mult: 4,
        max_num_media: None,
        max_num_frames: None,
    }
}

/// The Flamingo of a job's name: a language model, and a gate before every so many of its blocks.
pub(super) fn sized(job: &str, opening: &Opening) -> Result<Sized> {
    let parts = job.rsplit_once("_x").map(|(name, every)| (name, every.parse()));
    let Some((name, Ok(every))) = parts else { return Err(unknown(job)) };
    let (random, all) = random(opening)?;
    let vb = all.pp("lm");
    let lm: Box<dyn CausalLm> = match name {
        "opt125m" => Box::new(Opt::new(&opt(768, 12, 12), vb)?),
        "opt1b3" => Box::new(Opt::new(&opt(2048, 24, 32), vb)?),
        "llama1b" => Box::new(Llama::new(&llama(), vb)?),
        _ => return Err(unknown(job)),
    };
    let n_base = lm.shape().vocab_size;
    let tied = lm.shape().tied;
    let config = FlamingoConfig {
        encoder: EncoderConfig::Stored(StoredConfig::of_width(VIS_DIM)),
        resampler: resampler_config(),
        gates: GatesConfig {
            every,
            n_heads: 8,
            head_dim: 64,
            ff_mult: 4,
            only_attend_immediate_media: true,
        },
        lora: None,
        media: Vec::new(),
        compat: Compat::None,
    };
    let input = InputShape::Tokens { n_tokens: N_TOKENS, dim: VIS_DIM };
    let special = n_base..n_base + N_SPECIAL;
    let model = Flamingo::new(&config, input, lm, special, all.pp("encoder"), all)?;
    // a token reads one row of the embedding, unless it is the head as well, and no weight of what
    // was made of the pictures before
    let read = |name: &str| {
        let looked_up =
            name.contains("embed_positions") || (name.contains("embed_tokens") && !tied);
        !(looked_up || name.starts_with("perceiver.") || name.ends_with("to_kv.weight"))
    };
    let matrices = random.matrices();
    let bytes = matrices.iter().filter(|(name, _)| read(name)).map(|(_, bytes)| bytes).sum();
    let weights = bytes as f64 / bytes_a_weight(opening.precision);
    Ok(Sized { model, image: n_base as u32 + 1, bytes, weights })
}

/// Bytes that a weight takes.
fn bytes_a_weight(precision: Precision) -> f64 {
    match precision {
        Precision::Stored | Precision::F32 => 4.,
        Precision::Bf16 | Precision::F16 => 2.,
        Precision::Q8_0 => 34. / 32.,
    }
}

fn unknown(job: &str) -> Error {
    Error::Setting {
        field: "job",
        found: job.to_owned(),
        expected: format!("one of {}", JOBS.join(", ")),
    }
}

fn opt(dim: usize, n_blocks: usize, n_heads: usize) -> OptConfig {
    OptConfig {
        hidden_size: dim,
        ffn_dim: 4 * dim,
        vocab_size: 50_272,
        word_embed_proj_dim: None,
        num_hidden_layers: n_blocks,
        num_attention_heads: n_heads,
        max_position_embeddings: 2048,
        ..OptConfig::tiny(0)
    }
}

/// `TinyLlama`'s size.
fn llama() -> LlamaConfig {
    LlamaConfig {
        hidden_size: 2048,
        intermediate_size: 5632,
        vocab_size: 32_000,
        num_hidden_layers: 22,
        num_attention_heads: 32,
        num_key_value_heads: Some(4),
        head_dim: None,
        max_position_embeddings: 2048,
        tie_word_embeddings: false,
        ..LlamaConfig::tiny(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_nobody_knows_is_refused_with_those_that_are_known() {
        for job in ["gpt5_x1", "opt125m", "opt125m_xx"] {
            let opening = Opening { precision: Precision::F32, device: nn::Device::cpu() };
            let error = sized(job, &opening).err().expect("is refused").to_string();
            assert!(error.contains(job) && error.contains("llama1b_x4"), "{error}");
        }
    }
}
