//! Controls on what was written: the scored slot with the right scan, another one, and none.

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{EvidenceConfig, EvidenceInput, units::Units};
use crate::{
    Result,
    metrics::{Interval, mean, mean_share_interval},
};

/// Accuracy when the scans are dealt to the prompts at random.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shuffled {
    /// Mean over all deals. A deal is a uniform permutation and may give a window its own scan.
    pub mean: f64,
    /// The mean, and the interval over units of the accuracy that every window expects.
    pub interval: Interval,
    /// `(1 + #{deals at least as good as the real one}) / (1 + deals)`.
    pub p: f64,
    /// The accuracy of each deal.
    pub draws: Vec<f64>,
}

impl Shuffled {
    pub(super) fn of(
        input: &EvidenceInput,
        units: &Units,
        config: &EvidenceConfig,
    ) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let mut deals: Vec<Vec<usize>> =
            input.blocks.iter().map(|block| (0..block.len()).collect()).collect();
        let draws: Vec<f64> = (0..config.n_shuffles)
            .map(|_| {
                deals.iter_mut().for_each(|deal| deal.shuffle(&mut rng));
                let dealt = input.blocks.iter().zip(&deals).flat_map(|(block, deal)| {
                    block.iter().zip(deal).map(|(&window, &scan)| input.right(window, scan))
                });
                average(dealt)
            })
            .collect();
        let estimate = mean(&draws);
        let real = average(input.compared().map(|(window, place)| input.right(window, place)));
        let reached = draws.iter().filter(|&&draw| draw >= real).count();
        let (expected, cluster): (Vec<f64>, Vec<usize>) = input
            .compared()
            .map(|(window, _)| {
                let scans = 0..input.value[window].len();
                let right = average(scans.map(|scan| input.right(window, scan)));
                (right, units.resampled()[window])
            })
            .unzip();
        let n_seen = input.value.iter().map(Vec::len).sum();
        let Interval { low, high, .. } = mean_share_interval(&expected, &cluster, n_seen)?;
        Ok(Self {
            mean: estimate,
            interval: Interval { estimate, low: low.min(estimate), high: high.max(estimate) },
            p: (1 + reached) as f64 / (1 + draws.len()) as f64,
            draws,
        })
    }
}

/// How right each window is with its own scan: of one slot 1 where it is the true value, 0 elsewhere.
pub(super) fn real(input: &EvidenceInput) -> Vec<f64> {
    match &input.shares {
        Some(shares) => shares.stated.clone(),
        None => right(&input.stated, &input.truth),
    }
}

/// The same without a scan.
pub(super) fn without_scan(input: &EvidenceInput) -> Vec<f64> {
    match &input.shares {
        Some(shares) => shares.no_scan.clone(),
        None => right(&input.no_scan, &input.truth),
    }
}

/// The same when the most frequent training value is always stated.
pub(super) fn majority(input: &EvidenceInput) -> Vec<f64> {
    match &input.shares {
        Some(shares) => shares.majority.clone(),
        None => input.truth.iter().map(|truth| number(*truth == input.majority)).collect(),
    }
}

fn right(stated: &[Option<String>], truth: &[String]) -> Vec<f64> {
    let pairs = stated.iter().zip(truth);
    pairs.map(|(stated, truth)| number(stated.as_ref() == Some(truth))).collect()
}

/// The share of pairs of a window and another scan in which the answer changes.
pub(super) fn sensitivity(input: &EvidenceInput) -> f64 {
    average(input.compared().flat_map(|(window, own)| {
        let row = &input.value[window];
        (0..row.len())
            .filter(move |&scan| scan != own)
            .map(move |scan| number(row[scan] != row[own]))
    }))
}

/// Of the windows whose report states a value, the share that state the same without a scan; `None` where none
/// states any.
pub fn unchanged(stated: &[Option<String>], no_scan: &[Option<String>]) -> Option<f64> {
    let both = stated.iter().zip(no_scan).filter(|(stated, _)| stated.is_some());
    let (n, same) =
        both.fold((0_u32, 0_u32), |(n, same), (own, none)| (n + 1, same + u32::from(own == none)));
    (n > 0).then(|| f64::from(same) / f64::from(n))
}

fn average(answers: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut all) = (0.0, 0);
    for answer in answers {
        sum += answer;
        all += 1;
    }
    if all == 0 { 0.0 } else { sum / f64::from(all) }
}

fn number(answer: bool) -> f64 {
    f64::from(u8::from(answer))
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "shares of small counts are exact")]
mod tests {
    use super::*;
    use crate::evidence::example;

    fn shuffled(input: &EvidenceInput, n_shuffles: usize) -> Shuffled {
        let config = EvidenceConfig { n_shuffles, ..EvidenceConfig::standard(5) };
        let values: Vec<usize> = (0..input.truth.len()).map(|idx| idx % 4).collect();
        Shuffled::of(input, &Units::new(&input.units, &values), &config).unwrap()
    }

    #[test]
    fn shuffled_accuracy_is_that_of_a_random_pair() {
        // 16 windows, 4 values, a model that states what it sees: a random scan is right in 1 of 4
        let shuffled = shuffled(&example::seeing(16), 20_000);
        assert!((shuffled.mean - 0.25).abs() < 0.005, "{}", shuffled.mean);
        // every window expects exactly that
        assert!(shuffled.interval.width() < 0.01, "{}", shuffled.interval);
        assert!(shuffled.p < 0.001);
    }

    #[test]
    fn scans_are_dealt_within_blocks() {
        // each block holds one value only, so that no deal is ever wrong
        let mut input = example::seeing(4);
        input.truth = ["a", "a", "b", "b"].map(str::to_owned).to_vec();
        input.blocks = vec![vec![0, 1], vec![2, 3]];
        input.value = input.truth.iter().map(|it| vec![Some(it.clone()); 2]).collect();
        assert_eq!(shuffled(&input, 10).mean, 1.0);
    }

    #[test]
    fn sensitivity_leaves_out_the_own_scan() {
        // of the 15 other scans 3 show the same value
        assert!((sensitivity(&example::seeing(16)) - 12.0 / 15.0).abs() < 1e-12);
        assert_eq!(sensitivity(&example::blind(16)), 0.0);
    }

    #[test]
    fn what_is_claimed_without_a_scan_too_is_counted() {
        // of 8 windows 2 show a cat, which is also said of no scan
        let mut input = example::seeing(8);
        assert_eq!(unchanged(&input.stated, &input.no_scan), Some(0.25));
        let blind = example::blind(8);
        assert_eq!(unchanged(&blind.stated, &blind.no_scan), Some(1.0));
        input.stated[0] = None;
        assert_eq!(unchanged(&input.stated, &input.no_scan), Some(1.0 / 7.0));
        input.stated.fill(None);
        assert_eq!(unchanged(&input.stated, &vec![None; 8]), None);
    }

    #[test]
    fn silence_is_never_right() {
        let mut input = example::seeing(8);
        input.stated[2] = None;
        input.no_scan = vec![None; 8];
        assert_eq!(mean(&real(&input)), 7.0 / 8.0);
        assert_eq!(mean(&without_scan(&input)), 0.0);
        assert_eq!(mean(&majority(&input)), 0.25);
    }
}
