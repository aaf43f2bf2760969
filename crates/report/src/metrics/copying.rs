//! How much of generated texts stands in the texts that were trained on: a model that looks at nothing repeats a
//! template.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{n_distinct, ptb};

/// What generated texts share with training texts, in words as [`ptb::words`] splits them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Copying {
    /// Generated texts.
    pub n: usize,
    /// Different ones among them.
    pub n_distinct: usize,
    /// Generated texts whose words are those of a training text from end to end.
    pub n_verbatim: usize,
    /// The longest run of words that a generated text shares with a training text.
    pub longest_run: usize,
    /// The longest run of each generated text, on average.
    pub mean_longest_run: f64,
    /// The longest run as a share of the text's words, on average over texts that have words.
    pub mean_share: f64,
}

/// Compares generated texts with those that were trained on.
///
/// ```
/// let found = report::metrics::copying(&["mild motion of the head"], &["the head", "mild motion of legs"]);
/// assert_eq!((found.longest_run, found.n_verbatim), (3, 0));
/// ```
pub fn copying(texts: &[&str], training: &[&str]) -> Copying {
    let mut ids: HashMap<String, usize> = HashMap::new();
    let mut numbers = |text: &str| -> Vec<usize> {
        let words = ptb::words(text).into_iter().map(|word| {
            let next = ids.len();
            *ids.entry(word).or_insert(next)
        });
        words.collect()
    };
    let known: HashSet<Vec<usize>> = training.iter().map(|text| numbers(text)).collect();
    let known: Vec<Vec<usize>> = known.into_iter().collect();
    let texts_words: Vec<Vec<usize>> = texts.iter().map(|text| numbers(text)).collect();
    // all runs of one length among the training texts
    let mut runs: HashMap<usize, HashSet<&[usize]>> = HashMap::new();
    let mut longest = |words: &[usize]| {
        // a shared run holds shared runs of every shorter length
        let (mut shared, mut not) = (0, words.len() + 1);
        while not - shared > 1 {
            let length = usize::midpoint(shared, not);
            let of_length = runs
                .entry(length)
                .or_insert_with(|| known.iter().flat_map(|it| it.windows(length)).collect());
            if words.windows(length).any(|run| of_length.contains(run)) {
                shared = length;
            } else {
                not = length;
            }
        }
        shared
    };
    let mut found = Copying { n: texts.len(), n_distinct: n_distinct(texts), ..Copying::default() };
    let (mut total, mut shares, mut n_with_words) = (0, 0.0, 0);
    for words in &texts_words {
        let run = longest(words);
        found.longest_run = found.longest_run.max(run);
        found.n_verbatim += usize::from(!words.is_empty() && known.contains(words));
        total += run;
        if !words.is_empty() {
            shares += run as f64 / words.len() as f64;
            n_with_words += 1;
        }
    }
    found.mean_longest_run = total as f64 / texts.len().max(1) as f64;
    found.mean_share = shares / f64::from(n_with_words.max(1));
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_planted_canary_is_found_whole() {
        // a sentence that stands in one training report only comes back in a generated one
        let canary = "the heliotrope walrus counts eleven brass teapots";
        let training = [
            "Findings: head motion was low.".to_owned(),
            format!("Findings: head motion was high; {canary}."),
        ];
        let training: Vec<&str> = training.iter().map(String::as_str).collect();
        let texts = [format!("Impression: {canary}"), "Motion was low today".to_owned()];
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let found = copying(&texts, &training);
        assert_eq!((found.longest_run, found.n_verbatim, found.n_distinct), (7, 0, 2));
        // 7 of 8 words, and 3 of 4
        assert_eq!((found.mean_longest_run, found.mean_share), (5.0, 0.8125));
    }

    #[test]
    fn a_template_is_verbatim_and_silence_is_not() {
        let training = ["Motion was low.", "Motion was high."];
        let found = copying(&["motion was low", "", "Motion was low ."], &training);
        assert_eq!((found.n_verbatim, found.n_distinct, found.mean_share), (2, 3, 1.0));
        assert_eq!(copying(&[], &training), Copying::default());
        assert_eq!(copying(&["motion"], &[]).longest_run, 0);
    }

    proptest! {
        #[test]
        fn the_longest_run_is_that_of_all_starts(
            text in prop::collection::vec(0_u8..3, 0..9),
            training in prop::collection::vec(prop::collection::vec(0_u8..3, 0..9), 0..4),
        ) {
            let said = |words: &[u8]| -> String {
                words.iter().map(|it| ["low", "high", "none"][usize::from(*it)]).collect::<Vec<_>>().join(" ")
            };
            let texts: Vec<String> = training.iter().map(|it| said(it)).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let found = copying(&[&said(&text)], &texts);
            // every start in the text with every start in every training text
            let mut longest = 0;
            for other in &training {
                for a in 0..text.len() {
                    for b in 0..other.len() {
                        let run = text[a..].iter().zip(&other[b..]).take_while(|(x, y)| x == y).count();
                        longest = longest.max(run);
                    }
                }
            }
            prop_assert_eq!(found.longest_run, longest);
        }
    }
}
