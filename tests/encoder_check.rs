//! `encoder check`: a masked autoencoder on scans and on series.

use std::fs;

use serde_json::Value;
use tests::{Ran, Stored, Synthetic, root, run};
use xtask::encoders;

const PIPELINE: &str = "encode-cohort";

fn checked(cohort: &Synthetic, more: &[&str]) -> Ran {
    let (pipeline, encoder) = (cohort.pipeline().display().to_string(), encoder());
    let args = ["encoder", "check", &pipeline, "--encoder", &encoder];
    run(&[&args[..], more].concat()).naming(cohort.dir(), "[cohort]")
}

fn encoder() -> String {
    root().join("configs/encoder/brainlm_synthetic_v1.yaml").display().to_string()
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}\n{ran}"))
}

fn r2(found: &Value) -> f64 {
    found["r2"].as_f64().expect("a number")
}

#[test]
fn scans_are_checked_as_the_pipeline_prepares_them() {
    let cohort = Synthetic::new(3, Stored::Mixed, PIPELINE);
    let ran = checked(&cohort, &["--seed", "4"]).exits_with(0);
    assert!(
        ran.stdout.starts_with("brainlm_region_time_v1: 20 % of the patches hidden, seed 4"),
        "{ran}"
    );
    assert!(ran.stdout.lines().nth(1).unwrap().contains("R²  parcel mean  frame mean"), "{ran}");
    assert_eq!(ran.stdout.lines().count(), 6, "{ran}");
    // weights drawn from a seed have learned nothing
    assert!(
        ran.stderr.contains("the model is no better than a predictor that has learned"),
        "{ran}"
    );
    assert!(!cohort.dir().join("runs").join(PIPELINE).exists(), "a check publishes no run");
    let found = json(&checked(&cohort, &["--seed", "4", "--json"]).exits_with(0));
    let scans = found["scans"].as_array().unwrap();
    assert_eq!((scans.len(), &scans[0]["n_windows"]), (3, &Value::from(2)));
    assert_eq!(found["mask_ratio"], 0.2);
    let shown = format!("{:.3}", r2(&found["all"]));
    assert!(ran.stdout.lines().last().unwrap().contains(&shown), "{shown}: {ran}");
    // two windows of 424 tokens, of which a fifth is hidden, each 20 values
    assert_eq!(scans[0]["n_hidden"], 2 * 20 * (424 - 339));
    // the same again; another seed and another share hide other patches
    assert_eq!(found, json(&checked(&cohort, &["--seed", "4", "--json"])));
    let other = json(&checked(&cohort, &["--seed", "5", "--json"]));
    assert_ne!(r2(&found["all"]), r2(&other["all"]));
    let more = json(&checked(&cohort, &["--mask-ratio", "0.5", "--json"]));
    assert_eq!(more["scans"][0]["n_hidden"], 2 * 20 * 212);
}

/// Scales of other formulas are far from what the same weights say of the right one.
#[test]
fn another_normalisation_gives_another_number() {
    let cohort = Synthetic::new(3, Stored::Mixed, PIPELINE);
    let of = |formula: &str| {
        let set = format!("stages.normalise.formula={formula}");
        json(&checked(&cohort, &["--json", "--set", &set]).exits_with(0))["all"].clone()
    };
    let (paper, toolkit) = (of("robust_paper"), of("robust_toolkit_bug"));
    // the toolkit's series are not divided by their spread, which is some tens here
    let scale = toolkit["mse"].as_f64().unwrap() / paper["mse"].as_f64().unwrap();
    assert!(scale > 50.0, "{paper} {toolkit}");
    assert!((r2(&paper) - r2(&toolkit)).abs() > 0.02, "{paper} {toolkit}");
    // one that the encoder was never trained on is no matter of numbers
    let said = checked(&cohort, &["--set", "stages.normalise.formula=demean"]).exits_with(2).stderr;
    assert!(
        said.contains("needs the normalisation robust_paper") && said.contains("demean"),
        "{said}"
    );
}

