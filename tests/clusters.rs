//! A run in tasks of a work list, and its submission to a cluster.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tests::{Ran, Stored, Synthetic, files_below, program, root, run, says};

const ENCODE: &str = "encode-cohort";

/// The work list of the `n`th submission, with which `outputs`.
fn work_list(it: &Synthetic, outputs: &str, n: usize) -> PathBuf {
    it.dir().join(format!("{outputs}/{ENCODE}/slurm/{n}/work_list.tsv"))
}

fn submit(it: &Synthetic, outputs: &str, more: &[&str]) -> Ran {
    let (pipeline, set) = (it.pipeline().display().to_string(), format!("outputs={outputs}"));
    let start = ["submit", "slurm", &pipeline, "--print", "--set", &set];
    run(&start.iter().chain(more).copied().collect::<Vec<_>>())
}

fn task(it: &Synthetic, outputs: &str, list: &Path, task: usize) -> Ran {
    let (pipeline, set) = (it.pipeline().display().to_string(), format!("outputs={outputs}"));
    let (list, task) = (list.display().to_string(), task.to_string());
    run(&["run", &pipeline, "--set", &set, "--work-list", &list, "--task", &task])
}

/// What a run published: every file of its record, and the record without times and what decides keys.
fn published(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let text = fs::read_to_string(dir.join("record.json")).expect("a record");
    let mut record: Value = serde_json::from_str(&text).expect("JSON");
    let names: Vec<String> = record["files"].as_object().expect("files").keys().cloned().collect();
    for key in ["started", "seconds", "command"] {
        record.as_object_mut().expect("an object").remove(key);
    }
    for stage in record["stages"].as_array_mut().expect("stages") {
        for key in ["seconds", "stored", "peak_memory_mb"] {
            stage.as_object_mut().expect("an object").remove(key);
        }
    }
    let files = names.into_iter().map(|name| {
        let bytes = fs::read(dir.join(&name)).expect("a published file");
        (name, bytes)
    });
    files.chain([("record.json".to_owned(), record.to_string().into_bytes())]).collect()
}

fn units(it: &Synthetic, outputs: &str) -> BTreeMap<PathBuf, std::time::SystemTime> {
    let folder = it.dir().join(outputs).join("cache/parcellate/scans");
    let files = files_below(&folder).into_iter();
    files.map(|path| (path.clone(), path.metadata().unwrap().modified().unwrap())).collect()
}

fn array_status(it: &Synthetic, outputs: &str) -> Value {
    let dir = it.dir().join(outputs).join(ENCODE).display().to_string();
    serde_json::from_str(&run(&["status", &dir, "--json"]).exits_with(75).stdout).expect("JSON")
}

#[test]
fn tasks_and_a_gathering_run_publish_what_a_run_alone_does() {
    let it = Synthetic::new(6, Stored::Mixed, ENCODE);
    it.run(&["outputs=alone"]).exits_with(0);
    submit(&it, "parts", &[]).exits_with(0);
    let list = work_list(&it, "parts", 1);
    let rows = fs::read_to_string(&list).unwrap();
    assert_eq!(rows.lines().count(), 7, "{rows}");
    for number in 1..=6 {
        let ran = task(&it, "parts", &list, number).exits_with(0);
        says(&ran.stderr, &["1 recording done; `normalise` and what follows is left"]);
        // the journals of the tasks and the work list say how the array stands
        let status = array_status(&it, "parts");
        assert_eq!(status["tasks"], json!({ "running": 0, "done": number, "all": 6 }));
        let stages = status["stages"].as_array().unwrap();
        let parcellate = stages.iter().find(|it| it["stage"] == "parcellate").unwrap();
        assert_eq!(
            (&parcellate["done"], &parcellate["left"]),
            (&json!(number), &json!(6 - number)),
            "{parcellate}"
        );
        assert_eq!(status["visits"].as_array().unwrap().len(), 6, "those that wait, too");
    }
    let folder = it.dir().join("parts").join(ENCODE);
    assert!(!folder.join("record.json").exists(), "nothing is published");
    assert!(!folder.join("status.tsv").exists());
    let made = units(&it, "parts");
    assert_eq!(made.len(), 6);
    let outputs = it.dir().join("parts").display().to_string();
    let pruned = run(&["store", "prune", &outputs]).exits_with(2);
    says(&pruned.stderr, &["stopped before its end"]);
    assert_eq!(units(&it, "parts"), made, "no record names them yet, and they stay");
    // a task that is done does nothing again
    task(&it, "parts", &list, 3).exits_with(0);
    it.run(&["outputs=parts"]).exits_with(0);
    let dir = folder.display().to_string();
    let gathered = run(&["status", &dir]).exits_with(0);
    says(&gathered.stdout, &["finished"]);
    assert_eq!(units(&it, "parts"), made, "the run finds what the tasks made");
    run(&["store", "prune", &outputs]).exits_with(0);
    let [alone, parts] =
        ["alone", "parts"].map(|name| published(&it.dir().join(name).join(ENCODE)));
    assert_eq!(alone.keys().collect::<Vec<_>>(), parts.keys().collect::<Vec<_>>());
    for (name, bytes) in &alone {
        assert!(bytes == &parts[name], "{name} differs");
    }
    let locks = files_below(&it.dir().join("parts/cache/locks"));
    assert!(locks.is_empty(), "{locks:?}");
}

