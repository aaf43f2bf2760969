//! What `lora` asks.
use std::path::PathBuf;

use clap::{Args as Group, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum LoraCommand {
    /// Merge an adapter of PEFT into the weights of its base model.
    #[command(after_help = "\
Examples:
  neuroflamingo lora merge --base SmolLM2-135M --adapter my-lora --to smollm2-mine
  neuroflamingo lora merge --base clip-vit-large-patch14 --adapter clip-lora --to clip-mine
  neuroflamingo lora merge --base brainmt.safetensors --adapter lora --to brainmt-mine.safetensors

A folder gives a folder (config and tokenizer are copied), one weight file gives one safetensors
file. The result is used as the base was: `model: { lm: { hf: … } }`, `model import --lm`,
`--vision`, `--weights`. Of LoRA everything is known that is plain LoRA, rank-stabilised or not:
patterns of rank and alpha, embeddings, heads, modules that were trained whole, trained rows of
tokens, biases. What else a config asks for (DoRA, replicated layers, …) is refused by name.")]
    Merge(MergeArgs),
    /// Export the LoRA adapter of a model's language model or encoder as a PEFT folder.
    #[command(after_help = "\
Examples:
  neuroflamingo lora export --model runs/finetune-lora/model --to my-lora
  neuroflamingo lora export --model runs/finetune-both/model --part lm --to my-lm-lora")]
    Export(ExportArgs),
}

#[derive(Debug, Group)]
pub(crate) struct MergeArgs {
    /// The base model: a folder of Hugging Face or open_clip, or one weight file.
    #[arg(long, value_name = "PATH")]
    pub(crate) base: PathBuf,
    /// The folder that PEFT wrote: config and tensors of the adapter.
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: PathBuf,
    /// The folder or file to write; it must not be there.
    #[arg(long, value_name = "PATH")]
    pub(crate) to: PathBuf,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Group)]
pub(crate) struct ExportArgs {
    /// A model package that was trained with `finetune: { lora: … }`, or whose encoder was with
    /// `trainable: { lora: … }`.
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Whose adapter, where the model has two.
    #[arg(long, value_enum)]
    pub(crate) part: Option<Part>,
    /// The folder to write; it must not be there.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What of a model has an adapter.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Part {
    /// The language model.
    Lm,
    /// The brain encoder, or CLIP.
    Encoder,
}

impl From<Part> for pipeline::LoraPart {
    fn from(part: Part) -> Self {
        match part {
            Part::Lm => Self::Lm,
            Part::Encoder => Self::Encoder,
        }
    }
}
