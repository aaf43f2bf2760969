//! Foreign files and requests with one thing wrong: one sentence that names the file, exit code 2,
//! and no part of a package left behind.

use std::fs;

use tests::{Foreign, Ran, gguf, root, run, says, stored_zip};

const MODEL: &str = "fixtures/tiny-captioner";
const PHOTO: &str = "fixtures/clip_images/photo_420.jpg";

/// What an import says that refuses these files.
fn refused(foreign: &Foreign, args: &[&str]) -> String {
    let ran = foreign.import(args).exits_with(2);
    assert_eq!(ran.stdout, "", "{ran}");
    assert!(!foreign.package().exists(), "no package is left: {ran}");
    let left = fs::read_dir(foreign.dir()).unwrap().flatten();
    assert!(left.into_iter().all(|it| !it.file_name().to_string_lossy().starts_with('.')), "{ran}");
    ran.one_error()
}

#[test]
fn a_checkpoint_of_another_language_model_is_refused() {
    let foreign = Foreign::new();
    let other = root().join("fixtures/tiny-lm").display().to_string();
    let said = refused(&foreign, &["--lm", &other]);
    says(&said, &["checkpoint.safetensors", "another language model", "tiny-lm"]);
}

#[test]
fn tensors_that_are_missing_unexpected_or_misshapen_are_all_told() {
    let foreign = Foreign::new();
    foreign.edit_checkpoint(|header| {
        let latents = header.remove("perceiver.norm.weight").unwrap();
        header.insert("perceiver.norm.wait".into(), latents);
        let q = &mut header["perceiver.layers.1.0.to_q.weight"]["shape"];
        q.as_array_mut().unwrap().reverse();
    });
    let said = refused(&foreign, &[]);
    says(&said, &["checkpoint.safetensors", "1 tensor is missing: `perceiver.norm.weight`"]);
    says(&said, &["1 tensor is unexpected: `perceiver.norm.wait`", "of another shape"]);
}

#[test]
fn a_tensor_that_is_no_number_is_named() {
    let foreign = Foreign::new();
    foreign.poison("checkpoint.safetensors", "perceiver.latents");
    let said = refused(&foreign, &[]);
    says(&said, &["checkpoint.safetensors", "perceiver.latents", "not finite"]);
    let foreign = Foreign::new();
    foreign.poison("clip.safetensors", "visual.proj");
    says(&refused(&foreign, &[]), &["clip.safetensors", "proj", "not finite"]);
}

