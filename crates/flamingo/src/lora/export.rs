//! What LoRA training moved of an encoder, as a folder of PEFT.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use encoder::Trainable;
use nn::weights::{Frozen, save};
use serde_json::{Value, json};

use super::config::CONFIG;
use super::{MergedLora, ROOT, WEIGHTS};
use crate::manifest::ENCODER;
use crate::package::{check_parts, in_place, io};
use crate::{Error, Fault, Manifest, Result};

/// Writes the corrections of a package's encoder as PEFT saves them; `to` must not be there.
///
/// # Errors
/// Where the package was not trained with `trainable: { lora: … }`.
pub fn export_lora(package: &Path, to: &Path) -> Result<MergedLora> {
    if to.exists() {
        let reason = "is there already, choose another name".to_owned();
        return Err(Error::Import { path: to.to_owned(), reason, fault: Fault::Target });
    }
    let manifest = Manifest::read(package)?;
    check_parts(package, &manifest.parts)?;
    let Trainable::Lora(lora) = manifest.config.encoder.trainable() else {
        let reason = format!(
            "its encoder `{}` was not trained with `trainable: {{ lora: … }}`, so there is no adapter \
             to write",
            manifest.config.encoder.name()
        );
        let path = package.to_owned();
        return Err(Error::Import { path, reason, fault: Fault::Untrained });
    };
    let own = Frozen::open(&package.join(ENCODER))?.tensors()?;
    let mut tensors = HashMap::new();
    let mut modules = BTreeSet::new();
    for (name, tensor) in own {
        let name = manifest.config.encoder.published_name(&name);
        if let Some(module) = name.strip_suffix(".lora_A.weight") {
            modules.insert(module.to_owned());
        }
        tensors.insert(format!("{ROOT}{name}"), tensor);
    }
    let config = config(lora.rank, lora.alpha, modules.into_iter().collect());
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

/// The config of PEFT's plain LoRA on these modules.
fn config(rank: usize, alpha: f64, modules: Vec<String>) -> Value {
    // PEFT writes whole numbers as such
    let alpha = if alpha.fract() == 0. { json!(alpha as i64) } else { json!(alpha) };
    json!({
        "peft_type": "LORA",
        "task_type": null,
        "base_model_name_or_path": null,
        "inference_mode": true,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "target_modules": modules,
        "bias": "none",
        "use_rslora": false,
        "use_dora": false,
        "fan_in_fan_out": false,
        "init_lora_weights": true,
        "modules_to_save": null,
        "rank_pattern": {},
        "alpha_pattern": {},
    })
}
