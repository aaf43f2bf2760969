//! Generated texts beside reference texts, scored as COCO's captions are (pycocoevalcap 1.2).
//!
//! All scores count the same tokens: words of the Penn Treebank as [`ptb::words`](super::ptb::words) cuts
//! them, in lower case and without most punctuation. Any other tokens give other numbers.

mod bleu;
mod cider;
mod ngrams;

use serde::{Deserialize, Serialize};

use super::{at_least, mean, ptb, rouge_l};
use crate::Result;
use ngrams::Vocabulary;

/// The longest n-grams that are counted.
const MAX_ORDER: usize = 4;

/// One generated text and what it should have said, as tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caption {
    candidate: Vec<String>,
    references: Vec<Vec<String>>,
}

/// What one text scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaptionScores {
    /// BLEU-1 to BLEU-4, 0 to 1 (Papineni et al. 2002), against the reference whose length is closest.
    pub bleu: [f64; MAX_ORDER],
    /// ROUGE-L, 0 to 1 (Lin 2004), recall weighing 1.2 times as much as precision.
    pub rouge_l: f64,
    /// CIDEr-D, 0 to 10 (Vedantam et al. 2015): what others print as CIDEr.
    pub cider_d: f64,
    /// CIDEr-R, 0 to 10 (Oliveira dos Santos et al. 2021).
    pub cider_r: f64,
}

/// What many texts score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CorpusScores {
    /// BLEU from the counts of all texts together, the means of the other scores.
    pub corpus: CaptionScores,
    /// Each text by itself, in the order given; the CIDEr scores weigh words by all references.
    pub items: Vec<CaptionScores>,
}

impl Caption {
    /// A text and its references, cut into words of the Penn Treebank.
    pub fn new<T: AsRef<str>>(text: &str, references: &[T]) -> Self {
        let references = references.iter().map(|text| ptb::words(text.as_ref())).collect();
        Self { candidate: ptb::words(text), references }
    }

    /// The same from tokens that someone else cut.
    pub fn from_tokens(candidate: Vec<String>, references: Vec<Vec<String>>) -> Self {
        Self { candidate, references }
    }
}

/// Scores texts, each against its references.
///
/// CIDEr takes the weight of a word from how many of these references hold it. So a single text scores 0,
/// as does every text where all have equal references, even a perfect copy; and scores of other test sets
/// are not comparable.
///
/// ```
/// use report::metrics::{Caption, caption_scores};
/// let items = [Caption::new("A cat.", &["a cat"]), Caption::new("A dog.", &["the dog"])];
/// let scores = caption_scores(&items).unwrap();
/// assert_eq!(scores.items[0].rouge_l, 1.0);
/// assert_eq!(caption_scores(&items[..1]).unwrap().corpus.cider_d, 0.0);
/// ```
pub fn caption_scores(captions: &[Caption]) -> Result<CorpusScores> {
    at_least("texts to score", captions.len(), 1)?;
    for caption in captions {
        at_least("references of a text", caption.references.len(), 1)?;
    }
    let vocabulary = Vocabulary::new(captions);
    let (bleu, of_items) = bleu::scores(&vocabulary);
    let (cider_d, cider_r) = cider::scores(&vocabulary, captions);
    let rouge: Vec<f64> =
        captions.iter().map(|it| rouge_l::of_words(&it.candidate, &it.references)).collect();
    let corpus = CaptionScores {
        bleu,
        rouge_l: mean(&rouge),
        cider_d: mean(&cider_d),
        cider_r: mean(&cider_r),
    };
    let items = (0..captions.len()).map(|idx| CaptionScores {
        bleu: of_items[idx],
        rouge_l: rouge[idx],
        cider_d: cider_d[idx],
        cider_r: cider_r[idx],
    });
    Ok(CorpusScores { corpus, items: items.collect() })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Made by `fixtures/metrics/make.py` with pycocoevalcap 1.2 and, for CIDEr-R, sacreeos 1.0.2.
    const RECORDED: &str = include_str!("../../../../../fixtures/metrics/captions.json");

    fn recorded() -> (Vec<Caption>, Value) {
        let recorded: Value = serde_json::from_str(RECORDED).unwrap();
        let texts = recorded["texts"].as_array().unwrap().iter().map(|item| {
            let references: Vec<String> =
                serde_json::from_value(item["references"].clone()).unwrap();
            Caption::new(item["candidate"].as_str().unwrap(), &references)
        });
        (texts.collect(), recorded)
    }

    fn assert_close(found: &CaptionScores, expected: &Value) {
        let expected: CaptionScores = serde_json::from_value(expected.clone()).unwrap();
        let list =
            |it: &CaptionScores| [&it.bleu[..], &[it.rouge_l, it.cider_d, it.cider_r]].concat();
        for (found, expected) in list(found).iter().zip(list(&expected)) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn scores_are_those_of_pycocoevalcap() {
        let (captions, recorded) = recorded();
        let found = caption_scores(&captions).unwrap();
        assert_close(&found.corpus, &recorded["all"]["corpus"]);
        for (found, expected) in
            found.items.iter().zip(recorded["all"]["items"].as_array().unwrap())
        {
            assert_close(found, expected);
        }
        assert!(found.corpus.cider_d > 0.5 && found.corpus.bleu[3] > 0.1);
    }

    #[test]
    fn a_single_text_has_no_cider() {
        let (captions, recorded) = recorded();
        let found = caption_scores(&captions[..1]).unwrap();
        assert_close(&found.corpus, &recorded["first"]["corpus"]);
        assert_eq!((found.corpus.cider_d, found.corpus.cider_r), (0.0, 0.0));
    }

    #[test]
    fn equal_references_leave_cider_nothing_to_weigh() {
        let same = Caption::new("the same words", &["the same words"]);
        let found = caption_scores(&[same.clone(), same]).unwrap().corpus;
        assert_eq!((found.rouge_l, found.cider_d, found.cider_r), (1.0, 0.0, 0.0));
    }

    #[test]
    fn an_empty_text_is_equal_to_an_empty_reference_for_rouge_alone() {
        let found = caption_scores(&[Caption::new("", &["..."])]).unwrap().corpus;
        assert_eq!((found.rouge_l, found.bleu[0]), (1.0, 0.0));
    }

    #[test]
    fn a_copy_scores_one_and_cider_ten() {
        let texts = ["one two three four five", "six seven eight nine ten"];
        let captions = texts.map(|text| Caption::new(text, &[text]));
        let found = caption_scores(&captions).unwrap().corpus;
        assert!((found.bleu[3] - 1.0).abs() < 1e-6 && found.bleu[3] < 1.0, "BLEU stays below 1");
        assert!((found.cider_d - 10.0).abs() < 1e-12 && (found.cider_r - 10.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_to_score_is_an_error() {
        let error = caption_scores(&[]).unwrap_err().to_string();
        assert_eq!(error, "texts to score: found 0, expected at least 1");
        let without = Caption::from_tokens(vec!["a".to_owned()], Vec::new());
        let error = caption_scores(&[without]).unwrap_err().to_string();
        assert_eq!(error, "references of a text: found 0, expected at least 1");
    }
}
