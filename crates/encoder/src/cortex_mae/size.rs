//! The sizes of a CortexMAE.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::args::Args;
use crate::vit::{BlockSizes, heads_problem};
use crate::weights::Shapes;

/// Epsilon of every layer norm.
pub(super) const EPS: f64 = 1e-6;

/// The sizes of the network. The published ones (`cortex_mae_parcel`) are the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CortexMaeSize {
    /// Width of a token (`vis_dim`).
    pub dim: usize,
    /// Blocks.
    pub depth: usize,
    /// Attention heads of a block; published ones are 64 wide, which no weight file tells.
    pub n_heads: usize,
    /// Parcels of the atlas.
    pub n_parcels: usize,
    /// Frames of a window.
    pub n_frames: usize,
    /// Frames of one patch.
    pub patch: usize,
    /// Whether a class token comes first.
    pub class_token: bool,
    /// Register tokens after it.
    pub n_registers: usize,
    /// Whether class token and registers have positions of their own.
    pub prefix_positions: bool,
    /// How patches know their place and time.
    pub positions: CortexMaePositions,
    /// The decoder, which embedding a scan does not need.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder: Option<CortexMaeDecoderSize>,
}

impl Default for CortexMaeSize {
    fn default() -> Self {
        Self {
            dim: 768,
            depth: 12,
            n_heads: 12,
            n_parcels: 400,
            n_frames: 16,
            patch: 4,
            class_token: true,
            n_registers: 0,
            prefix_positions: false,
            positions: CortexMaePositions::Separable,
            decoder: None,
        }
    }
}

/// How the patches of a CortexMAE know their place and time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CortexMaePositions {
    /// The sum of a learned vector a time and one a parcel (`sep`).
    #[default]
    Separable,
    /// A learned vector a patch (`abs`).
    Absolute,
    /// Stored sines of time and place, which no training moves (`sincos`).
    Sines,
}

/// The sizes of a CortexMAE's decoder. Those of `cortex_mae_parcel` are the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CortexMaeDecoderSize {
    /// Width of a token.
    pub dim: usize,
    /// Blocks.
    pub depth: usize,
    /// Attention heads of a block; published ones are 32 wide.
    pub n_heads: usize,
    /// What hidden patches attend to.
    pub decoding: CortexMaeDecoding,
    /// Whether visible patches get the decoder's positions too; published ones do not.
    pub visible_positions: bool,
    /// Every how many frames one is predicted.
    pub stride: usize,
    /// The share of parcels that the training hid.
    pub mask_ratio: f64,
}

impl Default for CortexMaeDecoderSize {
    fn default() -> Self {
        Self {
            dim: 512,
            depth: 4,
            n_heads: 16,
            decoding: CortexMaeDecoding::Attn,
            visible_positions: false,
            stride: 2,
            mask_ratio: 0.9,
        }
    }
}

/// What the hidden patches attend to in the decoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CortexMaeDecoding {
    /// Each other and the visible patches, in one sequence (He et al. 2022).
    #[default]
    Attn,
    /// The visible patches alone (Fu et al. 2024).
    Cross,
    /// The registers alone.
    CrossReg,
}

impl CortexMaeSize {
    /// Reads the sizes from the tensors of a weight file and, what they do not tell, from its `args`;
    /// a sentence where they are not a CortexMAE's of parcels.
    pub(super) fn of(shapes: &Shapes, args: &Args) -> Result<Self, String> {
        let foreign = || "its tensors have shapes of no CortexMAE".to_owned();
        let Some(&[dim, patch]) = shapes.get("patch_embed.weight") else { return Err(foreign()) };
        let joint = args.positions.filter(|it| *it != CortexMaePositions::Separable);
        let (positions, n_times, n_parcels) = match (
            shapes.get("pos_embed.weight_temporal"),
            shapes.get("pos_embed.weight_spatial"),
            shapes.get("pos_embed.weight"),
        ) {
            (Some(&[n_times, ..]), Some(&[_, n_parcels, _]), None) => {
                (CortexMaePositions::Separable, n_times, n_parcels)
            }
            (None, None, Some(&[n_patches, _])) => {
                let Some(n_frames) = args.n_frames.filter(|n| *n >= patch && patch > 0) else {
                    return Err(
                        "places and times share one table, and no `args` in the file say how \
                                many frames a window has: name the `size`"
                            .to_owned(),
                    );
                };
                let n_times = n_frames / patch;
                (joint.unwrap_or(CortexMaePositions::Absolute), n_times, n_patches / n_times)
            }
            _ => return Err(foreign()),
        };
        let decoder = Self::decoder_of(shapes, args, dim, patch)?;
        let size = Self {
            dim,
            depth: shapes.count("blocks", "attn.q.weight"),
            n_heads: args.n_heads.unwrap_or((dim / 64).max(1)),
            n_parcels,
            n_frames: n_times * patch,
            patch,
            class_token: shapes.get("cls_token").is_some(),
            n_registers: shapes.get("reg_token").and_then(|it| it.get(1)).copied().unwrap_or(0),
            prefix_positions: ["cls_token_pos", "reg_token_pos"]
                .iter()
                .any(|name| shapes.get(name).is_some()),
            positions,
            decoder,
        };
        size.agrees(args)?;
        Ok(size)
    }

