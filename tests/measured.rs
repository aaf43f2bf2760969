//! What is measured of recordings: the table of their quality, and choosing among them by it.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::Value;
use tables::{Cell, Table};
use tests::{Stored, Synthetic, run, says};

const N_FRAMES: usize = 60;
const N_PARCELS: usize = 8;

/// Halves that numpy made too; a first line of whole numbers would be taken for labels.
fn series(person: usize) -> String {
    let cell = |t: usize, k: usize| {
        let wave = (person * 37 + t * (3 + k) * 7 + t * t * (person + 1)) % 11;
        format!("{}.5", 1000 + 50 * k + 10 * wave + t * (k + 1) / 4)
    };
    let row = |t| (0..N_PARCELS).map(|k| cell(t, k)).collect::<Vec<_>>().join("\t");
    (0..N_FRAMES).map(row).collect::<Vec<_>>().join("\n") + "\n"
}

/// Person 0 has motion alone, 1 and 2 have displacement, 3 has nothing.
fn confounds(person: usize) -> Option<String> {
    let mut text = String::new();
    match person {
        0 => {
            text += "trans_x\ttrans_y\ttrans_z\trot_x\trot_y\trot_z\n";
            for t in 0..N_FRAMES {
                let (x, rot) = (((t * 3) % 5) as f64 / 10.0, ((t * 2) % 3) as f64 / 100.0);
                writeln!(text, "{x}\t0\t0\t0\t{rot}\t0").unwrap();
            }
        }
        1 | 2 => {
            text += "framewise_displacement\nn/a\n";
            for t in 1..N_FRAMES {
                let moved = ((t * (person + 2)) % 7 * (person + 1)) as f64 / 20.0;
                writeln!(text, "{moved}").unwrap();
            }
        }
        _ => return None,
    }
    Some(text)
}

/// Four people as a pipeline of `stages`.
fn cohort(dir: &Path, stages: &str) -> String {
    let mut people = "participant_id,path,confounds_path,age,tsnr,split\n".to_owned();
    for person in 0..4 {
        fs::write(dir.join(format!("p{person}.tsv")), series(person)).unwrap();
        let mut table = String::new();
        if let Some(text) = confounds(person) {
            table = format!("c{person}.tsv");
            fs::write(dir.join(&table), text).unwrap();
        }
        let split = ["train", "validation", "test", "train"][person];
        writeln!(people, "0{person},p{person}.tsv,{table},{},1,{split}", 30 + person).unwrap();
    }
    fs::write(dir.join("people.csv"), people).unwrap();
    let names = (1..=N_PARCELS).map(|label| format!("{label}\tparcel{label}\n"));
    fs::write(dir.join("names.tsv"), format!("index\tname\n{}", names.collect::<String>()))
        .unwrap();
    let path = dir.join("measured.yaml");
    let text = format!(
        "name: measured\nseed: 1\ncohort:\n  manifest:\n    table: people.csv\n    t_r: 2.0\n    \
         split: {{ column: split }}\nstages:\n  - parcellate: {{ atlas: {{ id: made-up, names: \
         names.tsv }} }}\n{stages}outputs: runs\n"
    );
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn table(dir: &Path) -> Table {
    tables::read(dir.join("runs/measured/quality.tsv")).expect("a table")
}

fn number(table: &Table, name: &str, row: usize) -> f64 {
    match table.column(name).expect("a column").cell(row) {
        Cell::Number(number) => number,
        Cell::Integer(number) => number as f64,
        other => panic!("{name} is {other:?}"),
    }
}

// numpy 2.4.6, scipy 1.17.1 (signal.detrend): the median over columns of mean / std(ddof=1) of the detrended
// series; the median over frames of the root mean square over columns of 100 · diff / mean; Power's formula
#[test]
fn quality_agrees_with_numpy_and_says_what_its_columns_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = cohort(dir.path(), "  - quality: {}\n");
    run(&["run", &path]).exits_with(0);
    let table = table(dir.path());
    assert_eq!(table.n_rows(), 4);
    let tsnr = [
        38.272_482_601_766_626,
        44.561_717_078_199_82,
        46.251_623_287_264_52,
        37.640_363_509_026_57,
    ];
    let dvars = [
        3.952_810_956_180_567_5,
        2.866_564_109_134_861_5,
        2.847_695_092_682_522_4,
        3.678_532_084_257_856,
    ];
    let mean_fd = [0.910_169_491_525_423_8, 0.303_389_830_508_474_57, 0.452_542_372_881_355_96];
    let max_fd = [1.3, 0.6, 0.9];
    for row in 0..4 {
        let close = |name: &str, expected: f64| {
            let found = number(&table, name, row);
            assert!((found - expected).abs() < 1e-9 * expected, "{name} {row}: {found} {expected}");
        };
        close("tsnr", tsnr[row]);
        close("dvars", dvars[row]);
        close("n_frames", 60.0);
        close("t_r", 2.0);
        close("age", 30.0 + row as f64);
        close("label_tsnr", 1.0);
        if row < 3 {
            close("mean_fd", mean_fd[row]);
            close("max_fd", max_fd[row]);
        }
        assert_eq!(number(&table, "n_lost_parcels", row), 0.0);
    }
    let cell = |name: &str, row| table.column(name).unwrap().cell(row);
    assert_eq!((cell("mean_fd", 3), cell("max_fd", 3)), (Cell::Missing, Cell::Missing));
    assert_eq!(cell("coverage", 0), Cell::Missing, "no table says it of these series");
    assert_eq!(
        (cell("participant_id", 2), cell("split", 2)),
        (Cell::Text("02"), Cell::Text("test"))
    );
    let text = fs::read_to_string(dir.path().join("runs/measured/quality.json")).unwrap();
    let dictionary: Value = serde_json::from_str(&text).unwrap();
    let mut described: Vec<&str> =
        dictionary.as_object().unwrap().keys().map(String::as_str).collect();
    described.sort_unstable();
    let mut names: Vec<&str> = table.names().collect();
    names.sort_unstable();
    assert_eq!(described, names);
    assert_eq!(dictionary["mean_fd"]["Units"], "mm");
}

