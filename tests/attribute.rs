//! What of their scans reports lean on, through the program.
use std::fs;

use serde_json::Value;
use tests::{root, run};

/// The short quickstart, with the stage before its pages.
fn pipeline(dir: &std::path::Path, stage: &str) -> String {
    let text = fs::read_to_string(root().join("pipelines/quickstart-short.yaml")).unwrap();
    let render = "  - render: { window_maps: true }";
    assert!(text.contains(render));
    let text = text.replace(render, &format!("  - attribute: {stage}\n{render}"));
    let text = text.replace("../", &format!("{}/", root().display()));
    let text = text.replace(&format!("outputs: {}/runs", root().display()), "outputs: runs");
    let path = dir.join("leaning.yaml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn lines(path: &std::path::Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap_or_else(|it| panic!("{}: {it}", path.display()));
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

#[test]
fn a_report_says_what_of_its_scan_it_leans_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = pipeline(dir.path(), "{ reports: 2, parts: 40 }");
    run(&["run", &path]).exits_with(0);
    let folder = dir.path().join("runs/quickstart-short");
    let about: Value =
        serde_json::from_str(&fs::read_to_string(folder.join("attribution.json")).unwrap())
            .unwrap();
    let reports = about["reports"].as_array().unwrap();
    assert_eq!(reports.len(), 2);
    for report in reports {
        let tokens_path = folder.join(report["tokens"].as_str().unwrap());
        let tokens = lines(&tokens_path);
        // the tokens are the report as it was written
        let text: String = tokens[1..]
            .iter()
            .map(|row| serde_json::from_str::<String>(&row[1]).unwrap())
            .collect();
        let beside = |name: &str| {
            let own = tokens_path.display().to_string();
            own.replace("desc-attribution_tokens.tsv", name).into()
        };
        let generated: std::path::PathBuf = beside("desc-generated_report.json");
        let generated: Value =
            serde_json::from_str(&fs::read_to_string(generated).unwrap()).unwrap();
        assert_eq!(text, generated["text"].as_str().unwrap());
        // what the scan adds is the sum of what it adds to each
        let number = |cell: &String| cell.parse::<f64>().unwrap();
        let gain: f64 = tokens[1..].iter().map(|row| number(&row[4])).sum();
        assert!((gain - report["scan_gain_nats"].as_f64().unwrap()).abs() < 0.01, "{report}");

        // nothing says what the encoder's tokens stand for, so that attention has no places
        let places = lines(&beside("desc-attribution_places.tsv"));
        let parts: std::collections::BTreeSet<&String> =
            places[1..].iter().map(|row| &row[1]).collect();
        assert_eq!(parts.len(), 40);
        assert!(places[1..].iter().all(|row| row[2] == "n/a" && number(&row[3]).is_finite()));
        assert!(places[1..].iter().any(|row| number(&row[4]) != 0.));
        // each voxel's gradient is where the voxel is: the mask's voxels follow each other as those of the grid do
        let map = scan::read_volume(beside("desc-gradient_statmap.nii.gz")).unwrap();
        let drawn: Vec<f32> = map.data().iter().copied().filter(|it| *it != 0.).collect();
        let listed: Vec<f64> =
            places[1..].iter().map(|row| number(&row[3])).filter(|it| *it != 0.).collect();
        assert_eq!(drawn.len(), listed.len());
        for (drawn, listed) in drawn.iter().zip(listed) {
            assert!((f64::from(*drawn) - listed).abs() <= 1e-4 * listed.abs(), "{drawn} {listed}");
        }
        let moments = lines(&beside("desc-attribution_moments.tsv"));
        assert!(moments.len() > 2);
    }
    let page = fs::read_to_string(folder.join("sub-1.html")).unwrap();
    assert_eq!(page.matches("What this report leans on").count(), 2);

    // other settings leave what was made before as it is
    run(&["run", &path, "--set", "stages.attribute.reports=1"]).exits_with(0);
    let record: Value =
        serde_json::from_str(&fs::read_to_string(folder.join("record.json")).unwrap()).unwrap();
    for stage in record["stages"].as_array().unwrap() {
        let is_new = ["attribute", "render"].contains(&stage["stage"].as_str().unwrap());
        assert_eq!(stage["stored"], !is_new, "{stage}");
    }
    let none =
        run(&["check", &path, "--set", "stages.attribute.parts=0"]).exits_with(2).one_error();
    tests::says(&none, &["stages.attribute.parts is 0", "at least 1"]);
}

#[test]
fn parcels_are_named_and_drawn_where_the_atlas_has_them() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(root().join("pipelines/swap-encoders.yaml")).unwrap();
    let text = text.replace("../", &format!("{}/", root().display()));
    let text = text.replace(&format!("outputs: {}/runs", root().display()), "outputs: runs");
    let text = text.replace(
        "\noutputs:",
        "  - evaluate: {}\n  - attribute: { reports: 1, parts: 8 }\n\noutputs:",
    );
    let path = dir.path().join("parcels.yaml");
    fs::write(&path, text).unwrap();
    let encoder = format!(
        "model.encoder={{file: {}/configs/encoder/connectivity_v1.yaml}}",
        root().display()
    );
    let path = path.display().to_string();
    let fast = ["stages.finetune.steps=2", "stages.generate.max_new_tokens=12"];
    run(&["run", &path, "--set", &encoder, "--set", fast[0], "--set", fast[1]]).exits_with(0);
    let folder = dir.path().join("runs/swap-encoders");
    let about: Value =
        serde_json::from_str(&fs::read_to_string(folder.join("attribution.json")).unwrap())
            .unwrap();
    let tokens = folder.join(about["reports"][0]["tokens"].as_str().unwrap());
    let beside = |name: &str| -> std::path::PathBuf {
        tokens.display().to_string().replace("desc-attribution_tokens.tsv", name).into()
    };
    let places = lines(&beside("desc-attribution_places.tsv"));
    assert_eq!(places.len(), 1 + 424);
    let number = |cell: &String| cell.parse::<f64>().unwrap();
    // every token of the encoder is a parcel, and a token of the text names those that it looks at
    let attention: f64 = places[1..].iter().map(|row| number(&row[2])).sum();
    assert!((attention - 1.).abs() < 1e-3, "{attention}");
    let names: Vec<&String> = places[1..].iter().map(|row| &row[0]).collect();
    for row in &lines(&tokens)[1..] {
        let first = row[5].split(" (").next().unwrap().to_owned();
        assert!(names.contains(&&first), "{row:?}");
    }
    let image = |name: &str| scan::read_volume(beside(name)).unwrap();
    let (attention, occlusion) =
        (image("desc-attention_statmap.nii.gz"), image("desc-occlusion_statmap.nii.gz"));
    let atlas = root().join("fixtures/synthetic/atlas/synthetic424.nii.gz");
    let atlas = scan::read_volume(atlas).unwrap();
    for ((label, attention), occlusion) in
        atlas.data().iter().zip(attention.data()).zip(occlusion.data())
    {
        let expected = match *label as usize {
            0 => [0., 0.],
            label => [2, 4].map(|column| number(&places[label][column])),
        };
        for (found, expected) in [attention, occlusion].into_iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() <= 1e-4 * expected.abs(), "{label}");
        }
    }
}
