//! Files that go away, disks that change bits, runs that are killed and runs that meet.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{atomic::AtomicBool, mpsc},
    thread,
    time::Duration,
};

use pipeline::{Event, Loaded, Observer, Outcome, Plan, Silent};
use tests::{Ran, Stored, Synthetic, files_below, program, run, says};

const ENCODE: &str = "encode-cohort";

fn cohort(n: usize) -> Synthetic {
    Synthetic::new(n, Stored::Mixed, ENCODE)
}

fn plan(it: &Synthetic) -> Plan {
    Plan::new(Loaded::read(&it.pipeline(), &[]).unwrap()).unwrap()
}

fn in_process(
    plan: &Plan,
    observer: &mut dyn Observer<Event>,
) -> Result<Outcome, Box<pipeline::Error>> {
    Ok(pipeline::run(plan, pipeline::Execution::default(), observer, &AtomicBool::new(false))?)
}

fn published(it: &Synthetic) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = it.dir().join("runs").join(ENCODE);
    let timed = ["record.json", "journal.jsonl"];
    let is_same = |path: &PathBuf| !timed.iter().any(|name| path.ends_with(name));
    let files = files_below(&dir).into_iter().filter(is_same);
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn status(it: &Synthetic) -> String {
    fs::read_to_string(it.result(ENCODE, "status.tsv")).unwrap()
}

#[test]
fn scans_that_are_away_for_a_moment_are_read_when_they_are_back() {
    let it = cohort(3);
    let plan = plan(&it);
    let (bids, away) = (it.dir().join("bids"), it.dir().join("away"));
    fs::rename(&bids, &away).unwrap();
    let back = thread::spawn(move || {
        thread::sleep(Duration::from_millis(500));
        fs::rename(away, bids).unwrap();
    });
    let outcome = in_process(&plan, &mut Silent).unwrap();
    back.join().unwrap();
    assert_eq!(outcome.n_failed, 0);
    assert_eq!(status(&it).matches("\tSUCCESS\t").count(), 3);
}

#[test]
fn a_run_that_changes_nothing_opens_no_scan_and_no_table_unless_asked() {
    let it = cohort(3);
    // a file that changed a moment ago may change again unseen
    thread::sleep(Duration::from_millis(2100));
    let first = plan(&it);
    let n_headers = first.n_files_read();
    assert!(n_headers >= 3, "a plan reads the header of each scan");
    in_process(&first, &mut Silent).unwrap();
    assert!(first.n_files_read() >= n_headers + 3, "a run reads each scan");
    let before = published(&it);
    let again = plan(&it);
    assert_eq!(again.n_files_read(), 0, "a plan after a run");
    in_process(&again, &mut Silent).unwrap();
    assert_eq!(again.n_files_read(), 0);
    // a scan that was touched is opened again, the others are not
    let text = fs::read(it.scan(1)).unwrap();
    fs::write(it.scan(1), text).unwrap();
    let touched = plan(&it).n_files_read();
    assert!(touched >= 1 && touched < n_headers, "{touched} of {n_headers}");
    let verifying = Loaded::read(&it.pipeline(), &[]).unwrap().verifying();
    let verifying = Plan::new(verifying).unwrap();
    in_process(&verifying, &mut Silent).unwrap();
    assert_eq!(verifying.n_files_read(), first.n_files_read());
    assert!(published(&it) == before);
}