#[test]
fn coverage_is_the_mean_of_the_row_of_coverage_tsv() {
    let it = Synthetic::new(2, Stored::Mixed, "encode-cohort");
    let text = fs::read_to_string(it.pipeline()).unwrap();
    let (head, _) = text.split_once("  # the formula of BrainLM").unwrap();
    it.write_pipeline(&format!("{head}  - quality: {{}}\noutputs: runs\n"));
    it.run(&[]).exits_with(0);
    let read = |name: &str| tables::read(it.result("encode-cohort", name)).unwrap();
    let (quality, coverage) = (read("quality.tsv"), read("coverage.tsv"));
    for row in 0..2 {
        let shares = coverage.names().skip(3).map(|name| number(&coverage, name, row));
        let shares: Vec<f64> = shares.collect();
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        assert!(shares.len() == 424 && (number(&quality, "coverage", row) - mean).abs() < 1e-12);
    }
}

#[test]
fn recordings_are_chosen_by_what_was_measured_and_the_others_have_their_reason() {
    let dir = tempfile::tempdir().unwrap();
    let all = "  - select: { where: mean_fd < 0.8 and tsnr > 45 and age < 40 }\n  - quality: {}\n";
    let path = cohort(dir.path(), all);
    run(&["run", &path]).exits_with(0);
    let rows = table(dir.path());
    assert_eq!(
        (rows.n_rows(), rows.column("participant_id").unwrap().cell(0)),
        (1, Cell::Text("02"))
    );
    let status = fs::read_to_string(dir.path().join("runs/measured/status.tsv")).unwrap();
    let of =
        |person: &str| status.lines().find(|line| line.starts_with(person)).unwrap().to_owned();
    says(
        &of("00"),
        &[
            "select\tEXCLUDED\t`where` is not true: mean_fd is 0.9102, tsnr is 38.2725\tnot_selected",
        ],
    );
    says(&of("01"), &["EXCLUDED\t`where` is not true: mean_fd is 0.3034, tsnr is 44.5617\t"]);
    says(&of("03"), &["EXCLUDED", "tsnr is 37.6404"]);
    says(&of("02"), &["quality\tSUCCESS\tn/a"]);
    // the stored results are asked again
    run(&["run", &path]).exits_with(0);
    assert_eq!(fs::read_to_string(dir.path().join("runs/measured/status.tsv")).unwrap(), status);
    // a missing value is neither true nor false
    run(&["run", &cohort(dir.path(), "  - select: { where: mean_fd > 0 }\n  - quality: {}\n")])
        .exits_with(0);
    assert_eq!(table(dir.path()).n_rows(), 3);
    let none = cohort(dir.path(), "  - select: { where: n_frames > 1000 }\n  - quality: {}\n");
    let ran = run(&["run", &none]).exits_with(2);
    says(
        &ran.stderr,
        &["no recording is left after stage select:", "4 × `where` is not true", "n_frames is 60"],
    );
}

