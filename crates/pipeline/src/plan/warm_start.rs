//! A package that a training begins with: its parts must be those of the training.
use std::collections::BTreeMap;

use flamingo::Manifest;

use super::LmPlan;
use crate::{Error, Result, spec::Loaded};

/// Refuses a package around another language model or encoder, or of another architecture.
pub(super) fn fits(loaded: &Loaded, lm: &LmPlan) -> Result<()> {
    let from = loaded.spec.finetune().and_then(|config| config.from.as_ref());
    let (Some(from), Some(model)) = (from, &loaded.spec.model) else { return Ok(()) };
    let folder = loaded.resolve(from);
    let mut manifest = Manifest::read(&folder)?;
    manifest.find_encoders(loaded.encoders());
    let refuse = |problem: String| {
        let problem = format!("from: {}: {problem}", files::shown(&folder));
        Err(Error::StageInput { stage: "finetune", problem })
    };
    let theirs: BTreeMap<&str, &str> = manifest.language_model().collect();
    let ours: BTreeMap<&str, &str> =
        lm.digests.iter().map(|(name, digest)| (name.as_str(), digest.as_str())).collect();
    if theirs != ours {
        let differs = ours.iter().find(|(name, digest)| theirs.get(*name) != Some(digest));
        let more = || theirs.keys().find(|name| !ours.contains_key(**name)).copied();
        let name = differs.map(|(name, _)| *name).or_else(more);
        let name = name.unwrap_or_default();
        return refuse(format!(
            "its language model is another one than {}: {name} differs",
            files::shown(&lm.dir)
        ));
    }
    let config = &manifest.config;
    let ours = loaded.encoder().unwrap_or_else(|| model.encoder.get().clone());
    let theirs = manifest.frozen_encoder.as_ref().unwrap_or(&config.encoder);
    if theirs.network()? != ours.network()? {
        return refuse(format!(
            "its encoder {} is another one than {} of this pipeline, or begins with other weights",
            theirs.name(),
            ours.name()
        ));
    }
    // corrections go on with the weight that they were trained with
    let fit = loaded.spec.finetune().expect("just looked at");
    let lora = fit.around(&model.flamingo())?.lora;
    if config.lora.is_some() && config.lora != lora {
        return refuse(
            "its LoRA of the language model is another one than this pipeline's".to_owned(),
        );
    }
    let (moved, moves) = (theirs.trainable(), ours.trainable());
    if moved.moves() && moved != moves {
        return refuse(
            "what it trained of its encoder is not what this pipeline trains".to_owned(),
        );
    }
    let parts = [
        ("resampler", config.resampler != *model.resampler.get()),
        ("gates", config.gates != *model.gates.get()),
        ("compat", config.compat != model.compat),
    ];
    match parts.into_iter().find(|(_, differs)| *differs) {
        Some((name, _)) => refuse(format!("its model.{name} is another one than this pipeline's")),
        None => Ok(()),
    }
}
