//! SwiFT's encoder (Kim et al. 2023; Liu et al. 2021).
//!
//! ```text
//! patches ─ linear ─┬─ + place + time ─ [windows ─ shifted windows ─ …] ─ merge 2 × 2 × 2 ─┬─ tokens
//!                   └──────────────────────── once a stage ───────────────────────────────┘
//! ```
//! Time is never merged. There is no norm after the last block, and no class token.

use candle_core::{Result, Tensor, bail};
use candle_nn::Init;
use nn::{Builder, LayerNorm, Linear};

use super::SwiftSize;
use super::block::Block;
use super::partition::Partition;
use super::size::EPS;

const NORMAL: Init = Init::Randn { mean: 0., stdev: 0.02 };

/// Where a tensor `(batch, x, y, z, t, dim)` that is watched stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwiftPlace {
    /// Patches before positions.
    Embedded,
    /// What enters a stage's first block.
    Entered(usize),
    /// What a block of a stage gives.
    Block(usize, usize),
    /// What a stage gives, merged where it is not the last.
    Stage(usize),
}

/// The network. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Swift {
    embed: Linear,
    stages: Vec<Stage>,
    size: SwiftSize,
}

#[derive(Clone, Debug)]
struct Stage {
    /// `(1, dim, x, y, z, 1)`.
    places: Tensor,
    /// `(1, dim, 1, 1, 1, n_frames)`.
    times: Tensor,
    blocks: Vec<Block>,
    merge: Option<(LayerNorm, Linear)>,
}

impl Swift {
    /// Reads the published names.
    pub fn new(size: &SwiftSize, vb: Builder) -> Result<Self> {
        let voxels: usize = size.patch.iter().product();
        Ok(Self {
            embed: Linear::with_bias(voxels, size.embed_dim, vb.pp("patch_embed.fc"))?,
            stages: (0..size.n_stages())
                .map(|stage| Stage::new(size, stage, &vb))
                .collect::<Result<_>>()?,
            size: size.clone(),
        })
    }

    /// Windows `(batch, n_frames, x, y, z)` to tokens `(batch, n_places · n_frames, dim)`, place by
    /// place.
    pub fn encode(
        &self,
        windows: &Tensor,
        watch: &mut dyn FnMut(SwiftPlace, &Tensor),
    ) -> Result<Tensor> {
        let (batch, n_frames, x, y, z) = windows.dims5()?;
        if [x, y, z] != self.size.grid || n_frames == 0 || n_frames > self.size.n_frames {
            bail!(
                "a window of {n_frames} volumes of {x}×{y}×{z} voxels, this SwiFT reads up to {} of \
                 {:?}",
                self.size.n_frames,
                self.size.grid
            )
        }
        let ([gx, gy, gz], [px, py, pz]) = (self.size.tokens(0), self.size.patch);
        let patches =
            windows.contiguous()?.reshape(vec![batch, n_frames, gx, px, gy, py, gz, pz])?;
        let patches = patches.permute(vec![0, 2, 4, 6, 1, 3, 5, 7])?.contiguous()?;
        let patches = patches.reshape((batch, gx * gy * gz * n_frames, px * py * pz))?;
        let mut tokens = patches.apply(&self.embed)?;
        let mut grid = [gx, gy, gz, n_frames];
        watch(SwiftPlace::Embedded, &on_grid(&tokens, grid)?);
        for (idx, stage) in self.stages.iter().enumerate() {
            (tokens, grid) = stage.forward(&tokens, grid, &self.size, idx, watch)?;
        }
        Ok(tokens)
    }
}

fn on_grid(tokens: &Tensor, [x, y, z, t]: [usize; 4]) -> Result<Tensor> {
    let (batch, _, dim) = tokens.dims3()?;
    tokens.reshape((batch, x, y, z, t, dim))
}

