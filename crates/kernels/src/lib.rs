//! Numbers on plain slices: the arithmetic under `nn`, without tensors, files or devices.
//!
//! Every function works on rows of a contiguous, row-major matrix, in `f32` or `f64`, and is
//! deterministic: a row is always summed in the same order, whatever the number of threads.

#![allow(
    clippy::inline_always,
    reason = "a lane is vectorised only inside its loop, and a call would cost more than its work"
)]

mod activation;
mod adamw;
mod after;
mod allocator;
mod attention;
mod bandwidth;
mod causal_conv;
mod columns;
mod conv3d;
mod convert;
mod cpu;
mod cross_entropy;
mod crowd;
mod format;
mod linear;
mod mapped;
mod masked_attention;
mod norm;
mod product;
mod real;
mod rotary;
mod rows;
mod scratch;
mod selective_scan;
mod softmax;
#[cfg(test)]
mod testing;
mod tile;
mod token_convolution;
mod vector;
mod worker;

pub use activation::Activation;
pub use adamw::{AdamW, adamw};
pub use after::After;
pub use allocator::keep_freed_memory;
pub use attention::{Attention, AttentionShape, Moments};
pub use bandwidth::read_all;
pub use causal_conv::CausalConv;
pub use conv3d::Conv3d;
pub use convert::{from_bf16, from_f16, from_q8_0, to_bf16, to_f16, to_q8_0};
pub use cpu::instructions;
pub use cross_entropy::{cross_entropy, cross_entropy_backward};
pub use linear::{Matrix, Weights, linear, linear_backward, linear_rounded, linear_with};
pub use mapped::{Mapped, as_f32, as_u16};
pub use masked_attention::{Heads, attention, attention_streams};
pub use norm::{layer_norm, layer_norm_backward, rms_norm, rms_norm_backward};
pub use real::Real;
pub use rotary::{RotaryTable, rotate};
pub use selective_scan::{Band, Scanned, SelectiveScan};
pub use softmax::{KeyMask, RowKind, softmax, softmax_backward};
pub use token_convolution::{
    TokenSizes, token_convolution, token_convolution_taps, token_convolution_values,
};
pub use worker::on_worker;
