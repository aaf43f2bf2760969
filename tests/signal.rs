//! From scans to series with the real program: parcels without data, tables with headers, confounds
//! that leave too little. A cohort of three people, eight parcels and forty frames.

use std::{fmt::Write as _, fs};

use ndarray::{Array3, Array4};
use scan::{Bold, Volume};
use tables::Cell;

use crate::study::{
    ATLAS, BASIC, BIDS, CONFOUNDS, N_FRAMES, Study, affine, confounds, denoise, integers, noise,
    octant, tables_of, vectors,
};

#[test]
fn nan_and_zeros_in_a_parcel_are_lost_counted_and_named() {
    let study = Study::new();
    // NaN in all of octant 8 and in half of octant 1; zeros in octant 8 of the second
    study.runs(|person, [x, y, z], value| match (person, octant(x, y, z)) {
        (0, 8) => f32::NAN,
        (0, 1) if x < 2 => f32::NAN,
        (1, 8) => 0.0,
        _ => value,
    });
    study.pipeline(BIDS, ATLAS, "", "mean");
    let ran = study.run().exits_with(0);
    let said = "parcellate: 2 of 3 scans lack data of parcels (at most 1 of 8): label 8 in 2 scans";
    assert!(ran.stderr.contains(said), "{ran}");
    assert_eq!(integers(&study.embeddings(), "n_lost_parcels"), [1, 1, 0]);
    let record: serde_json::Value = serde_json::from_str(&study.result("record.json")).unwrap();
    assert_eq!(record["lost_labels"][1]["labels"], serde_json::json!([8]), "{record}");
    assert_eq!(record["lost_labels"][1]["names"], serde_json::json!(["label 8"]));
    assert_eq!(record["coverage"][0]["least"], 0.5);
    assert_eq!(record["coverage"][7]["n_lost"], 2);
    let table = study.result("coverage.tsv");
    let first: Vec<&str> = table.lines().nth(1).unwrap().split('\t').collect();
    assert_eq!(first[1..5], ["1", "label 8", "0.5", "1"], "{table}");

    study.pipeline(BIDS, &format!("{ATLAS}, min_coverage: 0.6"), "", "mean");
    study.run().exits_with(0);
    assert_eq!(integers(&study.embeddings(), "n_lost_parcels"), [2, 1, 0]);
    let limits = format!("{ATLAS}, min_coverage: 0.6, max_lost_parcels: 1");
    study.pipeline(BIDS, &limits, "", "mean");
    let ran = study.run().exits_with(1);
    let status = study.result("status.tsv");
    let reason = "2 of 8 parcels have no data, max_lost_parcels is 1: label 1, label 8";
    assert!(status.contains(reason), "{status} {ran}");
}

#[test]
fn columns_of_n_a_are_lost_parcels() {
    let study = Study::new();
    let header = "P1\tP2\tP3\tP4\tP5\tP6\tP7\tP8";
    tables_of(
        &study,
        header,
        |person, parcel, cell| {
            if person < 2 && parcel == 3 { "n/a".to_owned() } else { cell }
        },
    );
    study.pipeline("bids: { dir: data, suffix: timeseries }", ATLAS, "", "mean");
    let ran = study.run().exits_with(0);
    assert_eq!(integers(&study.embeddings(), "n_lost_parcels"), [1, 1, 0], "{ran}");
    assert!(ran.stderr.contains("label 4 in 2 scans"), "{ran}");
}

#[test]
fn shares_that_xcp_d_measured_count_as_ours() {
    let study = Study::new();
    tables_of(&study, "P1\tP2\tP3\tP4\tP5\tP6\tP7\tP8", |_, _, cell| cell);
    let shares = |n: usize, third: f64| {
        let rows = (1..=n).map(|p| format!("P{p}\t{}\n", if p == 3 { third } else { 1.0 }));
        format!("Node\tcoverage\n{}", rows.collect::<String>())
    };
    let put = |person: usize, text: &str| {
        study.put(&format!("{}_stat-coverage_bold.tsv", Study::stem(person)), text);
    };
    put(0, &shares(8, 0.4));
    put(1, &shares(8, 0.75));
    let source = "bids: { dir: data, suffix: timeseries }";
    study.pipeline(source, ATLAS, "", "mean");
    study.run().exits_with(0);
    let cells = |row: usize| {
        let table = study.result("coverage.tsv");
        let line = table.lines().nth(row).unwrap().split('\t').map(str::to_owned);
        line.skip(1).collect::<Vec<_>>()
    };
    assert_eq!(cells(1)[..5], ["0", "n/a", "1", "1", "0.4"]);
    assert_eq!(cells(2)[..5], ["0", "n/a", "1", "1", "0.75"]);
    assert_eq!(cells(3)[..3], ["0", "n/a", "n/a"]);
    study.pipeline(source, &format!("{ATLAS}, min_coverage: 0.5"), "", "mean");
    study.run().exits_with(0);
    assert_eq!(cells(1)[..2], ["1", "label 3"]);
    // the table is part of what the series was made of
    put(1, &shares(8, 0.25));
    study.run().exits_with(0);
    assert_eq!(cells(2)[..5], ["1", "label 3", "1", "1", "0.25"]);
    put(1, &shares(7, 0.25));
    let ran = study.run().exits_with(1);
    let said = "has 7 rows and none is P8, expected one for each of 8 columns";
    assert!(study.result("status.tsv").contains(said), "{ran}");
    assert!(ran.stderr.contains(&format!("its table of coverage {said}")), "{ran}");
}