impl Stage {
    fn new(size: &SwiftSize, stage: usize, vb: &Builder) -> Result<Self> {
        let (dim, [x, y, z]) = (size.width(stage), size.tokens(stage));
        let (positions, layer) = (vb.pp("pos_embeds").pp(stage), vb.pp("layers").pp(stage));
        let blocks = (0..size.depths[stage])
            .map(|idx| Block::new(dim, size.n_heads[stage], &layer.pp("blocks").pp(idx)));
        let merge = (stage + 1 < size.n_stages()).then(|| {
            let merge = layer.pp("downsample");
            let norm = LayerNorm::new(8 * dim, EPS, merge.pp("norm"))?;
            Ok::<_, candle_core::Error>((
                norm,
                Linear::new(8 * dim, 2 * dim, merge.pp("reduction"))?,
            ))
        });
        Ok(Self {
            places: positions.get(vec![1, dim, x, y, z, 1], "pos_embed", NORMAL)?,
            times: positions.get(vec![1, dim, 1, 1, 1, size.n_frames], "time_embed", NORMAL)?,
            blocks: blocks.collect::<Result<_>>()?,
            merge: merge.transpose()?,
        })
    }

    fn forward(
        &self,
        tokens: &Tensor,
        grid: [usize; 4],
        size: &SwiftSize,
        stage: usize,
        watch: &mut dyn FnMut(SwiftPlace, &Tensor),
    ) -> Result<(Tensor, [usize; 4])> {
        let (batch, n_tokens, dim) = tokens.dims3()?;
        let last = |positions: &Tensor| positions.permute(vec![0, 2, 3, 4, 5, 1]);
        let times = last(&self.times)?.narrow(4, 0, grid[3])?;
        let xs = on_grid(tokens, grid)?.broadcast_add(&last(&self.places)?)?;
        let xs = xs.broadcast_add(&times)?;
        watch(SwiftPlace::Entered(stage), &xs);
        let mut xs = xs.reshape((batch, n_tokens, dim))?;
        let (window, shifts) = size.window_of(stage);
        let straight = Partition::new(grid, window, false, tokens.device())?;
        let shifted = Partition::new(grid, window, shifts, tokens.device())?;
        let mask = shifted.mask(batch)?;
        for (idx, block) in self.blocks.iter().enumerate() {
            xs = if idx % 2 == 0 {
                block.forward(&xs, &straight, None)?
            } else {
                block.forward(&xs, &shifted, mask.as_ref())?
            };
            watch(SwiftPlace::Block(stage, idx), &on_grid(&xs, grid)?);
        }
        let mut grid = grid;
        if let Some((norm, reduction)) = &self.merge {
            xs = neighbours(&xs, grid)?.apply(norm)?.apply(reduction)?;
            (0..3).for_each(|axis| grid[axis] /= 2);
        }
        watch(SwiftPlace::Stage(stage), &on_grid(&xs, grid)?);
        Ok((xs, grid))
    }
}

/// Eight neighbours joined, `(batch, n_tokens / 8, 8 · dim)`: the last axis of space runs fastest.
fn neighbours(tokens: &Tensor, [x, y, z, t]: [usize; 4]) -> Result<Tensor> {
    let (batch, n_tokens, dim) = tokens.dims3()?;
    let mut rows = Vec::with_capacity(n_tokens);
    for (cx, cy, cz, frame) in iproduct([x / 2, y / 2, z / 2, t]) {
        for corner in 0..8 {
            let at = [2 * cx + corner / 4, 2 * cy + corner / 2 % 2, 2 * cz + corner % 2];
            rows.push((((at[0] * y + at[1]) * z + at[2]) * t + frame) as u32);
        }
    }
    let rows = Tensor::from_vec(rows, n_tokens, tokens.device())?;
    let joined = tokens.contiguous()?.index_select(&rows, 1)?;
    joined.reshape((batch, n_tokens / 8, 8 * dim))
}

fn iproduct([x, y, z, t]: [usize; 4]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..x * y * z * t).map(move |at| (at / (y * z * t), at / (z * t) % y, at / t % z, at % t))
}
