//! From scans to series with the real program: parcels without data, tables with headers, confounds
//! that leave too little. A cohort of three people, eight parcels and forty frames.

use std::{fmt::Write as _, fs, path::PathBuf};

use ndarray::{Array3, Array4};
use scan::{Affine, Bold, Volume};
use tables::{Cell, Table};
use tempfile::TempDir;
use tests::{Ran, root, run};

const N_FRAMES: usize = 40;
const N_PARCELS: usize = 8;
const SIGNAL: &str = "{ detrend: linear, filter: none, standardize: zscore_sample, \
                      standardize_confounds: true, extrapolate: true, nilearn_compat: false }";

struct Study(TempDir);

/// Values of no order, between -1 and 1.
fn noise(person: usize, frame: usize, parcel: usize) -> f64 {
    let at = (1 + person) * 7919 + frame * 104_729 + parcel * 1_299_709;
    (at as f64 * 12.989_8).sin()
}

fn affine() -> Affine {
    let row = |i: usize| {
        std::array::from_fn(|j| if j == 3 { -14.0 } else { f64::from(u8::from(i == j)) * 4.0 })
    };
    Affine::new([row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]]).unwrap()
}

/// Label 1 to 8 by the half along each axis.
fn octant(x: usize, y: usize, z: usize) -> usize {
    1 + x / 4 + 2 * (y / 4) + 4 * (z / 4)
}

impl Study {
    fn new() -> Self {
        let study = Self(tempfile::tempdir().unwrap());
        let labels = Array3::from_shape_fn((8, 8, 8), |(x, y, z)| octant(x, y, z) as f32);
        let labels = Volume::new(labels, affine()).unwrap();
        scan::write_volume(study.at("atlas.nii.gz"), &labels).unwrap();
        study
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What the files of a person, from 0, begin with.
    fn stem(person: usize) -> String {
        format!("data/sub-0{}/func/sub-0{0}_task-rest", person + 1)
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs of three people with fMRIPrep's confounds beside them; `value` changes a voxel's signal.
    fn runs(&self, value: impl Fn(usize, [usize; 3], f32) -> f32) {
        for person in 0..3 {
            let data = Array4::from_shape_fn((8, 8, 8, N_FRAMES), |(x, y, z, t)| {
                let signal = 1000.0 + 20.0 * noise(person, t, octant(x, y, z));
                value(person, [x, y, z], signal as f32)
            });
            let func = Self::stem(person);
            self.put(&format!("{func}{CONFOUNDS}"), &confounds(person, N_FRAMES));
            let path = self.at(&format!("{func}_space-MNI_desc-preproc_bold.nii.gz"));
            scan::write_bold(path, &Bold::new(data, affine(), 2.0).unwrap()).unwrap();
        }
    }

    /// parcellate, `between`, windows, connectivity, one vector a person.
    fn pipeline(&self, cohort: &str, more: &str, between: &str, pooling: &str) {
        let home = root().display().to_string();
        let text = format!(
            "name: p
seed: 1
cohort:
  {cohort}
model:
  encoder: {{ connectivity: {{ tokens: all }} }}
  resampler: {{ file: {home}/configs/resampler/tiny_v1.yaml }}
  gates: {{ file: {home}/configs/gates/tiny_v1.yaml }}
  lm: {{ hf: {home}/fixtures/tiny-lm }}
stages:
  - parcellate: {{ {more} }}
{between}  - windows: {{ n_frames: 20, policy: {{ tiled: {{ stride: 20 }} }}, pad: refuse }}
  - encode: {{ precision: f32 }}
  - embed: {{ strategy: t_v1, window: mean, run: {pooling} }}
outputs: runs
"
        );
        self.put("p.yaml", &text);
    }

    fn run(&self) -> Ran {
        run(&["run", &self.at("p.yaml").display().to_string()]).naming(self.0.path(), "[study]")
    }

    fn check(&self) -> Ran {
        run(&["-v", "check", &self.at("p.yaml").display().to_string()])
            .naming(self.0.path(), "[study]")
    }

    fn result(&self, name: &str) -> String {
        fs::read_to_string(self.at("runs/p").join(name)).unwrap()
    }

    fn embeddings(&self) -> Table {
        tables::read(self.at("runs/p/embeddings.parquet")).unwrap()
    }
}

const CONFOUNDS: &str = "_desc-confounds_timeseries.tsv";
const ATLAS: &str = "atlas: { id: octants, labels: atlas.nii.gz }";
const BIDS: &str = "bids: { dir: data }";

fn confounds(person: usize, n_rows: usize) -> String {
    let columns = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"];
    let mut text = columns.join("\t") + "\tframewise_displacement\n";
    for t in 0..n_rows {
        for c in 0..columns.len() {
            write!(text, "{:.6}\t", noise(person + 50, t, c)).unwrap();
        }
        let fd = if t == 0 {
            "n/a".to_owned()
        } else {
            format!("{:.4}", 0.2 + 0.1 * noise(person, t, 9))
        };
        writeln!(text, "{fd}").unwrap();
    }
    text
}

fn denoise(nuisance: &str) -> String {
    format!("  - denoise: {{ signal: {SIGNAL}, confounds: {nuisance} }}\n")
}

const BASIC: &str = "{ columns: { motion: basic, demean: true } }";

fn integers(table: &Table, column: &str) -> Vec<i64> {
    let cell = |row| match table.column(column).unwrap().cell(row) {
        Cell::Integer(n) => n,
        other => panic!("{column}: {other:?}"),
    };
    (0..table.n_rows()).map(cell).collect()
}

fn vectors(table: &Table) -> Vec<Vec<f32>> {
    let cell = |row| match table.column("embedding").unwrap().cell(row) {
        Cell::Vector(values) => values.to_vec(),
        other => panic!("{other:?}"),
    };
    (0..table.n_rows()).map(cell).collect()
}

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

/// Series of three people as tables with this first line; `change` rewrites a cell.
fn tables_of(study: &Study, header: &str, change: impl Fn(usize, usize, String) -> String) {
    for person in 0..3 {
        let mut text = if header.is_empty() { String::new() } else { format!("{header}\n") };
        for t in 0..N_FRAMES {
            let cell = |p: usize| change(person, p, format!("{:.5}", noise(person, t, p + 1)));
            let cells: Vec<String> = (0..N_PARCELS).map(cell).collect();
            writeln!(text, "{}", cells.join("\t")).unwrap();
        }
        let stem = Study::stem(person) + "_timeseries";
        study.put(&format!("{stem}.tsv"), &text);
        study.put(&format!("{stem}.json"), "{\"RepetitionTime\": 2.0}");
    }
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
