//! Covariates out of what was measured of networks, as fitted on training people.
use std::collections::{BTreeMap, BTreeSet};

use ::cohort::Value as Label;
use harmonise::{Person, Residuals, Terms};
use ndarray::{Array1, Array2};
use report::compose::Measured;
use serde::{Deserialize, Serialize};

/// What is known of a scan, by column.
pub(super) type Covariates = BTreeMap<String, Label>;

/// What was taken out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Adjusted {
    /// The columns that were named.
    regress_out: Vec<String>,
    /// What was fitted, by quantity.
    fitted: BTreeMap<String, OfQuantity>,
    /// Scans whose connectivity is not spoken of, because a covariate of theirs is not known or has a class
    /// that no training person has.
    pub(super) n_unadjusted: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OfQuantity {
    n_people: usize,
    residuals: Residuals,
}

/// Which of the columns are numbers, and which are classes.
struct Columns {
    numbers: Vec<String>,
    classes: Vec<String>,
}

/// Takes the linear effect of the columns `names` out of the quantities of networks. A person counts once, by
/// the mean of their scans. A scan of which a covariate is not known loses these quantities. An error says which
/// quantity cannot be adjusted, and why.
pub(super) fn adjust(
    names: &[String],
    scans: &mut [Measured],
    covariates: &[Covariates],
) -> Result<Adjusted, String> {
    let columns = Columns::of(names, covariates);
    let people: Vec<Option<Person>> = covariates.iter().map(|it| columns.person(it)).collect();
    let of_networks = |name: &&String| name.contains(':');
    let quantities: BTreeSet<String> =
        scans.iter().flat_map(|it| it.quantities.keys()).filter(of_networks).cloned().collect();
    let (mut fitted, mut unadjusted) = (BTreeMap::new(), BTreeSet::new());
    for name in quantities {
        let (training, measures) = training(&name, scans, &people);
        let refuse = |error: harmonise::Error| format!("regress_out from {name}: {error}");
        let terms = Terms::of(&training, &columns.numbers, &columns.classes).map_err(refuse)?;
        let measures = Array2::from_shape_vec((training.len(), 1), measures).expect("one a person");
        let residuals = Residuals::fit(measures.view(), &training, &terms).map_err(refuse)?;
        for (idx, (scan, person)) in scans.iter_mut().zip(&people).enumerate() {
            let Some(value) = scan.quantities.remove(&name) else { continue };
            let left = person.as_ref().and_then(|person| {
                residuals.apply(Array1::from_elem(1, value).view(), person).ok()
            });
            match left {
                Some(left) => drop(scan.quantities.insert(name.clone(), left[0])),
                None => drop(unadjusted.insert(idx)),
            }
        }
        fitted.insert(name, OfQuantity { n_people: training.len(), residuals });
    }
    Ok(Adjusted { regress_out: names.to_vec(), fitted, n_unadjusted: unadjusted.len() })
}

/// The training people of whom a quantity and all covariates are known, with its mean over their scans.
fn training(name: &str, scans: &[Measured], people: &[Option<Person>]) -> (Vec<Person>, Vec<f64>) {
    let mut of_person: BTreeMap<&str, Vec<(&Person, f64)>> = BTreeMap::new();
    for (scan, person) in scans.iter().zip(people).filter(|(scan, _)| scan.is_training) {
        let value = scan.quantities.get(name).filter(|value| value.is_finite());
        if let (Some(person), Some(value)) = (person, value) {
            of_person.entry(&scan.subject).or_default().push((person, *value));
        }
    }
    let mean = |scans: Vec<(&Person, f64)>| {
        let n = scans.len() as f64;
        let mut person = scans[0].0.clone();
        for (at, number) in person.numbers.iter_mut().enumerate() {
            *number = scans.iter().map(|(it, _)| it.numbers[at]).sum::<f64>() / n;
        }
        (person, scans.iter().map(|(_, value)| value).sum::<f64>() / n)
    };
    of_person.into_values().map(mean).unzip()
}

impl Columns {
    /// A column is of numbers where every value that is known is one.
    fn of(names: &[String], covariates: &[Covariates]) -> Self {
        let is_number = |name: &&String| {
            let mut known = covariates.iter().filter_map(|it| it.get(*name));
            known.all(|it| matches!(it, Label::Number(_) | Label::AtLeast(_)))
        };
        let (numbers, classes) = names.iter().cloned().partition(|name| is_number(&name));
        Self { numbers, classes }
    }