#[test]
fn what_can_never_be_measured_is_refused_before_anything_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let told = |stages: &str| run(&["check", &cohort(dir.path(), stages)]).exits_with(2).stderr;
    says(
        &told("  - select: { where: men_fd < 0.3 }\n"),
        &["no column men_fd; there are age, ", "^^^^^^"],
    );
    says(&told("  - select: { where: mean_fd < }\n"), &["measured.yaml", "where: mean_fd <"]);
    says(
        &told("  - select: { where: mean_fd < \"a\" }\n"),
        &["column mean_fd holds numbers, not text"],
    );
    says(
        &told(
            "  - sliding_windows: { n_frames: 20, policy: centre, pad: refuse }\n  - quality: {}\n",
        ),
        &["stage quality needs parcel series", "gives windows of whole scans"],
    );
}

/// The stages that export what the four people have.
fn exported(dir: &Path, format: &str, settings: &str) -> impl Fn(&str) -> std::path::PathBuf {
    let stages = format!("  - export: {{ format: {format}, {settings} }}\n");
    run(&["run", &cohort(dir, &stages)]).exits_with(0);
    let folder = dir.join("runs/measured/export");
    move |name| folder.join(name)
}

// nilearn 0.14.1: ConnectivityMeasure(kind="correlation", vectorize=True, discard_diagonal=True, standardize=True), with
// scikit-learn's EmpiricalCovariance, then with LedoitWolf, of persons 0 and 1; edges 0, 1, 2, 9, 27
const EMPIRICAL: [[f64; 5]; 2] = [
    [
        -0.169_089_467_972_171_4,
        0.143_828_435_710_207_9,
        0.472_469_804_423_902_5,
        0.594_138_439_505_763_2,
        0.325_796_321_617_635_83,
    ],
    [
        0.236_712_252_732_836,
        -0.191_061_247_613_840_52,
        0.100_641_255_981_691_77,
        0.352_684_418_715_596_75,
        0.605_566_756_020_528_2,
    ],
];
const LEDOIT_WOLF: [[f64; 5]; 2] = [
    [
        -0.147_694_710_613_623_5,
        0.125_629_936_890_720_08,
        0.412_688_571_765_736_37,
        0.518_962_570_168_330_3,
        0.284_573_569_349_801_6,
    ],
    [
        0.203_096_387_815_155_13,
        -0.163_928_350_957_073_87,
        0.086_349_039_050_932_9,
        0.302_599_171_157_688_2,
        0.519_569_305_385_812_7,
    ],
];
// the same with EmpiricalCovariance of frames 0 to 19, 15 to 34, 30 to 49 of person 0; edges 0, 5, 27
const WINDOWS: [[f64; 3]; 3] = [
    [-0.182_205_927_538_375_03, -0.302_603_582_612_936_1, -0.098_083_749_337_689_96],
    [-0.261_494_800_913_573_63, -0.310_412_992_846_951_23, -0.034_940_164_251_765_854],
    [-0.257_824_737_141_811_03, -0.352_031_527_734_168_85, -0.173_113_254_001_751_62],
];

