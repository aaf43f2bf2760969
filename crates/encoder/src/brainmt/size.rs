//! The sizes of a BrainMT.

use nn::weights::Frozen;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mixer::Direction;
use crate::vit::heads_problem;
use crate::weights::Shapes;

/// Halvings of every side of a volume on its way through the stem.
const HALVINGS: usize = 4;

/// The sizes of the network. The published ones are the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BrainMtSize {
    /// Width of a token (`vis_dim`); the stem is an eighth, a quarter and a half as wide.
    pub embed_dim: usize,
    /// Layers of the scan, then blocks of attention.
    pub depth: [usize; 2],
    /// Heads of the attention, which no weight file tells.
    pub n_heads: usize,
    /// Volumes of a window.
    pub n_frames: usize,
    /// Cells that the stem leaves of a volume.
    pub n_cells: usize,
    /// Whether a layer scans the tokens one way, as the released code does, or both ways, as the
    /// paper says.
    pub direction: Direction,
    /// Outputs of the head; absent: the weights have none.
    pub n_outputs: Option<usize>,
}

impl Default for BrainMtSize {
    fn default() -> Self {
        Self {
            embed_dim: 512,
            depth: [12, 8],
            n_heads: 2,
            n_frames: 200,
            n_cells: cells([91, 109, 91]),
            direction: Direction::Forward,
            n_outputs: Some(1),
        }
    }
}

/// Cells that the stem leaves of a volume.
pub fn cells(grid: [usize; 3]) -> usize {
    grid.iter().map(|n| n.div_ceil(1 << HALVINGS)).product()
}

impl BrainMtSize {
    /// Reads the sizes from the tensors of a weight file; nothing where they are not a BrainMT's.
    pub fn of(weights: &Frozen, n_heads: usize) -> Option<Self> {
        let shapes = Shapes::of(weights);
        let &[1, with_class, embed_dim] = shapes.get("pos_embed")? else { return None };
        let &[1, n_frames, _] = shapes.get("temporal_pos_embedding")? else { return None };
        let both = shapes.get("layers.0.mixer.A_b_log").is_some();
        Some(Self {
            embed_dim,
            depth: [shapes.count("layers", "norm.weight"), shapes.count("blocks", "qkv.weight")],
            n_heads,
            n_frames,
            n_cells: with_class.checked_sub(1)?,
            direction: if both { Direction::Both } else { Direction::Forward },
            n_outputs: shapes.get("head.weight").map(|shape| shape[0]),
        })
    }

    /// Tokens of a window, the class token included.
    pub fn n_tokens(&self) -> usize {
        1 + self.n_cells * self.n_frames
    }

    /// What is wrong with the numbers, in one sentence.
    pub(crate) fn problem(&self) -> Option<String> {
        let Self { embed_dim, n_heads, n_frames, n_cells, n_outputs, .. } = *self;
        if embed_dim == 0 || !embed_dim.is_multiple_of(8) {
            return Some(format!("embed_dim is {embed_dim}, expected a multiple of 8"));
        }
        if n_frames == 0 || n_cells == 0 || n_outputs == Some(0) {
            return Some("n_frames, n_cells and n_outputs must be above 0".to_owned());
        }
        heads_problem(embed_dim, n_heads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_grid_has_252_cells_because_y_comes_first_or_not() {
        assert_eq!(cells([91, 109, 91]), 7 * 6 * 6);
        assert_eq!(cells([109, 91, 91]), 252);
        assert_eq!(cells([18, 35, 21]), 12);
        assert_eq!(BrainMtSize::default().n_tokens(), 50_401);
    }
}
