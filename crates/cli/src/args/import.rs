//! What `model import` asks.
use std::path::PathBuf;

use clap::{Args as Group, ValueEnum};

/// What the help of the command ends with.
pub(super) const HELP: &str = "\
Examples:
  neuroflamingo model import --checkpoint checkpoint.pt --lm mpt-1b-redpajama-200b \\
      --vision clip-vit-large-patch14/pytorch_model.bin --to openflamingo-3b
  neuroflamingo model import --encoder brainlm --weights vitmae_111M --to models/brainlm-111m
  neuroflamingo model import --encoder brainmt --weights checkpoint.ckpt --to models/brainmt
  neuroflamingo model import --encoder brain_jepa --weights jepa-ep300.pth.tar \\
      --gradients gradient_mapping_450.csv --to models/brain-jepa

Every tensor has its place, or the import stops: with those that are missing, unexpected or of
another shape. What the checkpoint trained of the language model itself, such as the whole
embedding under FSDP, is kept in the package and used.

The tensors of an encoder's weights tell which network it is: both BrainLMs (regions by time,
pictures), both BrainMTs (one way, both ways). A pipeline uses the package as `encoder: { file:
models/brainlm-111m/encoder.yaml }`, or as `weights: { package: … }` of an encoder that is
written out. Weights whose licence forbids copies are named with their digest and stay where
they are: `model verify` tells when they were moved or changed.

No code of a weight file is run: a pickle that wants to call anything but the rebuilding of
tensors is refused by name.";

#[derive(Debug, Group)]
pub(crate) struct ImportArgs {
    /// OpenFlamingo's checkpoint.pt, or one with its names.
    #[arg(long, value_name = "FILE", required_unless_present = "encoder")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// The language model: a Hugging Face folder, or one .gguf file.
    #[arg(long, value_name = "PATH", required_unless_present = "encoder")]
    pub(crate) lm: Option<PathBuf>,
    /// CLIP's weights, with open_clip's or Hugging Face's names: a file, or a Hugging Face folder.
    #[arg(long, value_name = "PATH", required_unless_present = "encoder")]
    pub(crate) vision: Option<PathBuf>,
    /// The package to write.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Import the weights of this brain encoder instead.
    #[arg(
        long,
        value_enum,
        value_name = "NAME",
        requires = "weights",
        conflicts_with_all = ["checkpoint", "lm", "vision"]
    )]
    pub(crate) encoder: Option<EncoderName>,
    /// The encoder's weights as they were published (.bin, .pth, .ckpt, .safetensors), or a Hugging
    /// Face folder.
    #[arg(long, value_name = "PATH", requires = "encoder")]
    pub(crate) weights: Option<PathBuf>,
    /// The encoder's config.json [default: the one beside its weights, if there is one]
    #[arg(long, value_name = "FILE", requires = "encoder")]
    pub(crate) config: Option<PathBuf>,
    /// Heads of the encoder's attention, where neither shapes nor a config.json tell: 2 in BrainMT.
    #[arg(long, value_name = "N", requires = "encoder")]
    pub(crate) n_heads: Option<usize>,
    /// Brain-JEPA's table of the parcels' places along the gradients, which its authors keep beside its
    /// weights (`gradient_mapping_450.csv`).
    #[arg(long, value_name = "FILE", requires = "encoder")]
    pub(crate) gradients: Option<PathBuf>,
    /// Do not copy the encoder's weights though their licence allows it: name their file and digest.
    #[arg(long, requires = "encoder")]
    pub(crate) reference: bool,
    /// Do not copy CLIP: name its file and digest in the package.
    #[arg(long)]
    pub(crate) reference_vision: bool,
    /// Take what the checkpoint trained of the language model however far it is from --lm; without
    /// it such a checkpoint is taken for another language model's.
    #[arg(long)]
    pub(crate) trained_lm: bool,
    /// Licence of the checkpoint or of the encoder's weights, for the package to carry [default: as
    /// the imported checkpoint, or that of the published weights]
    #[arg(long, value_name = "TEXT")]
    pub(crate) licence: Option<String>,
    /// Which tokens of CLIP the checkpoint was trained on: before its last norm, as all of
    /// OpenFlamingo's, or after it, as open_clip hands them out since 2.23.
    #[arg(long, value_enum, default_value = "pre-ln-post")]
    pub(crate) vision_feature: Feature,
    /// Width of one attention head of resampler and gated blocks.
    #[arg(long, value_name = "N", default_value = "64")]
    pub(crate) head_dim: usize,
    /// Width of one attention head of CLIP; 80 for ViT-H/14 [default: as the `config.json` or
    /// `open_clip_config.json` beside CLIP's weights says, else 64]
    #[arg(long, value_name = "N")]
    pub(crate) clip_head_dim: Option<usize>,
    /// CLIP was trained with the exact GELU instead of OpenAI's quick one; a `config.json` or
    /// `open_clip_config.json` beside its weights says so too.
    #[arg(long)]
    pub(crate) exact_gelu: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Encoders whose weights others publish.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum EncoderName {
    /// Ortega Caro et al. 2024: regions by time (2023, old 13M), or pictures (111M, 650M).
    Brainlm,
    /// Kannan et al. 2025: one way, or both ways.
    Brainmt,
    /// Dong et al. 2024; needs --gradients.
    #[value(name = "brain_jepa")]
    BrainJepa,
    /// CortexMAE of parcels.
    #[value(name = "cortex_mae")]
    CortexMae,
    /// Gijsen et al. 2025: 457 parcels in 9 networks.
    #[value(name = "brain_semantoks")]
    BrainSemantoks,
    /// Kim et al. 2023: whole volumes; a Lightning checkpoint.
    Swift,
}

impl EncoderName {
    /// As a pipeline file calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Brainlm => "brainlm",
            Self::Brainmt => "brainmt",
            Self::BrainJepa => "brain_jepa",
            Self::CortexMae => "cortex_mae",
            Self::BrainSemantoks => "brain_semantoks",
            Self::Swift => "swift",
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Feature {
    PreLnPost,
    PostLnPost,
}
