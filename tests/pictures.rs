//! What pages draw of a recording, pixel by pixel, beside numpy and nilearn: `fixtures/pages/record.py`.

use std::{fs, path::Path};

use pages::{Carpet, Matrix, Picture, SliceView};
use preprocess::{Data, Inputs, Recording, Step, Training, steps::ParcellateConfig};
use serde_json::Value;
use tests::root;

/// Files where they lie.
struct Here;

impl Inputs for Here {
    fn place(&self, path: &Path) -> std::path::PathBuf {
        root().join("fixtures/synthetic").join(path)
    }

    fn digest(&self, _: &Path) -> preprocess::Result<String> {
        Ok(String::new())
    }
}

/// Every recorded pixel, within a level: numbers of 32 and of 64 bits are rounded beside each other.
fn same(picture: &Picture, recorded: &Value, what: &str) {
    let pixels = recorded["pixels"].as_array().unwrap();
    assert!(pixels.len() >= 40);
    for pixel in pixels {
        let [row, column] = [0, 1].map(|at| pixel[at].as_u64().unwrap() as usize);
        let found = picture.pixels[row * picture.width + column];
        let channel = |at: usize| pixel[2].get(at).unwrap_or(&pixel[2]).as_f64().unwrap();
        for (at, level) in found.into_iter().enumerate() {
            let apart = (f64::from(level) - channel(at)).abs();
            assert!(apart <= 0.51, "{what} at {row}, {column}: {found:?}, recorded {}", pixel[2]);
        }
    }
}

#[test]
fn slices_carpets_and_matrices_are_those_of_numpy_and_nilearn() {
    let recorded = fs::read_to_string(root().join("fixtures/pages/pixels.json")).unwrap();
    let recorded: Value = serde_json::from_str(&recorded).unwrap();
    let config =
        serde_json::json!({ "atlas": { "id": "s", "labels": "atlas/synthetic424.nii.gz" } });
    let config: ParcellateConfig = serde_json::from_value(config).unwrap();
    let func = Here.place(Path::new("bids/sub-01/func"));
    let file = "sub-01_task-rest_space-MNI152NLin6Asym_desc-preproc_bold.nii.gz";
    let recording = Recording {
        subject: "01".to_owned(),
        session: None,
        name: file.to_owned(),
        unit: file.to_owned(),
        file: file.to_owned(),
        path: func.join(file),
        sha256: None,
        t_r_s: None,
        n_frames: None,
        kept: None,
        confounds: None,
        coverage: None,
        stacked: None,
        events_s: Vec::new(),
    };
    let fitted = config.fit(&Training {
        inputs: &Here,
        stack: None,
        parcels: &[],
        trained_on: Vec::new(),
        recordings: Vec::new(),
        series: Vec::new(),
        windows: Vec::new(),
        classes: Vec::new(),
        reason: String::new(),
        n_bytes: u64::MAX,
        stop: &|| Ok(()),
    });
    let series = fitted.unwrap().apply(&recording, Data::Scan).unwrap().into_series();

    assert_eq!(series.slices.len(), 3);
    for (slice, recorded) in series.slices.iter().zip(recorded["slices"].as_array().unwrap()) {
        assert_eq!(serde_json::json!(slice.shape), recorded["shape"]);
        assert!((slice.place_mm - recorded["place_mm"].as_f64().unwrap()).abs() < 1e-3);
        let view = SliceView {
            name: String::new(),
            shape: slice.shape,
            zooms_mm: slice.zooms_mm,
            grey: slice.grey.clone(),
            edges: slice.edges.clone(),
        };
        same(&view.picture(0), recorded, "slice");
    }
    let order: Vec<usize> = (0..series.values.ncols()).collect();
    let carpet = Carpet {
        series: series.values.view(),
        order: &order,
        t_r_s: series.facts.t_r_s,
        fd_mm: None,
        what: "parcels",
    };
    let picture = carpet.picture();
    assert_eq!(serde_json::json!([picture.height(), picture.width]), recorded["carpet"]["shape"]);
    same(&picture, &recorded["carpet"], "carpet");
    let correlations = scan::connectivity(
        &series.values,
        scan::ConnectivityKind::Correlation,
        scan::CovarianceEstimator::Empirical,
    );
    let correlations = correlations.unwrap();
    let matrix = Matrix { values: correlations.view(), order: &order, networks: &[] };
    same(&matrix.picture(), &recorded["matrix"], "matrix");
}
