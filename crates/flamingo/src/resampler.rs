//! Perceiver resampler: any number of encoder tokens in, a fixed number of latents out.
//!
//! Alayrac et al. 2022, "Flamingo", section 3.1.1. Learned latents query the concatenation of the
//! encoder tokens and themselves, `depth` times; the output length never depends on the scan.
//!
//! ```text
//! tokens (batch, n_media, n_windows, n_tokens, dim) ─┐ windows joined
//!                                                    ├─ [attend, feed forward] × depth ─ norm ─ latents
//! latents (n_latents, dim) ──────────────────────────┘               (batch, n_media, n_latents, dim)
//! ```
//! Tensor names and arithmetic are those of OpenFlamingo's `PerceiverResampler`.

use candle_core::{DType, Module, Result, Tensor, bail};
use candle_nn::Init;
use encoder::Tokens;
use nn::Builder;
use nn::{
    FeedForward, KeyMask, LayerNorm, Linear, Mask, attention, attention_weights, merge_heads,
    view_heads,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many latents summarise one scan, and how hard they look at it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResamplerConfig {
    /// Latents per scan; the language model sees exactly this many.
    pub n_latents: usize,
    /// Attention and feed-forward pairs.
    pub depth: usize,
    /// Attention heads.
    pub n_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Hidden width of the feed-forward, as a multiple of the token width.
    pub ff_mult: usize,
    /// Learned embeddings for the scan's place in the text, for at most this many scans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_num_media: Option<usize>,
    /// Learned embeddings for a window's place in its scan, for at most this many windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_num_frames: Option<usize>,
}

/// Learned latents that read a scan's tokens. See the module's documentation.
#[derive(Clone, Debug)]
pub struct PerceiverResampler {
    latents: Tensor,
    frame_embs: Option<Tensor>,
    media_time_embs: Option<Tensor>,
    layers: Vec<(PerceiverAttention, FeedForward)>,
    norm: LayerNorm,
}

impl PerceiverResampler {
    /// `dim` is the width of the encoder's tokens, and of the latents.
    pub fn new(config: &ResamplerConfig, dim: usize, vb: Builder) -> Result<Self> {
        let unit = Init::Randn { mean: 0., stdev: 1. };
        let places = |n: Option<usize>, name, shape: fn(usize, usize) -> Vec<usize>| {
            n.map(|n| vb.get(shape(n, dim), name, unit)).transpose()
        };
        Ok(Self {
            latents: vb.get((config.n_latents, dim), "latents", unit)?,
            frame_embs: places(config.max_num_frames, "frame_embs", |n, dim| vec![n, dim])?,
            media_time_embs: places(config.max_num_media, "media_time_embs", |n, dim| {
                vec![n, 1, dim]
            })?,
            layers: (0..config.depth)
                .map(|idx| {
                    let vb = vb.pp("layers").pp(idx);
                    let attention = PerceiverAttention::new(config, dim, vb.pp(0))?;
                    Ok((attention, FeedForward::new(dim, config.ff_mult, vb.pp(1))?))
                })
                .collect::<Result<_>>()?,
            norm: LayerNorm::new(dim, 1e-5, vb.pp("norm"))?,
        })
    }

    /// Tokens `(batch, n_media, n_windows, n_tokens, dim)` to latents `(batch, n_media, n_latents,
    /// dim)`; tokens that their mask calls unreal are not attended to.
    pub fn forward(&self, tokens: &Tokens) -> Result<Tensor> {
        self.read(tokens, None)
    }

    /// The same of media one a row, `(n, 1, n_windows, n_tokens, dim)`, that stand at these places in their texts.
    pub(crate) fn forward_at(&self, tokens: &Tokens, places: &[u32]) -> Result<Tensor> {
        self.read(tokens, Some(places))
    }

    /// The learned latents `(n_latents, dim)`.
    pub(crate) fn latents(&self) -> &Tensor {
        &self.latents
    }

    fn read(&self, tokens: &Tokens, places: Option<&[u32]>) -> Result<Tensor> {
        let (batch, n_media, _, _, dim) = tokens.values.dims5()?;
        let n_latents = self.latents.dim(0)?;
        let (xs, mask) = self.placed(tokens, places)?;
        let mut latents = self.latents.unsqueeze(0)?.repeat((batch * n_media, 1, 1))?;
        for (attention, feed_forward) in &self.layers {
            latents = attention.added(&xs, &latents, mask.as_ref())?;
            latents = feed_forward.added(&latents)?;
        }
        latents.apply(&self.norm)?.reshape((batch, n_media, n_latents, dim))
    }

    /// How much of each token lies in each latent, `(batch, n_media, n_latents, n_windows · n_tokens)`, rows summing
    /// to 1: attention rolled out over the layers (Abnar and Zuidema 2020). A layer's latents are half what they were
    /// and half what they look at, be it tokens or other latents; what is left of the learned latents is not counted.
    pub(crate) fn rolled_out(&self, tokens: &Tokens, places: Option<&[u32]>) -> Result<Tensor> {
        let (batch, n_media, n_windows, n_tokens, _) = tokens.values.dims5()?;
        let (n, n_latents) = (n_windows * n_tokens, self.latents.dim(0)?);
        let (xs, mask) = self.placed(tokens, places)?;
        let mut latents = self.latents.unsqueeze(0)?.repeat((batch * n_media, 1, 1))?;
        let mut shares = Tensor::zeros((batch * n_media, n_latents, n), xs.dtype(), xs.device())?;
        for (attention, feed_forward) in &self.layers {
            let weights = attention.weights(&xs, &latents, mask.as_ref())?;
            let through = weights.narrow(2, n, n_latents)?.contiguous()?.matmul(&shares)?;
            shares = ((shares + weights.narrow(2, 0, n)?)? + through)?.affine(0.5, 0.)?;
            latents = attention.added(&xs, &latents, mask.as_ref())?;
            latents = feed_forward.added(&latents)?;
        }
        let sums = shares.sum_keepdim(2)?;
        shares.broadcast_div(&sums)?.reshape((batch, n_media, n_latents, n))
    }

    /// Tokens with the places of their windows and media, `(batch · n_media, n_windows · n_tokens, dim)`, and which
    /// of them are real.
    fn placed(&self, tokens: &Tokens, places: Option<&[u32]>) -> Result<(Tensor, Option<Mask>)> {
        let (batch, n_media, n_windows, n_tokens, dim) = tokens.values.dims5()?;
        let mut xs = tokens.values.clone();
        if let Some(places) = &self.frame_embs {
            let places = first_rows(places, n_windows, "windows of a scan", "max_num_frames")?;
            xs = xs.broadcast_add(&places.reshape((n_windows, 1, dim))?)?;
        }
        let mut xs = xs.reshape((batch, n_media, n_windows * n_tokens, dim))?;
        if let Some(embs) = &self.media_time_embs {
            let n = places.map_or(n_media, |it| it.iter().max().map_or(0, |it| *it as usize + 1));
            let embs = first_rows(embs, n, "scans", "max_num_media")?;
            let embs = match places {
                None => embs,
                Some(places) => {
                    let places = Tensor::from_slice(places, batch, embs.device())?;
                    embs.index_select(&places, 0)?.unsqueeze(1)?
                }
            };
            xs = xs.broadcast_add(&embs)?;
        }
        let xs = xs.reshape((batch * n_media, n_windows * n_tokens, dim))?;
        let n_latents = self.latents.dim(0)?;
        let mask = tokens.mask.as_ref().map(|mask| key_mask(mask, n_latents)).transpose()?;
        Ok((xs, mask))
    }
}

fn first_rows(rows: &Tensor, n: usize, what: &str, field: &str) -> Result<Tensor> {
    let max = rows.dim(0)?;
    if n > max {
        bail!("{n} {what}, but this resampler was made for {field} = {max}")
    }
    rows.narrow(0, 0, n)
}

/// Real tokens and all latents may be seen, by every latent alike.
fn key_mask(mask: &Tensor, n_latents: usize) -> Result<Mask> {
    let (batch, n_media, n_windows, n_tokens) = mask.dims4()?;
    let real = mask.to_dtype(DType::U8)?.reshape((batch * n_media, n_windows * n_tokens))?;
    let mut allowed = Vec::new();
    for row in real.to_vec2::<u8>()? {
        for _ in 0..n_latents {
            allowed.extend(row.iter().map(|&real| real != 0));
            allowed.extend(std::iter::repeat_n(true, n_latents));
        }
    }
    let n_keys = n_windows * n_tokens + n_latents;
    Mask::new(KeyMask { allowed, rows: None, n_queries: n_latents, n_keys })
}

#[derive(Clone, Debug)]
struct PerceiverAttention {
    norm_media: LayerNorm,
    norm_latents: LayerNorm,
    to_q: Linear,
    to_kv: Linear,
    to_out: Linear,
    n_heads: usize,
    head_dim: usize,
}

impl PerceiverAttention {
    fn new(config: &ResamplerConfig, dim: usize, vb: Builder) -> Result<Self> {
        let ResamplerConfig { n_heads, head_dim, .. } = *config;
        let inner = n_heads * head_dim;
        Ok(Self {
            norm_media: LayerNorm::new(dim, 1e-5, vb.pp("norm_media"))?,
            norm_latents: LayerNorm::new(dim, 1e-5, vb.pp("norm_latents"))?,
            to_q: Linear::new(dim, inner, vb.pp("to_q"))?,
            to_kv: Linear::new(dim, 2 * inner, vb.pp("to_kv"))?,
            to_out: Linear::new(inner, dim, vb.pp("to_out"))?,
            n_heads,
            head_dim,
        })
    }

    /// Latents `(batch, n_latents, dim)` and what they see of tokens `(batch, n_tokens, dim)` and of
    /// themselves.
    fn added(&self, tokens: &Tensor, latents: &Tensor, mask: Option<&Mask>) -> Result<Tensor> {
        let [q, k, v] = self.heads(tokens, latents)?;
        let seen = merge_heads(&attention(self.to_out.ops(), &q, &k, &v, self.scale(), mask)?)?;
        self.to_out.added(&seen, latents)
    }

    /// How much each latent takes of tokens and latents, `(batch, n_latents, n_tokens + n_latents)`: the mean over
    /// heads.
    fn weights(&self, tokens: &Tensor, latents: &Tensor, mask: Option<&Mask>) -> Result<Tensor> {
        let [q, k, _] = self.heads(tokens, latents)?;
        attention_weights(self.to_out.ops(), &q, &k, self.scale(), mask)?.mean(1)
    }

    /// Queries of the latents, keys and values of the tokens and the latents.
    fn heads(&self, tokens: &Tensor, latents: &Tensor) -> Result<[Tensor; 3]> {
        let normed = self.norm_latents.forward(latents)?;
        let context = self.norm_media.before(tokens, &normed)?;
        let q = view_heads(&normed.apply(&self.to_q)?, self.n_heads)?;
        let kv = view_heads(&context.apply(&self.to_kv)?, 2 * self.n_heads)?;
        Ok([q, kv.narrow(1, 0, self.n_heads)?, kv.narrow(1, self.n_heads, self.n_heads)?])
    }

    fn scale(&self) -> f64 {
        (self.head_dim as f64).powf(-0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use nn::Ops;
    use nn::gradcheck::{check, sample};
    use nn::weights::Variables;

    const CONFIG: ResamplerConfig = ResamplerConfig {
        n_latents: 3,
        depth: 2,
        n_heads: 2,
        head_dim: 4,
        ff_mult: 2,
        max_num_media: Some(2),
        max_num_frames: Some(2),
    };

    fn resampler(config: &ResamplerConfig) -> Result<(PerceiverResampler, Variables)> {
        let variables = Variables::default();
        let vb = variables.builder(3, DType::F64);
        Ok((PerceiverResampler::new(config, 6, vb.pp("perceiver"))?, variables))
    }

    fn gap(a: &Tensor, b: &Tensor) -> Result<f64> {
        (a - b)?.abs()?.max_all()?.to_scalar()
    }

    #[test]
    fn gradients_match_finite_differences() -> Result<()> {
        let (resampler, variables) = resampler(&CONFIG)?;
        let tokens = sample("tokens", (1, 2, 2, 3, 6))?;
        let target = sample("target", (1, 2, 3, 6))?;
        let named = variables.all();
        let mut vars: Vec<_> = named.iter().map(|(name, var)| (name.as_str(), var)).collect();
        assert_eq!(vars.len(), 3 + 2 * 11 + 2);
        vars.push(("tokens", &tokens));
        check(&vars, || {
            let tokens = Tokens { values: tokens.as_tensor().clone(), mask: None };
            (resampler.forward(&tokens)? * target.as_tensor())?.sum_all()
        })
    }

    #[test]
    fn any_number_of_tokens_gives_the_same_number_of_latents() -> Result<()> {
        let (resampler, _) = resampler(&CONFIG)?;
        for n in [1, 6, 33] {
            let values = sample("tokens", (1, 1, 1, n, 6))?.as_tensor().clone();
            let latents = resampler.forward(&Tokens { values, mask: None })?;
            assert_eq!(latents.dims(), [1, 1, 3, 6]);
        }
        Ok(())
    }

    #[test]
    fn unreal_tokens_cannot_matter_and_an_all_real_mask_changes_nothing() -> Result<()> {
        let (resampler, _) = resampler(&CONFIG)?;
        let values = sample("tokens", (1, 1, 1, 4, 6))?.as_tensor().clone();
        let mask = |flags: [u8; 4]| Tensor::from_slice(&flags, (1, 1, 1, 4), &Device::Cpu);
        let plain = resampler.forward(&Tokens { values: values.clone(), mask: None })?;
        let all = Tokens { values: values.clone(), mask: Some(mask([1; 4])?) };
        assert_eq!(gap(&plain, &resampler.forward(&all)?)?, 0.);
        let three = values.narrow(3, 0, 3)?;
        let padded = Tokens { values, mask: Some(mask([1, 1, 1, 0])?) };
        let alone = resampler.forward(&Tokens { values: three, mask: None })?;
        assert!(gap(&alone, &resampler.forward(&padded)?)? < 1e-12);
        Ok(())
    }

    #[test]
    fn each_latent_is_made_of_the_real_tokens_alone() -> Result<()> {
        let (resampler, _) = resampler(&CONFIG)?;
        let values = sample("tokens", (1, 1, 2, 3, 6))?.as_tensor().clone();
        let mask = Tensor::from_slice(&[1u8, 1, 1, 1, 0, 1], (1, 1, 2, 3), &Device::Cpu)?;
        let shares =
            resampler.rolled_out(&Tokens { values: values.clone(), mask: Some(mask) }, None)?;
        assert_eq!(shares.dims(), [1, 1, 3, 6]);
        for latent in shares.squeeze(0)?.squeeze(0)?.to_vec2::<f64>()? {
            assert!((latent.iter().sum::<f64>() - 1.).abs() < 1e-12, "{latent:?}");
            assert_eq!(latent[4], 0.);
            assert!(latent.iter().enumerate().all(|(at, it)| at == 4 || *it > 0.));
        }
        // by hand: one layer, whose latents take of the tokens what its attention gives them
        let one = ResamplerConfig { depth: 1, ..CONFIG };
        let (resampler, _) = self::resampler(&one)?;
        let tokens = Tokens { values, mask: None };
        let (xs, _) = resampler.placed(&tokens, None)?;
        let latents = resampler.latents.unsqueeze(0)?;
        let [q, k, _] = resampler.layers[0].0.heads(&xs, &latents)?;
        // what values that are one at one token and nothing elsewhere become is its weight
        let weight = |token: usize| -> Result<Tensor> {
            let one =
                Tensor::arange(0u32, 9, &Device::Cpu)?.eq(token as u32)?.to_dtype(DType::F64)?;
            let values = one.reshape((1, 1, 9, 1))?.repeat((1, 2, 1, 4))?;
            attention(Ops::Kernels, &q, &k, &values, 0.5, None)?.mean((0, 1, 3))
        };
        let weights = Tensor::stack(&(0..6).map(weight).collect::<Result<Vec<_>>>()?, 1)?;
        let expected = weights.broadcast_div(&weights.sum_keepdim(1)?)?;
        let found = resampler.rolled_out(&tokens, None)?.squeeze(0)?.squeeze(0)?;
        assert!(gap(&found, &expected)? < 1e-12);

        // two layers, number by number: half of what was there, half of what is looked at, through latents too
        let (resampler, _) = self::resampler(&CONFIG)?;
        let [first, second] = [0, 1].map(|at| &resampler.layers[at]);
        let (xs, _) = resampler.placed(&tokens, None)?;
        let latents = resampler.latents.unsqueeze(0)?;
        let weights = |layer: &(PerceiverAttention, FeedForward), latents: &Tensor| {
            layer.0.weights(&xs, latents, None)?.squeeze(0)?.to_vec2::<f64>()
        };
        let one = weights(first, &latents)?;
        let between = first.1.added(&first.0.added(&xs, &latents, None)?)?;
        let two = weights(second, &between)?;
        let found =
            resampler.rolled_out(&tokens, None)?.squeeze(0)?.squeeze(0)?.to_vec2::<f64>()?;
        assert_eq!(found.len(), 3);
        for (latent, found) in found.iter().enumerate() {
            let share = |token: usize| {
                let looked = |other: usize| 0.5 * one[other][token];
                let through: f64 = (0..3).map(|other| two[latent][6 + other] * looked(other)).sum();
                0.5 * looked(latent) + 0.5 * (two[latent][token] + through)
            };
            let sum: f64 = (0..6).map(share).sum();
            assert_eq!(found.len(), 6);
            for (token, found) in found.iter().enumerate() {
                assert!((found - share(token) / sum).abs() < 1e-12);
            }
        }
        Ok(())
    }

    /// `tokens` with the learned places of windows and scans added by hand.
    fn placed(tokens: &Tensor, variables: &Variables) -> Result<Tensor> {
        let all = variables.tensors();
        let frames = all["perceiver.frame_embs"].reshape((1, 1, 2, 1, 6))?;
        let media = all["perceiver.media_time_embs"].reshape((1, 2, 1, 1, 6))?;
        tokens.broadcast_add(&frames)?.broadcast_add(&media)
    }

    #[test]
    fn a_windows_and_a_scans_place_are_added_to_their_tokens() -> Result<()> {
        let (with, variables) = resampler(&CONFIG)?;
        let plain = ResamplerConfig { max_num_media: None, max_num_frames: None, ..CONFIG };
        let (without, _) = resampler(&plain)?;
        let tokens = sample("tokens", (2, 2, 2, 3, 6))?.as_tensor().clone();
        let forward = |resampler: &PerceiverResampler, values: Tensor| {
            resampler.forward(&Tokens { values, mask: None })
        };
        let found = forward(&with, tokens.clone())?;
        let by_hand = forward(&without, placed(&tokens, &variables)?)?;
        assert!(gap(&found, &by_hand)? < 1e-12);
        assert!(gap(&found, &forward(&without, tokens.clone())?)? > 1e-3);
        // fewer windows and scans take the first places
        let first = tokens.narrow(1, 0, 1)?.narrow(2, 0, 1)?;
        let alone = placed(&tokens, &variables)?.narrow(1, 0, 1)?.narrow(2, 0, 1)?;
        assert!(gap(&forward(&with, first)?, &forward(&without, alone)?)? < 1e-12);
        // without places the order of windows does not matter; with them it does
        let order = Tensor::new(&[1u32, 0], &Device::Cpu)?;
        let turned = tokens.index_select(&order, 2)?;
        let moved = gap(&forward(&without, turned.clone())?, &forward(&without, tokens)?)?;
        assert!(moved < 1e-12);
        assert!(gap(&forward(&with, turned)?, &found)? > 1e-3);
        Ok(())
    }

    #[test]
    fn scans_of_unequal_length_beside_each_other_are_as_alone() -> Result<()> {
        let (resampler, _) = resampler(&CONFIG)?;
        let values = sample("tokens", (2, 2, 2, 4, 6))?.as_tensor().clone();
        let lengths = [4u8, 2, 3, 1];
        let flags = lengths
            .iter()
            .flat_map(|&n| [n, n])
            .flat_map(|n| (0..4).map(move |at| u8::from(at < n)));
        let mask = Tensor::from_iter(flags, &Device::Cpu)?.reshape((2, 2, 2, 4))?;
        let both = resampler.forward(&Tokens { values: values.clone(), mask: Some(mask) })?;
        for (at, &n) in lengths.iter().enumerate().filter(|(at, _)| at % 2 == 0) {
            let own = values.narrow(0, at / 2, 1)?.narrow(1, 0, 1)?.narrow(3, 0, n.into())?;
            let alone = resampler.forward(&Tokens { values: own, mask: None })?;
            let beside = both.narrow(0, at / 2, 1)?.narrow(1, 0, 1)?;
            assert!(gap(&alone, &beside)? < 1e-12);
        }
        Ok(())
    }

    #[test]
    fn more_windows_or_scans_than_the_resampler_was_made_for_are_refused() -> Result<()> {
        let (resampler, _) = resampler(&CONFIG)?;
        let values = sample("tokens", (1, 1, 3, 4, 6))?.as_tensor().clone();
        let error = resampler.forward(&Tokens { values, mask: None }).unwrap_err().to_string();
        assert!(error.contains("max_num_frames = 2"), "{error}");
        let values = sample("tokens", (1, 3, 2, 4, 6))?.as_tensor().clone();
        let error = resampler.forward(&Tokens { values, mask: None }).unwrap_err().to_string();
        assert!(error.contains("max_num_media = 2"), "{error}");
        Ok(())
    }
}
