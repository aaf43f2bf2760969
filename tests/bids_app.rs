//! The program as a BIDS-App over the synthetic cohort, with the real program.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;
use tables::{Cell, Table};
use tests::{Ran, Stored, Synthetic, files_below, root, run, says};

/// Two people, and only what can be done for each alone.
fn cohort(n: usize) -> Synthetic {
    let it = Synthetic::new(n, Stored::Mixed, "encode-cohort");
    it.write_pipeline(
        "name: series
seed: 1
cohort:
  bids: { dir: elsewhere, entities: { task: [rest] } }
stages:
  - parcellate:
      atlas: { id: A424, labels: atlas/synthetic424.nii.gz, coordinates: atlas/synthetic424_coordinates.tsv }
      mirror_check: { margin: 0.1 }
outputs: runs
",
    );
    it
}

fn app(it: &Synthetic, words: &[&str]) -> Ran {
    let [bids, out] = ["bids", "out"].map(|name| it.dir().join(name).display().to_string());
    let config = it.pipeline().display().to_string();
    let (level, rest) = words.split_first().expect("a level");
    let start = [&bids, &out, *level, "--config", &config];
    run(&start.iter().chain(rest).copied().collect::<Vec<_>>()).naming(it.dir(), "[cohort]")
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("JSON")
}

/// Everything but the work folder, with its bytes.
fn derivatives(it: &Synthetic) -> BTreeMap<String, Vec<u8>> {
    let out = it.dir().join("out");
    let files = files_below(&out).into_iter().filter(|path| !path.starts_with(out.join(".work")));
    let named = |path: std::path::PathBuf| {
        let name = path.strip_prefix(&out).expect("it lies below").display().to_string();
        (name, fs::read(&path).expect("a file"))
    };
    files.map(named).collect()
}

const SERIES: &str =
    "sub-01/func/sub-01_task-rest_space-MNI152NLin6Asym_seg-A424_stat-mean_timeseries";

#[test]
fn participants_one_by_one_and_the_group_write_what_the_group_alone_writes() {
    let it = cohort(3);
    let ran = app(&it, &["participant", "--participant-label", "sub-01"]).exits_with(0);
    says(&ran.stderr, &["1 recording done\n", "derivatives: [cohort]/out"]);
    let first = derivatives(&it);
    assert!(first.keys().all(|name| !name.starts_with("sub-02") && !name.starts_with("idp")));
    app(&it, &["participant", "--participant-label", "02", "03"]).exits_with(0);
    app(&it, &["group"]).exits_with(0);
    let parts = derivatives(&it);
    for (name, bytes) in first {
        assert!(parts[&name] == bytes, "{name} is another");
    }
    fs::remove_dir_all(it.dir().join("out")).unwrap();
    app(&it, &["group"]).exits_with(0);
    let alone = derivatives(&it);
    let names = |of: &BTreeMap<String, Vec<u8>>| of.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&parts), names(&alone));
    for (name, bytes) in &alone {
        assert!(name == "logs/record.json" || *bytes == parts[name], "{name} is another");
    }
    for name in [
        &format!("{SERIES}.tsv"),
        &format!("{SERIES}.json"),
        "sub-03/func/sub-03_task-rest_space-MNI152NLin6Asym_seg-A424_stat-coverage_bold.tsv",
        "dataset_description.json",
        ".bidsignore",
        "CITATION.cff",
        "atlases/atlas-A424/atlas-A424_dseg.tsv",
        "idp/neuroflamingo_series.tsv",
        "logs/CITATION.md",
        "logs/config_used.yaml",
    ] {
        assert!(alone.contains_key(name), "no {name} in {:#?}", names(&alone));
    }
    // nothing but the derivatives is left: neither a lock nor a file that is half written
    assert!(names(&alone).iter().all(|name| name == ".bidsignore" || !name.contains("/.")));
}

#[test]
fn series_are_those_of_the_atlas_and_are_read_back() {
    let it = cohort(2);
    app(&it, &["group"]).exits_with(0);
    let out = it.dir().join("out");
    let table = tables::read(out.join(format!("{SERIES}.tsv"))).unwrap();
    // by the library that extracts them, from the scan as it was made
    let atlas = scan::Atlas::from_volume(&xtask::synthetic::labels()).unwrap();
    let bold = scan::read_bold(it.scan(0)).unwrap();
    let expected = atlas.extract(&bold, &scan::ExtractConfig::default(), None).unwrap();
    assert_eq!((table.n_rows(), table.names().count()), expected.values.dim());
    let number = |table: &Table, column: &str, row| match table.column(column).unwrap().cell(row) {
        Cell::Number(value) => value,
        Cell::Integer(value) => value as f64,
        other => panic!("{other:?}"),
    };
    for (at, name) in table.names().enumerate().step_by(60) {
        for row in [0, 7] {
            let (found, expected) = (number(&table, name, row), expected.values[[row, at]]);
            assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{found} {expected}");
        }
    }
    let sidecar = json(&out.join(format!("{SERIES}.json")));
    // as the sidecar of the dataset says it; the header has the number in single precision
    assert_eq!(sidecar["RepetitionTime"].as_f64(), Some(0.735));
    let source =
        "bids:source:sub-01/func/sub-01_task-rest_space-MNI152NLin6Asym_desc-preproc_bold.nii.gz";
    assert_eq!(sidecar["Sources"][0], source);
    let description = json(&out.join("dataset_description.json"));
    assert_eq!(description["DatasetType"], "derivative");
    assert_eq!(description["GeneratedBy"][0]["Name"], "neuroflamingo");
    assert_eq!(description["DatasetLinks"]["source"], "../bids");
    let phenotypes = tables::read(out.join("idp/neuroflamingo_series.tsv")).unwrap();
    assert_eq!(phenotypes.names().next(), Some("participant_id"));
    assert_eq!(number(&phenotypes, "task-rest_n_volumes", 1), expected.values.nrows() as f64);
    // as XCP-D's derivatives are read
    it.edit_pipeline("dir: elsewhere", "dir: out, suffix: timeseries");
    it.edit_pipeline(", labels: atlas/synthetic424.nii.gz", ", names: atlas/names.tsv");
    it.edit_pipeline("      mirror_check: { margin: 0.1 }\n", "");
    let names = fs::read_to_string(out.join("atlases/atlas-A424/atlas-A424_dseg.tsv")).unwrap();
    let rows = names.lines().map(|line| line.split('\t').take(2).collect::<Vec<_>>().join("\t"));
    fs::write(it.dir().join("atlas/names.tsv"), rows.collect::<Vec<_>>().join("\n") + "\n")
        .unwrap();
    it.run(&[]).exits_with(0);
}

