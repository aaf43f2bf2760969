//! Small tables, and the choices nilearn makes on them.

use super::*;
use crate::nii::testing::Scratch;

/// Eight frames: frame 0 not steady, frame 5 moved.
fn table(scratch: &Scratch) -> ConfoundTable {
    let mut text = String::from("csf\twhite_matter\tframewise_displacement\tstd_dvars\tcosine00\t");
    text.push_str("non_steady_state_outlier00\tcsf_derivative1\ta_comp_cor_00\n");
    for t in 0..8_u8 {
        let first = t == 0;
        let moved = if t == 5 { "0.9" } else { "0.1" };
        let na = |x: &str| if first { "n/a".to_owned() } else { x.to_owned() };
        let row = [
            format!("{}", 10 + t),
            format!("{}", 20 - t),
            na(moved),
            na("1.0"),
            format!("{}", f64::from(t) / 2.0),
            format!("{}", u8::from(first)),
            na(&format!("{}", 3 * t)),
            "0.5".to_owned(),
        ];
        text.push_str(&(row.join("\t") + "\n"));
    }
    let path = scratch.file("sub-1_desc-confounds_timeseries.tsv", text.as_bytes());
    let sidecar = r#"{"a_comp_cor_00": {"Mask": "combined"}, "csf": {}, "note": "free text"}"#;
    scratch.file("sub-1_desc-confounds_timeseries.json", sidecar.as_bytes());
    ConfoundTable::read(path).unwrap()
}

fn empty() -> ConfoundConfig {
    ConfoundConfig { motion: None, ..ConfoundStrategy::Simple.config() }
}

