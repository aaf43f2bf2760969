//! The sizes of a Brain-JEPA.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vit::{BlockSizes, heads_problem};
use crate::weights::Shapes;

/// Of all norms.
pub(super) const EPS: f64 = 1e-6;

/// The stored sines of the patches, which are computed here.
pub(super) const TABLE: &str = "pos_embed_proj.emb_h";

/// Places of the parcels along the gradients; not in the published file, but in a table beside it.
pub(super) const GRADIENTS: &str = "gradients";

/// The sizes of the network. The published ones (`vit_base`) are the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BrainJepaSize {
    /// Width of a token (`vis_dim`); half of it is for the time, half for the place.
    pub dim: usize,
    /// Blocks.
    pub depth: usize,
    /// Attention heads of a block; published ones are 64 wide, which no weight file tells.
    pub n_heads: usize,
    /// Parcels of the atlas.
    pub n_parcels: usize,
    /// Frames of a window.
    pub n_frames: usize,
    /// Frames of one patch.
    pub patch: usize,
    /// Gradients along which a parcel has its place.
    pub n_gradients: usize,
}

impl Default for BrainJepaSize {
    fn default() -> Self {
        Self {
            dim: 768,
            depth: 12,
            n_heads: 12,
            n_parcels: 450,
            n_frames: 160,
            patch: 16,
            n_gradients: 30,
        }
    }
}

impl BrainJepaSize {
    /// Reads the sizes from the tensors of a weight file, the gradients among them; nothing where they
    /// are not a Brain-JEPA's.
    pub(super) fn of(shapes: &Shapes) -> Option<Self> {
        let &[dim, 1, 1, patch] = shapes.get("patch_embed.proj.weight")? else { return None };
        let &[n_tokens, _] = shapes.get(TABLE)? else { return None };
        let &[n_parcels, n_gradients] = shapes.get(GRADIENTS)? else { return None };
        let depth = shapes.count("blocks", "attn.qkv.weight");
        let n_heads = (dim / 64).max(1);
        let n_frames = n_tokens.checked_div(n_parcels)? * patch;
        Some(Self { dim, depth, n_heads, n_parcels, n_frames, patch, n_gradients })
    }

    /// Patches of a parcel in a window.
    pub fn n_times(&self) -> usize {
        self.n_frames / self.patch
    }

    pub(super) fn blocks(&self) -> BlockSizes {
        let Self { dim, n_heads, .. } = *self;
        BlockSizes { dim, hidden: 4 * dim, n_heads, eps: EPS }
    }

    /// What is wrong with the numbers, in one sentence.
    pub(crate) fn problem(&self) -> Option<String> {
        let Self { dim, n_heads, n_parcels, n_frames, patch, n_gradients, .. } = *self;
        if [dim, n_parcels, n_frames, patch, n_gradients].contains(&0) {
            return Some("sizes must be above 0".to_owned());
        }
        if !dim.is_multiple_of(4) {
            return Some(format!("dim is {dim}, expected a multiple of 4"));
        }
        if !n_frames.is_multiple_of(patch) {
            return Some(format!("patches of {patch} do not tile a window of {n_frames} frames"));
        }
        heads_problem(dim, n_heads)
    }
}
