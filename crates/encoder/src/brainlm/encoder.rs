//! Both networks as brain encoders: what they must be fed, and windows to tokens.

use std::path::Path;

use candle_core::{Result as CandleResult, Tensor, bail};
use nn::{Builder, weights::Frozen};
use scan::PadPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::MOST_PATCHES;
use super::square::margins;
use super::{
    BrainLmNetwork, ImageConfig, ImageMae, RegionTime, RegionTimeConfig, row_order, square,
};
use crate::pretrained::Pretrained;
use crate::trainable::Blocks;
use crate::{
    BrainEncoder, EncoderSpec, Error, InputShape, InputSpace, Licence, Places, RepetitionTime,
    Result, TokenLayout, TokenOrder, TokenPolicy, Trainable, WeightsSource, WindowLength,
};

const NAME: &str = "brainlm";

/// Seconds between the volumes of UK Biobank, which the weights were trained on.
const T_R: RepetitionTime = RepetitionTime { t_r_s: 0.735, tolerance_s: 0.1 };

/// Where the layers lie among the published names, and the norm behind them.
const LAYERS: &str = "vit.encoder.layer";
const NORM: &str = "vit.layernorm";

/// Normalisations over time and parcels that the weights may have seen, the canonical one first.
const NORMALISATIONS: [&str; 4] =
    ["robust_paper", "robust_toolkit_bug", "per_recording", "cohort_fit_eps"];

/// Which network, its weights, and which of its tokens are taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BrainLmConfig {
    /// The network and its sizes.
    pub network: BrainLmNetwork,
    /// Where its numbers come from.
    pub weights: WeightsSource,
    /// Which of them are trained.
    #[serde(default)]
    pub trainable: Trainable,
    /// Which tokens are taken.
    #[serde(default = "data_only")]
    pub tokens: TokenPolicy,
    /// Whether tokens are taken after the last norm, as the authors do, or before it.
    #[serde(default)]
    pub features: Features,
}

fn data_only() -> TokenPolicy {
    TokenPolicy::DataOnly
}

/// Where tokens leave the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Features {
    /// After the norm behind the last layer (`last_hidden_state`).
    #[default]
    AfterNorm,
    /// Before it (the last of `hidden_states`).
    BeforeNorm,
}

impl BrainLmConfig {
    pub(crate) fn spec(&self, input: InputShape) -> Result<EncoderSpec> {
        let setting = |reason| Error::Setting { encoder: NAME, reason };
        let problem = self.network.problem();
        problem.map_or(Ok(()), |problem| Err(setting(problem)))?;
        let InputShape::Window { n_frames, n_voxels } = input else {
            let expected = "windows of the series of an atlas's parcels".to_owned();
            return Err(Error::Input { encoder: NAME, expected, found: input.to_string() });
        };
        let (window, layout) = match &self.network {
            BrainLmNetwork::RegionTime(config) => region_time(config, n_frames),
            BrainLmNetwork::Image(config) => image(config, n_frames),
        };
        let n_parcels = self.network.n_parcels();
        let spec = EncoderSpec {
            name: NAME,
            id: self.id(),
            input: InputSpace::Parcels {
                atlas: (n_parcels == A424).then(|| "A424".to_owned()),
                n: n_parcels,
                coordinates: true,
            },
            window,
            t_r: Some(T_R),
            normalisations: NORMALISATIONS.map(str::to_owned).to_vec(),
            vis_dim: self.network.hidden_size(),
            layout,
            tokens: self.tokens,
            licence: self.licence(),
            short_scans: vec![PadPolicy::MeanFrame, PadPolicy::Repeat],
            drops_masked: false,
        };
        spec.check_parcels(n_voxels)?;
        spec.check_window(n_frames)?;
        spec.layout.check(self.tokens).map_err(setting)?;
        Ok(spec)
    }

    /// Name and version of the architecture.
    pub(crate) fn id(&self) -> String {
        format!("brainlm_{}_v1", self.network.name())
    }
}

impl Pretrained for BrainLmConfig {
    fn weights(&self) -> &WeightsSource {
        &self.weights
    }

    fn weights_mut(&mut self) -> &mut WeightsSource {
        &mut self.weights
    }

    fn trainable(&self) -> &Trainable {
        &self.trainable
    }

    fn trainable_mut(&mut self) -> &mut Trainable {
        &mut self.trainable
    }

    fn licence(&self) -> Licence {
        self.weights.licence(Licence::no_derivatives("CC BY-NC-ND 4.0"))
    }

    /// The layers between the embedding, which moves with `all` alone, and the tokens.
    fn blocks(&self) -> Result<Blocks> {
        let blocks = Blocks::of(NAME);
        let blocks = match &self.network {
            BrainLmNetwork::RegionTime(config) => blocks.stack(LAYERS, config.num_hidden_layers),
            // MAE's sines are not learned
            BrainLmNetwork::Image(config) => blocks
                .stack(LAYERS, config.num_hidden_layers)
                .still("vit.embeddings.position_embeddings"),
        };
        Ok(match self.features {
            Features::AfterNorm => blocks.then(NORM),
            Features::BeforeNorm => blocks.still(NORM),
        })
    }

