//! `oracles/hdf5_cifti`: CIFTI-2 files as nibabel reads them; its HDF5 half is beside this file.

use std::path::Path;

use anyhow::{Context, Result};
use scan::{CiftiAxis, CiftiFile, DenseSeries, GrayordinateAtlas, Place, Places};
use serde_json::{Value, json};

use super::{
    Outcome, Worst, hdf5,
    recorded::{Recorded, max_abs, max_rel, number, numbers},
};

/// One outcome a file or dataset.
pub(crate) fn outcomes(folder: &Path) -> Vec<Outcome> {
    let recorded = match Recorded::read(folder) {
        Ok(recorded) => recorded,
        Err(error) => return vec![Outcome::broken("hdf5_cifti", format!("{error:#}"))],
    };
    let cases = |kind: &str| recorded.facts[kind].as_array().cloned().unwrap_or_default();
    let mut outcomes = Vec::new();
    for case in cases("cifti") {
        outcomes.push(outcome(&name(&case), check(folder, &case, &recorded)));
    }
    if recorded.facts["cifti_label_means"].is_object() {
        outcomes.push(outcome("cifti_label_means", label_means(folder, &recorded)));
    }
    outcomes.extend(hdf5::outcomes(folder, &recorded));
    outcomes
}

fn name(case: &Value) -> String {
    case["file"].as_str().unwrap_or("a case without a file").to_owned()
}

fn outcome(name: &str, result: Result<Worst>) -> Outcome {
    match result {
        Ok(worst) => Outcome::compared(name, worst),
        Err(error) => Outcome::broken(name, format!("{error:#}")),
    }
}

fn check(folder: &Path, case: &Value, recorded: &Recorded) -> Result<Worst> {
    let file = CiftiFile::open(folder.join(name(case)))?;
    let mut worst = Worst::new();
    let shape: Vec<usize> = numbers(&case["shape"]).iter().map(|&n| n as usize).collect();
    worst.equal("shape", &file.shape()[..], &shape[..]);
    let expected = recorded.tensor(case["tensor"].as_str().context("no tensor")?)?;
    worst.add("matrix", max_abs(&file.values()?, expected), 0.0);
    for (axis, expected) in file.axes().iter().zip(case["axes"].as_array().into_iter().flatten()) {
        compare_axis(axis, expected, &mut worst);
    }
    Ok(worst)
}

/// Every fact that was recorded of an axis.
fn compare_axis(axis: &CiftiAxis, expected: &Value, worst: &mut Worst) {
    let n = axis.n_positions();
    worst.equal("length", &json!(n), &expected["length"]);
    let mut equal = |what: &str, found: Value| {
        if !expected[what].is_null() {
            worst.equal(what, &found, &expected[what]);
        }
    };
    match axis {
        CiftiAxis::Series(series) => {
            equal("type", json!("SeriesAxis"));
            equal("unit", json!(series.unit));
            worst.add("start", (series.start - number(&expected["start"])).abs(), 1e-12);
            worst.add("step", (series.step - number(&expected["step"])).abs(), 1e-9);
        }
        CiftiAxis::BrainModels(models) => {
            equal("type", json!("BrainModelAxis"));
            let structure = |model: &scan::BrainModel| {
                let n_surface = match &model.places {
                    Places::Vertices { n_surface, .. } => Some(*n_surface),
                    Places::Voxels(_) => None,
                };
                json!({
                    "name": model.structure, "offset": model.offset,
                    "count": model.places.n_places(), "surface_vertices": n_surface,
                })
            };
            equal("structures", models.models.iter().map(structure).collect());
            let places: Vec<Place> = models.places().map(|(_, place)| place).collect();
            let vertex = |place: &Place| match place {
                Place::Vertex(vertex) => json!(vertex),
                Place::Voxel(_) => json!(-1),
            };
            let voxel = |place: &Place| match place {
                Place::Voxel(voxel) => json!(voxel),
                Place::Vertex(_) => json!([-1, -1, -1]),
            };
            equal("first_vertices", places.iter().take(8).map(vertex).collect());
            let last = &places[places.len().saturating_sub(4)..];
            equal("last_voxels_ijk", last.iter().map(voxel).collect());
            if let Some(volume) = &models.volume {
                equal("volume_shape", json!(volume.shape));
                let affine = numbers(&expected["volume_affine"]);
                if affine.len() == 16 {
                    worst.add("affine", max_abs(volume.affine.as_flattened(), &affine), 1e-9);
                }
            }
        }
        CiftiAxis::Parcels(parcels) => {
            equal("type", json!("ParcelsAxis"));
            equal("names", parcels.iter().map(|parcel| json!(parcel.name)).collect());
            equal("n_voxels", parcels.iter().map(|parcel| json!(parcel.voxels.len())).collect());
            let vertices = |parcel: &scan::CiftiParcel| {
                let lists = parcel.vertices.iter();
                lists.map(|(name, list)| (name.clone(), json!(list.len()))).collect::<Value>()
            };
            equal("n_vertices", parcels.iter().map(vertices).collect());
        }
        CiftiAxis::Scalars(names) => {
            equal("type", json!("ScalarAxis"));
            equal("names", json!(names));
        }
        CiftiAxis::Labels(maps) => {
            equal("type", json!("LabelAxis"));
            equal("names", maps.iter().map(|map| json!(map.name)).collect());
            let recorded = expected["labels"].as_array().cloned().unwrap_or_default();
            for (map, expected) in maps.iter().zip(&recorded) {
                let found: Value = map
                    .labels
                    .iter()
                    .map(|(label, name)| (label.to_string(), json!(name)))
                    .collect();
                let names = expected.as_object().into_iter().flatten();
                let expected: Value = names.map(|(k, v)| (k.clone(), v[0].clone())).collect();
                worst.equal("labels", &found, &expected);
            }
        }
    }
}

fn label_means(folder: &Path, recorded: &Recorded) -> Result<Worst> {
    let case = &recorded.facts["cifti_label_means"];
    let file = |key: &str| folder.join(case[key].as_str().unwrap_or_default());
    let series = GrayordinateAtlas::read(file("dlabel"))?
        .extract(&DenseSeries::Cifti(CiftiFile::open(file("dtseries"))?))?;
    let mut worst = Worst::new();
    let labels: Vec<f64> = series.parcels.iter().map(|parcel| parcel.label.into()).collect();
    worst.equal("labels", &labels, &numbers(&case["labels"]));
    let expected = recorded.tensor(case["tensor"].as_str().context("no tensor")?)?;
    worst.add("means", max_rel(&series.values, expected), 1e-9);
    Ok(worst)
}
