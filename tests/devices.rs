//! Where models work: by our kernels, by the operations of a GPU on the CPU, and by a program that has CUDA.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use serde_json::Value;
use tests::{Stored, Synthetic, program, root, run};

const MODEL: &str = "fixtures/tiny-captioner";
const PHOTO: &str = "fixtures/clip_images/photo_420.jpg";

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&run(args).exits_with(0).stdout).expect("a record")
}

#[test]
fn composed_operations_write_the_same_text_and_score_alike() {
    let asked = ["--model", MODEL, "--image", PHOTO];
    let on = |command: &[&str], device: &str| {
        json(&[command, &asked, &["--json", "--device", device]].concat())
    };
    let write = ["generate", "--max-new-tokens", "8"];
    assert_eq!(on(&write, "cpu")["text"], on(&write, "cpu-composed")["text"]);
    let score = ["score", "--continuation", "a chair", "--continuation", "a house and a tree"];
    let (ours, theirs) = (on(&score, "cpu"), on(&score, "cpu-composed"));
    for (a, b) in [0, 1].map(|at| (&ours["continuations"][at], &theirs["continuations"][at])) {
        let (a, b) = (a["mean"].as_f64().expect("a number"), b["mean"].as_f64().expect("one"));
        assert!((a - b).abs() < 1e-3 * a.abs(), "{a} {b}");
    }
    let error = run(&[&write[..], &asked, &["--device", "gpu"]].concat()).exits_with(2).stderr;
    assert!(error.contains("expected cpu, cpu-composed, cuda or cuda:NUMBER"), "{error}");
}

/// This program in a folder of its own, beside what stands in for the one that has CUDA.
fn alone(folder: &Path, stand_in: Option<&str>) -> Command {
    let copy = folder.join("neuroflamingo");
    fs::hard_link(program(), &copy).or_else(|_| fs::copy(program(), &copy).map(drop)).unwrap();
    if let Some(script) = stand_in {
        let path = folder.join("neuroflamingo-cuda");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(copy);
    command.current_dir(root()).env("LD_LIBRARY_PATH", folder);
    command
}

#[test]
fn a_gpu_is_used_by_the_program_beside_this_one_with_the_same_words_and_exit_code() {
    let beside = program().parent().expect("a folder");
    let folder = tempfile::tempdir_in(beside).unwrap();
    fs::write(folder.path().join("libcuda.so.1"), b"").unwrap();
    let script = "#!/bin/sh\nfor word in \"$@\"; do echo \"<$word>\"; done\nexit 7\n";
    let pipeline = folder.path().join("on_gpu.yaml");
    let quickstart = fs::read_to_string(root().join("pipelines/quickstart-short.yaml")).unwrap();
    let here = root().join("pipelines").display().to_string();
    fs::write(
        &pipeline,
        format!("{}\ndevice: cuda:1\n", quickstart.replace("../", &format!("{here}/../"))),
    )
    .unwrap();
    let pipeline = pipeline.display().to_string();
    for words in [
        &["generate", "--model", MODEL, "--prompt", "a b", "--device", "cuda:1"][..],
        &["score", "--model", MODEL, "--prompt", "a", "--continuation", "b", "--device", "cuda"],
        &["bench", "--device", "cuda"],
        &["run", "pipelines/quickstart-short.yaml", "--device", "cuda"],
        &["run", &pipeline],
        &["encoder", "check", "pipelines/quickstart-short.yaml", "--device", "cuda"],
    ] {
        let ran = alone(folder.path(), Some(script)).args(words).output().unwrap();
        fs::remove_file(folder.path().join("neuroflamingo")).unwrap();
        let said = String::from_utf8(ran.stdout).unwrap();
        let expected = format!("<{}>\n", words.join(">\n<"));
        assert_eq!((said, ran.status.code()), (expected, Some(7)), "{words:?}");
    }
}

#[test]
fn a_bids_app_whose_pipeline_names_a_gpu_is_run_by_the_program_beside_this_one() {
    let it = Synthetic::new(1, Stored::Mixed, "encode-cohort");
    it.write_pipeline(
        "name: series
seed: 1
device: cuda
cohort:
  bids: { dir: elsewhere, entities: { task: [rest] } }
stages:
  - parcellate:
      atlas: { id: A424, labels: atlas/synthetic424.nii.gz, coordinates: atlas/synthetic424_coordinates.tsv }
outputs: runs
",
    );
    let folder = tempfile::tempdir_in(program().parent().expect("a folder")).unwrap();
    fs::write(folder.path().join("libcuda.so.1"), b"").unwrap();
    let [bids, out] = ["bids", "out"].map(|name| it.dir().join(name).display().to_string());
    let config = it.pipeline().display().to_string();
    let script = "#!/bin/sh\necho \"$3 of the other\"\nexit 7\n";
    let mut ran = alone(folder.path(), Some(script));
    let ran = ran.args([&bids, &out, "group", "--config", &config]).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert_eq!((&*said, ran.status.code()), ("group of the other\n", Some(7)));
    assert!(!Path::new(&out).exists());
}

#[test]
fn a_missing_driver_or_program_is_one_sentence() {
    let beside = program().parent().expect("a folder");
    let folder = tempfile::tempdir_in(beside).unwrap();
    let words = ["generate", "--model", MODEL, "--prompt", "a", "--device", "cuda"];
    let error = |is_there: bool| {
        if is_there {
            fs::write(folder.path().join("libcuda.so.1"), b"").unwrap();
        }
        let ran = alone(folder.path(), None).args(words).output().unwrap();
        fs::remove_file(folder.path().join("neuroflamingo")).unwrap();
        assert_eq!((ran.status.code(), ran.stdout.len()), (Some(2), 0));
        String::from_utf8(ran.stderr).unwrap()
    };
    let without = error(false);
    // a machine with a card has a driver
    let driver = without.contains("device cuda: found no libcuda.so.1, expected NVIDIA's driver");
    assert!(driver || without.contains("found no neuroflamingo-cuda"), "{without}");
    let without = error(true);
    assert!(without.contains("found no neuroflamingo-cuda beside this program"), "{without}");
}
