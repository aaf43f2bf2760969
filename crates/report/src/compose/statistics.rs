//! What is usual among the training people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Measured;
use crate::{Error, Result};

/// The spread of every quantity over the training people; a person with several scans counts once, by their
/// mean.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Training people.
    pub n_people: usize,
    /// By quantity.
    pub quantities: BTreeMap<String, Spread>,
}

/// Mean and standard deviation of one quantity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Training people of whom it is known.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, over n − 1.
    pub sd: f64,
}

impl Statistics {
    /// With fewer people a standard deviation says nothing.
    pub const MIN_PEOPLE: usize = 8;

    /// Fits to the training scans among `scans`; the others are not looked at.
    pub fn fit(scans: &[Measured]) -> Result<Self> {
        let mut people: BTreeMap<&str, Vec<&Measured>> = BTreeMap::new();
        for scan in scans.iter().filter(|scan| scan.is_training) {
            people.entry(&scan.subject).or_default().push(scan);
        }
        let n_people = people.len();
        if n_people < Self::MIN_PEOPLE {
            let (what, found, expected) = ("training people", n_people, Self::MIN_PEOPLE);
            return Err(Error::TooFew { what, found, expected });
        }
        let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for scans in people.values() {
            let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
            for (name, value) in scans.iter().flat_map(|scan| &scan.quantities) {
                if value.is_finite() {
                    let sum = sums.entry(name).or_default();
                    *sum = (sum.0 + value, sum.1 + 1.0);
                }
            }
            for (name, (sum, n)) in sums {
                values.entry(name).or_default().push(sum / n);
            }
        }
        let spreads = values.into_iter().map(|(name, all)| {
            let n = all.len() as f64;
            let mean = all.iter().sum::<f64>() / n;
            let squares: f64 = all.iter().map(|it| (it - mean).powi(2)).sum();
            let sd = if all.len() > 1 { (squares / (n - 1.0)).sqrt() } else { 0.0 };
            (name.to_owned(), Spread { n: all.len(), mean, sd })
        });
        Ok(Self { n_people, quantities: spreads.collect() })
    }

    /// How many standard deviations a value lies above the mean of the training people; none where too few of
    /// them have the quantity, or all the same.
    pub fn z(&self, quantity: &str, value: f64) -> Option<f64> {
        let spread = self.quantities.get(quantity)?;
        let is_known = spread.n >= Self::MIN_PEOPLE && spread.sd > 1e-12 * spread.mean.abs();
        let z = (value - spread.mean) / spread.sd;
        (is_known && z.is_finite()).then_some(z)
    }
}
