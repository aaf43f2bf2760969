//! Fits a normalisation to recordings that are read one at a time, within a budget of memory.
//!
//! Quartiles of a parcel need its values of all recordings at once. Where these do not fit for all
//! parcels, the recordings are read several times, each time for some of the parcels; the numbers are
//! the same.

use std::ops::Range;

use ndarray::{Array1, Array2, Axis, s};

use super::normalise::{
    EPSILON, FittedNormalisation, Normalisation, demeaned, extremes, quartiles_of,
};
use crate::{
    clean::column_means,
    error::{Error, Result},
};

/// Bytes that a value takes while quartiles are looked for: as it was read, joined, and sorted.
const BYTES_OF_VALUE: u64 = 4 * 8;

impl FittedNormalisation {
    /// Fits on training recordings `(n_frames, n_parcels)`, never on tested ones.
    ///
    /// `pool_frames`: how many frames of the start of each recording the robust formulas look at
    /// (200 in BrainLM); shorter recordings are left out.
    pub fn fit(
        kind: Normalisation,
        recordings: &[Array2<f64>],
        pool_frames: usize,
    ) -> Result<Self> {
        let frames: Vec<usize> = recordings.iter().map(Array2::nrows).collect();
        Self::fit_from(kind, &frames, pool_frames, u64::MAX, |idx| Ok(recordings[idx].clone()))
    }

    /// The same on recordings of `n_frames` frames each that `read` gives, in at most `n_bytes` of
    /// memory beside the recording that is being read.
    pub fn fit_from<E: From<Error>>(
        kind: Normalisation,
        n_frames: &[usize],
        pool_frames: usize,
        n_bytes: u64,
        read: impl FnMut(usize) -> Result<Array2<f64>, E>,
    ) -> Result<Self, E> {
        use Normalisation as N;
        if n_frames.is_empty() {
            return Err(Error::NoRecordings { expected: 0 }.into());
        }
        let n_recordings = n_frames.len();
        let mut source = Source { n_frames, n_bytes, n_parcels: None, read };
        let (shift, scale) = match kind {
            alone if alone.asks_each_alone() => (Array1::zeros(0), Array1::zeros(0)),
            N::RobustPaper | N::RobustToolkitBug => {
                if pool_frames == 0 || n_frames.iter().all(|&n| n < pool_frames) {
                    return Err(Error::NoRecordings { expected: pool_frames }.into());
                }
                source.quartiles(Pool::Start(pool_frames))?
            }
            N::CohortFitEps => {
                let (median, range) = source.quartiles(Pool::Whole)?;
                (median, range + EPSILON)
            }
            N::RobustMeans => {
                let mut means = Vec::with_capacity(n_recordings);
                source.each(|recording| means.push(column_means(&recording)))?;
                let rows: Vec<_> = means.iter().map(|mean| mean.view()).collect();
                let means = ndarray::stack(Axis(0), &rows).expect("equal numbers of parcels");
                quartiles_of(&[means], false)
            }
            _ => {
                let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
                source.each(|recording| {
                    let (least, most) = extremes(recording.iter());
                    (low, high) = (low.min(least), high.max(most));
                })?;
                let n_parcels = source.n_parcels.unwrap_or(0);
                (Array1::from_elem(n_parcels, low), Array1::from_elem(n_parcels, high - low))
            }
        };
        Ok(Self { kind, n_recordings, shift, scale })
    }
}

/// Which values of a recording quartiles are of.
#[derive(Clone, Copy)]
enum Pool {
    /// All of them.
    Whole,
    /// Of so many first frames without the recording's mean, where it has that many; exact zeros are
    /// left out of the range.
    Start(usize),
}

impl Pool {
    fn n_values(self, n_frames: usize) -> usize {
        match self {
            Self::Whole => n_frames,
            Self::Start(n) if n_frames >= n => n,
            Self::Start(_) => 0,
        }
    }

    fn of(self, recording: Array2<f64>) -> Option<Array2<f64>> {
        match self {
            Self::Whole => Some(recording),
            Self::Start(n) if recording.nrows() >= n => {
                Some(demeaned(&recording).slice(s![..n, ..]).to_owned())
            }
            Self::Start(_) => None,
        }
    }
}

/// Recordings that are read again as often as they are asked for.
struct Source<'a, R> {
    n_frames: &'a [usize],
    n_bytes: u64,
    /// Known from the first that was read; all others have as many.
    n_parcels: Option<usize>,
    read: R,
}

