//! Seconds, speed and peak memory of BrainMT with random weights of the published size:
//! `cargo bench -p encoder --bench brainmt -- N_FRAMES [forward|both]`; see the README beside it.

use std::{error::Error, time::Instant};

use candle_core::{DType, Device, Tensor};
use encoder::BrainMtSize;
use encoder::brainmt::{BrainMt, Direction, Place};
use nn::seeded;
use nn::weights::{Frozen, Variables};

/// The published grid, y before x.
const GRID: [usize; 3] = [109, 91, 91];

#[expect(clippy::print_stdout, reason = "the lines are what this is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    // Called by `cargo test` without a number of frames: nothing to time.
    let [n_frames, rest @ ..] = arguments.as_slice() else { return Ok(()) };
    let both = rest.first().is_some_and(|word| word == "both");
    let direction = if both { Direction::Both } else { Direction::Forward };
    let size = BrainMtSize { n_frames: n_frames.parse()?, direction, ..BrainMtSize::default() };
    let drawn = Variables::default();
    BrainMt::new(&size, drawn.builder(1, DType::F32))?;
    let weights = Frozen::from_tensors("weights drawn from a seed".as_ref(), drawn.tensors());
    let network = BrainMt::new(&size, weights.builder(DType::F32))?;
    drop((drawn, weights));

    let volume = GRID.iter().product::<usize>();
    let frames: Vec<f32> = seeded::normal(1, "frames", volume, 0., 1.);
    let frames = frames.repeat(size.n_frames);
    let shape = (1, size.n_frames, GRID[0], GRID[1], GRID[2]);
    let frames = Tensor::from_vec(frames, shape, &Device::Cpu)?;
    let start = Instant::now();
    let (mut stem, mut layers) = (0., 0.);
    network.encode(&frames, &mut |place, _| match place {
        Place::Embedded => stem = start.elapsed().as_secs_f64(),
        Place::AfterLayers => layers = start.elapsed().as_secs_f64(),
        _ => {}
    })?;
    let all = start.elapsed().as_secs_f64();
    let flops = Flops::of(&size);
    println!("{} frames, {} tokens, scans {direction:?}", size.n_frames, size.n_tokens());
    for (name, seconds, flops) in [
        ("stem", stem, flops.stem),
        ("scans", layers - stem, flops.layers),
        ("attention", all - layers, flops.blocks),
        ("all", all, flops.stem + flops.layers + flops.blocks),
    ] {
        println!("{name:9} {seconds:7.2} s {:6.1} GFLOP/s", flops / seconds / 1e9);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    println!("{peak}");
    Ok(())
}

/// Operations of the matrix products, two for a product and a sum; the scan itself is left out.
struct Flops {
    stem: f64,
    layers: f64,
    blocks: f64,
}

impl Flops {
    fn of(size: &BrainMtSize) -> Self {
        let dim = size.embed_dim as f64;
        let tokens = size.n_tokens() as f64;
        let mut grid = GRID;
        let mut halved = |n_in: f64, n_out: f64, n_blocks: f64| {
            grid = grid.map(|n| n.div_ceil(2));
            let voxels = grid.iter().product::<usize>() as f64;
            voxels * 27. * (n_in * n_out + n_blocks * 2. * n_out * n_out)
        };
        let stem = halved(1., dim / 8., 0.)
            + halved(dim / 8., dim / 4., 1.)
            + halved(dim / 4., dim / 2., 1.)
            + halved(dim / 2., dim, 0.);
        let (channels, rank) = (2. * dim, (dim / 16.).ceil());
        let branch = channels * (rank + 32.) + rank * channels;
        let ways = if size.direction == Direction::Both { 2. } else { 1. };
        let layer = tokens * (dim * 2. * channels + ways * branch + channels * dim);
        let block =
            tokens * (3. * dim * dim + dim * dim + 4. * dim * dim) + 2. * tokens * tokens * dim;
        let [n_layers, n_blocks] = size.depth.map(|n| n as f64);
        Self {
            stem: 2. * stem * size.n_frames as f64,
            layers: 2. * n_layers * layer,
            blocks: 2. * n_blocks * block,
        }
    }
}
