//! SwiFT as a brain encoder: what it must be fed, and windows to tokens.

use std::borrow::Cow;
use std::path::Path;

use candle_core::{Result as CandleResult, Tensor};
use nn::{Builder, weights::Frozen};
use scan::PadPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Swift, SwiftSize, weights};
use crate::pretrained::Pretrained;
use crate::trainable::Blocks;
use crate::weights::sizes;
use crate::{
    BrainEncoder, EncoderSpec, Error, InputShape, InputSpace, Licence, Places, RepetitionTime,
    Result, TokenLayout, TokenOrder, TokenPolicy, Trainable, WeightsSource, WindowLength,
};

pub(crate) const NAME: &str = "swift";

/// Name and version of the architecture.
pub(crate) const ID: &str = "swift_v1";

/// How volumes are put on one scale: one mean and one spread for a whole run, background its smallest
/// value.
const NORMALISATION: &str = "global_z";

/// Seconds between two frames: 0.72 to 0.8 in its training, 0.8 where Brainmarks resamples.
const T_R: RepetitionTime = RepetitionTime { t_r_s: 0.8, tolerance_s: 0.1 };

/// Its weights, its sizes, and which of its tokens are taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SwiftConfig {
    /// Where its numbers come from: the authors' `.ckpt`, safetensors, or a seed.
    pub weights: WeightsSource,
    /// Its sizes; absent: as the checkpoint has them, or those of the authors' pre-training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<SwiftSize>,
    /// Which of its weights are trained.
    #[serde(default)]
    pub trainable: Trainable,
    /// Which tokens are taken: the authors' are `all`, of which there are 160.
    #[serde(default)]
    pub tokens: TokenPolicy,
}

impl SwiftConfig {
    /// The network's sizes, from the settings or from the weight file.
    pub fn size(&self) -> Result<Cow<'_, SwiftSize>> {
        sizes(self.size.as_ref(), &self.weights, NAME, weights::size)
    }

    pub(crate) fn spec(&self, input: InputShape) -> Result<EncoderSpec> {
        let setting = |reason| Error::Setting { encoder: NAME, reason };
        let InputShape::Volume { n_frames, grid } = input else {
            let expected = "windows of whole volumes".to_owned();
            return Err(Error::Input { encoder: NAME, expected, found: input.to_string() });
        };
        let size = self.size()?;
        size.problem().map_or(Ok(()), |problem| Err(setting(problem)))?;
        let learned = !matches!(self.weights, WeightsSource::Seed(_));
        let n_places = size.tokens(size.n_stages() - 1).iter().product();
        let layout =
            TokenLayout::grid(Places::Space, n_places, size.n_frames, TokenOrder::PlaceMajor);
        let spec = EncoderSpec {
            name: NAME,
            id: ID.to_owned(),
            input: InputSpace::Volume { shape: size.grid, axes: "LAS".to_owned() },
            window: WindowLength::Exactly(size.n_frames),
            // what was never trained has seen no rate and no scale
            t_r: learned.then_some(T_R),
            normalisations: if learned { vec![NORMALISATION.to_owned()] } else { vec![] },
            vis_dim: size.dim(),
            layout,
            tokens: self.tokens,
            licence: self.licence(),
            short_scans: vec![PadPolicy::MeanFrame],
            drops_masked: false,
        };
        if grid != size.grid {
            let found = input.to_string();
            return Err(Error::Input { encoder: NAME, expected: spec.input.to_string(), found });
        }
        spec.check_window(n_frames)?;
        spec.layout.check(self.tokens).map_err(setting)?;
        Ok(spec)
    }
}

impl Pretrained for SwiftConfig {
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
        self.weights.licence(Licence::named("Apache-2.0"))
    }

    /// The blocks between the embedding, which moves with `all` alone, and the tokens.
    fn blocks(&self) -> Result<Blocks> {
        let size = self.size()?;
        Ok(size.depths.iter().enumerate().fold(Blocks::of(NAME), |blocks, (stage, depth)| {
            let blocks = blocks.stack(&format!("layers.{stage}.blocks"), *depth);
            let blocks = blocks.then(&format!("layers.{stage}.downsample"));
            // positions of a stage come after the blocks of the one before
            blocks.then(&format!("pos_embeds.{}", stage + 1))
        }))
    }

    fn open_weights(&self, path: &Path) -> Result<Frozen> {
        weights::open(path, &*self.size()?)
    }
}

/// The network and what it must be fed.
#[derive(Clone, Debug)]
pub struct SwiftEncoder {
    network: Swift,
    spec: EncoderSpec,
}

impl SwiftEncoder {
    /// From weights with the published names.
    pub fn new(config: &SwiftConfig, input: InputShape, vb: Builder) -> CandleResult<Self> {
        let spec = config.spec(input).map_err(candle_core::Error::wrap)?;
        let size = config.size().map_err(candle_core::Error::wrap)?;
        Ok(Self { network: Swift::new(&size, vb)?, spec })
    }
}

impl BrainEncoder for SwiftEncoder {
    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    fn windows(&self, windows: &Tensor, _: Option<&Tensor>) -> CandleResult<Tensor> {
        self.network.encode(windows, &mut |_, _| {})
    }
}