#[test]
fn scans_that_stay_away_are_not_held_against_later_runs() {
    let it = cohort(3);
    let all = plan(&it);
    let (bids, away) = (it.dir().join("bids"), it.dir().join("away"));
    fs::rename(&bids, &away).unwrap();
    let error = in_process(&all, &mut Silent).unwrap_err();
    says(&error.to_string(), &["none of the 3 scans can be read now", "the scan"]);
    says(&error.hint().unwrap(), &["run the same command again"]);
    assert!(!it.result(ENCODE, "status.tsv").exists(), "nothing is published");
    fs::rename(&away, &bids).unwrap();

    // one of three: the others are complete, and it is tried again
    let (scan, aside) = (it.scan(1), it.dir().join("aside"));
    fs::rename(&scan, &aside).unwrap();
    let outcome = in_process(&all, &mut Silent).unwrap();
    assert_eq!(outcome.n_failed, 1);
    says(&status(&it), &["\tFAIL\t", "cannot be read"]);
    fs::rename(&aside, &scan).unwrap();
    it.run(&[]).exits_with(0);
    assert_eq!(status(&it).matches("\tSUCCESS\t").count(), 3);

    // contents are to blame for good: a second run does not read them again
    let bytes = fs::read(&scan).unwrap();
    fs::write(&scan, &bytes[..bytes.len() - 9]).unwrap();
    it.run(&[]).exits_with(1);
    let again = it.run(&[]).exits_with(1);
    says(&again.stderr, &["parcellate: stored result taken"]);
}

#[test]
fn the_first_failure_ends_a_run_that_asks_for_it_and_the_rest_goes_on_later() {
    let it = cohort(3);
    let whole = fs::read(it.scan(0)).unwrap();
    fs::write(it.scan(0), &whole[..whole.len() - 9]).unwrap();
    let pipeline = it.pipeline().display().to_string();
    let ran = run(&["run", &pipeline, "--jobs", "1", "--stop-on-first-failure"]).exits_with(1);
    says(&ran.one_error(), &["stopped at the first failure, in stage parcellate: the scan: "]);
    says(&ran.stderr, &["1 of 3: left out by parcellate: ", "hint: what was finished is kept"]);
    it.run(&[]).exits_with(1);
    assert_eq!(status(&it).matches("\tSUCCESS\t").count(), 2);
}

/// Flips the lowest bit of the byte in the middle.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_flipped_bit_in_any_stored_file_changes_no_result() {
    let it = cohort(3);
    it.edit_pipeline("      mirror_check: { margin: 0.1 }\n", "");
    it.run(&[]).exits_with(0);
    let expected = published(&it);
    let cache = it.dir().join("runs/cache");
    // what comes after the damaged stage is made again, so that the damaged files are used
    let stages = ["parcellate", "normalise", "volumes", "sliding_windows", "encode", "embed"];
    for (at, stage) in stages.iter().enumerate() {
        let (of_scans, of_stage): (Vec<PathBuf>, Vec<PathBuf>) = files_below(&cache.join(stage))
            .into_iter()
            .partition(|it| it.parent().is_some_and(|folder| folder.ends_with("scans")));
        for files in [of_scans, of_stage].into_iter().filter(|files| !files.is_empty()) {
            files.iter().for_each(|path| flip(path));
            for later in &stages[at + 1..] {
                fs::remove_dir_all(cache.join(later)).unwrap();
            }
            let ran = it.run(&[]).exits_with(0);
            assert!(published(&it) == expected, "{stage}: {ran}");
            let told = ["is made again", "is done again"].iter().any(|it| ran.stderr.contains(it));
            assert!(told, "{stage}: {ran}");
        }
    }
}

#[test]
fn a_second_run_on_a_folder_is_refused_with_host_and_process() {
    struct Hold {
        begun: mpsc::Sender<()>,
        go_on: mpsc::Receiver<()>,
    }
    impl Observer<Event> for Hold {
        fn event(&mut self, event: &Event) {
            if matches!(event, Event::StageStarted { stage: "encode", .. }) {
                self.begun.send(()).unwrap();
                self.go_on.recv().unwrap();
            }
        }
    }
    let it = cohort(2);
    let plan = plan(&it);
    let ((begun, has_begun), (end, go_on)) = (mpsc::channel(), mpsc::channel());
    let first = thread::spawn(move || in_process(&plan, &mut Hold { begun, go_on }));
    has_begun.recv().unwrap();
    let second = it.run(&[]).exits_with(2);
    let process = format!("is in use by another run: process {} on ", std::process::id());
    says(&second.one_error(), &["[cohort]/runs/encode-cohort", &process, "hint: wait until"]);
    assert!(!second.stderr.contains("stage 1"), "{second}");
    end.send(()).unwrap();
    first.join().unwrap().unwrap();
    it.run(&[]).exits_with(0);
    assert!(files_below(&it.dir().join("runs/cache/locks")).is_empty());
}

