//! `neuroCombat`'s numbers (`fixtures/harmonise`), and what ours does otherwise.

use ndarray::{Array2, array};
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Recorded {
    site: Vec<String>,
    age: Vec<f64>,
    sex: Vec<String>,
    measures: Vec<Vec<f64>>,
    without_covariates: Vec<Vec<f64>>,
    with_age_and_sex: Vec<Vec<f64>>,
    new_site: Vec<String>,
    new_measures: Vec<Vec<f64>>,
    new_without_covariates: Vec<Vec<f64>>,
}

const REFUSE: CombatConfig = CombatConfig { unseen_sites: UnseenSite::Refuse };

fn recorded() -> Recorded {
    let text = include_str!("../../../../fixtures/harmonise/combat.json");
    serde_json::from_str(text).unwrap()
}

fn matrix(rows: &[Vec<f64>]) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, column)| rows[row][column])
}

fn at(site: &str) -> Person {
    Person { site: site.to_owned(), numbers: Vec::new(), classes: Vec::new() }
}

fn plain(recorded: &Recorded) -> (Array2<f64>, Vec<Person>, Terms) {
    let people: Vec<Person> = recorded.site.iter().map(|site| at(site)).collect();
    let terms = Terms::of(&people, &[], &[]).unwrap();
    (matrix(&recorded.measures), people, terms)
}

fn with_covariates(recorded: &Recorded) -> (Vec<Person>, Terms) {
    let of = |idx: usize| Person {
        site: recorded.site[idx].clone(),
        numbers: vec![recorded.age[idx]],
        classes: vec![recorded.sex[idx].clone()],
    };
    let people: Vec<Person> = (0..recorded.site.len()).map(of).collect();
    let terms = Terms::of(&people, &["age".to_owned()], &["sex".to_owned()]).unwrap();
    (people, terms)
}

fn agrees(fitted: &Combat, measures: &Array2<f64>, people: &[Person], expected: &[Vec<f64>]) {
    for ((row, person), expected) in measures.rows().into_iter().zip(people).zip(expected) {
        let found = fitted.apply(row, person).unwrap();
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        }
    }
}

#[test]
fn sites_alone_are_taken_out_as_neurocombat_does() {
    let recorded = recorded();
    let (measures, people, terms) = plain(&recorded);
    let fitted = Combat::fit(measures.view(), &people, &terms, REFUSE).unwrap();
    agrees(&fitted, &measures, &people, &recorded.without_covariates);
    let new: Vec<Person> = recorded.new_site.iter().map(|site| at(site)).collect();
    agrees(&fitted, &matrix(&recorded.new_measures), &new, &recorded.new_without_covariates);
    let sites: Vec<(&str, usize)> = fitted.sites().collect();
    assert_eq!(sites, [("bonn", 14), ("lund", 11), ("york", 9)]);
}

#[test]
fn age_and_sex_are_kept_as_neurocombat_keeps_them() {
    let recorded = recorded();
    let measures = matrix(&recorded.measures);
    let (people, terms) = with_covariates(&recorded);
    let fitted = Combat::fit(measures.view(), &people, &terms, REFUSE).unwrap();
    agrees(&fitted, &measures, &people, &recorded.with_age_and_sex);
    let text = serde_json::to_string(&fitted).unwrap();
    assert_eq!(serde_json::from_str::<Combat>(&text).unwrap(), fitted);
}

#[test]
fn the_order_of_people_does_not_matter() {
    let recorded = recorded();
    let measures = matrix(&recorded.measures);
    let (people, terms) = with_covariates(&recorded);
    let fitted = Combat::fit(measures.view(), &people, &terms, REFUSE).unwrap();
    let order: Vec<usize> = (0..people.len()).rev().collect();
    let turned: Vec<Person> = order.iter().map(|&idx| people[idx].clone()).collect();
    let again = Combat::fit(measures.select(Axis(0), &order).view(), &turned, &terms, REFUSE);
    let again = again.unwrap();
    for (row, person) in measures.rows().into_iter().zip(&people) {
        let gap = fitted.apply(row, person).unwrap() - again.apply(row, person).unwrap();
        assert!(gap.iter().all(|it| it.abs() < 1e-10));
    }
}