impl<E: From<Error>, R: FnMut(usize) -> Result<Array2<f64>, E>> Source<'_, R> {
    fn each(&mut self, mut with: impl FnMut(Array2<f64>)) -> Result<(), E> {
        for idx in 0..self.n_frames.len() {
            let recording = (self.read)(idx)?;
            let (found, expected) = (recording.ncols(), self.n_parcels);
            let expected = *self.n_parcels.insert(expected.unwrap_or(found));
            if found != expected {
                let task = "a normalisation";
                return Err(Error::SeriesCount { task, found, expected }.into());
            }
            with(recording);
        }
        Ok(())
    }

    /// Median and interquartile range of each parcel over all recordings.
    fn quartiles(&mut self, pool: Pool) -> Result<(Array1<f64>, Array1<f64>), E> {
        let n_values: u64 = self.n_frames.iter().map(|&n| pool.n_values(n) as u64).sum();
        let of_parcel = n_values.max(1).saturating_mul(BYTES_OF_VALUE);
        if of_parcel > self.n_bytes {
            let (found, limit) = (of_parcel, self.n_bytes);
            return Err(Error::OverBudget { found, limit }.into());
        }
        let at_once = usize::try_from(self.n_bytes / of_parcel).unwrap_or(usize::MAX);
        let (mut medians, mut ranges) = (Vec::new(), Vec::new());
        let mut parcels: Range<usize> = 0..at_once;
        while self.n_parcels.is_none_or(|n| parcels.start < n) {
            let mut pools = Vec::new();
            let wanted = parcels.clone();
            self.each(|recording| {
                let end = wanted.end.min(recording.ncols());
                pools.extend(
                    pool.of(recording).map(|it| it.slice(s![.., wanted.start..end]).to_owned()),
                );
            })?;
            let (median, range) = quartiles_of(&pools, matches!(pool, Pool::Start(_)));
            medians.extend(median);
            ranges.extend(range);
            parcels = parcels.end..parcels.end.saturating_add(at_once);
        }
        Ok((medians.into(), ranges.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn recording(idx: usize) -> Array2<f64> {
        Array2::from_shape_fn((5 + idx % 3, 7), |(t, p)| {
            ((t * t * 5 + 11 * p + idx * 3) % 17) as f64
        })
    }

    const ALL: [Normalisation; 11] = [
        Normalisation::RobustPaper,
        Normalisation::RobustToolkitBug,
        Normalisation::PerRecording,
        Normalisation::CohortFitEps,
        Normalisation::MinMaxCohort,
        Normalisation::MinMaxRecording,
        Normalisation::Demean,
        Normalisation::GlobalZ,
        Normalisation::RobustMeans,
        Normalisation::FrameZ,
        Normalisation::ParcelZ,
    ];

    #[test]
    fn a_small_budget_gives_the_same_numbers_from_more_readings() {
        let recordings: Vec<_> = (0..9).map(recording).collect();
        let frames: Vec<usize> = recordings.iter().map(Array2::nrows).collect();
        for kind in ALL {
            let whole = FittedNormalisation::fit(kind, &recordings, 5).unwrap();
            for (n_columns, n_readings) in [(7, 1), (3, 3), (1, 7)] {
                let n_bytes = (frames.iter().sum::<usize>() * n_columns) as u64 * BYTES_OF_VALUE;
                let n_read = Cell::new(0);
                let read = |idx: usize| {
                    n_read.set(n_read.get() + 1);
                    Ok::<_, Error>(recordings[idx].clone())
                };
                let fitted =
                    FittedNormalisation::fit_from(kind, &frames, 5, n_bytes, read).unwrap();
                assert_eq!(fitted, whole, "{kind:?}");
                assert!(n_read.get() <= 9 * n_readings, "{kind:?} {}", n_read.get());
            }
        }
    }

    #[test]
    fn what_does_not_fit_at_all_is_refused_with_the_numbers() {
        let read = |idx: usize| Ok::<_, Error>(recording(idx));
        let kind = Normalisation::CohortFitEps;
        let error = FittedNormalisation::fit_from(kind, &[5, 6, 7], 5, 100, read).unwrap_err();
        assert!(matches!(error, Error::OverBudget { found: 576, limit: 100 }), "{error}");
    }
}
