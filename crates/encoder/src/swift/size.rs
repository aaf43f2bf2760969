//! The sizes of a SwiFT.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vit::heads_problem;

/// Epsilon of every layer norm.
pub(super) const EPS: f64 = 1e-5;

/// The sizes of the network. Those of its authors' pre-training are the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SwiftSize {
    /// Width of a token in the first stage; each further stage doubles it.
    pub embed_dim: usize,
    /// Blocks of each stage.
    pub depths: Vec<usize>,
    /// Attention heads of each stage.
    pub n_heads: Vec<usize>,
    /// Voxels of a volume along each axis.
    pub grid: [usize; 3],
    /// Frames of a window.
    pub n_frames: usize,
    /// Voxels of a patch along each axis.
    pub patch: [usize; 3],
    /// Patches, and frames, of an attention window in the first stage.
    pub first_window: [usize; 4],
    /// The same in the other stages.
    pub window: [usize; 4],
    /// Whether the last stage attends to the whole grid, in windows of time.
    pub last_stage_full: bool,
}

impl Default for SwiftSize {
    fn default() -> Self {
        Self {
            embed_dim: 36,
            depths: vec![2, 2, 6, 2],
            n_heads: vec![3, 6, 12, 24],
            grid: [96; 3],
            n_frames: 20,
            patch: [6; 3],
            first_window: [4; 4],
            window: [4; 4],
            last_stage_full: true,
        }
    }
}

impl SwiftSize {
    /// Stages.
    pub fn n_stages(&self) -> usize {
        self.depths.len()
    }

    /// Width of a token of a stage.
    pub fn width(&self, stage: usize) -> usize {
        self.embed_dim << stage
    }

    /// Width of a token at the end (`vis_dim`).
    pub fn dim(&self) -> usize {
        self.width(self.n_stages().saturating_sub(1))
    }

    /// Tokens of a stage along each axis.
    pub fn tokens(&self, stage: usize) -> [usize; 3] {
        std::array::from_fn(|axis| (self.grid[axis] / self.patch[axis]) >> stage)
    }

    /// The attention window of a stage, and whether every second block shifts it.
    pub(super) fn window_of(&self, stage: usize) -> ([usize; 4], bool) {
        if stage == 0 {
            return (self.first_window, true);
        }
        if self.last_stage_full && stage + 1 == self.n_stages() {
            let [x, y, z] = self.tokens(stage);
            return ([x, y, z, self.window[3]], false);
        }
        (self.window, true)
    }

    /// What is wrong with the numbers, in one sentence.
    pub(crate) fn problem(&self) -> Option<String> {
        let n = self.n_stages();
        if n < 2 || self.n_heads.len() != n || n > 8 {
            let heads = self.n_heads.len();
            return Some(format!(
                "has {n} depths and {heads} numbers of heads, expected 2 to 8 each"
            ));
        }
        let windows = self.first_window.iter().chain(&self.window).copied();
        let mut all = self.grid.into_iter().chain(self.patch).chain(windows);
        if all.any(|x| x == 0) || self.n_frames == 0 || self.embed_dim == 0 {
            return Some("sizes must be above 0".to_owned());
        }
        let steps = 1 << (n - 1);
        for axis in 0..3 {
            let (side, patch) = (self.grid[axis], self.patch[axis]);
            if !side.is_multiple_of(patch * steps) {
                return Some(format!(
                    "a side of {side} voxels is not divided by patches of {patch} that are merged {} \
                     times",
                    n - 1
                ));
            }
        }
        let heads = self.n_heads.iter().enumerate();
        heads.into_iter().find_map(|(stage, heads)| heads_problem(self.width(stage), *heads))
    }
}
