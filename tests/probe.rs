//! What a linear model reads out of the tokens of an encoder, over the made-up cohort.

use std::{fs, path::Path};

use serde_json::Value;
use tests::{root, run, says};

fn probed(outputs: &Path, sets: &[&str]) -> tests::Ran {
    let pipeline = root().join("pipelines/probe-encoder.yaml").display().to_string();
    let outputs = format!("outputs={}", outputs.display());
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let args: Vec<&str> = ["run", &pipeline, "--set", &outputs].into_iter().chain(sets).collect();
    run(&args)
}

#[test]
fn an_encoder_is_probed_before_text_is_trained() {
    let dir = tempfile::tempdir().unwrap();
    let few = ["stages.probe.n_splits=20", "stages.probe.bootstrap=200"];
    let ran = probed(dir.path(), &few).exits_with(0);
    says(
        &ran.stderr,
        &["probe: stronger_side: accuracy 1.00 [1.00, 1.00], most frequent class 0.50"],
    );
    let out = dir.path().join("probe-encoder");
    let text = fs::read_to_string(out.join("probe.json")).unwrap();
    let scores: Value = serde_json::from_str(&text).unwrap();
    let of = |at: usize, score: &str, end: &str| {
        scores["targets"][at]["scores"][score][end].as_f64().unwrap()
    };
    // the side is planted in the series, and nothing else is
    assert_eq!(of(0, "accuracy", "estimate"), 1.0);
    assert_eq!(scores["targets"][0]["scores"]["auc_over_splits"][0], 1.0);
    assert!(of(1, "gain", "low") < 0.0, "{text}");
    assert!(of(2, "r2", "estimate") < 0.2 && of(3, "r2", "estimate") < 0.2, "{text}");
    let table = fs::read_to_string(out.join("predictions.csv")).unwrap();
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("target,split,participant_id,truth,prediction,probability"));
    // a fifth of 12 and 12, of 8 and 16, and of 24 people
    assert_eq!(lines.count(), 20 * (4 + 5 + 5 + 5));
    // another seed draws others
    probed(dir.path(), &[&few[..], &["seed=2"]].concat()).exits_with(0);
    assert_ne!(fs::read_to_string(out.join("predictions.csv")).unwrap(), table);
    // a label that says nothing leaves the others
    let constant =
        "stages.probe={classes: [stronger_side], numbers: [t_r_s], n_splits: 5, bootstrap: 50}";
    let ran = probed(dir.path(), &[constant]).exits_with(0);
    says(
        &ran.stderr,
        &["t_r_s: cannot be probed: different numbers: found 1, expected at least 2"],
    );
    let text = fs::read_to_string(out.join("probe.json")).unwrap();
    let scores: Value = serde_json::from_str(&text).unwrap();
    assert!(
        scores["targets"][0]["scores"].is_object()
            && scores["targets"][1]["not_probed"].is_string()
    );
    // a row a recording
    probed(dir.path(), &[&few[..], &["stages.probe.rows=recordings"]].concat()).exits_with(0);
    let table = fs::read_to_string(out.join("predictions.csv")).unwrap();
    assert!(table.starts_with("target,split,participant_id,session_id,scan,truth,"), "{table}");
}

#[test]
fn what_cannot_be_probed_is_refused_in_the_plan() {
    let dir = tempfile::tempdir().unwrap();
    for (set, expected) in [
        ("stages.probe.classes=[handedness]", "stages.probe: the cohort has no label handedness"),
        ("stages.probe.numbers=[stronger_side]", "names the column stronger_side twice"),
        ("stages.probe={numbers: [site]}", "`numbers` names site, which holds words"),
        ("stages.probe={}", "expected columns under `classes` or `numbers`"),
        ("stages.probe.n_splits=0", "stages.probe.n_splits is 0, expected at least 1"),
        ("stages.probe.test_share=1.0", "expected between 0 and 1"),
    ] {
        let refused = probed(dir.path(), &[set]).exits_with(2).one_error();
        says(&refused, &[expected]);
    }
    assert!(!dir.path().join("probe-encoder").exists());
}
