//! CortexMAE as a brain encoder: what it must be fed, and windows to tokens.

use std::borrow::Cow;
use std::path::Path;

use candle_core::{Result as CandleResult, Tensor};
use nn::{Builder, weights::Frozen};
use scan::PadPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::args::SPACES;
use super::{CortexMae, CortexMaePositions, CortexMaeSize, Visible, weights};
use crate::pretrained::Pretrained;
use crate::trainable::Blocks;
use crate::weights::sizes;
use crate::{
    BrainEncoder, EncoderSpec, Error, InputShape, InputSpace, Licence, Places, RepetitionTime,
    Result, TokenLayout, TokenOrder, TokenPolicy, Trainable, WeightsSource, WindowLength,
};

pub(crate) const NAME: &str = "cortex_mae";

/// Name and version of the architecture.
pub(crate) const ID: &str = "cortex_mae_parcel_v1";

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
        let read = |path: &Path| Ok(weights::read(path)?.1);
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
        let (n, learned) = (size.n_parcels, !matches!(self.weights, WeightsSource::Seed(_)));
        let atlas = SPACES.iter().find(|(_, n_parcels, _)| *n_parcels == n);
        let layout = TokenLayout::grid(Places::Parcels, n, size.n_times(), TokenOrder::TimeMajor);
        let layout = if size.class_token { layout.with_class() } else { layout };
        let spec = EncoderSpec {
            name: NAME,
            id: ID.to_owned(),
            input: InputSpace::Parcels {
                atlas: atlas.map(|(.., id)| (*id).to_owned()),
                n,
                coordinates: false,
            },
            window: WindowLength::Exactly(size.n_frames),
            // what was never trained has seen no rate and no scale
            t_r: learned.then_some(T_R),
            normalisations: if learned { vec![NORMALISATION.to_owned()] } else { vec![] },
            vis_dim: size.dim,
            layout: layout.with_registers(size.n_registers),
            tokens: self.tokens,
            licence: self.licence(),
            short_scans: vec![PadPolicy::Masked],
            drops_masked: true,
        };
        spec.check_parcels(n_voxels)?;
        spec.check_window(n_frames)?;
        spec.layout.check(self.tokens).map_err(setting)?;
        Ok(spec)
    }
}

impl Pretrained for CortexMaeConfig {
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
        self.weights.licence(Licence::non_commercial("CC BY-NC 4.0"))
    }

    /// The blocks between the embedding, which moves with `all` alone, and the tokens; stored sines and
    /// the decoder stay.
    fn blocks(&self) -> Result<Blocks> {
        let size = self.size()?;
        let blocks = Blocks::of(NAME).stack("blocks", size.depth).then("norm").still("decoder");
        let sines = size.positions == CortexMaePositions::Sines;
        Ok(if sines { blocks.still("pos_embed") } else { blocks })
    }

    fn open_weights(&self, path: &Path) -> Result<Frozen> {
        weights::open(path, &*self.size()?)
    }
}

/// The network and what it must be fed.
#[derive(Clone, Debug)]
pub struct CortexMaeEncoder {
    network: CortexMae,
    size: CortexMaeSize,
    spec: EncoderSpec,
}

impl CortexMaeEncoder {
    /// From weights with the published names.
    pub fn new(config: &CortexMaeConfig, input: InputShape, vb: Builder) -> CandleResult<Self> {
        let spec = config.spec(input).map_err(candle_core::Error::wrap)?;
        let size = config.size().map_err(candle_core::Error::wrap)?;
        Ok(Self { network: CortexMae::new(&size, vb)?, size: size.into_owned(), spec })
    }
}

impl BrainEncoder for CortexMaeEncoder {
    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    fn windows(&self, windows: &Tensor, _: Option<&Tensor>) -> CandleResult<Tensor> {
        self.network.encode(windows, None, &mut |_, _| {})
    }

    /// Patches without a real frame are left out; their tokens are zeros.
    fn short_window(
        &self,
        window: &Tensor,
        _: Option<&Tensor>,
        n_real: usize,
    ) -> CandleResult<(Tensor, TokenLayout)> {
        let visible = Visible::first(n_real, &self.size);
        let tokens = self.network.encode(window, Some(&visible), &mut |_, _| {})?;
        let (n, dim) = (self.size.n_parcels, self.spec.vis_dim);
        let n_times = visible.ids()[0].len() / n;
        let missing = self.spec.layout.n_all() - tokens.dim(1)?;
        let nothing = Tensor::zeros((1, missing, dim), tokens.dtype(), tokens.device())?;
        let layout = self.spec.layout.clone().with_data(0..n, 0..n_times);
        Ok((Tensor::cat(&[&tokens, &nothing], 1)?, layout))
    }
}
