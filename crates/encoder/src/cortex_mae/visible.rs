//! Which patches of a CortexMAE's window are seen, and which are predicted.

use candle_core::{Result, Tensor, bail};

use super::CortexMaeSize;

/// Patches of each item of a batch by their numbers, ascending; as many of every item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visible {
    ids: Vec<Vec<u32>>,
}

impl Visible {
    /// The patches that hold a frame for which `mask` `(batch, n_frames, n_parcels)` is not 0.
    ///
    /// # Errors
    /// Where a batch's items have different numbers of them, or one has none.
    pub fn of_mask(mask: &Tensor, size: &CortexMaeSize) -> Result<Self> {
        Self::strided(mask, size, 1, |x| x != 0.)
    }

    /// The patches of which the first of every `stride` frames has one that `mask` hides with a 0.
    ///
    /// # Errors
    /// As [`Self::of_mask`].
    pub fn hidden(mask: &Tensor, size: &CortexMaeSize, stride: usize) -> Result<Self> {
        Self::strided(mask, size, stride, |x| x == 0.)
    }

    /// The patches of the first `n_real` frames, of one window.
    pub fn first(n_real: usize, size: &CortexMaeSize) -> Self {
        let n_times = n_real.div_ceil(size.patch).min(size.n_times());
        Self { ids: vec![(0..(n_times * size.n_parcels) as u32).collect()] }
    }

    fn strided(
        mask: &Tensor,
        size: &CortexMaeSize,
        stride: usize,
        counts: impl Fn(f64) -> bool,
    ) -> Result<Self> {
        let mask = mask.to_dtype(candle_core::DType::F64)?.to_vec3::<f64>()?;
        let (n_times, n_parcels, patch) = (size.n_times(), size.n_parcels, size.patch);
        let ids: Vec<Vec<u32>> = mask
            .iter()
            .map(|frames| {
                let has = |id: &usize| {
                    let (time, parcel) = (id / n_parcels, id % n_parcels);
                    let mut of_patch = frames[time * patch..][..patch].iter().step_by(stride);
                    of_patch.any(|frame| counts(frame[parcel]))
                };
                (0..n_times * n_parcels).filter(has).map(|id| id as u32).collect()
            })
            .collect();
        let n = ids.first().map_or(0, Vec::len);
        if n == 0 || ids.iter().any(|it| it.len() != n) {
            let counts: Vec<usize> = ids.iter().map(Vec::len).collect();
            bail!("windows of {counts:?} patches, expected as many in each, and at least one")
        }
        Ok(Self { ids })
    }

    /// The patches' numbers, item by item.
    pub fn ids(&self) -> &[Vec<u32>] {
        &self.ids
    }

    /// `(batch, n_patches, dim)` to `(batch, n_visible, dim)`.
    pub(super) fn take(&self, tokens: &Tensor) -> Result<Tensor> {
        let (batch, _, dim) = tokens.dims3()?;
        if batch != self.ids.len() {
            bail!("patches of {} windows are named, the batch has {batch}", self.ids.len())
        }
        let n_patches = tokens.dim(1)? as u32;
        let rows = (0..)
            .zip(&self.ids)
            .flat_map(|(item, ids)| ids.iter().map(move |id| item * n_patches + id));
        let rows: Vec<u32> = rows.collect();
        let n = rows.len();
        let rows = Tensor::from_vec(rows, n, tokens.device())?;
        tokens.contiguous()?.flatten_to(1)?.index_select(&rows, 0)?.reshape((batch, n / batch, dim))
    }

    /// Rows of a table `(n_patches, dim)` for every item, `(batch, n, dim)`.
    pub(super) fn rows(&self, table: &Tensor) -> Result<Tensor> {
        let rows: Vec<u32> = self.ids.iter().flatten().copied().collect();
        let (n, dim) = (rows.len(), table.dim(1)?);
        let rows = Tensor::from_vec(rows, n, table.device())?;
        table.index_select(&rows, 0)?.reshape((self.ids.len(), n / self.ids.len(), dim))
    }
}
