//! The sizes of a CortexMAE.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vit::{BlockSizes, heads_problem};
use crate::weights::Shapes;

/// Of all norms.
pub(super) const EPS: f64 = 1e-6;

/// The sizes of the encoder. The published ones (`cortex_mae_parcel`) are the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CortexMaeSize {
    /// Width of a token (`vis_dim`).
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
}

impl Default for CortexMaeSize {
    fn default() -> Self {
        Self { dim: 768, depth: 12, n_heads: 12, n_parcels: 400, n_frames: 16, patch: 4 }
    }
}

impl CortexMaeSize {
    /// Reads the sizes from the tensors of a weight file; nothing where they are not a CortexMAE's.
    pub(super) fn of(shapes: &Shapes) -> Option<Self> {
        let &[dim, patch] = shapes.get("patch_embed.weight")? else { return None };
        let &[1, n_parcels, _] = shapes.get("pos_embed.weight_spatial")? else { return None };
        let &[n_times, 1, _] = shapes.get("pos_embed.weight_temporal")? else { return None };
        let depth = shapes.count("blocks", "attn.q.weight");
        let n_heads = (dim / 64).max(1);
        Some(Self { dim, depth, n_heads, n_parcels, n_frames: n_times * patch, patch })
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
        let Self { dim, n_heads, n_parcels, n_frames, patch, .. } = *self;
        if [dim, n_parcels, n_frames, patch].contains(&0) {
            return Some("sizes must be above 0".to_owned());
        }
        if !n_frames.is_multiple_of(patch) {
            return Some(format!("patches of {patch} do not tile a window of {n_frames} frames"));
        }
        heads_problem(dim, n_heads)
    }
}