    fn decoder_of(
        shapes: &Shapes,
        args: &Args,
        dim: usize,
        patch: usize,
    ) -> Result<Option<CortexMaeDecoderSize>, String> {
        let Some(&[.., width]) = shapes.get("decoder.mask_token") else { return Ok(None) };
        // a part of a decoder is none
        let Some(&[n_predicted, _]) = shapes.get("decoder.head.weight") else { return Ok(None) };
        if n_predicted == 0 || !patch.is_multiple_of(n_predicted) {
            return Err(format!(
                "its decoder predicts {n_predicted} numbers of a patch of {patch} frames"
            ));
        }
        let crosses = shapes.get("decoder.proj.weight").is_none();
        let decoding = match (args.decoding, crosses) {
            (Some(said), _) => said,
            (None, false) => CortexMaeDecoding::Attn,
            (None, true) if shapes.get("reg_token").is_none() => CortexMaeDecoding::Cross,
            (None, true) => {
                return Err(
                    "its decoder attends to patches or to registers, and no `args` in the \
                            file say to which: name the `size`"
                        .to_owned(),
                );
            }
        };
        let keys = shapes.get("decoder.blocks.0.attn.k.weight").and_then(|it| it.get(1));
        if crosses != (decoding != CortexMaeDecoding::Attn)
            || keys.is_some_and(|keys| crosses && *keys != dim)
        {
            return Err(
                "its decoder's tensors do not fit what `args` say of its decoding".to_owned()
            );
        }
        Ok(Some(CortexMaeDecoderSize {
            dim: width,
            depth: shapes.count("decoder.blocks", "attn.q.weight"),
            n_heads: args.decoder_heads.unwrap_or((width / 32).max(1)),
            decoding,
            visible_positions: args.decode_positions.unwrap_or(false),
            stride: patch / n_predicted,
            mask_ratio: args.mask_ratio.unwrap_or(0.9),
        }))
    }

    /// Refuses `args` that contradict the tensors.
    fn agrees(&self, args: &Args) -> Result<(), String> {
        let numbers = [
            ("num_frames", args.n_frames, self.n_frames),
            ("t_patch_size", args.patch, self.patch),
            ("img_size", args.n_parcels, self.n_parcels),
            ("reg_tokens", args.n_registers, self.n_registers),
        ];
        for (name, said, found) in numbers {
            if let Some(said) = said.filter(|said| *said != found) {
                return Err(format!("`args` say {name} {said}, its tensors say {found}"));
            }
        }
        match args.positions {
            Some(said)
                if (said == CortexMaePositions::Separable)
                    != (self.positions == CortexMaePositions::Separable) =>
            {
                Err("`args` say another `pos_embed` than its tensors".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Patches of a parcel in a window.
    pub fn n_times(&self) -> usize {
        self.n_frames / self.patch
    }

    /// Class token and registers.
    pub fn n_prefix(&self) -> usize {
        usize::from(self.class_token) + self.n_registers
    }

    pub(super) fn blocks(&self) -> BlockSizes {
        let Self { dim, n_heads, .. } = *self;
        BlockSizes { dim, hidden: 4 * dim, n_heads, eps: EPS }
    }

    /// What is wrong with the numbers, in one sentence.
    pub(crate) fn problem(&self) -> Option<String> {
        let Self { dim, n_heads, n_parcels, n_frames, patch, .. } = *self;
        if [dim, n_parcels, n_frames, patch].contains(&0) {
            return Some("sizes must be above 0".to_owned());
        }
        if !n_frames.is_multiple_of(patch) {
            return Some(format!("patches of {patch} do not tile a window of {n_frames} frames"));
        }
        heads_problem(dim, n_heads).or_else(|| self.decoder.as_ref()?.problem(self))
    }
}

impl CortexMaeDecoderSize {
    pub(super) fn blocks(&self) -> BlockSizes {
        let Self { dim, n_heads, .. } = *self;
        BlockSizes { dim, hidden: 4 * dim, n_heads, eps: EPS }
    }

    fn problem(&self, size: &CortexMaeSize) -> Option<String> {
        if self.stride == 0 || !size.patch.is_multiple_of(self.stride) {
            let (stride, patch) = (self.stride, size.patch);
            return Some(format!("decoder.stride {stride} does not divide a patch of {patch}"));
        }
        if self.decoding == CortexMaeDecoding::CrossReg && size.n_registers == 0 {
            return Some("the decoder attends to registers, of which there are none".to_owned());
        }
        heads_problem(self.dim, self.n_heads).map(|problem| format!("decoder: {problem}"))
    }
}
