//! What the program says, word for word.

use insta::assert_snapshot;
use tests::{Cohort, program, run, run_until};

const SCAN: &str = "fixtures/haxby2001/run001/bold_1slice.nii.gz";

#[test]
fn help_starts_a_newcomer() {
    assert_snapshot!(run(&["--help"]));
}

#[test]
fn no_arguments_are_answered_with_help_and_a_failure() {
    let ran = run(&[]).exits_with(2);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("Start here:"), "{ran}");
}

#[test]
fn each_command_has_examples_or_one_line() {
    assert_snapshot!("help_of_run", run(&["run", "--help"]));
    assert_snapshot!("help_of_check", run(&["check", "--help"]));
    assert_snapshot!("help_of_generate", run(&["generate", "--help"]));
    assert_snapshot!("help_of_score", run(&["score", "--help"]));
    assert_snapshot!("help_of_import", run(&["model", "import", "--help"]));
    assert_snapshot!("help_of_encoder_check", run(&["encoder", "check", "--help"]));
}

#[test]
fn the_version_is_one_line() {
    assert_snapshot!(run(&["--version"]), @"
    exit code 0
    ----- stdout
    neuroflamingo 0.1.0
    ----- stderr
    ");
}

#[test]
fn check_tells_the_plan_of_a_cohort() {
    let cohort = Cohort::new();
    let pipeline = cohort.pipeline().display().to_string();
    assert_snapshot!("check_cohort", run(&["check", &pipeline]));
    assert_snapshot!("check_cohort_json", run(&["check", &pipeline, "--json"]));
    assert!(!cohort.outputs().exists(), "a check writes nothing");
}

#[test]
fn check_tells_the_plan_of_a_corpus() {
    assert_snapshot!(run(&["check", "pipelines/pretrain-tiny-lm.yaml"]));
}

#[test]
fn check_tells_every_repetition() {
    assert_snapshot!(run(&["check", "pipelines/quickstart-seeds.yaml"]));
}

#[test]
fn an_interrupted_run_says_how_to_go_on() {
    for signal in ["INT", "USR1"] {
        let outputs = tempfile::tempdir().unwrap();
        let mut args = vec!["run", "pipelines/pretrain-tiny-lm.yaml"];
        let set = format!("outputs={}", outputs.path().display());
        let sizes =
            ["dim=16", "hidden_dim=16", "n_layers=1", "steps=30", "batch_size=2", "held_out=4"];
        let sizes = sizes.map(|size| format!("stages.pretrain.{size}"));
        args.extend(sizes.iter().chain([&set]).flat_map(|set| ["--set", set.as_str()]));
        let ran = run_until(&args, "pretrain (stage 1 of 1)", signal).exits_with(75);
        // on a busy machine a step may end before the signal arrives
        let lines = ran.stderr.lines().filter(|line| !line.starts_with("pretrain: 1/30 loss "));
        assert_eq!(
            lines.collect::<Vec<_>>(),
            [
                "pretrain (stage 1 of 1)",
                "stopped after saving, run the same command again to go on"
            ]
        );
        assert_eq!(ran.stdout, "");
        assert!(
            !outputs.path().join("tiny-lm/lm").exists(),
            "nothing is published before all is done"
        );
        let _ = run(&args).exits_with(0);
        assert!(outputs.path().join("tiny-lm/lm/model.safetensors").is_file());
    }
}

#[test]
fn more_is_said_when_asked_for() {
    let cohort = Cohort::new();
    let pipeline = cohort.pipeline().display().to_string();
    let quiet = run(&["run", &pipeline]).exits_with(0);
    assert!(!quiet.stderr.contains("INFO"), "{quiet}");
    let told = run(&["run", &pipeline, "-v"]).exits_with(0);
    assert!(
        told.stderr.contains("INFO pipeline::runner: resolved stage=\"whiten\" key=\""),
        "{told}"
    );
    assert!(!told.stderr.contains('\u{1b}'), "colours are for terminals: {told}");
    let debugged = run(&["run", &pipeline, "-vv"]).exits_with(0);
    assert!(debugged.stderr.contains("settings={\"whiten\":"), "{debugged}");
}

#[test]
fn schema_is_json() {
    let ran = run(&["schema"]).exits_with(0);
    let schema: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(schema["title"], "Spec");
    assert_eq!(ran.stderr, "");
}

#[test]
fn scan_inspect_lists_the_facts() {
    assert_snapshot!(run(&["scan", "inspect", SCAN]));
}

#[test]
fn scan_inspect_gives_the_facts_to_programs() {
    let ran = run(&["scan", "inspect", SCAN, "--json"]).exits_with(0);
    let facts: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(facts["dims"], serde_json::json!([40, 20, 1, 121]));
    assert_eq!(facts["t_r"], 2.5);
    assert_snapshot!(ran);
}

#[test]
fn a_missing_file_is_named_and_hinted_at() {
    assert_snapshot!("missing_scan", run(&["scan", "inspect", "nowhere.nii.gz"]));
    assert_snapshot!("missing_pipeline", run(&["run", "pipelines/nowhere.yaml"]));
    assert_snapshot!("missing_model", run(&["model", "verify", "nowhere"]));
    let set = "model.lm.hf=nowhere";
    assert_snapshot!("missing_lm", run(&["check", "pipelines/quickstart.yaml", "--set", set]));
}

#[test]
fn wrong_usage_ends_with_2() {
    assert_snapshot!("unknown_command", run(&["frobnicate"]));
    assert_snapshot!("unknown_option", run(&["run", "a.yaml", "--steps", "3"]));
    for args in [&["scan"] as &[&str], &["model"], &["encoder"], &["run"], &["scan", "inspect"]] {
        let ran = run(args).exits_with(2);
        assert!(ran.stdout.is_empty() && ran.stderr.contains("Usage:"), "{ran}");
    }
}

#[test]
fn a_set_of_instructions_that_is_none_is_refused_before_anything_begins() {
    let mut schema = std::process::Command::new(program());
    let ran = schema.arg("schema").env("NEUROFLAMINGO_CPU", "avx3").output();
    let ran = ran.expect("the program runs");
    assert_eq!((ran.status.code(), ran.stdout.len()), (Some(2), 0));
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(said.contains("NEUROFLAMINGO_CPU is `avx3`, expected one of plain"), "{said}");
}
