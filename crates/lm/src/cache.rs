//! The past: keys and values of every block, in memory that is there before they come.

use candle_core::{Result, Tensor, bail};

/// Tokens that a block gets room for at a time.
const ROOM: usize = 256;

/// Keys and values of every block so far.
///
/// They are appended in place, so no gradient passes through them, and a cache is never shared:
/// [`Cache::select`] copies.
#[derive(Debug, Default)]
pub struct Cache {
    blocks: Vec<Option<Past>>,
}

/// Keys and values of one block, `(batch, n_heads, room, head_dim)`, of which the first `n_tokens`
/// are written.
#[derive(Debug)]
struct Past {
    keys: Tensor,
    values: Tensor,
    n_tokens: usize,
}

impl Cache {
    /// An empty cache for a model of `n_blocks`.
    pub fn new(n_blocks: usize) -> Self {
        Self { blocks: (0..n_blocks).map(|_| None).collect() }
    }

    /// Tokens of the past.
    pub fn n_tokens(&self) -> usize {
        self.blocks.iter().flatten().map(|past| past.n_tokens).max().unwrap_or(0)
    }

    /// Appends `(batch, n_heads, n_tokens, head_dim)` to block `idx` and returns all its keys and
    /// values.
    pub(crate) fn extend(
        &mut self,
        idx: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let Some(block) = self.blocks.get_mut(idx) else {
            bail!("block {idx} of a model is kept in a cache that has no such block")
        };
        let past = match block.take() {
            None => Past::with_room(keys, values)?,
            Some(past) => past.with_more_room(keys.dim(2)?)?,
        };
        let past = block.insert(past);
        past.append(keys, values)?;
        past.written()
    }

    /// The cache of a batch made of these rows of the present one, in this order, which stays as it
    /// is: one prompt for many continuations.
    pub fn select(&self, rows: &[u32]) -> Result<Self> {
        let block = |past: &Option<Past>| {
            let Some(Past { keys, values, n_tokens }) = past else { return Ok(None) };
            let rows = Tensor::from_slice(rows, rows.len(), keys.device())?;
            let (keys, values) = (keys.index_select(&rows, 0)?, values.index_select(&rows, 0)?);
            Ok(Some(Past { keys, values, n_tokens: *n_tokens }))
        };
        Ok(Self { blocks: self.blocks.iter().map(block).collect::<Result<_>>()? })
    }

    /// Makes the batch one of these rows of the present one, in this order: beams that branch and
    /// die. Rows that stay where they are are not copied.
    pub fn permute(&mut self, rows: &[u32]) -> Result<()> {
        let batch = match self.blocks.iter().flatten().next() {
            Some(past) => past.keys.dim(0)?,
            None => return Ok(()),
        };
        if rows.len() != batch {
            *self = self.select(rows)?;
            return Ok(());
        }
        for past in self.blocks.iter().flatten() {
            move_rows(&past.keys, rows)?;
            move_rows(&past.values, rows)?;
        }
        Ok(())
    }
}

/// Row `i` becomes row `rows[i]`, in place.
fn move_rows(tensor: &Tensor, rows: &[u32]) -> Result<()> {
    let moved = rows.iter().enumerate().filter(|&(to, &from)| to != from as usize);
    let (to, from): (Vec<usize>, Vec<u32>) = moved.map(|(to, &from)| (to, from)).unzip();
    if from.is_empty() {
        return Ok(());
    }
    let from = Tensor::from_vec(from, to.len(), tensor.device())?;
    // these rows alone: a copy of a part would take the whole with it
    let held = tensor.index_select(&from, 0)?;
    for (at, to) in to.into_iter().enumerate() {
        tensor.slice_set(&held.narrow(0, at, 1)?, 0, to)?;
    }
    Ok(())
}

impl Past {
    /// Nothing yet, and room for these tokens and more.
    fn with_room(keys: &Tensor, values: &Tensor) -> Result<Self> {
        let room = |like: &Tensor| {
            let (batch, n_heads, n_tokens, head_dim) = like.dims4()?;
            let shape = (batch, n_heads, (n_tokens + 1).next_multiple_of(ROOM), head_dim);
            Tensor::zeros(shape, like.dtype(), like.device())
        };
        Ok(Self { keys: room(keys)?, values: room(values)?, n_tokens: 0 })
    }

