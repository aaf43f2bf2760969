//! Fitting: the adapter on paired scans and reports ([`fit`]) or on a mixture of image–text sources as OpenFlamingo was
//! trained ([`train_mixture`]), and a small language model on text ([`pretrain`]).
//!
//! All are tasks of one loop (`trainer`), and deterministic: every random choice depends on (seed, step) alone, so that a run that
//! was stopped and resumed equals one that was not.

mod augment;
mod batch;
mod checkpoint;
mod draw;
mod error;
mod fit;
mod fitted;
mod gathered;
mod judge;
mod labels;
mod mixture;
mod moments;
mod optimizer;
mod pretrain;
mod progress;
mod progression;
mod reduce;
mod schedule;
mod trainee;
mod trainer;
mod warm_start;

pub use augment::AugmentConfig;
pub use batch::Example;
pub use error::{Error, Result};
pub use fit::{AuxiliaryConfig, FitConfig, FitInputs, FitLora, fit};
pub use fitted::{Fitted, PackageCard};
pub use judge::{Judge, JudgeError, LOSS, SCAN_GAIN};
pub use labels::{Padding, RowKind, labels};
pub use mixture::{MixtureBatch, MixtureConfig, Source, train_mixture};
pub use optimizer::Optimizer;
pub use pretrain::{
    CorpusSize, PretrainConfig, PretrainSummary, corpus_size, longest_text, pretrain,
};
pub use progress::{Observer, Progress};
pub use progression::CurvePoint;
pub use schedule::LrSchedule;
