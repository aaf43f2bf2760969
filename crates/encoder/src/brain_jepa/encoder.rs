//! Brain-JEPA as a brain encoder: what it must be fed, and windows to tokens.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use candle_core::{Result as CandleResult, Tensor};
use nn::{Builder, weights::Frozen};
use scan::PadPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::size::GRADIENTS;
use super::{BrainJepa, BrainJepaSize, weights};
use crate::pretrained::Pretrained;
use crate::trainable::Blocks;
use crate::weights::sizes;
use crate::{
    BrainEncoder, EncoderSpec, Error, InputShape, InputSpace, Licence, Places, RepetitionTime,
    Result, TokenLayout, TokenOrder, TokenPolicy, Trainable, WeightsSource, WindowLength,
};

pub(crate) const NAME: &str = "brain_jepa";
pub(crate) const ID: &str = "brain_jepa_v1";

/// The atlas of the published weights: the 50 parcels of Tian's scale III, then Schaefer's 400 in the
/// order of 17 networks, as its data loader joins them.
const ATLAS: (usize, &str) = (450, "tian50_schaefer400_17networks");

/// Seconds between two frames: about every third volume, as the authors' data loaders pick them, of UK
/// Biobank (0.735 s) and of HCP-Aging (0.8 s).
const T_R: RepetitionTime = RepetitionTime { t_r_s: 2.2, tolerance_s: 0.25 };

/// What its authors fine-tune with, and what they pretrained with.
const NORMALISATIONS: [&str; 2] = ["global_z", "robust_means"];

/// Its weights, its sizes, and which of its tokens are taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BrainJepaConfig {
    /// Where its numbers come from: the authors' `.pth.tar`, safetensors, or a seed.
    pub weights: WeightsSource,
    /// The table of the parcels' places along the gradients, `(n_parcels, n_gradients)` without a
    /// header, which the authors keep beside the weights (`gradient_mapping_450.csv`); relative to the
    /// file that names it. Weights from a seed draw theirs, a package names its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradients: Option<PathBuf>,
    /// Its sizes; absent: as the weight file has them, or the published ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<BrainJepaSize>,
    /// Which of its weights are trained.
    #[serde(default)]
    pub trainable: Trainable,
    /// Which tokens are taken: the authors' are `all`, of which there are 4,500.
    #[serde(default)]
    pub tokens: TokenPolicy,
}

impl BrainJepaConfig {
    /// The network's sizes, from the settings or from the weight file.
    pub fn size(&self) -> Result<Cow<'_, BrainJepaSize>> {
        let read = |path: &Path| Ok(weights::read(path, self.gradients.as_deref())?.1);
        sizes(self.size.as_ref(), &self.weights, NAME, read)
    }

    pub(crate) fn spec(&self, input: InputShape) -> Result<EncoderSpec> {
        let setting = |reason| Error::Setting { encoder: NAME, reason };
        let learned = !matches!(self.weights, WeightsSource::Seed(_));
        if self.gradients.is_some() && !learned {
            let reason = "`gradients` belong to a weight file; weights from a seed draw theirs";
            return Err(setting(reason.to_owned()));
        }
        let InputShape::Window { n_frames, n_voxels } = input else {
            let expected = "windows of the series of an atlas's parcels".to_owned();
            return Err(Error::Input { encoder: NAME, expected, found: input.to_string() });
        };
        let size = self.size()?;
        size.problem().map_or(Ok(()), |problem| Err(setting(problem)))?;
        let n = size.n_parcels;
        let layout = TokenLayout::grid(Places::Parcels, n, size.n_times(), TokenOrder::PlaceMajor);
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
            normalisations: if learned {
                NORMALISATIONS.map(str::to_owned).to_vec()
            } else {
                vec![]
            },
            vis_dim: size.dim,
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
}

impl Pretrained for BrainJepaConfig {
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

    /// The blocks between the embedding, which moves with `all` alone, and the tokens; the parcels stay
    /// where they are.
    fn blocks(&self) -> Result<Blocks> {
        Ok(Blocks::of(NAME).stack("blocks", self.size()?.depth).then("norm").still(GRADIENTS))
    }

    fn open_weights(&self, path: &Path) -> Result<Frozen> {
        weights::open(path, self.gradients.as_deref(), &*self.size()?)
    }
}

/// The network and what it must be fed.
#[derive(Clone, Debug)]
pub struct BrainJepaEncoder {
    network: BrainJepa,
    spec: EncoderSpec,
}

impl BrainJepaEncoder {
    /// From weights with the published names, and `gradients`.
    pub fn new(config: &BrainJepaConfig, input: InputShape, vb: Builder) -> CandleResult<Self> {
        let spec = config.spec(input).map_err(candle_core::Error::wrap)?;
        let size = config.size().map_err(candle_core::Error::wrap)?;
        Ok(Self { network: BrainJepa::new(&size, vb)?, spec })
    }
}

impl BrainEncoder for BrainJepaEncoder {
    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    fn windows(&self, windows: &Tensor, _: Option<&Tensor>) -> CandleResult<Tensor> {
        self.network.encode(&windows.transpose(1, 2)?.contiguous()?, &mut |_, _| {})
    }
}
