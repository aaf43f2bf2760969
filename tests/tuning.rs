//! Encoders with weights of their own, fine-tuned with the adapter, with the real program.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tests::{Elsewhere, Ran, Stored, Synthetic, files_below, run, run_until, says};

const SWAP: &str = "swap-encoders";

/// A tiny BrainLM of regions × time, with `weights` and what moves of them.
fn brainlm(weights: &Value, trainable: &Value) -> Value {
    json!({ "brainlm": {
        "network": { "region_time": {
            "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 32, "decoder_num_hidden_layers": 1,
            "decoder_num_attention_heads": 2, "decoder_intermediate_size": 32,
            "num_brain_voxels": 424, "num_timepoints_per_voxel": 40,
            "timepoint_patching_size": 20, "mask_ratio": 0.2
        } },
        "weights": weights, "tokens": "parcel_mean", "trainable": trainable
    } })
}

/// A tiny BrainMT of one cell, its sizes read from the file where they are not needed to write it.
fn brainmt(weights: &Value, size: Option<Value>, trainable: &Value) -> Value {
    let mut brainmt = json!({ "weights": weights, "tokens": "data_only", "trainable": trainable });
    if let Some(size) = size {
        brainmt["size"] = size;
    }
    json!({ "brainmt": brainmt })
}

const BRAINLM: &str = "brainlm.safetensors";
const BRAINMT: &str = "brainmt.safetensors";

/// The cohort, with weight files beside its pipeline.
fn cohort(n: usize) -> Synthetic {
    let cohort = Synthetic::new(n, Stored::Mixed, SWAP);
    let (drawn, none) = (json!({ "seed": 0 }), json!("none"));
    let window = json!({ "window": { "n_frames": 20, "n_voxels": 424 } });
    let path = cohort.dir().join(BRAINLM);
    xtask::published::write(&path, &brainlm(&drawn, &none), &window, 7).unwrap();
    let volume = json!({ "volume": { "n_frames": 20, "grid": [14, 16, 13] } });
    let size = json!({ "embed_dim": 16, "depth": [1, 1], "n_frames": 20, "n_cells": 1,
        "n_outputs": 1 });
    let encoder = brainmt(&drawn, Some(size), &none);
    xtask::published::write(&cohort.dir().join(BRAINMT), &encoder, &volume, 7).unwrap();
    cohort
}

fn file(name: &str) -> Value {
    json!({ "file": name })
}

/// What is told beside the encoder: a short training.
const SHORT: [&str; 4] = [
    "stages.finetune.steps=6",
    "stages.finetune.batch_size=2",
    "stages.finetune.validate_every=2",
    "stages.finetune.checkpoint_every=1",
];

fn sets(encoder: &Value) -> Vec<String> {
    let encoder = format!("model.encoder={encoder}");
    [encoder].into_iter().chain(SHORT.map(str::to_owned)).collect()
}

fn run_with(cohort: &Synthetic, encoder: &Value) -> Ran {
    let sets = sets(encoder);
    cohort.run(&sets.iter().map(String::as_str).collect::<Vec<_>>())
}

fn check_with(cohort: &Synthetic, encoder: &Value) -> Ran {
    let (pipeline, sets) = (cohort.pipeline().display().to_string(), sets(encoder));
    let sets = sets.iter().flat_map(|set| ["--set", set.as_str()]);
    run(&["check", &pipeline].into_iter().chain(sets).collect::<Vec<_>>())
}

