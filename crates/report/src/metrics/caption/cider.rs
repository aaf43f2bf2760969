//! CIDEr-D and CIDEr-R: cosines of n-gram counts, weighed by how rare each n-gram is in the references.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use super::{
    Caption, MAX_ORDER,
    ngrams::{Vocabulary, counts},
};

/// Spread of the length penalty of CIDEr-D, in words.
const SIGMA: f64 = 6.0;
/// Exponents of the two penalties of CIDEr-R.
const REPETITION_WEIGHT: f64 = 0.8;
const LENGTH_WEIGHT: f64 = 0.2;

/// A text as weighed n-grams.
struct Weighed<'a> {
    orders: [IndexMap<&'a [u32], f64>; MAX_ORDER],
    norms: [f64; MAX_ORDER],
    /// The number of bigrams, which both scores take for the length.
    length: f64,
}

/// CIDEr-D and CIDEr-R of every text.
pub(super) fn scores(vocabulary: &Vocabulary, captions: &[Caption]) -> (Vec<f64>, Vec<f64>) {
    let mut frequency: HashMap<&[u32], usize> = HashMap::new();
    for item in &vocabulary.items {
        let mut seen: HashSet<&[u32]> = HashSet::new();
        for words in &item.references {
            seen.extend((1..=MAX_ORDER).flat_map(|order| words.windows(order)));
        }
        seen.into_iter().for_each(|ngram| *frequency.entry(ngram).or_insert(0) += 1);
    }
    let log_n = (vocabulary.items.len() as f64).ln();
    let weigh = |words| Weighed::new(words, &frequency, log_n);

    let per_item = vocabulary.items.iter().zip(captions).map(|(item, caption)| {
        let candidate = weigh(&item.candidate);
        let words = word_counts(&caption.candidate);
        let (mut d, mut r) = (0.0, 0.0);
        for (numbers, tokens) in item.references.iter().zip(&caption.references) {
            let reference = weigh(numbers);
            let similarity = candidate.similarity(&reference);
            let delta = candidate.length - reference.length;
            d += similarity * (-delta.powi(2) / (2.0 * SIGMA.powi(2))).exp();
            let length = (-(delta / (reference.length + 1.0)).powi(2)).exp();
            let repetition = repetition(&words, &word_counts(tokens));
            r += similarity * repetition.powf(REPETITION_WEIGHT) * length.powf(LENGTH_WEIGHT);
        }
        let n = item.references.len() as f64;
        (10.0 * d / n, 10.0 * r / n)
    });
    per_item.unzip()
}

impl<'a> Weighed<'a> {
    fn new(words: &'a [u32], frequency: &HashMap<&[u32], usize>, log_n: f64) -> Self {
        let orders = counts(words).map(|counts| {
            let weigh = |(ngram, n): (&'a [u32], usize)| {
                // an n-gram of no reference counts as if one held it
                let held = frequency.get(ngram).copied().unwrap_or(0).max(1);
                (ngram, n as f64 * (log_n - (held as f64).ln()))
            };
            counts.into_iter().map(weigh).collect::<IndexMap<_, _>>()
        });
        let norms = std::array::from_fn(|order| {
            orders[order].values().map(|weight| weight * weight).sum::<f64>().sqrt()
        });
        Self { orders, norms, length: words.len().saturating_sub(1) as f64 }
    }

    /// The mean over the orders of cosines, in which no n-gram of `self` counts more often than in the
    /// reference.
    fn similarity(&self, reference: &Self) -> f64 {
        let cosine = |order: usize| {
            let shared = self.orders[order].iter().filter_map(|(ngram, own)| {
                reference.orders[order].get(ngram).map(|other| own.min(*other) * other)
            });
            let norms = self.norms[order] * reference.norms[order];
            let product: f64 = shared.sum();
            if norms == 0.0 { product } else { product / norms }
        };
        (0..MAX_ORDER).map(cosine).sum::<f64>() / MAX_ORDER as f64
    }
}

/// How often each word occurs: runs of letters, digits and `_`.
fn word_counts(tokens: &[String]) -> IndexMap<&str, usize> {
    let mut counts = IndexMap::new();
    for token in tokens {
        for word in token.split(|c: char| !c.is_alphanumeric() && c != '_') {
            if !word.is_empty() {
                *counts.entry(word).or_insert(0) += 1;
            }
        }
    }
    counts
}

/// The geometric mean over the words of a text of `1 / (1 + d)`, where `d` is how many times more or less
/// often the reference has the word; a word that the reference lacks may occur once.
fn repetition(text: &IndexMap<&str, usize>, reference: &IndexMap<&str, usize>) -> f64 {
    if text.is_empty() {
        return 1.0;
    }
    let logs = text.iter().map(|(word, n)| {
        let expected = reference.get(word).copied().unwrap_or(1);
        -(1.0 + n.abs_diff(expected) as f64).ln()
    });
    (logs.sum::<f64>() / text.len() as f64).exp()
}
