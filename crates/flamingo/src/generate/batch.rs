//! A batch of texts in the middle of being written: everything that one call holds.

use candle_core::DType;
use lm::Cache;

use crate::{Compat, Error, Flamingo, MediaView, Prompts, Result, Stop, TextView};

/// Texts, their past keys and values, and the scans that they see.
pub(super) struct Batch<'a> {
    flamingo: &'a Flamingo,
    prompts: Prompts,
    media: Option<MediaView>,
    cache: Cache,
    /// How many `<image>` each row has seen.
    times: Vec<usize>,
    /// The prompt that each row continues.
    owners: Vec<usize>,
    image: u32,
    stop: Stop<'a>,
}

/// Scores of the next id, a row for each text.
pub(super) type Scores = Vec<Vec<f32>>;

impl<'a> Batch<'a> {
    /// Reads the prompts, once for all that is written after them.
    pub(super) fn start(
        flamingo: &'a Flamingo,
        prompts: Prompts,
        media: Option<&MediaView>,
        longest: usize,
        stop: Stop<'a>,
    ) -> Result<(Self, Scores)> {
        prompts.check_last()?;
        let (found, limit) = (prompts.n_tokens() + longest, flamingo.lm().shape().n_positions);
        if found > limit {
            return Err(Error::TooLong { found, limit });
        }
        let view = prompts.view(limit, flamingo.device())?;
        let mut batch = Self {
            flamingo,
            media: media.cloned(),
            cache: Cache::new(flamingo.lm().shape().n_blocks),
            times: prompts.n_images(),
            owners: (0..prompts.len()).collect(),
            image: prompts.image(),
            prompts,
            stop,
        };
        let scores = batch.read(&view)?;
        Ok((batch, scores))
    }

    /// Appends an id to each text.
    pub(super) fn push(&mut self, ids: &[u32]) -> Result<Scores> {
        if self.flamingo.compat() == Compat::OpenFlamingo && ids.contains(&self.image) {
            self.times.fill(0);
        }
        let new: Vec<&[u32]> = ids.chunks(1).collect();
        let view = self.prompts.append(&new, &self.times, self.flamingo.device())?;
        for (time, &id) in self.times.iter_mut().zip(ids) {
            *time += usize::from(id == self.image);
        }
        self.read(&view)
    }

    fn read(&mut self, view: &TextView) -> Result<Scores> {
        let Self { flamingo, media, cache, stop, .. } = self;
        nn::on_worker(|| {
            let hidden = flamingo.hidden_until(view, media.as_ref(), Some(cache), stop)?;
            let last = hidden.narrow(1, hidden.dim(1)? - 1, 1)?.squeeze(1)?;
            Ok(flamingo.head(&last)?.to_dtype(DType::F32)?.to_vec2()?)
        })
    }

    /// Makes a batch of these rows of the present one, in this order: texts that end, branch, die.
    ///
    /// In OpenFlamingo a row sees the scan that the row in its place saw: places are `rows` but for
    /// beams, which change their texts and keep their place. It matters once `<image>` is written.
    pub(super) fn select(&mut self, rows: &[u32], places: &[u32]) -> Result<()> {
        let places = match self.flamingo.compat() {
            Compat::None => rows,
            Compat::OpenFlamingo => places,
        };
        self.times = places.iter().map(|&place| self.times[place as usize]).collect();
        if rows.iter().copied().eq(0..self.owners.len() as u32) {
            return Ok(());
        }
        self.cache.permute(rows)?;
        self.prompts = self.prompts.select(rows);
        let owners: Vec<_> = rows.iter().map(|&row| self.owners[row as usize]).collect();
        if owners != self.owners {
            self.media = self.media.as_ref().map(|media| media.select(rows)).transpose()?;
            self.owners = owners;
        }
        Ok(())
    }

    /// Makes each row `n` rows.
    pub(super) fn repeat(&mut self, n: usize, scores: Scores) -> Result<Scores> {
        let rows: Vec<u32> =
            (0..self.owners.len() as u32).flat_map(|row| std::iter::repeat_n(row, n)).collect();
        self.select(&rows, &rows)?;
        Ok(scores.into_iter().flat_map(|row| std::iter::repeat_n(row, n)).collect())
    }

    /// The prompt that a row continues.
    pub(super) fn owner(&self, row: usize) -> usize {
        self.owners[row]
    }

    /// A row's prompt and what was written, without padding.
    pub(super) fn text(&self, row: usize) -> Vec<u32> {
        self.prompts.text(row)
    }
}
