use super::*;
use crate::slots::SlotReading;

const SHIPPED: &str = include_str!("../../../../configs/report/rsfmri_summary_v1.yaml");
const NETWORKS: [&str; 3] = ["Vis", "Default", "Cont"];

fn spec() -> ReportSpec {
    serde_yaml::from_str(SHIPPED).unwrap()
}

fn template() -> Template {
    spec().resolve(&NETWORKS.map(str::to_owned)).unwrap()
}

/// 24 people, the first 16 of training. Of the others each has one planted effect: person 16 a strong visual
/// network, 17 a weak one, 18 a default mode network that is coupled with the others, 19 one that is
/// decoupled, 20 a left control network, 21 a right one; 22 and 23 have none.
fn people() -> Vec<Measured> {
    let person = |idx: usize| {
        let mut quantities: BTreeMap<String, f64> = BTreeMap::new();
        for (at, network) in NETWORKS.iter().enumerate() {
            for (what, base) in [("within", 0.6), ("between", 0.1), ("laterality", 0.0)] {
                let wave = ((idx * 7 + at * 3 + base as usize) % 16) as f64 / 15.0 - 0.5;
                quantities.insert(format!("{what}:{network}"), base + 0.1 * wave);
            }
        }
        let planted = match idx {
            16 => Some(("within:Vis", 0.9)),
            17 => Some(("within:Vis", 0.3)),
            18 => Some(("between:Default", 0.5)),
            19 => Some(("between:Default", -0.3)),
            20 => Some(("laterality:Cont", 0.4)),
            21 => Some(("laterality:Cont", -0.4)),
            _ => None,
        };
        quantities.extend(planted.map(|(name, value)| (name.to_owned(), value)));
        let more = [
            ("frames", 200.0),
            ("t_r", 0.72),
            ("mean_fd", 0.05 + 0.03 * idx as f64),
            ("tsnr", 61.4),
            ("coverage", 97.0),
        ];
        quantities.extend(more.map(|(name, value)| (name.to_owned(), value)));
        let columns = [
            ("age", (24 + 3 * idx).to_string()),
            ("sex", ["F", "M"][idx % 2].to_owned()),
            ("history", "migraine".to_owned()),
        ];
        Measured {
            subject: format!("{idx:02}"),
            name: format!("sub-{idx:02}"),
            is_training: idx < 16,
            columns: columns.map(|(name, cell)| (name.to_owned(), cell)).into(),
            quantities,
        }
    };
    (0..24).map(person).collect()
}

fn composed(scans: &[Measured]) -> Vec<Composed> {
    let (template, statistics) = (template(), Statistics::fit(scans).unwrap());
    scans.iter().map(|it| template.compose(it, &statistics, 7).unwrap()).collect()
}

fn value(of: &Composed, slot: &str) -> Option<String> {
    let template = template();
    let idx = template.slots.slots().iter().position(|it| it.name == slot);
    of.values[idx.expect("a slot of the report")].clone()
}

#[test]
fn every_planted_effect_has_its_sign() {
    let reports = composed(&people());
    let planted = [
        (16, "within_Vis", "increased"),
        (17, "within_Vis", "decreased"),
        (18, "between_Default", "increased"),
        (19, "between_Default", "decreased"),
        (20, "laterality_Cont", "left"),
        (21, "laterality_Cont", "right"),
    ];
    let template = template();
    for (person, slot, expected) in planted {
        let report = &reports[person];
        assert_eq!(value(report, slot).as_deref(), Some(expected), "{}", report.text);
        let said = report.statements.iter().find(|it| it.slot.as_deref() == Some(slot)).unwrap();
        let z = said.number.unwrap();
        assert_eq!(z > 0.0, matches!(expected, "increased" | "left"), "{said:?}");
        // the sentence has the number with its sign, and a reader of the whole text finds the value
        assert!(said.sentence.contains(&format!("{z:+.2}")), "{said:?}");
        let idx = template.slots.slots().iter().position(|it| it.name == slot).unwrap();
        let read = template.slots.parse(&report.text).slots;
        assert_eq!(read[idx].value(), Some(expected), "{}", report.text);
        // everyone else is within the spread of training
        let others = (16..24).filter(|it| *it != person);
        for other in others.filter(|it| !planted.iter().any(|(p, s, _)| p == it && *s == slot)) {
            let usual = if slot.starts_with("laterality") { "balanced" } else { "normal" };
            assert_eq!(value(&reports[other], slot).as_deref(), Some(usual));
        }
    }
    assert_eq!(value(&reports[16], "altered_within").as_deref(), Some("Vis"));
    assert_eq!(value(&reports[22], "altered_within").as_deref(), Some("none"));
}

