//! `ComBat`: the shift and the scale that each site adds to measures, estimated together.
//!
//! Source: Johnson, Li and Rabinovic, "Adjusting batch effects in microarray expression data using
//! empirical Bayes methods", Biostatistics 8 (2007), as `neuroCombat` 0.2.12 computes it, whose numbers
//! these are. Its two rules that a reader would not expect are kept and named below. Unlike it, a site of
//! one person and constant features are left out of the fit, and a person who is not among the training
//! people keeps the effect of their own covariates.

use std::collections::BTreeMap;

use nalgebra::DMatrix;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    residuals::finite,
    terms::{Person, Terms, least_squares},
};

/// Estimates that move by less than this share have settled.
const SETTLED: f64 = 1e-4;

/// Estimates settle in some tens of steps.
const MOST_STEPS: usize = 10_000;

/// What may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CombatConfig {
    /// What becomes of people of a site that has no two training people.
    pub unseen_sites: UnseenSite,
}

/// What becomes of people of a site to which nothing was fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnseenSite {
    /// They are left out.
    Refuse,
    /// Their measures stay as they are.
    Pass,
}

/// What the fit left out, so that it can be said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// Sites of one training person.
    pub sites: Vec<String>,
    /// Features that are constant in the training people, counted from 0; they stay as they are.
    pub features: Vec<usize>,
}

/// The shift and the scale of a site, of each feature, in units of the features' deviation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Site {
    name: String,
    n_people: usize,
    shift: Array1<f64>,
    /// As a variance.
    scale: Array1<f64>,
}

/// What was fitted to training people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Combat {
    config: CombatConfig,
    terms: Terms,
    n_features: usize,
    left_out: LeftOut,
    /// `(n_columns, n_kept_features)`: what the covariates explain, which stays.
    slopes: Array2<f64>,
    grand_mean: Array1<f64>,
    /// Standard deviation of what site and covariates do not explain.
    deviation: Array1<f64>,
    sites: Vec<Site>,
}

impl Combat {
    /// Fits on training people, never on tested ones: `measures` `(n_people, n_features)`. What the
    /// covariates of `terms` explain is kept.
    pub fn fit(
        measures: ArrayView2<'_, f64>,
        people: &[Person],
        terms: &Terms,
        config: CombatConfig,
    ) -> Result<Self> {
        let all = finite(measures, people.len())?;
        let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (idx, person) in people.iter().enumerate() {
            members.entry(&person.site).or_default().push(idx);
        }
        let (fitted, alone): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|(_, members)| members.len() > 1);
        if fitted.len() < 2 {
            return Err(Error::Sites { found: fitted.len() });
        }
        let kept_people: Vec<usize> = {
            let mut kept: Vec<usize> = fitted.iter().flat_map(|(_, it)| it.clone()).collect();
            kept.sort_unstable();
            kept
        };
        let varies = |&feature: &usize| {
            let first = all[(kept_people[0], feature)];
            kept_people.iter().any(|&person| all[(person, feature)] != first)
        };
        let (kept, constant): (Vec<usize>, Vec<usize>) =
            (0..all.ncols()).partition(|feature| varies(feature));
        if kept.is_empty() {
            return Err(Error::Constant);
        }
        let left_out = LeftOut {
            sites: alone.iter().map(|(site, _)| (*site).to_owned()).collect(),
            features: constant,
        };
        let people: Vec<&Person> = kept_people.iter().map(|&idx| &people[idx]).collect();
        let measures = DMatrix::from_fn(kept_people.len(), kept.len(), |row, column| {
            all[(kept_people[row], kept[column])]
        });
        let names: Vec<&str> = fitted.iter().map(|(site, _)| *site).collect();
        let standard = Standardised::of(&measures, &people, &names, terms)?;
        let sites = standard.sites(&names)?;
        Ok(Self {
            config,
            terms: terms.clone(),
            n_features: all.ncols(),
            left_out,
            slopes: standard.slopes,
            grand_mean: standard.grand_mean,
            deviation: standard.deviation,
            sites,
        })
    }

    /// What the fit left out.
    pub fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// The sites that were fitted, with their number of training people.
    pub fn sites(&self) -> impl Iterator<Item = (&str, usize)> {
        self.sites.iter().map(|site| (site.name.as_str(), site.n_people))
    }

    /// A person's measures `(n_features)` without what the site adds; as they are where nothing was
    /// fitted to the site and that is to pass.
    pub fn apply(&self, measures: ArrayView1<'_, f64>, person: &Person) -> Result<Array1<f64>> {
        let (found, expected) = (measures.len(), self.n_features);
        if found != expected {
            return Err(Error::Features { found, expected });
        }
        let found = measures.iter().filter(|x| !x.is_finite()).count();
        if found > 0 {
            return Err(Error::NonFinite { found, total: measures.len() });
        }
        let Some(site) = self.sites.iter().find(|site| site.name == person.site) else {
            return match self.config.unseen_sites {
                UnseenSite::Pass => Ok(measures.to_owned()),
                UnseenSite::Refuse => {
                    let known: Vec<&str> = self.sites().map(|(name, _)| name).collect();
                    let (found, known) = (person.site.clone(), known.join(", "));
                    Err(Error::UnseenSite { found, known })
                }
            };
        };
        let mut harmonised = measures.to_owned();
        let kept = (0..self.n_features).filter(|it| !self.left_out.features.contains(it));
        let covariates = Array1::from(self.terms.row(person)?).dot(&self.slopes);
        for (idx, feature) in kept.enumerate() {
            let (expected, deviation) =
                (self.grand_mean[idx] + covariates[idx], self.deviation[idx]);
            let standard = (measures[feature] - expected) / deviation;
            let own = (standard - site.shift[idx]) / site.scale[idx].sqrt();
            harmonised[feature] = own * deviation + expected;
        }
        Ok(harmonised)
    }
}

