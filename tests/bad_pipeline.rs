//! Pipelines and `--set`s with one thing wrong: file, line, column and a caret, and exit code 2.

use std::fs;

use insta::assert_snapshot;
use tests::{Cohort, run};

/// What is said about the cohort's pipeline with one thing changed.
fn changed(from: &str, to: &str) -> String {
    let cohort = Cohort::new();
    cohort.edit_pipeline(from, to);
    refused(&cohort, &[])
}

fn set(set: &str) -> String {
    refused(&Cohort::new(), &[set])
}

fn refused(cohort: &Cohort, sets: &[&str]) -> String {
    let ran = cohort.run(sets).exits_with(2);
    assert_eq!(ran.stdout, "", "{ran}");
    assert!(!cohort.outputs().exists(), "nothing is written before the plan stands");
    ran.stderr
}

#[test]
fn a_typo_is_underlined_and_corrected() {
    assert_snapshot!(changed("n_frames: 9", "n_frmaes: 9"), @"
    error: [cohort]/windows.yaml:12:36: unknown field `n_frmaes`, expected one of shift_s, n_frames
       |
    12 |   - event_windows: { shift_s: 5.0, n_frmaes: 9 }
       |                                    ^^^^^^^^
    hint: did you mean `n_frames`?
    ");
}

#[test]
fn a_typo_in_a_stage_name_is_underlined_and_corrected() {
    assert_snapshot!(changed("- whiten:", "- whitten:"), @"
    error: [cohort]/windows.yaml:13:5: unknown choice `whitten`, expected one of mask, clean, event_windows, window, whiten, parcellate, order_parcels, denoise, resample_time, normalise, prepare, volumes, sliding_windows, windows, step, quality, select, export, encode, embed, harmonise, probe, finetune, generate, evaluate, attribute, render, caption, evaluate_few_shot, ask, pretrain, compose
       |
    13 |   - whitten: { shrinkage: { fixed: 0.3 } }
       |     ^^^^^^^
    hint: did you mean `whiten`?
    ");
}

#[test]
fn a_duplicate_key_is_shown_at_its_second_place() {
    assert_snapshot!(changed("outputs: runs", "outputs: runs\nseed: 2"), @"
    error: [cohort]/windows.yaml:15:1: key `seed` appears twice in this block
       |
    15 | seed: 2
       | ^^^^
    ");
}

#[test]
fn a_wrong_type_says_what_was_expected_and_found() {
    assert_snapshot!(changed("n_frames: 9", "n_frames: nine"), @"
    error: [cohort]/windows.yaml:12:46: expected a whole number, not negative, found `nine`
       |
    12 |   - event_windows: { shift_s: 5.0, n_frames: nine }
       |                                              ^^^^
    ");
}

#[test]
fn a_missing_key_is_named() {
    assert_snapshot!(changed("seed: 1\n", ""), @"
    error: [cohort]/windows.yaml:1:1: missing field `seed` in this block, expected beside name, cohort, stages, outputs
      |
    1 | name: windows
      | ^^^^
    ");
}

#[test]
fn a_missing_key_is_shown_at_the_block_that_lacks_it() {
    assert_snapshot!(changed(", n_frames: 9", ""), @"
    error: [cohort]/windows.yaml:12:5: missing field `n_frames` in `event_windows`, expected beside shift_s
       |
    12 |   - event_windows: { shift_s: 5.0 }
       |     ^^^^^^^^^^^^^
    ");
    assert_snapshot!(changed("    split_unit: scan\n", ""), @"
    error: [cohort]/windows.yaml:4:3: missing field `split_unit` in `pairs`, expected beside table, slots, prompt
      |
    4 |   pairs:
      |   ^^^^^
    ");
}

#[test]
fn broken_syntax_has_a_place() {
    assert_snapshot!(changed("fixed: 0.3 } }", "fixed: 0.3 }"), @"
    error: [cohort]/windows.yaml:14:1: while parsing a flow mapping, did not find expected ',' or '}'
       |
    14 | outputs: runs
       | ^^^^^^^
    ");
}

#[test]
fn a_typo_in_a_component_names_the_components_file() {
    let cohort = Cohort::new();
    let file = cohort.dir().join("slots.yaml");
    let slots = fs::read_to_string(tests::root().join("configs/slots/haxby_v1.yaml")).unwrap();
    fs::write(file, slots.replacen("  - name: viewed", "  - nmae: viewed", 1)).unwrap();
    let set = "cohort.pairs.slots={file: slots.yaml}";
    assert_snapshot!(refused(&cohort, &[set]), @"
    error: [cohort]/slots.yaml:6:5: unknown field `nmae`, expected one of name, section, lead, values, choice, ordinal, number, flag, set, about, truth, evidence, stated_by, abnormal, max_error
      |
    6 |   - nmae: viewed
      |     ^^^^
    hint: did you mean `name`?
    ");
}

#[test]
fn stages_in_the_wrong_order_are_refused() {
    let clean = "  - clean: { detrend: quadratic, standardize: zscore_sample }\n";
    let cohort = Cohort::new();
    cohort.edit_pipeline(clean, "");
    cohort.edit_pipeline("stages:\n", &format!("stages:\n{clean}"));
    assert_snapshot!(refused(&cohort, &[]), @"
    error: [cohort]/windows.yaml:10:5: stage clean needs voxel series, but what comes before it gives scans
       |
    10 |   - clean: { detrend: quadratic, standardize: zscore_sample }
       |     ^^^^^
    ");
}

#[test]
fn a_stage_without_the_one_it_needs_is_shown_where_it_stands() {
    assert_snapshot!(changed("  - event_windows: { shift_s: 5.0, n_frames: 9 }\n", ""), @"
    error: [cohort]/windows.yaml:12:5: stage whiten needs windows, but what comes before it gives voxel series
       |
    12 |   - whiten: { shrinkage: { fixed: 0.3 } }
       |     ^^^^^^
    ");
    assert_snapshot!(changed("  - whiten:", "  - mask: { above_mean: 0.6 }\n  - whiten:"), @"
    error: [cohort]/windows.yaml:13:5: stage mask is listed twice
       |
    13 |   - mask: { above_mean: 0.6 }
       |     ^^^^
    ");
    let whiten = "stages.0={whiten: {shrinkage: ledoit_wolf}}";
    assert_snapshot!(set(whiten), @"
    error: --set stages.0={whiten: {shrinkage: ledoit_wolf}}: stage whiten needs windows, but what comes before it gives scans
    ");
}

#[test]
fn a_setting_that_could_only_fail_later_is_shown_where_it_stands() {
    assert_snapshot!(changed("n_frames: 9", "n_frames: 0"), @"
    error: [cohort]/windows.yaml:12:36: stages.event_windows.n_frames is 0, expected at least 1
       |
    12 |   - event_windows: { shift_s: 5.0, n_frames: 0 }
       |                                    ^^^^^^^^
    ");
    assert_snapshot!(set("stages.whiten.shrinkage.fixed=3"), @"
    error: --set stages.whiten.shrinkage.fixed=3: stages.whiten.shrinkage.fixed is 3, expected 0 to 1
    ");
}

#[test]
fn a_corpus_that_is_all_held_out_is_refused() {
    let set = ["--set", "stages.pretrain.held_out=3000"];
    let args = [&["check", "pipelines/pretrain-tiny-lm.yaml"] as &[&str], &set].concat();
    assert_snapshot!(run(&args).exits_with(2).stderr, @"
    error: --set stages.pretrain.held_out=3000: stages.pretrain.held_out is 3000, expected less than the 3000 texts of the corpus
    ");
}

#[test]
fn several_mistakes_are_shown_at_once() {
    let cohort = Cohort::new();
    cohort.edit_pipeline("n_frames: 9", "n_frames: 0");
    cohort.edit_pipeline("above_mean: 0.6", "above_mean: -1");
    assert_snapshot!(refused(&cohort, &[]), @"
    error: 2 problems
      [cohort]/windows.yaml:10:13: stages.mask.above_mean is -1, expected 0 or more
         |
      10 |   - mask: { above_mean: -1 }
         |             ^^^^^^^^^^
      [cohort]/windows.yaml:12:36: stages.event_windows.n_frames is 0, expected at least 1
         |
      12 |   - event_windows: { shift_s: 5.0, n_frames: 0 }
         |                                    ^^^^^^^^
    ");
}

#[test]
fn a_list_where_a_block_is_needed_is_refused() {
    assert_snapshot!(changed("mask: { above_mean: 0.6 }", "mask: [0.6]"), @"
    error: [cohort]/windows.yaml:10:11: expected a block of keys, found a list
       |
    10 |   - mask: [0.6]
       |           ^^^^
    ");
    assert_snapshot!(set("cohort.pairs.slots=[viewed]"), @"
    error: --set cohort.pairs.slots=[viewed]: expected a block of keys, found a list
    ");
    assert_snapshot!(set("stages={mask: {above_mean: 0.6}}"), @"
    error: --set stages={mask: {above_mean: 0.6}}: expected a list, found a block of keys
    ");
}

#[test]
fn a_mistake_in_a_strategy_names_its_file_whether_set_or_not() {
    let cohort = Cohort::new();
    let stages = "- mask: { above_mean: 0.6 }\n- clean: { detrend: cubic }\n";
    fs::write(cohort.dir().join("strategy.yaml"), stages).unwrap();
    let text = fs::read_to_string(cohort.pipeline()).unwrap();
    let (before, _) = text.split_once("stages:").unwrap();
    cohort.write_pipeline(&format!("{before}stages: {{ file: strategy.yaml }}\noutputs: runs\n"));
    let said = refused(&cohort, &[]);
    assert_snapshot!(said, @"
    error: [cohort]/strategy.yaml:2:21: unknown choice `cubic`, expected one of none, constant, linear, quadratic
      |
    2 | - clean: { detrend: cubic }
      |                     ^^^^^
    ");
    assert_eq!(refused(&cohort, &["stages.mask.above_mean=0.5"]), said);
}

#[test]
fn a_set_with_an_unknown_key_lists_those_that_are_there() {
    assert_snapshot!(set("stages.windw.n_frames=8"), @r#"
    error: --set stages.windw.n_frames=8: there is no "windw" in stages, expected one of mask, clean, event_windows, whiten
    "#);
}

#[test]
fn a_set_with_an_unknown_last_key_lists_those_that_are_there() {
    assert_snapshot!(set("stages.event_windows.frames=8"), @"
    error: --set stages.event_windows.frames=8: unknown field `frames`, expected one of shift_s, n_frames
    ");
}

#[test]
fn a_set_without_an_equals_sign_is_refused() {
    assert_snapshot!(set("seed"), @"error: --set seed: expected KEY.KEY=VALUE, found no =");
}

#[test]
fn a_set_of_a_wrong_type_is_refused() {
    assert_snapshot!(set("seed=-1"), @"
    error: --set seed=-1: expected a whole number, not negative, found `-1`
    ");
}

#[test]
fn a_name_cannot_leave_the_output_folder() {
    assert_snapshot!(changed("name: windows", "name: ../elsewhere"), @r#"
    error: [cohort]/windows.yaml:1:1: name "../elsewhere" cannot be a folder name, expected letters, digits, - and _
      |
    1 | name: ../elsewhere
      | ^^^^
    "#);
    assert_snapshot!(set("name=../elsewhere"), @r#"
    error: --set name=../elsewhere: name "../elsewhere" cannot be a folder name, expected letters, digits, - and _
    "#);
}

#[test]
fn an_output_folder_that_cannot_be_made_is_found_before_work_begins() {
    let cohort = Cohort::new();
    fs::write(cohort.dir().join("file"), "").unwrap();
    let said = refused(&cohort, &["outputs=file/runs"]);
    assert_snapshot!(said, @"error: [cohort]/file: cannot write into: Not a directory (os error 20)");
}

#[test]
fn a_folder_is_no_pipeline() {
    let cohort = Cohort::new();
    let ran = run(&["run", &cohort.dir().display().to_string()]).exits_with(2);
    assert_snapshot!(ran.naming(cohort.dir(), "[cohort]").stderr, @"error: [cohort]: cannot read: Is a directory (os error 21)");
}