#[test]
fn a_recording_that_is_broken_now_loses_its_derivatives_and_no_other_does() {
    let it = cohort(2);
    app(&it, &["participant"]).exits_with(0);
    assert!(it.dir().join("out").join(format!("{SERIES}.tsv")).exists());
    let bytes = fs::read(it.scan(0)).unwrap();
    fs::write(it.scan(0), &bytes[..bytes.len() / 2]).unwrap();
    let ran = app(&it, &["participant"]).exits_with(1);
    says(&ran.stderr, &["1 of 2 recordings failed"]);
    let left = derivatives(&it);
    assert!(left.keys().all(|name| !name.starts_with("sub-01/")), "{:?}", left.keys());
    assert_eq!(left.keys().filter(|name| name.starts_with("sub-02/")).count(), 4);
    let ran = app(&it, &["participant", "--participant-label", "01"]).exits_with(2);
    says(&ran.stderr, &["1 of 1 recording failed"]);
}

#[test]
fn calls_that_cannot_be_are_refused_in_a_sentence() {
    let it = cohort(1);
    let refused = |words: &[&str], expected: &str| {
        let ran = app(&it, words).exits_with(2);
        says(&ran.stderr, &[expected]);
        assert!(!it.dir().join("out").exists(), "{words:?} left something");
    };
    refused(
        &["participant", "--participant-label", ".."],
        "--participant-label ..: is not a label, expected letters, digits and +",
    );
    refused(
        &["participant", "--participant-label", "01", "99"],
        "bids: has no folder sub-99, which --participant-label asks for",
    );
    refused(&["group", "--session-id", "ses-../x"], "--session-id ses-../x: is not a label");
    refused(&["participant", "--task-id", "motor"], "task motor is asked for, task rest is there");
    it.edit_pipeline("  bids: {", "  corpus: { texts: a.txt }\n  bids: {");
    refused(&["participant"], "pipeline.yaml");
    it.write_pipeline(
        "name: it\nseed: 1\ncohort: { corpus: { texts: a.txt } }\nstages: []\noutputs: runs\n",
    );
    refused(&["participant"], "its cohort is `corpus`, expected `bids`");
    fs::remove_file(it.dir().join("bids/dataset_description.json")).unwrap();
    refused(
        &["participant"],
        "bids: holds no dataset_description.json, expected a BIDS dataset or derivatives of one",
    );
    fs::create_dir(it.dir().join("out")).unwrap();
    let theirs = "{\"Name\": \"a\", \"BIDSVersion\": \"1.9.0\", \"GeneratedBy\": [{\"Name\": \"fMRIPrep\"}]}";
    fs::write(it.dir().join("out/dataset_description.json"), theirs).unwrap();
    fs::write(it.dir().join("bids/dataset_description.json"), theirs).unwrap();
    let ran = app(&it, &["group"]).exits_with(2);
    says(
        &ran.stderr,
        &["describes derivatives of fMRIPrep, expected a folder of this program's own"],
    );
}

#[test]
fn scans_that_would_share_a_derivative_are_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let fixtures = root().join("fixtures/synthetic");
    let dataset = temporary.path().join("bids");
    for path in files_below(&fixtures.join("bids")) {
        let to = dataset.join(path.strip_prefix(fixtures.join("bids")).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }
    let one = "sub-01_task-rest_space-MNI152NLin6Asym_desc-preproc_bold.nii.gz";
    let other = one.replace("preproc", "other");
    fs::copy(dataset.join("sub-01/func").join(one), dataset.join("sub-01/func").join(&other))
        .unwrap();
    let table = fs::read_to_string(fixtures.join("pairs.csv")).unwrap();
    let again = table.lines().nth(1).unwrap().replace(one, &other);
    let pairs = temporary.path().join("pairs.csv");
    fs::write(&pairs, format!("{table}{again}\n")).unwrap();
    let config = root().join("pipelines/swap-encoders.yaml");
    let out = temporary.path().join("out");
    let [dataset, out, config] = [&dataset, &out, &config].map(|it| it.display().to_string());
    let set = format!("cohort.pairs.table={}", pairs.display());
    let refused = run(&[&dataset, &out, "group", "--config", &config, "--set", &set]);
    let expected = "1 scan of the table cohort.pairs would have the derivatives of another one";
    says(&refused.exits_with(2).one_error(), &[expected]);
}
