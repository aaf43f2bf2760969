//! Brain-Semantoks as a brain encoder: what it must be fed, and windows to tokens.

use std::borrow::Cow;
use std::path::Path;

use candle_core::{Result as CandleResult, Tensor};
use nn::{Builder, weights::Frozen};
use scan::PadPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BrainSemantoks, BrainSemantoksSize, weights};
use crate::pretrained::Pretrained;
use crate::trainable::Blocks;
use crate::weights::sizes;
use crate::{
    BrainEncoder, EncoderSpec, Error, InputShape, InputSpace, Licence, Places, RepetitionTime,
    Result, TokenLayout, TokenOrder, TokenPolicy, Trainable, WeightsSource, WindowLength,
};

pub(crate) const NAME: &str = "brain_semantoks";

/// Name and version of the architecture.
pub(crate) const ID: &str = "brain_semantoks_v1";

/// The atlases of the published weights, joined: Schaefer's 400 in the order of 7 networks, Tian's 50 of
/// scale III, Buckner's 7 of the cerebellum.
const ATLAS: (usize, &str) = (457, "schaefer400_7networks_tian50_buckner7");

/// Seconds between two frames; Brainmarks resamples what is further from it.
const T_R: RepetitionTime = RepetitionTime { t_r_s: 2.0, tolerance_s: 0.01 };

/// Each ROI over the run.
const NORMALISATION: &str = "parcel_z";

/// Its weights, its sizes, and which of its tokens are taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BrainSemantoksConfig {
    /// Where its numbers come from: the authors' `.pth`, safetensors, or a seed.
    pub weights: WeightsSource,
    /// Its sizes; absent: as the weight file has them, or the published ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<BrainSemantoksSize>,
    /// Which of its weights are trained.
    #[serde(default)]
    pub trainable: Trainable,
    /// Which tokens are taken: the authors' are `cls` and `data_only`, of which there are 45.
    #[serde(default)]
    pub tokens: TokenPolicy,
}

impl BrainSemantoksConfig {
    /// The network's sizes, from the settings or from the weight file.
    pub fn size(&self) -> Result<Cow<'_, BrainSemantoksSize>> {
        let read = |path: &Path| weights::size(path, &BrainSemantoksSize::default().networks);
        sizes(self.size.as_ref(), &self.weights, NAME, read)
    }

    pub(crate) fn spec(&self, input: InputShape) -> Result<EncoderSpec> {
        let setting = |reason| Error::Setting { encoder: NAME, reason };
        let InputShape::Window { n_frames, n_voxels } = input else {
            let expected = "windows of the series of an atlas's parcels".to_owned();
            return Err(Error::Input { encoder: NAME, expected, found: input.to_string() });
        };
        let size = self.size()?;
        size.problem().map_or(Ok(()), |problem| Err(setting(problem)))?;
        let (n, learned) = (size.n_rois(), !matches!(self.weights, WeightsSource::Seed(_)));
        let (networks, times) = (size.n_networks(), size.n_times());
        let layout = TokenLayout::grid(Places::Parcels, networks, times, TokenOrder::PlaceMajor);
        let spec = EncoderSpec {
            name: NAME,
            id: ID.to_owned(),
            input: InputSpace::Parcels {
                atlas: (n == ATLAS.0).then(|| ATLAS.1.to_owned()),
                n,
                coordinates: false,
            },
            window: WindowLength::Exactly(size.n_frames),
            // what was never trained has seen no rate and no scale
            t_r: learned.then_some(T_R),
            normalisations: if learned { vec![NORMALISATION.to_owned()] } else { vec![] },
            vis_dim: size.dim(),
            layout: layout.with_class(),
            tokens: self.tokens,
            licence: self.licence(),
            short_scans: if size.mask_token { vec![PadPolicy::Masked] } else { Vec::new() },
            drops_masked: false,
        };
        spec.check_parcels(n_voxels)?;
        spec.check_window(n_frames)?;
        spec.layout.check(self.tokens).map_err(setting)?;
        Ok(spec)
    }
}

impl Pretrained for BrainSemantoksConfig {
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
        self.weights.licence(Licence::no_derivatives("none stated, so all rights are the authors'"))
    }

    /// The blocks between the tokenizers, which move with `all` alone, and the tokens.
    fn blocks(&self) -> Result<Blocks> {
        let stack = "inter_network_transformer.transformer_blocks";
        let mut blocks = Blocks::of(NAME).stack(stack, self.size()?.depth).then("norm");
        // constants of the structured convolutions
        for ending in ["multiplier", "kernel_norm"] {
            blocks = blocks.still_ending(ending);
        }
        Ok(blocks)
    }

    fn published_name(&self, name: &str) -> String {
        let atlas = self.size().map_or_else(|_| String::new(), |size| size.atlas.clone());
        weights::published_name(name, &atlas)
    }

    fn open_weights(&self, path: &Path) -> Result<Frozen> {
        weights::open(path, &*self.size()?)
    }
}

/// The network and what it must be fed.
#[derive(Clone, Debug)]
pub struct BrainSemantoksEncoder {
    network: BrainSemantoks,
    size: BrainSemantoksSize,
    spec: EncoderSpec,
}

impl BrainSemantoksEncoder {
    /// From weights with the published names.
    pub fn new(
        config: &BrainSemantoksConfig,
        input: InputShape,
        vb: Builder,
    ) -> CandleResult<Self> {
        let spec = config.spec(input).map_err(candle_core::Error::wrap)?;
        let size = config.size().map_err(candle_core::Error::wrap)?.into_owned();
        Ok(Self { network: BrainSemantoks::new(&size, vb)?, size, spec })
    }

    fn encode(&self, windows: &Tensor, hidden: Option<&Tensor>) -> CandleResult<Tensor> {
        self.network.encode(&windows.transpose(1, 2)?.contiguous()?, hidden, &mut |_, _| {})
    }
}

impl BrainEncoder for BrainSemantoksEncoder {
    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    fn windows(&self, windows: &Tensor, _: Option<&Tensor>) -> CandleResult<Tensor> {
        self.encode(windows, None)
    }

    /// Tokens of stretches without a real frame are the mask's, in all networks; they stay.
    fn short_window(
        &self,
        window: &Tensor,
        _: Option<&Tensor>,
        n_real: usize,
    ) -> CandleResult<(Tensor, TokenLayout)> {
        let (n_networks, n_times) = (self.size.n_networks(), self.size.n_times());
        let first = n_real.div_ceil(self.size.patch);
        let of_network = (0..n_times).map(|time| u8::from(time >= first));
        let hidden: Vec<u8> = of_network.collect::<Vec<_>>().repeat(n_networks);
        let hidden = Tensor::from_vec(hidden, (1, n_networks, n_times), window.device())?;
        Ok((self.encode(window, Some(&hidden))?, self.spec.layout.clone()))
    }
}