    fn open_weights(&self, path: &Path) -> Result<Frozen> {
        self.network.open_weights(path)
    }
}

/// Parcels of the atlas that the published weights were trained on.
const A424: usize = 424;

impl BrainLmNetwork {
    /// Parcels of a window.
    pub fn n_parcels(&self) -> usize {
        match self {
            Self::RegionTime(config) => config.num_brain_voxels,
            Self::Image(config) => config.n_parcels(),
        }
    }
}

impl BrainLmNetwork {
    /// Frames of a window in the training.
    pub fn n_frames(&self) -> usize {
        match self {
            Self::RegionTime(config) => config.num_timepoints_per_voxel,
            // as all published ones were trained, unless the square is too small
            Self::Image(config) => 200.min(config.image_size / 2 * 2),
        }
    }
}

fn region_time(config: &RegionTimeConfig, n_frames: usize) -> (WindowLength, TokenLayout) {
    let of = config.timepoint_patching_size;
    let window = WindowLength::MultipleOf { of, most: MOST_PATCHES * of };
    let (n_parcels, n_patches) = (config.num_brain_voxels, n_frames / of);
    let layout = TokenLayout::grid(Places::Parcels, n_parcels, n_patches, TokenOrder::PlaceMajor);
    (window, layout.with_class())
}

fn image(config: &ImageConfig, n_frames: usize) -> (WindowLength, TokenLayout) {
    let (size, grid, patch) = (config.image_size, config.grid(), config.patch_size);
    let window = WindowLength::MultipleOf { of: 2, most: size };
    let layout = TokenLayout::grid(Places::Parcels, grid, grid, TokenOrder::PlaceMajor);
    let touched = |n: usize| match size.checked_sub(n) {
        Some(margin) if n > 0 => margin / 2 / patch..(size - margin / 2 - 1) / patch + 1,
        _ => 0..grid,
    };
    let layout = layout.with_class().with_data(touched(config.n_parcels()), touched(n_frames));
    (window, layout)
}

/// One of the two networks. See the module's documentation.
#[derive(Clone, Debug)]
pub struct BrainLm {
    network: Network,
    features: Features,
    spec: EncoderSpec,
}

#[derive(Clone, Debug)]
enum Network {
    RegionTime(RegionTime),
    Image(ImageMae),
}

impl BrainLm {
    /// From weights with the published names.
    pub fn new(config: &BrainLmConfig, input: InputShape, vb: Builder) -> CandleResult<Self> {
        let spec = config.spec(input).map_err(candle_core::Error::wrap)?;
        let network = match &config.network {
            BrainLmNetwork::RegionTime(config) => Network::RegionTime(RegionTime::new(config, vb)?),
            BrainLmNetwork::Image(config) => Network::Image(ImageMae::new(config, vb)?),
        };
        Ok(Self { network, features: config.features, spec })
    }
}

impl BrainEncoder for BrainLm {
    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    fn windows(&self, windows: &Tensor, coordinates: Option<&Tensor>) -> CandleResult<Tensor> {
        let Some(coordinates) = coordinates else {
            bail!("BrainLM reads the parcels' coordinates, and none were given")
        };
        let signals = windows.transpose(1, 2)?.contiguous()?;
        let mut before = None;
        let mut watch = |_: usize, xs: &Tensor| before = Some(xs.clone());
        let after = match &self.network {
            Network::RegionTime(network) => {
                let (n, n_parcels, _) = signals.dims3()?;
                let places = coordinates.to_dtype(signals.dtype())?.unsqueeze(0)?;
                let places = places.broadcast_as((n, n_parcels, 3))?.contiguous()?;
                network.encode(&signals, &places, None, &mut watch)?
            }
            Network::Image(network) => {
                let order = rows(coordinates)?;
                let pictures = square(&signals, &order, network.config())?;
                network.encode(&pictures, None, &mut watch)?
            }
        };
        Ok(match self.features {
            Features::AfterNorm => after,
            Features::BeforeNorm => before.expect("every layer is watched"),
        })
    }
}

/// [`row_order`] of coordinates `(n_parcels, 3)`, as a tensor.
pub(crate) fn rows(coordinates: &Tensor) -> CandleResult<Tensor> {
    let wide = coordinates.to_dtype(candle_core::DType::F64)?.to_vec2::<f64>()?;
    let places: Option<Vec<[f64; 3]>> =
        wide.iter().map(|at| at.as_slice().try_into().ok()).collect();
    let Some(places) = places else {
        bail!("coordinates of shape {:?}, expected (n_parcels, 3)", coordinates.dims())
    };
    let order = row_order(&places);
    let n = order.len();
    Tensor::from_vec(order, n, coordinates.device())
}

impl ImageConfig {
    /// Parcels of a window: those of the A424 atlas, unless the square is too small for them.
    pub fn n_parcels(&self) -> usize {
        A424.min(self.image_size)
    }

    /// Rows and columns around a window of `n_frames`, if it fits.
    pub fn margins(&self, n_frames: usize) -> CandleResult<(usize, usize)> {
        margins(self.n_parcels(), n_frames, self.image_size)
    }
}
