//! Prompts and pictures to texts, with nothing but a package.
use std::path::Path;

use flamingo::{GenerateConfig, Generated, Model};
use report::generated::Disclaimer;
use serde::Serialize;

use crate::{Result, package::model_id, prompts::Prompt};

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
    prompts: &[Prompt],
    config: &GenerateConfig,
    told: &mut dyn FnMut(usize, &str),
) -> Result<Vec<Caption>> {
    config.check()?;
    let model = Model::open(model)?;
    let model_id = model_id(model.manifest());
    let requests = prompts.iter().zip(0..);
    let requests = requests
        .map(|(prompt, place)| prompt.request(&model, config.max_new_tokens, place))
        .collect::<Result<Vec<_>>>()?;
    let digests = prompts.iter().map(Prompt::digests).collect::<Result<Vec<_>>>()?;
    let mut written = model.generate_streaming(&requests, config, told)?.into_iter();
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