#[test]
fn series_are_checked_without_a_pipeline() {
    let cohort = Synthetic::new(2, Stored::Hdf5, PIPELINE);
    let coordinates = cohort.dir().join("atlas/synthetic424_coordinates.tsv").display().to_string();
    let series = |at: usize| {
        let path = cohort.scan(at).display().to_string();
        path.replace("_desc-preproc_bold.nii.gz", "_timeseries.h5")
    };
    let encoder = encoder();
    let (first, second) = (series(0), series(1));
    let with = |more: &[&str]| {
        let args = ["encoder", "check", "--encoder", &encoder, "--coordinates", &coordinates];
        run(&[&args[..], &["--series", &first], more].concat()).naming(cohort.dir(), "[cohort]")
    };
    let args = ["--series", &second, "--window", "20", "--normalise", "per_recording", "--json"];
    let found = json(&with(&args).exits_with(0));
    assert_eq!(found["scans"].as_array().unwrap().len(), 2);
    assert_eq!((&found["n_frames"], &found["scans"][1]["n_windows"]), (&20.into(), &2.into()));
    let plain = json(&with(&["--json", "--window", "20"]).exits_with(0));
    assert!(plain["all"]["mse"].as_f64().unwrap() > 1000.0, "nothing was normalised: {plain}");
    // the length that the weights were trained on
    let usual = json(&with(&["--json"]).exits_with(0));
    assert_eq!((&usual["n_frames"], &usual["scans"][0]["n_windows"]), (&40.into(), &1.into()));
    let said = with(&["--window", "30"]).exits_with(2).stderr;
    assert!(said.contains("needs windows of a multiple of 20 frames"), "{said}");
    let said = with(&["--window", "60"]).exits_with(2).stderr;
    assert!(said.contains("40") && said.contains("60"), "{said}");
    let said = with(&["--t-r", "2.5"]).exits_with(2).stderr;
    assert!(said.contains("_timeseries.h5") && said.contains("a TR of 0.735 s"), "{said}");
    let said = with(&["--normalise", "zscore"]).exits_with(2).stderr;
    assert!(said.contains("zscore") && said.contains("robust_paper"), "{said}");
    // a table of 424 places cannot be of fewer parcels
    let all = fs::read_to_string(&coordinates).unwrap();
    let few = all.lines().take(9).collect::<Vec<_>>().join("\n");
    fs::write(&coordinates, few).unwrap();
    let said = with(&[]).exits_with(2).stderr;
    assert!(said.contains("coordinates of 9 parcels, expected 424"), "{said}");
}

#[test]
fn what_is_hidden_depends_on_no_name() {
    let cohort = Synthetic::new(2, Stored::Hdf5, PIPELINE);
    let coordinates = cohort.dir().join("atlas/synthetic424_coordinates.tsv").display().to_string();
    let series = |at: usize| {
        let path = cohort.scan(at).display().to_string();
        path.replace("_desc-preproc_bold.nii.gz", "_timeseries.h5")
    };
    let (encoder, first) = (encoder(), series(0));
    let of = |path: &str| {
        let args = ["encoder", "check", "--encoder", &encoder, "--coordinates", &coordinates];
        let args = [&args[..], &["--series", path, "--json", "--window", "20"]].concat();
        json(&run(&args).exits_with(0))["all"].clone()
    };
    let before = of(&first);
    let renamed = cohort.dir().join("another.h5");
    fs::copy(&first, &renamed).unwrap();
    assert_eq!(of(&renamed.display().to_string()), before);
    assert_ne!(of(&series(1)), before);
}

#[test]
fn values_that_are_no_numbers_are_told_of_the_series() {
    let cohort = Synthetic::new(1, Stored::Mixed, PIPELINE);
    let coordinates = cohort.dir().join("atlas/synthetic424_coordinates.tsv").display().to_string();
    let mut rows = vec![vec!["1.5"; 424]; 40];
    for row in &mut rows[3..] {
        row[6] = "n/a";
    }
    let names: Vec<String> = (1..=424).map(|it| format!("parcel{it}")).collect();
    let text: Vec<String> = rows.iter().map(|row| row.join("\t")).collect();
    let path = cohort.dir().join("series.tsv");
    fs::write(&path, format!("{}\n{}\n", names.join("\t"), text.join("\n"))).unwrap();
    let (encoder, path) = (encoder(), path.display().to_string());
    let args = ["encoder", "check", "--encoder", &encoder, "--coordinates", &coordinates];
    let args = [&args[..], &["--series", &path, "--t-r", "0.735", "--window", "20"]].concat();
    let said = run(&args).exits_with(2).one_error();
    assert!(said.contains("series.tsv: 37 of 16960 values are not numbers"), "{said}");
    assert!(said.contains("the first in frame 3, parcel 7") && !said.contains("decoder"), "{said}");
}

#[test]
fn an_encoder_that_cannot_fill_in_is_refused() {
    let cohort = Synthetic::new(1, Stored::Mixed, PIPELINE);
    let pipeline = cohort.pipeline().display().to_string();
    let ran = run(&["encoder", "check", &pipeline]).exits_with(2);
    assert!(ran.stderr.contains("encoder `connectivity` has no decoder"), "{ran}");
    let ran = checked(&cohort, &["--mask-ratio", "1"]).exits_with(2);
    assert!(ran.stderr.contains("expected some and not all"), "{ran}");
    // published weights without a decoder
    let path = cohort.dir().join("encoder.bin");
    let all = encoders::plain(encoders::brainlm(&encoders::region_time(), 1).unwrap()).unwrap();
    let alone: Vec<_> = all.into_iter().filter(|it| it.0.starts_with("vit.")).collect();
    fs::write(&path, tests::pytorch(None, &alone)).unwrap();
    let package = cohort.dir().join("package").display().to_string();
    let weights = path.display().to_string();
    let args = ["model", "import", "--encoder", "brainlm", "--weights", &weights, "--to", &package];
    let ran = run(&args).exits_with(0);
    assert!(ran.stdout.contains("encoder without a decoder"), "{ran}");
    let ran = run(&["encoder", "check", &pipeline, "--encoder", &package]).exits_with(2);
    assert!(ran.stderr.contains("encoder.bin: its weights have no decoder"), "{ran}");
}
