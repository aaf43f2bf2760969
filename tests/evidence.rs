//! What is shown in place of the own scan, and what cheap models know, on the synthetic cohort with too little
//! training.

use std::{fmt::Write, fs};

use serde_json::Value;
use tests::{Stored, Synthetic, root, says};

const SWAP: &str = "swap-encoders";

const SLOTS: &str = "    slots:
      scored: [side]
      slots:
        - name: side
          section: findings
          lead: Shared fluctuations are strongest in the
          choice: { left: [left hemisphere], right: [right hemisphere] }
          evidence: { parcels: [1, 2, 3, 4] }
        - name: cause
          section: impression
          lead: The cause is
          choice: { known: [known], unknown: [unknown] }
";

/// The cohort with a typed slot, an evaluation, and columns of people.
fn cohort() -> Synthetic {
    let cohort = Synthetic::new(24, Stored::Mixed, SWAP);
    let home = root().display().to_string();
    let slots = format!("    slots: {{ file: {home}/configs/slots/sides_v1.yaml }}\n");
    cohort.edit_pipeline(&slots, SLOTS);
    cohort.edit_pipeline("parcel_frames_tiny_v1", "connectivity_v1");
    let evaluate =
        "  - evaluate: { permutations: 999, shuffles: 10, logistic_c: 1.0, batch_size: 8 }\n";
    cohort.edit_pipeline("\noutputs:", &format!("{evaluate}\noutputs:"));
    let table = cohort.dir().join("pairs.csv");
    let text = fs::read_to_string(&table).unwrap();
    let mut rows = text.lines();
    let mut with_people = format!("{},site,sex,age\n", rows.next().unwrap());
    for (idx, row) in rows.enumerate() {
        let (site, sex) = (["north", "south"][idx % 2], ["F", "m"][idx / 2 % 2]);
        writeln!(with_people, "{row},{site},{sex},{}", 30 + idx % 5).unwrap();
    }
    fs::write(table, with_people).unwrap();
    cohort
}

#[test]
fn everything_that_stands_in_for_the_own_scan_is_measured() {
    let cohort = cohort();
    let few = ["stages.finetune.steps=2", "stages.finetune.validate_every=2"];
    let ran = cohort.run(&few).exits_with(0);
    let found = fs::read_to_string(cohort.result(SWAP, "metrics.json")).unwrap();
    let found: Value = serde_json::from_str(&found).unwrap();
    let n = found["windows"].as_array().unwrap().len();
    let evidence = &found["evidence"];
    let conditions = evidence["conditions"].as_array().unwrap();
    let kinds: Vec<&str> = conditions.iter().map(|it| it["kind"].as_str().unwrap()).collect();
    let expected = [
        "another",
        "matched",
        "same_label",
        "no_scan",
        "mean_scan",
        "phase_randomised",
        "phase_randomised_together",
        "time_permuted",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(conditions[1]["name"], "another subject's scan of the same site, sex and age");
    for condition in &conditions[3..] {
        assert_eq!(condition["n_windows"], n, "{condition}");
        assert!(condition["two_afc"]["estimate"].is_number(), "{condition}");
        assert!(condition["written"]["estimate"].is_number(), "{condition}");
    }
    let gain = |at: usize| conditions[at]["likelihood_gain"]["estimate"].as_f64().unwrap();
    // correlations of whole series do not know the order of frames; those of windows do
    assert!(gain(5).abs() > 1e-9 && gain(7).abs() > 1e-12, "{} {}", gain(5), gain(7));
    let grounding = evidence["grounding"].as_array().unwrap();
    assert_eq!((&grounding[0]["slot"], &grounding[0]["n_parcels"]), (&"side".into(), &4.into()));
    assert_eq!(grounding[0]["place"], "parcels 1, 2, 3, 4");
    assert!(grounding[0]["likelihood"]["estimate"].is_number(), "{grounding:?}");
    assert_eq!(grounding[1]["reason"], "not occludable: it has no place");
    assert_eq!(grounding[1]["is_grounded"], false);
    let names: Vec<&str> = evidence["baselines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    for name in ["site only", "age and sex only", "connectivity + logistic regression"] {
        assert!(names.contains(&name), "{names:?}");
    }
    says(
        &ran.stdout,
        &[
            "\nown scan against ",
            "\nown scan, frames in random order ",
            "\nside (parcels 1, 2, 3, 4) ",
            "\ncause: not occludable: it has no place\n",
        ],
    );
    // the same numbers again
    let metrics = || fs::read_to_string(cohort.result(SWAP, "metrics.json")).unwrap();
    let first = metrics();
    fs::remove_dir_all(cohort.dir().join("runs")).unwrap();
    cohort.run(&few).exits_with(0);
    assert_eq!(metrics(), first);
}

#[test]
fn a_place_that_the_atlas_does_not_have_is_said() {
    let cohort = cohort();
    cohort.edit_pipeline("{ parcels: [1, 2, 3, 4] }", "{ network: Default }");
    let few = ["stages.finetune.steps=1", "stages.finetune.validate_every=1"];
    let ran = cohort.run(&few).exits_with(0);
    says(&ran.stdout, &["\nside: not occludable: the atlas has no network Default\n"]);
}
