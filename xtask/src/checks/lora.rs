//! Adapters that PEFT saved, beside what the model computed with them.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor, Var, backprop::GradStore};
use encoder::clip::{ClipConfig, ClipVision, weights::visual};
use encoder::{ClipActivation, VisionFeature};
use flamingo::{Corrections, LoraAdapter, TiedNames};
use lm::{CausalLm, LmConfig, Step};
use nn::weights::{Frozen, Variables};
use serde_json::Value;

use super::{Outcome, Worst};

type Tensors = HashMap<String, Tensor>;

/// Every adapter of a case: output and loss with it and without, merged weights, gradients.
pub(super) fn run(folder: &Path, name: &str, case: &Value, device: &nn::Device) -> Outcome {
    match compared(folder, case, device) {
        Ok(worst) => Outcome::compared(name, worst),
        Err(error) => Outcome::broken(name, format!("{error:#}")),
    }
}

/// The base model and what was recorded of it.
struct Case {
    config: Base,
    base: Tensors,
    io: Tensors,
    tolerance: HashMap<&'static str, f64>,
    device: nn::Device,
}

enum Base {
    Lm(Box<LmConfig>),
    Clip(ClipConfig),
}

fn compared(folder: &Path, case: &Value, device: &nn::Device) -> Result<Worst> {
    let names = ["output_abs", "merged_weights_abs", "grads_rel", "loss_rel"];
    let tolerance = names.map(|name| Some((name, case["tolerance"][name].as_f64()?)));
    let tolerance = tolerance.into_iter().collect::<Option<_>>().context("no tolerance")?;
    let base = read(&folder.join("model.safetensors"))?;
    let recorded = Case {
        config: config(&folder.join("config.json"), &base)?,
        io: read(&folder.join("io.safetensors"))?,
        base,
        tolerance,
        device: device.clone(),
    };
    let mut worst = Worst::new();
    recorded.output("base", &recorded.base, &mut worst)?;
    let adapters = case["expect"].as_object().context("case.json expects nothing")?;
    for adapter in adapters.keys() {
        recorded.adapter(folder, adapter, &mut worst).with_context(|| adapter.clone())?;
    }
    Ok(worst)
}

fn read(path: &Path) -> Result<Tensors> {
    Ok(candle_core::safetensors::load(path, &Device::Cpu)?)
}

/// A language model, or the vision tower whose sizes the config says.
fn config(path: &Path, base: &Tensors) -> Result<Base> {
    let fields: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    if fields["model_type"] != "clip_vision_model" {
        return Ok(Base::Lm(Box::new(LmConfig::open(path)?)));
    }
    let size = |name: &str| {
        fields[name].as_u64().map(|n| n as usize).with_context(|| format!("no {name}"))
    };
    let width = size("hidden_size")?;
    let is_projected = base.keys().any(|name| name.ends_with("visual_projection.weight"));
    Ok(Base::Clip(ClipConfig {
        image_size: size("image_size")?,
        patch_size: size("patch_size")?,
        width,
        layers: size("num_hidden_layers")?,
        head_width: width / size("num_attention_heads")?,
        mlp_ratio: size("intermediate_size")? as f64 / width as f64,
        embed_dim: if is_projected { size("projection_dim")? } else { 0 },
        activation: match fields["hidden_act"].as_str() {
            Some("gelu") => ClipActivation::Gelu,
            _ => ClipActivation::QuickGelu,
        },
        vision_feature: VisionFeature::PreLnPost,
        weights: None,
        trainable: encoder::Trainable::None,
    }))
}

