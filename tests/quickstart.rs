//! The quickstart from end to end, with so few steps that nothing is learned.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{LazyLock, atomic::AtomicBool},
};

use pipeline::{Event, Execution, Loaded, Observer, Plan, Silent};
use serde_json::Value;
use tests::{Cohort, Ran, files_below, root, run, run_until};

const PIPELINE: &str = "pipelines/quickstart-short.yaml";
const STAGES: [&str; 8] =
    ["mask", "clean", "event_windows", "whiten", "finetune", "generate", "evaluate", "render"];
const MAX_NEW_TOKENS: &str = "24";
const DISCLAIMER: &str =
    "Research output of neuroflamingo, not for diagnosis; not a medical device.";

/// The arguments of a run that writes into `outputs`.
fn args(outputs: &Path) -> Vec<String> {
    let sets = [
        "stages.finetune.steps=6".to_owned(),
        "stages.finetune.batch_size=4".to_owned(),
        "stages.finetune.auxiliary.batch_size=8".to_owned(),
        "stages.finetune.validate_every=2".to_owned(),
        "stages.finetune.checkpoint_every=1".to_owned(),
        "stages.finetune.samples=1".to_owned(),
        format!("stages.generate.max_new_tokens={MAX_NEW_TOKENS}"),
        format!("outputs={}", outputs.display()),
    ];
    let sets = sets.into_iter().flat_map(|set| ["--set".to_owned(), set]);
    ["run".to_owned(), PIPELINE.to_owned()].into_iter().chain(sets).collect()
}

fn run_into(outputs: &Path) -> Ran {
    run(&args(outputs).iter().map(String::as_str).collect::<Vec<_>>())
}

fn run_dir(outputs: &Path) -> PathBuf {
    outputs.join("quickstart-short")
}

/// The first run, which most tests look at; its folder is emptied before.
struct First {
    outputs: PathBuf,
    ran: Ran,
    /// Held as long as the tests run, for those of another process that share the folder.
    _lock: File,
}

static FIRST: LazyLock<First> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(folder).expect("the folder for tests");
    let lock = File::create(folder.join("quickstart.lock")).expect("a file to lock");
    lock.lock().expect("the lock is given back when tests end");
    let outputs = folder.join("quickstart");
    if outputs.exists() {
        fs::remove_dir_all(&outputs).expect("the last run of the tests is removed");
    }
    let ran = run_into(&outputs).exits_with(0);
    First { outputs, ran, _lock: lock }
});

impl First {
    fn dir(&self) -> PathBuf {
        run_dir(&self.outputs)
    }

    fn model(&self) -> String {
        self.dir().join("model").display().to_string()
    }

    /// The report of a window of one of the two test scans.
    fn report(&self, run: usize, window: usize, extension: &str) -> String {
        let name = format!("sub-1_ses-{run}_run-01_win-{window:02}_desc-generated_report");
        let path = self.dir().join(format!("sub-1/ses-{run}/{name}.{extension}"));
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The same window by `neuroflamingo generate`.
    fn generate(&self, run_number: usize, place: [&str; 2], more: &[&str]) -> Ran {
        let scan = scan(run_number);
        let model = self.model();
        let start = ["generate", "--model", &model, "--scan", &scan];
        run(&[&start, &place as &[&str], &["--max-new-tokens", MAX_NEW_TOKENS], more].concat())
    }
}

fn scan(run: usize) -> String {
    format!("fixtures/haxby2001/run{run:03}/bold_1slice.nii.gz")
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Two run directories hold the same files with the same bytes, but for what says where and when.
fn assert_same_bytes(one: &Path, other: &Path) {
    let names = |dir: &Path| -> Vec<PathBuf> {
        let files = files_below(dir).into_iter();
        files.map(|path| path.strip_prefix(dir).expect("it lies below").to_owned()).collect()
    };
    assert_eq!(names(one), names(other));
    // what is told as it goes holds times
    let differs = ["record.json", "config_used.yaml", "journal.jsonl", "training"];
    let is_same = |name: &&PathBuf| !differs.iter().any(|other| name.starts_with(other));
    for name in names(one).iter().filter(is_same) {
        let read = |dir: &Path| fs::read(dir.join(name)).expect("a file of a run directory");
        assert!(read(one) == read(other), "{} differs", name.display());
    }
    assert_eq!(metrics(one), metrics(other));
}

/// The lines of a training without what they say of time.
fn metrics(run_dir: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run_dir.join("training/metrics.jsonl")).expect("metrics");
    let line = |line: &str| {
        let mut entry: Value = serde_json::from_str(line).expect("a line of JSON");
        let fields = entry.as_object_mut().expect("an object");
        fields.retain(|name, _| !["seconds", "tokens_per_second"].contains(&name.as_str()));
        entry
    };
    text.lines().map(line).collect()
}

fn copy_folder(from: &Path, to: &Path) {
    for path in files_below(from) {
        let to = to.join(path.strip_prefix(from).expect("it lies below"));
        fs::create_dir_all(to.parent().expect("a file lies in a folder")).expect("a new folder");
        fs::copy(path, to).expect("a file is copied");
    }
}

/// Changes the last byte.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).expect("a file to damage");
    *bytes.last_mut().expect("it holds something") ^= 1;
    fs::write(path, bytes).expect("the file is written");
}

