//! A scan that was in no pipeline, read with a model package alone: every stage on the way, and what is
//! refused, with the real program.

use std::fs;

use scan::{Atlas, ExtractConfig};
use tests::{Elsewhere, Stored, Synthetic, run, says};
use xtask::synthetic::{self, Side};

const SWAP: &str = "swap-encoders";

/// What may come between an atlas and a formula.
const STAGES: &str = "  - denoise:
      signal:
        detrend: linear
        filter: none
        standardize: none
        standardize_confounds: true
        extrapolate: false
        nilearn_compat: false
      confounds: { columns: { motion: basic, demean: true } }
  - resample_time: { t_r_s: 0.9, tolerance_s: 0.01, how: linear }
";

/// A cohort whose scans pass through every stage before an encoder, and a short training on it.
fn trained() -> Synthetic {
    let cohort = Synthetic::new(24, Stored::Mixed, SWAP);
    cohort.edit_pipeline("  - normalise: {", &format!("{STAGES}  - normalise: {{"));
    cohort
}

#[test]
fn a_scan_goes_the_way_of_the_cohorts() {
    let cohort = trained();
    let encoder = format!(
        "model.encoder={{file: {}/configs/encoder/connectivity_v1.yaml}}",
        tests::root().display()
    );
    let few = ["stages.finetune.steps=2", "stages.finetune.validate_every=2"];
    let windows = [
        "stages.sliding_windows.n_frames=12",
        "stages.normalise.pool_frames=30",
        "stages.encode.precision=bf16",
    ];
    let sets = [&encoder, few[0], few[1], windows[0], windows[1], windows[2]];
    let ran = cohort.run(&sets).exits_with(0);
    let place = cohort.dir().display().to_string();
    let manifest = fs::read_to_string(cohort.result(SWAP, "model/model.yaml")).unwrap();
    assert!(!manifest.contains(&place) && !manifest.contains("../"), "{ran}\n{manifest}");
    let elsewhere = Elsewhere::new(&cohort, SWAP);
    elsewhere.writes_the_same(2, &[]);

    // whoever it is of, and however it is stored
    let scan = elsewhere.scan(elsewhere.first());
    let written = elsewhere.generate(&scan, &[]).exits_with(0);
    says(&written.stdout, &["0 s to 29.4 s", "Subject: ", "Scan digest", "not a medical device"]);
    let confounds = scan.display().to_string();
    let confounds = confounds.replace(
        "_space-MNI152NLin6Asym_desc-preproc_bold.nii.gz",
        "_desc-confounds_timeseries.tsv",
    );
    let other = cohort.dir().join("other.nii.gz");
    // the other way round than in the cohort: another file
    let run_of = |subject| synthetic::bold(subject, Side::Ras);
    scan::write_bold(&other, &run_of(3)).unwrap();
    let said = elsewhere.refuses(&other, &[]);
    says(
        &said,
        &["other.nii.gz: the model's stages take confounds out", "name it with --confounds"],
    );
    let named = ["--confounds", confounds.as_str()];
    let image = elsewhere.generate(&other, &named).exits_with(0);
    says(&image.stdout, &["Subject: unknown", "Window: other.nii.gz, 0 s to 29.4 s"]);
    // by the rule that a cohort follows
    let sidecar = other.with_file_name("other.json");
    fs::write(&sidecar, "{\"RepetitionTime\": 2.0}").unwrap();
    let said = elsewhere.refuses(&other, &named);
    let both = "other.nii.gz: repetition time: the sidecar gives 2 s, the scan's header 0.735";
    says(&said, &[both, "; --t-r settles it"]);
    let settled = ["--t-r", "0.735", named[0], named[1]];
    elsewhere.generate(&other, &settled).exits_with(0);
    fs::remove_file(sidecar).unwrap();
    let atlas = Atlas::from_volume(&synthetic::labels()).unwrap();
    let series =
        atlas.extract(&scan::read_bold(&other).unwrap(), &ExtractConfig::default(), None).unwrap();
    let stored = cohort.dir().join("other.h5");
    scan::write_hdf5(&stored, &series).unwrap();
    let text = |stdout: &str| stdout.split("Window:").next().map(str::to_owned);
    let as_series = elsewhere.generate(&stored, &named).exits_with(0);
    assert_eq!(text(&as_series.stdout), text(&image.stdout), "{as_series}");

    // what the pipeline leaves out is refused
    scan::write_bold(&other, &synthetic::mirrored(3)).unwrap();
    says(&elsewhere.refuses(&other, &named), &["other.nii.gz: ", "left and right seem exchanged"]);
    let whole = run_of(3);
    let cut = whole.data().slice(ndarray::s![.., .., .., ..8]).to_owned();
    let short = scan::Bold::new(cut, whole.affine().clone(), whole.t_r()).unwrap();
    scan::write_bold(&other, &short).unwrap();
    says(
        &elsewhere.refuses(&other, &named),
        &["other.nii.gz: ", "has 40 rows, but the scan has 8 frames"],
    );
    scan::write_bold(&other, &whole).unwrap();
    let said = elsewhere.refuses(&other, &["--window", "2", named[0], named[1]]);
    says(&said, &["sees a scan as a whole", "expected neither --window nor --onset"]);

    // a part that is missing or another one
    for part in
        ["atlas/labels.nii.gz", "atlas/coordinates.tsv", "normalisation.json", "likeness.json"]
    {
        let path = elsewhere.package().join(part);
        let whole = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        says(&elsewhere.refuses(&scan, &[]), &[part, "No such file"]);
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        says(&elsewhere.refuses(&scan, &[]), &[part, "but the package was made with"]);
        fs::write(&path, &whole).unwrap();
    }
    // a file whose digest nothing holds
    let manifest = elsewhere.package().join("model.yaml");
    let whole = fs::read_to_string(&manifest).unwrap();
    let named = "labels: atlas/labels.nii.gz";
    assert!(whole.contains(named));
    fs::write(&manifest, whole.replace(named, "labels: ../labels.nii.gz")).unwrap();
    says(&elsewhere.refuses(&scan, &[]), &["../labels.nii.gz", "none of its parts"]);
    fs::write(&manifest, whole).unwrap();
    elsewhere.generate(&scan, &[]).exits_with(0);

    // texts are ranked after the same words and tokens
    let (package, scan) = (elsewhere.package().display().to_string(), scan.display().to_string());
    let scored =
        run(&["score", "--model", &package, "--scan", &scan, "--continuation", "Findings"]);
    says(&scored.exits_with(0).stdout, &["1.0000", "Findings"]);
}

