//! The language model: complete, consistent, and known by the digests of its files.
use std::{collections::BTreeMap, path::PathBuf};

use flamingo::ChatFrame;

use crate::{
    Error, Result,
    spec::{LmSpec, Loaded},
};

/// A language model that is all there.
#[derive(Clone, Debug)]
pub struct LmPlan {
    /// Its Hugging Face folder, or its GGUF file.
    pub dir: PathBuf,
    /// SHA-256 of each file that decides what the model does.
    pub digests: BTreeMap<String, String>,
    /// What its chat template writes around a prompt, where that is asked for.
    pub chat: Option<ChatFrame>,
    /// What in the files contradicts itself, and what was made of it.
    pub notes: Vec<String>,
}

pub(super) fn plan(loaded: &Loaded) -> Result<Option<LmPlan>> {
    let stages = loaded.spec.stages();
    let Some(model) = &loaded.spec.model else {
        return match stages.iter().find(|stage| stage.needs_model()) {
            Some(stage) => Err(Error::MissingSection { stage: stage.name(), section: "model" }),
            None => Ok(None),
        };
    };
    let dir = loaded.resolve(model.lm.path());
    let missing = match model.lm {
        LmSpec::Hf(_) => (!dir.join("config.json").is_file()).then_some("folder lacks config.json"),
        LmSpec::Gguf(_) => (!dir.is_file()).then_some("file is not there"),
    };
    if let Some(missing) = missing {
        return Err(Error::LanguageModel { path: dir, missing });
    }
    let found = flamingo::check_language_model(&dir)?;
    let digests = found.files.into_iter().map(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, loaded.sha256(&path)?))
    });
    let digests = digests.collect::<Result<_>>()?;
    let chat = model.chat.then(|| flamingo::chat_frame(&dir)).transpose()?;
    Ok(Some(LmPlan { dir, digests, chat, notes: found.notes }))
}
