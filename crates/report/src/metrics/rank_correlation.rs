//! Agreement of numbers and of orders.

use super::mean;

/// Spearman's rank correlation: Pearson's correlation of the ranks, equal values sharing their mean rank. None of fewer
/// than three pairs, or where either side has one value only.
///
/// ```
/// use report::metrics::rank_correlation;
/// assert_eq!(rank_correlation(&[1., 2., 30.], &[0.1, 0.2, 0.3]), Some(1.));
/// assert_eq!(rank_correlation(&[1., 1., 1.], &[0.1, 0.2, 0.3]), None);
/// ```
pub fn rank_correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.len() != b.len() || a.len() < 3 {
        return None;
    }
    correlation(&ranks(a), &ranks(b)).map(|it| it.clamp(-1., 1.))
}

/// Pearson's correlation; none where either side has one value only.
pub(crate) fn correlation(x: &[f64], y: &[f64]) -> Option<f64> {
    let (level_x, level_y) = (mean(x), mean(y));
    let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
        x.iter().zip(y).map(|(x, y)| of(x - level_x, y - level_y)).sum()
    };
    let (xx, yy, xy) = (sum(&|x, _| x * x), sum(&|_, y| y * y), sum(&|x, y| x * y));
    (xx > 0.0 && yy > 0.0).then(|| xy / (xx * yy).sqrt())
}

/// Ranks from 1, equal values sharing their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.; values.len()];
    let mut first = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = first as f64 + 0.5 * (equal.len() as f64 + 1.);
        equal.iter().for_each(|&at| ranks[at] = rank);
        first += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_are_those_of_scipy() {
        // scipy 1.15.3, scipy.stats.spearmanr
        let a = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        let b = [2.0, 7.0, 1.0, 8.0, 2.0, 8.0, 1.0, 8.0];
        let found = rank_correlation(&a, &b).unwrap();
        assert!((found - 0.198_853_681_209_924_67).abs() < 1e-12, "{found}");
        let reversed: Vec<f64> = a.iter().map(|it| -it).collect();
        assert!((rank_correlation(&a, &reversed).unwrap() + 1.).abs() < 1e-12);
        assert_eq!(rank_correlation(&a[..2], &b[..2]), None);
    }
}
