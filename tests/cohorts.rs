//! One cohort in every form that it may have, with the real program.

use std::{fmt::Write as _, fs, path::Path};

use scan::{Atlas, Background, CohortWriter, ExtractConfig, GlobalZ, Orientation};
use tables::{Cell, Table};
use tests::{Ran, Stored, Synthetic, run};
use xtask::synthetic;

const ENCODE: &str = "encode-cohort";
const BIDS: &str = "  bids:\n    dir: bids\n    entities: { task: [rest] }\n";

fn encode(n: usize, cohort: &str) -> Synthetic {
    let it = Synthetic::new(n, Stored::Mixed, ENCODE);
    it.edit_pipeline(BIDS, cohort);
    it
}

/// Each person with the vector that stands for them.
fn people(it: &Synthetic) -> Vec<(String, Vec<f32>)> {
    let table = tables::read(it.result(ENCODE, "embeddings.parquet")).expect("embeddings");
    let row = |row| match (cell(&table, "participant_id", row), cell(&table, "embedding", row)) {
        (Cell::Text(name), Cell::Vector(values)) => (name.to_owned(), values.to_vec()),
        other => panic!("{other:?}"),
    };
    (0..table.n_rows()).map(row).collect()
}

fn names(it: &Synthetic) -> Vec<String> {
    people(it).into_iter().map(|(name, _)| name).collect()
}

fn cell<'a>(table: &'a Table, name: &str, row: usize) -> Cell<'a> {
    table.column(name).expect("a column").cell(row)
}

fn near(a: &[(String, Vec<f32>)], b: &[(String, Vec<f32>)]) {
    assert_eq!(a.len(), b.len());
    for ((name, a), (other, b)) in a.iter().zip(b) {
        assert_eq!(name, other);
        assert!(a.iter().any(|x| x.abs() > 1e-3) && a.len() == b.len());
        let gap = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(gap <= 1e-5, "{name} {gap}");
    }
}

fn confounds_name(person: usize) -> String {
    let scan = format!("bids/{}", synthetic::scan_name(person));
    let (stem, _) = scan.split_once("_space-").expect("a name of fMRIPrep");
    format!("{stem}_desc-confounds_timeseries.tsv")
}

/// The columns of the field's manifests, scans relative to the table.
fn manifest(n: usize) -> String {
    let mut text = "eid,scan,confounds_path,age,sex,site\n".to_owned();
    for person in 0..n {
        let scan = format!("bids/{}", synthetic::scan_name(person));
        let (age, sex, site) = (40 + person, ["F", "M"][person % 2], ["A", "B"][person / 2 % 2]);
        let confounds = confounds_name(person);
        let row = format!("{:02},{scan},{confounds},{age},{sex},{site}\n", person + 1);
        text.push_str(&row);
    }
    text
}

