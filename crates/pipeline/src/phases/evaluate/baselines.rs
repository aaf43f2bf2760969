//! What a linear model reads from the same windows, before whitening.
use ndarray::{Array2, Axis};
use report::{
    evidence::Baseline,
    linear::{Logistic, ShrinkageLda, majority_class},
};
use scan::Split;

use super::EvaluateConfig;
use crate::{Result, media::Media};

/// What the linear models answer, and the training windows' most frequent class.
pub(super) struct Baselines {
    pub(super) majority: usize,
    pub(super) linear: Vec<Baseline>,
}

pub(super) fn fit(config: &EvaluateConfig, state: &Media<'_>, test: &[usize]) -> Result<Baselines> {
    let trained = state.rows_of(Split::Train)?;
    let labelled = trained.into_iter().filter_map(|row| Some((row, state.class(row)?)));
    let (rows, class): (Vec<usize>, Vec<usize>) = labelled.unzip();
    let n_classes = state.slots().scored().values.len();
    let truth: Vec<Option<usize>> = test.iter().map(|&row| state.class(row)).collect();
    let (train, test) = (features(state, &rows)?, features(state, test)?);
    let logistic = Logistic::fit(train.view(), &class, n_classes, config.logistic_c)?;
    let lda = ShrinkageLda::fit(train.view(), &class, n_classes)?;
    let baseline = |name: &str, predicted: Vec<usize>| Baseline {
        name: name.to_owned(),
        correct: predicted.iter().zip(&truth).map(|(it, truth)| Some(*it) == *truth).collect(),
    };
    Ok(Baselines {
        majority: majority_class(&class, n_classes)?,
        linear: vec![
            baseline("logistic regression", logistic.predict(test.view())?),
            baseline("shrinkage LDA", lda.predict(test.view())?),
        ],
    })
}

/// Mean over the frames of each window, or over tokens: `(n_rows, n_voxels)`.
fn features(state: &Media<'_>, rows: &[usize]) -> Result<Array2<f32>> {
    let means = rows.iter().map(|&row| state.mean_of(row)).collect::<Result<Vec<_>>>()?;
    let views: Vec<_> = means.iter().map(|mean| mean.view().insert_axis(Axis(0))).collect();
    Ok(ndarray::concatenate(Axis(0), &views).expect("windows have one width"))
}
