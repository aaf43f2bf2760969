//! Preparations by name, parcels by label, and fitted normalisations that go from one pipeline to another.

use std::fs;

use serde_json::Value;
use tests::labels::{schaefer, tian};
use tests::{Elsewhere, Ran, Stored, Synthetic, run, says};

const SWAP: &str = "swap-encoders";

const FEW: [&str; 2] = ["stages.finetune.steps=1", "stages.finetune.validate_every=1"];

/// The pipeline with a policy instead of the stages between parcels and tokens.
fn set_policy(cohort: &Synthetic, policy: &str) {
    let text = fs::read_to_string(cohort.pipeline()).unwrap();
    let first = if text.contains("  - normalise:") { "  - normalise:" } else { "  - prepare:" };
    let (start, rest) = text.split_once(first).unwrap();
    let (_, end) = rest.split_once("  - encode:").unwrap();
    cohort.write_pipeline(&format!("{start}  - prepare: {policy}\n  - encode:{end}"));
}

fn plan(cohort: &Synthetic, sets: &[&str]) -> Ran {
    let pipeline = cohort.pipeline().display().to_string();
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let args: Vec<&str> = ["check", &pipeline].into_iter().chain(sets).collect();
    run(&args).naming(cohort.dir(), "[cohort]")
}

const JEPA: &str = "model.encoder={brain_jepa: {weights: {seed: 1}, tokens: time_mean, size: {dim: 8, \
                    depth: 1, n_heads: 2, n_parcels: 424, n_frames: 160, patch: 80, n_gradients: 2}}}";

const CORTEX: &str = "model.encoder={cortex_mae: {weights: {seed: 1}, tokens: time_mean, size: {dim: 8, \
                      depth: 1, n_heads: 2, n_parcels: 424}}}";

const SEMANTOKS: &str = "model.encoder={brain_semantoks: {weights: {seed: 1}, size: {depth: 1, n_heads: \
                         2, hidden: 8, networks: [[0, 200], [1, 224]], n_frames: 100, patch: 20, branches: \
                         [{dense: {channels: 4, kernel: 3}}, {structured: {channels: 4, kernel: 4, scales: \
                         3}}]}}}";

#[test]
fn a_policy_prepares_a_cohort_and_a_scan_of_its_package() {
    for (policy, encoder, said) in [
        (
            "{ policy: brain_jepa_evaluation, short_scans: repeat }",
            JEPA,
            "prepared as brain_jepa_evaluation, to 2 s, windows of 160 frames, short scans filled up by \
             repetition",
        ),
        (
            "{ policy: brain_semantoks_evaluation }",
            SEMANTOKS,
            "prepared as brain_semantoks_evaluation, to 2 s, windows of 100 frames, short scans masked",
        ),
        (
            "{ policy: cortex_mae }",
            CORTEX,
            "prepared as cortex_mae, to 1 s, windows of 16 frames, short scans masked",
        ),
    ] {
        let cohort = Synthetic::new(24, Stored::Mixed, SWAP);
        set_policy(&cohort, policy);
        says(&plan(&cohort, &[encoder]).exits_with(0).stdout, &[said]);
        cohort.run(&[encoder, FEW[0], FEW[1]]).exits_with(0);
        let card = fs::read_to_string(cohort.result(SWAP, "model/README.md")).unwrap();
        let name = said.split([' ', ',']).nth(2).unwrap();
        assert!(card.contains(name), "{name}: {card}");
        Elsewhere::new(&cohort, SWAP).writes_the_same(1, &[]);
    }
}

#[test]
fn short_scans_are_refused_in_the_plan_where_the_policy_refuses_them() {
    let cohort = Synthetic::new(24, Stored::Mixed, SWAP);
    let data_only =
        CORTEX.replace("time_mean", "data_only").replace("n_parcels", "n_frames: 64, n_parcels");
    let refused: [(&str, &str, &[&str]); 5] = [
        (
            "{ policy: brain_jepa_finetuning }",
            JEPA,
            &["no scan has the 480 frames that it needs, the longest has 40"],
        ),
        (
            "{ policy: brain_jepa_evaluation, short_scans: refuse }",
            JEPA,
            &["no scan has the 160 frames that it needs"],
        ),
        // a mask that the encoder does not have
        (
            "{ policy: brain_jepa_evaluation, short_scans: masked }",
            JEPA,
            &[
                "filled up with `masked`, which its authors' code does not do",
                "mean_frame or repeat",
            ],
        ),
        (
            "{ policy: cortex_mae, first_frame: 2.0 }",
            CORTEX,
            &["stages.prepare.first_frame is 2", "picks no frames"],
        ),
        (
            "{ policy: swift_evaluation }",
            CORTEX,
            &["its policy reads volumes, expected the stage volumes before it"],
        ),
    ];
    for (policy, encoder, said) in refused {
        set_policy(&cohort, policy);
        says(&plan(&cohort, &[encoder]).exits_with(2).stderr, said);
    }
    // windows of another length than the policy cuts
    set_policy(&cohort, "{ policy: cortex_mae }");
    let said = plan(&cohort, &[&data_only]).exits_with(2).stderr;
    says(&said, &["needs windows of 64 frames", "windows of 16"]);
}

