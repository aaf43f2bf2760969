//! Encoders that do not fit their scans or their weights: one sentence, before a scan is opened wherever
//! it can be known before.

use std::{fs, path::Path};

use tests::{Stored, Synthetic, files_below, root, run, says};
use xtask::{
    encoders,
    synthetic::{self, Side},
};

const PIPELINE: &str = "encode-cohort";

fn cohort(n: usize) -> Synthetic {
    let cohort = Synthetic::new(n, Stored::Mixed, PIPELINE);
    cohort.edit_pipeline("connectivity_v1.yaml", "brainlm_synthetic_v1.yaml");
    cohort
}

/// What a check says that refuses the pipeline, and a run too.
fn refused(cohort: &Synthetic, sets: &[&str]) -> String {
    let ran = cohort.run(sets).exits_with(2);
    assert!(!cohort.dir().join("runs").exists(), "nothing was worked on: {ran}");
    ran.one_error()
}

fn brainlm(network: &encoders::Network, weights: &Path) -> String {
    let network = serde_json::to_string(network).unwrap();
    format!(
        "model.encoder={{brainlm: {{network: {network}, weights: {{file: {}}}}}}}",
        weights.display()
    )
}

#[test]
fn weights_of_the_other_brainlm_or_of_another_width() {
    let cohort = cohort(1);
    let weights = cohort.dir().join("weights.safetensors");
    encoders::write(&encoders::image(), 1, &weights, false).unwrap();
    let said = refused(&cohort, &[&brainlm(&encoders::region_time(), &weights)]);
    says(&said, &["[cohort]/weights.safetensors", "are those of BrainLM's `image` network"]);
    encoders::write(&encoders::region_time_of_width(32), 1, &weights, false).unwrap();
    let said = refused(&cohort, &[&brainlm(&encoders::image(), &weights)]);
    says(&said, &["are those of BrainLM's `region_time` network, expected those of `image`"]);
    let said = refused(&cohort, &[&brainlm(&encoders::region_time(), &weights)]);
    says(&said, &["[cohort]/weights.safetensors: tensor `", "has shape", "this model needs"]);
}

#[test]
fn windows_that_patches_of_twenty_do_not_fill() {
    let said = refused(&cohort(1), &["stages.sliding_windows.n_frames=30"]);
    says(&said, &["needs windows of a multiple of 20 frames", "windows of 30"]);
}

