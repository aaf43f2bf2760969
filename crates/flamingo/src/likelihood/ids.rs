//! Log-likelihoods on the level of ids: whole rows, or many continuations of prompts read once.

use candle_core::{DType, Tensor};
use lm::{Cache, Step};

use crate::{Compat, Error, Flamingo, MediaView, Prompts, Result, Stop, flamingo::NEVER};

impl Flamingo {
    /// The log-probability of every id of each row from its place in `starts` on, given all before
    /// it; a row's first id has nothing before it and is left out.
    pub fn log_probs(
        &self,
        rows: Vec<Vec<u32>>,
        starts: &[usize],
        media: Option<&MediaView>,
        image: u32,
    ) -> Result<Vec<Vec<f64>>> {
        self.log_probs_until(rows, starts, media, image, NEVER)
    }

    /// The same, ending with [`Error::Stopped`] before the next block once `stop` says so.
    pub(crate) fn log_probs_until(
        &self,
        rows: Vec<Vec<u32>>,
        starts: &[usize],
        media: Option<&MediaView>,
        image: u32,
        stop: Stop<'_>,
    ) -> Result<Vec<Vec<f64>>> {
        let starts: Vec<usize> = starts.iter().map(|&start| start.max(1)).collect();
        let prompts = Prompts::right_padded(rows.clone(), image);
        let view = prompts.view(self.lm().shape().n_positions, self.device())?;
        let hidden = self.hidden_until(&view, media, None, stop)?;
        // the head runs only where a wanted id is predicted
        let (_, n_tokens, dim) = hidden.dims3()?;
        let (mut places, mut targets) = (Vec::new(), Vec::new());
        for (row, (ids, &start)) in rows.iter().zip(&starts).enumerate() {
            for (at, &id) in ids.iter().enumerate().skip(start) {
                places.push((row * n_tokens + at - 1) as u32);
                targets.push(id);
            }
        }
        let found = self.at_places(&hidden.reshape(((), dim))?, places, targets)?;
        let lengths = rows.iter().zip(&starts).map(|(ids, &start)| ids.len().saturating_sub(start));
        Ok(split(found, lengths))
    }

    /// Reads prompts that are padded on the left, so that any number of continuations can be scored.
    pub fn cache_prompts(
        &self,
        prompts: Prompts,
        media: Option<&MediaView>,
    ) -> Result<CachedPrompts<'_>> {
        self.cache_prompts_until(prompts, media, NEVER)
    }

    /// The same, ending with [`Error::Stopped`] before the next block once `stop` says so, now or when
    /// continuations are scored.
    pub(crate) fn cache_prompts_until<'a>(
        &'a self,
        prompts: Prompts,
        media: Option<&MediaView>,
        stop: Stop<'a>,
    ) -> Result<CachedPrompts<'a>> {
        prompts.check_last()?;
        let mut view = prompts.view(self.lm().shape().n_positions, self.device())?;
        if self.compat() == Compat::OpenFlamingo {
            view.step = Step::as_hugging_face(prompts.real(), self.lm().shape().padded_rows)?;
        }
        let mut cache = Cache::new(self.lm().shape().n_blocks);
        let hidden = self.hidden_until(&view, media, Some(&mut cache), stop)?;
        let last = hidden.narrow(1, hidden.dim(1)? - 1, 1)?.squeeze(1)?.contiguous()?;
        Ok(CachedPrompts { flamingo: self, prompts, media: media.cloned(), cache, last, stop })
    }

    /// Log-probabilities of `targets` at `places` of hidden states `(n, dim)`.
    fn at_places(&self, hidden: &Tensor, places: Vec<u32>, targets: Vec<u32>) -> Result<Vec<f64>> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let n_places = places.len();
        let places = Tensor::from_vec(places, n_places, hidden.device())?;
        let hidden = hidden.index_select(&places, 0)?;
        let losses = nn::cross_entropy(self.device().ops(), &self.head(&hidden)?, targets)?;
        let losses = losses.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        Ok(losses.into_iter().map(|loss| -loss).collect())
    }
}

/// Prompts that were read once. Scoring leaves them as they are.
pub struct CachedPrompts<'a> {
    flamingo: &'a Flamingo,
    prompts: Prompts,
    media: Option<MediaView>,
    cache: Cache,
    /// Hidden state of each prompt's last token, `(batch, dim)`.
    last: Tensor,
    stop: Stop<'a>,
}

