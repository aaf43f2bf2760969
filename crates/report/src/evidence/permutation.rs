//! How often chance pairs reports and scans as well: whole carriers of a value change scans within
//! their parent.

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{EvidenceConfig, EvidenceInput, units::Units};

/// `(1 + #{random pairings at least as likely as the real one}) / (1 + pairings)`.
pub(super) fn p_value(input: &EvidenceInput, units: &Units, config: &EvidenceConfig) -> f64 {
    // a pairing that is the same up to rounding counts as reached
    const ROUNDING: f64 = 1e-9;
    let blocks: Vec<Block> =
        input.blocks.iter().map(|block| Block::new(input, units, block)).collect();
    let real: f64 = blocks.iter().map(Block::real).sum();
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    let reached = (0..config.n_permutations)
        .filter(|_| {
            let total: f64 = blocks.iter().map(|block| block.shuffled(&mut rng)).sum();
            total <= real + ROUNDING
        })
        .count();
    (1 + reached) as f64 / (1 + config.n_permutations) as f64
}

/// Mean likelihoods of carriers with each other's scans, and who may change scans with whom.
struct Block {
    nll: Vec<Vec<f64>>,
    groups: Vec<Vec<usize>>,
}

impl Block {
    fn new(input: &EvidenceInput, units: &Units, block: &[usize]) -> Self {
        let (carriers, parents) = (units.of(units.carrier), units.parents());
        let place = super::units::numbered(block.iter().map(|&window| carriers[window]));
        let n_carriers = place.iter().max().map_or(0, |last| last + 1);
        let mut sizes = vec![0.0; n_carriers];
        let mut members: Vec<(usize, usize)> = Vec::new();
        for (&carrier, &window) in place.iter().zip(block) {
            if sizes[carrier] == 0.0 {
                members.push((parents[window], carrier));
            }
            sizes[carrier] += 1.0;
        }
        let mut nll = vec![vec![0.0; n_carriers]; n_carriers];
        for (&row, &window) in place.iter().zip(block) {
            for (&column, value) in place.iter().zip(&input.nll[window]) {
                nll[row][column] += value / sizes[row] / sizes[column];
            }
        }
        members.sort_unstable();
        let groups = members.chunk_by(|a, b| a.0 == b.0);
        let groups = groups.map(|group| group.iter().map(|it| it.1).collect()).collect();
        Self { nll, groups }
    }

    fn real(&self) -> f64 {
        (0..self.nll.len()).map(|carrier| self.nll[carrier][carrier]).sum()
    }

    fn shuffled(&self, rng: &mut ChaCha8Rng) -> f64 {
        let mut total = 0.0;
        for group in &self.groups {
            let mut scans = group.clone();
            scans.shuffle(rng);
            total += group.iter().zip(scans).map(|(&own, other)| self.nll[own][other]).sum::<f64>();
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::example;

    fn p(input: &EvidenceInput, values: &[usize], n_permutations: usize) -> f64 {
        let config = EvidenceConfig { n_permutations, ..EvidenceConfig::standard(1) };
        p_value(input, &Units::new(&input.units, values), &config)
    }

    #[test]
    fn three_windows_of_a_run_reach_one_in_six() {
        // only the identity of the six pairings is as likely
        let mut input = example::seeing(3);
        input.nll = vec![vec![0.0, 1.0, 1.0], vec![1.0, 0.0, 1.0], vec![1.0, 1.0, 0.0]];
        let found = p(&input, &[0, 1, 2], 60_000);
        assert!((found - 1.0 / 6.0).abs() < 0.006, "{found}");
    }

    #[test]
    fn windows_change_scans_within_their_run_only() {
        // two runs of two windows: one pairing in four is as likely
        let mut input = example::seeing(4);
        for (idx, unit) in input.units.iter_mut().enumerate() {
            unit.scan = (idx / 2).to_string();
        }
        let found = p(&input, &[0, 1, 0, 1], 60_000);
        assert!((found - 0.25).abs() < 0.006, "{found}");
    }

    #[test]
    fn people_whose_value_is_constant_change_scans_as_a_whole() {
        // four people with two windows each: one pairing in 24 is as likely
        let mut input = example::seeing(8);
        for (idx, unit) in input.units.iter_mut().enumerate() {
            unit.subject = (idx / 2).to_string();
        }
        let found = p(&input, &[0, 0, 1, 1, 0, 0, 1, 1], 60_000);
        assert!((found - 1.0 / 24.0).abs() < 0.004, "{found}");
    }

    #[test]
    fn a_blind_model_is_reached_by_every_pairing() {
        let input = example::blind(16);
        let values: Vec<usize> = (0..16).map(|idx| idx % 4).collect();
        assert!((p(&input, &values, 999) - 1.0).abs() < 1e-12);
    }
}
