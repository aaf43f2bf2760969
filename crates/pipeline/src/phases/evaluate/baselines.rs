//! What linear models make of the same windows before whitening, and of what else is known of the people.
use ndarray::{Array2, ArrayView2, Axis};
use report::{
    evidence::{Baseline, MissingBaseline},
    linear::{Logistic, ShrinkageLda, majority_class},
};
use scan::Split;

use super::{config::EvaluateConfig, sources};
use crate::{Result, aside::aside, event::Control, media::Media, plan::joined};

/// What the linear models answer, and what is most frequent in training.
pub(super) struct Baselines {
    /// The most frequent training value of each scored slot; of free text the most frequent report.
    pub(super) majority: Vec<Option<String>>,
    pub(super) linear: Vec<Baseline>,
    /// Models that these windows cannot be fitted with.
    pub(super) missing: Vec<MissingBaseline>,
}

const NAMES: [&str; 2] = ["logistic regression", "shrinkage LDA"];

impl Baselines {
    /// The most frequent values in one, as windows are told apart by.
    pub(super) fn joint_majority(&self, media: &Media<'_>) -> String {
        let values: Vec<Option<&str>> = self.majority.iter().map(Option::as_deref).collect();
        if media.slots().scored_idxs().is_empty() {
            return values.first().copied().flatten().unwrap_or_default().to_owned();
        }
        joined(media.slots(), &values).unwrap_or_default()
    }
}

pub(super) fn fit(
    config: &EvaluateConfig,
    media: &Media<'_>,
    test: &[usize],
    control: &Control<'_>,
) -> Result<Baselines> {
    let trained = media.rows_of(Split::Train)?;
    let slots = media.slots();
    let nothing = |reason: &str| {
        let missing =
            |name: &str| MissingBaseline { name: name.to_owned(), reason: reason.to_owned() };
        NAMES.iter().map(|name| missing(name)).collect::<Vec<_>>()
    };
    if slots.scored_idxs().is_empty() {
        let reports = trained.iter().map(|&row| media.cohort().rows[row].report.as_str());
        let majority = vec![most_frequent(reports)];
        let missing = nothing("linear models choose among values, and free text has none");
        return Ok(Baselines { majority, linear: Vec::new(), missing });
    }
    let sources = sources::all(media, &trained, test, control)?;
    let mut majority = Vec::new();
    // by model: the answers about each slot
    let names: Vec<&str> = NAMES.into_iter().chain(sources.iter().map(|it| it.name)).collect();
    let mut right: Vec<Vec<Vec<Option<f64>>>> = vec![Vec::new(); names.len()];
    let mut missing: Vec<MissingBaseline> = Vec::new();
    let several = slots.scored_idxs().len() > 1;
    let (features_of_training, features_of_test) =
        (features(media, &trained)?, features(media, test)?);
    for &idx in slots.scored_idxs() {
        let slot = &slots.slots()[idx];
        let labelled = trained.iter().enumerate();
        let labelled = labelled.filter_map(|(at, &row)| Some((at, media.class_of(row, idx)?)));
        let (places, class): (Vec<usize>, Vec<usize>) = labelled.unzip();
        if class.is_empty() {
            let values =
                trained.iter().filter_map(|&row| media.cohort().rows[row].truths[idx].as_deref());
            majority.push(most_frequent(values));
            missing.extend(nothing(&format!("the slot {} has no classes in training", slot.name)));
            continue;
        }
        let n_classes = slot.values.len();
        let first = majority_class(&class, n_classes)?;
        // a number of that bin
        let of_class = places.iter().zip(&class).find(|(_, it)| **it == first);
        let value =
            of_class.and_then(|(&at, _)| media.cohort().rows[trained[at]].truths[idx].clone());
        majority.push(value);
        let truth: Vec<Option<usize>> = test.iter().map(|&row| media.class_of(row, idx)).collect();
        let known: Vec<bool> = truth.iter().map(Option::is_some).collect();
        let logistic_c = config.logistic_c;
        let train = features_of_training.select(Axis(0), &places);
        let others: Vec<(&'static str, Array2<f32>, Array2<f32>)> = sources
            .iter()
            .map(|it| (it.name, it.train.select(Axis(0), &places), it.test.clone()))
            .collect();
        let tested = features_of_test.clone();
        let (linear, lacks) = aside(control, move || {
            let (mut fitted, mut missing) =
                linear(train.view(), &class, n_classes, logistic_c, tested.view(), &truth);
            for (name, train, test) in others {
                let model = Logistic::fit(train.view(), &class, n_classes, logistic_c);
                take(
                    (name, model.and_then(|it| it.predict(test.view()))),
                    &truth,
                    &mut fitted,
                    &mut missing,
                );
            }
            (fitted, missing)
        })?;
        for (name, right) in names.iter().zip(&mut right) {
            let found = linear.iter().find(|it| it.name == *name);
            right.extend(found.map(|it| {
                it.correct.iter().zip(&known).map(|(it, known)| known.then_some(*it)).collect()
            }));
        }
        missing.extend(lacks.into_iter().map(|it| MissingBaseline {
            reason: if several { format!("{}: {}", slot.name, it.reason) } else { it.reason },
            name: it.name,
        }));
    }
    // a model that lacks one slot has no mean over them
    let n_slots = slots.scored_idxs().len();
    let fitted = names.iter().zip(right).filter(|(_, of_slots)| of_slots.len() == n_slots);
    let linear = fitted.map(|(name, of_slots)| Baseline {
        name: (*name).to_owned(),
        correct: (0..test.len()).map(|at| mean_known(of_slots.iter().map(|it| it[at]))).collect(),
    });
    let linear = linear.collect();
    let mut once: Vec<MissingBaseline> = Vec::new();
    for it in missing {
        if !once.iter().any(|known| known.name == it.name) {
            once.push(it);
        }
    }
    Ok(Baselines { majority, linear, missing: once })
}

/// The mean over the slots whose truth is known.
fn mean_known(right: impl Iterator<Item = Option<f64>>) -> f64 {
    let known: Vec<f64> = right.flatten().collect();
    known.iter().sum::<f64>() / known.len().max(1) as f64
}

/// The most frequent of some texts, the first of equally frequent ones.
fn most_frequent<'a>(texts: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for text in texts {
        match counts.iter_mut().find(|(known, _)| *known == text) {
            Some((_, n)) => *n += 1,
            None => counts.push((text, 1)),
        }
    }
    let most = counts.iter().map(|it| it.1).max()?;
    counts.into_iter().find(|it| it.1 == most).map(|it| it.0.to_owned())
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
        (NAMES[0], logistic.and_then(|it| it.predict(test))),
        (NAMES[1], lda.and_then(|it| it.predict(test))),
    ];
    let (mut fitted, mut missing) = (Vec::new(), Vec::new());
    for answer in answers {
        take(answer, truth, &mut fitted, &mut missing);
    }
    (fitted, missing)
}

/// Keeps what a model answers, or why it does not.
fn take(
    (name, predicted): (&str, report::Result<Vec<usize>>),
    truth: &[Option<usize>],
    fitted: &mut Vec<Baseline>,
    missing: &mut Vec<MissingBaseline>,
) {
    let name = name.to_owned();
    match predicted {
        Ok(predicted) => {
            let right = predicted.iter().zip(truth);
            let right = right.map(|(it, truth)| f64::from(u8::from(Some(*it) == *truth)));
            fitted.push(Baseline { name, correct: right.collect() });
        }
        Err(error) => missing.push(MissingBaseline { name, reason: error.to_string() }),
    }
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
