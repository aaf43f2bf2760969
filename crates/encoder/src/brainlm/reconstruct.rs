//! How well a BrainLM fills in what it is not shown: the test that preprocessing fits its weights.
//!
//! Patches of a window are hidden as in the training, the decoder fills them in, and R² says which share
//! of the hidden values' variance was found. Two predictors that have learned nothing stand beside it.

use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_nn::Init;
use nn::{Builder, Precision, seeded};
use serde::Serialize;

use super::encoder::rows;
use super::weights::has_decoder;
use super::{
    BrainLmNetwork, ImageDecoder, ImageMae, Masking, RegionTime, RegionTimeDecoder, square,
};
use crate::{EncoderConfig, Error, InputShape, Result};

const NAME: &str = "brainlm";

/// A BrainLM with its decoder.
pub struct Reconstruction {
    network: Network,
    n_tokens: usize,
    n_frames: usize,
    n_parcels: usize,
    mask_ratio: f64,
    identity: String,
}

enum Network {
    RegionTime(RegionTime, RegionTimeDecoder),
    Image(ImageMae, ImageDecoder),
}

/// What was filled in of one or more windows, in the unit of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Filled {
    n_hidden: usize,
    mean: f64,
    /// Squared deviations of the hidden values from their mean, summed.
    spread: f64,
    /// Squared errors, summed: of the model, and of the two that have learned nothing.
    errors: [f64; 3],
}

/// [`Filled`] as numbers to be read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// Hidden values.
    pub n_hidden: usize,
    /// 1 − squared error over the hidden values' variance, of the model.
    pub r2: f64,
    /// The same of the parcel's mean over what is shown of the window.
    pub r2_parcel_mean: f64,
    /// The same of the mean of the parcels that are shown at the same frame.
    pub r2_frame_mean: f64,
    /// Mean squared error of the model.
    pub mse: f64,
}

impl Filled {
    /// With the windows of another.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let n_hidden = self.n_hidden + other.n_hidden;
        if n_hidden == 0 {
            return *self;
        }
        let (n, m, all) = (self.n_hidden as f64, other.n_hidden as f64, n_hidden as f64);
        let gap = other.mean - self.mean;
        Self {
            n_hidden,
            mean: self.mean + gap * m / all,
            spread: self.spread + other.spread + gap * gap * n * m / all,
            errors: [0, 1, 2].map(|of| self.errors[of] + other.errors[of]),
        }
    }

    /// As numbers to be read; none where all hidden values are the same.
    pub fn fit(&self) -> Option<Fit> {
        (self.spread > 0.).then(|| {
            let [r2, r2_parcel_mean, r2_frame_mean] = self.errors.map(|sum| 1. - sum / self.spread);
            let mse = self.errors[0] / self.n_hidden as f64;
            Fit { n_hidden: self.n_hidden, r2, r2_parcel_mean, r2_frame_mean, mse }
        })
    }

    /// Of windows `(n_parcels, n_frames)`; `hidden` is 1 where a value was not shown.
    fn measured(predicted: &[Vec<f64>], truth: &[Vec<f64>], hidden: &[Vec<f64>]) -> Self {
        let shown = |sums: &mut dyn Iterator<Item = (f64, f64)>| {
            let (sum, n) = sums
                .filter(|(_, hidden)| *hidden == 0.)
                .fold((0., 0.), |(sum, n), it| (sum + it.0, n + 1.));
            (n > 0.).then(|| sum / n)
        };
        let all = truth.iter().flatten().copied().zip(hidden.iter().flatten().copied());
        let overall = shown(&mut all.clone()).unwrap_or(0.);
        let n_frames = truth.first().map_or(0, Vec::len);
        let frames: Vec<f64> = (0..n_frames)
            .map(|at| {
                let column = truth.iter().zip(hidden).map(|(row, hidden)| (row[at], hidden[at]));
                shown(&mut column.into_iter()).unwrap_or(overall)
            })
            .collect();
        let (mut filled, mut values) = (Self::default(), Vec::new());
        for ((predicted, truth), hidden) in predicted.iter().zip(truth).zip(hidden) {
            let row = truth.iter().copied().zip(hidden.iter().copied());
            let of_parcel = shown(&mut row.into_iter()).unwrap_or(overall);
            for at in (0..n_frames).filter(|&at| hidden[at] != 0.) {
                let gaps = [predicted[at], of_parcel, frames[at]].map(|it| it - truth[at]);
                filled.errors.iter_mut().zip(gaps).for_each(|(sum, gap)| *sum += gap * gap);
                values.push(truth[at]);
            }
        }
        filled.n_hidden = values.len();
        filled.mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        filled.spread = values.iter().map(|x| (x - filled.mean).powi(2)).sum();
        filled
    }
}

