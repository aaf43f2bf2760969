//! Settings and tables that a run would fail on, long after it began: `check` refuses each in one
//! sentence, and so does `run` before it writes anything.

use std::{fmt::Write as _, fs};

use tests::{Cohort, Stored, Synthetic, root, run, says};

const SWAP: &str = "swap-encoders";
const ENCODE: &str = "encode-cohort";

fn encoder(name: &str) -> String {
    format!("model.encoder={{file: {}/configs/encoder/{name}.yaml}}", root().display())
}

/// What `check` says of a cohort's pipeline with these settings, which it refuses.
fn refused(cohort: &Synthetic, sets: &[&str]) -> String {
    let pipeline = cohort.pipeline().display().to_string();
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let args: Vec<&str> = ["check", &pipeline].into_iter().chain(sets).collect();
    let ran = run(&args).naming(cohort.dir(), "[cohort]").exits_with(2);
    assert!(!cohort.dir().join("runs").exists(), "nothing is written before the plan stands");
    ran.one_error()
}

fn accepted(cohort: &Synthetic, sets: &[&str]) {
    let pipeline = cohort.pipeline().display().to_string();
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let args: Vec<&str> = ["check", &pipeline].into_iter().chain(sets).collect();
    let _ = run(&args).exits_with(0);
}

#[test]
fn windows_and_pools_longer_than_every_scan() {
    let cohort = Synthetic::new(2, Stored::Mixed, ENCODE);
    let said = refused(&cohort, &["stages.sliding_windows.n_frames=60"]);
    says(
        &said,
        &["stages.sliding_windows.n_frames is 60, expected at most 40, the frames of the longest"],
    );
    says(&said, &["or another `pad` than refuse"]);
    accepted(&cohort, &["stages.sliding_windows.n_frames=60", "stages.sliding_windows.pad=repeat"]);
    let said = refused(&cohort, &["stages.normalise.pool_frames=41"]);
    says(&said, &["stages.normalise.pool_frames is 41, expected at most 40, the frames of the"]);
    // formulas that pool no frames do not ask how many there are
    let other = ["stages.normalise.pool_frames=41", "stages.normalise.formula=per_recording"];
    accepted(&cohort, &other);
    // what resampling leaves counts: 40 frames of 0.735 s are 15 of 2 s
    cohort.edit_pipeline(
        "  - normalise:",
        "  - resample_time: { t_r_s: 2.0, tolerance_s: 0.01, how: linear }\n  - normalise:",
    );
    let said = refused(&cohort, &["stages.normalise.pool_frames=10"]);
    says(
        &said,
        &["stages.sliding_windows.n_frames is 20, expected at most 15, the frames of the longest"],
    );
    accepted(&cohort, &["stages.normalise.pool_frames=10", "stages.sliding_windows.n_frames=15"]);
}

#[test]
fn a_split_whose_scans_are_all_too_short() {
    let cohort = Synthetic::new(24, Stored::All(xtask::synthetic::Side::Ras), SWAP);
    // those who are tested have half of the frames
    for subject in 20..24 {
        let whole = xtask::synthetic::bold(subject, xtask::synthetic::Side::Ras);
        let cut = whole.data().slice(ndarray::s![.., .., .., ..16]).to_owned();
        let short = scan::Bold::new(cut, whole.affine().clone(), whole.t_r()).unwrap();
        scan::write_bold(cohort.scan(subject), &short).unwrap();
    }
    let said = refused(&cohort, &[]);
    says(&said, &["expected at most 16, the frames of the longest scan of split test"]);
}

