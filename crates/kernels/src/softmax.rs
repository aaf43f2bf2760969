//! Softmax over the last dimension, with the mask of Flamingo's cross-attention.

use crate::Real;
use crate::rows::map_rows;

/// Which keys a query may see, shared by the heads of one batch item.
///
/// A forbidden score becomes the lowest finite number rather than −∞ (as OpenFlamingo does), so a
/// query that may see nothing attends to everything alike instead of producing NaN.
#[derive(Clone, Debug)]
pub struct KeyMask {
    /// `(batch, n_queries, n_keys)`, true where the query may see the key.
    pub allowed: Vec<bool>,
    /// `(batch, n_queries)`; absent: all are [`RowKind::Scored`].
    pub rows: Option<Vec<RowKind>>,
    /// Queries per batch item.
    pub n_queries: usize,
    /// Keys per batch item.
    pub n_keys: usize,
}

/// How a query's weights come about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowKind {
    /// From its scores.
    #[default]
    Scored,
    /// All keys that it may see weigh the same, whatever their scores.
    Uniform,
    /// All zero.
    Silent,
}

impl KeyMask {
    /// The mask row of score row `row` in `(batch, n_heads, n_queries, n_keys)`.
    fn row(&self, row: usize, n_heads: usize) -> (&[bool], RowKind) {
        let query = row % self.n_queries;
        let batch = row / self.n_queries / n_heads;
        let at = batch * self.n_queries + query;
        let allowed = &self.allowed[at * self.n_keys..(at + 1) * self.n_keys];
        (allowed, self.rows.as_ref().map_or(RowKind::Scored, |rows| rows[at]))
    }
}

/// The bias of ALiBi (Press et al. 2022): a slope per head times the key's distance from the query,
/// the last query standing at the last key.
fn alibi<T: Real>(
    slopes: &[f64],
    row: usize,
    n_queries: usize,
    n_keys: usize,
) -> impl Fn(usize) -> T {
    let slope = slopes[row / n_queries % slopes.len()];
    let query = row % n_queries + n_keys - n_queries;
    move |key| T::of(slope * (key as f64 - query as f64))
}

/// Adds bias and mask to the scores of a row with the keys from `first` on; false where the row is
/// silent.
#[inline(always)]
pub(crate) fn prepare<T: Real>(
    scores: &mut [T],
    first: usize,
    row: usize,
    n_heads: usize,
    mask: Option<&KeyMask>,
    slopes: Option<&[f64]>,
) -> bool {
    let Some(mask) = mask else { return true };
    let (allowed, kind) = mask.row(row, n_heads);
    match (kind, slopes) {
        (RowKind::Silent, _) => return false,
        (RowKind::Uniform, _) => scores.fill(T::ZERO),
        (RowKind::Scored, Some(slopes)) => {
            let bias = alibi::<T>(slopes, row, mask.n_queries, mask.n_keys);
            for (key, score) in scores.iter_mut().enumerate() {
                *score += bias(first + key);
            }
        }
        (RowKind::Scored, None) => {}
    }
    for (score, &allowed) in scores.iter_mut().zip(&allowed[first..]) {
        *score = if allowed { *score } else { T::LOWEST };
    }
    true
}

/// Softmax of rows of `n_keys` scores laid out as `(batch, n_heads, n_queries, n_keys)`.
///
/// `slopes`, one a head, add the bias of ALiBi to the scores of a masked softmax.
pub fn softmax<T: Real>(
    scores: &[T],
    n_keys: usize,
    n_heads: usize,
    mask: Option<&KeyMask>,
    slopes: Option<&[f64]>,
    weights: &mut [T],
) {
    map_rows(scores, weights, n_keys, |row, s, w| {
        w.copy_from_slice(s);
        if !prepare(w, 0, row, n_heads, mask, slopes) {
            return w.fill(T::ZERO);
        }
        let mut max = T::LOWEST;
        for &w in w.iter() {
            if w > max {
                max = w;
            }
        }
        let mut total = T::ZERO;
        for w in w.iter_mut() {
            *w = (*w - max).exp();
            total += *w;
        }
        for w in w.iter_mut() {
            *w = *w / total;
        }
    });
}

/// Gradient of [`softmax`] from its own output: `ds = w · (dw − Σ w·dw)`.
///
/// Forbidden and silent entries have weight zero, hence gradient zero; uniform rows and those of a
/// fully masked query do not depend on their scores, so theirs is zeroed by the mask.
pub fn softmax_backward<T: Real>(
    weights: &[T],
    dweights: &[T],
    n_keys: usize,
    n_heads: usize,
    mask: Option<&KeyMask>,
    dscores: &mut [T],
) {
    map_rows(weights, dscores, n_keys, |row, w, ds| {
        let dw = &dweights[row * n_keys..(row + 1) * n_keys];
        let dot = w.iter().zip(dw).map(|(&w, &g)| w * g).sum::<T>();
        let mask = mask.map(|mask| mask.row(row, n_heads));
        for i in 0..n_keys {
            let open = mask.is_none_or(|(allowed, kind)| allowed[i] && kind == RowKind::Scored);
            ds[i] = if open { w[i] * (dw[i] - dot) } else { T::ZERO };
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(allowed: &[bool], kind: RowKind) -> Vec<f64> {
        let mask =
            KeyMask { allowed: allowed.to_vec(), rows: Some(vec![kind]), n_queries: 1, n_keys: 3 };
        let mut weights = vec![9.; 3];
        softmax(&[1., 2., 3.], 3, 1, Some(&mask), None, &mut weights);
        weights
    }

    #[test]
    fn forbidden_keys_get_no_weight() {
        let weights = masked(&[true, false, true], RowKind::Scored);
        let e2 = 2f64.exp();
        assert_eq!(weights[1], 0.);
        assert!((weights[2] - e2 / (1. + e2)).abs() < 1e-15);
    }

    #[test]
    fn a_query_that_may_see_nothing_sees_all_alike_and_a_silent_one_nothing() {
        assert_eq!(masked(&[false; 3], RowKind::Scored), vec![1. / 3.; 3]);
        assert_eq!(masked(&[true; 3], RowKind::Silent), vec![0.; 3]);
        assert_eq!(masked(&[true, false, true], RowKind::Uniform), vec![0.5, 0., 0.5]);
    }

    #[test]
    fn alibi_favours_near_keys_by_the_heads_slope() {
        let mask = KeyMask { allowed: vec![true; 6], rows: None, n_queries: 2, n_keys: 3 };
        let mut weights = vec![0f64; 12];
        softmax(&[0.; 12], 3, 2, Some(&mask), Some(&[0.5, 0.25]), &mut weights);
        // the second head's last query stands at the last key, its first query one before
        for (row, query, slope) in [(0, 1., 0.5), (3, 2., 0.25f64)] {
            let row = &weights[row * 3..row * 3 + 3];
            for key in 0..2 {
                let step = slope * ((key as f64 - query) - (key as f64 + 1. - query));
                assert!((row[key] / row[key + 1] - step.exp()).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let mut weights = vec![0f32; 2];
        softmax(&[3e38, 3e38], 2, 1, None, None, &mut weights);
        assert_eq!(weights, vec![0.5, 0.5]);
    }
}