#[test]
fn exported_connectivity_is_that_of_nilearn() {
    let dir = tempfile::tempdir().unwrap();
    let at = exported(
        dir.path(),
        "tsv",
        "series: true, connectivity: { kind: correlation, estimator: empirical }",
    );
    let table = tables::read(at("connectivity.tsv")).unwrap();
    let edges = tables::read(at("edges.tsv")).unwrap();
    let name = |edge: usize| match edges.column("edge").unwrap().cell(edge) {
        Cell::Text(name) => name.to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        [name(0), name(2), name(27)],
        ["parcel2~parcel1", "parcel3~parcel2", "parcel8~parcel7"]
    );
    assert_eq!((table.n_rows(), edges.n_rows()), (4, 28));
    for (row, expected) in EMPIRICAL.iter().enumerate() {
        for (edge, expected) in [0, 1, 2, 9, 27].into_iter().zip(expected) {
            let found = number(&table, &name(edge), row);
            assert!((found - expected).abs() < 1e-9, "{row} {edge}: {found} {expected}");
        }
    }
    assert_eq!(table.column("split").unwrap().cell(1), Cell::Text("validation"));
    assert_eq!((number(&table, "age", 3), number(&table, "n_frames", 3)), (33.0, 60.0));
    let text = fs::read_to_string(at("connectivity.json")).unwrap();
    let dictionary: Value = serde_json::from_str(&text).unwrap();
    assert!(table.names().all(|name| dictionary[name]["Description"].is_string()), "{dictionary}");
    // the series are those of the file, and listed
    let listed = tables::read(at("recordings.tsv")).unwrap();
    let file = match listed.column("file").unwrap().cell(2) {
        Cell::Text(file) => file.to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(file, "series/sub-02_timeseries.tsv");
    let series = tables::read(at(&file)).unwrap();
    let rows: Vec<String> = (0..N_FRAMES)
        .map(|t| {
            (1..=N_PARCELS)
                .map(|k| number(&series, &format!("parcel{k}"), t).to_string())
                .collect::<Vec<_>>()
                .join("\t")
        })
        .collect();
    assert_eq!(rows.join("\n") + "\n", self::series(2));
}

#[test]
fn parquet_and_hdf5_hold_the_same_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let settings = "series: true, connectivity: { kind: correlation, estimator: ledoit_wolf }";
    let at = exported(dir.path(), "hdf5", settings);
    let matrix = scan::read_array(at("connectivity.h5"), Some("connectivity")).unwrap();
    assert_eq!(matrix.shape(), [4, 28]);
    let ages = scan::read_array(at("connectivity.h5"), Some("age")).unwrap();
    assert_eq!(ages.into_iter().collect::<Vec<_>>(), [30.0, 31.0, 32.0, 33.0]);
    let series = scan::read_array(at("series/sub-01_timeseries.h5"), Some("parcel_ts")).unwrap();
    assert_eq!(series.shape(), [N_FRAMES, N_PARCELS]);
    let at = exported(dir.path(), "parquet", settings);
    assert!(!at("connectivity.h5").exists(), "what another form wrote is removed");
    let table = tables::read(at("connectivity.parquet")).unwrap();
    for (row, expected) in LEDOIT_WOLF.iter().enumerate() {
        let Cell::Vector(edges) = table.column("connectivity").unwrap().cell(row) else { panic!() };
        for (edge, expected) in [0, 1, 2, 9, 27].into_iter().zip(expected) {
            let (found, rounded) = (matrix[[row, edge]], f64::from(edges[edge]));
            assert!((found - expected).abs() < 1e-9, "{row} {edge}: {found} {expected}");
            assert!((rounded - expected).abs() < 1e-7, "{row} {edge}: {rounded} {expected}");
        }
    }
    assert_eq!(tables::read(at("series/sub-01_timeseries.parquet")).unwrap().n_rows(), N_FRAMES);
}