#[test]
fn numbers_without_bounds() {
    let short = root().join("pipelines/quickstart-short.yaml").display().to_string();
    let max = u64::MAX.to_string();
    let folder = tempfile::tempdir().unwrap();
    let outputs = format!("outputs={}", folder.path().join("runs").display());
    for (key, value, expected) in [
        ("stages.evaluate.bootstrap", max.as_str(), "expected at most 1000000"),
        ("stages.evaluate.bootstrap", "18446744073709551600", "expected at most 1000000"),
        ("stages.evaluate.permutations", "2000000", "expected at most 1000000"),
        ("stages.evaluate.shuffles", &max, "expected at most 1000000"),
        ("stages.evaluate.batch_size", "1000000000", "expected at most 4096"),
        ("stages.evaluate.logistic_c", "1e300", "expected 0.000001 to 1000000"),
        ("stages.generate.num_beams", "100000", "expected at most 1000"),
        ("stages.generate.batch_size", "1000000000", "expected at most 4096"),
        ("stages.generate.max_new_tokens", &max, "expected at most 1048576"),
        ("stages.generate.max_new_tokens", "250", "the language model reads 256 tokens"),
        ("stages.generate.repetition_penalty", "1e300", "expected 0.001 to 1000"),
        ("stages.generate.length_penalty", "1e300", "expected -20 to 20"),
        ("stages.finetune.batch_size", "1000000000", "expected at most 4096"),
        ("stages.finetune.auxiliary.batch_size", "1000000000", "expected at most 4096"),
        ("stages.finetune.steps", &max, "expected at most 100000000"),
        ("stages.finetune.learning_rate", "1e300", "expected above 0, at most 10"),
        ("stages.finetune.slot_weight", "1e39", "expected 0 to 1000000"),
        ("stages.event_windows.n_frames", &max, "expected at most 100000"),
        ("stages.mask.above_mean", "1e300", "expected 0 to 100"),
        ("model.resampler.n_latents", "1000000000", "expected at most 4096"),
        ("model.resampler.max_num_media", "0", "expected at least 1"),
        ("model.gates.every", "9", "model.gates.every is 9, expected at most 3"),
        ("cohort.pairs.t_r", "0", "expected a positive"),
    ] {
        let sets = ["--set", &format!("{key}={value}"), "--set", &outputs];
        // beams leave other settings beside them
        let beams = ["--set", "stages.generate.num_beams=2"];
        let beams = if key.ends_with("length_penalty") { &beams[..] } else { &[] };
        let ran = run(&[&["check", &short], beams, &sets].concat());
        let said = ran.exits_with(2).one_error();
        says(&said, &[expected]);
        assert!(said.contains(key.rsplit('.').next().unwrap()) || key.ends_with("t_r"), "{said}");
    }
    assert!(!folder.path().join("runs").exists());
}

#[test]
fn names_that_are_too_long_for_a_folder() {
    let cohort = Cohort::new();
    let long = "n".repeat(300);
    let said = cohort.run(&[&format!("name={long}")]).exits_with(2).one_error();
    says(&said, &["name has 300 letters, expected at most 100"]);
    assert!(!cohort.outputs().exists());
    let _ = cohort.run(&[&format!("name={}", "n".repeat(100))]).exits_with(0);
    // a subject becomes part of a report's name
    let cohort = Synthetic::new(24, Stored::Mixed, SWAP);
    let table = cohort.dir().join("pairs.csv");
    let text = fs::read_to_string(&table).unwrap();
    fs::write(&table, text.replace("\n24,1,", &format!("\n{},1,", "s".repeat(220)))).unwrap();
    says(&refused(&cohort, &[]), &["row 25: subject and session have 221 letters together"]);
}

#[test]
fn prompts_and_reports_that_the_language_model_cannot_read() {
    let cohort = Synthetic::new(24, Stored::Mixed, SWAP);
    let prompt = |text: &str| format!("cohort.pairs.prompt={text:?}");
    let said = refused(&cohort, &[&prompt("<image>Technique: {technique}")]);
    says(&said, &["cohort.pairs.prompt holds the token `<image>`"]);
    let said = refused(&cohort, &[&prompt("{technique}<|endofchunk|>")]);
    says(&said, &["cohort.pairs.prompt holds the token `<|endofchunk|>`"]);
    let said = refused(&cohort, &[&prompt(&format!("{} {{technique}}", "word ".repeat(200)))]);
    says(&said, &["cohort.pairs.prompt has up to", "the language model reads 256"]);
    let said = refused(&cohort, &["stages.generate.max_new_tokens=240"]);
    says(&said, &["stages.generate.max_new_tokens is 240, expected at most"]);

    let table = cohort.dir().join("pairs.csv");
    let text = fs::read_to_string(&table).unwrap();
    let report = "\"Findings: Shared fluctuations are strongest in the right hemisphere.\",train";
    for (more, expected) in [
        ("and so on ".repeat(60), "tokens, expected at most"),
        ("<image>".to_owned(), "the report holds the token `<image>`"),
    ] {
        let longer = report.replace("hemisphere.", &format!("hemisphere. {more}"));
        fs::write(&table, text.replacen(report, &longer, 1)).unwrap();
        says(&refused(&cohort, &[]), &["pairs.csv: row 2: the report ", expected]);
    }
}

