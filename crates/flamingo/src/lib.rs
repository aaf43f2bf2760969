//! The joined model: encoder, resampler and gated cross-attention around a frozen language model.
//!
//! [`Flamingo`] is the network. [`Model`] is the network with its tokenizer, read from a package:
//! text and preprocessed windows in, text and likelihoods out, no tensors in sight.

mod attribution;
pub mod bench;
mod config;
mod encoder_package;
mod error;
mod flamingo;
pub mod foreign;
mod gated;
mod generate;
mod import;
mod language;
mod language_model;
mod likelihood;
mod lora;
mod manifest;
mod media;
mod medium;
mod model;
mod named;
mod package;
mod prompt;
mod resampler;
mod several;
#[cfg(test)]
mod tiny;

pub use attribution::{Attribution, BlockAttention, TokenScore};
pub use config::{Compat, FlamingoConfig, MediumConfig, OwnEncoder};
pub use encoder_package::{
    ENCODER_COMPONENT, EncoderImport, EncoderInfo, EncoderManifest, ImportedEncoder,
    check_encoder_weights, find_encoder_weights, import_encoder, inspect_encoder, is_encoder,
};
pub use error::{Error, Fault, Result};
pub use flamingo::{After, Flamingo, MediaView, Stop, TextView};
pub use formats::pointer;
pub use gated::{GatedBlock, GatesConfig};
pub use generate::{
    Choice, Chosen, Constrain, Decoding, Forced, GenerateConfig, Generated, Guide, Listener, Next,
    NumberRange, Request, Sequence, Writer,
};
pub use import::{Count, FrozenParts, Import, Imported, Loaded, import};
pub use language::LanguageModel;
pub use language_model::{LanguageModelFiles, chat_frame, check_language_model};
pub use likelihood::{CachedPrompts, Classified, LogLikelihood, RankBy, Scored, classified};
pub use lm::ChatFrame;
pub use lora::{
    Corrections, LoraAdapter, LoraPart, MergedLora, TiedNames, export_lora, merge_lora,
};
pub use manifest::{LANGUAGE, MANIFEST, Manifest, Part};
pub use medium::{Medium, encoder_input};
pub use model::{GateOpening, Model, Opening};
pub use named::{IMAGE, NamedMedia, is_name, unnamed};
pub use nn::{Device, DeviceName, Ops, Precision, weights::TensorInfo};
pub use package::{
    LM_FILES, NewPackage, PackageFile, PackageInfo, PackageTexts, Parameters, Trained,
    TrainedWeights, WeightFile, inspect, verify, write,
};
pub use prompt::{END_OF_CHUNK, Prompts, Vocabulary};
pub use resampler::{PerceiverResampler, ResamplerConfig};
pub use several::MediaInput;
