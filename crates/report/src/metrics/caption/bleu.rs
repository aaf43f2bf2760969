//! BLEU-1 to BLEU-4 of a corpus and of each text in it.

use super::{
    MAX_ORDER,
    ngrams::{Numbered, Vocabulary, counts},
};

/// Keeps products of precisions from being exactly 0 where no word could be right.
const TINY: f64 = 1e-15;
/// Keeps divisions by the number of n-grams possible where there is none.
const SMALL: f64 = 1e-9;

/// What is added up over texts.
#[derive(Default)]
struct Totals {
    matched: [usize; MAX_ORDER],
    written: [usize; MAX_ORDER],
    length: usize,
    reference_length: usize,
}

/// BLEU of all texts together, and of each.
pub(super) fn scores(vocabulary: &Vocabulary) -> ([f64; MAX_ORDER], Vec<[f64; MAX_ORDER]>) {
    let mut all = Totals::default();
    let of_items = vocabulary.items.iter().map(|item| {
        let one = Totals::of(item);
        for order in 0..MAX_ORDER {
            all.matched[order] += one.matched[order];
            all.written[order] += one.written[order];
        }
        all.length += one.length;
        all.reference_length += one.reference_length;
        one.bleu()
    });
    let of_items = of_items.collect();
    (all.bleu(), of_items)
}

impl Totals {
    fn of(item: &Numbered) -> Self {
        let length = item.candidate.len();
        // of two references equally close, the shorter
        let closest = item.references.iter().map(Vec::len).min_by_key(|n| (n.abs_diff(length), *n));
        let references: Vec<_> = item.references.iter().map(|words| counts(words)).collect();
        let mut totals = Self { length, reference_length: closest.unwrap_or(0), ..Self::default() };
        for (order, candidate) in counts(&item.candidate).iter().enumerate() {
            totals.written[order] = length.saturating_sub(order);
            for (ngram, &n) in candidate {
                let most = references.iter().filter_map(|it| it[order].get(ngram)).max();
                totals.matched[order] += n.min(most.copied().unwrap_or(0));
            }
        }
        totals
    }

    /// The geometric mean of the precisions, times the brevity penalty.
    fn bleu(&self) -> [f64; MAX_ORDER] {
        let ratio = (self.length as f64 + TINY) / (self.reference_length as f64 + SMALL);
        let brevity = if ratio < 1.0 { (1.0 - 1.0 / ratio).exp() } else { 1.0 };
        let mut product = 1.0;
        std::array::from_fn(|order| {
            product *= (self.matched[order] as f64 + TINY) / (self.written[order] as f64 + SMALL);
            product.powf(1.0 / (order as f64 + 1.0)) * brevity
        })
    }
}