    /// None where a column is not known; a number that is known from below only is not.
    fn person(&self, of: &Covariates) -> Option<Person> {
        let number = |name: &String| match of.get(name)? {
            Label::Number(number) => Some(*number),
            _ => None,
        };
        let class = |name: &String| of.get(name).map(Label::in_words);
        Some(Person {
            site: String::new(),
            numbers: self.numbers.iter().map(number).collect::<Option<_>>()?,
            classes: self.classes.iter().map(class).collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 12 people, the first 9 of training, person 0 with two scans of which the mean counts.
    fn scans() -> (Vec<Measured>, Vec<Covariates>) {
        let mut all = Vec::new();
        for scan in 0..13 {
            let person = if scan == 12 { 0 } else { scan };
            let age = 20.0 + (person * person % 17) as f64;
            let sex = if person % 3 == 0 { "F" } else { "M" };
            let rest = match scan {
                0 => 0.25,
                12 => -0.25,
                11 => 2.0,
                _ => 0.0,
            };
            let value = 1.0 + 0.125 * age - if sex == "M" { 0.5 } else { 0.0 } + rest;
            let quantities = [("within:Vis".to_owned(), value), ("mean_fd".to_owned(), 0.1)];
            let measured = Measured {
                subject: format!("{person:02}"),
                name: format!("scan{scan}"),
                is_training: person < 9,
                columns: BTreeMap::new(),
                quantities: quantities.into(),
            };
            let known = [("age", Label::Number(age)), ("sex", Label::Text(sex.to_owned()))];
            all.push((measured, known.map(|(name, value)| (name.to_owned(), value)).into()));
        }
        all.into_iter().unzip()
    }

    fn names() -> Vec<String> {
        ["age", "sex"].map(str::to_owned).to_vec()
    }

    // planted: 0.125 a year, 0.5 between the sexes; what is left is the mean of training and the rest
    #[test]
    fn planted_effects_go_and_what_is_a_persons_own_stays() {
        let (mut scans, covariates) = scans();
        let of_training: Vec<f64> = (0..9).map(|it| scans[it].quantities["within:Vis"]).collect();
        let mean = (of_training.iter().sum::<f64>() - 0.25) / 9.0;
        let adjusted = adjust(&names(), &mut scans, &covariates).unwrap();
        let left = |idx: usize| scans[idx].quantities["within:Vis"] - mean;
        assert!((1..11).all(|idx| left(idx).abs() < 1e-12), "{adjusted:?}");
        assert!((left(0) - 0.25).abs() < 1e-12 && (left(12) + 0.25).abs() < 1e-12);
        assert!((left(11) - 2.0).abs() < 1e-12, "a tested person decides nothing");
        let slopes = adjusted.fitted["within:Vis"].residuals.slopes();
        assert!((slopes[(1, 0)] - 0.125).abs() < 1e-12 && (slopes[(0, 0)] + 0.5).abs() < 1e-12);
        assert_eq!((adjusted.fitted["within:Vis"].n_people, adjusted.n_unadjusted), (9, 0));
        assert!(scans.iter().all(|it| it.quantities["mean_fd"] == 0.1), "motion is told as it is");
        assert!(!adjusted.fitted.contains_key("mean_fd"));
    }

    #[test]
    fn what_cannot_be_adjusted_is_not_spoken_of() {
        let (mut scans, mut covariates) = scans();
        covariates[10].remove("age");
        covariates[9].insert("age".to_owned(), Label::AtLeast(89.0));
        covariates[11].insert("sex".to_owned(), Label::Text("other".to_owned()));
        let adjusted = adjust(&names(), &mut scans, &covariates).unwrap();
        assert_eq!(adjusted.n_unadjusted, 3);
        assert!((9..12).all(|idx| !scans[idx].quantities.contains_key("within:Vis")));
        let (mut few, covariates) = (scans[..2].to_vec(), covariates[..2].to_vec());
        let said = adjust(&names(), &mut few, &covariates).unwrap_err();
        assert!(said.starts_with("regress_out from within:Vis: "), "{said}");
    }
}
