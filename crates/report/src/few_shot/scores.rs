//! What the answers of one number of shots are worth, in the units that OpenFlamingo prints.

use serde::{Deserialize, Serialize};

use crate::{
    Result,
    metrics::{
        Caption, CaptionScores, Clusters, Draws, Interval, caption_scores, roc_auc, same_length,
    },
};

/// Captions of a set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaptionSetScores {
    /// 100 times CIDEr-D; the words keep the weights that the whole set gives them in every draw.
    pub cider_x100: Interval,
    /// All scores of the whole set.
    pub texts: CaptionScores,
}

/// Short answers of a set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerScores {
    /// VQA accuracy in percent.
    pub vqa_accuracy_percent: Interval,
}

/// Chosen classes of a set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// Share of right classes.
    pub accuracy: Interval,
    /// Area under the receiver operating characteristic, of two classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roc_auc: Option<Interval>,
}

/// One item whose class was chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassifiedItem {
    /// Whether the class is right.
    pub right: bool,
    /// Of two classes: the probability of the second, and whether it is the right one.
    pub second: Option<(f64, bool)>,
}

/// Scores of captions, each with what people wrote, and 100 times CIDEr-D of each; `unit` says which captions are
/// of one picture, from 0.
///
/// ```
/// use report::few_shot::{Draws, caption_set_scores};
/// let written = ["a cat", "a dog"].map(str::to_owned);
/// let people = [vec!["a cat".to_owned()], vec!["the dog".to_owned()]];
/// let draws = Draws { n: 100, seed: 1 };
/// let (scores, each) = caption_set_scores(&written, &people, &[0, 1], draws).unwrap();
/// assert_eq!(scores.cider_x100.estimate, (each[0] + each[1]) / 2.0);
/// ```
pub fn caption_set_scores(
    written: &[String],
    people: &[Vec<String>],
    unit: &[usize],
    draws: Draws,
) -> Result<(CaptionSetScores, Vec<f64>)> {
    same_length("references", people.len(), written.len())?;
    same_length("units", unit.len(), written.len())?;
    let captions: Vec<Caption> =
        written.iter().zip(people).map(|(text, people)| Caption::new(text, people)).collect();
    let scores = caption_scores(&captions)?;
    let cider: Vec<f64> = scores.items.iter().map(|it| 100.0 * it.cider_d).collect();
    let cider_x100 = Clusters::of(unit).mean(draws, &cider);
    Ok((CaptionSetScores { cider_x100, texts: scores.corpus }, cider))
}

/// Scores of short answers from the accuracy of each, 0 to 1.
pub fn answer_scores(accuracy: &[f64], unit: &[usize], draws: Draws) -> Result<AnswerScores> {
    same_length("units", unit.len(), accuracy.len())?;
    let percent: Vec<f64> = accuracy.iter().map(|it| 100.0 * it).collect();
    Ok(AnswerScores { vqa_accuracy_percent: Clusters::of(unit).mean(draws, &percent) })
}

/// Scores of chosen classes; draws in which one of two classes is not there give no area.
pub fn class_scores(items: &[ClassifiedItem], unit: &[usize], draws: Draws) -> Result<ClassScores> {
    same_length("units", unit.len(), items.len())?;
    let units = Clusters::of(unit);
    let right: Vec<f64> = items.iter().map(|it| f64::from(u8::from(it.right))).collect();
    let second: Option<Vec<(f64, bool)>> = items.iter().map(|it| it.second).collect();
    let area = second.map(|second| {
        units.interval(draws, |drawn| {
            let (score, is_second): (Vec<f64>, Vec<bool>) = drawn.map(|it| second[it]).unzip();
            roc_auc(&score, &is_second).unwrap_or(f64::NAN)
        })
    });
    // both classes must occur
    let roc_auc = area.filter(|it| it.estimate.is_finite());
    Ok(ClassScores { accuracy: units.mean(draws, &right), roc_auc })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: Draws = Draws { n: 2000, seed: 1 };

    #[test]
    fn answers_of_one_picture_are_drawn_together() {
        let worth: Vec<f64> = (0..40).map(|item| f64::from(item / 10 % 2)).collect();
        let alone: Vec<usize> = (0..40).collect();
        let of_four: Vec<usize> = (0..40).map(|item| item / 10).collect();
        let [alone, together] = [alone, of_four]
            .map(|unit| answer_scores(&worth, &unit, DRAWS).unwrap().vqa_accuracy_percent);
        assert_eq!((alone.estimate, together.estimate), (50.0, 50.0));
        // four pictures, two of them right: the mean of four draws
        assert_eq!((together.low, together.high), (0.0, 100.0));
        assert!(alone.low > 30.0 && alone.high < 70.0, "{alone}");
    }

    #[test]
    fn answers_that_are_all_worth_the_same_have_no_known_interval() {
        let found = answer_scores(&[0.0; 5], &[0, 1, 2, 3, 4], DRAWS).unwrap().vqa_accuracy_percent;
        assert_eq!(found.to_string(), "0.00 [interval unknown]");
    }

    #[test]
    fn two_classes_have_an_area_and_more_have_none() {
        // scikit-learn's example: 0.75
        let items = [(0.1, false), (0.4, false), (0.35, true), (0.8, true)]
            .map(|it| ClassifiedItem { right: (it.0 > 0.5) == it.1, second: Some(it) });
        let found = class_scores(&items, &[0, 1, 2, 3], DRAWS).unwrap();
        assert_eq!(found.roc_auc.unwrap().estimate, 0.75);
        assert_eq!(found.accuracy.estimate, 0.75);
        let many = items.map(|it| ClassifiedItem { second: None, ..it });
        assert!(class_scores(&many, &[0, 1, 2, 3], DRAWS).unwrap().roc_auc.is_none());
        assert!(class_scores(&items[2..], &[0, 1], DRAWS).unwrap().roc_auc.is_none());
    }

    #[test]
    fn captions_have_a_hundred_times_cider() {
        let written = ["a cat on a mat", "a dog in the sun", "a red house"].map(str::to_owned);
        let people = ["a cat on a mat", "the dog in the sun", "two blue boats"];
        let people = people.map(|it| vec![it.to_owned()]);
        let (found, each) = caption_set_scores(&written, &people, &[0, 1, 2], DRAWS).unwrap();
        assert!(each[0] > each[1] && each[2] < 1e-9, "{each:?}");
        assert!((found.cider_x100.estimate - 100.0 * found.texts.cider_d).abs() < 1e-9);
        assert!(found.cider_x100.low < found.cider_x100.estimate);
    }
}