#[test]
fn stages_that_fit_nothing_are_done_by_the_tasks_to_the_tokens() {
    let it = Synthetic::new(3, Stored::Mixed, ENCODE);
    it.edit_pipeline("formula: robust_paper", "formula: per_recording");
    it.run(&["outputs=alone"]).exits_with(0);
    submit(&it, "parts", &[]).exits_with(0);
    let list = work_list(&it, "parts", 1);
    for number in 1..=3 {
        let ran = task(&it, "parts", &list, number).exits_with(0);
        says(&ran.stderr, &["`embed` and what follows is left"]);
    }
    let tokens = files_below(&it.dir().join("parts/cache/encode"));
    it.run(&["outputs=parts"]).exits_with(0);
    let now = files_below(&it.dir().join("parts/cache/encode/scans"));
    assert_eq!((tokens.len(), now.len()), (3, 3), "{tokens:?}");
    let [alone, parts] =
        ["alone", "parts"].map(|name| published(&it.dir().join(name).join(ENCODE)));
    assert!(alone == parts);
}

#[test]
fn a_work_list_that_does_not_fit_is_refused_in_a_sentence() {
    let it = Synthetic::new(3, Stored::Mixed, ENCODE);
    submit(&it, "runs", &[]).exits_with(0);
    let list = work_list(&it, "runs", 1);
    let refused = |ran: Ran, expected: &str| {
        let said = ran.exits_with(2).one_error();
        assert!(said.contains("work_list.tsv: ") && said.contains(expected), "{said}");
    };
    refused(task(&it, "runs", &list, 4), "there is no task 4, expected one of 1 to 3");
    refused(task(&it, "runs", &list, 0), "there is no task 0");
    it.edit_pipeline("seed: 1", "seed: 2");
    refused(task(&it, "runs", &list, 1), "it was written for another plan");
    it.edit_pipeline("seed: 2", "seed: 1");
    let text = fs::read_to_string(&list).unwrap();
    let edited = |from: &str, to: &str, expected: &str| {
        assert!(text.contains(from), "{text}");
        fs::write(&list, text.replacen(from, to, 1)).unwrap();
        refused(task(&it, "runs", &list, 1), expected);
    };
    let second = "\tsub-02_task-rest";
    edited(second, "\tsub-99_task-rest", "lists a recording that the plan does not have");
    edited(second, "\tsub-01_task-rest", "line 3 lists a recording again");
    edited("task\t", "job\t", "its first line is");
    edited("2\t02\t", "two\t02\t", "line 3: task is \"two\", expected 1 or more");
    fs::write(&list, text.lines().next().unwrap()).unwrap();
    refused(task(&it, "runs", &list, 1), "it lists no recording");
    let it = Synthetic::new(3, Stored::Mixed, "swap-encoders");
    let pipeline = it.pipeline().display().to_string();
    let alone = run(&["run", &pipeline, "--task", "1"]).exits_with(2);
    says(&alone.stderr, &["--work-list"]);
    let said = run(&["submit", "slurm", "pipelines/quickstart-short.yaml", "--print"]);
    says(&said.exits_with(2).one_error(), &["stage mask must see every recording"]);
}

