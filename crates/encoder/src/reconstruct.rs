//! How well a masked autoencoder fills in what it is not shown: the test that preprocessing fits its
//! weights.
//!
//! Patches of a window are hidden as in the training, the decoder fills them in, and R² says which share
//! of the hidden values' variance was found. Two predictors that have learned nothing stand beside it.

use std::path::Path;

use candle_core::{DType, Result as CandleResult, Tensor};
use candle_nn::Init;
use nn::{Builder, Device, Precision, seeded};

use crate::brainlm::{
    BrainLmNetwork, ImageDecoder, ImageMae, Masking, RegionTime, RegionTimeDecoder, has_decoder,
    rows, square,
};
use crate::cortex_mae::{CortexMae, CortexMaeDecoder, Visible};
use crate::{CortexMaeSize, EncoderConfig, Error, Filled, InputShape, Result};

/// An encoder with its decoder.
pub struct Reconstruction {
    name: &'static str,
    network: Network,
    device: Device,
    n_tokens: usize,
    n_frames: usize,
    n_parcels: usize,
    mask_ratio: f64,
    identity: String,
}

enum Network {
    RegionTime(RegionTime, RegionTimeDecoder),
    Image(ImageMae, ImageDecoder),
    Parcels(CortexMae, CortexMaeDecoder, CortexMaeSize),
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
        device: &Device,
    ) -> Result<Self> {
        let name = config.name();
        config.spec(input)?;
        let InputShape::Window { n_frames, n_voxels: n_parcels } = input else {
            return Err(Error::NoDecoder { encoder: name });
        };
        let vb = Builder::new(config.base(Precision::default())?, DType::F32).on(device);
        let failed = Error::inside(name);
        let (opened, n_tokens, usual) = match config {
            EncoderConfig::BrainLm(brainlm) => {
                let network = &brainlm.network;
                if let Some(path) = brainlm.weights.file(name)?
                    && !has_decoder(&network.open_weights(path)?)
                {
                    return Err(without_decoder(path));
                }
                let opened = Network::new(network, vb).map_err(failed)?;
                let (n_tokens, usual) = match network {
                    BrainLmNetwork::RegionTime(config) => {
                        let n_patches = n_frames / config.timepoint_patching_size;
                        (n_parcels * n_patches, config.mask_ratio)
                    }
                    BrainLmNetwork::Image(config) => (config.n_tokens(), config.mask_ratio),
                };
                (opened, n_tokens, usual)
            }
            EncoderConfig::CortexMae(mae) => {
                let size = mae.size()?.into_owned();
                let Some(decoder) = size.decoder.clone() else {
                    let file = mae.weights.file(name)?;
                    return Err(file.map_or(Error::NoDecoder { encoder: name }, without_decoder));
                };
                let encoder = CortexMae::new(&size, vb.clone()).map_err(failed)?;
                let opened = CortexMaeDecoder::new(&size, &decoder, vb.pp("decoder"));
                let opened = opened.map_err(failed)?;
                // whole parcels are hidden, as in its training
                (Network::Parcels(encoder, opened, size), n_parcels, decoder.mask_ratio)
            }
            _ => return Err(Error::NoDecoder { encoder: name }),
        };
        let mask_ratio = mask_ratio.unwrap_or(usual);
        let n_shown = (n_tokens as f64 * (1. - mask_ratio)) as usize;
        if !(0. ..1.).contains(&mask_ratio) || n_shown == 0 || n_shown == n_tokens {
            let reason = format!(
                "a share of {mask_ratio} of {n_tokens} patches is hidden, expected some and not all"
            );
            return Err(Error::Setting { encoder: name, reason });
        }
        let identity = config.identity()?;
        let device = device.clone();
        Ok(Self {
            name,
            network: opened,
            device,
            n_tokens,
            n_frames,
            n_parcels,
            mask_ratio,
            identity,
        })
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
    /// Where the window holds values that are no numbers, or the network gives such, or coordinates
    /// are missing that it asks for.
    pub fn fill(
        &self,
        window: &[f32],
        coordinates: &[[f64; 3]],
        seed: u64,
        name: &str,
    ) -> Result<Filled> {
        let failed = Error::inside(self.name);
        let init = Init::Uniform { lo: 0., up: 1. };
        let noise = seeded::initial(seed, name, self.n_tokens, init).map_err(failed)?;
        let shape = (self.n_frames, self.n_parcels);
        let filled = Tensor::from_slice(window, shape, self.device.place())
            .and_then(|window| {
                let noise = Tensor::from_vec(noise, (1, self.n_tokens), self.device.place())?;
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
            return Err(Error::Setting { encoder: self.name, reason });
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
            Network::Parcels(encoder, decoder, size) => {
                let windows = signals.transpose(1, 2)?.contiguous()?;
                let shown = order.hidden()?.affine(-1., 1.)?.reshape((1, 1, n_parcels))?;
                let mask = shown.broadcast_as((1, n_frames, n_parcels))?.contiguous()?;
                let (visible, hidden) = (
                    Visible::of_mask(&mask, size)?,
                    Visible::hidden(&mask, size, decoder.stride())?,
                );
                let seen = (&windows * &mask)?;
                let encoded = encoder.encode(&seen, Some(&visible), quiet)?;
                let predicted = decoder.decode(&encoded, &visible, &hidden, quiet)?;
                let predicted = decoder.pictured(&predicted, &hidden)?;
                // frames between those that are predicted are neither shown nor asked for
                let flags = hidden_frames(&mask, decoder.stride())?;
                let turned = |xs: Tensor| xs.transpose(1, 2)?.contiguous();
                (turned(predicted)?, signals.clone(), turned(flags)?)
            }
        };
        let numbers = |xs: &Tensor| {
            xs.contiguous()?.reshape((n_parcels, n_frames))?.to_dtype(DType::F64)?.to_vec2::<f64>()
        };
        Ok(Filled::measured(&numbers(&predicted)?, &numbers(&truth)?, &numbers(&hidden)?))
    }
}

impl EncoderConfig {
    /// Parcels, and frames of a window of the training, of an encoder whose decoder fills in what is
    /// hidden.
    ///
    /// # Errors
    /// Where it has no such decoder.
    pub fn decoded(&self) -> Result<(usize, usize)> {
        match self {
            Self::BrainLm(config) => Ok((config.network.n_parcels(), config.network.n_frames())),
            Self::CortexMae(config) => {
                let size = config.size()?;
                Ok((size.n_parcels, size.n_frames))
            }
            _ => Err(Error::NoDecoder { encoder: self.name() }),
        }
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

/// 0 where `mask` `(batch, n_frames, n_parcels)` shows a value, 1 where it hides one of the first of
/// every `stride` frames, −1 where it hides another.
fn hidden_frames(mask: &Tensor, stride: usize) -> CandleResult<Tensor> {
    let n_frames = mask.dim(1)?;
    let asked: Vec<f32> =
        (0..n_frames).map(|frame| if frame.is_multiple_of(stride) { 1. } else { -1. }).collect();
    let asked = Tensor::from_vec(asked, (1, n_frames, 1), mask.device())?;
    mask.affine(-1., 1.)?.broadcast_mul(&asked)
}

fn without_decoder(path: &Path) -> Error {
    let problem = "its weights have no decoder, so what is hidden cannot be filled in";
    let (path, problem) = (path.to_owned(), problem.to_owned());
    Error::Checkpoint { path, problem }
}

#[cfg(test)]
mod tests;
