use ndarray::Array2;

use super::*;
use crate::Result;

/// Of two samples a person; the first feature has a trace of the class, the third of the number.
fn planted(n_people: usize) -> (Array2<f32>, Vec<usize>, Vec<usize>, Vec<f64>) {
    let person: Vec<usize> = (0..2 * n_people).map(|row| row / 2).collect();
    let class: Vec<usize> = person.iter().map(|person| person % 3).collect();
    let number: Vec<f64> = person.iter().map(|&it| (1.3 * it as f64).sin() * 10.0 + 40.0).collect();
    let features = Array2::from_shape_fn((2 * n_people, 6), |(row, column)| {
        let wave = (2.1 * row as f64 + 1.7 * (column * column) as f64 + 0.4).sin();
        let trace = match column {
            0 => 3.0 * class[row] as f64,
            2 => 0.5 * number[row],
            _ => 0.0,
        };
        (wave + trace) as f32
    });
    (features, person, class, number)
}

const SETTINGS: ProbeSettings =
    ProbeSettings { n_splits: 20, test_share: 0.25, logistic_c: 1.0, bootstrap: 400, seed: 7 };

fn probed(features: &Array2<f32>, person: &[usize], target: ProbeTarget<'_>) -> Probe {
    let samples = ProbeSamples { features: features.view(), person };
    probe(samples, target, SETTINGS, |_| Ok::<_, Error>(())).unwrap()
}

#[test]
fn nobody_is_learned_from_and_tried_in_one_division() {
    let (features, person, class, _) = planted(30);
    let found = probed(&features, &person, ProbeTarget::Classes(&class, 3));
    let mut tried = std::collections::BTreeSet::new();
    for of_split in found.predictions.chunk_by(|a, b| a.split == b.split) {
        // of each class ten people, of whom a quarter are two or three; both samples of each
        let mut people: Vec<usize> = of_split.iter().map(|it| person[it.sample]).collect();
        assert!(people.chunks(2).all(|pair| pair[0] == pair[1]), "{people:?}");
        people.dedup();
        assert_eq!(people.len(), 9);
        for class in 0..3 {
            assert_eq!(people.iter().filter(|it| *it % 3 == class).count(), 3);
        }
        tried.insert(people);
    }
    assert!(tried.len() > 15, "the divisions differ");
    assert_eq!(probed(&features, &person, ProbeTarget::Classes(&class, 3)).scores, found.scores);
}

#[test]
fn what_is_there_is_found_and_nothing_else() {
    let (features, person, class, number) = planted(30);
    let ProbeScores::Classes(there) =
        probed(&features, &person, ProbeTarget::Classes(&class, 3)).scores
    else {
        unreachable!("classes were asked for")
    };
    assert!(there.accuracy.low > 0.8, "{there:?}");
    assert!((there.majority.estimate - 1.0 / 3.0).abs() < 1e-12);
    assert!(
        (there.gain.estimate + there.majority.estimate - there.accuracy.estimate).abs() < 1e-12
    );
    // another order of people
    let other: Vec<usize> = person.iter().map(|it| (it * 7 + it / 4) % 30 % 2).collect();
    let ProbeScores::Classes(none) =
        probed(&features, &person, ProbeTarget::Classes(&other, 2)).scores
    else {
        unreachable!("classes were asked for")
    };
    assert!(none.balanced_accuracy.contains(0.5), "{none:?}");
    let [auc, _] = none.auc_over_splits.unwrap();
    assert!((auc - 0.5).abs() < 0.2 && there.auc_over_splits.is_none(), "{none:?}");
    let ProbeScores::Numbers(there) =
        probed(&features, &person, ProbeTarget::Numbers(&number)).scores
    else {
        unreachable!("numbers were asked for")
    };
    assert!(there.r2.low > 0.9 && there.mae.high < there.mae_of_mean.low, "{there:?}");
    assert!(there.correlation_over_splits[0] > 0.95, "{there:?}");
    let unrelated: Vec<f64> = person.iter().map(|&it| ((it * it) as f64 * 2.7).sin()).collect();
    let ProbeScores::Numbers(none) =
        probed(&features, &person, ProbeTarget::Numbers(&unrelated)).scores
    else {
        unreachable!("numbers were asked for")
    };
    assert!(none.r2.estimate < 0.2, "{none:?}");
}