#[test]
fn series_of_another_number_of_parcels() {
    let cohort = Synthetic::new(2, Stored::Mixed, ENCODE);
    cohort.edit_pipeline(
        "  bids:\n    dir: bids\n    entities: { task: [rest] }\n",
        "  manifest: { table: people.csv, t_r: 0.735 }\n",
    );
    cohort.edit_pipeline("run: inverse_fd", "run: mean");
    let mut table = "eid,scan\n".to_owned();
    for (person, columns) in [("01", 425), ("02", 425)] {
        let rows = vec![vec!["1"; columns].join("\t"); 40];
        fs::write(cohort.dir().join(format!("{person}.tsv")), rows.join("\n")).unwrap();
        writeln!(table, "{person},{person}.tsv").unwrap();
    }
    fs::write(cohort.dir().join("people.csv"), &table).unwrap();
    let said = refused(&cohort, &[]);
    says(&said, &["has 40 rows and 425 columns, expected the 424 parcels of atlas A424"]);
    // the same of HDF5, which names its axes
    for person in ["01", "02"] {
        let options = scan::OpenOptions {
            t_r: Some(0.735),
            axes: Some(scan::SeriesAxes::TimeParcels),
            ..scan::OpenOptions::default()
        };
        let series =
            scan::read_series(cohort.dir().join(format!("{person}.tsv")), &options).unwrap();
        scan::write_hdf5(cohort.dir().join(format!("{person}.h5")), &series).unwrap();
    }
    fs::write(cohort.dir().join("people.csv"), table.replace(".tsv", ".h5")).unwrap();
    says(&refused(&cohort, &[]), &["expected the 424 parcels of atlas A424"]);
}

#[test]
fn what_no_scan_has_beside_it() {
    let cohort = Synthetic::new(2, Stored::Mixed, ENCODE);
    for subject in 0..2 {
        let path = cohort.scan(subject).display().to_string();
        let (stem, _) = path.split_once("_space-").unwrap();
        fs::remove_file(format!("{stem}_desc-confounds_timeseries.tsv")).unwrap();
    }
    let said = refused(&cohort, &[]);
    says(&said, &["no confounds table says the displacement that inverse_fd needs"]);
    accepted(&cohort, &["stages.embed.run=mean"]);
    cohort.edit_pipeline(
        "  - normalise:",
        "  - denoise: { signal: { detrend: linear, filter: none, standardize: none, \
         standardize_confounds: true, extrapolate: false, nilearn_compat: false }, confounds: { \
         strategy: simple } }\n  - normalise:",
    );
    let said = refused(&cohort, &["stages.embed.run=mean"]);
    says(&said, &["stages.denoise: the scan has no confounds table"]);
}

#[test]
fn volumes_that_are_none_or_lie_on_another_grid() {
    let cohort = Synthetic::new(2, Stored::Hdf5, ENCODE);
    cohort.edit_pipeline("    entities:", "    suffix: timeseries\n    entities:");
    let said = refused(&cohort, &[&encoder("brainmt_synthetic_v1")]);
    says(&said, &["stages.volumes", "the scan is a parcel series, expected a run of volumes"]);
    let cohort = Synthetic::new(2, Stored::Mixed, ENCODE);
    let set = "stages.volumes.shape=[14, 16, 12]";
    let said = refused(&cohort, &[&encoder("brainmt_synthetic_v1"), set]);
    says(&said, &["grid is 14×16×13, expected 14×16×12"]);
    // nobody makes volumes for an encoder of series
    accepted(&cohort, &[set]);
}

#[test]
fn splits_whose_reports_say_too_little() {
    let cohort = Cohort::new();
    let short = fs::read_to_string(root().join("pipelines/quickstart-short.yaml")).unwrap();
    let home = root().display().to_string();
    let text = short
        .replace("../fixtures/haxby2001/pairs.csv", "pairs.csv")
        .replace("../configs", &format!("{home}/configs"))
        .replace("../fixtures", &format!("{home}/fixtures"))
        .replace("../runs", "runs");
    cohort.write_pipeline(&text);
    let table = fs::read_to_string(cohort.table()).unwrap();
    let mut lines: Vec<String> = table.split_inclusive("train\n").map(str::to_owned).collect();
    // of all training windows with scissors one is left
    let mut n = 0;
    lines.retain(|line| {
        let is_one = line.contains("scissors") && line.ends_with("train\n");
        n += usize::from(is_one);
        !is_one || n == 1
    });
    assert!(n > 2, "{n}");
    fs::write(cohort.table(), lines.concat()).unwrap();
    let said = cohort.run(&[]).exits_with(2).one_error();
    says(&said, &["pairs.csv: split train: only one report states scissors"]);
    assert!(!cohort.outputs().exists());
}

#[test]
fn what_nobody_learns_from() {
    let cohort = Synthetic::new(2, Stored::Mixed, ENCODE);
    cohort.edit_pipeline("  - embed: {", "  - finetune: {}\n  - embed: {");
    let text = fs::read_to_string(cohort.pipeline()).unwrap();
    let (start, _) = text.split_once("  - embed: {").unwrap();
    cohort.write_pipeline(&format!("{start}outputs: runs\n"));
    let said = refused(&cohort, &[]);
    says(
        &said,
        &["stages.finetune: learns from reports, and the recordings of cohort.bids have none"],
    );
    let cohort = Synthetic::new(24, Stored::Mixed, SWAP);
    let said = refused(
        &cohort,
        &["stages.4={finetune: {}}", "stages.5={generate: {max_new_tokens: 4, batch_size: 1}}"],
    );
    says(&said, &["put `encode` between"]);
}
