//! What of a scan a text leans on: attention and gradients, token by token.
//!
//! ```text
//! text ── weights of a gated block ──> latents ── rolled out ──> tokens of the encoder
//! log-likelihood of the text ── gradient × input ──────────────> values of the scan
//! ```
//! Neither says by itself that the text would be another one without what it points at: attention moves what lies in
//! tokens that have read each other, and a gradient sees the nearest surroundings alone (Jain and Wallace 2019;
//! Adebayo et al. 2018). They are for looking at beside what happens when a part is taken away.

use candle_core::{DType, Result as CandleResult, Tensor, Var};
use encoder::{EncoderInput, TokenLayout, TokenPolicy};
use lm::decode::TextStream;
use ndarray::{Array2, ArrayD};

use crate::flamingo::Looks;
use crate::several::{Group, Layout};
use crate::{Error, LogLikelihood, MediaInput, Medium, Model, Prompts, Result, Scored, Stop};

/// One token of a text, and how likely it is.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenScore {
    /// The characters that it completes; joined they are the text.
    pub text: String,
    /// Its log-probability after all before it, in nats.
    pub log_prob: f64,
}

/// A gated block, and where the text looks in it.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockAttention {
    /// Index of the language model's block behind it.
    pub block: usize,
    /// How far its attention is open: `tanh` of its gate.
    pub opening: f64,
    /// For each medium how much each token of the text takes of each of its tokens, `(n_text_tokens, n_windows ·
    /// n_tokens)`: a row sums to 1 over all media that the text may see, and to 0 where it sees none. A missing medium has
    /// no tokens.
    pub media: Vec<Array2<f32>>,
}

/// What of its media a text leans on.
#[derive(Clone, Debug)]
pub struct Attribution {
    /// The text, token by token.
    pub tokens: Vec<TokenScore>,
    /// Attention of each gated block, the lowest first.
    pub attention: Vec<BlockAttention>,
    /// For each medium the gradient of the text's log-likelihood times the value, of the medium's shape with its windows
    /// before it, `(n_windows, …)`; none of one that is missing, or whose encoder hands no gradient down.
    pub gradient: Vec<Option<ArrayD<f32>>>,
}

impl Attribution {
    /// Attention of all gated blocks to a medium, `(n_text_tokens, n_windows · n_tokens)`: their mean, each weighed by
    /// how far it is open; all alike where none is.
    pub fn of_medium(&self, medium: usize) -> Array2<f32> {
        let sum: f64 = self.attention.iter().map(|it| it.opening.abs()).sum();
        let n = self.attention.len().max(1) as f64;
        let weight = |opening: f64| if sum > 0. { opening.abs() / sum } else { 1. / n };
        let weighed = self.attention.iter().map(|it| &it.media[medium] * weight(it.opening) as f32);
        weighed.reduce(|a, b| a + b).unwrap_or_else(|| Array2::zeros((self.tokens.len(), 0)))
    }
}

impl Model {
    /// The tokens of a text, each with its log-probability.
    ///
    /// # Errors
    /// As [`Self::log_likelihood`]; [`Error::Stopped`] once `stop` says so.
    pub fn token_scores(&self, item: &Scored, stop: Stop<'_>) -> Result<Vec<TokenScore>> {
        let Written { ids, start, encoders } = self.written(item)?;
        let media = self.writer().encode_media(&[(&item.media, encoders)])?;
        let (rows, image) = (vec![ids.clone()], self.vocabulary.image);
        let found = self.flamingo.log_probs_until(rows, &[start], media.as_ref(), image, stop)?;
        self.told_apart(&ids[start..], &found[0])
    }

    /// How the tokens lie that its encoder makes of a window, and which are handed on; not known of a tower of CLIP.
    pub fn token_layout(&self) -> Option<(&TokenLayout, TokenPolicy)> {
        self.flamingo.encoder().layout()
    }

