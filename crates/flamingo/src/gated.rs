//! Gated cross-attention: how a frozen language model looks at scans.
//!
//! Alayrac et al. 2022, section 3.1.2. Both gates start at zero, so that a new model writes exactly
//! what its language model writes.
//!
//! ```text
//! xs = xs + tanh(attn_gate) · attention(xs, media)
//! xs = xs + tanh(ff_gate) · feed_forward(xs)
//! ```
//! Tensor names and arithmetic are those of OpenFlamingo's `GatedCrossAttentionBlock`: the media
//! are not normed, and the feed-forward runs whether or not the text has a scan.

use candle_core::{D, Result, Tensor};
use candle_nn::Init;
use nn::Builder;
use nn::{
    FeedForward, LayerNorm, Linear, Mask, attention, attention_weights, merge_heads, split_heads,
    view_heads,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the gated blocks stand, and their size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GatesConfig {
    /// A gated block stands before every `every`-th block of the language model.
    pub every: usize,
    /// Attention heads.
    pub n_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Hidden width of the feed-forward, as a multiple of the language model's width.
    pub ff_mult: usize,
    /// Whether text looks at the latest image alone, or at all images before it.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub only_attend_immediate_media: bool,
}

/// What every released model was trained with.
fn yes() -> bool {
    true
}

/// Keys and values of the scans for one block: computed once, read for every written token.
#[derive(Clone, Debug)]
pub(crate) struct MediaKeys {
    k: Tensor,
    v: Tensor,
}

impl MediaKeys {
    /// Those of the first `n` texts of the batch.
    pub(crate) fn first(&self, n: usize) -> Result<Self> {
        Ok(Self { k: self.k.narrow(0, 0, n)?, v: self.v.narrow(0, 0, n)? })
    }

    /// Those of a batch made of these rows `(n_rows)` of the present one.
    pub(crate) fn select(&self, rows: &Tensor) -> Result<Self> {
        Ok(Self { k: self.k.index_select(rows, 0)?, v: self.v.index_select(rows, 0)? })
    }
}

#[cfg(test)]
thread_local! {
    /// How often this thread made keys and values of scans.
    pub(crate) static N_KEYS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// One gated block. See the module's documentation.
#[derive(Clone, Debug)]
pub struct GatedBlock {
    attn_gate: Tensor,
    ff_gate: Tensor,
    norm: LayerNorm,
    to_q: Linear,
    to_kv: Linear,
    to_out: Linear,
    ff: FeedForward,
    n_heads: usize,
    head_dim: usize,
}

impl GatedBlock {
    /// `dim` is the language model's width, `vis_dim` the latents'.
    pub fn new(config: &GatesConfig, dim: usize, vis_dim: usize, vb: Builder) -> Result<Self> {
        let GatesConfig { n_heads, head_dim, ff_mult, .. } = *config;
        let inner = n_heads * head_dim;
        let attn = vb.pp("attn");
        Ok(Self {
            attn_gate: vb.get(1, "attn_gate", Init::Const(0.))?,
            ff_gate: vb.get(1, "ff_gate", Init::Const(0.))?,
            norm: LayerNorm::new(dim, 1e-5, attn.pp("norm"))?,
            to_q: Linear::new(dim, inner, attn.pp("to_q"))?,
            to_kv: Linear::new(vis_dim, 2 * inner, attn.pp("to_kv"))?,
            to_out: Linear::new(inner, dim, attn.pp("to_out"))?,
            ff: FeedForward::new(dim, ff_mult, vb.pp("ff"))?,
            n_heads,
            head_dim,
        })
    }

    /// Latents `(batch, n_media, n_latents, vis_dim)` as this block's keys and values.
    pub(crate) fn keys(&self, latents: &Tensor) -> Result<MediaKeys> {
        #[cfg(test)]
        N_KEYS.with(|n| n.set(n.get() + 1));
        let kv = latents.flatten(1, 2)?.apply(&self.to_kv)?.chunk(2, D::Minus1)?;
        Ok(MediaKeys {
            k: split_heads(&kv[0], self.n_heads)?,
            v: split_heads(&kv[1], self.n_heads)?,
        })
    }

    /// Text `(batch, n_tokens, dim)` looks at its scans; without any, only the feed-forward runs.
    pub(crate) fn forward(
        &self,
        xs: &Tensor,
        media: Option<(&MediaKeys, &Mask)>,
    ) -> Result<Tensor> {
        let mut xs = xs.clone();
        if let Some((keys, mask)) = media {
            let looked = self.attend(&xs, keys, mask)?;
            xs = self.to_out.added_times(&looked, &self.attn_gate.tanh()?, &xs)?;
        }
        self.ff.added_times(&xs, &self.ff_gate.tanh()?)
    }

    /// What the heads see, `(batch, n_tokens, n_heads · head_dim)`.
    fn attend(&self, xs: &Tensor, keys: &MediaKeys, mask: &Mask) -> Result<Tensor> {
        let q = self.queries(xs)?;
        merge_heads(&attention(self.to_out.ops(), &q, &keys.k, &keys.v, self.scale(), Some(mask))?)
    }

    /// How much each token of text takes of each latent, `(batch, n_tokens, n_media · n_latents)`: the mean over
    /// heads.
    pub(crate) fn weights(&self, xs: &Tensor, keys: &MediaKeys, mask: &Mask) -> Result<Tensor> {
        attention_weights(self.to_out.ops(), &self.queries(xs)?, &keys.k, self.scale(), Some(mask))?
            .mean(1)
    }

    fn queries(&self, xs: &Tensor) -> Result<Tensor> {
        view_heads(&xs.apply(&self.norm)?.apply(&self.to_q)?, self.n_heads)
    }

    fn scale(&self) -> f64 {
        (self.head_dim as f64).powf(-0.5)
    }

    /// How far the attention's and the feed-forward's gates are open: `tanh` of each.
    pub(crate) fn opening(&self) -> Result<(f64, f64)> {
        let open = |gate: &Tensor| -> Result<f64> {
            gate.to_dtype(candle_core::DType::F64)?.tanh()?.get(0)?.to_scalar()
        };
        Ok((open(&self.attn_gate)?, open(&self.ff_gate)?))
    }
}
