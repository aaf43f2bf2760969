//! What covariates do not explain.

use nalgebra::DMatrix;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    terms::{Person, Terms, least_squares},
};

/// Slopes of measures on covariates, by least squares with a constant. Applied, they bring a person's
/// measures to what they would be with the mean covariates of the training people; means stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residuals {
    terms: Terms,
    /// Of the columns of the terms.
    means: Vec<f64>,
    /// `(n_columns, n_features)`.
    slopes: Array2<f64>,
}

impl Residuals {
    /// Fits on training people, never on tested ones: `measures` `(n_people, n_features)`.
    pub fn fit(measures: ArrayView2<'_, f64>, people: &[Person], terms: &Terms) -> Result<Self> {
        let measures = finite(measures, people.len())?;
        let covariates = terms.rows(people)?;
        let n_people = people.len();
        let design = covariates.clone().insert_column(0, 1.0);
        let all = least_squares(&design, &measures, &terms.names())?;
        let means = covariates.column_iter().map(|it| it.sum() / n_people as f64).collect();
        let slopes =
            Array2::from_shape_fn((terms.n_columns(), measures.ncols()), |(column, feature)| {
                all[(column + 1, feature)]
            });
        Ok(Self { terms: terms.clone(), means, slopes })
    }

    /// A person's measures `(n_features)` without what the covariates explain.
    pub fn apply(&self, measures: ArrayView1<'_, f64>, person: &Person) -> Result<Array1<f64>> {
        let (found, expected) = (measures.len(), self.slopes.ncols());
        if found != expected {
            return Err(Error::Features { found, expected });
        }
        let row = self.terms.row(person)?;
        let beyond: Array1<f64> = row.iter().zip(&self.means).map(|(x, mean)| x - mean).collect();
        Ok(&measures - &beyond.dot(&self.slopes))
    }

    /// What each row of the slopes stands for.
    pub fn names(&self) -> Vec<String> {
        self.terms.names()
    }

    /// `(n_columns, n_features)`: by how much a feature grows with a covariate.
    pub fn slopes(&self) -> &Array2<f64> {
        &self.slopes
    }
}

/// Measures for linear algebra; one that is not a number is refused.
pub(crate) fn finite(measures: ArrayView2<'_, f64>, people: usize) -> Result<DMatrix<f64>> {
    let (rows, columns) = measures.dim();
    if rows != people {
        return Err(Error::Counts { people, rows });
    }
    let found = measures.iter().filter(|x| !x.is_finite()).count();
    if found > 0 {
        return Err(Error::NonFinite { found, total: measures.len() });
    }
    Ok(DMatrix::from_fn(rows, columns, |row, column| measures[(row, column)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> Vec<Person> {
        let of = |idx: usize| Person {
            site: "a".to_owned(),
            numbers: vec![20.0 + (idx * idx % 17) as f64],
            classes: vec![if idx.is_multiple_of(3) { "F" } else { "M" }.to_owned()],
        };
        (0..12).map(of).collect()
    }

    fn terms(people: &[Person]) -> Terms {
        Terms::of(people, &["age".to_owned()], &["sex".to_owned()]).unwrap()
    }

    #[test]
    fn a_planted_slope_is_found_and_taken_out() {
        let people = people();
        let noise = |idx: usize| ((idx * 7919) % 11) as f64 / 11.0;
        let measures = Array2::from_shape_fn((12, 2), |(idx, feature)| {
            let sex = if people[idx].classes[0] == "M" { 2.0 } else { 0.0 };
            let age = people[idx].numbers[0];
            if feature == 0 { 1.0 + 0.25 * age - sex } else { noise(idx) + 0.1 * age }
        });
        let fitted = Residuals::fit(measures.view(), &people, &terms(&people)).unwrap();
        assert_eq!(fitted.names(), ["sex: M", "age"]);
        assert!((fitted.slopes()[(1, 0)] - 0.25).abs() < 1e-12);
        assert!((fitted.slopes()[(0, 0)] + 2.0).abs() < 1e-12);
        let left: Vec<Array1<f64>> = people
            .iter()
            .zip(measures.rows())
            .map(|(person, row)| fitted.apply(row, person).unwrap())
            .collect();
        let mean = measures.column(0).sum() / 12.0;
        assert!(left.iter().all(|it| (it[0] - mean).abs() < 1e-12), "only the mean is left");
        // what is left of the second feature goes with neither covariate
        let mean = left.iter().map(|it| it[1]).sum::<f64>() / 12.0;
        let with_age: f64 =
            left.iter().zip(&people).map(|(it, who)| (it[1] - mean) * who.numbers[0]).sum();
        assert!(with_age.abs() < 1e-10, "{with_age}");
    }

    #[test]
    fn nobody_else_moves_what_was_fitted() {
        let people = people();
        let measures = Array2::from_shape_fn((12, 1), |(idx, _)| people[idx].numbers[0]);
        let fitted = Residuals::fit(measures.view(), &people, &terms(&people)).unwrap();
        let old = Person { numbers: vec![90.0], ..people[0].clone() };
        let left = fitted.apply(ndarray::array![90.5].view(), &old).unwrap();
        let mean = measures.sum() / 12.0;
        assert!((left[0] - mean - 0.5).abs() < 1e-10);
    }

    #[test]
    fn too_few_people_and_missing_numbers_are_refused() {
        let people = people();
        let few = &people[..3];
        let measures = Array2::zeros((3, 1));
        let said = Residuals::fit(measures.view(), few, &terms(few)).unwrap_err();
        assert_eq!(said, Error::TooFewPeople { people: 3, columns: 3 });
        let mut measures = Array2::zeros((12, 2));
        measures[(3, 1)] = f64::NAN;
        let said = Residuals::fit(measures.view(), &people, &terms(&people)).unwrap_err();
        assert_eq!(said, Error::NonFinite { found: 1, total: 24 });
    }
}
