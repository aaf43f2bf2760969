//! CortexMAE as a brain encoder: what it must be fed, and windows to tokens.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use candle_core::{Result as CandleResult, Tensor};
use nn::{Builder, weights::Frozen};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CortexMae, CortexMaeSize, weights};
use crate::tuning::Blocks;
use crate::{
    BrainEncoder, EncoderSpec, Error, InputShape, InputSpace, Licence, Places, RepetitionTime,
    Result, TokenLayout, TokenOrder, TokenPolicy, Trainable, WeightsSource, WindowLength,
};

const NAME: &str = "cortex_mae";

/// Name and version of the architecture.
pub(crate) const ID: &str = "cortex_mae_parcel_v1";

/// The atlases of the published weights, told apart by how many parcels they have: Schaefer's in the
/// order of 17 networks, BrainLM's, and Schaefer's with Tian's scale III as the file of that name has
/// them.
const ATLASES: [(usize, &str); 3] =
    [(400, "schaefer400_17networks"), (424, "A424"), (450, "schaefer400_17networks_tian50")];

/// Seconds between two frames; its authors resample what is further from it.
const T_R: RepetitionTime = RepetitionTime { t_r_s: 1.0, tolerance_s: 0.1 };

/// Each parcel over the run, then each frame over the parcels, cut off at ±3.
const NORMALISATION: &str = "frame_z";

/// Its weights, its sizes, and which of its tokens are taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CortexMaeConfig {
    /// Where its numbers come from: the authors' `.pth`, safetensors, or a seed.
    pub weights: WeightsSource,
    /// Its sizes; absent: as the weight file has them, or the published ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<CortexMaeSize>,
    /// Which of its weights are trained.
    #[serde(default)]
    pub trainable: Trainable,
    /// Which tokens are taken: the authors' are `cls` and `data_only`, of which there are 1,600.
    #[serde(default = "data_only")]
    pub tokens: TokenPolicy,
}

fn data_only() -> TokenPolicy {
    TokenPolicy::DataOnly
}

impl CortexMaeConfig {
    /// The encoder's sizes, from the settings or from the weight file.
    pub fn size(&self) -> Result<Cow<'_, CortexMaeSize>> {
        if let Some(size) = &self.size {
            return Ok(Cow::Borrowed(size));
        }
        Ok(Cow::Owned(match self.weights.file(NAME)? {
            Some(path) => weights::read(path)?.1,
            None => CortexMaeSize::default(),
        }))
    }

    /// Licence of the weights.
    pub(crate) fn licence(&self) -> Licence {
        self.weights.licence(Licence::non_commercial("CC BY-NC 4.0"))
    }

    pub(crate) fn spec(&self, input: InputShape) -> Result<EncoderSpec> {
        let setting = |reason| Error::Setting { encoder: NAME, reason };
        let InputShape::Window { n_frames, n_voxels } = input else {
            let expected = "windows of the series of an atlas's parcels".to_owned();
            return Err(Error::Input { encoder: NAME, expected, found: input.to_string() });
        };
        let size = self.size()?;
        size.problem().map_or(Ok(()), |problem| Err(setting(problem)))?;
        let (n, learned) = (size.n_parcels, !matches!(self.weights, WeightsSource::Seed(_)));
        let atlas = ATLASES.iter().find(|(n_parcels, _)| *n_parcels == n);
        let layout = TokenLayout::grid(Places::Parcels, n, size.n_times(), TokenOrder::TimeMajor);
        let spec = EncoderSpec {
            name: NAME,
            id: ID.to_owned(),
            input: InputSpace::Parcels {
                atlas: atlas.map(|(_, id)| (*id).to_owned()),
                n,
                coordinates: false,
            },
            window: WindowLength::Exactly(size.n_frames),
            // what was never trained has seen no rate and no scale
            t_r: learned.then_some(T_R),
            normalisations: if learned { vec![NORMALISATION.to_owned()] } else { vec![] },
            vis_dim: size.dim,
            layout: layout.with_class(),
            tokens: self.tokens,
            licence: self.licence(),
            unverified: true,
        };
        spec.check_parcels(n_voxels)?;
        spec.check_window(n_frames)?;
        spec.layout.check(self.tokens).map_err(setting)?;
        Ok(spec)
    }

    /// Opens a weight file, whose tensors must be exactly the network's.
    pub(crate) fn open_weights(&self, path: &Path) -> Result<Frozen> {
        weights::open(path, &*self.size()?)
    }

    /// Changes where the weight file lies.
    pub(crate) fn relocate(&mut self, place: &dyn Fn(&Path) -> PathBuf) {
        self.weights.relocate(place);
    }

    /// The blocks between the embedding, which moves with `all` alone, and the tokens.
    pub(crate) fn blocks(&self) -> Result<Blocks> {
        Ok(Blocks::of(NAME).stack("blocks", self.size()?.depth).then("norm"))
    }
}

/// The network and what it must be fed.
#[derive(Clone, Debug)]
pub struct CortexMaeEncoder {
    network: CortexMae,
    spec: EncoderSpec,
}

impl CortexMaeEncoder {
    /// From weights with the published names.
    pub fn new(config: &CortexMaeConfig, input: InputShape, vb: Builder) -> CandleResult<Self> {
        let spec = config.spec(input).map_err(candle_core::Error::wrap)?;
        let size = config.size().map_err(candle_core::Error::wrap)?;
        Ok(Self { network: CortexMae::new(&size, vb)?, spec })
    }
}

impl BrainEncoder for CortexMaeEncoder {
    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    fn windows(&self, windows: &Tensor, _: Option<&Tensor>) -> CandleResult<Tensor> {
        self.network.encode(windows)
    }
}