#[test]
fn columns_come_in_the_order_of_their_names_without_the_mean_of_kept_frames() {
    let scratch = Scratch::new();
    let chosen = table(&scratch).select(&empty()).unwrap();
    assert_eq!(chosen.names, ["cosine00", "csf", "white_matter"]);
    assert_eq!(chosen.kept.as_deref(), Some(&[1, 2, 3, 4, 5, 6, 7][..]));
    // csf 11 to 17 are kept: mean 14
    assert_eq!(chosen.values.column(1).to_vec(), [-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn a_first_frame_without_a_value_takes_that_of_the_second() {
    let scratch = Scratch::new();
    let columns = vec!["csf_d*".to_owned()];
    let config =
        ConfoundConfig { wm_csf: None, high_pass: false, columns, demean: false, ..empty() };
    let chosen = table(&scratch).select(&config).unwrap();
    assert_eq!(chosen.values.column(0).to_vec()[..3], [3.0, 3.0, 6.0]);
}

#[test]
fn frames_that_moved_and_short_segments_beside_them_are_left_out() {
    let scratch = Scratch::new();
    let kept = |min_segment| {
        let scrub = Some(MotionScrub { min_segment, fd_mm: 0.5, std_dvars: Some(1.5) });
        table(&scratch).select(&ConfoundConfig { scrub, ..empty() }).unwrap().kept.unwrap()
    };
    assert_eq!(kept(0), [1, 2, 3, 4, 6, 7]);
    assert_eq!(kept(3), [1, 2, 3, 4]);
    let scrub = Some(MotionScrub { min_segment: 6, fd_mm: 0.5, std_dvars: Some(1.5) });
    let error = table(&scratch).select(&ConfoundConfig { scrub, ..empty() }).unwrap_err();
    assert!(error.to_string().ends_with("every frame is left out"), "{error}");
}

#[test]
fn components_are_found_through_the_sidecar() {
    let scratch = Scratch::new();
    let with = |kind| ConfoundConfig { compcor: Some((kind, NCompCor::First(3))), ..empty() };
    let table = table(&scratch);
    let chosen = table.select(&with(CompCor::AnatCombined)).unwrap();
    assert_eq!(chosen.names[0], "a_comp_cor_00");
    assert!(table.select(&with(CompCor::Temporal)).is_err());
    std::fs::remove_file(scratch.path("sub-1_desc-confounds_timeseries.json")).unwrap();
    let table = ConfoundTable::read(table.path()).unwrap();
    let error = table.select(&with(CompCor::AnatCombined)).unwrap_err().to_string();
    assert!(error.contains("has no .json beside it"), "{error}");
}

#[test]
fn what_is_missing_or_no_number_is_named() {
    let scratch = Scratch::new();
    let error = table(&scratch).select(&ConfoundStrategy::Simple.config()).unwrap_err();
    assert!(error.to_string().ends_with("column rot_x is missing"), "{error}");
    let read = |text: &str| {
        ConfoundTable::read(scratch.file("bad.tsv", text.as_bytes())).unwrap_err().to_string()
    };
    let found = read("csf\tx\n1\tabc\n");
    assert!(found.ends_with("row 2: column x is \"abc\", expected a number"), "{found}");
    assert!(read("1.0\t2.0\n1\t2\n").ends_with("row 1: expected the names of the columns"));
    assert!(read("a\tb\n1\n").contains("row 2"), "ragged");
    assert!(read("a,b\n1,2\n").ends_with("by commas or semicolons, expected tabs"));
    assert!(read("\ta\n0\t2\n").ends_with("leave row numbers out (`index=False` in pandas)"));
    let path = scratch.file("na.tsv", b"a\nNA\n2\n");
    assert!(ConfoundTable::read(path).unwrap().column("a").unwrap()[0].is_nan());
    // found by fuzzing: a name of two lines
    let found = read("a\t\"b\nc\"\n1\tx\n");
    assert!(found.ends_with("column b c is \"x\", expected a number"), "{found}");
    // and one of several thousand letters
    let found = read(&format!("a\t{}\n1\tx\n", "b".repeat(4000)));
    assert!(found.ends_with("b is \"x\", expected a number") && found.len() < 600, "{found}");
}

#[test]
fn too_much_motion_is_a_reason() {
    let scratch = Scratch::new();
    let figures = MotionFigures::measure(&table(&scratch), Some(&[1, 2, 3])).unwrap();
    assert!((figures.fd_mean_mm.unwrap() - 1.5 / 7.0).abs() < 1e-12);
    assert_eq!((figures.fd_max_mm, figures.n_frames, figures.n_kept), (Some(0.9), 8, 3));
    let limits = |mean, max, min| MotionLimits {
        fd_mean_mm: Some(mean),
        fd_max_mm: Some(max),
        min_frames: Some(min),
    };
    assert_eq!(figures.excluded_by(&limits(0.5, 5.0, 3)), None);
    let reason = figures.excluded_by(&limits(0.2, 5.0, 3)).unwrap();
    assert_eq!(reason, "mean framewise displacement is 0.214 mm, the limit is 0.2 mm");
    let reason = figures.excluded_by(&limits(0.5, 5.0, 400)).unwrap();
    assert_eq!(reason, "3 frames are left, at least 400 are needed");
}

#[test]
fn displacement_without_any_value_is_unknown_and_not_zero() {
    let scratch = Scratch::new();
    let path = scratch.file("c.tsv", b"framewise_displacement\nn/a\nn/a\n");
    let figures = MotionFigures::measure(&ConfoundTable::read(path).unwrap(), None).unwrap();
    assert_eq!((figures.fd_mean_mm, figures.fd_max_mm), (None, None));
    let limits = MotionLimits { fd_mean_mm: Some(0.5), fd_max_mm: None, min_frames: None };
    let reason = figures.excluded_by(&limits).unwrap();
    assert_eq!(reason, "no frame has a framewise displacement, the limit is 0.5 mm");
}

// by hand: |0.1| + |-0.2| + 50 · 0.01, then |0.1| + 50 · 0.01; as a column says it, that is taken
#[test]
fn displacement_follows_from_motion_where_no_column_says_it() {
    let scratch = Scratch::new();
    let motion = "trans_x\ttrans_y\ttrans_z\trot_x\trot_y\trot_z";
    let rows = ["0\t0\t0\t0\t0\t0", "0.1\t-0.2\t0\t0\t0.01\t0", "0\t-0.2\t0\t0\t0\t0"];
    let text = format!("{motion}\n{}\n", rows.join("\n"));
    let table = ConfoundTable::read(scratch.file("m.tsv", text.as_bytes())).unwrap();
    let figures = MotionFigures::measure(&table, None).unwrap();
    assert!((figures.fd_mean_mm.unwrap() - 0.7).abs() < 1e-12, "{figures:?}");
    assert!((figures.fd_max_mm.unwrap() - 0.8).abs() < 1e-12, "{figures:?}");
    let said = rows.map(|row| format!("{row}\t0.5")).join("\n");
    let text = format!("{motion}\tframewise_displacement\n{said}\n");
    let table = ConfoundTable::read(scratch.file("f.tsv", text.as_bytes())).unwrap();
    assert_eq!(MotionFigures::measure(&table, None).unwrap().fd_max_mm, Some(0.5));
    let table = ConfoundTable::read(scratch.file("n.tsv", b"trans_x\n0\n")).unwrap();
    assert!(table.displacement().is_none());
}
