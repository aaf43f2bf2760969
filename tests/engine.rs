//! The engine over a cohort of many small recordings, some of them broken.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tests::{Ran, files_below, root, run, run_until, says};
use xtask::cohort;

/// A cohort in a folder of its own; gone with the value.
struct Many {
    dir: PathBuf,
    _gone_with_the_value: TempDir,
}

impl Many {
    fn new(n: usize, is_broken: bool) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("data/cohort");
        cohort::write(&root(), &dir, n, is_broken).unwrap();
        Self { dir, _gone_with_the_value: temporary }
    }

    fn run(&self, words: &[&str]) -> Ran {
        let pipeline = self.dir.join("pipeline.yaml").display().to_string();
        let args: Vec<&str> = ["run", &pipeline].into_iter().chain(words.iter().copied()).collect();
        run(&args).naming(&self.dir, "[cohort]")
    }

    /// What is published below `outputs`, without record and journal, which hold times.
    fn published(&self, outputs: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let dir = self.dir.join(outputs).join("cohort");
        let timed = ["record.json", "journal.jsonl"];
        let is_same = |path: &PathBuf| !timed.iter().any(|name| path.ends_with(name));
        let files = files_below(&dir).into_iter().filter(is_same);
        files.map(|path| (below(&path, &dir), fs::read(&path).unwrap())).collect()
    }

    /// Every stored result below `outputs`.
    fn stored(&self, outputs: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let dir = self.dir.join(outputs).join("cache");
        let is_stored = |path: &PathBuf| path.components().any(|it| it.as_os_str() == "scans");
        let files = files_below(&dir).into_iter().filter(is_stored);
        files.map(|path| (below(&path, &dir), fs::read(&path).unwrap())).collect()
    }
}

fn below(path: &Path, dir: &Path) -> PathBuf {
    path.strip_prefix(dir).unwrap().to_owned()
}