#[test]
fn labels_over_the_columns_are_no_frame() {
    let of = |header: &str| {
        let study = Study::new();
        tables_of(&study, header, |_, _, cell| cell);
        study.pipeline("bids: { dir: data, suffix: timeseries }", ATLAS, "", "mean");
        study.run().exits_with(0);
        let table = study.embeddings();
        assert_eq!(integers(&table, "n_frames"), [40, 40, 40], "{header}");
        vectors(&table)
    };
    let expected = of("");
    for header in [
        "1\t2\t3\t4\t5\t6\t7\t8",
        "1.0\t2.0\t3.0\t4.0\t5.0\t6.0\t7.0\t8.0",
        "17\t199\t401\t402\t500\t600\t700\t800",
    ] {
        assert_eq!(of(header), expected, "{header}");
    }
}

#[test]
fn columns_stand_in_the_order_of_the_atlas_where_their_labels_say_it() {
    let study = Study::new();
    study.put("names.txt", "A\nB\nC\nD\nE\nF\nG\nH\n");
    tables_of(&study, "B\tA\tC\tD\tE\tF\tG\tH", |_, _, cell| cell);
    let named = "atlas: { id: octants, labels: atlas.nii.gz, names: names.txt }";
    study.pipeline("bids: { dir: data, suffix: timeseries }", named, "", "mean");
    study.run().exits_with(0);
    let turned = vectors(&study.embeddings());
    let plain = Study::new();
    tables_of(&plain, "", |_, _, cell| cell);
    plain.pipeline("bids: { dir: data, suffix: timeseries }", ATLAS, "", "mean");
    plain.run().exits_with(0);
    let as_they_are = vectors(&plain.embeddings());
    // a number a parcel: A comes before B, as in the atlas
    let near = |a: f32, b: f32| (a - b).abs() < 1e-5;
    for person in 0..3 {
        let (turned, plain) = (&turned[person], &as_they_are[person]);
        assert!(near(turned[0], plain[1]) && near(turned[1], plain[0]), "{turned:?} {plain:?}");
        assert!(!near(turned[0], plain[0]));
        assert!(turned[2..].iter().zip(&plain[2..]).all(|(a, b)| near(*a, *b)));
    }
}

#[test]
fn check_refuses_confounds_that_do_not_fit() {
    let study = Study::new();
    study.runs(|_, _, value| value);
    study.put(&(Study::stem(1) + CONFOUNDS), &confounds(1, N_FRAMES + 1));
    study.pipeline(BIDS, ATLAS, &denoise(BASIC), "mean");
    let told = study.check().exits_with(0);
    let reason = "the confounds table has 41 rows, the scan 40 frames";
    assert!(told.stdout.contains(reason) || told.stderr.contains(reason), "{told}");
    let ran = study.run().exits_with(1);
    assert!(study.result("status.tsv").contains(reason), "{ran}");
    assert_eq!(study.embeddings().n_rows(), 2);

    study.pipeline(BIDS, ATLAS, &denoise("{ strategy: simple }"), "mean");
    let told = study.check().exits_with(2);
    assert!(told.stderr.contains("is missing"), "{told}");
    assert!(told.stderr.contains("the first of 3 scans, none is left"), "{told}");
    // `check` is asked for more here
    assert_eq!(told.stderr.matches("sub-0").count(), 3, "{told}");
    // each recording has its reason in the table
    let ran = study.run().exits_with(2);
    assert!(ran.stderr.contains("each recording has its reason in"), "{ran}");
    assert!(!ran.stderr.contains("sub-"), "{ran}");
    let status = study.result("status.tsv");
    let rows: Vec<&str> = status.lines().skip(1).collect();
    assert_eq!(rows.len(), 3, "{status}");
    for (row, stage) in rows.iter().zip(["denoise", "parcellate", "denoise"]) {
        assert!(row.contains(&format!("\t{stage}\tFAIL\t")), "{status}");
    }
    assert!(rows[0].starts_with("01\t") && rows[0].contains("is missing"), "{status}");
}

