//! Seconds, GFLOP/s and memory of a BrainMT of the published size over a window of whole volumes, its
//! weights drawn from a seed.
//!
//! ```text
//! cargo bench -p encoder --bench whole_run -- N_FRAMES [x y z]
//! ```

use std::time::Instant;

use encoder::brainmt::{BrainMtSize, Direction};
use encoder::{
    BrainMtConfig, EncoderConfig, FrozenEncoder, InputShape, TokenPolicy, Trainable, WeightsSource,
    brainmt,
};

/// Volumes of the published grid.
const GRID: [usize; 3] = [91, 109, 91];

#[expect(clippy::print_stdout, reason = "the lines are what this is for")]
fn main() {
    let words: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let (n_frames, grid) = match words[..] {
        [n_frames] => (n_frames, GRID),
        [n_frames, x, y, z] => (n_frames, [x, y, z]),
        // called by `cargo test`: nothing to time
        _ => return,
    };
    let size = BrainMtSize {
        n_frames,
        n_cells: brainmt::cells(grid),
        direction: Direction::Forward,
        ..BrainMtSize::default()
    };
    let n_flops = flops(&size, grid);
    let n_tokens = size.n_tokens();
    let config = EncoderConfig::BrainMt(BrainMtConfig {
        weights: WeightsSource::Seed(1),
        size: Some(size),
        trainable: Trainable::None,
        tokens: TokenPolicy::TimeMean,
    });
    let input = InputShape::Volume { n_frames, grid };
    let encoder = FrozenEncoder::open(&config, input).expect("a network of the published sizes");
    let n_values = n_frames * grid.iter().product::<usize>();
    let window: Vec<f32> = (0..n_values).map(|at| (at * 7 % 1013) as f32 / 500. - 1.).collect();
    let start = Instant::now();
    let tokens = encoder.encode(&window, None).expect("finite tokens");
    let seconds = start.elapsed().as_secs_f64();
    println!("{n_frames} frames of {grid:?}: {n_tokens} tokens, {} kept", tokens.n_tokens);
    println!("{seconds:.1} s, {:.0} GFLOP, {:.0} GFLOP/s", n_flops / 1e9, n_flops / 1e9 / seconds);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    println!("{peak}");
}

/// Two for each product and sum of the convolutions, linear layers, scans and attention; what is done
/// once for each entry, such as norms, is left out.
fn flops(size: &BrainMtSize, grid: [usize; 3]) -> f64 {
    let &BrainMtSize { embed_dim: dim, depth: [n_layers, n_blocks], n_frames, .. } = size;
    let voxels = |halvings: u32| -> f64 {
        grid.iter().map(|n| n.div_ceil(1 << halvings)).product::<usize>() as f64
    };
    let conv = |n_in: usize, n_out: usize, halvings| 54. * (n_in * n_out) as f64 * voxels(halvings);
    let stem = conv(1, dim / 8, 1)
        + conv(dim / 8, dim / 4, 2)
        + 2. * conv(dim / 4, dim / 4, 2)
        + conv(dim / 4, dim / 2, 3)
        + 2. * conv(dim / 2, dim / 2, 3)
        + conv(dim / 2, dim, 4);
    let (n, d) = (size.n_tokens() as f64, dim as f64);
    let (channels, rank, states) = (2. * d, (dim.div_ceil(16)) as f64, 16.);
    let branch = channels * (8. + 2. * (rank + 2. * states) + 2. * rank + 6. * states);
    let layer = n * (4. * d * channels + branch + 2. * channels * d);
    let block = n * (8. * d * d + 8. * d * d) + 4. * n * n * d;
    n_frames as f64 * stem + n_layers as f64 * layer + n_blocks as f64 * block
}
