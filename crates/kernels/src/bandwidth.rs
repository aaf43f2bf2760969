//! How fast memory can be read: what the products with few rows are measured by.

use rayon::prelude::*;

/// Words a thread reads at a time.
const PIECE: usize = 1 << 16;

/// The exclusive or of all words, by all threads, with nothing to wait for but memory.
pub fn read_all(words: &[u64]) -> u64 {
    const LANES: usize = 32;
    let piece = |words: &[u64]| {
        let (whole, rest) = words.as_chunks::<LANES>();
        let mut lanes = [0; LANES];
        for words in whole {
            for (lane, word) in lanes.iter_mut().zip(words) {
                *lane ^= word;
            }
        }
        lanes.iter().chain(rest).fold(0, |all, word| all ^ word)
    };
    // one piece a task, so that nobody is left with the last ones
    words.par_chunks(PIECE).with_max_len(1).map(piece).reduce(|| 0, |a, b| a ^ b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::on_worker;

    #[test]
    fn every_word_is_read() {
        let words: Vec<u64> = (0..3 * PIECE as u64 + 7).collect();
        assert_eq!(on_worker(|| read_all(&words)), words.iter().fold(0, |a, b| a ^ b));
    }
}
