//! The sizes of a Brain-Semantoks.

use candle_nn::Init;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vit::{BlockSizes, heads_problem};

/// Epsilon of every layer norm.
pub(super) const EPS: f64 = 1e-5;

/// Networks of the published ROIs, in runs of neighbours: Schaefer's 400 in the order of 7 networks (left
/// hemisphere, then right), Tian's 50 of scale III, Buckner's 7 of the cerebellum.
const PUBLISHED: [[usize; 2]; 16] = [
    [0, 31],
    [1, 37],
    [2, 23],
    [3, 22],
    [4, 13],
    [5, 22],
    [6, 52],
    [0, 30],
    [1, 40],
    [2, 23],
    [3, 25],
    [4, 13],
    [5, 30],
    [6, 39],
    [7, 50],
    [8, 7],
];

/// The sizes of the network. The published ones are the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BrainSemantoksSize {
    /// Blocks of the transformer.
    pub depth: usize,
    /// Attention heads of a block; published ones are 64 wide, which no weight file tells.
    pub n_heads: usize,
    /// Width of a block's hidden layer.
    pub hidden: usize,
    /// The network, from 0, of each ROI: runs of neighbours as `[network, ROIs]`.
    pub networks: Vec<[usize; 2]>,
    /// Frames of a window.
    pub n_frames: usize,
    /// Frames of one token.
    pub patch: usize,
    /// The convolutions whose outputs make a token, in the order in which they are joined.
    pub branches: Vec<SemantoksBranch>,
    /// How the frames of a patch become one vector.
    pub pooling: SemantoksPooling,
    /// Whether a layer norm follows.
    pub token_norm: bool,
    /// Whether what a block adds is multiplied by learned numbers.
    pub layer_scale: bool,
    /// Whether there is a token for stretches without data.
    pub mask_token: bool,
    /// The first atlas of its training, whose tokenizers are used for all networks.
    pub atlas: String,
}

impl Default for BrainSemantoksSize {
    fn default() -> Self {
        Self {
            depth: 8,
            n_heads: 12,
            hidden: 3072,
            networks: PUBLISHED.to_vec(),
            n_frames: 100,
            patch: 20,
            branches: SemantoksBranch::published(384),
            pooling: SemantoksPooling::Mean,
            token_norm: true,
            layer_scale: true,
            mask_token: true,
            atlas: "schaefer400".to_owned(),
        }
    }
}

/// One convolution over the frames of a patch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SemantoksBranch {
    /// Every output sees every ROI.
    Dense(DenseBranch),
    /// A kernel a ROI, then a linear map over ROIs.
    Depthwise(DenseBranch),
    /// Long kernels that grow from short ones, several a ROI, then a linear map (Li et al. 2023).
    Structured(StructuredBranch),
}

/// A short kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DenseBranch {
    /// Outputs.
    pub channels: usize,
    /// Frames that the kernel sees.
    pub kernel: usize,
    /// Frames from one of them to the next.
    #[serde(default = "one")]
    pub dilation: usize,
}

fn one() -> usize {
    1
}

/// A long kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StructuredBranch {
    /// Outputs.
    pub channels: usize,
    /// Frames of the shortest kernel.
    pub kernel: usize,
    /// How many kernels are joined: stretched 1, 1, 2, 4, … times.
    pub scales: usize,
}

/// How the frames of a patch become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SemantoksPooling {
    /// Their mean.
    #[default]
    Mean,
    /// The largest of each number.
    Max,
    /// A mean whose weights are learned.
    Attention,
}

impl SemantoksBranch {
    /// The published branches, each of so many outputs.
    pub fn published(channels: usize) -> Vec<Self> {
        vec![
            Self::Dense(DenseBranch { channels, kernel: 3, dilation: 1 }),
            Self::Structured(StructuredBranch { channels, kernel: 4, scales: 3 }),
        ]
    }

    /// Outputs.
    pub fn channels(&self) -> usize {
        match self {
            Self::Dense(branch) | Self::Depthwise(branch) => branch.channels,
            Self::Structured(branch) => branch.channels,
        }
    }

