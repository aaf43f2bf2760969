//! Language models as a pipeline names them, files of which only a pointer is there, and adapters.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::{Foreign, Ran, root, run, says};

const SHORT: &str = "pipelines/quickstart-short.yaml";
const LFS: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 17210019\n";
const ANNEX: &str = "/annex/objects/SHA256E-s17210019--ab.json\n";

fn check(lm: &str) -> Ran {
    run(&["check", "pipelines/quickstart.yaml", "--json", "--set", &format!("model.lm={lm}")])
}

/// A copy of the tiny language model.
fn tiny_lm(folder: &Path) {
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(root().join("fixtures/tiny-lm").join(name), folder.join(name)).unwrap();
    }
}

#[test]
fn a_pipeline_takes_its_language_model_from_a_gguf_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    xtask::gguf::write(&root().join("fixtures/tiny-lm"), &path).unwrap();
    let lm = format!("model.lm={{gguf: {}}}", path.display());
    let outputs = format!("outputs={}", folder.path().display());
    let sets = [
        &*lm,
        &*outputs,
        "stages.finetune.steps=4",
        "stages.finetune.batch_size=4",
        "stages.finetune.auxiliary=null",
        "stages.finetune.validate_every=2",
        "stages.finetune.checkpoint_every=2",
        "stages.generate.max_new_tokens=8",
    ];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    run(&[&["run", SHORT], &sets[..]].concat()).exits_with(0);
    let dir = folder.path().join("quickstart-short");
    let record: Value =
        serde_json::from_str(&fs::read_to_string(dir.join("record.json")).unwrap()).unwrap();
    let digests = record["language_model"]["sha256"].as_object().unwrap();
    assert_eq!(digests.keys().collect::<Vec<_>>(), ["tiny.gguf"]);

    // the package holds the file, and is used without the one that it was made of
    fs::remove_file(&path).unwrap();
    let model = dir.join("model").display().to_string();
    assert!(dir.join("model/lm/tiny.gguf").is_file());
    run(&["model", "verify", &model]).exits_with(0);
    let scan = "fixtures/haxby2001/run011/bold_1slice.nii.gz";
    let args = ["generate", "--model", &model, "--scan", scan, "--window", "1", "--json"];
    let written = run(&[&args[..], &["--max-new-tokens", "8"]].concat()).exits_with(0);
    assert!(serde_json::from_str::<Value>(&written.stdout).is_ok());
}

#[test]
fn check_refuses_a_language_model_that_run_could_not_use() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    tiny_lm(dir);
    let hf = format!("{{hf: {}}}", dir.display());
    check(&hf).exits_with(0);
    let config = fs::read_to_string(dir.join("config.json")).unwrap();
    let wider = config.replace("\"intermediate_size\": 320", "\"intermediate_size\": 321");
    assert_ne!(wider, config);
    fs::write(dir.join("config.json"), wider).unwrap();
    let ran = check(&hf).exits_with(2);
    says(&ran.stderr, &["tensors are of another shape", "config.json says what is expected"]);
    assert!(!ran.stderr.contains("checkpoint"), "{ran}");
    fs::write(dir.join("config.json"), &config).unwrap();
    for (pointer, command) in [(LFS, "git lfs pull"), (ANNEX, "git annex get")] {
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            fs::write(dir.join(name), pointer).unwrap();
            says(&check(&hf).exits_with(2).stderr, &[name, command]);
            tiny_lm(dir);
        }
    }
    fs::remove_file(dir.join("tokenizer.json")).unwrap();
    fs::write(dir.join("tokenizer.model"), "x").unwrap();
    says(&check(&hf).exits_with(2).stderr, &["tokenizer.model, a SentencePiece model"]);
    let gguf = format!("{{gguf: {}}}", dir.join("none.gguf").display());
    says(&check(&gguf).exits_with(2).stderr, &["none.gguf", "is not there"]);
}

#[test]
fn pointers_are_named_in_an_import_and_in_place_of_a_picture() {
    let foreign = Foreign::new();
    for name in ["checkpoint.safetensors", "clip.safetensors", "lm/tokenizer.json"] {
        let path = foreign.dir().join(name);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, LFS).unwrap();
        let said = foreign.import(&[]).exits_with(2).one_error();
        says(&said, &[name.rsplit('/').next().unwrap(), "is a Git LFS pointer", "git lfs pull"]);
        fs::write(&path, bytes).unwrap();
    }
    let photo = foreign.dir().join("photo.png");
    fs::write(&photo, ANNEX).unwrap();
    let photo = photo.display().to_string();
    let said = run(&["generate", "--model", "fixtures/tiny-captioner", "--image", &photo]);
    says(&said.exits_with(2).stderr, &["photo.png: is a git-annex pointer", "git annex get"]);
}

#[test]
fn an_adapter_is_merged_into_its_base_and_one_that_does_not_fit_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (case, to) = (root().join("fixtures/parity/lora/llama"), folder.path().join("merged"));
    let merge = |adapter: &str, base: &str, to: &Path| {
        let path = |name: &str| case.join(name).display().to_string();
        let (base, adapter, to) = (path(base), path(adapter), to.display().to_string());
        run(&["lora", "merge", "--base", &base, "--adapter", &adapter, "--to", &to, "--json"])
    };
    let base = folder.path().join("base");
    fs::create_dir(&base).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(case.join(name), base.join(name)).unwrap();
    }
    let base = base.display().to_string();
    let merged = merge("patterns", &base, &to).exits_with(0);
    let merged: Value = serde_json::from_str(&merged.stdout).unwrap();
    assert_eq!((&merged["tensors"], merged["changed"].as_array().unwrap().len()), (&21.into(), 14));
    assert!(to.join("config.json").is_file() && to.join("model.safetensors").is_file());
    says(&merge("patterns", &base, &to).exits_with(2).stderr, &["merged: is there already"]);
    let none = folder.path().join("none");
    let other = root().join("fixtures/tiny-lm").display().to_string();
    let ran = merge("plain", &other, &none).exits_with(2);
    says(&ran.stderr, &["adapter_model.safetensors", "q_proj"]);
    assert!(!none.exists());
    let model = "fixtures/tiny-captioner";
    let to = none.display().to_string();
    let ran = run(&["lora", "export", "--model", model, "--to", &to]).exits_with(2);
    says(
        &ran.stderr,
        &["tiny-captioner", "were not trained with `lora`, so there is no adapter to write"],
    );
}