impl Case {
    fn adapter(&self, folder: &Path, name: &str, worst: &mut Worst) -> Result<()> {
        let adapter = LoraAdapter::open(&folder.join(name))?;
        let tied = match &self.config {
            Base::Lm(config) => config.tied_names(),
            Base::Clip(_) => None,
        };
        let tied = tied.as_ref().map(|[embedding, head]| TiedNames { embedding, head });
        let merged = adapter.apply(&self.base, adapter.tensors(), tied, Corrections::Merged)?;
        self.weights(folder, name, &merged, worst)?;
        self.output(&format!("{name}.merged"), &merged, worst)?;

        // gradients reach the adapter's tensors through the weights that they change
        let vars: HashMap<String, Var> = adapter
            .tensors()
            .iter()
            .map(|(name, tensor)| Ok((name.clone(), Var::from_tensor(tensor)?)))
            .collect::<Result<_>>()?;
        let tensors = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone()));
        let beside = adapter.apply(&self.base, &tensors.collect(), tied, Corrections::Beside)?;
        let loss = self.output(&format!("{name}.adapter"), &beside, worst)?;
        let expected = read(&folder.join(name).join("grads.safetensors"))?;
        self.gradients(name, &loss.backward()?, &vars, &expected, worst)?;

        // and as a training has them, beside frozen layers
        let (Base::Lm(config), Some((lora, tensors))) = (&self.config, adapter.plain()) else {
            return Ok(());
        };
        let moving = Variables::on(&self.device);
        let start = Frozen::from_tensors(Path::new("adapter"), tensors);
        let corrections = moving.started_at(start);
        let mut config = (**config).clone();
        let file = Frozen::from_tensors(Path::new("case"), self.base.clone());
        let (frozen, _) = config.take(&file)?;
        let lm =
            config.build(config.corrected(frozen, corrections, Some(&lora))?.on(&self.device))?;
        let beside = self.of_language_model(&*lm)?;
        let loss = self.compared(&format!("{name}.adapter"), "beside", beside, worst)?;
        let root = |(path, var): (String, Var)| (format!("base_model.model.{path}"), var);
        let vars: HashMap<String, Var> = moving.all().into_iter().map(root).collect();
        self.gradients(&format!("{name} beside"), &loss.backward()?, &vars, &expected, worst)
    }

    fn gradients(
        &self,
        name: &str,
        grads: &GradStore,
        vars: &HashMap<String, Var>,
        expected: &Tensors,
        worst: &mut Worst,
    ) -> Result<()> {
        for (tensor, expected) in expected {
            let var = vars.get(tensor).with_context(|| format!("no tensor {tensor}"))?;
            let what = format!("{name} gradient of {tensor}");
            match grads.get(var) {
                Some(found) => {
                    let scale = largest(expected)?.max(f64::MIN_POSITIVE);
                    let error = largest(&(found - expected)?)? / scale;
                    worst.add(&what, error, self.tolerance["grads_rel"]);
                }
                None => bail!("{what} is none"),
            }
        }
        Ok(())
    }

    fn weights(
        &self,
        folder: &Path,
        name: &str,
        merged: &Tensors,
        worst: &mut Worst,
    ) -> Result<()> {
        let expected = read(&folder.join(name).join("merged.safetensors"))?;
        for (tensor, expected) in &expected {
            // PEFT lists the one matrix of a tied model under both names
            let found = merged.get(tensor).or_else(|| match &self.config {
                Base::Lm(config) => merged.get(config.tied_to(tensor)?),
                Base::Clip(_) => None,
            });
            let found = found.with_context(|| format!("no merged tensor {tensor}"))?;
            let error = largest(&(found - expected)?)?;
            worst.add(&format!("{name} {tensor}"), error, self.tolerance["merged_weights_abs"]);
        }
        Ok(())
    }

    /// Compares the output of these weights with the recorded one, and the loss where there is one.
    fn output(&self, name: &str, weights: &Tensors, worst: &mut Worst) -> Result<Tensor> {
        self.compared(name, "", self.computed(weights)?, worst)
    }

    /// The same of what was computed, `how` it was.
    fn compared(
        &self,
        name: &str,
        how: &str,
        (output, kept, loss): (Tensor, Tensor, Tensor),
        worst: &mut Worst,
    ) -> Result<Tensor> {
        let expected = self.io.get(name).with_context(|| format!("no output {name}"))?;
        let gap = (output - expected)?.broadcast_mul(&kept)?;
        worst.add(&format!("{name} {how}"), largest(&gap)?, self.tolerance["output_abs"]);
        let recorded = name.strip_suffix(".adapter").unwrap_or(name);
        if let Some(expected) = self.io.get(&format!("{recorded}.loss")) {
            let expected = f64::from(expected.flatten_all()?.to_vec1::<f32>()?[0]);
            let found = f64::from(loss.to_scalar::<f32>()?);
            let error = (found - expected).abs() / expected.abs().max(f64::MIN_POSITIVE);
            worst.add(&format!("{name} {how} loss"), error, self.tolerance["loss_rel"]);
        }
        Ok(loss)
    }

    /// Output, which of it counts, and the loss.
    fn computed(&self, weights: &Tensors) -> Result<(Tensor, Tensor, Tensor)> {
        match &self.config {
            Base::Lm(config) => self.language_model(config, weights),
            Base::Clip(config) => {
                let frozen = Frozen::from_tensors(Path::new("case"), visual(weights)?);
                let tower = ClipVision::new(config, frozen.builder(DType::F32).on(&self.device))?;
                let output = tower.tokens(&self.io["pixel_values"])?;
                let loss = output.sqr()?.mean_all()?;
                Ok((output, Tensor::ones((1, 1, 1), DType::F32, &Device::Cpu)?, loss))
            }
        }
    }

    fn language_model(
        &self,
        config: &LmConfig,
        weights: &Tensors,
    ) -> Result<(Tensor, Tensor, Tensor)> {
        let mut config = config.clone();
        let file = Frozen::from_tensors(Path::new("case"), weights.clone());
        let (frozen, _) = config.take(&file)?;
        let lm = config.build(frozen.builder(DType::F32).on(&self.device))?;
        frozen.all_used()?;
        self.of_language_model(&*lm)
    }

    fn of_language_model(&self, lm: &dyn CausalLm) -> Result<(Tensor, Tensor, Tensor)> {
        let ids = self.io["input_ids"].to_dtype(DType::U32)?;
        let flags = self.io["attention_mask"].to_vec2::<i64>()?;
        let real: Vec<Vec<bool>> =
            flags.iter().map(|row| row.iter().map(|&flag| flag == 1).collect()).collect();
        let logits = lm.logits(&ids, &Step::new(&real, real[0].len())?)?;
        let mut losses = Vec::new();
        for (row, (ids, real)) in ids.to_vec2::<u32>()?.iter().zip(&real).enumerate() {
            let targets: Vec<usize> = (1..ids.len()).filter(|&at| real[at]).collect();
            let before: Vec<u32> = targets.iter().map(|&at| at as u32 - 1).collect();
            let n = before.len();
            let rows =
                logits.get(row)?.index_select(&Tensor::from_vec(before, n, &Device::Cpu)?, 0)?;
            let targets = targets.iter().map(|&at| ids[at]).collect();
            losses.push(nn::cross_entropy(self.device.ops(), &rows, targets)?);
        }
        let loss = Tensor::cat(&losses, 0)?.mean_all()?;
        let kept = self.io["attention_mask"].to_dtype(DType::F32)?.unsqueeze(2)?;
        Ok((logits, kept, loss))
    }
}

fn largest(tensor: &Tensor) -> Result<f64> {
    Ok(tensor.abs()?.flatten_all()?.max(0)?.to_dtype(DType::F64)?.to_scalar()?)
}