#[test]
fn the_page_of_a_person_has_mean_images_and_the_mask_beside_it() {
    let dir = FIRST.dir();
    let page = fs::read_to_string(dir.join("sub-1.html")).expect("the page");
    let mask = scan::read_volume(dir.join("figures/mask.nii.gz")).expect("the mask");
    let fitted =
        fs::read_to_string(dir.join("model/voxel_mask.json")).expect("the mask of the model");
    let fitted: Value = serde_json::from_str(&fitted).expect("JSON");
    let inside = mask.data().iter().enumerate().filter(|(_, x)| **x == 1.0);
    let inside: Vec<u64> = inside.map(|(idx, _)| idx as u64).collect();
    let expected: Vec<u64> =
        fitted["indices"].as_array().unwrap().iter().map(|it| it.as_u64().unwrap()).collect();
    assert_eq!(inside, expected);
    for run in [1, 12] {
        let name = format!("figures/sub-1_ses-{run:02}_run-1_mean.nii.gz");
        assert!(page.contains(&format!("href=\"{name}\"")), "{name}");
        let mean = scan::read_volume(dir.join(&name)).expect("a mean image");
        let bold = scan::read_bold(root().join(scan(run))).expect("a scan");
        assert_eq!(mean.affine(), bold.affine());
        for ((x, y, z), mean) in mean.data().indexed_iter() {
            let series = bold.data().slice(ndarray::s![x, y, z, ..]);
            let sum: f64 = series.iter().map(|&it| f64::from(it)).sum();
            let expected = sum / series.len() as f64;
            let gap = (f64::from(*mean) - expected).abs();
            assert!(gap <= 1e-3 * expected.abs() + 1e-6, "{mean} {expected}");
        }
    }
}

