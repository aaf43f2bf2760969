//! Reports name the frames that the model was shown, and no others.

use std::fs;

use serde_json::{Value, json};
use tests::{Elsewhere, Stored, Synthetic, files_below, root, run, says};
use xtask::synthetic::{self, N_FRAMES, Side, T_R_S};

const SWAP: &str = "swap-encoders";
const FEW: [&str; 2] = ["stages.finetune.steps=1", "stages.finetune.validate_every=1"];

/// The run's reports.
fn reports(cohort: &Synthetic) -> Vec<Value> {
    let files = files_below(&cohort.dir().join("runs").join(SWAP)).into_iter();
    let files = files.filter(|path| path.to_string_lossy().ends_with("report.json"));
    files.map(|path| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()).collect()
}

/// What a report's window must be, from the frames of a file `[first, last]`.
fn window(scan: &Value, ranges: &[[usize; 2]]) -> Value {
    let seconds = |n: usize| (1e3 * n as f64 * T_R_S).round() / 1e3;
    let (first, last) = (ranges[0][0], ranges[ranges.len() - 1][1]);
    let frames = ranges.iter().map(|[first, last]| json!({ "first": first, "last": last }));
    json!({
        "scan": scan,
        "onset_s": seconds(first),
        "duration_s": seconds(last + 1 - first),
        "frames": frames.collect::<Vec<_>>(),
    })
}