/// Changes what the header of the language model's weights says.
fn edit_lm(foreign: &Foreign, edit: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>)) {
    let path = foreign.dir().join("lm/model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let data = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Map<_, _> = serde_json::from_slice(&bytes[8..data]).unwrap();
    edit(&mut header);
    let header = serde_json::Value::Object(header).to_string();
    let length = (header.len() as u64).to_le_bytes();
    fs::write(path, [&length[..], header.as_bytes(), &bytes[data..]].concat()).unwrap();
}

#[test]
fn tensors_of_the_language_model_that_do_not_fit_are_all_told() {
    let foreign = Foreign::new();
    edit_lm(&foreign, |header| {
        let norm = header.remove("model.norm.weight").unwrap();
        header.insert("model.norm.wait".into(), norm);
        let up = &mut header["model.layers.0.mlp.up_proj.weight"]["shape"];
        up.as_array_mut().unwrap().reverse();
    });
    let said = refused(&foreign, &[]);
    says(&said, &["/lm: 1 tensor is missing: `model.norm.weight`"]);
    says(&said, &["1 tensor is unexpected: `model.norm.wait`"]);
    says(&said, &["of another shape", "`model.layers.0.mlp.up_proj.weight` is [32, 48]"]);
}

#[test]
fn a_tensor_of_the_language_model_that_is_no_number_is_named() {
    // the checkpoint has a copy of the embedding
    for name in ["model.norm.weight", "model.embed_tokens.weight"] {
        let foreign = Foreign::new();
        foreign.poison("lm/model.safetensors", name);
        says(&refused(&foreign, &[]), &["/lm: tensor", name, "not finite"]);
    }
}

#[test]
fn pytorch_files_that_are_cut_lead_out_or_call_are_refused() {
    let foreign = Foreign::new();
    let put = |bytes: &[u8]| fs::write(foreign.dir().join("c.pt"), bytes).unwrap();
    let path = foreign.dir().join("c.pt").display().to_string();
    let args = ["--checkpoint", path.as_str()];
    let whole = fs::read(root().join("fixtures/formats/state_dict.pt")).unwrap();
    put(&whole[..whole.len() - 40]);
    says(&refused(&foreign, &args), &["c.pt", "truncated"]);
    put(&stored_zip(&[("archive/../../evil", b"x"), ("archive/data.pkl", b"x")]));
    says(&refused(&foreign, &args), &["c.pt", "evil"]);
    put(&fs::read(root().join("fixtures/formats/malicious.pt")).unwrap());
    says(&refused(&foreign, &args), &["c.pt", "system"]);
    // a file without any part of a Flamingo
    put(&whole);
    says(&refused(&foreign, &args), &["c.pt", "expected a Flamingo checkpoint"]);
}

#[test]
fn a_safetensors_header_that_lies_is_refused() {
    let foreign = Foreign::new();
    foreign.edit_checkpoint(|header| {
        header["perceiver.latents"]["data_offsets"] = serde_json::json!([0, 1u64 << 40]);
    });
    says(&refused(&foreign, &[]), &["checkpoint.safetensors", "perceiver.latents"]);
    let path = foreign.dir().join("checkpoint.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    bytes[..8].copy_from_slice(&(1u64 << 40).to_le_bytes());
    fs::write(&path, bytes).unwrap();
    says(&refused(&foreign, &[]), &["checkpoint.safetensors"]);
}

#[test]
fn a_gguf_of_an_unknown_architecture_or_quantisation_is_refused() {
    let foreign = Foreign::new();
    let path = foreign.dir().join("lm.gguf");
    let lm = path.display().to_string();
    fs::write(&path, gguf("mamba", 0)).unwrap();
    says(&refused(&foreign, &["--lm", &lm]), &["lm.gguf", "mamba"]);
    fs::write(&path, gguf("llama", 250)).unwrap();
    says(&refused(&foreign, &["--lm", &lm]), &["lm.gguf", "250"]);
}

#[test]
fn a_tokenizer_with_more_tokens_than_the_embedding_has_rows_is_refused() {
    let foreign = Foreign::new();
    let path = foreign.dir().join("lm/tokenizer.json");
    let text = fs::read_to_string(&path).unwrap();
    let mut tokenizer: serde_json::Value = serde_json::from_str(&text).unwrap();
    let added = tokenizer["added_tokens"].as_array_mut().unwrap();
    let mut more = added[0].clone();
    more["id"] = 512.into();
    more["content"] = "<extra>".into();
    added.push(more);
    fs::write(&path, tokenizer.to_string()).unwrap();
    says(&refused(&foreign, &[]), &["lm/config.json", "512", "513 tokens"]);
}

#[test]
fn heads_that_do_not_divide_are_refused_with_the_option_that_says_them() {
    let foreign = Foreign::new();
    says(&refused(&foreign, &["--head-dim", "7"]), &["checkpoint.safetensors", "--head-dim"]);
    says(&refused(&foreign, &["--clip-head-dim", "5"]), &["clip.safetensors", "--clip-head-dim"]);
}

/// What a `generate` says that cannot start.
fn unwritten(args: &[&str]) -> Ran {
    let ran = run(&[&["generate", "--model", MODEL], args].concat()).exits_with(2);
    assert_eq!(ran.stdout, "", "{ran}");
    ran
}

#[test]
fn images_and_pictures_that_do_not_count_each_other_are_refused() {
    for (args, said) in [
        (&["--image", PHOTO, "--prompt", "<image><image>"] as &[&str], "2 `<image>` for 1"),
        (&["--image", PHOTO, "--image", PHOTO, "--prompt", "<image>"], "1 `<image>` for 2"),
        (&["--prompt", "<image>Output:"], "1 `<image>` for 0"),
    ] {
        says(&unwritten(args).stderr, &[said]);
    }
}

#[test]
fn a_prompt_longer_than_the_context_is_refused_with_a_cure() {
    let long = "word ".repeat(300);
    let said = unwritten(&["--prompt", &long]).stderr;
    says(&said, &["at most 256", "hint: shorten the prompt"]);
    let said = unwritten(&["--prompt", "a", "--max-new-tokens", "300"]).stderr;
    says(&said, &["at most 256", "fewer new tokens"]);
}

#[test]
fn pictures_that_are_corrupt_empty_or_of_no_size_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.png");
    let name = path.display().to_string();
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        unwritten(&["--image", &name]).stderr
    };
    let png = fs::read(root().join("fixtures/clip_images/tiny.png")).unwrap();
    says(&refused(&png[..png.len() / 2]), &["p.png"]);
    says(&refused(b""), &["p.png", "is empty"]);
    says(&refused(b"not a picture"), &["p.png", "is no image"]);
    let jpeg = fs::read(root().join(PHOTO)).unwrap();
    says(&refused(&jpeg[..jpeg.len() / 2]), &["p.png", "p.png: ends after"]);
    let at = jpeg.windows(2).position(|it| it == [0xff, 0xc0]).expect("a frame header");
    let mut flat = jpeg.clone();
    flat[at + 5..at + 7].fill(0);
    says(&refused(&flat), &["p.png", "0 pixels"]);
    says(&unwritten(&["--image", "nowhere.png"]).stderr, &["nowhere.png"]);
}

#[test]
fn a_scan_model_says_that_it_reads_no_pictures_and_a_picture_model_no_scans() {
    let scan = "fixtures/haxby2001/run001/bold_1slice.nii.gz";
    let said = unwritten(&["--scan", scan, "--window", "1"]).stderr;
    says(&said, &["tiny-captioner: this model reads a picture of 32 × 32 pixels, no scans"]);
}