#[test]
fn scans_that_are_away_when_pages_are_drawn_cost_the_volumes_alone() {
    /// Takes the scans away when the stage before is done.
    struct Take(PathBuf, PathBuf);
    impl Observer<Event> for Take {
        fn event(&mut self, event: &Event) {
            if matches!(event, Event::StageFinished { stage: "evaluate", .. }) {
                fs::rename(&self.0, &self.1).expect("the scans are taken away");
            }
        }
    }
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let (data, away) = (temporary.path().join("data"), temporary.path().join("away"));
    copy_folder(&root().join("fixtures/haxby2001"), &data);
    let text = fs::read_to_string(root().join("pipelines/quickstart-short.yaml"));
    let text = text.expect("the pipeline").replace("../fixtures/haxby2001", "data");
    let text = text.replace("../fixtures", &root().join("fixtures").display().to_string());
    let text = text.replace("../configs", &root().join("configs").display().to_string());
    let pipeline = temporary.path().join("pipeline.yaml");
    fs::write(&pipeline, text.replace("outputs: ../runs", "outputs: runs")).expect("a pipeline");
    let few = ["finetune.steps=2", "finetune.validate_every=2", "generate.max_new_tokens=24"];
    let few = few.map(|it| format!("stages.{it}"));
    let loaded = Loaded::read(&pipeline, &few).expect("a pipeline that loads");
    let plan = Plan::new(loaded).expect("a plan");
    let mut take = Take(data.clone(), away.clone());
    let stop = AtomicBool::new(false);
    let draw = |observer: &mut dyn Observer<Event>| {
        pipeline::run(&plan, Execution::default(), observer, &stop).expect("a run that ends well");
        let page = temporary.path().join("runs/quickstart-short/sub-1.html");
        fs::read_to_string(page).expect("the page")
    };
    let missing = "No volume of the mean image: the scan could not be read once more for it.";
    let page = draw(&mut take);
    assert_eq!(page.matches(missing).count(), 12);
    assert!(!page.contains("_mean.nii.gz") && page.contains("Median tSNR"));
    // with the scans, the volumes come back
    fs::rename(away, data).expect("the scans are back");
    let page = draw(&mut Silent);
    assert!(!page.contains(missing) && page.contains("_mean.nii.gz"));
}

#[test]
fn a_run_ends_with_a_table_and_one_line() {
    let Ran { stdout, stderr, .. } = &FIRST.ran;
    let last = stdout.trim_end().lines().last().unwrap_or_default();
    assert!(last.starts_with("SCAN-DEPENDENT: "), "{stdout}");
    // one volunteer with two test runs: windows are what intervals resample, and both places say so
    for part in [", written ", ", n=16 windows, 2 runs, 1 subject; intervals over windows)"] {
        assert!(last.contains(part), "{stdout}");
    }
    assert!(stdout.contains("95 % interval over windows"), "{stdout}");
    for stage in STAGES {
        assert!(stderr.contains(&format!("{stage}: done in ")), "{stderr}");
    }
    assert!(stderr.contains("run directory: "), "{stderr}");
}