    /// What of its media a text leans on.
    ///
    /// # Errors
    /// As [`Self::log_likelihood`], and where the item has no medium; [`Error::Stopped`] once `stop` says so.
    pub fn attribution(&self, item: &Scored, stop: Stop<'_>) -> Result<Attribution> {
        let Written { ids, start, encoders } = self.written(item)?;
        let input =
            self.writer().media_input(&[(&item.media, encoders)])?.ok_or(Error::NoMedium)?;
        let (input, values) = moving(input)?;
        let groups = self.flamingo.tokens(&input)?;
        let view = self.flamingo.show_tokens(&input.layout, &groups)?;
        let text = Prompts::right_padded(vec![ids.clone()], self.vocabulary.image);
        let text = text.view(self.flamingo.lm().shape().n_positions, self.flamingo.device())?;
        if stop() {
            return Err(Error::Stopped);
        }

        // a token is predicted where the one before it stands
        let (first, targets) = (start - 1, &ids[start..]);
        let (hidden, looks) = self.flamingo.looks(&text, &view)?;
        let hidden = hidden.squeeze(0)?.narrow(0, first, targets.len())?.contiguous()?;
        let logits = self.flamingo.head(&hidden)?;
        let losses = nn::cross_entropy(self.flamingo.device().ops(), &logits, targets.to_vec())?;
        let log_probs = losses.neg()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        if stop() {
            return Err(Error::Stopped);
        }
        let gradients = losses.sum_all()?.backward()?;

        // medium by medium, whichever group it is in
        let members = input.layout.media_of(&groups)?;
        let n_media = item.media.len();
        let mut gradient: Vec<Option<ArrayD<f32>>> = vec![None; n_media];
        let mut shares: Vec<Option<Tensor>> = vec![None; n_media];
        for ((tokens, members), values) in groups.iter().zip(&members).zip(&values) {
            // the loss falls where the likelihood rises
            let times =
                gradients.get(values).map(|it| (it * values.as_tensor())?.neg()).transpose()?;
            let places: Vec<u32> = members.iter().map(|&medium| medium as u32).collect();
            let places = (!matches!(input.layout, Layout::Whole)).then_some(places.as_slice());
            let rolled = self.flamingo.rolled_out(tokens, places)?.flatten_to(1)?;
            for (at, &medium) in members.iter().enumerate() {
                shares[medium] = Some(rolled.get(at)?);
                if let Some(times) = &times {
                    let own = times.flatten_to(1)?.get(at)?;
                    gradient[medium] = Some(own_windows(&own, &item.media[medium])?);
                }
            }
        }
        let of_block = |Looks { block, opening, weights }: Looks| {
            let weights = weights.squeeze(0)?.narrow(0, first, targets.len())?;
            let of_medium =
                |(medium, shares): (usize, &Option<Tensor>)| -> CandleResult<Array2<f32>> {
                    let Some(shares) = shares else { return Ok(Array2::zeros((targets.len(), 0))) };
                    let n_latents = shares.dim(0)?;
                    let latents = weights.narrow(1, medium * n_latents, n_latents)?.contiguous()?;
                    let found = latents.matmul(shares)?.to_dtype(DType::F32)?;
                    let dims = found.dims2()?;
                    Ok(Array2::from_shape_vec(dims, found.flatten_all()?.to_vec1()?)
                        .expect("its dims"))
                };
            let media = shares.iter().enumerate().map(of_medium).collect::<CandleResult<_>>()?;
            Ok(BlockAttention { block, opening, media })
        };
        let attention = looks.into_iter().map(of_block).collect::<CandleResult<_>>()?;
        Ok(Attribution { tokens: self.told_apart(targets, &log_probs)?, attention, gradient })
    }

    fn written(&self, item: &Scored) -> Result<Written> {
        let (prompt, encoders) = self.writer().prompt(&item.prompt, item.media.len())?;
        if prompt.is_empty() {
            return Err(Error::NoLastToken);
        }
        let text = self.vocabulary.continuation(&item.continuation)?;
        Ok(Written { start: prompt.len(), ids: [prompt, text].concat(), encoders })
    }

    fn told_apart(&self, ids: &[u32], log_probs: &[f64]) -> Result<Vec<TokenScore>> {
        let mut stream = TextStream::new(&self.vocabulary.tokenizer);
        let pieces = ids.iter().map(|&id| Ok(stream.push(id)?)).collect::<Result<Vec<_>>>()?;
        let rest = stream.finish()?;
        let mut scores: Vec<TokenScore> = pieces
            .into_iter()
            .zip(log_probs)
            .map(|(text, &log_prob)| TokenScore { text, log_prob })
            .collect();
        if let Some(last) = scores.last_mut() {
            last.text += &rest;
        }
        Ok(scores)
    }
}

/// Ids of a prompt and a text after it, which begins at `start`.
struct Written {
    ids: Vec<u32>,
    start: usize,
    /// Who reads each medium of the prompt.
    encoders: Vec<usize>,
}

/// Media whose values a gradient is asked of, and these values group by group.
fn moving(input: MediaInput) -> CandleResult<(MediaInput, Vec<Var>)> {
    let mut values = Vec::with_capacity(input.groups.len());
    let of_group = |group: Group| {
        let own = Var::from_tensor(&group.input.values)?;
        let input = EncoderInput { values: own.as_tensor().clone(), ..group.input };
        values.push(own);
        Ok(Group { input, ..group })
    };
    let groups = input.groups.into_iter().map(of_group).collect::<CandleResult<_>>()?;
    Ok((MediaInput { groups, ..input }, values))
}

/// Values of a medium `(n_windows, …)`, without the windows that fill up shorter ones.
fn own_windows(values: &Tensor, medium: &Medium) -> CandleResult<ArrayD<f32>> {
    let dims = values.dims();
    let n_windows = if medium.ndim() < dims.len() { 1 } else { medium.shape()[0] };
    let shape = [&[n_windows], &dims[1..]].concat();
    let own = values.narrow(0, 0, n_windows)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    Ok(ArrayD::from_shape_vec(shape, own).expect("as many as there are"))
}

impl LogLikelihood {
    /// That of a text whose tokens are told apart.
    pub fn of_tokens(tokens: &[TokenScore]) -> Self {
        Self::of(&tokens.iter().map(|it| it.log_prob).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests;