#[test]
fn broken_recordings_are_left_out_by_kind_whatever_the_jobs() {
    let it = Many::new(200, true);
    let ran = it.run(&["--jobs", "1", "--set", "outputs=one"]).exits_with(1);
    says(
        &ran.stderr,
        &["12 of 200 recordings failed, the rest is complete", "      2  truncated\n"],
    );
    let status = fs::read_to_string(it.dir.join("one/cohort/status.tsv")).unwrap();
    let mut lines = status.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let columns = lines.next().unwrap();
    assert_eq!(columns.last(), Some(&"kind"));
    let at = columns.iter().position(|it| *it == "status").unwrap();
    let mut kinds = BTreeMap::new();
    let mut n_good = 0;
    for cells in lines {
        let kind = *cells.last().unwrap();
        match cells[at] {
            "SUCCESS" => n_good += usize::from(kind == "n/a"),
            _ => *kinds.entry(kind.to_owned()).or_insert(0) += 1,
        }
    }
    assert_eq!(n_good, 188);
    let expected = [
        ("confounds_mismatch", 1),
        ("geometry", 1),
        ("header", 1),
        ("left_right", 1),
        ("missing", 1),
        ("no_confounds", 1),
        ("no_data", 1),
        ("repetition_time", 1),
        ("shape", 1),
        ("sidecar", 1),
        ("truncated", 2),
    ];
    assert_eq!(kinds, expected.map(|(kind, n)| (kind.to_owned(), n)).into());
    let record = fs::read_to_string(it.dir.join("one/cohort/record.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let of_record = record["units"].as_array().unwrap().iter().filter_map(|it| it["kind"].as_str());
    assert_eq!(of_record.filter(|kind| *kind == "truncated").count(), 2);

    let dir = it.dir.join("one/cohort").display().to_string();
    let status = run(&["status", &dir, "--json"]).exits_with(1);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!((&status["state"], &status["failed"]["truncated"]), (&"finished".into(), &2.into()));
    let of = |at: usize, name: &str| status["stages"][at][name].as_u64();
    assert_eq!((of(0, "done"), of(0, "failed"), of(0, "left")), (Some(188), Some(5), Some(0)));
    assert_eq!((of(2, "done"), of(3, "done")), (Some(188), Some(188)));
    let table = run(&["status", &dir, "--tsv"]).exits_with(1).stdout;
    let n_of = |word: &str| table.lines().filter(|line| line.ends_with(word)).count();
    assert_eq!((n_of("\tSUCCESS"), n_of("\tFAIL"), n_of("\tUNAVAILABLE")), (188, 11, 1));

    for (jobs, outputs) in [("2", "two"), ("4", "four")] {
        let set = format!("outputs={outputs}");
        it.run(&["--jobs", jobs, "--set", &set]).exits_with(1);
        let differs = |a: &[(PathBuf, Vec<u8>)], b: &[(PathBuf, Vec<u8>)]| {
            let pairs = a.iter().zip(b).filter(|(a, b)| a != b);
            pairs.map(|(a, _)| a.0.display().to_string()).collect::<Vec<_>>()
        };
        let (one, other) = (it.stored("one"), it.stored(outputs));
        assert!(one.len() > 300 && one.len() == other.len());
        assert_eq!(differs(&one, &other), [""; 0], "{jobs} jobs");
        let (one, other) = (it.published("one"), it.published(outputs));
        assert_eq!(one.len(), other.len());
        // it names the folder of the outputs
        let differs = differs(&one, &other);
        assert!(differs.iter().all(|it| it == "config_used.yaml"), "{jobs} jobs: {differs:?}");
    }
}

#[test]
fn the_plan_says_what_results_take_on_disk() {
    let it = Many::new(24, false);
    let pipeline = it.dir.join("pipeline.yaml").display().to_string();
    let plan = run(&["check", &pipeline, "--json"]).exits_with(0).stdout;
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let said = plan["disk"]["n_bytes"].as_u64().unwrap() as f64;
    it.run(&[]).exits_with(0);
    let found: usize = it.stored("runs").iter().map(|(_, bytes)| bytes.len()).sum();
    assert!((said / found as f64 - 1.0).abs() < 0.15, "{said} bytes said, {found} found");
}

#[test]
fn a_killed_run_is_known_to_have_stopped_and_does_nothing_twice() {
    let it = Many::new(40, false);
    let pipeline = it.dir.join("pipeline.yaml").display().to_string();
    let dir = it.dir.join("runs/cohort").display().to_string();
    run(&["status", &dir]).exits_with(2);
    let killed = run_until(&["run", &pipeline, "--jobs", "1"], "encode (stage 3 of 4)", "KILL");
    assert_eq!(killed.code, None);
    let stopped = run(&["status", &dir, "--wait"]).exits_with(75);
    says(
        &stopped.stdout,
        &["cohort: stopped, process ", "parcellate             40        0        0        0"],
    );
    assert_eq!(stopped.stdout.matches("\tINCOMPLETE").count(), 40, "{stopped}");
    let encoded = |folder: &str| {
        let of_encode = |path: &&PathBuf| path.to_string_lossy().contains("/encode/scans/");
        let files = files_below(&it.dir.join(folder));
        files.iter().filter(of_encode).filter(|path| path.extension().is_some()).count()
    };
    let n_kept = encoded("runs/cache");
    it.run(&[]).exits_with(0);
    let journal = fs::read_to_string(it.dir.join("runs/cohort/journal.jsonl")).unwrap();
    let n_done = |stage: &str| {
        let line =
            |line: &&str| line.contains(&format!("\"{stage}\"")) && line.contains("\"done\"}");
        journal.lines().filter(line).count()
    };
    assert_eq!(n_done("parcellate"), 0, "{journal}");
    assert_eq!(n_done("encode"), 40 - n_kept);
    let status = run(&["status", &dir, "--wait"]).exits_with(0);
    assert_eq!(status.stdout.matches("\tSUCCESS").count(), 40, "{status}");
}

#[test]
fn what_no_record_refers_to_is_pruned_and_nothing_else() {
    let it = Many::new(12, false);
    let outputs = it.dir.join("runs").display().to_string();
    it.run(&[]).exits_with(0);
    let before = it.stored("runs");
    it.run(&["--set", "stages.sliding_windows.n_frames=10", "--set", "name=other"]).exits_with(0);
    let both = it.stored("runs").len();
    assert_eq!((before.len(), both), (24, 36), "series are shared");
    let prune = |words: &[&str]| {
        let start = ["store", "prune", &outputs];
        run(&start.into_iter().chain(words.iter().copied()).collect::<Vec<_>>())
    };
    says(&prune(&[]).exits_with(0).stdout, &["0 results of 0.0 MB removed"]);
    fs::remove_dir_all(it.dir.join("runs/other")).unwrap();
    let list = run(&["store", "list", &outputs, "--json"]).exits_with(0);
    let list: serde_json::Value = serde_json::from_str(&list.stdout).unwrap();
    let stage =
        |name: &str| list.as_array().unwrap().iter().find(|it| it["stage"] == name).unwrap();
    assert_eq!(stage("parcellate")["n_bytes"], stage("parcellate")["n_bytes_in_use"]);
    assert_eq!(stage("encode")["n_scans"], 24);
    let in_use = stage("encode")["n_bytes_in_use"].as_u64().unwrap();
    assert!(in_use > 0 && in_use < stage("encode")["n_bytes"].as_u64().unwrap());

    // its windows, its tokens in a list and twelve files, its table
    says(&prune(&["--dry-run"]).exits_with(0).stdout, &["15 results of ", "would be removed"]);
    assert_eq!(it.stored("runs").len(), both);
    says(&prune(&[]).exits_with(0).stdout, &["15 results of ", " MB removed"]);
    assert!(it.stored("runs") == before);
    let again = it.run(&[]).exits_with(0);
    says(&again.stderr, &["embed: stored result taken"]);

    // a stopped run has no record yet: what it did so far is not thrown away unasked
    let pipeline = it.dir.join("pipeline.yaml").display().to_string();
    let words = ["run", &pipeline, "--jobs", "1", "--set", "stages.sliding_windows.n_frames=11"];
    let _ = run_until(&words, "encode (stage 3 of 4)", "KILL");
    says(&prune(&[]).exits_with(2).stderr, &["was stopped before its end", "--unfinished"]);
    prune(&["--unfinished"]).exits_with(0);
    assert!(it.stored("runs") == before);
}

#[test]
fn a_run_that_cannot_be_finished_says_what_became_of_each_recording() {
    let it = Many::new(12, false);
    let pipeline = it.dir.join("pipeline.yaml");
    let text = fs::read_to_string(&pipeline).unwrap();
    let text = text.replace(
        "  - sliding_windows:",
        "  - normalise: { formula: robust_paper, pool_frames: 40 }\n  - sliding_windows:",
    );
    fs::write(&pipeline, text).unwrap();
    let ran = it.run(&["--mem-mb", "1"]).exits_with(2);
    says(&ran.one_error(), &["MB of memory, the budget is 1 MB"]);
    let status = fs::read_to_string(it.dir.join("runs/cohort/status.tsv")).unwrap();
    assert_eq!(status.matches("\tparcellate\tFAIL\t").count(), 12, "{status}");
    assert_eq!(status.matches("\tmemory\n").count(), 12, "{status}");

    // the first failure of several: the others are not done
    fs::write(it.dir.join(cohort::scan_name(3)), "no scan").unwrap();
    let bytes = fs::read(it.dir.join(cohort::scan_name(4))).unwrap();
    fs::write(it.dir.join(cohort::scan_name(4)), &bytes[..bytes.len() / 2]).unwrap();
    let ran = it.run(&["--jobs", "1", "--stop-on-first-failure"]).exits_with(1);
    says(&ran.stderr, &["stopped at the first failure, in stage parcellate"]);
    let status = fs::read_to_string(it.dir.join("runs/cohort/status.tsv")).unwrap();
    assert_eq!(status.matches("\tFAIL\t").count(), 2, "{status}");
    assert_eq!(status.matches("\tparcellate\tINCOMPLETE\t").count(), 10, "{status}");
}

#[test]
fn a_run_is_repeated_from_its_record_unless_an_input_changed() {
    let it = Many::new(3, false);
    it.run(&[]).exits_with(0);
    let dir = it.dir.join("runs/cohort");
    let record = dir.join("record.json").display().to_string();
    let again = format!("outputs={}", it.dir.join("again").display());
    let repeat = |command: &str| run(&[command, "--from", &record, "--set", &again]);
    repeat("run").exits_with(0);
    let tables = |outputs: &str| -> Vec<_> {
        let is_table = |(path, _): &(PathBuf, Vec<u8>)| !path.ends_with("config_used.yaml");
        it.published(outputs).into_iter().filter(is_table).collect()
    };
    assert!(!tables("runs").is_empty() && tables("runs") == tables("again"));
    let said: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&record).unwrap()).unwrap();
    let first = &said["inputs"]["recordings"][0];
    let scan = files_below(&it.dir).into_iter().find(|path| {
        fs::read(path).is_ok_and(|bytes| first["sha256"] == files::sha256_bytes(&bytes))
    });
    let scan = scan.expect("the record has the digest of the file");
    let command: Vec<&str> =
        said["command"].as_array().unwrap().iter().skip(1).filter_map(|it| it.as_str()).collect();
    assert_eq!(command[0], "run");
    assert!(command[1].starts_with('…') && command[1].ends_with("/pipeline.yaml"), "{command:?}");
    assert!(said["stages"][0]["peak_memory_mb"].as_u64() != Some(0));
    // another scan in its place
    let other = files_below(&it.dir)
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with("bold.nii.gz") && *path != scan);
    let (before, other) = (fs::read(&scan).unwrap(), fs::read(other.unwrap()).unwrap());
    fs::write(&scan, other).unwrap();
    let refused = repeat("run").exits_with(2).one_error();
    says(&refused, &["record.json: cannot be repeated: 1 of its 3 recordings changed since"]);
    fs::write(&scan, before).unwrap();
    repeat("check").exits_with(0);
    let config = dir.join("config_used.yaml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("seed: 1", "seed: 2")).unwrap();
    let refused = repeat("run").exits_with(2).one_error();
    says(&refused, &["config_used.yaml beside it is not what that run used"]);
    let both = run(&["run", "pipeline.yaml", "--from", &record]).exits_with(2);
    says(&both.stderr, &["cannot be used with"]);
}

