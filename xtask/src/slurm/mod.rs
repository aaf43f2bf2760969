//! The synthetic cohort as a job array of a real Slurm on this machine, beside a local run.
//!
//! One task is told to stop as before its time limit, one is put back into the queue by Slurm, and the
//! program of one is killed. What the gathering job publishes must be what the local run does.

mod cluster;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::kills::below;
use cluster::Cluster;

const PIPELINE: &str = "pipelines/encode-cohort.yaml";
const NAME: &str = "encode-cohort";

/// 24 people in 3 arrays of one task, so that one runs at a time.
const SITE: &str = "\
task: { cores: 1 }
recordings_per_task: 8
throttle: 1
max_array_size: 2
";

/// What is done to a task while it works.
#[derive(Clone, Copy, Debug)]
enum Disturbance {
    /// As Slurm does before the time limit.
    Warned,
    /// As after the loss of a node.
    Requeued,
    /// Its program ends without a word.
    Killed,
}

/// Runs both, and prints what happened.
///
/// # Errors
/// Where Slurm is not there, a job ends otherwise than it should, or a published byte differs.
#[expect(clippy::print_stdout, reason = "the counts are what this chore is for")]
pub(crate) fn run(root: &Path) -> Result<()> {
    let program = crate::kills::program()?;
    let folder = tempfile::Builder::new().prefix("slurm-").tempdir()?;
    let cluster = Cluster::start(folder.path())?;
    let outputs = |name: &str| folder.path().join(name);
    let set = |name: &str| format!("outputs={}", outputs(name).display());
    let alone = Command::new(&program)
        .args(["run", PIPELINE, "--set", &set("alone")])
        .current_dir(root)
        .env("RAYON_NUM_THREADS", "1")
        .output()?;
    ensure!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stderr));
    let site = folder.path().join("site.yaml");
    fs::write(&site, SITE)?;
    let submitted = cluster
        .command(&program.display().to_string())
        .args(["submit", "slurm", PIPELINE, "--set", &set("array"), "--json", "--site"])
        .arg(&site)
        .current_dir(root)
        .output()?;
    ensure!(submitted.status.success(), "{}", String::from_utf8_lossy(&submitted.stderr));
    let submission: Value = serde_json::from_slice(&submitted.stdout)?;
    ensure!(submission["n_recordings"] == 24 && submission["n_tasks"] == 3, "{submission}");
    let jobs = submission["jobs"].as_array().context("no jobs")?;
    let jobs: Vec<&str> = jobs.iter().filter_map(Value::as_str).collect();
    // two of at most two tasks, and the gather job
    let &[first, second, gather] = jobs.as_slice() else { bail!("jobs {jobs:?}") };
    let tasks = [format!("{first}_0"), format!("{first}_1"), format!("{second}_0")];
    let array = outputs("array");
    let disturbances = [Disturbance::Warned, Disturbance::Requeued, Disturbance::Killed];
    for ((number, job), disturbance) in (1..).zip(&tasks).zip(disturbances) {
        disturb(&cluster, &array, number, job, disturbance)
            .with_context(|| format!("task {number}, {disturbance:?}"))?;
    }
    cluster
        .wait("the end of all jobs", || Ok(cluster.says("squeue", &["-h"])?.trim().is_empty()))?;
    let restarts = |job: &str| -> Result<String> {
        let said = cluster.says("scontrol", &["show", "job", job])?;
        let word = |key: &str| {
            let found = said.split_whitespace().find_map(|it| it.strip_prefix(key));
            found.unwrap_or("?").to_owned()
        };
        Ok([word("JobState="), word("Restarts="), word("ExitCode=")].join(" "))
    };
    let ended = [&*tasks[0], &*tasks[1], &*tasks[2], gather].map(restarts);
    let ended: Vec<String> = ended.into_iter().collect::<Result<_>>()?;
    let expected = ["COMPLETED 1 0:0", "COMPLETED 1 0:0", "FAILED 0 137:0", "COMPLETED 0 0:0"];
    let logs = logs(&array)?;
    ensure!(ended == expected, "jobs ended as {ended:?}, expected {expected:?}\n{logs}");
    let [alone, array] = ["alone", "array"].map(|name| published(&outputs(name).join(NAME)));
    let (alone, array) = (alone?, array?);
    let differing: Vec<&PathBuf> = alone
        .keys()
        .chain(array.keys())
        .filter(|name| alone.get(*name) != array.get(*name))
        .collect();
    ensure!(differing.is_empty(), "published otherwise than by a local run: {differing:?}");
    println!(
        "24 recordings in 3 tasks: 1 warned and requeued, 1 requeued by Slurm, 1 killed; \
         {} published files as of a local run",
        alone.len()
    );
    Ok(())
}