/// The program, started by a shell that does with it what `how` says.
fn shell(it: &Synthetic, how: &str, more: &[&str]) -> Ran {
    let pipeline = it.pipeline();
    let args = ["-c", how, "sh"].map(PathBuf::from).into_iter();
    let args = args.chain([program().to_owned(), pipeline]);
    let output = Command::new("sh")
        .args(args.chain(more.iter().map(PathBuf::from)))
        .stdin(Stdio::null())
        .output()
        .expect("a shell runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_run_ends_well_where_nobody_reads_what_it_says() {
    let whole = cohort(2);
    whole.run(&[]).exits_with(0);
    let expected: Vec<Vec<u8>> = published(&whole).into_iter().map(|(_, bytes)| bytes).collect();
    for how in [
        "\"$1\" -v run \"$2\" 2>&1 >/dev/null | true; exit 0",
        "\"$1\" run \"$2\" 2>/dev/full",
        "\"$1\" -vv run \"$2\" 2>/dev/full >/dev/full",
        "\"$1\" run \"$2\" 2>&- >&-",
    ] {
        let it = cohort(2);
        let ran = shell(&it, how, &[]).exits_with(0);
        assert!(!ran.stderr.contains("panicked"), "{ran}");
        // a pipeline of the shell ends before the program does
        let dir = it.dir().join("runs").join(ENCODE);
        let mut patience = 600;
        while !dir.join("record.json").exists() && patience > 0 {
            thread::sleep(Duration::from_millis(100));
            patience -= 1;
        }
        let found: Vec<Vec<u8>> = published(&it).into_iter().map(|(_, bytes)| bytes).collect();
        assert!(found == expected, "{how}");
    }
    // data that cannot be written are an error
    let lost = shell(&whole, "\"$1\" check \"$2\" >/dev/full", &[]).exits_with(2);
    says(&lost.stderr, &["error: cannot write to stdout"]);
}

#[test]
fn what_killed_runs_left_is_removed() {
    let it = cohort(2);
    it.run(&[]).exits_with(0);
    let runs = it.dir().join("runs");
    for name in [
        "cache/parcellate/.partial-a/units.json",
        "cache/parcellate/scans/.partial-b",
        "cache/finetune/.partial-c/.package-d/adapter.safetensors",
        "encode-cohort/sub-01/.partial-e",
    ] {
        let path = runs.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "half").unwrap();
    }
    // the clock of some file systems has a coarse tick
    thread::sleep(Duration::from_millis(50));
    it.run(&[]).exits_with(0);
    let left = files_below(&runs);
    let left: Vec<_> = left.iter().filter(|it| it.display().to_string().contains("/.p")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The confounds of the first person have too few rows, the scan of the second is cut short.
fn with_two_faults() -> Synthetic {
    let it = cohort(3);
    let scan = it.scan(0).display().to_string();
    let (stem, _) = scan.split_once("_space-").expect("a name of fMRIPrep");
    let confounds = format!("{stem}_desc-confounds_timeseries.tsv");
    fs::write(&confounds, "framewise_displacement\n0.1\n0.2\n0.3\n").unwrap();
    let bytes = fs::read(it.scan(1)).unwrap();
    fs::write(it.scan(1), &bytes[..bytes.len() - 9]).unwrap();
    it.edit_pipeline("      mirror_check: { margin: 0.1 }\n", "");
    it
}

#[test]
fn no_folder_of_the_machine_and_no_subject_is_told() {
    let it = with_two_faults();
    let ran = it.run(&[]).exits_with(1);
    let home = it.dir().parent().unwrap().display().to_string();
    says(&ran.stderr, &["left out by parcellate: the scan: gzip stream ends early"]);
    assert!(!ran.stderr.contains("sub-0"), "{ran}");
    let record = fs::read_to_string(it.result(ENCODE, "record.json")).unwrap();
    for text in [&status(&it), &record, &ran.stderr.replace("[cohort]", "")] {
        assert!(!text.contains(&home), "{text}");
    }
    assert_eq!(status(&it).matches("\tFAIL\t").count(), 2, "{}", status(&it));
    // who asks for names gets them
    let pipeline = it.pipeline().display().to_string();
    fs::remove_dir_all(it.dir().join("runs")).unwrap();
    let named = run(&["-v", "run", &pipeline]).exits_with(1);
    says(&named.stderr, &["sub-02", "left out by parcellate"]);
}

#[test]
fn published_files_are_open_to_whom_the_umask_says() {
    use std::os::unix::fs::PermissionsExt as _;
    for (umask, file, folder) in
        [("077", 0o600, 0o700), ("022", 0o644, 0o755), ("002", 0o664, 0o775)]
    {
        let it = cohort(2);
        shell(&it, "umask \"$3\"; exec \"$1\" run \"$2\"", &[umask]).exits_with(0);
        let runs = it.dir().join("runs");
        let files = files_below(&runs);
        let folders = files.iter().flat_map(|path| path.ancestors().skip(1));
        let folders = folders.filter(|dir| dir.starts_with(&runs)).map(Path::to_owned);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for path in &files {
            assert_eq!(mode(path), file, "umask {umask}: {}", path.display());
        }
        for path in folders {
            assert_eq!(mode(&path), folder, "umask {umask}: {}", path.display());
        }
    }
}

#[test]
fn control_characters_of_files_do_not_reach_the_terminal() {
    let it = cohort(1);
    let path = it.dir().join("a\u{1b}[31mred.yaml");
    fs::write(&path, "name: \"a\\e[2Jb\"\nsed: 1\n").unwrap();
    for words in [["check", "--json"], ["run", "--json"]] {
        let path = path.display().to_string();
        let ran = run(&[words[0], &path, words[1]]).exits_with(2);
        assert!(!ran.stderr.contains('\u{1b}') && ran.stderr.contains("\\u{1b}[31m"), "{ran}");
    }
}

#[test]
fn a_task_of_slurm_takes_the_cores_that_it_was_given() {
    let it = cohort(2);
    let how = "unset RAYON_NUM_THREADS; SLURM_CPUS_PER_TASK=1 exec \"$1\" run \"$2\"";
    shell(&it, how, &[]).exits_with(0);
    let record = fs::read_to_string(it.result(ENCODE, "record.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["threads"], 1);
}

#[test]
fn the_record_tells_the_threads_that_were_used() {
    let it = cohort(2);
    let how = "RAYON_NUM_THREADS=1 exec \"$1\" run \"$2\"";
    shell(&it, how, &[]).exits_with(0);
    let record = fs::read_to_string(it.result(ENCODE, "record.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["threads"], 1);
}

#[cfg(unix)]
#[test]
fn a_limit_on_the_size_of_files_ends_a_run_in_a_sentence() {
    let it = cohort(2);
    let limited = |blocks: u32| {
        let line = format!("ulimit -f {blocks}; exec \"$0\" run \"$1\"");
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(line).arg(program()).arg(it.pipeline());
        shell.output().expect("a shell")
    };
    let ended = limited(1);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("cannot write: File too large"), "{said}");
    let left = files_below(&it.dir().join("runs"));
    let is_partial = |path: &&PathBuf| path.to_string_lossy().contains(".partial");
    assert!(left.iter().find(is_partial).is_none(), "{left:?}");
    it.run(&[]).exits_with(0);
}
