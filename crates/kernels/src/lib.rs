//! Numbers on plain slices: the arithmetic under `nn`, without tensors, files or devices.
//!
//! Every function works on rows of a contiguous, row-major matrix, in `f32` or `f64`, and is
//! deterministic: a row is always summed in the same order, whatever the number of threads.

mod activation;
mod adamw;
mod allocator;
mod cross_entropy;
mod norm;
mod real;
mod rotary;
mod rows;
mod softmax;

pub use activation::Activation;
pub use adamw::{AdamW, adamw};
pub use allocator::keep_freed_memory;
pub use cross_entropy::{cross_entropy, cross_entropy_backward};
pub use norm::{layer_norm, layer_norm_backward, rms_norm, rms_norm_backward};
pub use real::Real;
pub use rotary::{RotaryTable, rotate};
pub use softmax::{KeyMask, RowKind, softmax, softmax_backward};
