//! Words as numbers, and how often runs of them occur.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::{Caption, MAX_ORDER};

/// The words of many texts, numbered; equal numbers are equal words.
pub(super) struct Vocabulary {
    pub(super) items: Vec<Numbered>,
}

/// One text and its references.
pub(super) struct Numbered {
    pub(super) candidate: Vec<u32>,
    pub(super) references: Vec<Vec<u32>>,
}

/// How often each run of `n` words occurs, in the order in which they occur first.
pub(super) type Counts<'a> = [IndexMap<&'a [u32], usize>; MAX_ORDER];

impl Vocabulary {
    pub(super) fn new(captions: &[Caption]) -> Self {
        let mut known = HashMap::new();
        let mut numbers = |tokens: &[String]| -> Vec<u32> {
            let mut list = Vec::new();
            // a token may hold a no-break space; what counts n-grams sees two words there
            for word in tokens.iter().flat_map(|token| token.split(is_space)) {
                if !word.is_empty() {
                    let next = known.len() as u32;
                    list.push(*known.entry(word.to_owned()).or_insert(next));
                }
            }
            list
        };
        let items = captions.iter().map(|caption| Numbered {
            candidate: numbers(&caption.candidate),
            references: caption.references.iter().map(|tokens| numbers(tokens)).collect(),
        });
        Self { items: items.collect() }
    }
}

/// The runs of one to four words of a text.
pub(super) fn counts(words: &[u32]) -> Counts<'_> {
    std::array::from_fn(|order| {
        let mut counts = IndexMap::new();
        for ngram in words.windows(order + 1) {
            *counts.entry(ngram).or_insert(0) += 1;
        }
        counts
    })
}

/// What Python's `str.split` splits at: Unicode's spaces and four separators of ASCII.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}