#[test]
fn only_what_failed_for_a_passing_reason_or_never_ran_is_submitted_again() {
    let it = Synthetic::new(4, Stored::Mixed, ENCODE);
    submit(&it, "runs", &[]).exits_with(0);
    let list = work_list(&it, "runs", 1);
    // the first has no memory, the second is damaged, the third is well, and nobody does the fourth
    task(&it, "runs", &list, 3).exits_with(0);
    let whole = fs::read(it.scan(1)).unwrap();
    fs::write(it.scan(1), &whole[..whole.len() / 2]).unwrap();
    task(&it, "runs", &list, 2).exits_with(1);
    let (pipeline, path) = (it.pipeline().display().to_string(), list.display().to_string());
    let first = ["run", &pipeline, "--set", "outputs=runs", "--work-list", &path, "--task", "1"];
    run(&first.iter().chain(&["--mem-mb", "1"]).copied().collect::<Vec<_>>()).exits_with(1);
    submit(&it, "runs", &["--retry-failed"]).exits_with(0);
    let rows = fs::read_to_string(work_list(&it, "runs", 2)).unwrap();
    let subjects: Vec<&str> =
        rows.lines().skip(1).map(|row| row.split('\t').nth(1).unwrap()).collect();
    assert_eq!(subjects, ["01", "04"], "{rows}");
}

/// Commands of Slurm that only write down how they were called.
fn pretended_slurm(folder: &Path) -> String {
    fs::create_dir_all(folder).unwrap();
    let log = folder.join("log").display().to_string();
    let sbatch = format!("#!/bin/sh\necho sbatch \"$@\" >> {log}\ngrep -c sbatch {log}\n");
    let scontrol = "#!/bin/sh\necho 'MaxArraySize            = 10'\n".to_owned();
    for (name, text) in
        [("sbatch", sbatch), ("scontrol", scontrol), ("squeue", "#!/bin/sh\n".to_owned())]
    {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default())
}

/// Every command of the guide, in its order, over outputs of its own.
#[test]
fn the_commands_of_the_guide_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = pretended_slurm(&dir.path().join("bin"));
    let outputs = dir.path().join("runs").display().to_string();
    let page = fs::read_to_string(root().join("docs/clusters.md")).unwrap();
    let commands: Vec<&str> =
        page.lines().filter(|line| line.starts_with("neuroflamingo ")).collect();
    assert!(commands.len() >= 5, "{commands:?}");
    let mut said = String::new();
    for line in commands {
        let line = line.replace(" runs/", &format!(" {outputs}/"));
        let words = line.split(' ').skip(1).map(str::to_owned);
        let set = ["--set".to_owned(), format!("outputs={outputs}")];
        let ran = Command::new(program())
            .args(words.chain(set))
            .current_dir(root())
            .env("PATH", &path)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{line}\n{stderr}");
        said += &String::from_utf8_lossy(&ran.stdout);
    }
    says(
        &said,
        &[
            "#SBATCH --time=01:00:00",
            "#SBATCH --cpus-per-task=2",
            "#SBATCH --signal=B:USR1@180",
            "#SBATCH --requeue",
            "#SBATCH --open-mode=append",
            "--array=0-9%50",
            "--array=0-3%50",
            "\narray 1 2 3\ngather 4\n",
        ],
    );
    let log = fs::read_to_string(dir.path().join("bin/log")).unwrap();
    let first: Vec<&str> = log.lines().take(4).collect();
    let script = |n: usize, name: &str| format!("{outputs}/{ENCODE}/slurm/{n}/{name}.sbatch");
    assert_eq!(
        first,
        [
            format!("sbatch --parsable --array=0-9%50 {} 1", script(2, "task")),
            format!(
                "sbatch --parsable --array=0-9%50 --dependency=afterany:1 {} 11",
                script(2, "task")
            ),
            format!(
                "sbatch --parsable --array=0-3%50 --dependency=afterany:2 {} 21",
                script(2, "task")
            ),
            format!("sbatch --parsable --dependency=afterany:1:2:3 {}", script(2, "gather")),
        ]
    );
}

#[test]
fn the_committed_schema_of_a_site_is_the_one_the_program_prints() {
    let path = root().join("schema/site.schema.json");
    let printed = run(&["schema", "--site"]).exits_with(0).stdout;
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        printed == committed,
        "write it anew: neuroflamingo schema --site > {}",
        path.display()
    );
    run(&["submit", "slurm", "pipelines/encode-cohort.yaml", "--site", "Cargo.toml", "--print"])
        .exits_with(2)
        .one_error();
}