#[test]
fn only_training_people_are_fitted_and_each_once() {
    let people = people();
    let fitted = Statistics::fit(&people).unwrap();
    assert_eq!((fitted.n_people, fitted.quantities["within:Vis"].n), (16, 16));
    let mut others = people.clone();
    for scan in others.iter_mut().filter(|it| !it.is_training) {
        scan.quantities.values_mut().for_each(|it| *it *= 100.0);
    }
    assert_eq!(Statistics::fit(&others).unwrap(), fitted);
    // a second scan of a person does not make two people of them
    let mut twice = people.clone();
    twice.extend(vec![people[3].clone(); 5]);
    let again = Statistics::fit(&twice).unwrap();
    assert_eq!(again.n_people, 16);
    let (one, other) = (again.quantities["within:Vis"], fitted.quantities["within:Vis"]);
    assert!((one.mean - other.mean).abs() < 1e-12 && (one.sd - other.sd).abs() < 1e-12);
    // by hand: three numbers 1, 2, 3 have mean 2 and standard deviation 1
    let spread = Spread { n: 8, mean: 2.0, sd: 1.0 };
    let by_hand = Statistics { n_people: 8, quantities: [("x".to_owned(), spread)].into() };
    assert_eq!((by_hand.z("x", 3.5), by_hand.z("y", 3.5)), (Some(1.5), None));
    let few = Statistics::fit(&people[9..]).unwrap_err().to_string();
    assert_eq!(few, "training people: found 7, expected at least 8");
}

#[test]
fn what_all_training_people_share_has_no_z() {
    let mut people = people();
    for scan in &mut people {
        scan.quantities.insert("within:Vis".to_owned(), 0.6);
    }
    let reports = composed(&people);
    assert_eq!(value(&reports[16], "within_Vis"), None);
    assert!(!reports[16].text.contains("within the visual network"), "{}", reports[16].text);
    assert!(value(&reports[16], "within_Default").is_some());
}

#[test]
fn ages_above_89_are_written_as_90_and_more() {
    let mut people = people();
    people[20].columns.insert("age".to_owned(), "93".to_owned());
    people[21].columns.insert("age".to_owned(), "89".to_owned());
    let reports = composed(&people);
    assert!(reports[20].text.contains("90+ years"), "{}", reports[20].text);
    let record = serde_json::to_string(&reports[20]).unwrap();
    assert!(!record.contains("93 years") && !record.contains("\"93\""), "{record}");
    assert_eq!(value(&reports[20], "age").as_deref(), Some("90"));
    assert!(reports[21].text.contains("89 years"), "{}", reports[21].text);
}

#[test]
fn nothing_is_said_that_was_not_measured_or_given() {
    let mut people = people();
    for name in ["mean_fd", "tsnr"] {
        people[22].quantities.remove(name);
    }
    people[22].columns.clear();
    let reports = composed(&people);
    let text = &reports[22].text;
    for word in ["motion", "tSNR", "signal-to-noise", "years", "male", "migraine"] {
        let limits = text.find("Limits:").unwrap();
        assert!(!text[..limits].contains(word), "{word} in {text}");
    }
    for report in &reports {
        assert!(!report.text.contains("migraine") && !report.text.contains('{'), "{}", report.text);
        for statement in report.statements.iter().filter(|it| it.slot.is_some()) {
            assert!(statement.value.is_some() && statement.from.is_some(), "{statement:?}");
        }
    }
}