#[test]
fn a_window_is_a_row_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let at = exported(
        dir.path(),
        "tsv",
        "connectivity: { kind: correlation, estimator: empirical, windows: { n_frames: 20, stride: 15 } }",
    );
    let table = tables::read(at("connectivity.tsv")).unwrap();
    assert_eq!(table.n_rows(), 12);
    let names = ["parcel2~parcel1", "parcel4~parcel3", "parcel8~parcel7"];
    for (row, expected) in WINDOWS.iter().enumerate() {
        for (name, expected) in names.iter().zip(expected) {
            let found = number(&table, name, row);
            assert!((found - expected).abs() < 1e-9, "{row} {name}: {found} {expected}");
        }
        let place = ["window", "first_frame", "onset"].map(|name| number(&table, name, row));
        assert_eq!(place, [row as f64, 15.0 * row as f64, 30.0 * row as f64]);
    }
    assert_eq!(number(&table, "window", 3), 0.0, "each recording's windows are counted anew");
    let told = |settings: &str| {
        let stages = format!("  - export: {{ {settings} }}\n");
        run(&["check", &cohort(dir.path(), &stages)]).exits_with(2).stderr
    };
    says(
        &told("format: tsv"),
        &["writes nothing, expected `series`, `connectivity` or `embeddings`"],
    );
    says(
        &told("format: tsv, embeddings: true"),
        &["writes embeddings, expected the stage embed before it"],
    );
    says(
        &told("format: parquet, embeddings: true"),
        &["stages.export.format is parquet, expected tsv or hdf5"],
    );
    says(
        &told(
            "format: tsv, connectivity: { kind: correlation, estimator: empirical, windows: { n_frames: 2, stride: 1 } }",
        ),
        &["stages.export.connectivity.windows.n_frames is 2, expected at least 3"],
    );
}

#[test]
fn a_recording_without_connectivity_is_left_out_alone() {
    let dir = tempfile::tempdir().unwrap();
    let stages = "  - export: { format: tsv, connectivity: { kind: partial_correlation, estimator: empirical } }\n";
    let pipeline = cohort(dir.path(), stages);
    let few: Vec<String> = series(3).lines().take(5).map(str::to_owned).collect();
    fs::write(dir.path().join("p3.tsv"), few.join("\n") + "\n").unwrap();
    run(&["run", &pipeline]).exits_with(1);
    let folder = dir.path().join("runs/measured");
    let table = tables::read(folder.join("export/connectivity.tsv")).unwrap();
    assert_eq!(table.n_rows(), 3);
    let status = fs::read_to_string(folder.join("status.tsv")).unwrap();
    assert_eq!(status.lines().filter(|line| line.contains("FAIL")).count(), 1, "{status}");
}

#[test]
fn exported_embeddings_have_a_described_column_for_each_number() {
    let cohort = Synthetic::new(6, Stored::Mixed, "encode-cohort");
    cohort.edit_pipeline("\noutputs:", "  - export: { format: tsv, embeddings: true }\n\noutputs:");
    cohort.run(&[]).exits_with(0);
    let at = |name: &str| cohort.result("encode-cohort", &format!("export/{name}"));
    let table = tables::read(at("embeddings.tsv")).unwrap();
    let text = fs::read_to_string(at("embeddings.json")).unwrap();
    let dictionary: Value = serde_json::from_str(&text).unwrap();
    assert!(table.column("embedding_0").is_some());
    let said = dictionary["embedding"]["Description"].as_str().unwrap();
    assert!(said.contains("the stage embed joined"), "{said}");
    let labels = ["n_runs", "n_windows", "encoder_sha256", "pooling"];
    for name in labels.iter().filter(|name| table.column(name).is_some()) {
        let said = dictionary[*name]["Description"].as_str().unwrap();
        assert!(!said.contains("Label of the cohort"), "{name}: {said}");
    }
    let names: Vec<&str> = table.names().filter(|it| !it.starts_with("embedding_")).collect();
    assert!(names.iter().all(|name| dictionary[*name]["Description"].is_string()), "{dictionary}");
}