/// Stops the program of a task in the midst of its recordings, and does to it what is to be done.
fn disturb(
    cluster: &Cluster,
    outputs: &Path,
    number: usize,
    job: &str,
    disturbance: Disturbance,
) -> Result<()> {
    let mut pid = None;
    cluster.wait("its program", || {
        pid = program_of(outputs, number);
        Ok(pid.is_some())
    })?;
    let pid = pid.context("its program is gone")?;
    let before = 8 * (number - 1);
    let units = outputs.join("cache/parcellate/scans");
    let n_units = || below(&units).map_or(0, |all| all.iter().filter(|it| is_unit(it)).count());
    cluster.wait("its first recording", || Ok(n_units() > before))?;
    signal("STOP", pid)?;
    let done = n_units() - before;
    ensure!(done < 8, "it was done before it could be stopped");
    match disturbance {
        Disturbance::Warned => {
            cluster.says("scancel", &["--signal=USR1", "--batch", job])?;
            // the script passes it on
            std::thread::sleep(Duration::from_millis(500));
            signal("CONT", pid)?;
        }
        Disturbance::Requeued => _ = cluster.says("scontrol", &["requeue", job])?,
        Disturbance::Killed => signal("KILL", pid)?,
    }
    cluster.wait("the end of its program", || Ok(program_of(outputs, number) != Some(pid)))
}

fn is_unit(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "safetensors")
}

/// The process that works on a task of these outputs.
fn program_of(outputs: &Path, number: usize) -> Option<u32> {
    let wanted = (outputs.display().to_string(), number.to_string());
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else { continue };
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).into_owned();
        let words: Vec<&str> = line.split_terminator('\0').collect();
        let is_task = words.get(1) == Some(&"run") && words.last() == Some(&&*wanted.1);
        if is_task && words.iter().any(|word| word.contains(&wanted.0)) {
            return Some(pid);
        }
    }
    None
}

fn signal(name: &str, pid: u32) -> Result<()> {
    let kill = format!("kill -s {name} {pid}");
    ensure!(Command::new("sh").args(["-c", &kill]).status()?.success(), "{kill}");
    Ok(())
}

/// What the jobs said.
fn logs(outputs: &Path) -> Result<String> {
    let folder = outputs.join(NAME).join("slurm/1/logs");
    let texts = below(&folder)?.into_iter().map(|name| {
        let text = fs::read_to_string(folder.join(&name)).unwrap_or_default();
        format!("--- {}\n{text}", name.display())
    });
    Ok(texts.collect())
}

/// Every published file; of the record not when and where it was written.
fn published(dir: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut record: Value = serde_json::from_slice(&fs::read(dir.join("record.json"))?)?;
    let names: Vec<PathBuf> =
        record["files"].as_object().context("no files")?.keys().map(PathBuf::from).collect();
    forget(&mut record);
    let mut all = BTreeMap::from([(PathBuf::from("record.json"), record.to_string().into_bytes())]);
    for name in names {
        let bytes = fs::read(dir.join(&name))?;
        all.insert(name, bytes);
    }
    Ok(all)
}

/// Takes out what says when and where something was done.
fn forget(value: &mut Value) {
    const TOLD: [&str; 9] = [
        "started",
        "seconds",
        "stored",
        "host",
        "pid",
        "job",
        "command",
        "peak_memory_mb",
        "threads",
    ];
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !TOLD.contains(&key.as_str()));
            map.values_mut().for_each(forget);
        }
        Value::Array(all) => all.iter_mut().for_each(forget),
        _ => {}
    }
}
