//! ROUGE-L: the longest common subsequence of words (Lin 2004).

use super::ptb;

/// Recall weighs this much more than precision, as in the caption metrics of COCO.
const BETA: f64 = 1.2;

/// ROUGE-L of a text against one reference, 0 to 1, over the words of the Penn Treebank: that of COCO's
/// captions, as [`caption_scores`](super::caption_scores) has it.
///
/// ```
/// use report::metrics::rouge_l;
/// assert_eq!(rouge_l("The cat sat.", "the cat sat"), 1.0);
/// assert_eq!(rouge_l("A dog.", "the cat sat"), 0.0);
/// ```
pub fn rouge_l(text: &str, reference: &str) -> f64 {
    of_words(&ptb::words(text), &[ptb::words(reference)])
}

/// The same from words: the largest precision and the largest recall over the references make the score.
pub(crate) fn of_words(text: &[String], references: &[Vec<String>]) -> f64 {
    let text = or_empty_token(text);
    let (mut precision, mut recall) = (0.0_f64, 0.0_f64);
    for reference in references {
        let reference = or_empty_token(reference);
        let common = common_subsequence(text, reference) as f64;
        precision = precision.max(common / text.len() as f64);
        recall = recall.max(common / reference.len() as f64);
    }
    f_measure(precision, recall)
}

/// A text without tokens holds one empty token: two such texts are equal.
fn or_empty_token(tokens: &[String]) -> &[String] {
    static NOTHING: [String; 1] = [String::new()];
    if tokens.is_empty() { &NOTHING } else { tokens }
}

/// Precision and recall in one number, which is 0 where either is.
fn f_measure(precision: f64, recall: f64) -> f64 {
    if precision > 0.0 && recall > 0.0 {
        (1.0 + BETA * BETA) * precision * recall / (recall + BETA * BETA * precision)
    } else {
        0.0
    }
}

/// The length of the longest common subsequence, in time `a` times `b`.
fn common_subsequence(a: &[String], b: &[String]) -> usize {
    let mut lengths = vec![0; b.len() + 1];
    for word in a {
        let mut diagonal = 0;
        for (idx, other) in b.iter().enumerate() {
            let above = lengths[idx + 1];
            lengths[idx + 1] = if word == other { diagonal + 1 } else { above.max(lengths[idx]) };
            diagonal = above;
        }
    }
    lengths[b.len()]
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "0 and 1 are exact")]
mod tests {
    use super::*;

    #[test]
    fn an_example_by_hand() {
        // "police killed the gunman" against "police kill the gunman": 3 of 4 words both ways
        assert!(
            (rouge_l("police killed the gunman", "police kill the gunman") - 0.75).abs() < 1e-12
        );
        // 2 of 2 and 2 of 4: (1 + 1.44) * 0.5 / (0.5 + 1.44)
        let short = rouge_l("the gunman", "police killed the gunman");
        assert!((short - 2.44 * 0.5 / 1.94).abs() < 1e-12, "{short}");
        // so does the sign of a number, and its point
        assert!(rouge_l("z = 2.1", "z = -2.1") < 1.0 && rouge_l("z = 2.1", "z = 2 1") < 1.0);
        // order counts
        assert!(rouge_l("a b c", "c b a") < rouge_l("a b c", "a c b"));
    }

    #[test]
    fn nothing_has_nothing_in_common() {
        assert_eq!(rouge_l("", "a"), 0.0);
        assert_eq!(rouge_l("a", ""), 0.0);
        assert_eq!(rouge_l("...", "..."), 1.0, "both are empty");
    }
}
