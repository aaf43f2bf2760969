//! How much of what was hidden from an encoder its decoder found.

use serde::Serialize;

/// What was filled in of one or more windows, in the unit of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Filled {
    pub(crate) n_hidden: usize,
    pub(crate) mean: f64,
    /// Squared deviations of the hidden values from their mean, summed.
    pub(crate) spread: f64,
    /// Squared errors, summed: of the model, and of the two that have learned nothing.
    pub(crate) errors: [f64; 3],
}

/// [`Filled`] as numbers to be read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// Hidden values.
    pub n_hidden: usize,
    /// 1 − squared error over the hidden values' variance, of the model.
    pub r2: f64,
    /// The same of the parcel's mean over what is shown of the window.
    pub r2_parcel_mean: f64,
    /// The same of the mean of the parcels that are shown at the same frame.
    pub r2_frame_mean: f64,
    /// Mean squared error of the model.
    pub mse: f64,
}

impl Filled {
    /// With the windows of another.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let n_hidden = self.n_hidden + other.n_hidden;
        if n_hidden == 0 {
            return *self;
        }
        let (n, m, all) = (self.n_hidden as f64, other.n_hidden as f64, n_hidden as f64);
        let gap = other.mean - self.mean;
        Self {
            n_hidden,
            mean: self.mean + gap * m / all,
            spread: self.spread + other.spread + gap * gap * n * m / all,
            errors: [0, 1, 2].map(|of| self.errors[of] + other.errors[of]),
        }
    }

    /// As numbers to be read; none where all hidden values are the same.
    pub fn fit(&self) -> Option<Fit> {
        (self.spread > 0.).then(|| {
            let [r2, r2_parcel_mean, r2_frame_mean] = self.errors.map(|sum| 1. - sum / self.spread);
            let mse = self.errors[0] / self.n_hidden as f64;
            Fit { n_hidden: self.n_hidden, r2, r2_parcel_mean, r2_frame_mean, mse }
        })
    }

    /// Of windows `(n_parcels, n_frames)`; `hidden` is 0 where a value was shown, 1 where it was not and
    /// is asked for, and −1 where it was not and is not.
    pub(crate) fn measured(
        predicted: &[Vec<f64>],
        truth: &[Vec<f64>],
        hidden: &[Vec<f64>],
    ) -> Self {
        let shown = |sums: &mut dyn Iterator<Item = (f64, f64)>| {
            let (sum, n) = sums
                .filter(|(_, hidden)| *hidden == 0.)
                .fold((0., 0.), |(sum, n), it| (sum + it.0, n + 1.));
            (n > 0.).then(|| sum / n)
        };
        let all = truth.iter().flatten().copied().zip(hidden.iter().flatten().copied());
        let overall = shown(&mut all.clone()).unwrap_or(0.);
        let n_frames = truth.first().map_or(0, Vec::len);
        let frames: Vec<f64> = (0..n_frames)
            .map(|at| {
                let column = truth.iter().zip(hidden).map(|(row, hidden)| (row[at], hidden[at]));
                shown(&mut column.into_iter()).unwrap_or(overall)
            })
            .collect();
        let (mut filled, mut values) = (Self::default(), Vec::new());
        for ((predicted, truth), hidden) in predicted.iter().zip(truth).zip(hidden) {
            let row = truth.iter().copied().zip(hidden.iter().copied());
            let of_parcel = shown(&mut row.into_iter()).unwrap_or(overall);
            for at in (0..n_frames).filter(|&at| hidden[at] > 0.) {
                let gaps = [predicted[at], of_parcel, frames[at]].map(|it| it - truth[at]);
                filled.errors.iter_mut().zip(gaps).for_each(|(sum, gap)| *sum += gap * gap);
                values.push(truth[at]);
            }
        }
        filled.n_hidden = values.len();
        filled.mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        filled.spread = values.iter().map(|x| (x - filled.mean).powi(2)).sum();
        filled
    }
}