#[test]
fn test_scans_under_two_names_count_once_in_the_verdict() {
    let cohort = Cohort::new();
    let table = fs::read_to_string(cohort.table()).unwrap();
    // the whole table of another person whose scans are the same: run 11 byte by byte, run 12 compressed
    // anew
    let copied = |run: usize| cohort.dir().join(format!("copy{run:03}.nii.gz"));
    fs::copy(cohort.scan(11), copied(11)).unwrap();
    cohort.patch_scan(12, &[]);
    fs::rename(cohort.scan(12), copied(12)).unwrap();
    fs::copy(root().join(scan(12)), cohort.scan(12)).unwrap();
    let mut twice = table.clone();
    for run in [11, 12] {
        let (from, to) =
            (format!("1,{run},run{run:03}/bold_1slice"), format!("2,{run},copy{run:03}"));
        for row in table.split("\n1,").filter(|row| row.starts_with(&from[2..])) {
            twice += &format!("1,{}\n", row.trim_end()).replace(&from, &to);
        }
    }
    fs::write(cohort.table(), twice).unwrap();
    let mut args = args(&cohort.outputs());
    for set in [
        format!("cohort.pairs.table={}", cohort.table().display()),
        "stages.finetune.steps=1".to_owned(),
        "stages.generate.max_new_tokens=4".to_owned(),
    ] {
        args.extend(["--set".to_owned(), set]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ran = run(&args).exits_with(0);
    let counts = "n=16 windows (16 more repeat a scan), 2 runs, 1 subject; intervals over windows)";
    assert!(ran.stdout.contains(counts), "{ran}");
}

#[test]
fn a_run_directory_is_complete() {
    let dir = FIRST.dir();
    let there = |name: &str| assert!(dir.join(name).is_file(), "{name} is missing");
    for name in ["config_used.yaml", "record.json", "status.tsv", "metrics.json", "index.html"] {
        there(name);
    }
    for figure in ["confusion", "shuffled", "reliability", "training"] {
        there(&format!("figures/{figure}.svg"));
    }
    for part in ["model.yaml", "README.md", "adapter.safetensors", "encoder.safetensors", "lm"] {
        assert!(dir.join("model").join(part).exists(), "{part} is missing");
    }
    // eight windows in each of the two test scans
    for (scan, window) in [11, 12].into_iter().flat_map(|scan| (1..=8).map(move |it| (scan, it))) {
        let text = FIRST.report(scan, window, "txt");
        assert!(text.trim_end().ends_with(DISCLAIMER), "{text}");
        let record: Value = serde_json::from_str(&FIRST.report(scan, window, "json")).unwrap();
        assert_eq!(record["disclaimer"], DISCLAIMER);
    }
    let texts = &json(&dir.join("metrics.json"))["texts"];
    assert_eq!(texts["n"], 16, "{texts}");
    let page = fs::read_to_string(dir.join("index.html")).unwrap();
    let line = format!("ROUGE-L {:.2}, CIDEr-D", texts["rouge_l"].as_f64().unwrap());
    assert!(page.contains(&line), "{line}");
    assert!(page.contains(DISCLAIMER) && page.contains("SCAN-DEPENDENT: "));
    let units = "Intervals resample 16 windows, because there are only 1 subject and 2 runs.";
    assert!(page.contains(units), "{page}");
    assert!(page.contains("href=\"sub-1.html\""), "{page}");
    let metrics = json(&dir.join("metrics.json"));
    let afc = &metrics["evidence"]["two_afc"];
    let said = |end: &str| format!("{:.2}", afc[end].as_f64().unwrap());
    let afc = format!("<td>{} [{}, {}]</td>", said("estimate"), said("low"), said("high"));
    assert!(page.contains(&afc), "{afc} is not on the page");
    let person = fs::read_to_string(dir.join("sub-1.html")).unwrap();
    for window in metrics["windows"].as_array().unwrap() {
        let seconds = format!(", {} s to ", window["onset_s"]);
        assert!(person.contains(&seconds.replace(".0 s", " s")), "{seconds}");
    }
    for part in ["<h4>Own scan</h4>", "<h4>True report</h4>", "<h4>Without a scan</h4>", "✓ right"]
    {
        assert!(person.contains(part), "{part}");
    }
    assert!(person.contains("Series of the voxels of the mask") && person.contains("Alayrac"));
    let status = fs::read_to_string(dir.join("status.tsv")).unwrap();
    assert_eq!(status.matches("\tSUCCESS\t").count(), 12, "{status}");
    for page in [&page, &person] {
        assert!(
            !page.contains(&*root().to_string_lossy()),
            "a page names no folder of this machine"
        );
    }
}

#[test]
fn the_record_holds_the_digest_of_every_file() {
    let dir = FIRST.dir();
    let record = json(&dir.join("record.json"));
    let digests = record["files"].as_object().expect("digests by path");
    for (name, digest) in digests {
        let found = scan::sha256_file(dir.join(name)).unwrap();
        assert_eq!(Some(found.as_str()), digest.as_str(), "{name}");
    }
    // only the record itself and the journal have none
    assert_eq!(files_below(&dir).len(), digests.len() + 2);
    let text = fs::read_to_string(dir.join("record.json")).unwrap();
    assert!(!text.contains(&*root().to_string_lossy()), "a record names no folder of this machine");
}

#[test]
fn a_second_run_does_nothing_twice() {
    let metrics = || fs::read(FIRST.dir().join("metrics.json")).unwrap();
    let before = metrics();
    let second = run_into(&FIRST.outputs).exits_with(0);
    for stage in STAGES {
        let said = format!("{stage}: stored result taken");
        assert!(second.stderr.contains(&said), "{second}");
    }
    assert!(!second.stderr.contains("done in"), "{second}");
    assert_eq!(second.stdout, FIRST.ran.stdout);
    assert!(before == metrics());
}

#[test]
fn the_same_seed_gives_the_same_bytes_in_another_folder() {
    let outputs = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let elsewhere = run_into(outputs.path()).exits_with(0);
    assert_eq!(elsewhere.stdout, FIRST.ran.stdout);
    assert_same_bytes(&FIRST.dir(), &run_dir(outputs.path()));
}

#[test]
fn a_killed_and_then_stopped_run_goes_on_to_the_same_bytes() {
    let outputs = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let args = args(outputs.path());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let killed = run_until(&args, "finetune: step 2, held out", "KILL");
    assert_eq!(killed.code, None, "{killed}");
    assert!(
        !run_dir(outputs.path()).join("record.json").exists(),
        "nothing is published before all is done"
    );

    let stopped = run_until(&args, "finetune: step 4, held out", "TERM").exits_with(75);
    assert!(stopped.stderr.contains("whiten: stored result taken"), "{stopped}");
    let last = "\nstopped after saving, run the same command again to go on\n";
    assert!(stopped.stderr.ends_with(last), "{stopped}");
    assert!(
        !run_dir(outputs.path()).join("record.json").exists(),
        "nothing is published before all is done"
    );

    let finished = run_into(outputs.path()).exits_with(0);
    assert!(!finished.stderr.contains("step 4, held out"), "it began again: {finished}");
    assert!(finished.stderr.contains("step 6, held out"), "{finished}");
    assert_eq!(finished.stdout, FIRST.ran.stdout);
    assert_same_bytes(&FIRST.dir(), &run_dir(outputs.path()));
}

#[test]
fn what_a_model_writes_during_the_training_stands_side_by_side() {
    let samples = FIRST.dir().join("training/samples");
    let names: Vec<_> = files_below(&samples).into_iter().collect();
    assert_eq!(names, [2, 4, 6].map(|step| samples.join(format!("step-00000{step}.md"))));
    let page = fs::read_to_string(&names[2]).unwrap();
    let columns = "| report | shown its own scan | shown row 75 | shown no scan |";
    assert!(page.starts_with("# Step 6\n") && page.contains(columns), "{page}");
    let validated = fs::read_to_string(FIRST.dir().join("training/metrics.jsonl")).unwrap();
    assert_eq!(validated.matches("\"validation_scan_gain\":").count(), 3, "{validated}");
}

/// What is said of the quickstart with these settings.
fn checked(sets: &[&str], code: i32) -> String {
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let ran = run(&["check", PIPELINE].into_iter().chain(sets).collect::<Vec<_>>());
    ran.exits_with(code).stderr
}

#[test]
fn a_metric_that_no_validation_has_is_refused_with_those_that_it_has() {
    let said = checked(&["stages.finetune.best=accuracy"], 2);
    let names =
        "loss, scan_gain, rouge_l, slot_accuracy, slot_accuracy.viewed, slot_accuracy.domain";
    assert!(said.contains(&format!("best is accuracy, expected one of {names}")), "{said}");
    let alone = ["stages.finetune.best=scan_gain", "stages.finetune.overfit=1"];
    let said = checked(&alone, 2);
    assert!(said.contains("expected loss: the training is judged by one scan alone"), "{said}");
    checked(&["stages.finetune.best=slot_accuracy.viewed"], 0);
}

#[test]
fn a_training_begins_with_another_package_of_the_same_parts() {
    let from = format!("stages.finetune.from={}", FIRST.model());
    let said = checked(&[&from, "model.resampler.n_latents=3"], 2);
    assert!(said.contains("its model.resampler is another one than this pipeline's"), "{said}");
    let encoder = "model.encoder={\"voxel_frames\": {\"dim\": 64, \"n_groups\": 1}}";
    let said = checked(&[&from, encoder], 2);
    assert!(said.contains("its encoder voxel_frames is another one than"), "{said}");
    let lm = tempfile::tempdir().unwrap();
    for file in files_below(&root().join("fixtures/tiny-lm")) {
        fs::copy(&file, lm.path().join(file.file_name().unwrap())).unwrap();
    }
    let tokenizer = lm.path().join("tokenizer.json");
    fs::write(&tokenizer, fs::read_to_string(&tokenizer).unwrap() + "\n").unwrap();
    let said = checked(&[&from, &format!("model.lm.hf={}", lm.path().display())], 2);
    assert!(said.contains("tokenizer.json differs"), "{said}");
    checked(&[&from], 0);
}

#[test]
fn a_damaged_stored_model_is_made_again() {
    let outputs = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    copy_folder(&FIRST.outputs, outputs.path());
    let stored = files_below(&outputs.path().join("cache/finetune"));
    damage(stored.iter().find(|path| path.ends_with("model/adapter.safetensors")).unwrap());
    let again = run_into(outputs.path()).exits_with(0);
    assert!(again.stderr.contains("whiten: stored result taken"), "{again}");
    assert!(again.stderr.contains("finetune: done in"), "{again}");
    assert_same_bytes(&FIRST.dir(), &run_dir(outputs.path()));
}

#[test]
fn a_window_alone_gives_the_report_it_gave_in_a_batch() {
    for (scan, window) in [(11, 3), (12, 1), (12, 8)] {
        let alone = FIRST.generate(scan, ["--window", &window.to_string()], &[]).exits_with(0);
        assert_eq!(alone.stdout, FIRST.report(scan, window, "txt"));
        assert_eq!(alone.stderr, "");
    }
}

#[test]
fn a_package_of_the_format_before_gives_the_same_report() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    copy_folder(&FIRST.dir().join("model"), dir.path());
    let path = dir.path().join("model.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let (start, rest) = text.split_once("preprocessing:\n  format: 3\n").unwrap();
    let (_, end) = rest.split_once("  prompt: |").unwrap();
    // as it was written before the stages were listed
    let before = "preprocessing:\n  format: 1\n  t_r_s: 2.5\n  mask: { above_mean: 0.6 }\n  \
                  clean: { detrend: quadratic, standardize: zscore_sample }\n  \
                  window: { shift_s: 5.0, n_frames: 9 }\n  whitening_shrinkage: 0.3\n  prompt: |";
    fs::write(&path, format!("{start}{before}{end}")).unwrap();
    let (scan, model) = (scan(11), dir.path().display().to_string());
    let words = ["generate", "--model", &model, "--scan", &scan, "--window", "3"];
    let alone = run(&[&words[..], &["--max-new-tokens", MAX_NEW_TOKENS]].concat()).exits_with(0);
    assert_eq!(alone.stdout, FIRST.report(11, 3, "txt"));
    fs::write(&path, text.replacen("format: 3", "format: 4", 1)).unwrap();
    let said = run(&words).exits_with(2).stderr;
    assert!(said.contains("its preprocessing has format 4, expected 3: run its pipeline again"));
}

#[test]
fn an_onset_names_the_same_window_as_its_number() {
    let record: Value = serde_json::from_str(&FIRST.report(11, 3, "json")).unwrap();
    let onset = record["window"]["onset_s"].to_string();
    let alone = FIRST.generate(11, ["--onset", &onset], &[]).exits_with(0);
    assert_eq!(alone.stdout, FIRST.report(11, 3, "txt"));
}

#[test]
fn a_report_for_programs_holds_the_disclaimer_and_a_confidence_for_each_slot() {
    let alone = FIRST.generate(11, ["--window", "3"], &["--json"]).exits_with(0);
    let mut alone: Value = serde_json::from_str(&alone.stdout).expect("JSON");
    let mut in_batch: Value = serde_json::from_str(&FIRST.report(11, 3, "json")).unwrap();
    assert_eq!(alone["disclaimer"], DISCLAIMER);
    let slots = |report: &mut Value| report["slots"].as_array_mut().map(std::mem::take).unwrap();
    let (one, other) = (slots(&mut alone), slots(&mut in_batch));
    assert_eq!(one.len(), 3, "viewed, domain, impression");
    for (one, other) in one.iter().zip(&other) {
        assert_eq!((&one["name"], &one["stated"]), (&other["name"], &other["stated"]));
        assert!(one.as_object().unwrap().contains_key("confidence"));
        assert_eq!(one["stated"].is_string(), one["confidence"].is_f64(), "{one}");
        let probabilities = one["probabilities"].as_object().unwrap();
        let sum: f64 = probabilities.values().filter_map(Value::as_f64).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{one}");
        for (value, probability) in probabilities {
            let (a, b) = (probability.as_f64(), other["probabilities"][value].as_f64());
            assert!((a.unwrap() - b.unwrap()).abs() < 1e-5, "{value}: {a:?} and {b:?}");
        }
    }
    assert_eq!(alone, in_batch, "all but the probabilities is the same to the letter");
}

#[test]
fn texts_are_ranked_after_a_window_and_pictures_are_refused() {
    let (model, scan) = (FIRST.model(), scan(11));
    let start = ["score", "--model", &model, "--scan", &scan, "--window", "3", "--json"];
    let texts = ["--continuation", "Findings: faces.", "--continuation", "x q x q x q"];
    let ranked = run(&[&start[..], &texts].concat()).exits_with(0);
    let ranked: Value = serde_json::from_str(&ranked.stdout).expect("JSON");
    assert_eq!(ranked["best"], 0, "{ranked}");
    let report: Value = serde_json::from_str(&FIRST.report(11, 3, "json")).unwrap();
    assert_eq!(ranked["data_digests"][0], report["data_digest"]);
    let prompt = report["prompt"].as_str().unwrap();
    assert_eq!(ranked["prompt"], format!("<image>{prompt}"));
    let photo = "fixtures/clip_images/gray.jpg";
    let ran = run(&["generate", "--model", &model, "--image", photo]).exits_with(2);
    assert!(ran.stderr.contains("this model reads a window of 9 frames"), "{ran}");
    assert!(ran.stderr.contains("no pictures\nhint: give it a scan"), "{ran}");
}

#[test]
fn no_window_and_one_past_the_end_of_the_run_are_refused() {
    let (model, scan) = (FIRST.model(), scan(11));
    let start = ["generate", "--model", &model, "--scan", &scan];
    let said = |more: &[&str]| run(&[&start[..], more].concat()).exits_with(2).one_error();
    tests::says(&said(&[]), &["bold_1slice.nii.gz: this model reads one window", "--onset"]);
    let confounds = said(&["--window", "3", "--confounds", "c.tsv"]);
    tests::says(&confounds, &["take no confounds out, expected no --confounds"]);
    let ran = FIRST.generate(11, ["--window", "99"], &[]).exits_with(2);
    insta::assert_snapshot!(ran, @"
    exit code 2
    ----- stdout
    ----- stderr
    error: fixtures/haxby2001/run011/bold_1slice.nii.gz: has 8 windows in the model's cohort, found --window 99
    ");
    let ran = FIRST.generate(11, ["--onset", "299"], &[]).exits_with(2);
    insta::assert_snapshot!(ran, @"
    exit code 2
    ----- stdout
    ----- stderr
    error: fixtures/haxby2001/run011/bold_1slice.nii.gz: window at onset 299 s takes frames 122 to 130, but the run has 121 frames (302.5 s)
    ");
}

#[test]
fn a_model_package_is_inspected_and_verified() {
    let model = FIRST.model();
    let shown = run(&["model", "inspect", &model]).exits_with(0);
    assert!(shown.stdout.contains("adapter.safetensors"), "{shown}");
    let shown = run(&["model", "inspect", &model, "--json"]).exits_with(0);
    serde_json::from_str::<Value>(&shown.stdout).expect("JSON");
    let verified = run(&["model", "verify", &model]).exits_with(0);
    assert_eq!(verified.stdout, format!("{model}: whole\n"));
}

#[test]
fn a_model_package_with_one_changed_byte_is_refused() {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&FIRST.dir().join("model"), copy.path());
    damage(&copy.path().join("adapter.safetensors"));
    let path = copy.path().display().to_string();
    let verified = run(&["model", "verify", &path]).exits_with(2);
    assert!(verified.stderr.contains("adapter.safetensors"), "{verified}");
    let scan = scan(11);
    let used = ["generate", "--model", &path, "--scan", &scan, "--window", "3"];
    let used = run(&used).exits_with(2);
    assert!(used.stderr.contains("adapter.safetensors"), "{used}");
}
