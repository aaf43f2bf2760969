//! The quickstart's encoder: a shared linear map of the masked voxels, one token per frame group.
//!
//! ```text
//! window (n_frames, n_voxels) ─ mean of each group of frames ─ linear ─ + position ─ (n_groups, vis_dim)
//! ```
//! After noise whitening the distance between windows is the Mahalanobis distance of linear
//! discriminant analysis, so a linear map is the right first guess for few windows of one volunteer;
//! attention and the language model do the rest.

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::Init;
use nn::Builder;
use nn::Linear;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    BrainEncoder, EncoderSpec, Error, InputShape, InputSpace, Licence, Result, TokenLayout,
    TokenPolicy, WindowLength,
};

const NAME: &str = "voxel_frames";

/// How many tokens, and how wide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VoxelFramesConfig {
    /// Width of a token (`vis_dim`).
    pub dim: usize,
    /// Groups of consecutive frames, one token each; must divide the window's frames.
    pub n_groups: usize,
}

impl VoxelFramesConfig {
    pub(crate) fn spec(&self, input: InputShape) -> Result<EncoderSpec> {
        let Self { dim, n_groups } = *self;
        if dim == 0 || n_groups == 0 {
            let reason = format!("dim is {dim} and n_groups is {n_groups}, both must be above 0");
            return Err(Error::Setting { encoder: NAME, reason });
        }
        let wrong = || Error::Input {
            encoder: NAME,
            expected: format!("a window of a multiple of {n_groups} frames (n_groups)"),
            found: input.to_string(),
        };
        let InputShape::Window { n_frames, n_voxels } = input else { return Err(wrong()) };
        if n_frames == 0 || !n_frames.is_multiple_of(n_groups) {
            return Err(wrong());
        }
        Ok(EncoderSpec {
            name: NAME,
            id: "voxel_frames_v1".to_owned(),
            input: InputSpace::Voxels { n: n_voxels },
            window: WindowLength::MultipleOf { of: n_groups, most: usize::MAX },
            t_r: None,
            normalisations: Vec::new(),
            vis_dim: dim,
            layout: TokenLayout::plain(n_groups),
            tokens: TokenPolicy::All,
            licence: Licence::named("Apache-2.0"),
            short_scans: Vec::new(),
            drops_masked: false,
        })
    }
}

/// One token per frame group. See the module's documentation.
#[derive(Clone, Debug)]
pub struct VoxelFrames {
    embed: Linear,
    positions: Tensor,
    spec: EncoderSpec,
}

impl VoxelFrames {
    /// Reads `embed.weight` `(dim, n_voxels)`, `embed.bias` and `positions` `(n_groups, dim)`.
    pub fn new(config: &VoxelFramesConfig, input: InputShape, vb: Builder) -> CandleResult<Self> {
        let VoxelFramesConfig { dim, n_groups } = *config;
        let init = Init::Randn { mean: 0., stdev: 0.02 };
        let spec = config.spec(input).map_err(candle_core::Error::wrap)?;
        let InputSpace::Voxels { n: n_voxels } = spec.input else { unreachable!("as just said") };
        Ok(Self {
            embed: Linear::with_bias(n_voxels, dim, vb.pp("embed"))?,
            positions: vb.get((n_groups, dim), "positions", init)?,
            spec,
        })
    }
}

impl BrainEncoder for VoxelFrames {
    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    fn windows(&self, windows: &Tensor, _: Option<&Tensor>) -> CandleResult<Tensor> {
        let (n, n_frames, n_voxels) = windows.dims3()?;
        let n_groups = self.spec.n_tokens();
        let groups = windows.reshape((n, n_groups, n_frames / n_groups, n_voxels))?.mean(2)?;
        groups.apply(&self.embed)?.broadcast_add(&self.positions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EncoderInput;
    use candle_core::DType;
    use nn::gradcheck::{check, sample};
    use nn::weights::Variables;

    const CONFIG: VoxelFramesConfig = VoxelFramesConfig { dim: 3, n_groups: 2 };

    #[test]
    fn gradients_match_finite_differences() -> CandleResult<()> {
        let variables = Variables::default();
        let input = InputShape::Window { n_frames: 4, n_voxels: 5 };
        let encoder = VoxelFrames::new(&CONFIG, input, variables.builder(1, DType::F64))?;
        let windows = sample("windows", (2, 1, 1, 4, 5))?;
        let named = variables.all();
        let mut vars: Vec<_> = named.iter().map(|(name, var)| (name.as_str(), var)).collect();
        assert_eq!(vars.len(), 3);
        vars.push(("windows", &windows));
        check(&vars, || {
            encoder.encode(&EncoderInput::new(windows.as_tensor().clone()))?.values.sqr()?.sum_all()
        })
    }

    #[test]
    fn a_window_that_does_not_split_into_the_groups_is_refused_with_both_numbers() {
        let error =
            CONFIG.spec(InputShape::Window { n_frames: 9, n_voxels: 5 }).unwrap_err().to_string();
        assert!(error.contains("multiple of 2") && error.contains("9 frames"), "{error}");
    }
}
