use std::path::PathBuf;

use super::*;
use crate::{Description, Scan, Shape, describe, nii::testing::Scratch, open, probe_header, shape};

/// `rest.made.arrow` was written by Hugging Face `datasets` 5.2.0 (`Dataset.save_to_disk`), the others by
/// pyarrow 26.0.1.
fn fixture(name: &str) -> PathBuf {
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    crates.join("../../fixtures/scan/arrow").join(name)
}

const TRAIN: &str = "rest.made.arrow/train/data-00000-of-00001.arrow";

fn rows(name: &str) -> ArrowRows {
    ArrowRows::open(fixture(name), &OpenOptions::default()).unwrap()
}

fn words(error: Error) -> String {
    let text = error.to_string();
    text.rsplit_once(".arrow: ").map_or(text.clone(), |(_, words)| words.to_owned())
}

#[test]
fn a_cohort_of_brainmarks_is_read_row_by_row_in_its_own_units() {
    let rows = rows(TRAIN);
    assert_eq!((rows.n_rows(), rows.n_parcels(), rows.max_frames()), (3, 5, 6));
    assert_eq!((rows.t_r(), rows.n_frames(1)), (Some(0.72), Ok(4)));
    assert_eq!(rows.column_names(), ["sub", "task", "n_frames", "gender", "age"]);
    let texts = |texts: [&str; 3]| Attribute::Texts(texts.map(str::to_owned).into());
    assert_eq!(rows.column("sub").unwrap(), texts(["100206", "100307", "100408"]));
    assert_eq!(rows.column("gender").unwrap(), texts(["F", "", "F"]));
    assert_eq!(rows.column("age").unwrap(), Attribute::Numbers(vec![26.0, 24.0, 26.0]));
    // numpy: bold.astype(f8) * std.astype(f8) + mean.astype(f8), first and last frame
    let expected = [
        [
            98.469_923_342_112_45,
            199.044_757_915_311_5,
            297.063_934_099_860_5,
            396.764_570_104_423_9,
            505.304_529_342_745_8,
        ],
        [
            98.452_712_621_539_83,
            201.718_347_495_538_18,
            300.358_107_315_609_23,
            397.433_996_151_085,
            510.003_144_224_872_8,
        ],
    ];
    let series = rows.read_at(1).unwrap();
    assert_eq!((series.values.dim(), series.t_r), ((4, 5), 0.72));
    for (frame, expected) in [(0, expected[0]), (3, expected[1])] {
        for (parcel, expected) in expected.into_iter().enumerate() {
            assert!((series.values[[frame, parcel]] - expected).abs() < 1e-9);
        }
    }
}

#[test]
fn every_way_of_looking_says_the_same() {
    let path = fixture(TRAIN);
    let expected = Shape::Cohort { n_frames: 6, n_parcels: 5 };
    assert_eq!(shape(&path, &OpenOptions::default()).unwrap(), expected);
    assert_eq!(probe_header(&path).unwrap().t_r, Ok(0.72));
    let opened = open(&path, &OpenOptions::default()).unwrap();
    assert!(matches!(&opened.scan, Scan::Rows(rows) if rows.n_rows() == 3));
    assert_eq!((opened.t_r(), opened.t_r_source.as_str()), (Some(0.72), "column tr, in s"));
    let Description::Arrow(found) = describe(&path).unwrap() else { panic!("of Arrow") };
    assert_eq!((found.n_rows, found.shape, found.t_r), (3, [6, 5], Some(0.72)));
    assert_eq!(found.private_fields, ["sub", "task", "gender"]);
    assert_eq!(crate::footprint(&path, &OpenOptions::default()).unwrap().n_values, 30);
}

#[test]
fn a_row_of_another_length_is_refused_and_the_others_are_read() {
    let rows = ArrowRows::open(
        fixture("odd_rows.arrow"),
        &OpenOptions { t_r: Some(2.0), ..OpenOptions::default() },
    )
    .unwrap();
    let said = |row| words(rows.read_at(row).unwrap_err());
    assert_eq!(said(1), "row 1 has frames of 4 parcels, most rows have 5");
    let ragged = "row 2 has frames of 5 and of 4 numbers in column bold, expected one length";
    assert_eq!(said(2), ragged);
    assert_eq!(said(3), "row 3 holds no bold");
    assert_eq!(said(4), "row 4 has mean of shape [1, 4], expected [1, 5]");
    assert_eq!(said(6), "has 6 rows, none at position 6");
    // bold 0, 0.25, … times 2 plus 10; and from 2 on times 4 plus 20
    assert_eq!(rows.read_at(0).unwrap().values.row(0).to_vec(), [10.0, 10.5, 11.0, 11.5, 12.0]);
    assert_eq!(rows.read_at(5).unwrap().values[[3, 4]], 20.0 + 4.0 * 6.0);
    let Attribute::Numbers(flags) = rows.column("ok").unwrap() else { panic!("flags") };
    assert!(flags[1].is_nan() && [flags[0], flags[2], flags[3]] == [1.0, 0.0, 1.0]);
    // entries of a dictionary are passed by
    assert_eq!(rows.column_names(), ["sub", "ok"]);
    let untimed = ArrowRows::open(fixture("odd_rows.arrow"), &OpenOptions::default()).unwrap();
    assert!(untimed.read_at(0).unwrap_err().to_string().contains("so it must be given (`t_r`)"));
}

#[test]
fn files_with_wide_and_fixed_lists_are_read_and_packed_ones_refused() {
    let rows = rows("file_form.arrow");
    assert_eq!((rows.n_rows(), rows.t_r()), (2, Some(2.0)));
    let series = rows.read_at(1).unwrap();
    assert_eq!(series.values.row(2).to_vec(), [9.0, 9.25, 9.5, 9.75, 10.0]);
    let packed = ArrowRows::open(fixture("packed.arrow"), &OpenOptions::default()).unwrap_err();
    assert_eq!(words(packed), "has compressed batches; write it without compression");
    let options = OpenOptions { dataset: Some("sub".to_owned()), ..OpenOptions::default() };
    let said = words(ArrowRows::open(fixture(TRAIN), &options).unwrap_err());
    assert_eq!(said, "column sub holds no lists of lists, expected frames of parcels");
    let options = OpenOptions { dataset: Some("x".to_owned()), ..OpenOptions::default() };
    let said = words(ArrowRows::open(fixture(TRAIN), &options).unwrap_err());
    assert!(said.starts_with("has no column x; it has sub, task, tr"), "{said}");
}

#[test]
fn no_damage_makes_a_reader_panic_or_allocate() {
    let scratch = Scratch::new();
    for name in [TRAIN, "odd_rows.arrow", "file_form.arrow"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        let look = |bytes: &[u8]| {
            let path = scratch.file("damaged.arrow", bytes);
            let options = OpenOptions { t_r: Some(2.0), ..OpenOptions::default() };
            if let Ok(rows) = ArrowRows::open(&path, &options) {
                for row in 0..rows.n_rows().min(8) {
                    drop(rows.read_at(row));
                }
                for column in rows.column_names() {
                    drop(rows.column(column));
                }
            }
        };
        for n in (0..bytes.len()).step_by(23) {
            look(&bytes[..n]);
        }
        for at in (0..bytes.len()).step_by(3) {
            let mut damaged = bytes.clone();
            damaged[at] ^= if at % 2 == 0 { 0xff } else { 0x80 };
            look(&damaged);
        }
    }
}
