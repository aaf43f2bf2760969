//! How fast models of real sizes are on this machine, with random weights.
//!
//! Sizes, prompts and names of the figures are those of the script that times OpenFlamingo in
//! PyTorch, so that the two can be put side by side. Between the tokens, and between the repetitions
//! of the other figures, memory is read at full speed, in time that counts for nothing: what a token
//! costs is told as a share of that. On a shared machine the speed of memory changes by the second.
//! The other figures are told as a share of the rate of one large product.

mod clock;
mod models;
mod operations;

use candle_core::Tensor;
use encoder::Tokens;
use nn::weights::seeded;
use nn::{Device, Precision};
use serde::{Deserialize, Serialize};

use self::clock::{Memory, Samples, Start, Stretch};
pub use self::models::{JOBS, USUAL};
use self::models::{N_TOKENS, Sized, VIS_DIM};
use crate::{Decoding, Flamingo, Opening, Prompts, Result};

/// Tokens of the prompt.
const N_PROMPT: usize = 128;
/// Tokens of a window of 424 regions × 10 patches.
const N_REGION_TOKENS: usize = 4240;
/// Tokens that are written after it.
const N_NEW: usize = 16;

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// One of [`JOBS`].
    pub job: String,
    /// In which numbers the matrices are kept.
    pub precision: Precision,
    /// What is timed.
    pub what: String,
    /// Median over the repetitions, in seconds.
    pub median_s: f64,
    /// Fastest repetition.
    pub min_s: f64,
    /// Processor time of all threads in the repetition that took least of it; absent where the
    /// system does not say.
    pub cpu_s: Option<f64>,
    /// Repetitions.
    pub n: usize,
    /// Tokens written a second.
    pub tokens_per_s: Option<f64>,
    /// Bytes of weights that a token reads.
    pub weight_bytes: Option<usize>,
    /// What memory gave between the repetitions, in GB/s (the median).
    pub memory_gb_s: f64,
    /// Weights read a second, as a share of that.
    pub of_memory: Option<f64>,
    /// Operations of its products a second, as a share of those of one product of 2048 × 2048 × 2048 in
    /// the same numbers.
    pub of_peak: Option<f64>,
}

/// What bounds a figure.
#[derive(Clone, Copy)]
enum Cost {
    /// Weights that each of so many tokens reads.
    Bytes { tokens: usize, each: usize },
    /// Operations of all products.
    Operations(f64),
}

/// Times a job at a precision and on a device; every figure is told as soon as it stands. A figure takes about
/// `seconds`, and three repetitions at least.
pub fn run(job: &str, opening: &Opening, seconds: f64, told: &mut dyn FnMut(Figure)) -> Result<()> {
    let (precision, device) = (opening.precision, &opening.device);
    let memory = Memory::new();
    let peak = operations::peak(opening)?;
    let mut tell = |what: &str, samples: &Samples, cost: Cost| {
        let median_s = samples.median();
        let (tokens, operations) = match cost {
            Cost::Bytes { tokens, each } => (Some((tokens, each)), None),
            Cost::Operations(n) => (None, Some(n)),
        };
        told(Figure {
            job: job.to_owned(),
            precision,
            what: what.to_owned(),
            median_s,
            min_s: samples.min(),
            cpu_s: samples.cpu(),
            n: samples.n(),
            tokens_per_s: tokens.map(|(n, _)| n as f64 / median_s),
            weight_bytes: tokens.map(|(_, bytes)| bytes),
            memory_gb_s: samples.memory_gb_s(),
            of_memory: tokens.map(|(n, bytes)| samples.of_memory(n * bytes)),
            of_peak: operations.map(|n| n / median_s / peak),
        });
    };
    match job {
        "vit" => {
            let clip = models::vit(opening)?;
            for n in [1, 8] {
                let pictures = numbers("picture", &[n, 3, 224, 224], device)?;
                let run = || {
                    let _: () = drop(nn::on_worker(|| clip.features(&pictures))?);
                    Ok(())
                };
                let samples = Samples::of(&memory, seconds, run)?;
                let cost = Cost::Operations(n as f64 * operations::vit());
                tell(&format!("vit_l14_224_b{n}"), &samples, cost);
            }
        }
        "perceiver" => {
            let resampler = models::resampler(opening)?;
            for n in [N_TOKENS, N_REGION_TOKENS] {
                let tokens = media(1, n, device)?;
                let run = || {
                    let _: () = drop(nn::on_worker(|| resampler.forward(&tokens))?);
                    Ok(())
                };
                let samples = Samples::of(&memory, seconds, run)?;
                let cost = Cost::Operations(operations::resampler(n));
                tell(&format!("perceiver_{n}tok"), &samples, cost);
            }
        }
        _ => {
            let Sized { model, image, bytes, weights } = models::sized(job, opening)?;
            let media = model.look_at(&media(2, N_TOKENS, device)?)?;
            let mut prompt: Vec<u32> =
                (0..N_PROMPT as u32).map(|at| 10 + at * 7919 % (image - 20)).collect();
            (prompt[0], prompt[N_PROMPT / 2]) = (image, image);
            let (mut prefill, mut decode) = (Samples::default(), Samples::default());
            while !decode.enough(seconds) {
                let prompts = Prompts::left_padded(vec![prompt.clone()], image);
                write(&model, prompts, &media, &memory, &mut prefill, &mut decode)?;
            }
            let head = model.lm().shape().vocab_size * model.lm().shape().dim;
            let read = operations::prompt(N_PROMPT, weights - head as f64, head as f64);
            tell("prefill128", &prefill, Cost::Operations(read));
            tell("decode16_after128", &decode, Cost::Bytes { tokens: N_NEW, each: bytes });
        }
    }
    Ok(())
}

/// Reads the prompt and writes on, as [`crate::Model::generate`] does.
fn write(
    model: &Flamingo,
    prompts: Prompts,
    media: &crate::MediaView,
    memory: &Memory,
    prefill: &mut Samples,
    decode: &mut Samples,
) -> Result<()> {
    let no_end = u32::MAX;
    let (mut tokens, mut reads) = (Vec::<Stretch>::new(), Vec::new());
    let mut start = Start::now();
    model.generate_ids(prompts, Some(media), &Decoding::greedy(N_NEW + 1, no_end), &mut |_| {
        tokens.push(start.elapsed());
        reads.push(memory.read());
        start = Start::now();
        Ok(())
    })?;
    prefill.push(tokens[0], &reads[..1]);
    decode.push(Stretch::of(&tokens[1..]), &reads[1..]);
    Ok(())
}

fn numbers(name: &str, shape: &[usize], device: &Device) -> Result<Tensor> {
    let n = shape.iter().product();
    let numbers = seeded::normal(0, name, n, 0., 1.).into_iter().map(|it| it as f32);
    Ok(Tensor::from_vec(numbers.collect::<Vec<_>>(), shape, device.place())?)
}

/// So many tokens for each of so many pictures of one text.
fn media(n: usize, n_tokens: usize, device: &Device) -> Result<Tokens> {
    let values = numbers("tokens", &[1, n, 1, n_tokens, VIS_DIM], device)?;
    Ok(Tokens { values, mask: None })
}
