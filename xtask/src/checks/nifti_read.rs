//! `oracles/nifti_read`: files, headers and voxels as nibabel reads them.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{
    Outcome, Worst,
    recorded::{Recorded, max_abs, max_rel, number, numbers},
};

/// One outcome a file.
pub(crate) fn outcomes(folder: &Path) -> Vec<Outcome> {
    let recorded = match Recorded::read(folder) {
        Ok(recorded) => recorded,
        Err(error) => return vec![Outcome::broken("nifti_read", error)],
    };
    let cases = |kind: &str| recorded.facts[kind].as_array().cloned().unwrap_or_default();
    let mut outcomes = Vec::new();
    for case in [cases("synthetic"), cases("real")].concat() {
        let name = file(&case);
        outcomes.push(match good(folder, &case, &recorded) {
            Ok(worst) => Outcome::compared(&name, worst),
            Err(error) => Outcome::broken(&name, error),
        });
    }
    for case in cases("malformed_or_unsupported") {
        let name = file(&case);
        outcomes.push(match bad(folder, &case, &recorded) {
            Ok(worst) => Outcome::compared(&name, worst),
            Err(error) => Outcome::broken(&name, error),
        });
    }
    outcomes
}

fn file(case: &Value) -> String {
    case["file"].as_str().unwrap_or("a case without a file").to_owned()
}

/// A file that must be read, with all that its header says.
fn good(folder: &Path, case: &Value, recorded: &Recorded) -> Result<Worst> {
    let path = folder.join(file(case));
    let mut worst = Worst::new();
    let values = match scan::read_values(&path) {
        Err(scan::Error::Unsupported { .. }) if case["tier"] == "extended" => {
            worst.equal("a clear refusal", &true, &true);
            return Ok(worst);
        }
        values => values?,
    };
    let shape: Vec<usize> = numbers(&case["shape"]).iter().map(|&n| n as usize).collect();
    // We leave axes of one beyond the fourth away.
    let kept = shape.len().min(values.ndim().max(4));
    worst.equal("shape", values.shape(), &shape[..kept]);
    header(&path, case, &mut worst)?;

    let dtype = case["dtype_on_disk"].as_str().unwrap_or_default();
    let unscaled = number(&case["slope_applied"]) == 1.0 && number(&case["inter_applied"]) == 0.0;
    let exact = unscaled && !dtype.starts_with('f');
    if let Some(name) = case["tensor"].as_str() {
        let expected = recorded.tensor(name)?;
        let tolerance = if unscaled { 0.0 } else { 1e-12 };
        worst.add("voxels", max_rel(values.iter(), expected.iter()), tolerance);
    }
    let n = values.len() as f64;
    let finite = |x: &f64| if x.is_finite() { *x } else { 0.0 };
    let weighted = values.iter().enumerate().map(|(i, x)| finite(x) * (i as f64 * 1e-3).cos());
    let found = weighted.sum::<f64>();
    let size: f64 = values.iter().map(|x| finite(x).abs()).sum();
    let expected = number(&case["sum_weighted"]);
    worst.add("weighted sum", (found - expected).abs() / size.max(1.0), 1e-9);
    if number(&case["n_nonfinite"]) == 0.0 {
        let mean = values.sum() / n;
        let std = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        for (what, found) in [("mean", mean), ("std", std)] {
            let expected = number(&case[what]);
            worst.add(what, (found - expected).abs() / (mean.abs() + std).max(1e-300), 1e-9);
        }
    }
    if values.ndim() == 4 && case["per_volume_mean"].is_array() {
        let means: Vec<f64> = values
            .axis_iter(ndarray::Axis(3))
            .map(|frame| frame.sum() / frame.len() as f64)
            .collect();
        let expected = numbers(&case["per_volume_mean"]);
        worst.add("per-volume means", max_rel(&means, &expected), 1e-9);
    }
    if case["per_slice_mean_k"].is_array() {
        let slices = values.axis_iter(ndarray::Axis(2));
        let means: Vec<f64> = slices.map(|slice| slice.sum() / slice.len() as f64).collect();
        let expected = numbers(&case["per_slice_mean_k"]);
        worst.add("per-slice means", max_rel(&means, &expected), 1e-9);
    }
    if let Some(places) = case["sample_index"].as_array() {
        let at = |place: &Value| {
            let place: Vec<usize> = numbers(place).iter().map(|&n| n as usize).collect();
            values.get(place.as_slice()).copied().unwrap_or(f64::NAN)
        };
        let found: Vec<f64> = places.iter().map(at).collect();
        let expected = numbers(&case["sample_value"]);
        let tolerance = if exact { 0.0 } else { 1e-12 };
        worst.add("sampled voxels", max_rel(&found, &expected), tolerance);
    }
    Ok(worst)
}

