//! BrainMT as a brain encoder: what it must be fed, and windows to tokens.

use std::borrow::Cow;
use std::path::Path;

use candle_core::{Result as CandleResult, Tensor};
use nn::{Builder, weights::Frozen};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::weights::{self, NAME};
use super::{BrainMt, BrainMtSize, cells};
use crate::pretrained::Pretrained;
use crate::trainable::Blocks;
use crate::weights::sizes;
use crate::{
    BrainEncoder, EncoderSpec, Error, InputShape, InputSpace, Licence, Places, Result, TokenLayout,
    TokenOrder, TokenPolicy, Trainable, WeightsSource, WindowLength,
};

/// How volumes are put on one scale: one mean and one spread for a whole run, background its
/// smallest value.
const NORMALISATION: &str = "global_z";

/// Name and version of the architecture.
pub(crate) const ID: &str = "brainmt_v1";

/// Its weights, its sizes, and which of its tokens are taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BrainMtConfig {
    /// Where its numbers come from.
    pub weights: WeightsSource,
    /// Its sizes; absent: as the weight file has them, with two heads, or the published ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<BrainMtSize>,
    /// Which of its weights are trained.
    #[serde(default)]
    pub trainable: Trainable,
    /// Which tokens are taken: the authors' are `cls` and `data_only`, of which there are 50,400.
    #[serde(default = "time_mean")]
    pub tokens: TokenPolicy,
}

fn time_mean() -> TokenPolicy {
    TokenPolicy::TimeMean
}

impl BrainMtConfig {
    /// The network's sizes, from the settings or from the weight file.
    pub fn size(&self) -> Result<Cow<'_, BrainMtSize>> {
        let read = |path: &Path| Ok(weights::read(path, BrainMtSize::default().n_heads)?.1);
        sizes(self.size.as_ref(), &self.weights, NAME, read)
    }

    pub(crate) fn spec(&self, input: InputShape) -> Result<EncoderSpec> {
        let setting = |reason| Error::Setting { encoder: NAME, reason };
        let size = self.size()?;
        size.problem().map_or(Ok(()), |problem| Err(setting(problem)))?;
        let wrong = |expected| Error::Input { encoder: NAME, expected, found: input.to_string() };
        let InputShape::Volume { n_frames, grid } = input else {
            return Err(wrong("windows of whole volumes".to_owned()));
        };
        if cells(grid) != size.n_cells {
            let n = size.n_cells;
            return Err(wrong(format!("volumes of {n} cells, each 16 voxels along a side")));
        }
        let n_times = size.n_frames;
        let layout =
            TokenLayout::grid(Places::Space, size.n_cells, n_times, TokenOrder::PlaceMajor);
        let spec = EncoderSpec {
            name: NAME,
            id: ID.to_owned(),
            input: InputSpace::Volume { shape: grid, axes: "LAS".to_owned() },
            window: WindowLength::Exactly(n_times),
            t_r: None,
            normalisations: vec![NORMALISATION.to_owned()],
            vis_dim: size.embed_dim,
            layout: layout.with_class(),
            tokens: self.tokens,
            licence: self.licence(),
            short_scans: Vec::new(),
            drops_masked: false,
        };
        spec.check_window(n_frames)?;
        spec.layout.check(self.tokens).map_err(setting)?;
        Ok(spec)
    }
}

impl Pretrained for BrainMtConfig {
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
        self.weights.licence(Licence::named("of the weights' owner: none are published"))
    }

    /// The layers of the scan, then the blocks of attention, which share a norm and an MLP. The head
    /// says nothing about tokens.
    fn blocks(&self) -> Result<Blocks> {
        let [n_layers, n_blocks] = self.size()?.depth;
        let blocks = Blocks::of(NAME).stack("layers", n_layers).then("norm_f");
        Ok(blocks.stack("blocks", n_blocks).then("norm").then("mlp").still("head"))
    }

    fn open_weights(&self, path: &Path) -> Result<Frozen> {
        weights::open(path, &*self.size()?)
    }
}

/// The network and what it must be fed.
#[derive(Clone, Debug)]
pub struct BrainMtEncoder {
    network: BrainMt,
    spec: EncoderSpec,
}

impl BrainMtEncoder {
    /// From weights with the published names.
    pub fn new(config: &BrainMtConfig, input: InputShape, vb: Builder) -> CandleResult<Self> {
        let spec = config.spec(input).map_err(candle_core::Error::wrap)?;
        let size = config.size().map_err(candle_core::Error::wrap)?;
        Ok(Self { network: BrainMt::new(&size, vb)?, spec })
    }
}

impl BrainEncoder for BrainMtEncoder {
    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    fn windows(&self, windows: &Tensor, _: Option<&Tensor>) -> CandleResult<Tensor> {
        // the network reads y before x
        let frames = windows.transpose(2, 3)?.contiguous()?;
        self.network.encode(&frames, &mut |_, _| {})
    }
}
