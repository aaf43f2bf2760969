//! Operations of the products in each job, two a weight and row, and how many this machine does.
//!
//! Norms, softmax and non-linearities count for nothing, in what is done and in the rate beside it.

use std::time::Instant;

use candle_core::Module;
use nn::Linear;

use super::models::{VIS_DIM, clip_config, random, resampler_config};
use super::numbers;
use crate::{Opening, Result};

/// Side of the product whose rate is the machine's.
const SIDE: usize = 2048;
/// How often it is made; the fastest counts.
const REPEATS: usize = 4;

/// Operations a second of a large product with weights at this precision.
pub(super) fn peak(opening: &Opening) -> Result<f64> {
    let layer = Linear::new(SIDE, SIDE, random(opening)?.1)?;
    let xs = numbers("peak", &[SIDE, SIDE], &opening.device)?;
    let mut fastest = f64::INFINITY;
    for _ in 0..REPEATS {
        let start = Instant::now();
        let _: () = drop(nn::on_worker(|| layer.forward(&xs))?);
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    Ok(product(SIDE, SIDE, SIDE) / fastest)
}

/// Of rows with a matrix.
fn product(n_rows: usize, n_out: usize, n_in: usize) -> f64 {
    2. * n_rows as f64 * n_out as f64 * n_in as f64
}

/// Of queries with keys and of weights with values, all heads together.
fn attention(n_queries: usize, n_keys: usize, width: usize) -> f64 {
    2. * product(n_queries, n_keys, width)
}

/// Of a picture.
pub(super) fn vit() -> f64 {
    let config = clip_config();
    let (width, n) = (config.width, config.n_tokens() + 1);
    let hidden = (width as f64 * config.mlp_ratio) as usize;
    let block = product(n, 4 * width + 2 * hidden, width) + attention(n, n, width);
    let patches = product(config.n_tokens(), width, 3 * config.patch_size * config.patch_size);
    patches + config.layers as f64 * block
}

/// Of a resampler over so many tokens.
pub(super) fn resampler(n_tokens: usize) -> f64 {
    let config = resampler_config();
    let (latents, inner) = (config.n_latents, config.n_heads * config.head_dim);
    let keys = n_tokens + latents;
    let of_tokens = product(keys, 2 * inner, VIS_DIM) + attention(latents, keys, inner);
    let of_latents = product(latents, 2 * inner + 2 * config.ff_mult * VIS_DIM, VIS_DIM);
    config.depth as f64 * (of_tokens + of_latents)
}

/// Of a prompt with so many weights, and those of the head, which scores the last token alone;
/// attention is left out.
pub(super) fn prompt(n_tokens: usize, weights: f64, head: f64) -> f64 {
    2. * (n_tokens as f64 * weights + head)
}

#[cfg(test)]
mod tests {
    use super::super::models::N_TOKENS;
    use super::*;

    #[test]
    fn operations_are_those_of_published_counts() {
        // OpenAI's ViT-L/14 at 224: 81 GMAC (open_clip's model_profile.csv, image part: 162.03 GFLOP)
        assert!((vit() / 162.03e9 - 1.).abs() < 0.01, "{}", vit());
        // 63 M weights, of which keys and values are of 320 rows and the rest of 64
        let by_hand = 6. * 2. * (320. * 1024. * 1024. + 64. * (1024. * 1024. + 8. * 1024. * 1024.));
        let attention = 6. * 4. * 64. * 320. * 512.;
        assert_eq!(resampler(N_TOKENS), by_hand + attention);
    }
}
