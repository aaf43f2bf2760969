//! What a linear model reads from the same windows, before whitening.
use ndarray::{Array2, ArrayView2, Axis};
use report::{
    evidence::{Baseline, MissingBaseline},
    linear::{Logistic, ShrinkageLda, majority_class},
};
use scan::Split;

use super::EvaluateConfig;
use crate::{Result, aside::aside, event::Control, media::Media};

/// What the linear models answer, and the training windows' most frequent class.
pub(super) struct Baselines {
    pub(super) majority: usize,
    pub(super) linear: Vec<Baseline>,
    /// Models that these windows cannot be fitted with.
    pub(super) missing: Vec<MissingBaseline>,
}

pub(super) fn fit(
    config: &EvaluateConfig,
    media: &Media<'_>,
    test: &[usize],
    control: &Control<'_>,
) -> Result<Baselines> {
    let trained = media.rows_of(Split::Train)?;
    let labelled = trained.into_iter().filter_map(|row| Some((row, media.class(row)?)));
    let (rows, class): (Vec<usize>, Vec<usize>) = labelled.unzip();
    let n_classes = media.slots().scored().values.len();
    let truth: Vec<Option<usize>> = test.iter().map(|&row| media.class(row)).collect();
    let (train, test) = (features(media, &rows)?, features(media, test)?);
    let majority = majority_class(&class, n_classes)?;
    let logistic_c = config.logistic_c;
    let (linear, missing) = aside(control, move || {
        linear(train.view(), &class, n_classes, logistic_c, test.view(), &truth)
    })?;
    Ok(Baselines { majority, linear, missing })
}

/// Fits both models. One that does not converge, or that these windows do not determine, is missing: the
/// training before it is worth more than the comparison.
fn linear(
    train: ArrayView2<'_, f32>,
    class: &[usize],
    n_classes: usize,
    logistic_c: f64,
    test: ArrayView2<'_, f32>,
    truth: &[Option<usize>],
) -> (Vec<Baseline>, Vec<MissingBaseline>) {
    let logistic = Logistic::fit(train, class, n_classes, logistic_c);
    let lda = ShrinkageLda::fit(train, class, n_classes);
    let answers = [
        ("logistic regression", logistic.and_then(|it| it.predict(test))),
        ("shrinkage LDA", lda.and_then(|it| it.predict(test))),
    ];
    let (mut fitted, mut missing) = (Vec::new(), Vec::new());
    for (name, predicted) in answers {
        let name = name.to_owned();
        match predicted {
            Ok(predicted) => {
                let right = predicted.iter().zip(truth).map(|(it, truth)| Some(*it) == *truth);
                fitted.push(Baseline { name, correct: right.collect() });
            }
            Err(error) => missing.push(MissingBaseline { name, reason: error.to_string() }),
        }
    }
    (fitted, missing)
}

/// Mean over the frames of each window, or over tokens: `(n_rows, n_voxels)`.
fn features(media: &Media<'_>, rows: &[usize]) -> Result<Array2<f32>> {
    let means = rows.iter().map(|&row| media.mean_of(row)).collect::<Result<Vec<_>>>()?;
    let views: Vec<_> = means.iter().map(|mean| mean.view().insert_axis(Axis(0))).collect();
    Ok(ndarray::concatenate(Axis(0), &views).expect("windows have one width"))
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn names(train: &Array2<f32>, class: &[usize]) -> (Vec<String>, Vec<String>) {
        let test = train.slice(ndarray::s![..1, ..]);
        let (fitted, missing) = linear(train.view(), class, 2, 1.0, test, &[Some(0)]);
        assert!(missing.iter().all(|it| !it.reason.is_empty()));
        let fitted = fitted.into_iter().map(|it| it.name);
        (fitted.collect(), missing.into_iter().map(|it| it.name).collect())
    }

    #[test]
    fn a_model_that_cannot_be_fitted_is_missing_and_no_error() {
        let both = ["logistic regression".to_owned(), "shrinkage LDA".to_owned()];
        let good =
            array![[0.0, 1.0], [0.5, 0.75], [0.25, 1.5], [3.0, 0.0], [2.5, 0.25], [2.0, -0.5]];
        assert_eq!(names(&good, &[0, 0, 0, 1, 1, 1]), (both.to_vec(), Vec::new()));
        // one window of a class has no covariance
        assert_eq!(
            names(&good, &[0, 0, 0, 0, 0, 1]),
            (vec![both[0].clone()], vec![both[1].clone()])
        );
        // one feature that does not vary within classes: its covariance is singular
        let flat = array![[0.0], [0.0], [1.0], [1.0]];
        let (_, missing) = names(&flat, &[0, 0, 1, 1]);
        assert_eq!(missing, [both[1].clone()]);
        let (fitted, missing) = names(&(&good * f32::NAN), &[0, 0, 0, 1, 1, 1]);
        assert_eq!((fitted.len(), missing), (0, both.to_vec()));
    }
}
