//! How likely a packaged model finds each of some texts after a prompt.
use std::path::Path;

use flamingo::{Model, Opening, RankBy, Request};
use report::generated::Disclaimer;
use serde::Serialize;

use crate::{
    Additions, OneScan, Result,
    answers::Query,
    model_id::model_id,
    one::{self, Seen},
    prompts::Prompt,
};

/// What the continuations continue.
#[derive(Clone, Debug)]
pub enum Asked<'a> {
    /// Texts with their pictures.
    Prompts(&'a [Prompt]),
    /// The model's own prompt for a scan, or for one window of it.
    Scan(OneScan<'a>),
}

/// A prompt's continuations with their likelihoods.
#[derive(Clone, Debug, Serialize)]
pub struct Scores {
    /// Not for diagnosis.
    pub disclaimer: Disclaimer,
    /// What the user calls the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The text before them.
    pub prompt: String,
    /// In the order in which they were given.
    pub continuations: Vec<Continuation>,
    /// The likeliest, from 0.
    pub best: usize,
    /// The model, by what is in it.
    pub model_id: String,
    /// SHA-256 of every picture, or of the scan.
    pub data_digests: Vec<String>,
}

/// One continuation.
#[derive(Clone, Debug, Serialize)]
pub struct Continuation {
    /// The text.
    pub text: String,
    /// Its share among the given ones.
    pub probability: f64,
    /// Mean log-probability of its tokens, in nats.
    pub mean: f64,
    /// Their sum.
    pub sum: f64,
    /// Tokens.
    pub n_tokens: usize,
}

/// Scores every continuation after every prompt with a model opened as asked; a prompt is read
/// once for all of them. Stages and encoder of its package may be among
/// the `additions` of the program.
pub fn score(
    model: &Path,
    opening: &Opening,
    asked: &Asked<'_>,
    continuations: &[String],
    rank_by: RankBy,
    batch_size: usize,
    additions: &Additions,
) -> Result<Vec<Scores>> {
    let dir = model;
    let model = Model::open_with(dir, opening, &additions.encoders)?;
    let (mut requests, mut facts) = (Vec::new(), Vec::new());
    match asked {
        Asked::Prompts(prompts) => {
            for (prompt, place) in prompts.iter().zip(0..) {
                requests.push(prompt.request(&model, 0, place)?);
                facts.push((prompt.id.clone(), prompt.digests()?));
            }
        }
        Asked::Scan(scan) => {
            let Seen { digest, look, .. } = one::look(dir, &model, scan, &additions.steps)?;
            let query = Query { prompt: look.prompt, media: look.media };
            requests.push(Request { prompt: query.prompt(), media: query.media, stream: None });
            facts.push((None, vec![digest]));
        }
    }
    let found = model.classify(&requests, continuations, rank_by, batch_size)?;
    let model_id = model_id(model.manifest());
    let all = requests.into_iter().zip(facts).zip(found);
    Ok(all
        .map(|((request, (id, data_digests)), found)| Scores {
            disclaimer: Disclaimer,
            id,
            prompt: request.prompt,
            continuations: continuations
                .iter()
                .zip(found.likelihoods.iter().zip(&found.probabilities))
                .map(|(text, (likelihood, &probability))| Continuation {
                    text: text.clone(),
                    probability,
                    mean: likelihood.mean(),
                    sum: likelihood.sum,
                    n_tokens: likelihood.n_tokens,
                })
                .collect(),
            best: found.best,
            model_id: model_id.clone(),
            data_digests,
        })
        .collect())
}
