//! `oracles/hdf5_cifti`, its HDF5 half: datasets, layouts and attributes as h5py reads them.

use std::path::Path;

use anyhow::{Context, Result, bail};
use ndarray::Axis;
use scan::{Attribute, CohortFile, Hdf5File, NodeKind, OpenOptions};
use serde_json::{Value, json};

use super::{
    Outcome, Worst,
    recorded::{Recorded, max_abs, number, numbers},
};

/// One outcome a dataset, a damaged file or a group with attributes.
pub(crate) fn outcomes(folder: &Path, recorded: &Recorded) -> Vec<Outcome> {
    let cases = |kind: &str| recorded.facts[kind].as_array().cloned().unwrap_or_default();
    let mut outcomes = Vec::new();
    for case in cases("hdf5") {
        let name = format!("{} {}", text(&case, "file"), text(&case, "dataset"));
        outcomes.push(outcome(&name, check(folder, &case, recorded)));
    }
    for case in cases("hdf5_damaged") {
        let name = text(&case, "file");
        outcomes.push(outcome(name, damaged(folder, name)));
    }
    for (group, expected) in
        recorded.facts["hdf5_attributes_nested"].as_object().into_iter().flatten()
    {
        let found = || {
            let file = Hdf5File::open(folder.join("nested.h5"))?;
            let mut worst = Worst::new();
            compare_attributes(&file.attributes(group)?, expected, &mut worst);
            Ok(worst)
        };
        outcomes.push(outcome(&format!("nested.h5 attributes of {group}"), found()));
    }
    outcomes
}

fn outcome(name: &str, result: Result<Worst>) -> Outcome {
    match result {
        Ok(worst) => Outcome::compared(name, worst),
        Err(error) => Outcome::broken(name, format!("{error:#}")),
    }
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_default()
}

fn check(folder: &Path, case: &Value, recorded: &Recorded) -> Result<Worst> {
    let path = folder.join(text(case, "file"));
    let name = text(case, "dataset");
    let file = Hdf5File::open(&path)?;
    let mut worst = Worst::new();
    layout(&file, name, case, &mut worst)?;
    let expected = &case["value"];
    if let Some(tensor) = case["tensor"].as_str() {
        let (found, expected) = (file.read(name)?, recorded.tensor(tensor)?);
        worst.equal("shape", found.shape(), expected.shape());
        worst.add("values", max_abs(&found, expected), 0.0);
        if case["shape"].as_array().is_some_and(|shape| shape.len() == 3) {
            cohort(&path, name, expected, &mut worst)?;
        }
    } else if expected.is_null() || expected[0].is_array() {
        // links out of the file or to nowhere, and records: a sentence instead of numbers
        let Err(error) = file.read(name) else { bail!("was read, expected a refusal") };
        worst.equal(
            "refusal names the file",
            &error.to_string().contains(text(case, "file")),
            &true,
        );
    } else if expected.is_string() || expected[0].is_string() {
        let expected = if expected.is_array() { expected.clone() } else { json!([expected]) };
        worst.equal("texts", &json!(file.read_texts(name)?), &expected);
    } else {
        let found = file.read(name)?;
        if found.is_empty() {
            worst.equal("shape", &json!(found.shape()), expected);
        } else {
            worst.add("values", max_abs(&found, &numbers(expected)), 0.0);
        }
    }
    if case["attrs"].is_object() {
        compare_attributes(&file.attributes(name)?, &case["attrs"], &mut worst);
    }
    Ok(worst)
}

/// Chunks, filters and types as h5py names them.
fn layout(file: &Hdf5File, name: &str, case: &Value, worst: &mut Worst) -> Result<()> {
    let Some(dtype) = case["dtype_on_disk"].as_str() else { return Ok(()) };
    let nodes = file.nodes()?;
    let node = nodes.iter().find(|node| node.path.trim_matches('/') == name);
    let node = node.with_context(|| format!("{name} is not listed"))?;
    let NodeKind::Dataset { dtype: found, chunk, filters, .. } = &node.kind else {
        bail!("{name} is listed as no dataset")
    };
    let (order, kind) = dtype.split_at(1);
    let (letter, width) = kind.split_at(1);
    let width: usize = width.parse()?;
    let word = match letter {
        "f" => "float",
        "i" => "int",
        _ => "uint",
    };
    let order = if order == ">" { " big-endian" } else { "" };
    worst.equal("type", found, &format!("{word}{}{order}", 8 * width));
    worst.equal("chunks", &json!(chunk), &case["chunks"]);
    let has = |filter: &str| filters.iter().any(|found| found.starts_with(filter));
    let compressed = if has("gzip") { json!("gzip") } else { json!(has("lzf").then_some("lzf")) };
    worst.equal("compression", &compressed, &case["compression"]);
    for filter in ["shuffle", "fletcher32"] {
        worst.equal(filter, &json!(has(filter)), &case[filter]);
    }
    worst.equal("scaleoffset", &has("scaleoffset"), &!case["scaleoffset"].is_null());
    Ok(())
}

/// Every subject by itself, without the frames of padding.
fn cohort(
    path: &Path,
    name: &str,
    expected: &ndarray::ArrayD<f64>,
    worst: &mut Worst,
) -> Result<()> {
    let options =
        OpenOptions { t_r: Some(1.0), dataset: Some(name.to_owned()), ..OpenOptions::default() };
    let cohort = CohortFile::open(path, &options)?;
    for (subject, expected) in cohort.subjects().iter().zip(expected.axis_iter(Axis(0))) {
        let found = cohort.read(subject)?;
        let frames = expected.axis_iter(Axis(0));
        let n_kept = frames.rev().skip_while(|frame| frame.iter().all(|x| x.is_nan())).count();
        worst.equal("frames of a subject", &found.n_frames(), &n_kept);
        let kept = expected.slice_axis(Axis(0), (..n_kept).into());
        worst.add("series of a subject", max_abs(&found.values, &kept), 0.0);
    }
    Ok(())
}

fn damaged(folder: &Path, name: &str) -> Result<Worst> {
    let read = || -> scan::Result<()> {
        Hdf5File::open(folder.join(name))?.read("parcel_ts")?;
        Ok(())
    };
    let Err(error) = read() else { bail!("was read, expected an error") };
    let mut worst = Worst::new();
    worst.equal("error names the file", &error.to_string().contains(name), &true);
    worst.equal("error is one line", &error.to_string().lines().count(), &1);
    Ok(worst)
}

fn compare_attributes(found: &[(String, Attribute)], expected: &Value, worst: &mut Worst) {
    for (name, expected) in expected.as_object().into_iter().flatten() {
        let value = found.iter().find(|(found, _)| found == name).map(|(_, value)| value);
        match value {
            Some(Attribute::Numbers(found)) => {
                let expected: Vec<f64> =
                    if expected.is_array() { numbers(expected) } else { vec![number(expected)] };
                worst.add(name, max_abs(found, &expected), 0.0);
            }
            Some(Attribute::Texts(found)) => {
                // one text carries a remark on how it is stored
                let plain = |text: &str| {
                    json!(text.split_once(" (fixed-length").map_or(text, |(text, _)| text))
                };
                let expected =
                    expected.as_str().map_or_else(|| expected.clone(), |text| json!([plain(text)]));
                worst.equal(name, &json!(found), &expected);
            }
            None => worst.add(name, f64::INFINITY, 0.0),
        }
    }
}
