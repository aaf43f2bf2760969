//! Cohorts through brain encoders: from files to tokens, tables and adapters, with the real program.

use std::{fs, path::Path};

use tables::{Cell, Table};
use tests::{Elsewhere, Stored, Synthetic, files_below, run_until, says};
use xtask::synthetic::{self, Side};

const ENCODE: &str = "encode-cohort";
const SWAP: &str = "swap-encoders";

fn encoder(name: &str) -> String {
    format!("model.encoder={{file: {}/configs/encoder/{name}.yaml}}", tests::root().display())
}

fn embeddings(cohort: &Synthetic) -> Table {
    tables::read(cohort.result(ENCODE, "embeddings.parquet")).expect("a table of embeddings")
}

fn vectors(table: &Table) -> Vec<Vec<f32>> {
    let column = table.column("embedding").expect("a column of vectors");
    let cell = |row| match column.cell(row) {
        Cell::Vector(values) => values.to_vec(),
        other => panic!("{other:?}"),
    };
    (0..table.n_rows()).map(cell).collect()
}

fn assert_near(a: &Table, b: &Table) {
    assert_eq!(a.n_rows(), b.n_rows());
    for (a, b) in vectors(a).iter().zip(vectors(b)) {
        assert_eq!(a.len(), b.len());
        assert!(a.iter().any(|x| x.abs() > 1e-3), "an embedding of zeros");
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-5), "{a:?} {b:?}");
    }
}

