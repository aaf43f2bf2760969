use proptest::prelude::*;

use super::*;
use crate::testing::{cohort, recording};

fn person(subject: &str, labels: &[(&str, Value)]) -> Recording {
    let mut recording = recording(subject);
    recording.labels.extend(labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    recording
}

fn text(text: impl ToString) -> Value {
    Value::Text(text.to_string())
}

/// Several runs a person at three sites; one person in four is ill.
fn people(n: usize) -> Vec<Recording> {
    let run = |i: usize, run: usize| {
        let labels = [
            ("site", text(["A", "B", "C"][i % 3])),
            ("ill", Value::Flag(i.is_multiple_of(4))),
            ("age", Value::Number(20.0 + ((i * 7) % 50) as f64)),
            ("family", text(i / 2)),
        ];
        let mut recording = person(&format!("{i:03}"), &labels);
        recording.entities.add(crate::Entity::Run, &run.to_string());
        recording
    };
    (0..n).flat_map(|i| (1..=1 + i % 3).map(move |number| run(i, number))).collect()
}

fn kfold(k: usize, group_by: &[&str], stratify_by: &[&str], seed: u64) -> SplitConfig {
    let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let (group_by, stratify_by) = (own(group_by), own(stratify_by));
    SplitConfig::StratifiedGroupKfold(KfoldConfig { k, group_by, stratify_by, repeats: 1, seed })
}

fn fractions(stratify_by: &[&str]) -> SplitConfig {
    let stratify_by = stratify_by.iter().map(|&name| name.to_owned()).collect();
    let (train, validation, test) = (0.7, 0.15, 0.15);
    SplitConfig::Fractions(FractionsConfig {
        train,
        validation,
        test,
        group_by: vec![],
        stratify_by,
        seed: 42,
    })
}

// scikit-learn 1.9.1: StratifiedGroupKFold(k).split, no two groups equally uneven
#[test]
fn folds_agree_with_scikit_learn() {
    /// Folds, what each group holds of three classes, and the fold that tests it.
    type Case<'a> = (usize, &'a [[u8; 3]], &'a [usize]);
    let cases: [Case<'_>; 2] = [
        (
            4,
            &[
                [11, 0, 1],
                [2, 3, 10],
                [3, 1, 4],
                [8, 5, 2],
                [1, 0, 5],
                [2, 7, 8],
                [4, 6, 0],
                [6, 2, 5],
                [1, 3, 5],
                [5, 0, 11],
                [5, 2, 2],
                [8, 5, 3],
            ],
            &[0, 2, 2, 0, 0, 3, 1, 3, 0, 1, 1, 2],
        ),
        (
            3,
            &[
                [7, 8, 7],
                [10, 1, 2],
                [1, 1, 3],
                [6, 2, 1],
                [0, 11, 3],
                [10, 7, 10],
                [0, 4, 9],
                [9, 2, 4],
                [11, 5, 9],
                [1, 8, 0],
                [7, 8, 2],
                [2, 2, 11],
            ],
            &[1, 2, 1, 2, 0, 2, 2, 0, 0, 1, 1, 1],
        ),
    ];
    for (k, counts, folds) in cases {
        let counts: Vec<[f64; 3]> = counts.iter().map(|group| group.map(f64::from)).collect();
        let counts: Vec<&[f64]> = counts.iter().map(<[f64; 3]>::as_slice).collect();
        assert_eq!(greedy::assign(&counts, &vec![1.0 / k as f64; k]), folds);
    }
}

#[test]
fn every_person_is_tested_once_and_the_fold_before_chooses() {
    let cohort = cohort(people(60));
    let divisions = kfold(5, &[], &["ill", "site"], 42).divide(&cohort).unwrap();
    assert_eq!(
        divisions.iter().map(|it| it.fold).collect::<Vec<_>>(),
        (1..=5).map(Some).collect::<Vec<_>>()
    );
    for row in 0..cohort.recordings.len() {
        let of = |split| divisions.iter().position(|it| it.splits[row] == split).unwrap();
        let tested = divisions.iter().filter(|it| it.splits[row] == Split::Test).count();
        assert_eq!((tested, of(Split::Validation)), (1, (of(Split::Test) + 1) % 5));
    }
}

#[test]
fn classes_and_sites_are_spread_evenly() {
    let cohort = cohort(people(240));
    let share = |splits: &[Split], split: Split, of: &dyn Fn(&Recording) -> bool| {
        let rows = cohort.recordings.iter().zip(splits).filter(|(recording, _)| of(recording));
        let (n, inside) =
            rows.fold((0, 0), |(n, inside), (_, it)| (n + 1, inside + usize::from(*it == split)));
        inside as f64 / f64::from(n)
    };
    for site in ["A", "B", "C"] {
        for ill in [true, false] {
            let of = |it: &Recording| {
                it.labels["site"] == text(site) && it.labels["ill"] == Value::Flag(ill)
            };
            let folds = kfold(5, &[], &["ill", "site"], 1).divide(&cohort).unwrap();
            let worst = folds.iter().map(|it| (share(&it.splits, Split::Test, &of) - 0.2).abs());
            assert!(worst.fold(0.0, f64::max) < 0.06, "{site} {ill}");
            let one = &fractions(&["ill", "site"]).divide(&cohort).unwrap()[0].splits;
            assert!((share(one, Split::Train, &of) - 0.7).abs() < 0.06, "{site} {ill}");
            assert!((share(one, Split::Test, &of) - 0.15).abs() < 0.06, "{site} {ill}");
        }
    }
}

#[test]
fn a_scale_is_cut_at_its_quartiles_and_who_has_no_value_is_a_class() {
    let ages = |ages: &[f64]| {
        let people = ages
            .iter()
            .enumerate()
            .map(|(i, age)| person(&i.to_string(), &[("age", Value::Number(*age))]));
        cohort(people.collect())
    };
    let scale: Vec<f64> = (0..20).map(f64::from).collect();
    let classes = classes::of(&ages(&scale), &["age".to_owned()]).unwrap();
    assert_eq!(
        classes,
        (0..20)
            .map(|age| [0, 1, 2, 3]
                [usize::from(age > 4) + usize::from(age > 9) + usize::from(age > 14)])
            .collect::<Vec<_>>()
    );
    assert_eq!(classes::of(&ages(&[3.0, 1.0, 3.0]), &["age".to_owned()]).unwrap(), [1, 0, 1]);
    let mut some = ages(&[3.0, 1.0]);
    some.recordings.push(person("x", &[]));
    assert_eq!(classes::of(&some, &["age".to_owned()]).unwrap(), [1, 0, 2]);
}

#[test]
fn families_and_sites_stay_together() {
    let cohort = cohort(people(60));
    for (column, k) in [("family", 5), ("site", 3)] {
        for division in kfold(k, &[column], &[], 7).divide(&cohort).unwrap() {
            let mut split_of = std::collections::HashMap::new();
            for (recording, split) in cohort.recordings.iter().zip(&division.splits) {
                let value = recording.labels[column].in_words();
                assert_eq!(split_of.entry(value).or_insert(split), &split, "{column}");
            }
        }
    }
}

#[test]
fn who_was_scanned_at_two_sites_joins_them() {
    let mut travelling = person("0", &[("site", text("B"))]);
    travelling.entities.add(crate::Entity::Session, "2");
    let people = [("0", "A"), ("1", "A"), ("2", "B"), ("3", "C"), ("4", "D")];
    let mut people: Vec<_> =
        people.iter().map(|(who, site)| person(who, &[("site", text(site))])).collect();
    people.push(travelling);
    assert_eq!(groups::of(&cohort(people), &["site".to_owned()]).unwrap(), [0, 0, 0, 1, 2, 0]);
}

#[test]
fn the_order_of_rows_decides_nothing() {
    let straight = cohort(people(60));
    let mut turned = people(60);
    turned.reverse();
    let turned = cohort(turned);
    for config in [kfold(5, &["family"], &["ill", "site"], 42), fractions(&["ill"])] {
        let (a, b) = (config.divide(&straight).unwrap(), config.divide(&turned).unwrap());
        for (a, b) in a.iter().zip(&b) {
            assert!(a.splits.iter().eq(b.splits.iter().rev()));
        }
    }
    let seed = |seed| kfold(5, &[], &["ill"], seed).divide(&straight).unwrap();
    assert_eq!(seed(1), seed(1));
    assert_ne!(seed(1), seed(2));
}

#[test]
fn a_column_may_say_it_and_may_not_tear_a_person_apart() {
    let says = |splits: &[(&str, Option<&str>)]| {
        let people = splits.iter().enumerate().map(|(row, (who, split))| {
            let mut recording = person(who, &[]);
            recording.row = Some(row + 2);
            recording.labels.extend(split.map(|split| ("split".to_owned(), text(split))));
            recording
        });
        SplitConfig::Column("split".to_owned()).divide(&cohort(people.collect()))
    };
    let good = says(&[
        ("1", Some("train")),
        ("1", Some("train")),
        ("2", Some("Val")),
        ("3", Some("test")),
    ]);
    assert_eq!(
        good.unwrap()[0].splits,
        [Split::Train, Split::Train, Split::Validation, Split::Test]
    );
    let said = |splits: &[(&str, Option<&str>)]| says(splits).unwrap_err().to_string();
    assert_eq!(
        said(&[("1", Some("train")), ("2", Some("test")), ("1", Some("test"))]),
        "cohort: column split puts one subject into split train and into split test (rows 2 and 4)"
    );
    assert_eq!(
        said(&[("1", Some("train")), ("2", Some("unused"))]),
        "cohort: row 3: column split is \"unused\", expected train, validation or test"
    );
    assert_eq!(
        said(&[("1", Some("train")), ("2", None)]),
        "cohort: 1 recordings have no split, which split.column asks for"
    );
    assert_eq!(
        said(&[("1", None)]),
        "cohort: column split is not there, which split.column asks for"
    );
}

#[test]
fn what_cannot_be_met_is_refused() {
    let said = |config: SplitConfig, n| config.divide(&cohort(people(n))).unwrap_err().to_string();
    assert!(said(kfold(2, &[], &[], 1), 9).contains("k is 2, expected at least 3"));
    assert!(
        said(kfold(5, &[], &[], 1), 4).ends_with("would have no subject: 7 recordings for 5 folds")
    );
    assert!(said(kfold(5, &["tribe"], &[], 1), 9).contains("column tribe is not there"));
    assert!(said(kfold(5, &[], &["tribe"], 1), 9).contains("split.stratify_by"));
    let SplitConfig::Fractions(mut wrong) = fractions(&[]) else { unreachable!() };
    wrong.test = 0.2;
    assert!(
        said(SplitConfig::Fractions(wrong), 9).contains("0.7 + 0.15 + 0.2, expected three shares")
    );
}

proptest! {
    #[test]
    fn shares_are_met_as_near_as_whole_people_allow(n in 20..120_usize, seed in any::<u64>()) {
        let cohort = cohort(people(n));
        let SplitConfig::Fractions(mut config) = fractions(&[]) else { unreachable!() };
        config.seed = seed;
        let splits = &SplitConfig::Fractions(config).divide(&cohort).unwrap()[0].splits;
        let total = splits.len() as f64;
        for (split, share) in [(Split::Train, 0.7), (Split::Validation, 0.15), (Split::Test, 0.15)] {
            let found = splits.iter().filter(|it| **it == split).count() as f64;
            // a person has at most three runs
            prop_assert!((found - share * total).abs() <= 3.0, "{split}: {found} of {total}");
        }
    }
}

#[test]
fn folds_drawn_again_are_those_of_the_next_seed() {
    let cohort = cohort(people(24));
    let of = |seed: u64, repeats: usize| {
        let SplitConfig::StratifiedGroupKfold(config) = kfold(4, &[], &["site"], seed) else {
            unreachable!()
        };
        SplitConfig::StratifiedGroupKfold(KfoldConfig { repeats, ..config }).divide(&cohort)
    };
    let twice = of(7, 2).unwrap();
    let places: Vec<_> = twice.iter().map(|it| (it.repeat.unwrap(), it.fold.unwrap())).collect();
    assert_eq!(places, [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (2, 3), (2, 4)]);
    let splits = |divisions: &[Division]| -> Vec<Vec<Split>> {
        divisions.iter().map(|it| it.splits.clone()).collect()
    };
    let (first, second) = (of(7, 1).unwrap(), of(8, 1).unwrap());
    assert!(first.iter().all(|it| it.repeat.is_none()));
    assert_eq!(splits(&twice[..4]), splits(&first));
    assert_eq!(splits(&twice[4..]), splits(&second));
    assert_ne!(splits(&first), splits(&second));
    for drawing in [&twice[..4], &twice[4..]] {
        for at in 0..cohort.recordings.len() {
            let tested = drawing.iter().filter(|it| it.splits[at] == Split::Test).count();
            assert_eq!(tested, 1, "each is tested once in each drawing");
        }
    }
    let said = of(7, 0).unwrap_err().to_string();
    assert_eq!(said, "split.stratified_group_kfold.repeats is 0, expected 1 to 1000");
}