/// Scans of another repetition time, in headers and sidecar.
fn slow(cohort: &Synthetic) {
    let run = synthetic::bold(0, Side::Ras);
    let run = scan::Bold::new(run.data().clone(), run.affine().clone(), 2.5).unwrap();
    scan::write_bold(cohort.scan(0), &run).unwrap();
    fs::write(cohort.dir().join("bids/task-rest_bold.json"), r#"{"RepetitionTime": 2.5}"#).unwrap();
}

#[test]
fn a_repetition_time_far_from_the_encoders() {
    let cohort = cohort(1);
    slow(&cohort);
    let said = refused(&cohort, &[]);
    says(&said, &["a TR of 0.735 s", "give 2.5 s (a stage `resample_time` would change it)"]);
    // and it does
    let stage = "  - resample_time: { t_r_s: 0.735, tolerance_s: 0.05, how: linear }\n";
    cohort.edit_pipeline("  # the formula", &format!("{stage}  # the formula"));
    let ran = run(&["check", &cohort.pipeline().display().to_string()]);
    let _ = ran.exits_with(0);
}

#[test]
fn an_atlas_of_400_parcels_for_an_encoder_of_424() {
    let cohort = cohort(1);
    let labels = synthetic::labels();
    let values = labels.data().mapv(|label| if label > 400.0 { 0.0 } else { label });
    let few = scan::Volume::new(values, labels.affine().clone()).unwrap();
    scan::write_volume(cohort.dir().join("atlas/synthetic424.nii.gz"), &few).unwrap();
    let rows = synthetic::coordinates();
    let rows = rows.lines().take(400).collect::<Vec<_>>().join("\n");
    fs::write(cohort.dir().join("atlas/synthetic424_coordinates.tsv"), rows).unwrap();
    let said = refused(&cohort, &[]);
    says(&said, &["needs series of the 424 parcels of A424", "give series of 400 parcels"]);
}

/// The file with neither sform nor qform.
fn unplace(path: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain.nii");
    if let Ok(run) = scan::read_bold(path) {
        scan::write_bold(&plain, &run).unwrap();
    } else {
        scan::write_volume(&plain, &scan::read_volume(path).unwrap()).unwrap();
    }
    let mut bytes = fs::read(&plain).unwrap();
    bytes[252..256].fill(0);
    // what a file is, its content decides
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_order_of_axes_that_cannot_be_known() {
    let unknown = "neither its sform nor its qform is set, so the order of its axes and which side is \
                   left cannot be known";
    let one = cohort(1);
    unplace(&one.scan(0));
    says(&refused(&one, &[]), &["_bold.nii.gz: ", unknown]);
    let set = format!(
        "model.encoder={{file: {}/configs/encoder/brainmt_synthetic_v1.yaml}}",
        root().display()
    );
    says(&refused(&one, &[&set]), &["_bold.nii.gz: ", unknown]);
    let atlas = cohort(1);
    unplace(&atlas.dir().join("atlas/synthetic424.nii.gz"));
    says(&refused(&atlas, &[]), &["synthetic424.nii.gz: ", unknown]);
    // one of many is left out with the reason
    let many = Synthetic::new(3, Stored::Mixed, PIPELINE);
    many.edit_pipeline("      mirror_check: { margin: 0.1 }\n", "");
    unplace(&many.scan(1));
    let ran = many.run(&[]).exits_with(1);
    says(&ran.stderr, &["left out by parcellate", unknown]);
}

/// Tokens of every person, as another program might write them, with one number.
fn tokens(path: &Path, value: f32) {
    let header = r#"{"sub-01_ses-1_run-1":{"dtype":"F32","shape":[2,1,2],"data_offsets":[0,16]}}"#;
    let values = [1.0, 2.0, value, 4.0].into_iter().flat_map(f32::to_le_bytes);
    let bytes = (header.len() as u64).to_le_bytes().into_iter().chain(header.bytes()).chain(values);
    fs::write(path, bytes.collect::<Vec<u8>>()).unwrap();
}

#[test]
fn tokens_that_are_no_numbers() {
    let cohort = cohort(1);
    let (path, name) = (cohort.dir().join("tokens.safetensors"), "sub-01_ses-1_run-1");
    let set = format!("model.encoder={{stored: {{dim: 2, tokens: {{file: {}}}}}}}", path.display());
    // the name that the cohort has for the scan
    let _ = cohort.run(&[]).exits_with(0);
    let status = fs::read_to_string(cohort.result(PIPELINE, "status.tsv")).unwrap();
    let row = status.lines().nth(1).unwrap().split('\t').find(|it| it.starts_with("sub-01"));
    let rename = |value: f32| {
        tokens(&path, value);
        let bytes = fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes[8..bytes.len() - 16]).replace(name, row.unwrap());
        let header = (text.len() as u64).to_le_bytes();
        fs::write(&path, [&header, text.as_bytes(), &bytes[bytes.len() - 16..]].concat()).unwrap();
    };
    rename(f32::NAN);
    let ran = cohort.run(&[&set]).exits_with(2);
    let window = "is damaged: token 1 of window 2 of the scan";
    says(&ran.stderr, &["tokens.safetensors", window, "is not all finite numbers"]);
    rename(3.0);
    let _ = cohort.run(&[&set]).exits_with(0);
    // a network whose weights are no numbers is refused by its first window
    let weights = cohort.dir().join("weights.safetensors");
    encoders::write(&encoders::region_time(), 1, &weights, false).unwrap();
    let mut bytes = fs::read(&weights).unwrap();
    let n = bytes.len();
    bytes[n - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&weights, bytes).unwrap();
    let ran = cohort.run(&[&brainlm(&encoders::region_time(), &weights)]).exits_with(2);
    says(&ran.stderr, &["tokens of window 1 are not all finite numbers"]);
}

#[test]
fn stored_tokens_that_are_cut_or_of_another_encoder_are_made_again() {
    let cohort = cohort(2);
    let table = || fs::read(cohort.result(PIPELINE, "embeddings.parquet")).unwrap();
    let _ = cohort.run(&[]).exits_with(0);
    let first = table();
    let scans = cohort.dir().join("runs/cache/encode/scans");
    let ours = files_below(&scans);
    let set = format!(
        "model.encoder={{file: {}/configs/encoder/connectivity_v1.yaml}}",
        root().display()
    );
    let _ = cohort.run(&[&set]).exits_with(0);
    let mut others = files_below(&scans).into_iter().filter(|path| !ours.contains(path));
    let other = fs::read(others.next_back().expect("tokens of another encoder")).unwrap();
    let whole = fs::read(&ours[0]).unwrap();
    for (bytes, problem) in [
        (&whole[..whole.len() / 2], "it is cut short"),
        (&whole[..3], "it is cut short or cannot be read"),
        (&other[..], "it holds tokens of encoder connectivity_v1, made by other settings"),
        (b"\0\0\0\0\0\0\0\0nothing".as_slice(), "it is no file of ours"),
    ] {
        fs::write(&ours[0], bytes).unwrap();
        // as a run that was killed while it wrote would leave it
        fs::write(scans.join(".partial-1"), &whole[..20]).unwrap();
        let ran = cohort.run(&[]).exits_with(0);
        says(&ran.stderr, &["encode is done again: ", problem]);
        assert!(table() == first && fs::read(&ours[0]).unwrap() == whole, "{ran}");
    }
}
