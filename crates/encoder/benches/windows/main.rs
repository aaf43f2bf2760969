//! Seconds and memory of one window through an encoder of published size; see the README beside it.
//!
//! ```text
//! cargo bench -p encoder --bench windows -- NAME N_FRAMES REPEATS
//! ```

use std::{error::Error, time::Instant};

use encoder::{
    BrainJepaConfig, BrainJepaSize, BrainLmConfig, BrainLmNetwork, BrainMtConfig, BrainMtSize,
    BrainSemantoksConfig, BrainSemantoksSize, CortexMaeConfig, CortexMaeSize, EncoderConfig,
    FrozenEncoder, InputShape, SwiftConfig, SwiftSize, TokenPolicy, Trainable, WeightsSource,
    brainlm::{Features, ImageConfig, RegionTimeConfig},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const N_PARCELS: usize = 424;
/// The MNI grid of 2 mm, in the order that BrainMT reads.
const GRID: [usize; 3] = [91, 109, 91];

#[expect(clippy::print_stdout, reason = "the line is what this is for")]
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [name, n_frames, repeats] = &arguments[..] else {
        // called by `cargo test`: nothing to time
        return Ok(());
    };
    let (config, input) = sized(name, n_frames.parse()?)?;
    let encoder = FrozenEncoder::open(&config, input, &nn::Device::cpu())?;
    let n_values: usize = input.dims().iter().product();
    let window: Vec<f32> = (0..n_values).map(|at| (at % 1013) as f32 / 506.0 - 1.0).collect();
    let places: Vec<[f64; 3]> =
        (0..N_PARCELS).map(|at| [at as f64 / 4.0 - 60.0, (at * 7 % 150) as f64, 10.0]).collect();
    let mut seconds = Vec::new();
    let mut sum = 0.0;
    for _ in 0..repeats.parse()? {
        let start = Instant::now();
        let tokens = encoder.encode(&window, Some(&places))?;
        seconds.push(start.elapsed().as_secs_f64());
        sum = tokens.values.iter().map(|x| f64::from(x.abs())).sum();
    }
    seconds.sort_by(f64::total_cmp);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown");
    let (first, median) = (seconds[0], seconds[seconds.len() / 2]);
    println!("{first:.4} {median:.4} {} {sum:.1}", peak.trim().trim_end_matches(" kB"));
    Ok(())
}

fn sized(name: &str, n_frames: usize) -> Result<(EncoderConfig, InputShape)> {
    let parcels = InputShape::Window { n_frames, n_voxels: N_PARCELS };
    let brainlm = |network| {
        EncoderConfig::BrainLm(BrainLmConfig {
            network,
            weights: WeightsSource::Seed(1),
            trainable: Trainable::None,
            tokens: TokenPolicy::All,
            features: Features::AfterNorm,
        })
    };
    Ok(match name {
        "brainlm-image" => (brainlm(BrainLmNetwork::Image(ImageConfig::vitmae_111m())), parcels),
        "brainlm-region" => {
            (brainlm(BrainLmNetwork::RegionTime(RegionTimeConfig::published_2023())), parcels)
        }
        "brainmt" => {
            let config = BrainMtConfig {
                weights: WeightsSource::Seed(1),
                size: Some(BrainMtSize { n_frames, ..BrainMtSize::default() }),
                trainable: Trainable::None,
                tokens: TokenPolicy::TimeMean,
            };
            (EncoderConfig::BrainMt(config), InputShape::Volume { n_frames, grid: GRID })
        }
        "cortex-mae" => {
            let size = CortexMaeSize { n_frames, ..CortexMaeSize::default() };
            let input = InputShape::Window { n_frames, n_voxels: size.n_parcels };
            let config = CortexMaeConfig {
                weights: WeightsSource::Seed(1),
                size: Some(size),
                trainable: Trainable::None,
                tokens: TokenPolicy::All,
            };
            (EncoderConfig::CortexMae(config), input)
        }
        "brain-jepa" => {
            let size = BrainJepaSize { n_frames, ..BrainJepaSize::default() };
            let input = InputShape::Window { n_frames, n_voxels: size.n_parcels };
            let config = BrainJepaConfig {
                weights: WeightsSource::Seed(1),
                gradients: None,
                size: Some(size),
                trainable: Trainable::None,
                tokens: TokenPolicy::All,
            };
            (EncoderConfig::BrainJepa(config), input)
        }
        "brain-semantoks" => {
            let size = BrainSemantoksSize::default();
            let input = InputShape::Window { n_frames, n_voxels: size.n_rois() };
            let config = BrainSemantoksConfig {
                weights: WeightsSource::Seed(1),
                size: Some(size),
                trainable: Trainable::None,
                tokens: TokenPolicy::All,
            };
            (EncoderConfig::BrainSemantoks(config), input)
        }
        "swift" => {
            let size = SwiftSize { n_frames, ..SwiftSize::default() };
            let input = InputShape::Volume { n_frames, grid: size.grid };
            let config = SwiftConfig {
                weights: WeightsSource::Seed(1),
                size: Some(size),
                trainable: Trainable::None,
                tokens: TokenPolicy::All,
            };
            (EncoderConfig::Swift(config), input)
        }
        _ => return Err(format!("no encoder is called {name}").into()),
    })
}
