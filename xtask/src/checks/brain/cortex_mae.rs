//! Cases recorded from CortexMAE's own classes: the encoder of parcels, and its reconstruction.

use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};
use encoder::cortex_mae::{CortexMae, CortexMaeDecoder, Visible};
use encoder::{CortexMaeDecoderSize, CortexMaeDecoding, CortexMaePositions, CortexMaeSize};
use nn::weights::Frozen;

use super::case::Case;
use crate::checks::Worst;

/// The kinds that this file knows.
pub(in crate::checks) const KINDS: [&str; 2] = ["cortex_mae", "cortex_mae_reconstruction"];

/// Compares everything that a case of one of [`KINDS`] records.
pub(in crate::checks) fn run(folder: &Path, kind: &str, device: &nn::Device) -> Result<Worst> {
    let mut case = Case::open(folder, device)?;
    let size = size(&case)?;
    let weights = Case::weights(folder, KINDS[0], &size)?;
    let network = CortexMae::new(&size, weights.builder(DType::F32).on(device))?;
    let windows = case.get("input.windows")?;
    if kind == "cortex_mae" {
        let mask = case.io.contains("input.mask").then(|| case.get("input.mask")).transpose()?;
        case.encoded(&network, &size, &windows, mask.as_ref())?;
    } else {
        case.reconstructed(&network, &size, &windows, &weights)?;
    }
    case.all_compared()
}

/// The sizes that the case's own `config` says, under the original's names.
fn size(case: &Case) -> Result<CortexMaeSize> {
    let config = &case.facts["config"];
    for (key, usual) in [("in_chans", 1), ("patch_size", 1), ("mlp_ratio", 4), ("pred_edge_pad", 0)]
    {
        let found = config[key].as_f64();
        if found.is_some_and(|found| found != f64::from(usual)) {
            bail!("config.{key} is {}, this network is built for {usual}", config[key]);
        }
    }
    let flag = |key: &str, usual: bool| config[key].as_bool().unwrap_or(usual);
    let positions = match config["pos_embed"].as_str() {
        Some("sep") => CortexMaePositions::Separable,
        None | Some("abs") => CortexMaePositions::Absolute,
        Some("sincos") => CortexMaePositions::Sines,
        Some(other) => bail!("config.pos_embed is {other}"),
    };
    let decoding = match config["decoding"].as_str() {
        None | Some("attn") => CortexMaeDecoding::Attn,
        Some("cross") => CortexMaeDecoding::Cross,
        Some("crossreg") => CortexMaeDecoding::CrossReg,
        Some(other) => bail!("config.decoding is {other}"),
    };
    let n_parcels = config["img_size"][0].as_u64().context("case.json has no config.img_size")?;
    let decoder = CortexMaeDecoderSize {
        dim: case.number("decoder_embed_dim")?,
        depth: case.number("decoder_depth")?,
        n_heads: case.number("decoder_num_heads")?,
        decoding,
        visible_positions: !flag("no_decode_pos", false),
        stride: case.number("t_pred_stride").unwrap_or(1),
        ..CortexMaeDecoderSize::default()
    };
    Ok(CortexMaeSize {
        dim: case.number("embed_dim")?,
        depth: case.number("depth")?,
        n_heads: case.number("num_heads")?,
        n_parcels: n_parcels as usize,
        n_frames: case.number("num_frames")?,
        patch: case.number("t_patch_size")?,
        class_token: flag("class_token", true),
        n_registers: case.number("reg_tokens").unwrap_or(0),
        prefix_positions: !flag("no_embed_class", false),
        positions,
        decoder: Some(decoder),
    })
}

