//! Prompts and pictures to texts, with nothing but a package.
use std::{
    path::Path,
    time::{Duration, Instant},
};

use encoder::EncoderRegistry;
use flamingo::{GenerateConfig, Generated, Model, Opening};
use report::generated::Disclaimer;
use serde::Serialize;

use crate::{Result, model_id::model_id, prompts::Prompt};

/// What a model wrote after a prompt.
#[derive(Clone, Debug, Serialize)]
pub struct Caption {
    /// Not for diagnosis.
    pub disclaimer: Disclaimer,
    /// What the user calls the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The text before the model's.
    pub prompt: String,
    /// What it wrote: the best, or the first, of several.
    #[serde(flatten)]
    pub best: Generated,
    /// The others, where several were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Generated>,
    /// The model, by what is in it.
    pub model_id: String,
    /// SHA-256 of every picture.
    pub data_digests: Vec<String>,
}

impl Caption {
    /// All that it wrote, best first.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.best).chain(&self.others).map(|it| it.text.as_str())
    }
}

/// Writes on after each prompt; `told` is given every piece of text as it is written, with its place
/// among all texts. Everything is checked before the first token is written.
pub fn caption(
    model: &Path,
    opening: &Opening,
    prompts: &[Prompt],
    config: &GenerateConfig,
    told: &mut dyn FnMut(usize, &str),
) -> Result<Vec<Caption>> {
    config.check_free()?;
    let model = Model::open_with(model, opening, &EncoderRegistry::default())?;
    let model_id = model_id(model.manifest());
    let requests = prompts.iter().zip(0..);
    let requests = requests
        .map(|(prompt, place)| prompt.request(&model, config.max_new_tokens, place))
        .collect::<Result<Vec<_>>>()?;
    let digests = prompts.iter().map(Prompt::digests).collect::<Result<Vec<_>>>()?;
    let (start, mut first) = (Instant::now(), None);
    let written = model.generate_streaming(&requests, config, &mut |place, piece| {
        first.get_or_insert_with(|| start.elapsed());
        told(place, piece);
    })?;
    let n_tokens = written.iter().map(|it| it.n_tokens).sum();
    log_speed(start.elapsed(), first, n_tokens);
    let mut written = written.into_iter();
    let captions = prompts.iter().zip(digests).map(|(prompt, data_digests)| Caption {
        disclaimer: Disclaimer,
        id: prompt.id.clone(),
        prompt: prompt.prompt.clone(),
        best: written.next().expect("each prompt has its texts"),
        others: written.by_ref().take(config.n_texts() - 1).collect(),
        model_id: model_id.clone(),
        data_digests,
    });
    Ok(captions.collect())
}

/// Seconds until the first piece of text stood, pictures and prompt read, and tokens a second after it.
fn log_speed(all: Duration, first: Option<Duration>, n_tokens: usize) {
    let first = first.unwrap_or(all).as_secs_f64();
    let rest = all.as_secs_f64() - first;
    let tokens_per_s = (n_tokens.saturating_sub(1)) as f64 / rest.max(f64::MIN_POSITIVE);
    let [first_s, tokens_per_s] = [first, tokens_per_s].map(|number| format!("{number:.2}"));
    tracing::info!(first_s, n_tokens, tokens_per_s, "written");
}