#[test]
fn a_site_of_one_person_and_a_constant_feature_are_left_out_and_said() {
    let recorded = recorded();
    let (measures, mut people, terms) = plain(&recorded);
    let whole = Combat::fit(measures.view(), &people, &terms, REFUSE).unwrap();
    let (n_people, n_features) = measures.dim();
    let more = Array2::from_shape_fn((n_people + 1, n_features + 1), |(person, feature)| {
        match (person, feature) {
            (_, 2) => 7.0,
            (person, _) if person == n_people => 99.0 + feature as f64,
            (person, feature) => measures[(person, feature - usize::from(feature > 2))],
        }
    });
    people.push(at("oslo"));
    let fitted = Combat::fit(more.view(), &people, &terms, REFUSE).unwrap();
    let left_out = LeftOut { sites: vec!["oslo".to_owned()], features: vec![2] };
    assert_eq!(fitted.left_out(), &left_out);
    for (idx, person) in people.iter().enumerate().take(n_people) {
        let found = fitted.apply(more.row(idx), person).unwrap();
        let expected = whole.apply(measures.row(idx), person).unwrap();
        assert_eq!(found[2], 7.0);
        let rest = (0..n_features).map(|feature| feature + usize::from(feature >= 2));
        rest.zip(&expected).for_each(|(feature, expected)| assert_eq!(found[feature], *expected));
    }
    let said = fitted.apply(more.row(n_people), &people[n_people]).unwrap_err().to_string();
    let expected = "site oslo has no two training people, so nothing was fitted to it; expected one of: \
                    bonn, lund, york";
    assert_eq!(said, expected);
    let pass = CombatConfig { unseen_sites: UnseenSite::Pass };
    let fitted = Combat::fit(more.view(), &people, &terms, pass).unwrap();
    assert_eq!(fitted.apply(more.row(n_people), &people[n_people]).unwrap(), more.row(n_people));
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let recorded = recorded();
    let (measures, people, terms) = plain(&recorded);
    let refused = |measures: ArrayView2<'_, f64>, people: &[Person], terms: &Terms| {
        Combat::fit(measures, people, terms, REFUSE).unwrap_err().to_string()
    };
    let one: Vec<Person> = people.iter().map(|_| at("bonn")).collect();
    let said = refused(measures.view(), &one, &terms);
    let expected = "1 sites have two training people or more, expected at least 2: there is nothing to \
                    harmonise";
    assert_eq!(said, expected);
    let same = Array2::ones(measures.dim());
    let said = refused(same.view(), &people, &terms);
    assert_eq!(said, "every feature is constant in the training people, expected some that vary");
    // age says which site it is
    let of_site = |person: &Person| Person {
        numbers: vec![if person.site == "bonn" { 30.0 } else { 50.0 }],
        ..person.clone()
    };
    let people: Vec<Person> = people.iter().map(of_site).collect();
    let terms = Terms::of(&people, &["age".to_owned()], &[]).unwrap();
    let said = refused(measures.view(), &people, &terms);
    assert!(said.starts_with("covariate age says nothing that the constant, the sites"), "{said}");
}

#[test]
fn a_planted_shift_and_scale_go_and_age_stays() {
    // two sites measure the same people's line of age, one of them higher and wider
    let n = 40;
    let noise = |idx: usize, feature: usize| (((idx * 31 + feature * 17) % 13) as f64 - 6.0) / 6.0;
    let people: Vec<Person> = (0..2 * n)
        .map(|idx| Person {
            site: if idx < n { "bonn" } else { "york" }.to_owned(),
            numbers: vec![20.0 + (idx % n) as f64],
            classes: Vec::new(),
        })
        .collect();
    let terms = Terms::of(&people, &["age".to_owned()], &[]).unwrap();
    let measures = Array2::from_shape_fn((2 * n, 5), |(idx, feature)| {
        let (shift, scale) = if idx < n {
            (0.0, 1.0)
        } else {
            (3.0 + 0.3 * feature as f64, 2.0 + 0.1 * feature as f64)
        };
        0.1 * people[idx].numbers[0] + shift + scale * noise(idx % n, feature)
    });
    let fitted = Combat::fit(measures.view(), &people, &terms, REFUSE).unwrap();
    let of = |idx: usize| fitted.apply(measures.row(idx), &people[idx]).unwrap();
    let mean =
        |from: usize| (from..from + n).map(of).fold(Array1::zeros(5), |a, b| a + b) / n as f64;
    let gap = mean(n) - mean(0);
    // shifts of 3.0 to 4.2, drawn towards their mean
    assert!(gap.iter().all(|it: &f64| it.abs() < 0.3) && gap.sum().abs() < 0.1, "{gap}");
    let spread = |from: usize| {
        let squares = (from..from + n).map(|idx| (of(idx) - mean(from)).mapv(|x| x * x));
        squares.fold(Array1::<f64>::zeros(5), |a, b| a + b)
    };
    let ratio: Array1<f64> = spread(n) / spread(0);
    // variances of 4 to 5.8 times
    assert!(ratio.iter().all(|it| (it - 1.0).abs() < 0.2), "{ratio}");
    // the line of age, which is the same at both, is still there
    let slope = |feature: usize| {
        let centred = |idx: usize| people[idx].numbers[0] - 39.5;
        let product: f64 = (0..2 * n).map(|idx| centred(idx) * of(idx)[feature]).sum();
        product / (0..2 * n).map(|idx| centred(idx).powi(2)).sum::<f64>()
    };
    (0..5).for_each(|feature| assert!((slope(feature) - 0.1).abs() < 0.02, "{}", slope(feature)));
    let said = fitted.apply(array![1.0].view(), &people[0]).unwrap_err();
    assert_eq!(said, Error::Features { found: 1, expected: 5 });
}
