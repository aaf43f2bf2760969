//! Where a layer's tensors come from: [`Variables`] to be trained, [`Frozen`] constants from files.
//!
//! Both hand out a [`Builder`], so that a layer is written once and never asks which it is.

mod adapted;
mod below;
mod builder;
mod drawn;
mod frozen;
mod lora;
mod outline;
mod random;
pub mod seeded;
mod stored;
mod thawed;
mod variables;

pub use adapted::Adapted;
pub use below::Below;
pub use builder::{Builder, Source};
pub use drawn::Drawn;
pub use frozen::{Frozen, TensorInfo, constant, list_tensors, load, save, save_with};
pub use lora::{
    LoraConfig, TargetModules, Targets, corrected, corrected_layer, is_correction, is_end,
    unknown_target,
};
pub use outline::{Misfit, Outline};
pub use random::Random;
pub use stored::Stored;
pub use thawed::Thawed;
pub use variables::Variables;