#[test]
fn frames_of_whole_scans_are_those_of_their_windows() {
    let cohort = Synthetic::new(24, Stored::Mixed, SWAP);
    // (40 - 16) / 2 frames come before a window in the middle
    let middle = "stages.sliding_windows={n_frames: 16, policy: centre, pad: refuse}";
    cohort.run(&[FEW[0], FEW[1], middle]).exits_with(0);
    for report in reports(&cohort) {
        assert_eq!(report["window"], window(&report["window"]["scan"], &[[12, 27]]));
    }
    let text = files_below(&cohort.dir().join("runs").join(SWAP));
    let text = text.iter().find(|path| path.to_string_lossy().ends_with("report.txt")).unwrap();
    says(&fs::read_to_string(text).unwrap(), &["8.82 s to 20.58 s (frames 12 to 27)"]);

    // the package says the same of a scan that it knows, and of one that it does not
    let elsewhere = Elsewhere::new(&cohort, SWAP);
    elsewhere.writes_the_same(1, &[]);
    let other = cohort.dir().join("other.nii.gz");
    scan::write_bold(&other, &synthetic::bold(3, Side::Ras)).unwrap();
    let json_of = |more: &[&str]| -> Value {
        let ran = elsewhere.generate(&other, &[&["--json"], more].concat()).exits_with(0);
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let middle = json_of(&[]);
    assert_eq!(middle["window"], window(&json!("other.nii.gz"), &[[12, 27]]));

    // an onset begins a window elsewhere: at the frame nearest to it
    let onset = json_of(&["--onset", "11.1"]);
    assert_eq!(onset["window"], window(&json!("other.nii.gz"), &[[15, 30]]));
    let same = json_of(&["--onset", "8.82"]);
    assert_eq!(same["window"], middle["window"]);
    assert_eq!((&same["text"], &same["slots"]), (&middle["text"], &middle["slots"]));
    let probabilities = |report: &Value| report["slots"][0]["probabilities"].clone();
    assert_ne!(probabilities(&onset), probabilities(&middle), "other frames were seen");
    for onset in ["18.1", "836", "-3"] {
        let said = elsewhere.refuses(&other, &[&format!("--onset={onset}")]);
        says(&said, &["other.nii.gz: window at onset", "but the run has 40 frames (29.4 s)"]);
    }
}

#[test]
fn windows_that_leave_gaps_are_named_one_by_one() {
    let cohort = Synthetic::new(24, Stored::Mixed, SWAP);
    let apart = "stages.sliding_windows={n_frames: 6, policy: {tiled: {stride: 17}}, pad: refuse}";
    cohort.run(&[FEW[0], FEW[1], apart]).exits_with(0);
    // every 17 frames, and the last six
    for report in reports(&cohort) {
        let expected = window(&report["window"]["scan"], &[[0, 5], [17, 22], [34, 39]]);
        assert_eq!(report["window"], expected);
    }
}

#[test]
fn frames_of_an_event_are_named_beside_it() {
    let outputs = tempfile::tempdir().unwrap();
    let set = format!("outputs={}", outputs.path().display());
    let short = ["run", "pipelines/quickstart-short.yaml", "--set", &set];
    let few = ["stages.finetune.steps=1", "stages.evaluate.shuffles=10"];
    let few = few.iter().flat_map(|set| ["--set", set]);
    run(&short.into_iter().chain(few).collect::<Vec<_>>()).exits_with(0);
    let table = scan::read_pairs(root().join("fixtures/haxby2001/pairs.csv")).unwrap();
    let mut n = 0;
    for path in files_below(&outputs.path().join("quickstart-short")) {
        if !path.to_string_lossy().ends_with("report.json") {
            continue;
        }
        let report: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let window = &report["window"];
        // the event as the table has it; its response 5 s later, 9 frames of 2.5 s
        let onset_s = window["onset_s"].as_f64().unwrap();
        assert!(table.pairs.iter().any(|pair| pair.onset == onset_s && pair.duration == 22.5));
        let first = ((onset_s + 5.0) / 2.5 + 0.5).floor() as usize;
        assert_eq!(window["frames"], json!([{ "first": first, "last": first + 8 }]));
        n += 1;
    }
    assert_eq!(n, 16);
}

#[test]
fn rows_of_parts_of_scans_are_refused_where_scans_are_seen_whole() {
    let cohort = Synthetic::new(24, Stored::Mixed, SWAP);
    let table = cohort.dir().join("pairs.csv");
    let text = fs::read_to_string(&table).unwrap();
    let whole_s = N_FRAMES as f64 * T_R_S;
    let first = text.lines().nth(1).unwrap();
    assert!(first.contains(&format!(",0,{whole_s},")), "{first}");
    let refused = |rows: &str| {
        fs::write(&table, text.replacen(first, rows, 1)).unwrap();
        let said = cohort.run(&[]).exits_with(2).one_error();
        assert!(!cohort.dir().join("runs").exists());
        said
    };
    let at = |onset: &str, duration: &str| {
        first.replacen(&format!(",0,{whole_s},"), &format!(",{onset},{duration},"), 1)
    };
    let said = refused(&at("836", "12.5"));
    says(
        &said,
        &["row 2: names 836 s to 848.5 s of its scan", "the scan as a whole, 0 s to 29.4 s"],
    );
    let said = refused(&format!("{}\n{}", at("0", "12.5"), at("12.5", "12.5")));
    says(&said, &["row 2: names 0 s to 12.5 s of its scan"]);
    says(&said, &["row 3: names 12.5 s to 25 s of the scan of which row 2 names 0 s to 12.5 s"]);
}

#[test]
fn seconds_are_counted_from_the_start_of_the_scan_wherever_its_first_frame_stands() {
    let cohort = Synthetic::new(24, Stored::Mixed, SWAP);
    let sidecar = json!({ "RepetitionTime": T_R_S, "StartTime": 10 }).to_string();
    let files = files_below(&cohort.dir().join("bids")).into_iter();
    let sidecars: Vec<_> = files.filter(|it| it.to_string_lossy().ends_with("bold.json")).collect();
    assert!(!sidecars.is_empty());
    sidecars.iter().for_each(|path| fs::write(path, &sidecar).unwrap());
    let middle = "stages.sliding_windows={n_frames: 16, policy: centre, pad: refuse}";
    let said = cohort.run(&[FEW[0], FEW[1], middle]).exits_with(2).one_error();
    says(&said, &["names 0 s to 29.4 s of its scan", "as a whole, 10 s to 39.4 s"]);
    let table = cohort.dir().join("pairs.csv");
    let text = fs::read_to_string(&table).unwrap();
    let whole_s = N_FRAMES as f64 * T_R_S;
    fs::write(&table, text.replace(&format!(",0,{whole_s},"), &format!(",10,{whole_s},"))).unwrap();
    cohort.run(&[FEW[0], FEW[1], middle]).exits_with(0);
    for report in reports(&cohort) {
        assert_eq!(report["window"]["frames"], json!([{ "first": 12, "last": 27 }]));
        assert_eq!(report["window"]["onset_s"], json!(18.82));
    }
    // the package says the same of another scan with such a sidecar
    let elsewhere = Elsewhere::new(&cohort, SWAP);
    let other = cohort.dir().join("other_bold.nii.gz");
    scan::write_bold(&other, &synthetic::bold(3, Side::Ras)).unwrap();
    fs::write(cohort.dir().join("other_bold.json"), &sidecar).unwrap();
    for onset in [&[][..], &["--onset", "18.82"]] {
        let ran = elsewhere.generate(&other, &[&["--json"], onset].concat()).exits_with(0);
        let window = &serde_json::from_str::<Value>(&ran.stdout).unwrap()["window"];
        assert_eq!(window["frames"], json!([{ "first": 12, "last": 27 }]));
        assert_eq!(window["onset_s"], json!(18.82));
    }

    // two of the 42 frames of a run were left out of its scan, as XCP-D does
    let censored = cohort.dir().join("sub-99_task-rest_bold.nii.gz");
    scan::write_bold(&censored, &synthetic::bold(3, Side::Ras)).unwrap();
    fs::write(cohort.dir().join("sub-99_task-rest_bold.json"), &sidecar).unwrap();
    let outliers = |out: &[usize]| {
        let rows = (0..N_FRAMES + 2).map(|t| if out.contains(&t) { "1\n" } else { "0\n" });
        let text = "framewise_displacement\n".to_owned() + &rows.collect::<String>();
        fs::write(cohort.dir().join("sub-99_task-rest_outliers.tsv"), text).unwrap();
    };
    outliers(&[13, 14]);
    let range = |first: usize, last: usize| json!({ "first": first, "last": last });
    for (onset, frames, onset_s) in [
        (&[][..], json!([range(12, 12), range(15, 29)]), 18.82),
        (&["--onset", "21.025"], json!([range(15, 30)]), 21.025),
    ] {
        let ran = elsewhere.generate(&censored, &[&["--json"], onset].concat()).exits_with(0);
        let window = &serde_json::from_str::<Value>(&ran.stdout).unwrap()["window"];
        assert_eq!((&window["frames"], &window["onset_s"]), (&frames, &json!(onset_s)));
    }
    outliers(&[13]);
    let said = elsewhere.refuses(&censored, &[]);
    says(&said, &["has 40 frames and its table of outliers 42, of which it keeps 41"]);
}
