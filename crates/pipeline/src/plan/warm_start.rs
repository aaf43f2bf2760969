//! A package that a training begins with: its parts must be those of the training.
use std::collections::BTreeMap;

use flamingo::Manifest;

use super::{LmPlan, metric::finetune};
use crate::{Error, Result, spec::Loaded};

/// Refuses a package around another language model or encoder, or of another architecture.
pub(super) fn fits(loaded: &Loaded, lm: &LmPlan) -> Result<()> {
    let from = finetune(&loaded.spec).and_then(|config| config.from.as_ref());
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
        let name = differs.map(|(name, _)| *name).or_else(|| theirs.keys().next().copied());
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