impl Case {
    /// The encoder; where a mask is given, of what it shows.
    fn encoded(
        &mut self,
        network: &CortexMae,
        size: &CortexMaeSize,
        windows: &Tensor,
        mask: Option<&Tensor>,
    ) -> Result<Tensor> {
        // one mask may stand for all parcels or windows
        let mask = mask.map(|mask| mask.broadcast_as(windows.shape())?.contiguous()).transpose()?;
        let mask = mask.as_ref();
        let visible = mask.map(|mask| Visible::of_mask(mask, size)).transpose()?;
        let seen = match mask {
            Some(mask) => windows.broadcast_mul(mask)?,
            None => windows.clone(),
        };
        let mut states = Vec::new();
        let tokens =
            network.encode(&seen, visible.as_ref(), &mut |_, xs| states.push(xs.clone()))?;
        for (idx, state) in states.iter().enumerate() {
            let name = idx.checked_sub(1).map(|block| format!("output.block.{block}"));
            self.compare(name.as_deref().unwrap_or("output.tokens.embedded"), state)?;
        }
        self.compare("output.tokens.final", &tokens)?;
        let class = usize::from(size.class_token);
        let part = |first, n| tokens.narrow(1, first, n);
        if class > 0 {
            self.compare("output.cls", &part(0, 1)?)?;
        }
        if size.n_registers > 0 {
            self.compare("output.registers", &part(class, size.n_registers)?)?;
        }
        let n_prefix = size.n_prefix();
        self.compare("output.patches", &part(n_prefix, tokens.dim(1)? - n_prefix)?)?;
        if let Some(visible) = &visible {
            self.ids("output.visible_ids", visible)?;
        }
        Ok(tokens)
    }

    fn ids(&mut self, name: &str, found: &Visible) -> Result<()> {
        if self.io.contains(name) {
            let recorded = self.io.stored(name)?.to_tensor(DType::U32)?.to_vec2::<u32>()?;
            self.equal(name, found.ids(), recorded.as_slice());
        }
        Ok(())
    }

    fn reconstructed(
        &mut self,
        network: &CortexMae,
        size: &CortexMaeSize,
        windows: &Tensor,
        weights: &Frozen,
    ) -> Result<()> {
        let mask = self.get("input.visible_mask")?.broadcast_as(windows.shape())?.contiguous()?;
        let tokens = self.encoded(network, size, windows, Some(&mask))?;
        let sizes = size.decoder.as_ref().context("the case has a decoder")?;
        let decoder = CortexMaeDecoder::new(
            size,
            sizes,
            weights.builder(DType::F32).on(&self.device).pp("decoder"),
        )?;
        let visible = Visible::of_mask(&mask, size)?;
        let hidden = Visible::hidden(&mask, size, sizes.stride)?;
        self.ids("output.pred_ids", &hidden)?;
        let mut states = Vec::new();
        let predictions =
            decoder.decode(&tokens, &visible, &hidden, &mut |_, xs| states.push(xs.clone()))?;
        for (idx, state) in states.iter().enumerate() {
            let name = idx.checked_sub(1).map(|block| format!("decoder.block.{block}"));
            self.compare(name.as_deref().unwrap_or("decoder.tokens.embedded"), state)?;
        }
        self.compare("output.predictions", &predictions)?;
        let pictured = decoder.pictured(&predictions, &hidden)?;
        self.compare("output.pred_images", &pictured)?;
        let counted = decoder.predicted(&mask, &hidden)?;
        self.compare("output.pred_mask", &counted)?;
        // frames that are repeated are no predictions of their own
        let n_frames = windows.dim(1)?;
        let first: Vec<u32> = (0..n_frames as u32).step_by(sizes.stride).collect();
        let first = Tensor::from_slice(&first, first.len(), &Device::Cpu)?;
        let of_first = |xs: &Tensor| xs.to_dtype(DType::F64)?.index_select(&first, 1);
        let counted = of_first(&counted)?;
        let gap = (of_first(&pictured)? - of_first(windows)?)?.sqr()?;
        let sum = |xs: &Tensor| xs.sum_all()?.to_scalar::<f64>();
        let loss = sum(&(gap * &counted)?)? / sum(&counted)?;
        self.compare("output.loss", &Tensor::from_slice(&[loss], 1, &Device::Cpu)?)
    }
}