/// `/parcel_ts` and `/subject_ids`, of the same scans.
fn stacked(it: &Synthetic, n: usize) {
    let atlas = Atlas::from_volume(&synthetic::labels()).unwrap();
    let series = |person| {
        let run = synthetic::bold(person, synthetic::side(person));
        atlas.extract(&run, &ExtractConfig::default(), None).unwrap()
    };
    let first = series(0);
    let path = it.dir().join("cohort.h5");
    let mut writer = CohortWriter::create(path, first.n_frames(), &first).unwrap();
    for person in 0..n {
        writer.push(&format!("{:02}", person + 1), &series(person)).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn folder_table_and_file_of_one_cohort_give_the_same_table() {
    let n = 6;
    let folder = encode(n, BIDS);
    folder.run(&[]).exits_with(0);
    let expected = people(&folder);
    assert_eq!(expected.len(), n);

    let table = encode(n, "  manifest:\n    table: people.csv\n");
    fs::write(table.dir().join("people.csv"), manifest(n)).unwrap();
    table.run(&[]).exits_with(0);
    near(&expected, &people(&table));

    let parquet = encode(n, "  manifest:\n    table: people.parquet\n");
    let rows = tables::read(table.dir().join("people.csv")).unwrap();
    fs::write(parquet.dir().join("people.parquet"), rows.to_parquet().unwrap()).unwrap();
    parquet.run(&[]).exits_with(0);
    near(&expected, &people(&parquet));

    let stack = encode(n, "  hdf5:\n    file: cohort.h5\n");
    stack.edit_pipeline("window: mean, run: inverse_fd", "window: mean, run: mean");
    folder.edit_pipeline("window: mean, run: inverse_fd", "window: mean, run: mean");
    stacked(&stack, n);
    stack.run(&[]).exits_with(0);
    folder.run(&[]).exits_with(0);
    near(&people(&folder), &people(&stack));
}

#[test]
fn tensors_that_are_standardised_already_give_what_their_scans_give() {
    let stages = |more: &str| {
        format!(
            "  - volumes: {{ shape: [14, 16, 13], axes: LAS, background: minimum, half: true{more} }}\n"
        )
    };
    let whole = |cohort: &str, more: &str| {
        let it = encode(3, cohort);
        let text = fs::read_to_string(it.pipeline()).unwrap();
        let (start, rest) = text.split_once("  # means of an atlas's parcels").unwrap();
        let (_, end) = rest.split_once("  - sliding_windows:").unwrap();
        // tensors of a manifest have no confounds beside them
        let end = end.replace("run: inverse_fd", "run: mean");
        let text = format!("{start}{}  - sliding_windows:{end}", stages(more));
        it.write_pipeline(&text.replace("connectivity_v1", "brainmt_synthetic_v1"));
        it
    };
    let scans = whole(BIDS, "");
    scans.run(&[]).exits_with(0);

    let las: Orientation = "LAS".parse().unwrap();
    let rows = synthetic::bold(0, synthetic::side(0)).reoriented(las).unwrap();
    let rows = serde_json::to_string(rows.affine().rows()).unwrap();
    let tensors = whole(
        "  manifest: { table: people.csv, t_r: 0.735 }\n",
        &format!(", standardised: true, tensors: {{ space: {{ affine: {rows} }} }}"),
    );
    let mut table = "eid,tensor_path\n".to_owned();
    for person in 0..3 {
        let run = synthetic::bold(person, synthetic::side(person)).reoriented(las).unwrap();
        let run = GlobalZ::measure(&run).unwrap().apply(&run, Background::Minimum).unwrap();
        let name = format!("{person}.npy");
        let values = run.data().mapv(f64::from).into_dyn();
        scan::write_npy(tensors.dir().join(&name), &values.view()).unwrap();
        writeln!(table, "{:02},{name}", person + 1).unwrap();
    }
    fs::write(tensors.dir().join("people.csv"), table).unwrap();
    tensors.run(&[]).exits_with(0);
    near(&people(&scans), &people(&tensors));
    // where a tensor lies is not known, and nothing is made up
    let space = format!(", tensors: {{ space: {{ affine: {rows} }} }}");
    tensors.edit_pipeline(&space, "");
    let said = tensors.run(&[]).exits_with(2).one_error();
    tests::says(
        &said,
        &["stages.volumes: sub-01: does not say where its voxels lie; give `space`"],
    );
}

#[test]
fn who_is_asked_for_and_good_enough_is_encoded_and_nobody_else() {
    let asked = "  manifest:\n    table: people.csv\n    where: age >= 42 and site == \"A\"\n    \
                 qc_thresholds: { motion_fd_mean: 0.5 }\n";
    let it = encode(6, asked);
    fs::write(it.dir().join("people.csv"), manifest(6)).unwrap();
    // the last one moves too much
    let confounds = it.dir().join(confounds_name(5));
    let n_frames = fs::read_to_string(&confounds).unwrap().lines().count() - 1;
    let moving = format!("framewise_displacement\n{}", "0.9\n".repeat(n_frames));
    fs::write(&confounds, moving).unwrap();
    let ran = it.run(&[]).exits_with(0);
    assert_eq!(names(&it), ["05"], "{ran}");
    let pipeline = it.pipeline().display().to_string();
    let told = run(&["check", &pipeline]).exits_with(0);
    for line in ["4 × `where` is not true", "1 × beyond motion_fd_mean 0.5"] {
        assert!(told.stdout.contains(line), "{told}");
    }
}

#[test]
fn a_link_out_of_the_cohort_leaves_that_scan_out() {
    let it = encode(3, BIDS);
    let scan = it.scan(1);
    let elsewhere = it.dir().parent().unwrap().join("elsewhere.nii.gz");
    fs::rename(&scan, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &scan).unwrap();
    let ran = it.run(&[]).exits_with(1);
    assert_eq!(names(&it), ["01", "03"], "{ran}");
}

#[test]
fn scans_beyond_the_memory_fail_with_the_numbers_and_are_done_later() {
    let it = encode(2, BIDS);
    let pipeline = it.pipeline().display().to_string();
    let given = |mem_mb: &str| -> Ran {
        run(&["run", &pipeline, "--mem-mb", mem_mb]).naming(it.dir(), "[cohort]")
    };
    let ran = given("1").exits_with(2);
    assert!(ran.stderr.contains("MB of memory, the budget is 1 MB"), "{ran}");
    assert!(!ran.stderr.contains("can be read"), "nothing is wrong with the files: {ran}");
    assert!(!Path::new(&it.result(ENCODE, "embeddings.parquet")).exists());
    given("200").exits_with(0);
    assert_eq!(people(&it).len(), 2);
    given("0").exits_with(2);
}
