//! Confounds from the voxels that vary most: they carry blood vessels, edges and motion.
//!
//! Source: Behzadi et al., `CompCor` (2007), as nilearn 0.14 `high_variance_confounds` has it. Two
//! passes: which voxels, then their series; the run is never held.

use nalgebra::{DMatrix, SymmetricEigen};
use ndarray::Array2;

use crate::{
    clean::{polynomials, project_out},
    error::{Error, Result},
    frames::Frames,
};

/// The main directions of the detrended series of the most varying `percent` of all voxels,
/// `(n_frames, n_confounds)`. nilearn takes 5 of 2 percent.
pub fn high_variance_confounds(
    run: &dyn Frames,
    n_confounds: usize,
    percent: f64,
) -> Result<Array2<f64>> {
    let n_frames = run.n_frames();
    if n_frames < 3 {
        let task = "finding confounds of high variance";
        return Err(Error::TooFewFrames { task, found: n_frames, expected: 3 });
    }
    if !(percent > 0.0 && percent <= 100.0) {
        let (field, expected) = ("percent", "a share above 0 and up to 100");
        return Err(Error::Setting { field, found: percent, expected });
    }
    let variances = detrended_variances(run)?;
    let limit = percentile(&variances, 100.0 - percent);
    let loud: Vec<usize> = (0..variances.len()).filter(|&v| variances[v] > limit).collect();
    let mut series = Array2::zeros((n_frames, loud.len()));
    let mut values = vec![0.0; loud.len()];
    run.each(&mut |index, frame| {
        frame.read_at(&loud, &mut values);
        series.row_mut(index).iter_mut().zip(&values).for_each(|(to, &x)| *to = finite(x));
        Ok(())
    })?;
    project_out(&polynomials(n_frames, 2), &mut series);
    let gram = series.dot(&series.t());
    let eigen = SymmetricEigen::new(DMatrix::from_fn(n_frames, n_frames, |i, j| gram[[i, j]]));
    let mut order: Vec<usize> = (0..n_frames).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    let n_confounds = n_confounds.min(n_frames);
    Ok(Array2::from_shape_fn((n_frames, n_confounds), |(t, k)| eigen.eigenvectors[(t, order[k])]))
}

/// Mean square of each voxel's series without mean and slope, from running sums.
fn detrended_variances(run: &dyn Frames) -> Result<Vec<f64>> {
    let (n_voxels, n) = (run.grid().n_voxels(), run.n_frames() as f64);
    let middle = (n - 1.0) / 2.0;
    let slope_norm: f64 = (0..run.n_frames()).map(|t| (t as f64 - middle).powi(2)).sum();
    let mut values = vec![0.0; n_voxels];
    // Sums of differences to the first frame keep the digits that the mean would take.
    let mut first = Vec::new();
    let mut sums = vec![[0.0; 3]; n_voxels];
    run.each(&mut |index, frame| {
        frame.read(&mut values);
        for x in &mut values {
            *x = finite(*x);
        }
        if index == 0 {
            first.clone_from(&values);
        }
        let time = index as f64 - middle;
        for (sums, (x, first)) in sums.iter_mut().zip(values.iter().zip(&first)) {
            let x = x - first;
            sums[0] += x;
            sums[1] += x * x;
            sums[2] += x * time;
        }
        Ok(())
    })?;
    let variance = |[sum, squares, slope]: [f64; 3]| {
        (squares - sum * sum / n - slope * slope / slope_norm) / n
    };
    Ok(sums.into_iter().map(|sums| variance(sums).max(0.0)).collect())
}

fn finite(x: f64) -> f64 {
    if x.is_finite() { x } else { 0.0 }
}

/// Linear between the two nearest ranks, as numpy's default.
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let rank = percent / 100.0 * last as f64;
    let low = (rank.floor() as usize).min(last);
    let high = (low + 1).min(last);
    sorted[low] + (sorted[high] - sorted[low]) * (rank - low as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nii::{read_bold, testing::fixture};

    #[test]
    fn percentiles_lie_between_ranks() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(percentile(&values, 0.0), 1.0);
        assert_eq!(percentile(&values, 100.0), 4.0);
        assert_eq!(percentile(&values, 25.0), 1.75);
        assert!(percentile(&[], 50.0).is_nan());
    }

    #[test]
    fn directions_are_orthonormal_without_mean_and_slope() {
        let bold = read_bold(fixture("run001/bold_25mm.nii.gz")).unwrap();
        let confounds = high_variance_confounds(&bold, 5, 2.0).unwrap();
        let gram = confounds.t().dot(&confounds);
        assert!((&gram - &Array2::<f64>::eye(5)).iter().all(|x| x.abs() < 1e-10));
        let trend = polynomials(121, 2).t().dot(&confounds);
        assert!(trend.iter().all(|x| x.abs() < 1e-10), "{trend}");
        assert!(high_variance_confounds(&bold, 5, 0.0).is_err());
    }
}
