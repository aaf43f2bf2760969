//! Windows of events and sliding windows mean the same of masked voxels, of parcel series and of volumes.
//!
//! A table whose events begin where the only sliding window of a scan lies makes the same windows by either
//! stage, so an encoder is shown the same numbers; and windows that are encoded teach what they teach as they
//! are, bit for bit.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use tests::{Elsewhere, Stored, Synthetic, files_below, root, says};
use xtask::synthetic::{N_FRAMES, Side, T_R_S};

const SWAP: &str = "swap-encoders";
const MASK: &str =
    "  - mask: { above_mean: 0.1 }\n  - clean: { detrend: linear, standardize: zscore_sample }\n";
/// Frames 10 to 29 of 40.
const SLIDING: &str = "  - sliding_windows: { n_frames: 20, policy: centre, pad: refuse }\n";
const EVENTS: &str = "  - event_windows: { shift_s: 1.47, n_frames: 20 }\n";
const ENCODE: &str = "  - encode: { precision: f32 }\n";

/// Six people, each with a row for the sliding window in the middle of the scan, which begins two frames after
/// the onset.
fn cohort() -> Synthetic {
    let cohort = Synthetic::new(6, Stored::All(Side::Ras), SWAP);
    let table = cohort.dir().join("pairs.csv");
    let text = fs::read_to_string(&table).unwrap();
    let splits = ["train", "train", "train", "validation", "validation", "test"];
    let mut rows = vec![text.lines().next().unwrap().to_owned()];
    for (row, split) in text.lines().skip(1).zip(splits) {
        let (start, _) = row.rsplit_once(',').unwrap();
        rows.push(format!("{start},{split}"));
    }
    fs::write(&table, rows.join("\n") + "\n").unwrap();
    cohort
}

/// Lets the rows of the table name what the windows of events hold, or whole scans.
fn name(cohort: &Synthetic, events: bool) {
    let table = cohort.dir().join("pairs.csv");
    let (event, whole) = (",5.88,14.7,", format!(",0,{},", N_FRAMES as f64 * T_R_S));
    let (from, to) = if events { (whole.as_str(), event) } else { (event, whole.as_str()) };
    let text = fs::read_to_string(&table).unwrap();
    fs::write(table, text.replace(from, to)).unwrap();
}

/// What a run made.
#[derive(PartialEq)]
struct Made {
    /// The learned part of its package.
    weights: Vec<u8>,
    /// The numbers that its stage `encode` kept of each scan.
    tokens: BTreeSet<Vec<u8>>,
}

/// Runs these stages before `finetune`.
fn ran(cohort: &Synthetic, shipped: &str, stages: &str, sets: &[&str]) -> Made {
    let (start, rest) = shipped.split_once("stages:\n").unwrap();
    let (_, end) = rest.split_once("  - finetune:").unwrap();
    cohort.write_pipeline(&format!("{start}stages:\n{stages}  - finetune:{end}"));
    name(cohort, stages.contains("event_windows"));
    let kept = cohort.dir().join("runs/cache/encode/scans");
    let _ = fs::remove_dir_all(&kept);
    let few = ["stages.finetune.steps=2", "stages.finetune.validate_every=2"];
    cohort.run(&[&few[..], sets].concat()).exits_with(0);
    let part = |name: &str| fs::read(cohort.result(SWAP, &format!("model/{name}")));
    let mut weights = part("adapter.safetensors").unwrap();
    // of a frozen encoder the package may have no copy
    weights.extend(part("encoder.safetensors").unwrap_or_default());
    let files = if kept.exists() { files_below(&kept) } else { Vec::new() };
    Made { weights, tokens: files.iter().map(|path| numbers(path)).collect() }
}

/// The arrays of a safetensors file, without the names and facts before them.
fn numbers(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    let n_header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + n_header..].to_vec()
}

/// What the shipped pipeline says before its windows: of series, and of volumes.
fn before_windows(shipped: &str) -> [String; 2] {
    let (_, rest) = shipped.split_once("stages:\n").unwrap();
    let (before, _) = rest.split_once("  - sliding_windows:").unwrap();
    let (series, volumes) =
        before.split_at(before.find("  # for encoders that read whole").unwrap());
    [series.to_owned(), volumes.to_owned()]
}

#[test]
fn series_of_parcels_and_of_voxels_are_cut_alike_by_both_stages() {
    let cohort = cohort();
    let shipped = fs::read_to_string(cohort.pipeline()).unwrap();
    let [parcels, _] = before_windows(&shipped);
    for series in [parcels.as_str(), MASK] {
        let of = |stages: &str| ran(&cohort, &shipped, &format!("{series}{stages}"), &[]);
        let sliding = of(&format!("{SLIDING}{ENCODE}"));
        let events = of(&format!("{EVENTS}{ENCODE}"));
        assert_eq!(events.tokens.len(), 6, "one a scan: {series}");
        assert!(sliding.tokens == events.tokens, "an encoder is shown the same: {series}");
        let as_they_are = of(EVENTS);
        assert!(as_they_are.tokens.is_empty());
        assert!(as_they_are.weights == events.weights, "it learns the same: {series}");
    }
}

#[test]
fn volumes_are_cut_alike_by_both_stages() {
    let cohort = cohort();
    let shipped = fs::read_to_string(cohort.pipeline()).unwrap();
    let [_, volumes] = before_windows(&shipped);
    let encoder = format!(
        "model.encoder={{file: {}/configs/encoder/brainmt_synthetic_v1.yaml}}",
        root().display()
    );
    let of = |stages: &str| ran(&cohort, &shipped, &format!("{volumes}{stages}"), &[&encoder]);
    let [sliding, events] = [SLIDING, EVENTS].map(|cut| of(&format!("{cut}{ENCODE}")));
    assert!(sliding.tokens == events.tokens && events.tokens.len() == 6);
    let said = |stages: &str| {
        let (start, rest) = shipped.split_once("stages:\n").unwrap();
        let (_, end) = rest.split_once("  - finetune:").unwrap();
        cohort.write_pipeline(&format!("{start}stages:\n{volumes}{stages}  - finetune:{end}"));
        cohort.run(&[]).exits_with(2).stderr
    };
    says(
        &said(EVENTS),
        &["stage finetune needs windows, but what comes before it gives windows of volumes: put \
                           `encode` between"],
    );
}

#[test]
fn events_of_parcel_series_go_the_whole_road() {
    let cohort = cohort();
    let shipped = fs::read_to_string(cohort.pipeline()).unwrap();
    let [parcels, _] = before_windows(&shipped);
    let whiten = "  - whiten: { shrinkage: { fixed: 0.5 } }\n";
    ran(&cohort, &shipped, &format!("{parcels}{EVENTS}{whiten}"), &[]);
    let elsewhere = Elsewhere::new(&cohort, SWAP);
    let window = &elsewhere.first()["window"];
    // the event as the table has it; the frames after its delay
    assert_eq!(window["onset_s"], json!(5.88));
    assert_eq!(window["frames"], json!([{ "first": 10, "last": 29 }]));
    elsewhere.writes_the_same(1, &[]);
    let scan = elsewhere.scan(elsewhere.first());
    says(&elsewhere.refuses(&scan, &[]), &["expected --window or --onset"]);
    let later = elsewhere.generate(&scan, &["--json", "--onset", "6.615"]).exits_with(0);
    let later: Value = serde_json::from_str(&later.stdout).unwrap();
    assert_eq!(later["window"]["frames"], json!([{ "first": 11, "last": 30 }]));
}
