//! Which windows are compared with each other where there are too many for all pairs.

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    Unit,
    units::{Units, numbered},
};

/// A block needs this many carriers for a permutation within it to say something.
const CARRIERS_A_BLOCK: usize = 8;

/// Blocks of windows with about `max_pairs` pairs inside of them, or one block of all where all pairs
/// fit.
///
/// Carriers of the value (see [`super::Evidence`]) are dealt to the blocks by seed, whole within their
/// parent. Where single carriers hold too many windows for that, some of their windows are drawn, and
/// the rest are in no block.
pub fn blocks(units: &[Unit], truth: &[String], max_pairs: usize, seed: u64) -> Vec<Vec<usize>> {
    let n = units.len();
    if n < 3 || n * (n - 1) / 2 <= max_pairs {
        return vec![(0..n).collect()];
    }
    let values = numbered(truth.iter());
    let found = Units::new(units, &values);
    let (carriers, parents) = (found.of(found.carrier), found.parents());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); found.counts.at(found.carrier)];
    for (window, &carrier) in carriers.iter().enumerate() {
        members[carrier].push(window);
    }
    // n windows in blocks of `size` have about n (size - 1) / 2 pairs; where few carriers hold many
    // windows, a share of them is drawn so that a block of 8 carriers is no larger
    let mut size = (2 * max_pairs / n + 1).max(2);
    let fewest = members.len().min(CARRIERS_A_BLOCK);
    let largest = members.iter().map(Vec::len).max().unwrap_or(1);
    if size < fewest * largest {
        let side = (1..=n).take_while(|side| side * (side - 1) / 2 <= max_pairs).last();
        let each = (side.unwrap_or(2) / members.len()).max(1);
        for windows in &mut members {
            windows.shuffle(&mut rng);
            windows.truncate(each);
            windows.sort_unstable();
        }
        let left: usize = members.iter().map(Vec::len).sum();
        size = (2 * max_pairs / left + 1).max(fewest * each).max(2);
    }
    members.shuffle(&mut rng);
    // chunks of carriers that may change scans with each other; a block holds several, so that it
    // also compares parents
    members.sort_by_key(|windows| parents[windows[0]]);
    let mut chunks: Vec<Vec<usize>> = members
        .chunk_by(|a, b| parents[a[0]] == parents[b[0]])
        .flat_map(|group| group.chunks(CARRIERS_A_BLOCK))
        .map(<[Vec<usize>]>::concat)
        .collect();
    chunks.shuffle(&mut rng);
    let mut blocks: Vec<Vec<usize>> = vec![Vec::new()];
    for windows in chunks {
        let last = blocks.last_mut().expect("there is always one");
        if !last.is_empty() && last.len() + windows.len() > size {
            blocks.push(windows);
        } else {
            last.extend(windows);
        }
    }
    join_a_small_last(&mut blocks, size);
    blocks.iter_mut().for_each(|block| block.sort_unstable());
    blocks
}

/// A last block of less than half the size says little alone.
fn join_a_small_last(blocks: &mut Vec<Vec<usize>>, size: usize) {
    if blocks.len() > 1
        && blocks.last().is_some_and(|last| last.len() < size.div_ceil(2))
        && let Some(last) = blocks.pop()
        && let Some(before) = blocks.last_mut()
    {
        before.extend(last);
    }
}

/// Pairs within blocks, and pairs of all windows.
pub(super) fn n_pairs(blocks: &[Vec<usize>], n: usize) -> (usize, usize) {
    let pairs = |n: usize| n * n.saturating_sub(1) / 2;
    (blocks.iter().map(|block| pairs(block.len())).sum(), pairs(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohort(subjects: usize, windows: usize) -> (Vec<Unit>, Vec<String>) {
        let of = |idx: usize| (idx / windows, idx % windows);
        let unit = |idx: usize| Unit {
            subject: of(idx).0.to_string(),
            scan: "1".to_owned(),
            window: of(idx).1.to_string(),
            ..Unit::default()
        };
        let n = subjects * windows;
        let value = |idx: usize| format!("v{}", of(idx).0 % 2);
        ((0..n).map(unit).collect(), (0..n).map(value).collect())
    }

    #[test]
    fn where_all_pairs_fit_there_is_one_block_in_order() {
        let (units, truth) = cohort(16, 1);
        assert_eq!(blocks(&units, &truth, 120, 1), [(0..16).collect::<Vec<_>>()]);
        assert!(blocks(&units, &truth, 119, 1).len() > 1);
    }

    #[test]
    fn many_people_are_all_compared_in_blocks() {
        let (units, truth) = cohort(500, 1);
        let found = blocks(&units, &truth, 20_000, 1);
        let mut all = found.concat();
        all.sort_unstable();
        assert_eq!(all, (0..500).collect::<Vec<_>>());
        let (used, of) = n_pairs(&found, 500);
        assert_eq!(of, 500 * 499 / 2);
        assert!((16_000..24_000).contains(&used), "{used}");
        assert_eq!(found, blocks(&units, &truth, 20_000, 1));
        assert_ne!(found, blocks(&units, &truth, 20_000, 2));
    }

    #[test]
    fn a_few_people_with_many_windows_keep_all_people_and_some_windows() {
        let (units, truth) = cohort(10, 100);
        let found = blocks(&units, &truth, 20_000, 1);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].len(), 200);
        for subject in 0..10 {
            assert_eq!(found[0].iter().filter(|&&window| window / 100 == subject).count(), 20);
        }
    }

    #[test]
    fn a_block_holds_windows_of_several_people() {
        let (units, mut truth) = cohort(3, 200);
        for (idx, value) in truth.iter_mut().enumerate() {
            *value = format!("v{}", idx % 2);
        }
        for block in blocks(&units, &truth, 20_000, 1) {
            let people = numbered(block.iter().map(|window| window / 200));
            assert!(people.iter().max() > Some(&0), "{block:?}");
        }
    }

    #[test]
    fn no_person_is_parted() {
        let (units, truth) = cohort(200, 3);
        let found = blocks(&units, &truth, 20_000, 1);
        assert!(found.len() > 1);
        for subject in 0..200 {
            let holds = |block: &&Vec<usize>| block.iter().any(|window| window / 3 == subject);
            assert_eq!(found.iter().filter(holds).count(), 1);
        }
    }
}
