//! Whether the interval of an accuracy holds the true one: subjects with 1 to 10 windows whose rates
//! spread normally on the logit scale.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use report::metrics::share_interval;

/// Middle and spread of the subjects' rates, on the logit scale.
const RATES: [(f64, f64); 4] = [(0.0, 1.0), (0.0, 2.0), (1.5, 1.0), (2.5, 1.0)];
const N_SUBJECTS: [usize; 4] = [8, 10, 20, 33];

/// A line of the table for each rate and number of subjects.
pub(super) fn coverage(n_models: u64) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for rates in RATES {
        for n_subjects in N_SUBJECTS {
            let covered = covered(rates, n_subjects, n_models)?;
            let (truth, spread) = (truth(rates), rates.1);
            lines.push(format!("| {truth:.2}, spread {spread} | {n_subjects} | {covered:.1} |"));
        }
    }
    Ok(lines)
}

/// The percentage of intervals that hold the true accuracy.
fn covered(rates: (f64, f64), n_subjects: usize, n_models: u64) -> anyhow::Result<f64> {
    let truth = truth(rates);
    let mut rng = ChaCha8Rng::seed_from_u64(n_subjects as u64);
    let mut n_covered = 0;
    for _ in 0..n_models {
        let (mut right, mut subject) = (Vec::new(), Vec::new());
        for idx in 0..n_subjects {
            let rate = rate(rates, normal(&mut rng));
            for _ in 0..rng.random_range(1..=10) {
                right.push(f64::from(u8::from(rng.random_bool(rate))));
                subject.push(idx);
            }
        }
        n_covered += u64::from(share_interval(&right, &subject)?.contains(truth));
    }
    Ok(100.0 * n_covered as f64 / n_models as f64)
}

fn rate((middle, spread): (f64, f64), z: f64) -> f64 {
    1.0 / (1.0 + (-(middle + spread * z)).exp())
}

/// The mean rate, by summing over the normal density.
fn truth(rates: (f64, f64)) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for idx in -800..=800 {
        let z = f64::from(idx) / 100.0;
        let weight = (-z * z / 2.0).exp();
        sum += weight * rate(rates, z);
        weights += weight;
    }
    sum / weights
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (radius, angle): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_accuracies_cover_what_they_say() {
        for rates in RATES {
            for n_subjects in N_SUBJECTS {
                let covered = covered(rates, n_subjects, 400).unwrap();
                assert!((92.0..=98.5).contains(&covered), "{rates:?} {n_subjects}: {covered}");
            }
        }
    }
}