#[test]
fn check_refuses_nuisance_that_outnumbers_frames_with_both_numbers() {
    let study = Study::new();
    study.runs(|_, _, value| value);
    let mut many = String::new();
    (0..34).for_each(|c| write!(many, "\tx{c}").unwrap());
    for person in 0..3 {
        let rows = confounds(person, N_FRAMES);
        let mut lines = rows.lines();
        let mut text = format!("{}{many}\n", lines.next().unwrap());
        for (t, line) in lines.enumerate() {
            text.push_str(line);
            (0..34).for_each(|c| write!(text, "\t{:.5}", noise(person + 9, t, c)).unwrap());
            text.push('\n');
        }
        study.put(&(Study::stem(person) + CONFOUNDS), &text);
    }
    let all = "{ columns: { motion: basic, columns: [\"x*\"], demean: true } }";
    study.pipeline(BIDS, ATLAS, &denoise(all), "mean");
    let told = study.check().exits_with(2);
    let said = "denoise takes 42 columns (40 confounds, constant, 1 trend) out of 40 frames, which \
                leaves 0 degrees of freedom, expected at least 10 (`min_degrees_of_freedom`)";
    assert!(told.stderr.contains(said), "{told}");
    // 34 columns leave 4
    let some = "{ columns: { columns: [\"x*\"], demean: true } }";
    study.pipeline(BIDS, ATLAS, &denoise(some), "mean");
    study.check().exits_with(2);
    let fewer = denoise(some).replace(" }\n", ", min_degrees_of_freedom: 4 }\n");
    study.pipeline(BIDS, ATLAS, &fewer, "mean");
    study.run().exits_with(0);
    // a band-pass needs 34 frames; of the first 30 there are fewer
    let band = denoise("none")
        .replace("filter: none", "filter: { butterworth: { high_pass: 0.01, low_pass: 0.1 } }");
    study.pipeline(BIDS, ATLAS, &band, "mean");
    study.check().exits_with(0);
    let frames = |n: usize| {
        Array4::from_shape_fn((8, 8, 8, n), |(x, y, z, t)| {
            1000.0 + 20.0 * noise(0, t, octant(x, y, z)) as f32
        })
    };
    for func in [0, 1, 2].map(Study::stem) {
        fs::remove_file(study.at(&format!("{func}{CONFOUNDS}"))).unwrap();
        let path = study.at(&format!("{func}_space-MNI_desc-preproc_bold.nii.gz"));
        scan::write_bold(path, &Bold::new(frames(30), affine(), 2.0).unwrap()).unwrap();
    }
    let told = study.check().exits_with(2);
    assert!(told.stderr.contains("needs at least 34 frames, found 30"), "{told}");
}

#[test]
fn displacement_is_kept_where_no_frame_is_scrubbed() {
    let study = Study::new();
    study.runs(|_, _, value| value);
    study.pipeline(BIDS, ATLAS, &denoise(BASIC), "inverse_fd");
    let ran = study.run().exits_with(0);
    let table = study.embeddings();
    assert_eq!(table.n_rows(), 3, "{ran}");
    let fd = table.column("mean_fd_mm").unwrap().cell(0);
    assert!(matches!(fd, Cell::Number(x) if (0.15..0.25).contains(&x)), "{fd:?}");
    // without a table nothing says the displacement
    fs::remove_file(study.at(&(Study::stem(2) + CONFOUNDS))).unwrap();
    study.pipeline(BIDS, ATLAS, "", "inverse_fd");
    let told = study.check().exits_with(0);
    let reason = "no confounds table says the displacement that inverse_fd needs";
    assert!(told.stdout.contains(reason) || told.stderr.contains(reason), "{told}");
}

