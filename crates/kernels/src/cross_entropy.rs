//! Cross-entropy of rows of logits against one target each.

use rayon::prelude::*;

use crate::Real;
use crate::rows::map_rows;

fn log_sum_exp<T: Real>(logits: &[T]) -> T {
    let max = logits.iter().copied().fold(T::LOWEST, |a, b| if b > a { b } else { a });
    max + logits.iter().map(|&x| (x - max).exp()).sum::<T>().ln()
}

/// `−log softmax(logits)[target]` for every row of `n_classes` logits.
pub fn cross_entropy<T: Real>(logits: &[T], targets: &[u32], n_classes: usize) -> Vec<T> {
    logits
        .par_chunks(n_classes)
        .zip(targets)
        .map(|(row, &target)| log_sum_exp(row) - row[target as usize])
        .collect()
}

/// Gradient of [`cross_entropy`]: `(softmax(logits) − one_hot(target)) · dloss`, row by row.
pub fn cross_entropy_backward<T: Real>(
    logits: &[T],
    targets: &[u32],
    dlosses: &[T],
    n_classes: usize,
    dlogits: &mut [T],
) {
    map_rows(logits, dlogits, n_classes, |row, x, dx| {
        let total = log_sum_exp(x);
        for (dx, &x) in dx.iter_mut().zip(x) {
            *dx = (x - total).exp() * dlosses[row];
        }
        dx[targets[row] as usize] += -dlosses[row];
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_logits_cost_the_log_of_their_number_and_the_gradient_sums_to_zero() {
        let logits = [2f64; 5];
        let loss = cross_entropy(&logits, &[3], 5);
        assert!((loss[0] - 5f64.ln()).abs() < 1e-15);
        let mut dlogits = [0.; 5];
        cross_entropy_backward(&logits, &[3], &[1.], 5, &mut dlogits);
        assert!(dlogits.iter().sum::<f64>().abs() < 1e-15);
        assert!((dlogits[3] + 0.8).abs() < 1e-15);
    }
}