fn header(path: &Path, case: &Value, worst: &mut Worst) -> Result<()> {
    let inspection = scan::inspect(path)?;
    let json = serde_json::to_value(&inspection)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let code = |dtype: &str| {
        let kind = match dtype.trim_end_matches(char::is_numeric) {
            "float" => 'f',
            "uint" => 'u',
            _ => 'i',
        };
        let bits: usize = dtype.trim_start_matches(char::is_alphabetic).parse().unwrap_or_default();
        format!("{kind}{}", bits / 8)
    };
    worst.equal("dtype", &code(&inspection.dtype), &text(&case["dtype_on_disk"]));
    worst.equal("byte order", &json["byte_order"], &case["endianness"]);
    let format = match text(&case["format"]).as_str() {
        "Nifti1Image" => "nifti1",
        "Nifti1Pair" => "nifti1_pair",
        "Nifti2Image" => "nifti2",
        _ => "nifti2_pair",
    };
    worst.equal("format", &text(&json["format"]), &format.to_owned());
    let source = match text(&case["affine_source"]).as_str() {
        "sform" => "sform",
        "qform" => "qform",
        _ => "zooms",
    };
    worst.equal("affine source", &text(&json["affine_source"]), &source.to_owned());
    let tolerance = if source == "qform" { 1e-4 } else { 1e-5 };
    let affine = inspection.affine.as_flattened();
    worst.add("affine", max_abs(affine, &numbers(&case["affine"])), tolerance);
    worst.equal("axcodes", &json["axcodes"], &case["axcodes"]);
    worst.equal("sform code", &json["sform_code"], &case["sform_code"]);
    worst.equal("qform code", &json["qform_code"], &case["qform_code"]);
    let zooms = numbers(&case["zooms"]);
    let n = zooms.len().min(3);
    worst.add("zooms", max_abs(&inspection.zooms[..n], &zooms[..n]), 1e-9);
    worst.equal("space unit", &json["space_unit"], &case["xyz_unit"]);
    worst.equal("time unit", &json["time_unit"], &case["time_unit"]);
    // A repetition time that is 0 or cannot be one must be refused, not repeated.
    let expected = case["tr_seconds"].as_f64().filter(|t_r| (0.05..=30.0).contains(t_r));
    match (inspection.t_r, expected) {
        (Some(found), Some(expected)) => {
            worst.add("repetition time", (found - expected).abs() / expected, 1e-12);
        }
        (found, expected) => worst.equal("repetition time", &found, &expected),
    }
    let scaling = inspection.scaling.map_or((1.0, 0.0), |s| (s.slope, s.inter));
    let expected = (number(&case["slope_applied"]), number(&case["inter_applied"]));
    worst.equal("slope and intercept", &scaling, &expected);
    Ok(())
}

/// A file that must be refused, or read exactly like another.
fn bad(folder: &Path, case: &Value, recorded: &Recorded) -> Result<Worst> {
    let path = folder.join(file(case));
    let must = case["must"].as_str().unwrap_or_default();
    let mut worst = Worst::new();
    if must.starts_with("error when the affine is used") {
        // As a run, or as an image where that is what it is.
        let refused = scan::BoldFile::open(&path).is_err() && scan::read_bold(&path).is_err();
        worst.equal("refused where a grid is needed", &refused, &true);
        return Ok(worst);
    }
    match scan::read_values(&path) {
        Err(error) => {
            let sentence = error.to_string();
            worst.equal(
                "names the file",
                &sentence.starts_with(&path.display().to_string()),
                &true,
            );
        }
        Ok(values) if must.contains("int16_scaled.nii") || must.starts_with("read it") => {
            let expected = recorded.tensor("int16_scaled").context("the file it must equal")?;
            worst.add("voxels", max_rel(values.iter(), expected.iter()), 1e-12);
        }
        Ok(_) if must.contains("or support it") => worst.equal("read", &true, &true),
        Ok(_) => worst.equal("read", &"what must be refused", &"an error"),
    }
    Ok(worst)
}
