//! Differentiable layers and their weights, on candle.
//!
//! candle's own fused layer norm, RMS norm, softmax and rotary embedding record no backward
//! operation: inside a residual block the gradient stays non-zero and becomes wrong. Every layer
//! here has an analytic gradient that [`gradcheck`] compares with finite differences in `f64`.
//!
//! A layer is frozen when its weights are constants and trainable when they are variables; see
//! [`weights`].

mod activation;
mod attention;
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
mod token_convolution;
pub mod weights;

pub use activation::{gelu, quick_gelu, silu};
pub use attention::{KeyMask, Mask, RowKind, attention, merge_heads, split_heads};
pub use error::{Error, Result};
pub use feed_forward::FeedForward;
pub use linear::Linear;
pub use loss::cross_entropy;
pub use low_rank::LowRank;
pub use matrix::Matrix;
pub use norm::{LayerNorm, RmsNorm};
pub use rotary::Rotary;
pub use token_convolution::token_convolution;
pub use weights::{Builder, seeded};