/// Every score again from the predictions, in other words.
#[test]
fn scores_are_those_of_the_predictions() {
    let (features, person, class, number) = planted(12);
    let found = probed(&features, &person, ProbeTarget::Classes(&class, 3));
    let ProbeScores::Classes(scores) = found.scores else { unreachable!("of classes") };
    let mut right = vec![Vec::new(); 12];
    for it in &found.predictions {
        let share = f64::from(u8::from(it.found == class[it.sample] as f64));
        right[person[it.sample]].push(share);
        assert!(it.probability.is_some_and(|it| it > 1.0 / 3.0 - 1e-9 && it <= 1.0));
    }
    let tried: Vec<f64> = right
        .iter()
        .filter(|it| !it.is_empty())
        .map(|it| it.iter().sum::<f64>() / it.len() as f64)
        .collect();
    let expected = tried.iter().sum::<f64>() / tried.len() as f64;
    assert!((scores.accuracy.estimate - expected).abs() < 1e-12);

    let found = probed(&features, &person, ProbeTarget::Numbers(&number));
    let ProbeScores::Numbers(scores) = found.scores else { unreachable!("of numbers") };
    let mut errors = vec![Vec::new(); 12];
    for it in &found.predictions {
        errors[person[it.sample]].push((it.found - number[it.sample]).abs());
    }
    let tried: Vec<f64> = errors
        .iter()
        .filter(|it| !it.is_empty())
        .map(|it| it.iter().sum::<f64>() / it.len() as f64)
        .collect();
    let expected = tried.iter().sum::<f64>() / tried.len() as f64;
    assert!((scores.mae.estimate - expected).abs() < 1e-12);
}

#[test]
fn too_few_people_are_refused_and_work_can_be_stopped() {
    let (features, person, class, _) = planted(3);
    let samples = ProbeSamples { features: features.view(), person: &person };
    let target = ProbeTarget::Classes(&class, 3);
    let said = |found: Result<Probe>| found.unwrap_err().to_string();
    let none = probe(samples, target, SETTINGS, |_| Ok::<_, Error>(()));
    assert_eq!(said(none), "people: found 3, expected at least 4");
    let (features, person, _, _) = planted(5);
    let class: Vec<usize> = person.iter().map(|it| usize::from(*it == 4)).collect();
    let samples = ProbeSamples { features: features.view(), person: &person };
    let target = ProbeTarget::Classes(&class, 2);
    let none = probe(samples, target, SETTINGS, |_| Ok::<_, Error>(()));
    assert_eq!(said(none), "people of a class: found 1, expected at least 2");
    let several: Vec<usize> = (0..10).map(|row| row % 2).collect();
    let target = ProbeTarget::Classes(&several, 2);
    let none = probe(samples, target, SETTINGS, |_| Ok::<_, Error>(()));
    assert!(said(none).starts_with("somebody has several classes"));
    let constant = ProbeTarget::Numbers(&[1.0; 10]);
    let none = probe(samples, constant, SETTINGS, |_| Ok::<_, Error>(()));
    assert_eq!(said(none), "different numbers: found 1, expected at least 2");
    let numbers: Vec<f64> = (0..10).map(f64::from).collect();
    let stopped = probe(samples, ProbeTarget::Numbers(&numbers), SETTINGS, |split| {
        if split == 2 { Err(Error::TooFew { what: "stop", found: 0, expected: 1 }) } else { Ok(()) }
    });
    assert_eq!(said(stopped), "stop: found 0, expected at least 1");
}
