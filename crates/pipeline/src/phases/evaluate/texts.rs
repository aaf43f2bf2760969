//! The generated texts beside the true ones, token by token.

use std::fmt;

use report::{
    counted,
    metrics::{Caption, CaptionScores, caption_scores},
};
use serde::{Deserialize, Serialize};

use crate::Result;

/// Likeness of all generated texts to the true ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TextScores {
    /// Texts, each with one reference.
    pub(crate) n: usize,
    #[serde(flatten)]
    pub(crate) scores: CaptionScores,
    /// Why `CIDEr` says nothing, where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

impl TextScores {
    /// Scores pairs of a generated and a true text.
    pub(super) fn of(pairs: &[(&str, &str)]) -> Result<Self> {
        let captions: Vec<Caption> =
            pairs.iter().map(|(text, truth)| Caption::new(text, &[truth])).collect();
        let note = match pairs {
            [_] => Some("CIDEr is 0 for a single text"),
            [first, rest @ ..] if rest.iter().all(|it| it.1 == first.1) => {
                Some("CIDEr is 0 where all true texts are equal")
            }
            _ => None,
        };
        let scores = caption_scores(&captions)?.corpus;
        Ok(Self { n: pairs.len(), scores, note: note.map(str::to_owned) })
    }
}

impl fmt::Display for TextScores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CaptionScores { bleu, rouge_l, cider_d, cider_r } = &self.scores;
        write!(
            f,
            "BLEU-4 {:.2}, ROUGE-L {rouge_l:.2}, CIDEr-D {cider_d:.2}, CIDEr-R {cider_r:.2} (CIDEr of 10; {})",
            bleu[3],
            counted(self.n, "text"),
        )?;
        self.note.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_the_scores_and_why_cider_is_none() {
        let of = |pairs: &[(&str, &str)]| TextScores::of(pairs).unwrap();
        let two = of(&[("a cat sits there", "a cat sits there"), ("a dog", "one dog ran off")]);
        assert!(two.note.is_none() && two.scores.cider_d > 5.0, "{two}");
        assert!(two.to_string().ends_with("(CIDEr of 10; 2 texts)"), "{two}");
        let one = of(&[("a cat sits there", "a cat sits there")]);
        assert_eq!(
            one.to_string(),
            "BLEU-4 1.00, ROUGE-L 1.00, CIDEr-D 0.00, CIDEr-R 0.00 (CIDEr of 10; 1 text); \
             CIDEr is 0 for a single text"
        );
        let equal = of(&[("a cat", "a cat"), ("a dog", "a cat")]);
        assert!(equal.to_string().ends_with("where all true texts are equal"), "{equal}");
        let json = serde_json::to_value(&equal).unwrap();
        assert_eq!(json["n"], 2);
        assert_eq!(serde_json::from_value::<TextScores>(json).unwrap(), equal);
    }
}
