//! What LoRA training moved of a language model or an encoder, as a folder of PEFT.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use encoder::{LoraConfig, Trainable};
use nn::weights::{Frozen, corrected_layer, is_correction, save};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config::CONFIG;
use super::{MergedLora, ROOT, WEIGHTS};
use crate::manifest::{ADAPTER, ENCODER, LANGUAGE};
use crate::package::{check_parts, in_place, io};
use crate::{Error, Fault, FlamingoConfig, Manifest, Result};

/// What of a model has corrections of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoraPart {
    /// The language model.
    Lm,
    /// The encoder: a brain encoder, or CLIP.
    Encoder,
}

impl LoraPart {
    /// As pipeline files and commands call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lm => "lm",
            Self::Encoder => "encoder",
        }
    }
}

impl FlamingoConfig {
    /// The parts with corrections of low rank, and which.
    pub fn adapters(&self) -> Vec<(LoraPart, &LoraConfig)> {
        let of_lm = self.lora.as_ref().map(|lora| (LoraPart::Lm, lora));
        let of_encoder = match self.encoder.trainable() {
            Trainable::Lora(lora) => Some((LoraPart::Encoder, lora)),
            _ => None,
        };
        of_lm.into_iter().chain(of_encoder).collect()
    }
}

/// Writes the corrections of a part of a package as PEFT saves them; `to` must not be there. Where no part is
/// said, only one may have any.
///
/// # Errors
/// Where the package, or the part, has no corrections.
pub fn export_lora(package: &Path, part: Option<LoraPart>, to: &Path) -> Result<MergedLora> {
    if to.exists() {
        let reason = "is there already, choose another name".to_owned();
        return Err(Error::Import { path: to.to_owned(), reason, fault: Fault::Target });
    }
    let manifest = Manifest::read(package)?;
    check_parts(package, &manifest.parts)?;
    let (part, lora) = adapter(package, &manifest.config, part)?;
    let own = match part {
        LoraPart::Lm => below_language(Frozen::open(&package.join(ADAPTER))?)?,
        LoraPart::Encoder => Frozen::open(&package.join(ENCODER))?,
    };
    let mut tensors = HashMap::new();
    let mut modules = BTreeSet::new();
    for (name, tensor) in own.tensors()? {
        let name = match part {
            LoraPart::Lm => name,
            LoraPart::Encoder => manifest.config.encoder.published_name(&name),
        };
        if let Some(module) = corrected_layer(&name) {
            modules.insert(module.to_owned());
        }
        tensors.insert(format!("{ROOT}{name}"), tensor);
    }
    let config = config(part, lora, modules.into_iter().collect());
    let mut changed: Vec<String> = tensors.keys().cloned().collect();
    changed.sort();
    in_place(to, |staged| {
        save(&staged.join(WEIGHTS[0]), &tensors)?;
        let path = staged.join(CONFIG);
        fs::write(&path, format!("{config:#}\n")).map_err(io(&path))?;
        // the terms of the data go where its weights go
        let Some(terms) = manifest.terms() else { return Ok(()) };
        let path = staged.join("README.md");
        let text = format!(
            "# {}\n\nTerms of use of the data that it was trained on: {terms}\n",
            manifest.name
        );
        fs::write(&path, text).map_err(io(&path))
    })?;
    Ok(MergedLora { tensors: changed.len(), changed, weights: to.join(WEIGHTS[0]) })
}

/// The corrections that are asked for.
fn adapter<'a>(
    package: &Path,
    config: &'a FlamingoConfig,
    part: Option<LoraPart>,
) -> Result<(LoraPart, &'a LoraConfig)> {
    let all = config.adapters();
    let asked = all.iter().filter(|(own, _)| part.is_none_or(|part| part == *own));
    let refuse = |reason: String| {
        let path = package.to_owned();
        Err(Error::Import { path, reason, fault: Fault::Untrained })
    };
    match asked.collect::<Vec<_>>()[..] {
        [only] => Ok(*only),
        [] => {
            let of = match part {
                Some(LoraPart::Lm) => "its language model was".to_owned(),
                Some(LoraPart::Encoder) => format!("its encoder `{}` was", config.encoder.name()),
                None => format!(
                    "its language model and its encoder `{}` were",
                    config.encoder.name()
                ),
            };
            refuse(format!("{of} not trained with `lora`, so there is no adapter to write"))
        }
        _ => refuse(
            "its language model and its encoder have an adapter each: say which with `--part lm` or \
             `--part encoder`"
                .to_owned(),
        ),
    }
}

/// The corrections of the language model, under its own names.
fn below_language(file: Frozen) -> Result<Frozen> {
    let start = format!("{LANGUAGE}.");
    let own = file.renamed(|name| {
        let own = name.strip_prefix(&start).filter(|name| is_correction(name));
        own.map(str::to_owned)
    });
    Ok(own?)
}

/// The config of PEFT's LoRA on these modules.
fn config(part: LoraPart, lora: &LoraConfig, modules: Vec<String>) -> Value {
    let &LoraConfig { rank, alpha, use_rslora, .. } = lora;
    // PEFT writes whole numbers as such
    let alpha = if alpha.fract() == 0. { json!(alpha as i64) } else { json!(alpha) };
    json!({
        "peft_type": "LORA",
        "task_type": if part == LoraPart::Lm { json!("CAUSAL_LM") } else { Value::Null },
        "base_model_name_or_path": null,
        "inference_mode": true,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "target_modules": modules,
        "bias": "none",
        "use_rslora": use_rslora,
        "use_dora": false,
        "fan_in_fan_out": false,
        "init_lora_weights": true,
        "modules_to_save": null,
        "rank_pattern": {},
        "alpha_pattern": {},
    })
}
