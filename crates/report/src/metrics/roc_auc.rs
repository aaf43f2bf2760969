//! Area under the receiver operating characteristic.

/// The share of pairs of a positive and a negative sample in which the positive one scores higher, ties half: the
/// area under the curve, as scikit-learn's `roc_auc_score`. None where there is no sample of one kind.
///
/// ```
/// use report::metrics::roc_auc;
/// // of scikit-learn's documentation
/// assert_eq!(roc_auc(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]), Some(0.75));
/// ```
pub fn roc_auc(score: &[f64], positive: &[bool]) -> Option<f64> {
    let mut samples: Vec<(f64, bool)> =
        score.iter().copied().zip(positive.iter().copied()).collect();
    samples.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut negatives, mut positives, mut won) = (0.0, 0.0, 0.0);
    for equal in samples.chunk_by(|a, b| a.0 == b.0) {
        let here = equal.iter().filter(|it| it.1).count() as f64;
        let others = equal.len() as f64 - here;
        won += here * (negatives + others / 2.0);
        negatives += others;
        positives += here;
    }
    (positives > 0.0 && negatives > 0.0).then(|| won / (positives * negatives))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_are_half_and_one_kind_has_none() {
        assert_eq!(roc_auc(&[0.5; 4], &[true, false, true, false]), Some(0.5));
        // pairs: 0.2 below 0.7 and 0.2, and 0.9 above both; of four, two and a half are won
        assert_eq!(roc_auc(&[0.2, 0.9, 0.7, 0.2], &[true, true, false, false]), Some(2.5 / 4.0));
        assert_eq!(roc_auc(&[0.2, 0.9], &[true, true]), None);
    }
}