#[test]
fn phrasings_are_drawn_by_seed_and_scan() {
    let people = people();
    let (template, statistics) = (template(), Statistics::fit(&people).unwrap());
    let of = |seed: u64| -> Vec<String> {
        people.iter().map(|it| template.compose(it, &statistics, seed).unwrap().text).collect()
    };
    assert_eq!(of(7), of(7));
    assert_ne!(of(7), of(8));
    // whatever is drawn says the same
    let reports = composed(&people);
    for seed in 0..10 {
        for (scan, report) in people.iter().zip(&reports) {
            let other = template.compose(scan, &statistics, seed).unwrap();
            assert_eq!(other.values, report.values);
        }
    }
}

#[test]
fn what_the_program_states_is_not_left_to_the_model() {
    let report = &composed(&people())[16];
    assert!(report.text.starts_with("Technique: "), "{}", report.text);
    assert!(report.text.contains("0.720 s") && report.text.contains("\nLimits: "));
    assert!(!report.model_text.contains("Technique: ") && !report.model_text.contains("0.72"));
    assert!(report.model_text.contains("Findings: ") && report.model_text.contains("Impression: "));
    let template = template();
    let read = template.slots.parse(&report.model_text).slots;
    for &idx in template.slots.scored_idxs() {
        assert_eq!(read[idx].value().is_some(), report.values[idx].is_some());
        assert!(!matches!(read[idx], SlotReading::Conflicting { .. }));
    }
}

#[test]
fn specifications_that_say_nothing_sensible_are_refused() {
    let refused = |change: &dyn Fn(&mut ReportSpec)| {
        let mut spec = spec();
        change(&mut spec);
        spec.check().unwrap_err().to_string()
    };
    let place = |spec: &ReportSpec, name: &str| {
        let is = |it: &StatementSpec| it.slot.as_ref().is_some_and(|slot| slot.name == name);
        spec.statements.iter().position(is).unwrap()
    };
    spec().check().unwrap();
    let said = refused(&|it| {
        let at = place(it, "within_{network}");
        it.statements[at].edges = vec![1.0, -1.0];
    });
    assert_eq!(said, "statement within_{network}: it needs 2 ascending edges");
    let said = refused(&|it| {
        let at = place(it, "age");
        it.statements[at].phrasings = vec!["Age.".to_owned()];
    });
    assert!(said.contains("expected {value} once"), "{said}");
    let said = refused(&|it| {
        let at = place(it, "age");
        it.statements[at].slot.as_mut().unwrap().name = "onset".to_owned();
    });
    assert!(said.contains("every table of reports has a column of this name"), "{said}");
    let said = refused(&|it| {
        let at = place(it, "mean_fd");
        it.statements[at].from = Some(Source::Measured("modularity".to_owned()));
    });
    assert!(said.contains("expected one of frames, t_r, mean_fd"), "{said}");
    // a phrasing that says the opposite is found when it is written
    let mut wrong = spec();
    let at = place(&wrong, "within_{network}");
    wrong.statements[at].phrasings = vec![
        "Connectivity within the {network} network was not {value} (z = {number}).".to_owned(),
    ];
    let template = wrong.resolve(&NETWORKS.map(str::to_owned)).unwrap();
    let people = people();
    let statistics = Statistics::fit(&people).unwrap();
    let said = template.compose(&people[16], &statistics, 1).unwrap_err().to_string();
    assert!(
        said.starts_with("slot within_Vis writes ") && said.ends_with("reads back as nothing"),
        "{said}"
    );
}