#[test]
fn a_cohort_becomes_a_table_with_what_each_row_came_from() {
    let cohort = Synthetic::new(24, Stored::Mixed, ENCODE);
    let ran = cohort.run(&[]).exits_with(0);
    let table = embeddings(&cohort);
    assert_eq!(table.n_rows(), 24, "{ran}");
    let text = |column: &str, row| match table.column(column).map(|it| it.cell(row)) {
        Some(Cell::Text(text)) => text.to_owned(),
        other => panic!("{column}: {other:?}"),
    };
    assert_eq!(text("participant_id", 0), "01");
    assert_eq!(text("strategy", 0), "rest_synthetic_windows_v1");
    assert_eq!(text("encoder", 0), "connectivity_v1");
    assert_eq!(text("encoder_sha256", 0).len(), 64);
    for column in ["mean_fd_mm", "median_tsnr", "t_r_s"] {
        let found = table.column(column).expect(column).cell(3);
        assert!(matches!(found, Cell::Number(x) if x > 0.0), "{column}: {found:?}");
    }
    let record = fs::read_to_string(cohort.result(ENCODE, "record.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let labels = cohort.dir().join("atlas/synthetic424.nii.gz");
    let digest = scan::sha256_file(labels).unwrap();
    assert_eq!(record["atlas"]["labels"]["sha256"].as_str(), Some(digest.as_str()));
    assert_eq!(record["lost_labels"].as_array().map(Vec::len), Some(0), "{record}");
    // a second run does nothing twice, and says the same
    let before = fs::read(cohort.result(ENCODE, "embeddings.parquet")).unwrap();
    let again = cohort.run(&[]).exits_with(0);
    assert!(again.stderr.contains("encode: stored result taken"), "{again}");
    assert_eq!(before, fs::read(cohort.result(ENCODE, "embeddings.parquet")).unwrap());
}

#[test]
fn a_label_that_no_scan_holds_is_recorded() {
    let cohort = Synthetic::new(2, Stored::Mixed, ENCODE);
    let labels = synthetic::labels();
    let (x, y, z) = labels.data().dim();
    // a slice more than the scans have
    let mut more = ndarray::Array3::zeros((x, y, z + 1));
    more.slice_mut(ndarray::s![.., .., ..z]).assign(labels.data());
    more[[0, 0, z]] = 9425.0;
    let more = scan::Volume::new(more, labels.affine().clone()).unwrap();
    scan::write_volume(cohort.dir().join("atlas/synthetic424.nii.gz"), &more).unwrap();
    let table = "        coordinates: atlas/synthetic424_coordinates.tsv\n";
    cohort.edit_pipeline(table, "");
    cohort.run(&[]).exits_with(0);
    let record = fs::read_to_string(cohort.result(ENCODE, "record.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let lost = record["lost_labels"].as_array().unwrap();
    assert_eq!(lost.len(), 2, "{record}");
    assert_eq!(lost[0]["labels"], serde_json::json!([9425]));
}

#[test]
fn storage_order_and_file_form_do_not_matter() {
    let ran = |stored: Stored| {
        let cohort = Synthetic::new(6, stored, ENCODE);
        if stored == Stored::Hdf5 {
            cohort.edit_pipeline("    entities:", "    suffix: timeseries\n    entities:");
        }
        cohort.run(&[&encoder("brainlm_synthetic_v1")]).exits_with(0);
        embeddings(&cohort)
    };
    let right = ran(Stored::All(Side::Ras));
    assert_near(&right, &ran(Stored::All(Side::Las)));
    assert_near(&right, &ran(Stored::Hdf5));
}

#[test]
fn a_mirrored_scan_is_left_out_with_the_reason() {
    let cohort = Synthetic::new(8, Stored::Mixed, ENCODE);
    scan::write_bold(cohort.scan(2), &synthetic::mirrored(2)).unwrap();
    let ran = cohort.run(&[]).exits_with(1);
    assert!(ran.stderr.contains("left and right seem exchanged"), "{ran}");
    assert_eq!(embeddings(&cohort).n_rows(), 7);
    let status = fs::read_to_string(cohort.result(ENCODE, "status.tsv")).unwrap();
    assert_eq!(status.matches("\tFAIL\t").count(), 1, "{status}");
}

#[test]
fn a_mirrored_scan_is_left_out_of_volumes_too() {
    let cohort = Synthetic::new(8, Stored::Mixed, ENCODE);
    cohort.edit_pipeline("      mirror_check: { margin: 0.1 }\n", "");
    scan::write_bold(cohort.scan(2), &synthetic::mirrored(2)).unwrap();
    let ran = cohort.run(&[&encoder("brainmt_synthetic_v1")]).exits_with(1);
    says(&ran.stderr, &["left and right seem exchanged: the mean signal of its voxels"]);
    let table = embeddings(&cohort);
    assert_eq!(table.n_rows(), 7);
    let status = fs::read_to_string(cohort.result(ENCODE, "status.tsv")).unwrap();
    assert_eq!(status.matches("\tFAIL\t").count(), 1, "{status}");
    // confounds are read beside volumes as beside parcels
    let moved = table.column("mean_fd_mm").expect("a column").cell(0);
    assert!(matches!(moved, Cell::Number(x) if x > 0.0), "{moved:?}");
}

#[test]
fn one_line_changes_the_encoder_of_a_cohort() {
    let cohort = Synthetic::new(2, Stored::Mixed, ENCODE);
    for name in
        ["connectivity_v1", "brainlm_synthetic_v1", "brainmt_synthetic_v1", "stored_synthetic_v1"]
    {
        let ran = cohort.run(&[&encoder(name)]).exits_with(0);
        assert_eq!(embeddings(&cohort).n_rows(), 2, "{name}: {ran}");
    }
    let refused = |sets: &[&str]| cohort.run(sets).exits_with(2).stderr;
    let said = refused(&[&encoder("parcel_frames_tiny_v1")]);
    says(&said, &["it is trained with the adapter, but there is no stage `finetune`"]);
    let said = refused(&["stages.embed.window=cls"]);
    says(&said, &["stages.embed.window is cls", "encoder `connectivity` has no class token"]);
    for stage in ["parcellate", "volumes"] {
        let said = refused(&[&format!("stages.{stage}.mirror_check.margin=-0.1")]);
        says(&said, &[&format!("stages.{stage}.mirror_check.margin is -0.1, expected 0 or more")]);
    }
    let folder = cohort.dir().join("tokens");
    fs::create_dir(&folder).unwrap();
    scan::write_npy(folder.join("sub-99.npy"), &ndarray::arr2(&[[1.0, 2.0]]).into_dyn().view())
        .unwrap();
    let stored = format!("{{stored: {{dim: 2, tokens: {{folder: {}}}}}}}", folder.display());
    let said = refused(&[&format!("model.encoder={stored}")]);
    says(&said, &["holds tokens of none of the scans, of which the first is sub-01"]);
}

#[test]
fn the_first_scan_of_another_repetition_time_is_named() {
    let cohort = Synthetic::new(3, Stored::Mixed, ENCODE);
    for subject in [1, 2] {
        let run = synthetic::bold(subject, Side::Ras);
        let run = scan::Bold::new(run.data().clone(), run.affine().clone(), 2.5).unwrap();
        scan::write_bold(cohort.scan(subject), &run).unwrap();
        let beside = cohort.scan(subject).display().to_string().replace(".nii.gz", ".json");
        fs::write(beside, r#"{"RepetitionTime": 2.5}"#).unwrap();
    }
    let ran = cohort.run(&[&encoder("brainlm_synthetic_v1")]).exits_with(2);
    says(&ran.stderr, &["model.encoder: sub-02", "give 2.5 s", "(2 of 3 scans)"]);
}

#[test]
fn a_mirrored_atlas_is_refused_before_a_scan_is_opened() {
    let cohort = Synthetic::new(1, Stored::Mixed, ENCODE);
    let labels = synthetic::labels();
    let mut values = labels.data().clone();
    values.invert_axis(ndarray::Axis(0));
    let values = values.as_standard_layout().into_owned();
    let flipped = scan::Volume::new(values, labels.affine().clone()).unwrap();
    scan::write_volume(cohort.dir().join("atlas/synthetic424.nii.gz"), &flipped).unwrap();
    let ran = cohort.run(&[]).exits_with(2);
    assert!(ran.stderr.contains("the labels image is mirrored"), "{ran}");
    assert!(!cohort.dir().join("runs").exists());
}

#[test]
fn a_killed_run_goes_on_where_it_was_and_gives_the_same_bytes() {
    let whole = Synthetic::new(12, Stored::Mixed, ENCODE);
    whole.run(&[]).exits_with(0);
    let cohort = Synthetic::new(12, Stored::Mixed, ENCODE);
    let pipeline = cohort.pipeline().display().to_string();
    let killed = run_until(&["run", &pipeline], "normalise (stage", "KILL");
    assert_eq!(killed.code, None);
    let scans = cohort.dir().join("runs/cache/parcellate/scans");
    let written = |dir: &Path| -> Vec<_> {
        let times = files_below(dir).into_iter();
        times.map(|path| (path.clone(), fs::metadata(path).unwrap().modified().unwrap())).collect()
    };
    // as if it had been killed inside the stage: the list of the stage is gone, some scans are there
    let stage = cohort.dir().join("runs/cache/parcellate");
    for entry in fs::read_dir(&stage).unwrap().flatten().filter(|it| it.file_name() != "scans") {
        fs::remove_dir_all(entry.path()).unwrap();
    }
    let all = files_below(&scans);
    all.iter().take(5).for_each(|path| fs::remove_file(path).unwrap());
    let half = fs::read(&all[6]).unwrap();
    fs::write(&all[6], &half[..half.len() / 2]).unwrap();
    let left = written(&scans);
    let ran = cohort.run(&[]).exits_with(0);
    assert!(
        ran.stderr.contains("parcellate is done again") && ran.stderr.contains("cut short"),
        "{ran}"
    );
    let now = written(&scans);
    assert_eq!(now.len(), 12);
    let kept = left.iter().filter(|it| now.contains(it)).count();
    assert_eq!(kept, 6, "six were neither missing nor damaged");
    for file in ["embeddings.parquet", "embeddings_runs.parquet", "status.tsv"] {
        let read = |it: &Synthetic| fs::read(it.result(ENCODE, file)).unwrap();
        assert!(read(&whole) == read(&cohort), "{file} differs");
    }
}

#[test]
fn every_encoder_trains_an_adapter_and_writes() {
    let home = tests::root();
    let steps = "stages.finetune.steps=2";
    let names = [
        "connectivity_v1",
        "parcel_frames_tiny_v1",
        "stored_synthetic_v1",
        "brainlm_synthetic_v1",
        "brainmt_synthetic_v1",
        "brain_jepa_synthetic_v1",
        "cortex_mae_synthetic_v1",
        "brain_semantoks_synthetic_v1",
        "swift_synthetic_v1",
    ];
    let cohort = Synthetic::new(24, Stored::Mixed, SWAP);
    for name in names {
        let set = format!("model.encoder={{file: {}/configs/encoder/{name}.yaml}}", home.display());
        let ran = cohort.run(&[&set, steps, "stages.finetune.validate_every=2"]).exits_with(0);
        let reports: Vec<_> = files_below(&cohort.dir().join("runs").join(SWAP))
            .into_iter()
            .filter(|path| path.to_string_lossy().ends_with("report.txt"))
            .collect();
        assert_eq!(reports.len(), 4, "{name}: {ran}");
        // the package alone writes the same of a scan
        let elsewhere = Elsewhere::new(&cohort, SWAP);
        let scan = elsewhere.scan(elsewhere.first());
        if name.starts_with("stored") {
            let said = elsewhere.refuses(&scan, &["--window", "1"]);
            says(&said, &["reads tokens that another program wrote", "cohort and run that"]);
            continue;
        }
        elsewhere.writes_the_same(1, &[]);
    }
}

#[test]
fn volumes_without_parcels_fill_a_prompt() {
    let cohort = Synthetic::new(24, Stored::Mixed, SWAP);
    let text = fs::read_to_string(cohort.pipeline()).unwrap();
    let (start, rest) = text.split_once("  - parcellate:").unwrap();
    let (_, end) = rest.split_once("  - volumes:").unwrap();
    let text = format!("{start}  - volumes:{end}");
    cohort.write_pipeline(&text);
    let encoder = format!(
        "model.encoder={{file: {}/configs/encoder/brainmt_synthetic_v1.yaml}}",
        tests::root().display()
    );
    let few = ["stages.finetune.steps=1", "stages.finetune.validate_every=1"];
    let ran = cohort.run(&[&encoder, few[0], few[1]]).exits_with(0);
    let reports: Vec<_> = files_below(&cohort.dir().join("runs").join(SWAP))
        .into_iter()
        .filter(|path| path.to_string_lossy().ends_with("report.json"))
        .collect();
    assert_eq!(reports.len(), 4, "{ran}");
    let report = fs::read_to_string(&reports[0]).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    // two voxels of each of 424 parcels are not background
    let prompt = report["prompt"].as_str().unwrap();
    assert!(prompt.contains("40 volumes") && prompt.contains("848 voxels"), "{prompt}");
}

#[test]
fn the_quickstarts_slice_is_refused_with_the_reason() {
    let home = tests::root();
    let pipeline = home.join("pipelines/quickstart.yaml").display().to_string();
    let parcels = "needs series of the 424 parcels of";
    for (name, needed) in [
        ("brainlm", parcels),
        ("brainmt", "needs windows of whole volumes"),
        ("brain_jepa", parcels),
        ("cortex_mae", parcels),
        ("brain_semantoks", parcels),
        ("swift", "needs windows of whole volumes"),
    ] {
        let file = format!("{}/configs/encoder/{name}_synthetic_v1.yaml", home.display());
        let set = format!("model.encoder={{file: {file}}}");
        let said = tests::run(&["check", &pipeline, "--set", &set]).exits_with(2).stderr;
        assert!(said.contains(&format!("encoder `{name}` {needed}")), "{said}");
        assert!(said.contains("give windows of 9 frames of the voxels of a mask"), "{said}");
    }
}

#[test]
fn published_shapes_and_foreign_weights_are_refused_before_work_starts() {
    let cohort = Synthetic::new(1, Stored::Mixed, ENCODE);
    let refused = |encoder: &str| {
        let ran = cohort.run(&[&format!("model.encoder={encoder}")]).exits_with(2);
        assert!(!cohort.dir().join("runs").exists(), "{ran}");
        ran.stderr
    };
    let said = refused("{brain_jepa: {weights: {seed: 1}}}");
    assert!(
        said.contains("needs series of the 450 parcels of tian50_schaefer400_17networks"),
        "{said}"
    );
    assert!(said.contains("give series of 424 parcels"), "{said}");
    let said = refused("{cortex_mae: {weights: {seed: 1}}}");
    assert!(said.contains("needs series of the 400 parcels of schaefer400_17networks"), "{said}");
    let foreign = tests::root().join("fixtures/synthetic/tokens.safetensors");
    let weights = format!("weights: {{file: {}}}", foreign.display());
    let said = refused(&format!("{{cortex_mae: {{{weights}}}}}"));
    assert!(said.contains("tokens.safetensors") && said.contains("not CortexMAE's"), "{said}");
    let said = refused(&format!("{{brain_jepa: {{{weights}, gradients: none.csv}}}}"));
    assert!(said.contains("tokens.safetensors") && said.contains("not Brain-JEPA's"), "{said}");
    // as their authors store them, but of three parcels
    let made = tests::root().join("fixtures/neighbours").display().to_string();
    let jepa = format!("weights: {{file: {made}/brain_jepa.pth.tar}}");
    let said = refused(&format!("{{brain_jepa: {{{jepa}}}}}"));
    assert!(said.contains("a table that is not in it; name that (`gradients`)"), "{said}");
    let gradients = format!("gradients: {made}/brain_jepa_gradients.csv");
    let said = refused(&format!("{{brain_jepa: {{{jepa}, {gradients}}}}}"));
    assert!(said.contains("needs series of the 3 parcels of any atlas"), "{said}");
    let said =
        refused(&format!("{{cortex_mae: {{weights: {{file: {made}/cortex_mae_flat.pth}}}}}}"));
    assert!(said.contains("its input space is flat, expected one of parcels"), "{said}");
    let said = refused("{cortex_mae: {weights: {file: nowhere.pth}}}");
    assert!(said.contains("nowhere.pth"), "{said}");
}

#[test]
fn what_does_not_fit_is_refused_before_work_starts() {
    let refused = |edit: &[(&str, &str)]| {
        let cohort = Synthetic::new(1, Stored::Mixed, ENCODE);
        edit.iter().for_each(|(from, to)| cohort.edit_pipeline(from, to));
        let ran = cohort.run(&[]).exits_with(2);
        assert!(!cohort.dir().join("runs").exists(), "{ran}");
        ran.stderr
    };
    let encoder = format!(
        "encoder: {{ file: {}/configs/encoder/connectivity_v1.yaml }}",
        tests::root().display()
    );
    let said = refused(&[(&encoder, "encoder: { connectivity: { tokens: cls } }")]);
    assert!(said.contains("tokens is `cls`, but the encoder has no class token"), "{said}");
    let said = refused(&[("n_frames: 20", "n_frames: 2")]);
    assert!(said.contains("needs windows of 3 to"), "{said}");
    let said = refused(&[("windows_v1", "windows")]);
    assert!(said.contains("that end in a version"), "{said}");
    let said = refused(&[(&encoder, "encoder: { voxel_frames: { dim: 8, n_groups: 3 } }")]);
    assert!(said.contains("multiple of 3"), "{said}");
}