#[test]
fn a_fitted_normalisation_goes_to_another_pipeline() {
    let cohort = Synthetic::new(6, Stored::Mixed, "encode-cohort");
    cohort.run(&[]).exits_with(0);
    let run_dir = cohort.dir().join("runs/encode-cohort").display().to_string();
    let table = cohort.dir().join("stats.csv").display().to_string();
    let shown = run(&["encoder", "stats", &run_dir, "--export", &table]).exits_with(0);
    says(&shown.stdout, &["robust_paper", "424 parcels, fitted to 6 recordings", "shift", "scale"]);
    // the folder of all runs holds the same once
    let runs = cohort.dir().join("runs").display().to_string();
    assert_eq!(run(&["encoder", "stats", &runs]).exits_with(0).stdout, shown.stdout);
    let text = fs::read_to_string(&table).unwrap();
    assert_eq!((text.lines().count(), text.lines().next()), (425, Some("parcel,shift,scale")));
    let embeddings = |cohort: &Synthetic| {
        tables::read(cohort.result("encode-cohort", "embeddings.parquet")).expect("a table")
    };
    let vectors = |table: &tables::Table| -> Vec<Vec<f32>> {
        let column = table.column("embedding").expect("a column of vectors");
        let cell = |row| match column.cell(row) {
            tables::Cell::Vector(values) => values.to_vec(),
            other => panic!("{other:?}"),
        };
        (0..table.n_rows()).map(cell).collect()
    };
    let first = vectors(&embeddings(&cohort));
    // two people alone, on the scale of six
    let few = Synthetic::new(2, Stored::Mixed, "encode-cohort");
    few.edit_pipeline("pool_frames: 40 }", &format!("pool_frames: 40, stats: {table} }}"));
    few.run(&[]).exits_with(0);
    let second = vectors(&embeddings(&few));
    assert_eq!(second.len(), 2);
    for (one, other) in first.iter().zip(&second) {
        assert!(one.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-6));
    }
    // another formula
    few.edit_pipeline("formula: robust_paper", "formula: global_z");
    let said = few.run(&[]).exits_with(2).stderr;
    says(&said, &["stats.csv: names statistics of a formula that asks each recording by itself"]);
    let nothing = cohort.dir().join("bids").display().to_string();
    let said = run(&["encoder", "stats", &nothing]).exits_with(2).stderr;
    says(&said, &["holds no normalisation.json"]);
}

#[test]
fn parcels_in_another_order_are_refused_and_a_permutation_is_offered() {
    let cohort = Synthetic::new(2, Stored::Mixed, "encode-cohort");
    // labels that no voxel carries are parcels too
    let names = |labels: &[String]| {
        let lines = labels.iter().enumerate().map(|(at, name)| format!("{}\t{name}", at + 1));
        let text = format!("index\tname\n{}\n", lines.collect::<Vec<_>>().join("\n"));
        fs::write(cohort.dir().join("names.tsv"), text).unwrap();
    };
    let coordinates = "        coordinates: atlas/synthetic424_coordinates.tsv\n";
    cohort.edit_pipeline("id: A424", "id: tian50_schaefer400_17networks");
    cohort.edit_pipeline(coordinates, "        names: names.tsv\n");
    cohort.edit_pipeline("      mirror_check: { margin: 0.1 }\n", "");
    cohort.edit_pipeline("windows: { n_frames: 20", "windows: { n_frames: 160");
    cohort.edit_pipeline(
        "tiled: { stride: 20 } }, pad: refuse",
        "tiled: { stride: 20 } }, pad: repeat",
    );
    let jepa = "model.encoder={brain_jepa: {weights: {seed: 1}, tokens: time_mean, size: {dim: 8, depth: \
                1, n_heads: 2, patch: 80}}}";
    names(&[tian(), schaefer(17, 400)].concat());
    plan(&cohort, &[jepa]).exits_with(0);
    names(&[schaefer(17, 400), tian()].concat());
    let said = plan(&cohort, &[jepa]).exits_with(2).stderr;
    says(
        &said,
        &[
            "the same in another order: label 1 is `17Networks_LH_VisCent_Part_0`, expected \
             `HIP-part0-rh`",
            "order_parcels: { atlas: tian50_schaefer400_17networks }",
        ],
    );
    let text = fs::read_to_string(cohort.pipeline()).unwrap();
    cohort.edit_pipeline(
        "  - normalise:",
        "  - order_parcels: { atlas: tian50_schaefer400_17networks }\n  - normalise:",
    );
    plan(&cohort, &[jepa]).exits_with(0);
    cohort.write_pipeline(&text);
    names(&[tian(), schaefer(7, 400)].concat());
    let said = plan(&cohort, &[jepa]).exits_with(2).stderr;
    says(&said, &["`7Networks_LH_Vis_Part_0` is of 7 networks, expected labels of 17"]);
    let encoder: Value = serde_json::json!({ "cortex_mae": { "weights": { "seed": 1 } } });
    names(&schaefer(17, 424));
    let said = plan(&cohort, &[&format!("model.encoder={encoder}")]).exits_with(2).stderr;
    says(&said, &["needs series of the 400 parcels of schaefer400_17networks"]);
}
