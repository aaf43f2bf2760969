//! From the windows of a run to one vector, and from runs to a subject.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Weight of each window in the vector of its run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunPooling {
    /// Equal weights.
    #[default]
    Mean,
    /// By the inverse of its mean framewise displacement: a window with less motion counts more.
    InverseFd,
}

impl RunPooling {
    /// Weights of windows from their mean framewise displacement in mm; `None` where it is needed
    /// and not known.
    ///
    /// Displacement below 0.01 mm, finer than it is measured, counts as that.
    pub fn weights(self, n_windows: usize, fd_mm: Option<&[f64]>) -> Option<Vec<f64>> {
        const FINEST_MM: f64 = 0.01;
        match self {
            Self::Mean => Some(vec![1.0; n_windows]),
            Self::InverseFd => {
                let fd_mm = fd_mm.filter(|it| it.len() == n_windows)?;
                let known = fd_mm.iter().all(|it| it.is_finite());
                known.then(|| fd_mm.iter().map(|fd| 1.0 / fd.max(FINEST_MM)).collect())
            }
        }
    }
}

/// Σ wᵢ xᵢ / Σ wᵢ of vectors of one length; `None` without vectors or weight.
pub fn weighted_mean(vectors: &[Vec<f64>], weights: &[f64]) -> Option<Vec<f64>> {
    let total: f64 = weights.iter().sum();
    let dim = vectors.first()?.len();
    if vectors.len() != weights.len() || total <= 0.0 || vectors.iter().any(|it| it.len() != dim) {
        return None;
    }
    let mut mean = vec![0.0; dim];
    for (vector, weight) in vectors.iter().zip(weights) {
        mean.iter_mut().zip(vector).for_each(|(sum, x)| *sum += weight / total * x);
    }
    Some(mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_still_window_counts_more() {
        let weights = RunPooling::InverseFd.weights(2, Some(&[0.1, 0.3])).unwrap();
        let mean = weighted_mean(&[vec![1.0, 0.0], vec![5.0, 4.0]], &weights).unwrap();
        // weights 3 : 1
        assert!((mean[0] - 2.0).abs() < 1e-12 && (mean[1] - 1.0).abs() < 1e-12, "{mean:?}");
        let alike = RunPooling::Mean.weights(2, None).unwrap();
        assert_eq!(weighted_mean(&[vec![1.0], vec![5.0]], &alike).unwrap(), [3.0]);
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        assert!(RunPooling::InverseFd.weights(2, None).is_none());
        assert!(RunPooling::InverseFd.weights(2, Some(&[0.1])).is_none());
        assert!(RunPooling::InverseFd.weights(1, Some(&[f64::NAN])).is_none());
        assert!(weighted_mean(&[], &[]).is_none());
        assert!(weighted_mean(&[vec![1.0], vec![1.0, 2.0]], &[1.0, 1.0]).is_none());
    }
}
