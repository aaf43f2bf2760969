//! Cases recorded from BrainMT's own classes: the whole network, and its mixer alone.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_core::{D, DType, Device, Module, Tensor};
use encoder::BrainMtSize;
use encoder::brainmt::{BrainMt, Direction, Inside, Mixer, Place, StemPart};
use nn::weights::Frozen;

use super::case::Case;
use crate::checks::Worst;

/// The kinds that this file knows.
pub(in crate::checks) const KINDS: [&str; 2] = ["brainmt", "mamba_mixer"];

/// Compares everything that a case of one of [`KINDS`] records.
pub(in crate::checks) fn run(folder: &Path, kind: &str, device: &nn::Device) -> Result<Worst> {
    let weights = Frozen::open(&folder.join("weights.safetensors"))?;
    let mut network = Recorded { case: Case::open(folder, device)?, weights };
    if kind == "brainmt" {
        network.network()?;
    } else {
        network.mixer()?;
    }
    network.weights.all_used()?;
    Ok(network.case.worst)
}

/// A case and its weights.
struct Recorded {
    case: Case,
    weights: Frozen,
}

impl Recorded {
    fn direction(&self) -> Direction {
        match self.case.facts["config"]["bidirectional"].as_bool() {
            Some(true) => Direction::Both,
            _ => Direction::Forward,
        }
    }

    fn size(&self) -> Result<BrainMtSize> {
        let depth = &self.case.facts["config"]["depth"];
        let layers = |at: usize| depth[at].as_u64().context("case.json has no config.depth");
        let told = BrainMtSize::of(&self.weights, self.case.number("num_heads")?);
        let told = told.context("the weights are not a BrainMT's")?;
        let said = BrainMtSize {
            embed_dim: self.case.number("embed_dim")?,
            depth: [layers(0)? as usize, layers(1)? as usize],
            n_frames: told.n_frames,
            direction: self.direction(),
            n_outputs: Some(self.case.number("num_classes")?),
            ..told.clone()
        };
        ensure!(told == said, "the tensors tell {told:?}, case.json says {said:?}");
        Ok(said)
    }

    /// Frames `(batch, n_frames, y, x, z)`.
    fn frames(&self) -> Result<Tensor> {
        let frames = if self.case.io.contains("input.frames") {
            self.case.get("input.frames")?
        } else {
            ((self.case.get("input.frames_u8")? - 128.)? / 16.)?
        };
        Ok(frames.squeeze(2)?)
    }

    fn network(&mut self) -> Result<()> {
        let network =
            BrainMt::new(&self.size()?, self.weights.builder(DType::F32).on(&self.case.device))?;
        let frames = self.frames()?;
        if self.case.io.contains("input.volume_f16") {
            // (x, y, z, t) of the first item to (t, y, x, z), as the original's data set turns it
            let volume = self.case.get("input.volume_f16")?.permute((3, 1, 0, 2))?;
            let gap = (volume - frames.get(0)?)?.abs()?.max_all()?.to_scalar::<f32>()?;
            self.case.worst.add("input.volume_f16", f64::from(gap), 0.);
        }
        let mut parts = Vec::new();
        network.stem().watched(&frames.flatten_to(1)?, &mut |part, xs| {
            parts.push((part, xs.clone()));
        })?;
        for (part, xs) in parts {
            let name = match part {
                StemPart::PatchEmbed => "stem.patch_embed",
                StemPart::ConvBlock0 => "stem.conv_block0",
                StemPart::Downsample0 => "stem.downsample0",
                StemPart::ConvBlock1 => "stem.conv_block1",
                StemPart::Downsample1 => "stem.downsample1",
            };
            self.case.compare(name, &xs.permute((0, 4, 1, 2, 3))?)?;
        }
        let mut places = Vec::new();
        let tokens = network.encode(&frames, &mut |place, xs| places.push((place, xs.clone())))?;
        for (place, xs) in places {
            let name = match place {
                Place::Embedded => "output.tokens.embedded".to_owned(),
                Place::Residual(idx) => format!("output.mamba.{idx}.residual"),
                Place::Mixed(idx) => format!("output.mamba.{idx}.output"),
                Place::AfterLayers => "output.tokens.after_mamba".to_owned(),
                Place::Attended(idx) => format!("output.attention.{idx}.output"),
            };
            self.case.compare(&name, &xs)?;
        }
        self.case.compare("output.tokens.final", &tokens)?;
        self.case.compare("output.cls", &tokens.narrow(1, 0, 1)?.squeeze(1)?)?;
        let outputs = network.outputs(&tokens)?.context("the recorded networks have heads")?;
        self.case.compare("output.head", &outputs)
    }

    fn mixer(&mut self) -> Result<()> {
        let dim = self.case.number("d_model")?;
        for (key, usual) in [("d_state", 16), ("d_conv", 4), ("expand", 2)] {
            let found = self.case.number(key)?;
            ensure!(found == usual, "config.{key} is {found}, this mixer is built for {usual}");
        }
        let mixer = Mixer::new(
            dim,
            self.direction(),
            self.weights.builder(DType::F32).on(&self.case.device),
        )?;
        let inputs: Vec<String> = self
            .case
            .io
            .list()
            .into_iter()
            .filter_map(|info| info.name.strip_prefix("input.").map(str::to_owned))
            .collect();
        for length in inputs {
            let tokens = self.case.get(&format!("input.{length}"))?;
            self.case.compare(&format!("output.{length}"), &mixer.forward(&tokens)?)?;
        }
        if self.case.io.contains("inside.forward.convolution") {
            let (forward, reverse, gate) = mixer.inside(&self.case.get("input.40")?)?;
            self.inside("forward", &forward, &gate, false)?;
            if let Some(reverse) = reverse {
                self.inside("reverse", &reverse, &gate, true)?;
            }
        }
        Ok(())
    }

    /// The inside of a branch, recorded channel by channel, and in the order it was computed in.
    fn inside(&mut self, branch: &str, found: &Inside, gate: &Tensor, turned: bool) -> Result<()> {
        let half = |at| found.inputs.narrow(D::Minus1, at, 16);
        for (name, xs) in [
            ("convolution", found.convolution.clone()),
            ("delta_before_bias", found.deltas.clone()),
            ("B", half(0)?),
            ("C", half(16)?),
            ("scan_with_skip", found.scan.clone()),
            ("scan_gated", (&found.scan * gate)?),
        ] {
            let n = xs.dim(1)? as u32;
            let order: Vec<u32> = if turned { (0..n).rev().collect() } else { (0..n).collect() };
            let order = Tensor::from_vec(order, n as usize, &Device::Cpu)?;
            let xs = xs.contiguous()?.index_select(&order, 1)?.transpose(1, 2)?;
            self.case.compare(&format!("inside.{branch}.{name}"), &xs)?;
        }
        Ok(())
    }
}