impl Reconstruction {
    /// Opens encoder and decoder for windows of this size; `mask_ratio` absent: that of the training.
    ///
    /// # Errors
    /// Where the encoder or its weights have no decoder, the windows do not fit, or no patch or every
    /// patch would be hidden.
    pub fn open(
        config: &EncoderConfig,
        input: InputShape,
        mask_ratio: Option<f64>,
    ) -> Result<Self> {
        let EncoderConfig::BrainLm(brainlm) = config else {
            return Err(Error::NoDecoder { encoder: config.name() });
        };
        config.spec(input)?;
        let InputShape::Window { n_frames, n_voxels: n_parcels } = input else {
            unreachable!("BrainLM's spec reads windows")
        };
        let network = &brainlm.network;
        if let Some(path) = brainlm.weights.file(NAME)?
            && !has_decoder(&network.open_weights(path)?)
        {
            let problem = "its weights have no decoder, so what is hidden cannot be filled in";
            let (path, problem) = (path.to_owned(), problem.to_owned());
            return Err(Error::Checkpoint { path, problem });
        }
        let vb = Builder::new(config.base(Precision::default())?, DType::F32);
        let failed = Error::inside(NAME);
        let opened = Network::new(network, vb).map_err(failed)?;
        let (n_tokens, usual) = match network {
            BrainLmNetwork::RegionTime(config) => {
                (n_parcels * (n_frames / config.timepoint_patching_size), config.mask_ratio)
            }
            BrainLmNetwork::Image(config) => (config.n_tokens(), config.mask_ratio),
        };
        let mask_ratio = mask_ratio.unwrap_or(usual);
        let n_shown = (n_tokens as f64 * (1. - mask_ratio)) as usize;
        if !(0. ..1.).contains(&mask_ratio) || n_shown == 0 || n_shown == n_tokens {
            let reason = format!(
                "a share of {mask_ratio} of {n_tokens} patches is hidden, expected some and not all"
            );
            return Err(Error::Setting { encoder: NAME, reason });
        }
        let identity = config.identity()?;
        Ok(Self { network: opened, n_tokens, n_frames, n_parcels, mask_ratio, identity })
    }

    /// The share of patches that is hidden.
    pub fn mask_ratio(&self) -> f64 {
        self.mask_ratio
    }

    /// Settings and weights, hashed.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Hides patches of a window `(n_frames, n_parcels)`, row-major, and fills them in; `seed` and
    /// `name` decide which. Coordinates are in mm.
    ///
    /// # Errors
    /// Where the window holds values that are no numbers, or the network gives such.
    pub fn fill(
        &self,
        window: &[f32],
        coordinates: &[[f64; 3]],
        seed: u64,
        name: &str,
    ) -> Result<Filled> {
        let failed = Error::inside(NAME);
        let init = Init::Uniform { lo: 0., up: 1. };
        let noise = seeded::initial(seed, name, self.n_tokens, init).map_err(failed)?;
        let shape = (self.n_frames, self.n_parcels);
        let filled = Tensor::from_slice(window, shape, &Device::Cpu)
            .and_then(|window| {
                let noise = Tensor::from_vec(noise, (1, self.n_tokens), &Device::Cpu)?;
                self.run(&window.t()?.contiguous()?.unsqueeze(0)?, coordinates, &noise)
            })
            .map_err(failed)?;
        let sums = filled.errors.iter().chain([&filled.spread]);
        if !sums.into_iter().all(|sum| sum.is_finite()) {
            let found = if window.iter().all(|x| x.is_finite()) {
                "what the decoder fills in is"
            } else {
                "the values of the window are"
            };
            let reason = format!("{found} not all finite numbers");
            return Err(Error::Setting { encoder: NAME, reason });
        }
        Ok(filled)
    }

    /// Signals `(1, n_parcels, n_frames)` and noise `(1, n_tokens)`, whose largest values are hidden.
    fn run(&self, signals: &Tensor, places: &[[f64; 3]], noise: &Tensor) -> CandleResult<Filled> {
        let (_, n_parcels, n_frames) = signals.dims3()?;
        let flat: Vec<f32> = places.iter().flatten().map(|&x| x as f32).collect();
        let places = Tensor::from_vec(flat, (places.len(), 3), signals.device())?;
        let order = Masking::new(noise, self.mask_ratio)?;
        let quiet = &mut |_: usize, _: &Tensor| {};
        let (predicted, truth, hidden) = match &self.network {
            Network::RegionTime(encoder, decoder) => {
                let places = places.unsqueeze(0)?;
                let encoded = encoder.encode(signals, &places, Some(&order), quiet)?;
                let predicted = decoder.decode(&encoded, &places, &order, quiet)?;
                let (_, _, n_patches, patch) = predicted.dims4()?;
                let hidden = order.hidden()?.reshape((n_parcels, n_patches, 1))?;
                let hidden = hidden.broadcast_as((n_parcels, n_patches, patch))?.contiguous()?;
                (predicted, signals.clone(), hidden)
            }
            Network::Image(encoder, decoder) => {
                let config = encoder.config();
                let picture = square(signals, &rows(&places)?, config)?;
                let encoded = encoder.encode(&picture, Some(&order), quiet)?;
                let patches = decoder.patches(&encoded, &order)?;
                let predicted = decoder.window(&patches, n_parcels, n_frames)?;
                let (top, left) = config.margins(n_frames)?;
                let truth = picture.narrow(1, top, n_parcels)?.narrow(2, left, n_frames)?;
                (predicted, truth, decoder.hidden(&order, n_parcels, n_frames)?)
            }
        };
        let numbers = |xs: &Tensor| {
            xs.contiguous()?.reshape((n_parcels, n_frames))?.to_dtype(DType::F64)?.to_vec2::<f64>()
        };
        Ok(Filled::measured(&numbers(&predicted)?, &numbers(&truth)?, &numbers(&hidden)?))
    }
}

impl Network {
    fn new(network: &BrainLmNetwork, vb: Builder) -> CandleResult<Self> {
        Ok(match network {
            BrainLmNetwork::RegionTime(config) => Self::RegionTime(
                RegionTime::new(config, vb.clone())?,
                RegionTimeDecoder::new(config, vb)?,
            ),
            BrainLmNetwork::Image(config) => {
                Self::Image(ImageMae::new(config, vb.clone())?, ImageDecoder::new(config, vb)?)
            }
        })
    }
}

#[cfg(test)]
mod tests;
