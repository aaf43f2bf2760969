//! BrainLM of regions × time (Ortega Caro et al. 2024): one token a parcel and patch of 20 volumes.
//!
//! ```text
//! (parcel, patch) ─ linear ─ + linear(x, y, z) + sines(patch) ─ [class, …] ─ layers ─ norm
//!                 layer:  norm(x + W(softmax(qkᵀ)v + conv(v)))  then  norm(y + MLP(y))
//! ```
//! The published class is a Nyströmformer whose approximation never runs: landmarks equal segments,
//! so attention is exact, and the 65-tap convolution of the values is what remains of it. Because of
//! that convolution the order of the tokens matters: parcel by parcel, patches within.

use candle_core::{D, Module, Result, Tensor, bail};
use candle_nn::Init;
use nn::{Builder, LayerNorm, Linear, attention, merge_heads, token_convolution};

use super::{Masking, RegionTimeConfig};
use crate::vit::{Mlp, Projections, angles, constant};

/// The standard deviation of new tokens, `initializer_range`.
pub(super) const INIT: Init = Init::Randn { mean: 0., stdev: 0.02 };

/// The encoder of regions × time. See the module's documentation.
#[derive(Clone, Debug)]
pub struct RegionTime {
    signal: Linear,
    place: Linear,
    class: Tensor,
    layers: Vec<Layer>,
    norm: LayerNorm,
    config: RegionTimeConfig,
}

impl RegionTime {
    /// Reads `vit.embeddings`, `vit.encoder.layer.N` and `vit.layernorm`.
    pub fn new(config: &RegionTimeConfig, vb: Builder) -> Result<Self> {
        let vit = vb.pp("vit");
        let embeddings = vit.pp("embeddings");
        let dim = config.hidden_size;
        let sizes = config.encoder_sizes();
        Ok(Self {
            signal: Linear::with_bias(
                config.timepoint_patching_size,
                dim,
                embeddings.pp("signal_embedding_projection"),
            )?,
            place: Linear::with_bias(3, dim, embeddings.pp("xyz_embedding_projection"))?,
            class: embeddings.get((1, 1, dim), "cls_token", INIT)?,
            layers: Layer::stack(config.num_hidden_layers, sizes, &vit.pp("encoder.layer"))?,
            norm: LayerNorm::new(dim, config.layer_norm_eps, vit.pp("layernorm"))?,
            config: config.clone(),
        })
    }

    /// The network's size.
    pub fn config(&self) -> &RegionTimeConfig {
        &self.config
    }

    /// Signals `(batch, n_parcels, n_frames)` and places `(batch, n_parcels, 3)` in millimetres to
    /// tokens `(batch, n_parcels · n_patches, dim)`, parcel by parcel.
    fn embed(&self, signals: &Tensor, places: &Tensor) -> Result<Tensor> {
        let (batch, n_parcels, n_frames) = signals.dims3()?;
        let patch = self.config.timepoint_patching_size;
        if n_frames == 0 || !n_frames.is_multiple_of(patch) {
            bail!("a window of {n_frames} frames, BrainLM reads a multiple of {patch}")
        }
        if places.dims() != [batch, n_parcels, 3] {
            bail!("{:?} coordinates for {batch} scans of {n_parcels} parcels", places.dims())
        }
        let n_patches = n_frames / patch;
        let patches = signals.reshape((batch, n_parcels, n_patches, patch))?;
        let tokens = patches.apply(&self.signal)?;
        let tokens = tokens.broadcast_add(&places.apply(&self.place)?.unsqueeze(2)?)?;
        let tokens =
            tokens.broadcast_add(&position_table(n_patches, self.config.hidden_size, &tokens)?)?;
        tokens.reshape((batch, n_parcels * n_patches, self.config.hidden_size))
    }

    /// Signals `(batch, n_parcels, n_frames)` and places `(batch, n_parcels, 3)` to
    /// `(batch, 1 + n_kept, dim)`, the class token first; `watch` sees the embedding as 0 and what
    /// leaves layer `k` as `k + 1`.
    pub fn encode(
        &self,
        signals: &Tensor,
        places: &Tensor,
        order: Option<&Masking>,
        watch: &mut dyn FnMut(usize, &Tensor),
    ) -> Result<Tensor> {
        let tokens = self.embed(signals, places)?;
        let tokens = order.map_or(Ok(tokens.clone()), |order| order.keep(&tokens))?;
        let class = self.class.broadcast_as((tokens.dim(0)?, 1, self.config.hidden_size))?;
        let mut xs = Tensor::cat(&[&class.contiguous()?, &tokens], 1)?;
        watch(0, &xs);
        for (idx, layer) in self.layers.iter().enumerate() {
            xs = layer.forward(&xs)?;
            watch(idx + 1, &xs);
        }
        xs.apply(&self.norm)
    }
}

/// `pe[p, 2k] = sin(p ωₖ)`, `pe[p, 2k + 1] = cos(p ωₖ)` over patches, `(n_patches, dim)`, of the element type
/// and on the device of `like`.
pub fn position_table(n_patches: usize, dim: usize, like: &Tensor) -> Result<Tensor> {
    let positions: Vec<f64> = (0..n_patches).map(|p| p as f64).collect();
    let table = angles(&positions, dim).into_iter().flat_map(|angle| [angle.sin(), angle.cos()]);
    constant(table.collect(), (n_patches, dim), like.dtype(), like.device())
}

/// The sizes of a stack of layers.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayerSizes {
    pub(super) dim: usize,
    pub(super) hidden: usize,
    pub(super) n_heads: usize,
    pub(super) n_taps: usize,
    pub(super) eps: f64,
}

/// A post-norm layer with the convolution of the values.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    projections: Projections,
    taps: Tensor,
    out: Linear,
    norm_1: LayerNorm,
    mlp: Mlp,
    norm_2: LayerNorm,
    n_heads: usize,
}

impl Layer {
    fn new(sizes: LayerSizes, vb: Builder) -> Result<Self> {
        let LayerSizes { dim, hidden, n_heads, n_taps, eps } = sizes;
        let attention = vb.pp("attention");
        let taps = attention.pp("self.conv").get((n_heads, 1, n_taps, 1), "weight", INIT)?;
        Ok(Self {
            projections: Projections::new(dim, attention.pp("self"))?,
            taps: taps.reshape((n_heads, n_taps))?,
            out: Linear::with_bias(dim, dim, attention.pp("output.dense"))?,
            norm_1: LayerNorm::new(dim, eps, attention.pp("output.LayerNorm"))?,
            mlp: Mlp::new(dim, hidden, vb.pp("intermediate.dense"), vb.pp("output.dense"))?,
            norm_2: LayerNorm::new(dim, eps, vb.pp("output.LayerNorm"))?,
            n_heads,
        })
    }

    pub(super) fn stack(n: usize, sizes: LayerSizes, vb: &Builder) -> Result<Vec<Self>> {
        (0..n).map(|idx| Self::new(sizes, vb.pp(idx))).collect()
    }
}

impl Module for Layer {
    /// `(batch, n_tokens, dim)` to the same shape.
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let [q, k, v] = self.projections.heads(xs, None, self.n_heads)?;
        let scale = (q.dim(D::Minus1)? as f64).powf(-0.5);
        let ops = self.out.ops();
        let context =
            attention(ops, &q, &k, &v, scale, None)? + token_convolution(ops, &v, &self.taps)?;
        let ys = self.out.added(&merge_heads(&context?)?, xs)?.apply(&self.norm_1)?;
        self.mlp.added(&ys, &ys)?.apply(&self.norm_2)
    }
}
