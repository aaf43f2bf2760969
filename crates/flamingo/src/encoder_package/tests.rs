//! Packages of a tiny BrainMT, whose weights may be copied.

use std::path::PathBuf;

use candle_core::DType;
use encoder::brainmt::{BrainMt, BrainMtSize, Direction};
use nn::weights::{Variables, save};

use super::*;
use crate::Manifest;

/// A weight file beside the place of its package.
fn files() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let size = BrainMtSize { embed_dim: 8, depth: [1, 1], n_frames: 3, ..BrainMtSize::default() };
    let size = BrainMtSize { n_cells: 2, direction: Direction::Both, ..size };
    let drawn = Variables::default();
    BrainMt::new(&size, drawn.builder(1, DType::F32)).unwrap();
    let weights = dir.path().join("weights.safetensors");
    save(&weights, &drawn.tensors()).unwrap();
    let package = dir.path().join("models/brainmt");
    (dir, weights, package)
}

fn import(weights: &Path, package: &Path, reference: bool) -> ImportedEncoder {
    let import = EncoderImport {
        name: "brainmt",
        encoder: "brainmt",
        weights,
        config_json: None,
        n_heads: None,
        gradients: None,
        reference,
        licence: None,
    };
    import_encoder(package, &import).unwrap()
}

#[test]
fn a_copy_stands_by_itself_and_a_reference_by_its_file() {
    let (_dir, weights, package) = files();
    let imported = import(&weights, &package, true);
    assert!(imported.referenced && imported.warning.is_none());
    let part = EncoderManifest::read(&package).unwrap().parts.remove(0);
    assert_eq!(part.path.as_deref(), Some(Path::new("../../weights.safetensors")));
    let named = std::fs::canonicalize(part.place(&package)).unwrap();
    assert_eq!(named, std::fs::canonicalize(&weights).unwrap());
    let inspected = inspect_encoder(&package).unwrap();
    assert_eq!(inspected.n_parameters, imported.loaded.parameters);

    import(&weights, &package, false);
    std::fs::remove_file(&weights).unwrap();
    check_encoder_weights(&package).unwrap();
    crate::verify(&package).unwrap();
    let copied = inspect_encoder(&package).unwrap();
    assert_eq!(copied.tensors, inspected.tensors);
}

#[test]
fn it_is_no_model_and_a_model_is_none_of_it() {
    let (_dir, weights, package) = files();
    import(&weights, &package, false);
    assert!(is_encoder(&package));
    let error = Manifest::read(&package).unwrap_err().to_string();
    assert!(error.contains("model.yaml: it is the package of an encoder alone"), "{error}");
    let model = crate::package::tests::package();
    assert!(!is_encoder(&model.path().join("model")) && !is_encoder(Path::new("nowhere")));
    let error = EncoderManifest::read(&model.path().join("model")).unwrap_err().to_string();
    assert!(error.contains("model.yaml: "), "{error}");
}