    /// The same with room for so many more tokens.
    fn with_more_room(self, n_more: usize) -> Result<Self> {
        if self.n_tokens + n_more <= self.keys.dim(2)? {
            return Ok(self);
        }
        let more = |old: &Tensor| {
            let (batch, n_heads, _, head_dim) = old.dims4()?;
            let room = (self.n_tokens + n_more).next_multiple_of(ROOM);
            let new = Tensor::zeros((batch, n_heads, room, head_dim), old.dtype(), old.device())?;
            new.slice_set(old, 2, 0)?;
            Ok::<_, candle_core::Error>(new)
        };
        Ok(Self { keys: more(&self.keys)?, values: more(&self.values)?, ..self })
    }

    fn append(&mut self, keys: &Tensor, values: &Tensor) -> Result<()> {
        self.keys.slice_set(&keys.detach().contiguous()?, 2, self.n_tokens)?;
        self.values.slice_set(&values.detach().contiguous()?, 2, self.n_tokens)?;
        self.n_tokens += keys.dim(2)?;
        Ok(())
    }

    fn written(&self) -> Result<(Tensor, Tensor)> {
        let written = |all: &Tensor| all.narrow(2, 0, self.n_tokens);
        Ok((written(&self.keys)?, written(&self.values)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Keys of `n_tokens` from number `from` on, and their negatives as values.
    fn tokens(batch: usize, from: usize, n_tokens: usize) -> Result<(Tensor, Tensor)> {
        let number = |row: usize, token: usize| (1000 * row + from + token) as f32;
        let numbers: Vec<f32> =
            (0..batch).flat_map(|row| (0..n_tokens).map(move |it| number(row, it))).collect();
        let keys = Tensor::from_vec(numbers, (batch, 1, n_tokens, 1), &Device::Cpu)?;
        let values = keys.neg()?;
        Ok((keys, values))
    }

    fn flat(xs: &Tensor) -> Result<Vec<f32>> {
        xs.flatten_all()?.to_vec1()
    }

    #[test]
    fn tokens_come_after_each_other_however_many_at_a_time() -> Result<()> {
        let mut cache = Cache::new(1);
        let mut n_tokens = 0;
        for n in [ROOM - 1, 1, 1, 2 * ROOM, 3] {
            let (keys, values) = tokens(2, n_tokens, n)?;
            let (keys, values) = cache.extend(0, &keys, &values)?;
            n_tokens += n;
            let expected = tokens(2, 0, n_tokens)?;
            assert_eq!(flat(&keys)?, flat(&expected.0)?);
            assert_eq!(flat(&values)?, flat(&expected.1)?);
            assert_eq!(cache.n_tokens(), n_tokens);
        }
        Ok(())
    }

    #[test]
    fn a_token_is_written_where_the_past_lies() -> Result<()> {
        let mut cache = Cache::new(1);
        let (keys, values) = tokens(1, 0, 5)?;
        let (before, _) = cache.extend(0, &keys, &values)?;
        let (keys, values) = tokens(1, 5, 1)?;
        let (after, _) = cache.extend(0, &keys, &values)?;
        // one and the same memory, seen further
        let (storage, layout) = before.storage_and_layout();
        let (same, further) = after.storage_and_layout();
        assert!(std::ptr::eq(&raw const *storage, &raw const *same));
        assert_eq!((layout.dims()[2], further.dims()[2]), (5, 6));
        Ok(())
    }

    #[test]
    fn rows_are_moved_in_place_or_copied_and_never_shared() -> Result<()> {
        let cache = || {
            let mut cache = Cache::new(2);
            let (keys, values) = tokens(3, 0, 2)?;
            cache.extend(1, &keys, &values)?;
            Ok::<_, candle_core::Error>(cache)
        };
        let rows = |cache: &mut Cache| {
            let n = cache.blocks[1].as_ref().expect("it was written").keys.dim(0)?;
            let (keys, values) = tokens(n, 2, 1)?;
            let (keys, _) = cache.extend(1, &keys, &values)?;
            flat(&keys.narrow(2, 0, 2)?)
        };
        let mut beams = cache()?;
        beams.permute(&[1, 1, 0])?;
        assert_eq!(rows(&mut beams)?, [1000., 1001., 1000., 1001., 0., 1.]);
        let mut fewer = cache()?;
        fewer.permute(&[2, 0])?;
        assert_eq!(rows(&mut fewer)?, [2000., 2001., 0., 1.]);
        let mut kept = cache()?;
        let mut copy = kept.select(&[0, 1, 2])?;
        rows(&mut copy)?;
        assert_eq!((copy.n_tokens(), kept.n_tokens()), (3, 2));
        assert_eq!(rows(&mut kept)?, [0., 1., 1000., 1001., 2000., 2001.]);
        Ok(())
    }
}