#[test]
fn frames_are_scrubbed_by_displacement_alone() {
    let study = Study::new();
    study.runs(|_, _, value| value);
    // no table has std_dvars
    let scrub =
        "{ columns: { motion: basic, demean: true, scrub: { min_segment: 0, fd_mm: 0.29 } } }";
    study.pipeline(BIDS, ATLAS, &denoise(scrub), "mean");
    study.run().exits_with(0);
    let kept: Vec<i64> = (0..3)
        .map(|person| {
            let text = confounds(person, N_FRAMES);
            let fd = |line: &str| line.rsplit('\t').next().unwrap().parse::<f64>();
            text.lines().skip(1).filter(|line| fd(line).is_ok_and(|fd| fd > 0.29)).count()
        })
        .map(|n| (N_FRAMES - n) as i64)
        .collect();
    assert!(kept.iter().any(|n| *n < N_FRAMES as i64), "{kept:?}");
    assert_eq!(integers(&study.embeddings(), "n_frames"), kept);
    let all = scrub.replace("0.29", "0.001");
    study.pipeline(BIDS, ATLAS, &denoise(&all), "mean");
    let told = study.check().exits_with(2);
    assert!(told.stderr.contains("at least 2 frames, found 1"), "{told}");
}

#[test]
fn names_that_begin_with_the_background_fit_or_are_refused() {
    let study = Study::new();
    study.runs(|_, _, value| value);
    let named = "atlas: { id: octants, labels: atlas.nii.gz, names: names.txt }";
    study.pipeline(BIDS, named, "", "mean");
    study.put("names.txt", "Background\nA\nB\nC\nD\nE\nF\nG\nH\n");
    study.run().exits_with(0);
    let header = study.result("coverage.tsv");
    assert!(header.starts_with("scan\tn_lost\tlost\tA\tB\t"), "{header}");
    study.put("names.txt", "Background\nA\nB\nC\nD\nE\nF\nG\n");
    let told = study.check().exits_with(2);
    let said = "holds names of 7 regions after the background, the atlas has 8 parcels";
    assert!(told.stderr.contains(said), "{told}");
}

#[test]
fn series_without_their_censored_frames_are_taken_where_a_table_says_which() {
    let study = Study::new();
    tables_of(&study, "P1\tP2\tP3\tP4\tP5\tP6\tP7\tP8", |_, _, cell| cell);
    // the tables have 40 frames, as many as are kept of 50 in the first and in the second
    for (person, n_out) in [(0, 10), (1, 10), (2, 9)] {
        let flag = |t: usize| if t % 4 == 3 && t / 4 < n_out { "1\n" } else { "0\n" };
        let text = "framewise_displacement\n".to_owned() + &(0..50).map(flag).collect::<String>();
        study.put(&(Study::stem(person) + "_outliers.tsv"), &text);
    }
    let series = "bids: { dir: data, suffix: timeseries }";
    study.pipeline(series, ATLAS, "", "mean");
    study.run().exits_with(1);
    assert_eq!(integers(&study.embeddings(), "n_frames"), [40, 40]);
    let status = study.result("status.tsv");
    let reason = "has 40 frames and its table of outliers 50, of which it keeps 41";
    assert!(status.contains(reason), "{status}");
    // a filter would join what lies apart
    let band = denoise("none").replace("filter: none", "filter: { cosine: { high_pass: 0.01 } }");
    study.pipeline(series, ATLAS, &band, "mean");
    let told = study.check().exits_with(2);
    let said = "the scan has 40 of the 50 frames of its run, and filters ask for all of them";
    assert!(told.stderr.contains(said), "{told}");
    study.pipeline(series, ATLAS, &denoise("none"), "mean");
    study.run().exits_with(1);
}

#[test]
fn a_column_for_every_number_up_to_the_last_label_is_read_by_the_labels() {
    // an atlas without label 5, and tables with a column for it
    let study = Study::new();
    let label = |(x, y, z)| match octant(x, y, z) {
        5 => 0.0,
        label => label as f32,
    };
    let labels = Volume::new(Array3::from_shape_fn((8, 8, 8), label), affine()).unwrap();
    scan::write_volume(study.at("atlas.nii.gz"), &labels).unwrap();
    let of = |without: &str, n_a: bool| {
        tables_of(
            &study,
            "",
            |_, parcel, cell| {
                if parcel == 4 && n_a { without.to_owned() } else { cell }
            },
        );
        study.pipeline("bids: { dir: data, suffix: timeseries }", ATLAS, "", "mean");
        study.run()
    };
    for without in ["n/a", "nan"] {
        let ran = of(without, true).exits_with(0);
        assert_eq!(integers(&study.embeddings(), "n_lost_parcels"), [0, 0, 0], "{ran}");
        let said = "3 of 3 scans have columns of no label and without data (at most 1)";
        assert!(ran.stderr.contains(said), "{ran}");
        assert_eq!(study.result("coverage.tsv").lines().next().unwrap().split('\t').count(), 3 + 7);
    }
    let said = "the scan has 8 columns, expected 7 as the atlas, or one for every number";
    let ran = of("", false).exits_with(2);
    assert!(ran.stderr.contains(said), "{ran}");
}