/// Measures of training people on one scale.
struct Standardised {
    slopes: Array2<f64>,
    grand_mean: Array1<f64>,
    deviation: Array1<f64>,
    /// `(n_features, n_people of the site)`, by site.
    values: Vec<Array2<f64>>,
}

impl Standardised {
    fn of(
        measures: &DMatrix<f64>,
        people: &[&Person],
        sites: &[&str],
        terms: &Terms,
    ) -> Result<Self> {
        let (n_people, n_features) = measures.shape();
        let covariates = people.iter().map(|it| terms.row(it)).collect::<Result<Vec<_>>>()?;
        let n_sites = sites.len();
        let site_of = |person: usize| {
            sites.iter().position(|site| *site == people[person].site).expect("one of them")
        };
        let places: Vec<usize> = (0..n_people).map(site_of).collect();
        let design =
            DMatrix::from_fn(n_people, n_sites + terms.n_columns(), |person, column| match column
                .checked_sub(n_sites)
            {
                None => f64::from(u8::from(places[person] == column)),
                Some(column) => covariates[person][column],
            });
        let coefficients = least_squares(&design, measures, &terms.names())?;
        let left = measures - &design * &coefficients;
        let share = |site: usize| {
            places.iter().filter(|place| **place == site).count() as f64 / n_people as f64
        };
        let grand_mean: Array1<f64> = (0..n_features)
            .map(|feature| (0..n_sites).map(|it| share(it) * coefficients[(it, feature)]).sum())
            .collect();
        // over people, not degrees of freedom
        let deviation: Array1<f64> = left
            .column_iter()
            .map(|column| (column.norm_squared() / n_people as f64).sqrt())
            // explained whole by site and covariates: nothing is left to be scaled
            .map(|deviation| if deviation == 0.0 { 1.0 } else { deviation })
            .collect();
        let slopes = Array2::from_shape_fn((terms.n_columns(), n_features), |(column, feature)| {
            coefficients[(n_sites + column, feature)]
        });
        let standard = |person: usize, feature: usize| {
            let row = covariates[person].iter().zip(slopes.column(feature));
            let explained: f64 = row.map(|(x, slope)| x * slope).sum();
            (measures[(person, feature)] - grand_mean[feature] - explained) / deviation[feature]
        };
        let of_site = |site: usize| {
            let members: Vec<usize> = (0..n_people).filter(|&it| places[it] == site).collect();
            Array2::from_shape_fn((n_features, members.len()), |(feature, member)| {
                standard(members[member], feature)
            })
        };
        let values = (0..n_sites).map(of_site).collect();
        Ok(Self { slopes, grand_mean, deviation, values })
    }

    fn sites(&self, names: &[&str]) -> Result<Vec<Site>> {
        let each = names.iter().zip(&self.values);
        each.map(|(name, values)| {
            let (shift, scale) = shift_and_scale(values)
                .ok_or(Error::NotSettled { site: (*name).to_owned(), steps: MOST_STEPS })?;
            Ok(Site { name: (*name).to_owned(), n_people: values.ncols(), shift, scale })
        })
        .collect()
    }
}

/// The shift and the variance of a site's values `(n_features, n_people)`, each drawn towards those of
/// the other features; none where they do not settle.
fn shift_and_scale(values: &Array2<f64>) -> Option<(Array1<f64>, Array1<f64>)> {
    let n = values.ncols() as f64;
    let shift = values.sum_axis(Axis(1)) / n;
    let scale: Array1<f64> = values
        .rows()
        .into_iter()
        .zip(&shift)
        .map(|(row, mean)| row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0))
        .map(|variance| if variance == 0.0 { 1.0 } else { variance })
        .collect();
    if shift.len() < 2 {
        // one feature has no others to be drawn towards
        return Some((shift, scale));
    }
    let (mean_shift, spread_shift) = mean_and_variance(&shift);
    let (mean_scale, spread_scale) = mean_and_variance(&scale);
    if spread_shift == 0.0 || spread_scale == 0.0 {
        // features that agree have nothing to be drawn to
        return Some((shift, scale));
    }
    // an inverse gamma with this mean and variance
    let a = (2.0 * spread_scale + mean_scale.powi(2)) / spread_scale;
    let b = (mean_scale * spread_scale + mean_scale.powi(3)) / spread_scale;
    let (mut old_shift, mut old_scale) = (shift.clone(), scale);
    for _ in 0..MOST_STEPS {
        let mut change = f64::NEG_INFINITY;
        let (old, mut new_shift, mut new_scale) =
            (&old_shift, old_shift.clone(), old_scale.clone());
        for feature in 0..shift.len() {
            let weight = spread_shift * n;
            let now = (weight * shift[feature] + old_scale[feature] * mean_shift)
                / (weight + old_scale[feature]);
            let squares: f64 = values.row(feature).iter().map(|x| (x - now).powi(2)).sum();
            let spread = (0.5 * squares + b) / (n / 2.0 + a - 1.0);
            // neuroCombat divides by the shift with its sign, so that negative ones count as settled
            change = change.max((now - old[feature]).abs() / old[feature]);
            change = change.max((spread - old_scale[feature]).abs() / old_scale[feature]);
            (new_shift[feature], new_scale[feature]) = (now, spread);
        }
        (old_shift, old_scale) = (new_shift, new_scale);
        if change <= SETTLED {
            return Some((old_shift, old_scale));
        }
    }
    None
}

/// The variance over one less than their number.
fn mean_and_variance(values: &Array1<f64>) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.sum() / n;
    (mean, values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0))
}

#[cfg(test)]
mod tests;
