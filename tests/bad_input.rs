//! Scans and tables with one thing wrong: one sentence, the right exit code, nothing half-written.

use std::fs;

use insta::assert_snapshot;
use tests::{Cohort, Ran, files_below, run};

/// Nothing could start: 2, one sentence, no output folder.
fn refused(cohort: &Cohort, sets: &[&str]) -> String {
    let ran = cohort.run(sets).exits_with(2);
    assert_eq!(ran.stdout, "", "{ran}");
    assert!(!cohort.outputs().exists(), "nothing is written before the plan stands");
    ran.stderr
}

/// One scan failed, the rest went on: 1, a row of `status.tsv` says why, all else is there.
fn left_out(cohort: &Cohort, scan: &str) -> String {
    let ran = cohort.run(&[]).exits_with(1);
    assert!(ran.stderr.contains("1 of 12 scans failed"), "{ran}");
    assert!(cohort.has_no_partial_file());
    let dir = cohort.outputs().join("windows");
    let status = fs::read_to_string(dir.join("status.tsv")).expect("a table of scans");
    let (failed, rest): (Vec<&str>, Vec<&str>) =
        status.lines().skip(1).partition(|line| line.contains("FAIL"));
    assert_eq!((failed.len(), rest.len()), (1, 11), "{status}");
    assert!(rest.iter().all(|line| line.contains("\tSUCCESS\tn/a")), "{status}");
    assert!(failed[0].contains(scan), "{status}");
    assert!(!status.contains(&cohort.dir().display().to_string()), "no folder is told: {status}");
    assert!(dir.join("record.json").is_file() && dir.join("config_used.yaml").is_file());
    failed[0].rsplit('\t').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn an_undamaged_cohort_runs_through() {
    let cohort = Cohort::new();
    let Ran { stderr, .. } = cohort.run(&[]).exits_with(0);
    assert!(stderr.contains("run directory: [cohort]/runs/windows"), "{stderr}");
    let status = fs::read_to_string(cohort.outputs().join("windows/status.tsv")).unwrap();
    assert_eq!(status.matches("\tSUCCESS\t").count(), 12, "{status}");
    assert!(cohort.has_no_partial_file());
}

#[test]
fn a_missing_scan_is_named_with_its_row() {
    let cohort = Cohort::new();
    fs::remove_file(cohort.scan(3)).unwrap();
    assert_snapshot!(refused(&cohort, &[]), @r#"
    error: [cohort]/pairs.csv: row 18: column scan is "run003/bold_1slice.nii.gz", expected a file, relative to the table's folder
    "#);
}

#[test]
fn a_scan_that_is_no_nifti_is_refused() {
    let cohort = Cohort::new();
    fs::write(cohort.scan(3), "subject,age\n1,30\n".repeat(40)).unwrap();
    assert_snapshot!(refused(&cohort, &[]), @"
    error: [cohort]/run003/bold_1slice.nii.gz: not a NIfTI file: its first four bytes are not the header size 348 or 540
    ");
}

#[test]
fn an_empty_scan_is_refused() {
    let cohort = Cohort::new();
    fs::write(cohort.scan(3), "").unwrap();
    assert_snapshot!(refused(&cohort, &[]), @"
    error: [cohort]/run003/bold_1slice.nii.gz: not a NIfTI file: it holds 0 bytes
    ");
}

#[test]
fn a_truncated_gzip_stream_leaves_its_scan_out() {
    let cohort = Cohort::new();
    let bytes = fs::read(cohort.scan(3)).unwrap();
    fs::write(cohort.scan(3), &bytes[..bytes.len() / 2]).unwrap();
    assert_snapshot!(left_out(&cohort, "run003"), @"
    run003/bold_1slice.nii.gz: gzip stream ends early or is damaged: incomplete deflate stream
    ");
}

#[test]
fn a_damaged_scan_says_the_same_to_scan_inspect() {
    let cohort = Cohort::new();
    let bytes = fs::read(cohort.scan(3)).unwrap();
    fs::write(cohort.scan(3), &bytes[..bytes.len() / 2]).unwrap();
    let scan = cohort.scan(3).display().to_string();
    let ran = run(&["scan", "inspect", &scan]).exits_with(2).naming(cohort.dir(), "[cohort]");
    assert_snapshot!(ran.stderr, @"
    error: [cohort]/run003/bold_1slice.nii.gz: gzip stream ends early or is damaged: incomplete deflate stream
    ");
}

#[test]
fn three_dimensions_are_not_a_run() {
    let cohort = Cohort::new();
    cohort.patch_scan(3, &[(40, &3_i16.to_le_bytes())]);
    assert_snapshot!(refused(&cohort, &[]), @"
    error: [cohort]/run003/bold_1slice.nii.gz: has 3 dimensions [40, 20, 1], expected 4
    ");
}

#[test]
fn a_repetition_time_of_zero_is_refused() {
    let cohort = Cohort::new();
    cohort.patch_scan(3, &[(76 + 16, &0_f32.to_le_bytes())]);
    assert_snapshot!(refused(&cohort, &[]), @"
    error: [cohort]/run003/bold_1slice.nii.gz: repetition time unknown: pixdim[4] is 0, expected a positive finite number
    ");
}

#[test]
fn another_repetition_time_than_the_first_scans_is_refused() {
    let cohort = Cohort::new();
    cohort.patch_scan(3, &[(76 + 16, &2_f32.to_le_bytes())]);
    assert_snapshot!(refused(&cohort, &[]), @"
    error: [cohort]/run003/bold_1slice.nii.gz: TR is 2 s, but [cohort]/run001/bold_1slice.nii.gz has 2.5 s
    ");
}

#[test]
fn voxels_that_are_no_numbers_inside_the_mask_leave_their_scan_out() {
    let cohort = Cohort::new();
    let bold = scan::read_bold(cohort.scan(11)).unwrap();
    let (affine, t_r) = (bold.affine().clone(), bold.t_r());
    let mut data = bold.into_data();
    // the middle of the brain
    data[[20, 10, 0, 60]] = f32::NAN;
    let bold = scan::Bold::new(data, affine, t_r).unwrap();
    scan::write_bold(cohort.scan(11), &bold).unwrap();
    assert_snapshot!(left_out(&cohort, "run011"), @"
    run011/bold_1slice.nii.gz: 1 of 58080 values inside the voxel mask are not finite
    ");
}

#[test]
fn a_cohort_without_usable_training_scans_ends_as_one_that_cannot_start() {
    let cohort = Cohort::new();
    for run in 1..=9 {
        let bytes = fs::read(cohort.scan(run)).unwrap();
        // each its own length: equal bytes in two splits are refused earlier
        fs::write(cohort.scan(run), &bytes[..bytes.len() / 2 + run]).unwrap();
    }
    let ran = cohort.run(&[]).exits_with(2);
    assert!(!cohort.outputs().join("windows/record.json").exists(), "{ran}");
    assert!(cohort.has_no_partial_file());
    assert_snapshot!(ran.stderr, @"
    mask (stage 1 of 4)
    error: stage mask: every scan of split train failed, the first with: the scan: gzip stream ends early or is damaged: incomplete deflate stream
    ");
}

#[test]
fn an_unknown_column_is_named_with_those_allowed() {
    let cohort = Cohort::new();
    cohort.edit_table("report", "raport");
    assert_snapshot!(refused(&cohort, &[]), @r#"
    error: [cohort]/pairs.csv: unknown column "raport", allowed are subject, session, scan, onset, duration, report, split, site, sex, age
    "#);
}

#[test]
fn a_missing_report_is_named_with_its_row() {
    let cohort = Cohort::new();
    let table = fs::read_to_string(cohort.table()).unwrap();
    let report = table.split('"').nth(1).unwrap();
    cohort.edit_table(&format!("\"{report}\""), "");
    assert_snapshot!(refused(&cohort, &[]), @r#"
    error: [cohort]/pairs.csv: row 2: column report is "", expected a text
    "#);
}

#[test]
fn a_subject_in_two_splits_is_named_with_both_rows() {
    let cohort = Cohort::new();
    assert_snapshot!(refused(&cohort, &["cohort.pairs.split_unit=subject"]), @"
    error: [cohort]/pairs.csv: subject 1 is in split train (row 2) and in split validation (row 74)
    hint: put all rows of that unit into one split, or choose another cohort.pairs.split_unit
    ");
}

#[test]
fn a_copy_of_a_scan_may_not_be_trained_on_and_tested() {
    let cohort = Cohort::new();
    fs::copy(cohort.scan(1), cohort.scan(11)).unwrap();
    assert_snapshot!(refused(&cohort, &[]), @"
    error: [cohort]/run011/bold_1slice.nii.gz: same bytes as [cohort]/run001/bold_1slice.nii.gz, but one is in split train and one in split test
    ");
}

#[test]
fn a_window_past_the_end_of_the_run_is_named_with_its_row() {
    let cohort = Cohort::new();
    cohort.edit_table("run001/bold_1slice.nii.gz,15,", "run001/bold_1slice.nii.gz,290,");
    assert_snapshot!(refused(&cohort, &[]), @"
    error: [cohort]/pairs.csv: row 2: window at onset 290 s takes frames 118 to 126, but the run has 121 frames (302.5 s)
    hint: shorten the window, or drop the row from the table
    ");
}

#[test]
fn a_check_finds_what_a_run_would_refuse() {
    let cohort = Cohort::new();
    cohort.edit_table("report", "raport");
    let run_says = refused(&cohort, &[]);
    let ran = run(&["check", &cohort.pipeline().display().to_string()]).exits_with(2);
    assert_eq!(ran.naming(cohort.dir(), "[cohort]").stderr, run_says);
}

#[test]
fn a_damaged_table_of_results_is_made_again() {
    let cohort = Cohort::new();
    let first = cohort.run(&[]).exits_with(0);
    let stored = files_below(&cohort.outputs().join("cache/clean"));
    let series = stored.iter().find(|it| it.extension().is_some_and(|it| it == "safetensors"));
    fs::write(series.unwrap(), "half").unwrap();
    let second = cohort.run(&[]).exits_with(0);
    assert!(first.stderr.contains("clean: done in"), "{first}");
    assert!(second.stderr.contains("mask: stored result taken"), "{second}");
    assert!(second.stderr.contains("clean: done in"), "{second}");
}
