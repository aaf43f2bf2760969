//! Pictures to one text, with nothing but a package.
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use flamingo::{GenerateConfig, IMAGE, Model, Precision, Request};
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
    precision: Precision,
    pictures: &[PathBuf],
    prompt: &str,
    config: &GenerateConfig,
    told: &mut dyn FnMut(&str),
) -> Result<Caption> {
    let model = Model::open_at(model, precision)?;
    let media = pictures.iter().map(|path| Ok(Arc::new(model.picture(path)?)));
    let media = media.collect::<Result<Vec<_>>>()?;
    let digests = pictures.iter().map(|path| Ok(scan::sha256_file(path)?));
    let data_digests = digests.collect::<Result<_>>()?;
    let images = if prompt.contains(IMAGE) { 0 } else { pictures.len() };
    let prompt = IMAGE.repeat(images) + prompt;
    let request = Request { prompt: prompt.clone(), media, stream: None };
    let (start, mut first) = (Instant::now(), None);
    let mut written = model.generate_streaming(&[request], config, &mut |_, piece| {
        first.get_or_insert_with(|| start.elapsed());
        told(piece);
    })?;
    let generated = written.remove(0);
    log_speed(start.elapsed(), first, generated.n_tokens);
    Ok(Caption {
        disclaimer: Disclaimer,
        prompt,
        text: generated.text,
        stopped: generated.stopped,
        model_id: model_id(model.manifest()),
        data_digests,
    })
}

/// Seconds until the first piece of text stood, pictures and prompt read, and tokens a second after it.
fn log_speed(all: Duration, first: Option<Duration>, n_tokens: usize) {
    let first = first.unwrap_or(all).as_secs_f64();
    let rest = all.as_secs_f64() - first;
    let tokens_per_s = (n_tokens.saturating_sub(1)) as f64 / rest.max(f64::MIN_POSITIVE);
    let [first_s, tokens_per_s] = [first, tokens_per_s].map(|number| format!("{number:.2}"));
    tracing::info!(first_s, n_tokens, tokens_per_s, "written");
}
