//! Pictures to one text, with nothing but a package.
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use flamingo::{GenerateConfig, IMAGE, Model, Request};
use report::generated::Disclaimer;
use serde::Serialize;

use crate::{Result, package::model_id};

/// What a model wrote under some pictures.
#[derive(Clone, Debug, Serialize)]
pub struct Caption {
    /// Not for diagnosis.
    pub disclaimer: Disclaimer,
    /// The text before the model's.
    pub prompt: String,
    /// What it wrote.
    pub text: String,
    /// Whether it ended by itself.
    pub stopped: bool,
    /// The model, by what is in it.
    pub model_id: String,
    /// SHA-256 of every picture.
    pub data_digests: Vec<String>,
}

/// Writes on after `prompt`, which has an `<image>` for each picture; where it has none they are put
/// before it. `told` is given every piece of text as it is written.
pub fn caption(
    model: &Path,
    pictures: &[PathBuf],
    prompt: &str,
    config: &GenerateConfig,
    told: &mut dyn FnMut(&str),
) -> Result<Caption> {
    let model = Model::open(model)?;
    let media = pictures.iter().map(|path| Ok(Arc::new(model.picture(path)?)));
    let media = media.collect::<Result<Vec<_>>>()?;
    let digests = pictures.iter().map(|path| Ok(scan::sha256_file(path)?));
    let data_digests = digests.collect::<Result<_>>()?;
    let images = if prompt.contains(IMAGE) { 0 } else { pictures.len() };
    let prompt = IMAGE.repeat(images) + prompt;
    let request = Request { prompt: prompt.clone(), media, stream: None };
    let mut written = model.generate_streaming(&[request], config, &mut |_, piece| told(piece))?;
    let generated = written.remove(0);
    Ok(Caption {
        disclaimer: Disclaimer,
        prompt,
        text: generated.text,
        stopped: generated.stopped,
        model_id: model_id(model.manifest()),
        data_digests,
    })
}