#[test]
fn hashed_labels_are_all_that_a_run_writes() {
    let it = Many::new(40, true);
    let salt = it.dir.join("salt.txt");
    fs::write(&salt, "0123456789abcdef0123").unwrap();
    let hash_ids = ["--hash-ids", &salt.display().to_string()].map(str::to_owned);
    let hash_ids = hash_ids.each_ref().map(String::as_str);
    it.run(&["--set", "outputs=plain"]).exits_with(1);
    let hashed = [&hash_ids[..], &["--set", "outputs=hashed"]].concat();
    it.run(&hashed).exits_with(1);
    let labels: Vec<String> = (1..=40).map(|n| format!("{n:05}")).collect();
    for path in files_below(&it.dir.join("hashed/cohort")) {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        let shown = path.display().to_string();
        let tail = shown.rsplit_once("hashed/cohort").unwrap().1;
        for label in &labels {
            let is_named = |text: &str| {
                let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
                words.any(|word| word == label)
            };
            assert!(!is_named(&text) && !is_named(tail), "{tail} names {label}");
        }
    }
    // the same table, but for the labels and the sentences about files
    let column = |outputs: &str, name: &str| -> Vec<String> {
        let table = fs::read_to_string(it.dir.join(outputs).join("cohort/status.tsv")).unwrap();
        let at = table.lines().next().unwrap().split('\t').position(|it| it == name).unwrap();
        table.lines().skip(1).map(|line| line.split('\t').nth(at).unwrap().to_owned()).collect()
    };
    let sorted = |mut cells: Vec<String>| {
        cells.sort();
        cells
    };
    for name in ["status", "kind"] {
        assert_eq!(sorted(column("plain", name)), sorted(column("hashed", name)));
    }
    // the order of the old names would say who is who
    let n_good = column("hashed", "status").iter().filter(|it| *it == "SUCCESS").count();
    let good = column("hashed", "participant_id")[..n_good].to_vec();
    assert_eq!(sorted(good.clone()), good);
    // of `hmac.new(salt, b"00001", "sha256")` in Python
    assert!(column("hashed", "participant_id").contains(&"b0d807563a8a6ed8".to_owned()));
    // results of single recordings are shared, tables with labels are not
    let beside = [&hash_ids[..], &["--set", "outputs=plain", "--set", "name=beside"]].concat();
    it.run(&beside).exits_with(1);
    let table = tables::read(it.dir.join("plain/beside/embeddings.parquet")).unwrap();
    let tables::Column::Text(people) = table.column("participant_id").unwrap() else {
        unreachable!("labels are text")
    };
    assert!(people.iter().flatten().all(|it| it.len() == 16), "{people:?}");
    // a setting may name people, so that no setting stands in the record
    let record = it.dir.join("hashed/cohort/record.json").display().to_string();
    let said: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&record).unwrap()).unwrap();
    assert!(said["command"].as_array().unwrap().contains(&"outputs=…".into()), "{said}");
    let refused = run(&["run", "--from", &record]).exits_with(2).one_error();
    says(&refused, &["record.json: cannot be repeated: its labels are hashed otherwise"]);
    // what is in the folder stays of one kind
    let refused = it.run(&["--set", "outputs=hashed"]).exits_with(2).one_error();
    says(&refused, &["journal.jsonl: was begun with --hash-ids, which is not given"]);
    let other = [&hash_ids[..], &["--set", "outputs=plain"]].concat();
    let refused = it.run(&other).exits_with(2).one_error();
    says(&refused, &["was begun with the labels of the files"]);
    fs::write(&salt, "short").unwrap();
    let refused = it.run(&hashed).exits_with(2).one_error();
    says(&refused, &["salt.txt: has 5 bytes, expected a salt of at least 16"]);
}
