//! Covariates of people as columns of a design.

use std::collections::BTreeSet;

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A column whose remainder after the columns before it is below this share of its length is one of their
/// sums.
const COLLINEAR: f64 = 1e-9;

/// What is known of a person beside the measures; the covariates in the order of the terms' names.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    /// Where the person was measured.
    pub site: String,
    /// Such as age in years and mean displacement in mm.
    pub numbers: Vec<f64>,
    /// Such as sex.
    pub classes: Vec<String>,
}

/// Names of covariates, and the classes that training people have. The first class of each covariate is
/// the one that the others are compared with, so it has no column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    numbers: Vec<String>,
    classes: Vec<(String, Vec<String>)>,
}

impl Terms {
    /// Those of training people. `numbers` and `classes` name the covariates.
    pub fn of(people: &[Person], numbers: &[String], classes: &[String]) -> Result<Self> {
        let found = |idx: usize| -> Result<Vec<String>> {
            let each = people.iter().map(|person| {
                person.classes.get(idx).cloned().ok_or(Error::Covariates {
                    found: person.classes.len(),
                    expected: classes.len(),
                })
            });
            Ok(each.collect::<Result<BTreeSet<_>>>()?.into_iter().collect())
        };
        let named = classes.iter().enumerate();
        let classes = named.map(|(idx, name)| Ok((name.clone(), found(idx)?)));
        Ok(Self { numbers: numbers.to_vec(), classes: classes.collect::<Result<_>>()? })
    }

    /// How many columns they have.
    pub fn n_columns(&self) -> usize {
        self.classes.iter().map(|(_, known)| known.len().saturating_sub(1)).sum::<usize>()
            + self.numbers.len()
    }

    /// What each column stands for: `sex: M`, `age`.
    pub fn names(&self) -> Vec<String> {
        let of_classes = self.classes.iter().flat_map(|(name, known)| {
            known.iter().skip(1).map(move |class| format!("{name}: {class}"))
        });
        of_classes.chain(self.numbers.iter().cloned()).collect()
    }

    /// A person's row of the design: classes, then numbers. A class that no training person has is
    /// refused.
    pub fn row(&self, person: &Person) -> Result<Vec<f64>> {
        let found = person.numbers.len() + person.classes.len();
        let expected = self.numbers.len() + self.classes.len();
        if person.numbers.len() != self.numbers.len() || found != expected {
            return Err(Error::Covariates { found, expected });
        }
        let mut row = Vec::with_capacity(self.n_columns());
        for ((name, known), class) in self.classes.iter().zip(&person.classes) {
            if !known.contains(class) {
                let (name, found, known) = (name.clone(), class.clone(), known.join(", "));
                return Err(Error::UnseenClass { name, found, known });
            }
            row.extend(known.iter().skip(1).map(|it| if it == class { 1.0 } else { 0.0 }));
        }
        for (name, &number) in self.numbers.iter().zip(&person.numbers) {
            if !number.is_finite() {
                return Err(Error::NonFiniteCovariate { name: name.clone() });
            }
            row.push(number);
        }
        Ok(row)
    }

    /// Rows of many people `(n_people, n_columns)`.
    pub(crate) fn rows(&self, people: &[Person]) -> Result<DMatrix<f64>> {
        let rows = people.iter().map(|person| self.row(person)).collect::<Result<Vec<_>>>()?;
        Ok(DMatrix::from_fn(people.len(), self.n_columns(), |person, column| rows[person][column]))
    }
}

/// The coefficients `(n_columns, n_features)` of least squares of measures `(n_people, n_features)`, by
/// Householder's QR. `names` are those of the last columns of the design; a column that adds nothing to
/// those before it is refused by name.
pub(crate) fn least_squares(
    design: &DMatrix<f64>,
    measures: &DMatrix<f64>,
    names: &[String],
) -> Result<DMatrix<f64>> {
    let (people, columns) = design.shape();
    if people <= columns {
        return Err(Error::TooFewPeople { people, columns });
    }
    let lengths = DVector::from_iterator(columns, design.column_iter().map(|it| it.norm()));
    // columns of one length, so that a remainder is a share
    let scaled = DMatrix::from_fn(people, columns, |row, column| {
        if lengths[column] > 0.0 { design[(row, column)] / lengths[column] } else { 0.0 }
    });
    let qr = scaled.qr();
    let r = qr.r();
    if let Some(column) = (0..columns).find(|&column| r[(column, column)].abs() < COLLINEAR) {
        let name = (column + names.len()).checked_sub(columns).and_then(|idx| names.get(idx));
        let name = name.cloned().unwrap_or_else(|| "of the site".to_owned());
        return Err(Error::Collinear { name });
    }
    let mut coefficients = r
        .solve_upper_triangular(&(qr.q().transpose() * measures))
        .ok_or(Error::TooFewPeople { people, columns })?;
    for (mut row, length) in coefficients.row_iter_mut().zip(lengths.iter()) {
        row /= *length;
    }
    Ok(coefficients)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(sex: &str, age: f64) -> Person {
        Person { site: "a".to_owned(), numbers: vec![age], classes: vec![sex.to_owned()] }
    }

    fn terms(people: &[Person]) -> Terms {
        Terms::of(people, &["age".to_owned()], &["sex".to_owned()]).unwrap()
    }

    #[test]
    fn the_first_class_has_no_column() {
        let terms = terms(&[person("M", 30.0), person("F", 40.0)]);
        assert_eq!(terms.names(), ["sex: M", "age"]);
        assert_eq!(terms.row(&person("F", 40.0)).unwrap(), [0.0, 40.0]);
        assert_eq!(terms.row(&person("M", 30.0)).unwrap(), [1.0, 30.0]);
    }

    #[test]
    fn what_no_training_person_has_is_refused() {
        let terms = terms(&[person("M", 30.0), person("F", 40.0)]);
        let said = terms.row(&person("X", 40.0)).unwrap_err().to_string();
        assert_eq!(said, "sex is X, which no training person has; expected one of: F, M");
        let said = terms.row(&person("F", f64::NAN)).unwrap_err().to_string();
        assert_eq!(
            said,
            "covariate age is not a finite number for a person, expected one for everybody"
        );
    }

    #[test]
    fn least_squares_find_a_line_and_refuse_copies() {
        let design =
            DMatrix::from_fn(5, 2, |row, column| if column == 0 { 1.0 } else { row as f64 });
        let measures = DMatrix::from_fn(5, 1, |row, _| 3.0 - 0.5 * row as f64);
        let found = least_squares(&design, &measures, &["age".to_owned()]).unwrap();
        assert!((found[(0, 0)] - 3.0).abs() < 1e-12 && (found[(1, 0)] + 0.5).abs() < 1e-12);
        let twice = DMatrix::from_fn(5, 3, |row, column| match column {
            0 => 1.0,
            column => (column * row) as f64 + 1e4,
        });
        let names = ["age".to_owned(), "twice".to_owned()];
        let refused = least_squares(&twice, &measures, &names).unwrap_err();
        assert_eq!(refused, Error::Collinear { name: "twice".to_owned() });
    }
}
