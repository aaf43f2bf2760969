//! The language model folder: complete, and known by the digests of its files.
use std::{collections::BTreeMap, path::PathBuf};

use flamingo::LM_FILES;

use crate::{Error, Result, spec::Loaded};

/// A Hugging Face folder that is all there.
#[derive(Clone, Debug)]
pub struct LmPlan {
    /// The folder.
    pub dir: PathBuf,
    /// SHA-256 of each file that decides what the model does.
    pub digests: BTreeMap<String, String>,
}

pub(super) fn plan(loaded: &Loaded) -> Result<Option<LmPlan>> {
    let stages = loaded.spec.stages();
    let Some(model) = &loaded.spec.model else {
        return match stages.iter().find(|stage| stage.work().needs_model()) {
            Some(stage) => Err(Error::MissingSection { stage: stage.name(), section: "model" }),
            None => Ok(None),
        };
    };
    let dir = loaded.resolve(model.lm.path());
    let missing = |name: &&'static str| !dir.join(name).is_file();
    if let Some(missing) = LM_FILES.into_iter().find(missing) {
        return Err(Error::LanguageModel { path: dir, missing });
    }
    let digests = LM_FILES
        .into_iter()
        .map(|name| {
            let digest = scan::sha256_file(dir.join(name))?;
            Ok((name.to_owned(), digest))
        })
        .collect::<Result<_>>()?;
    Ok(Some(LmPlan { dir, digests }))
}