    fn problem(&self, patch: usize) -> Option<String> {
        let numbers = match self {
            Self::Dense(it) | Self::Depthwise(it) => [it.channels, it.kernel, it.dilation],
            Self::Structured(it) => [it.channels, it.kernel, it.scales],
        };
        if numbers.contains(&0) {
            return Some("numbers of a branch must be above 0".to_owned());
        }
        let Self::Structured(branch) = self else { return None };
        let length = branch.length().filter(|length| *length <= patch);
        length
            .is_none()
            .then(|| format!("a structured kernel is longer than a patch of {patch} frames"))
    }
}

impl StructuredBranch {
    /// Frames of the joined kernel.
    pub(super) fn length(&self) -> Option<usize> {
        let doublings = u32::try_from(self.scales.checked_sub(1)?).ok()?;
        2usize.checked_pow(doublings)?.checked_mul(self.kernel)
    }

    /// What the norm of a new joined kernel is on average.
    pub(super) fn expected_norm(&self) -> Init {
        let squares = (0..self.scales).map(|scale| {
            let times = (Self::repeats(scale) * self.kernel) as f64;
            times * 4f64.powi((self.scales - scale - 1) as i32)
        });
        Init::Const(squares.sum::<f64>().sqrt())
    }

    /// How often each number of the kernel of this scale is repeated.
    pub(super) fn repeats(scale: usize) -> usize {
        1 << scale.saturating_sub(1)
    }
}

impl BrainSemantoksSize {
    /// Width of a token (`vis_dim`).
    pub fn dim(&self) -> usize {
        self.branches.iter().map(SemantoksBranch::channels).sum()
    }

    /// ROIs of the signal.
    pub fn n_rois(&self) -> usize {
        self.networks.iter().map(|[_, n]| n).sum()
    }

    /// Networks.
    pub fn n_networks(&self) -> usize {
        self.networks.iter().map(|[network, _]| network + 1).max().unwrap_or(0)
    }

    /// Stretches of time that become tokens.
    pub fn n_times(&self) -> usize {
        self.n_frames / self.patch
    }

    /// The ROIs of each network, in the order of the signal.
    pub fn rois(&self) -> Vec<Vec<u32>> {
        let mut rois = vec![Vec::new(); self.n_networks()];
        let mut next = 0u32;
        for &[network, n] in &self.networks {
            rois[network].extend(next..next + n as u32);
            next += n as u32;
        }
        rois
    }

    /// Runs of neighbours of a map from ROI to network.
    pub fn runs(map: &[usize]) -> Vec<[usize; 2]> {
        let runs = map.chunk_by(|a, b| a == b);
        runs.map(|run| [run[0], run.len()]).collect()
    }

    pub(super) fn blocks(&self) -> BlockSizes {
        let Self { n_heads, hidden, .. } = *self;
        BlockSizes { dim: self.dim(), hidden, n_heads, eps: EPS }
    }

    /// What is wrong with the numbers, in one sentence.
    pub(crate) fn problem(&self) -> Option<String> {
        const MOST: usize = 1 << 16;
        let Self { n_frames, patch, hidden, .. } = *self;
        if [n_frames, patch, hidden].contains(&0) {
            return Some("sizes must be above 0".to_owned());
        }
        if !n_frames.is_multiple_of(patch) {
            return Some(format!("patches of {patch} do not tile a window of {n_frames} frames"));
        }
        let large = |[network, n]: &[usize; 2]| *network >= MOST || *n >= MOST;
        if self.networks.iter().any(large) {
            return Some(format!("networks name numbers above {MOST}"));
        }
        if let Some(empty) = self.rois().iter().position(Vec::is_empty) {
            return Some(format!(
                "network {empty} has no ROI, though one with a higher number has"
            ));
        }
        if self.networks.is_empty() {
            return Some("no ROI has a network".to_owned());
        }
        if !self.dim().is_multiple_of(2) {
            return Some(format!("a token has {} numbers, expected an even number", self.dim()));
        }
        let branch = self.branches.iter().find_map(|branch| branch.problem(patch));
        branch.or_else(|| heads_problem(self.dim(), self.n_heads))
    }
}