fn texts(dir: &Path) -> Vec<String> {
    let files = files_below(dir).into_iter();
    let reports = files.filter(|path| path.to_string_lossy().ends_with("report.json"));
    reports.map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// The corrections as a folder of PEFT, and the encoder of the published file that they give.
fn an_adapter_is_written_and_merged(cohort: &Synthetic, model: &str) {
    let path = |name: &str| cohort.dir().join(name).display().to_string();
    let (adapter, merged) = (path("adapter"), path("merged.safetensors"));
    run(&["lora", "export", "--model", model, "--to", &adapter]).exits_with(0);
    let config = fs::read_to_string(cohort.dir().join("adapter/adapter_config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!((&config["peft_type"], &config["r"]), (&json!("LORA"), &json!(2)));
    assert_eq!(config["lora_alpha"], json!(4));
    let n_modules = config["target_modules"].as_array().unwrap().len();
    let base = path(BRAINLM);
    let args = ["lora", "merge", "--base", &base, "--adapter", &adapter, "--to", &merged, "--json"];
    let found: Value = serde_json::from_str(&run(&args).exits_with(0).stdout).unwrap();
    assert_eq!(found["changed"].as_array().unwrap().len(), n_modules);
    check_with(cohort, &brainlm(&file("merged.safetensors"), &json!("none"))).exits_with(0);
    for name in ["adapter/adapter_config.json", "adapter/adapter_model.safetensors"] {
        fs::remove_file(cohort.dir().join(name)).unwrap();
    }
    fs::remove_dir(cohort.dir().join("adapter")).unwrap();
    fs::remove_file(cohort.dir().join("merged.safetensors")).unwrap();
}

#[test]
fn published_encoders_are_tuned_and_packages_hold_what_moved() {
    let cohort = cohort(24);
    let lora = json!({ "lora": { "rank": 2, "alpha": 4.0 } });
    let last = json!({ "last_n_blocks": 1 });
    let bound = "CC BY-NC-ND 4.0 forbids to hand on changed weights";
    let modes = [
        (brainlm(&file(BRAINLM), &lora), "LoRA of rank 2", BRAINLM, false),
        (brainlm(&file(BRAINLM), &last), "the last 1 block", BRAINLM, true),
        (brainmt(&file(BRAINMT), None, &json!("all")), "all that are learned", BRAINMT, false),
    ];
    for (encoder, words, weights, is_bound) in modes {
        let plan = check_with(&cohort, &encoder).exits_with(0).stdout;
        assert!(plan.contains(words) && plan.contains("tokens are not kept"), "{plan}");
        assert_eq!(plan.contains(bound), is_bound, "{plan}");
        let ran = run_with(&cohort, &encoder).exits_with(0);
        let dir = cohort.dir().join("runs").join(SWAP);
        assert_eq!(texts(&dir).len(), 4, "{ran}");
        let model = dir.join("model");
        let whole = fs::metadata(cohort.dir().join(weights)).unwrap().len();
        let held = fs::metadata(model.join("encoder.safetensors")).unwrap().len();
        assert!(held < whole, "{held} of {whole} bytes");
        let manifest = fs::read_to_string(model.join("model.yaml")).unwrap();
        assert!(manifest.contains("encoder_base") && manifest.contains(weights), "{manifest}");
        let place = cohort.dir().display().to_string();
        for path in files_below(&model).iter().filter(|it| !it.to_string_lossy().contains("/lm/")) {
            let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
            assert!(!text.contains(&place), "{} says where it was made", path.display());
        }
        // carried away with the published file, the package writes the same
        let elsewhere = Elsewhere::new(&cohort, SWAP);
        let scan = elsewhere.scan(elsewhere.first());
        let published = elsewhere.package().join(weights);
        fs::copy(cohort.dir().join(weights), &published).unwrap();
        elsewhere.writes_the_same(1, &[]);
        fs::write(&published, "another file").unwrap();
        says(&elsewhere.refuses(&scan, &[]), &[weights, "but the package was made with"]);
        drop(elsewhere);
        let model = model.display().to_string();
        if words.starts_with("LoRA") {
            an_adapter_is_written_and_merged(&cohort, &model);
        }
        run(&["model", "verify", &model]).exits_with(0);
        let inspected = run(&["model", "inspect", &model]).exits_with(0);
        assert!(inspected.stdout.contains("encoder_base"), "{inspected}");
        let again = run_with(&cohort, &encoder).exits_with(0);
        assert!(again.stderr.contains("finetune: stored result taken"), "{again}");
    }
    // the scans were cut once for both ways to tune BrainLM, and once for BrainMT
    let windows = cohort.dir().join("runs/cache/encode/scans");
    assert_eq!(files_below(&windows).len(), 48);
    // another file of the same name is another training
    let window = json!({ "window": { "n_frames": 20, "n_voxels": 424 } });
    let drawn = brainlm(&json!({ "seed": 0 }), &json!("none"));
    xtask::published::write(&cohort.dir().join(BRAINLM), &drawn, &window, 8).unwrap();
    let other = run_with(&cohort, &brainlm(&file(BRAINLM), &lora)).exits_with(0);
    assert!(other.stderr.contains("finetune: done in"), "{other}");
}

#[test]
fn corrections_of_language_model_and_encoder_are_trained_kept_and_exported() {
    let cohort = cohort(24);
    let encoder = brainlm(&file(BRAINLM), &json!("none"));
    let lora = "stages.finetune.lora={ lm: { rank: 2, alpha: 4, target_modules: [q_proj, v_proj] }, \
                encoder: { rank: 2, alpha: 4, use_rslora: true, target_modules: [query] } }";
    let mut sets = sets(&encoder);
    sets.push(lora.to_owned());
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    let pipeline = cohort.pipeline().display().to_string();
    let flags = sets.iter().flat_map(|set| ["--set", set]);
    let plan = run(&["check", &pipeline].into_iter().chain(flags).collect::<Vec<_>>());
    let plan = plan.exits_with(0).stdout;
    // by hand: two queries of the encoder, 16 to 16, two factors of rank 2
    says(
        &plan,
        &["trains ", "LoRA of the language model ", "encoder 128\n", "frozen ", "LoRA of rank 2"],
    );
    let ran = cohort.run(&sets).exits_with(0);
    let dir = cohort.dir().join("runs").join(SWAP);
    assert_eq!(texts(&dir).len(), 4, "{ran}");
    let model = dir.join("model").display().to_string();
    run(&["model", "verify", &model]).exits_with(0);
    let inspected = run(&["model", "inspect", &model]).exits_with(0).stdout;
    let of_lm = "lm: rank 2, alpha 4, beside q_proj, v_proj";
    let of_encoder = "encoder: rank 2, alpha 4, rank-stabilised, beside query";
    says(&inspected, &["language model's LoRA ", of_lm, of_encoder, "q_proj.lora_A.weight"]);
    let again = cohort.run(&sets).exits_with(0);
    assert!(again.stderr.contains("finetune: stored result taken"), "{again}");

    let path = |name: &str| cohort.dir().join(name).display().to_string();
    let both = run(&["lora", "export", "--model", &model, "--to", &path("either")]).exits_with(2);
    says(&both.stderr, &["an adapter each", "--part"]);
    for part in ["lm", "encoder"] {
        let to = path(part);
        run(&["lora", "export", "--model", &model, "--part", part, "--to", &to]).exits_with(0);
    }
    let base = dir.join("model/lm").display().to_string();
    let args =
        ["lora", "merge", "--base", &base, "--adapter", &path("lm"), "--to", &path("merged")];
    run(&args).exits_with(0);
    // carried away with the published file, the package writes the same
    let elsewhere = Elsewhere::new(&cohort, SWAP);
    fs::copy(cohort.dir().join(BRAINLM), elsewhere.package().join(BRAINLM)).unwrap();
    elsewhere.writes_the_same(1, &[]);
}

#[test]
fn a_killed_tuning_goes_on_to_the_same_model_and_texts() {
    let cohort = cohort(24);
    let encoder = brainlm(&file(BRAINLM), &json!({ "lora": { "rank": 2, "alpha": 4.0 } }));
    run_with(&cohort, &encoder).exits_with(0);
    let dir = cohort.dir().join("runs").join(SWAP);
    let left = |dir: &Path| {
        let read = |name: &str| fs::read(dir.join("model").join(name)).unwrap();
        (texts(dir), read("encoder.safetensors"), read("adapter.safetensors"))
    };
    let whole = left(&dir);
    fs::remove_dir_all(&dir).unwrap();
    let cache = cohort.dir().join("runs/cache");
    for stage in ["finetune", "generate"] {
        fs::remove_dir_all(cache.join(stage)).unwrap();
    }

    let (pipeline, sets) = (cohort.pipeline().display().to_string(), sets(&encoder));
    let sets = sets.iter().flat_map(|set| ["--set", set.as_str()]);
    let args: Vec<&str> = ["run", &pipeline].into_iter().chain(sets).collect();
    let killed = run_until(&args, "finetune: step 4, held out", "KILL");
    assert_eq!(killed.code, None, "{killed}");
    let resumed = run_with(&cohort, &encoder).exits_with(0);
    assert!(!resumed.stderr.contains("step 2, held out"), "it began again: {resumed}");
    assert!(whole == left(&dir), "a resumed training is another one");
}

#[test]
fn what_cannot_be_tuned_is_refused_before_work_starts() {
    let cohort = cohort(24);
    let refused = |encoder: &Value| {
        let ran = run_with(&cohort, encoder).exits_with(2);
        assert!(!cohort.dir().join("runs").exists(), "{ran}");
        ran.stderr
    };
    let tuned = |trainable: Value| refused(&brainlm(&file(BRAINLM), &trainable));
    let said = tuned(json!({ "last_n_blocks": 9 }));
    assert!(said.contains("last_n_blocks is 9, expected 1 to 2, its blocks"), "{said}");
    let said = tuned(json!({ "lora": { "rank": 0, "alpha": 4.0 } }));
    assert!(said.contains("lora.rank is 0, expected at least 1"), "{said}");
    let modules = json!({ "lora": { "rank": 1, "alpha": 1.0, "target_modules": ["q_proj"] } });
    let said = tuned(modules);
    assert!(said.contains("names `q_proj`, which is none of its linear layers"), "{said}");
    let said = refused(&json!({ "connectivity": { "trainable": "all" } }));
    assert!(said.contains("so there is nothing to train, expected `none`"), "{said}");
    let said = refused(&json!({ "stored": { "dim": 8, "trainable": { "lora": {} } } }));
    assert!(said.contains("so there is nothing to train, expected `none`"), "{said}");
    check_with(&cohort, &json!({ "connectivity": { "trainable": "none" } })).exits_with(0);
    let with = |lora: &str, encoder: &Value| {
        let lora = format!("stages.finetune.lora={lora}");
        let ran = cohort.run(&[&format!("model.encoder={encoder}"), &lora]).exits_with(2);
        assert!(!cohort.dir().join("runs").exists(), "{ran}");
        ran.stderr
    };
    let tuned = brainlm(&file(BRAINLM), &json!("all"));
    let said = with("{ encoder: { rank: 1, alpha: 1 } }", &tuned);
    assert!(said.contains("both say what is trained of it"), "{said}");
    let said = with("{ lm: { rank: 1, alpha: 1, target_modules: [query] } }", &tuned);
    assert!(said.contains("names `query`, which is none of its linear layers"), "{said}");
    let said = with("{ lm: { rank: 1, alpha: 1, target_modules: 3 } }", &tuned);
    assert!(said.contains("is a list of names, one regular expression, or `all-linear`"), "{said}");
    let said = refused(&brainlm(&file(BRAINMT), &json!("all")));
    assert!(said.contains("BrainLM"), "{said}");
    cohort.edit_pipeline("  - finetune:", "  - embed:");
    let text = fs::read_to_string(cohort.pipeline()).unwrap();
    let (before, _) = text.split_once("  - embed:").unwrap();
    cohort.write_pipeline(&format!("{before}\noutputs: runs\n"));
    let encoder = brainlm(&file(BRAINLM), &json!("all"));
    let ran = cohort.run(&[&format!("model.encoder={encoder}")]).exits_with(2);
    assert!(ran.stderr.contains("there is no stage `finetune`"), "{ran}");
}
