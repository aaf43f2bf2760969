//! Differentiable layers and their weights, on candle.
//!
//! candle's own fused layer norm, RMS norm, softmax and rotary embedding record no backward
//! operation: inside a residual block the gradient stays non-zero and becomes wrong. Every layer
//! here has an analytic gradient that [`gradcheck`] compares with finite differences in `f64`.
//!
//! A layer is frozen when its weights are constants and trainable when they are variables; see
//! [`weights`].

mod activation;
mod adamw;
mod attached;
mod attention;
mod causal_conv;
mod conv3d;
mod device;
mod error;
mod feed_forward;
pub mod gradcheck;
mod linear;
mod loss;
mod low_rank;
mod matrix;
mod norm;
mod op;
mod rotary;
mod selective_scan;
mod token_convolution;
pub mod weights;

pub use activation::{activated, gelu, gelu_tanh, silu};
pub use adamw::{AdamW, adamw, adamw_on};
pub use attention::{
    KeyMask, Mask, RowKind, attention, attention_weights, merge_heads, split_heads,
    streamed_attention, view_heads, window_attention,
};
pub use causal_conv::CausalConv;
pub use conv3d::Conv3d;
pub use device::{Device, DeviceName, Ops, kernel_calls, on_worker};
pub use error::{Error, Result};
pub use feed_forward::FeedForward;
pub use kernels::{Activation, keep_freed_memory, read_all};
pub use linear::Linear;
pub use loss::cross_entropy;
pub use low_rank::LowRank;
pub use matrix::{Matrix, Precision};
pub use norm::{LayerNorm, RmsNorm};
pub use rotary::Rotary;
pub use selective_scan::SelectiveScan;
pub use token_convolution::token_convolution;
pub use weights::{Builder, seeded};