impl CachedPrompts<'_> {
    /// The log-probability of every id of each continuation, all in one pass; a continuation names
    /// its prompt and need not be the only one.
    ///
    /// [`Compat::OpenFlamingo`] repeats its evaluation, which drops the attention mask here: the
    /// padding of the prompts becomes visible, and counts as positions.
    pub fn log_probs(&self, continuations: &[(usize, &[u32])]) -> Result<Vec<Vec<f64>>> {
        let rows: Vec<u32> = continuations.iter().map(|&(row, _)| row as u32).collect();
        // the last id is predicted, not read
        let read = |ids: &&[u32]| ids.len().saturating_sub(1);
        let new: Vec<&[u32]> = continuations.iter().map(|(_, ids)| &ids[..read(ids)]).collect();
        let n_read = new.iter().map(|ids| ids.len()).max().unwrap_or(0);
        self.fits(new.iter().zip(&rows).map(|(ids, &row)| (row as usize, ids.len())))?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }

        let mut hidden = self.last.clone();
        if n_read > 0 {
            let mut prompts = self.prompts.select(&rows);
            if self.flamingo.compat() == Compat::OpenFlamingo {
                prompts.forget_padding();
            }
            let seen = prompts.n_images();
            let view = prompts.append(&new, &seen, self.flamingo.device())?;
            let media = self.media.as_ref().map(|media| media.select(&rows)).transpose()?;
            let mut cache = self.cache.select(&rows)?;
            let cache = Some(&mut cache);
            let read = self.flamingo.hidden_until(&view, media.as_ref(), cache, self.stop)?;
            hidden = Tensor::cat(&[&hidden, &read.flatten_to(1)?], 0)?;
        }
        let (mut places, mut targets) = (Vec::new(), Vec::new());
        for (idx, &(row, ids)) in continuations.iter().enumerate() {
            let first_read = self.prompts.len() + idx * n_read;
            let predictors = std::iter::once(row).chain(first_read..);
            for (&id, place) in ids.iter().zip(predictors) {
                places.push(place as u32);
                targets.push(id);
            }
        }
        let found = self.flamingo.at_places(&hidden, places, targets)?;
        Ok(split(found, continuations.iter().map(|(_, ids)| ids.len())))
    }
}

impl CachedPrompts<'_> {
    /// Scores of the id after each prompt, `(batch, n_ids)`.
    pub(crate) fn scores(&self) -> Result<Vec<Vec<f32>>> {
        nn::on_worker(|| Ok(self.flamingo.head(&self.last)?.to_dtype(DType::F32)?.to_vec2()?))
    }

    /// Makes each prompt longer by these ids, of any number.
    pub(crate) fn append(&mut self, new: &[&[u32]]) -> Result<()> {
        self.fits(new.iter().map(|ids| ids.len()).enumerate())?;
        if new.iter().all(|ids| ids.is_empty()) {
            return Ok(());
        }
        let seen = self.prompts.n_images();
        let view = self.prompts.append(new, &seen, self.flamingo.device())?;
        let (flamingo, media, cache) = (self.flamingo, self.media.as_ref(), &mut self.cache);
        let hidden = nn::on_worker(|| flamingo.hidden_until(&view, media, Some(cache), self.stop))?;
        let rows = new.iter().enumerate().map(|(row, ids)| match ids.len() {
            0 => self.last.narrow(0, row, 1),
            n => hidden.narrow(0, row, 1)?.narrow(1, n - 1, 1)?.squeeze(1),
        });
        self.last = Tensor::cat(&rows.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
        Ok(())
    }

    /// Refuses more tokens after prompts than the model has positions for.
    fn fits(&self, new: impl Iterator<Item = (usize, usize)>) -> Result<()> {
        let read = |row: usize| match self.flamingo.compat() {
            Compat::OpenFlamingo => self.prompts.n_tokens(),
            Compat::None => self.prompts.real()[row].iter().filter(|real| **real).count(),
        };
        let found = new.map(|(row, n_new)| read(row) + n_new).max().unwrap_or(0);
        let limit = self.flamingo.lm().shape().n_positions;
        if found > limit { Err(Error::TooLong { found, limit }) } else { Ok(()) }
    }

    /// Keeps these prompts, in this order.
    pub(crate) fn keep(&mut self, rows: &[u32]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.prompts = self.prompts.select(rows);
        self.cache.permute(rows)?;
        self.media = self.media.as_ref().map(|media| media.select(rows)).transpose()?;
        let rows = Tensor::from_slice(rows, rows.len(), self.last.device())?;
        self.last = self.last.index_select(&rows, 0)?;
        Ok(())
    }
}

/// Cuts a list into pieces of these lengths.
fn split(found: Vec<f64>, lengths: impl Iterator<Item = usize>) -> Vec<Vec<f64>> {
    let mut found = found.into_iter();
    lengths.map(|n| found.by_ref().take(n).collect()).collect()
}