#[test]
fn a_scan_of_another_rate_is_refused_where_none_is_resampled() {
    let cohort = Synthetic::new(24, Stored::Mixed, SWAP);
    let few = ["stages.finetune.steps=1", "stages.finetune.validate_every=1"];
    cohort.run(&few).exits_with(0);
    let elsewhere = Elsewhere::new(&cohort, SWAP);
    let other = cohort.dir().join("other.nii.gz");
    let run_of = synthetic::bold(3, Side::Ras);
    let slow = scan::Bold::new(run_of.data().clone(), run_of.affine().clone(), 2.0).unwrap();
    scan::write_bold(&other, &slow).unwrap();
    let said = elsewhere.refuses(&other, &[]);
    says(&said, &["other.nii.gz: ", "TR is 2 s, the model was fitted to 0.735 s"]);
    let said = elsewhere.refuses(&other, &["--confounds", "c.tsv"]);
    says(&said, &["take no confounds out"]);
    elsewhere.generate(&other, &["--t-r", "0.735"]).exits_with(0);
}

/// A run as BrainMT's authors store it, `(x, y, z, t)` in `.npy`, which says no repetition time.
fn tensor(path: &std::path::Path, run: &scan::Bold) {
    let [x, y, z] = run.grid_shape();
    let shape = format!("({x}, {y}, {z}, {})", run.n_frames());
    let said = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    let said = format!("{said:117}\n");
    let values = run.data().iter().flat_map(|x| x.to_le_bytes());
    let start = [b"\x93NUMPY\x01\x00" as &[u8], &118_u16.to_le_bytes(), said.as_bytes()].concat();
    fs::write(path, start.into_iter().chain(values).collect::<Vec<_>>()).unwrap();
}

#[test]
fn tensors_of_whole_runs_train_a_model_and_are_read_with_it() {
    let cohort = Synthetic::new(24, Stored::All(Side::Las), SWAP);
    let table = cohort.dir().join("pairs.csv");
    let text = fs::read_to_string(&table).unwrap();
    fs::write(&table, text.replace("_bold.nii.gz", "_bold.npy")).unwrap();
    for subject in 0..24 {
        let scan = cohort.scan(subject);
        let path = scan.display().to_string().replace("_bold.nii.gz", "_bold.npy");
        tensor(path.as_ref(), &synthetic::bold(subject, Side::Las));
        fs::remove_file(scan).unwrap();
    }
    let text = fs::read_to_string(cohort.pipeline()).unwrap();
    let (start, rest) = text.split_once("  - parcellate:").unwrap();
    let (_, end) = rest.split_once("  - volumes:").unwrap();
    let affine = *synthetic::bold(0, Side::Las).affine().rows();
    let space = format!("space: {{ affine: {affine:?} }}");
    let end = end.replacen("half: true", &format!("half: true, tensors: {{ {space} }}"), 1);
    cohort.write_pipeline(&format!("{start}  - volumes:{end}"));
    let encoder = format!(
        "model.encoder={{file: {}/configs/encoder/brainmt_synthetic_v1.yaml}}",
        tests::root().display()
    );
    let few = ["stages.finetune.steps=1", "stages.finetune.validate_every=1"];
    let said = cohort.run(&[&encoder, few[0], few[1]]).exits_with(2).stderr;
    says(&said, &["an array does not say it; `t_r` of the pairs says it of all scans"]);
    cohort.run(&[&encoder, few[0], few[1], "cohort.pairs.t_r=0.735"]).exits_with(0);
    let elsewhere = Elsewhere::new(&cohort, SWAP);
    assert!(!elsewhere.package().join("atlas").exists(), "volumes need no atlas");
    let scan = elsewhere.scan(elsewhere.first());
    let said = elsewhere.refuses(&scan, &[]);
    says(
        &said,
        &["_bold.npy: ", "an array does not say it, so it must be given (`t_r`): use --t-r"],
    );
    elsewhere.writes_the_same(1, &["--t-r", "0.735"]);
}
