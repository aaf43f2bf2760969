//! `parity/brain`: what the encoders' own scripts make of scans before a model sees them.

use std::path::Path;

use anyhow::{Context, Result};
use ndarray::{Array2, Axis, Ix2, Ix4};
use scan::{
    Atlas, Background, BoldFile, ExtractConfig, FittedNormalisation, GlobalZ, Normalisation,
    OpenOptions, ReadOptions, SeriesAxes, read_series,
};

use super::{
    Outcome, Worst,
    recorded::{Recorded, listed, max_abs, number},
};

/// The kinds of cases that are run here.
pub(crate) const KINDS: [&str; 3] =
    ["brainlm_parcel_means", "brainlm_normalised_columns", "brainmt_preprocess"];

/// One case of a folder with `case.json` and `io.safetensors`.
pub(crate) fn outcome(folder: &Path, name: &str, kind: &str) -> Outcome {
    let check = || -> Result<Worst> {
        let recorded = Recorded::read_named(folder, "case.json", "io.safetensors")?;
        for name in listed(&recorded.facts) {
            recorded.tensor(name)?;
        }
        match kind {
            "brainlm_parcel_means" => parcel_means(folder, &recorded),
            "brainlm_normalised_columns" => columns(&recorded),
            _ => global_z(folder, &recorded),
        }
    };
    match check() {
        Ok(worst) => Outcome::compared(name, worst),
        Err(error) => Outcome::broken(name, format!("{error:#}")),
    }
}

fn file(folder: &Path, recorded: &Recorded, name: &str) -> std::path::PathBuf {
    folder.join(recorded.facts["files"][name].as_str().unwrap_or(name))
}

/// A number of the case's own `tolerance`, else the README's.
fn tolerance(recorded: &Recorded, key: &str, otherwise: f64) -> f64 {
    recorded.facts["tolerance"][key].as_f64().unwrap_or(otherwise)
}

fn parcel_means(folder: &Path, recorded: &Recorded) -> Result<Worst> {
    let expected = recorded.tensor("output.recording")?;
    let options = ReadOptions { t_r: Some(1.0) };
    let run = BoldFile::open_with(file(folder, recorded, "bold.nii.gz"), &options)?;
    let atlas = Atlas::read(file(folder, recorded, "atlas.nii.gz"))?;
    let config = ExtractConfig { brainlm_toolkit_compat: true, ..Default::default() };
    let series = atlas.extract(&run, &config, None)?;
    let mut worst = Worst::new();
    // The toolkit has a column for every number up to the last; an absent label is a column of 0.
    let mut found = Array2::zeros((series.n_frames(), expected.shape()[1]));
    for (parcel, column) in series.parcels.iter().zip(series.values.columns()) {
        found.column_mut(parcel.label as usize - 1).assign(&column);
    }
    let atol = tolerance(recorded, "atol", 1e-9);
    worst.add("means", max_abs(&found, expected), atol);
    let axes = Some(SeriesAxes::ByParcels(expected.shape()[1]));
    let options = OpenOptions { axes, t_r: Some(1.0), ..OpenOptions::default() };
    let table = read_series(file(folder, recorded, "bold.dat"), &options)?;
    worst.add("bold.dat", max_abs(&table.values, expected), atol);
    Ok(worst)
}

fn columns(recorded: &Recorded) -> Result<Worst> {
    use Normalisation as N;
    let pool = number(&recorded.facts["config"]["pool_window"]) as usize;
    let input = recorded.tensor("input.recordings")?;
    let recordings: Vec<Array2<f64>> = input
        .axis_iter(Axis(0))
        .map(|recording| Ok(recording.to_owned().into_dimensionality::<Ix2>()?))
        .collect::<Result<_>>()?;
    let mut worst = Worst::new();
    let robust = FittedNormalisation::fit(N::RobustPaper, &recordings, pool)?;
    let median = recorded.tensor("independent.robust_median")?;
    worst.add("medians", max_abs(robust.shift(), median), 1e-9);
    worst.add("ranges", max_abs(robust.scale(), recorded.tensor("independent.robust_iqr")?), 1e-9);
    let atol = tolerance(recorded, "atol", 2e-3);
    let min_max = tolerance(recorded, "min_max_columns_atol", 2e-6);
    let cases = [
        (N::RobustPaper, "independent.robust_intended", 1e-9),
        (N::RobustToolkitBug, "independent.robust_as_written", 1e-9),
        (N::RobustToolkitBug, "toolkit.Voxelwise_RobustScaler_Normalized_Recording", atol),
    ];
    for (kind, name, tolerance) in cases {
        let fit = FittedNormalisation::fit(kind, &recordings, pool)?;
        let expected = recorded.tensor(name)?;
        for (recording, expected) in recordings.iter().zip(expected.axis_iter(Axis(0))) {
            let found = fit.apply(recording)?;
            let expected = expected.into_dimensionality::<Ix2>()?;
            for (parcel, (found, expected)) in
                found.columns().into_iter().zip(expected.columns()).enumerate()
            {
                // Where they write NaN for a parcel without spread, we write 0 and say so.
                let error = if expected.iter().all(|x| x.is_nan()) {
                    let told = fit.unfitted().contains(&parcel);
                    if told && found.iter().all(|x| *x == 0.0) { 0.0 } else { f64::INFINITY }
                } else {
                    max_abs(found, expected)
                };
                worst.add(name, error, tolerance);
            }
        }
    }
    // the toolkit turns recordings round first, and still goes by columns
    let turned: Vec<_> = recordings.iter().map(|recording| recording.t().to_owned()).collect();
    let config = &recorded.facts["config"];
    for (source, recordings) in [("older_script", &recordings), ("toolkit", &turned)] {
        let demeaned = whole(N::Demean, recordings)?;
        let divided = |key: &str| demeaned.iter().map(|x| x / number(&config[key])).collect();
        for (what, found, tolerance) in [
            ("All_Patient_All_Voxel", whole(N::MinMaxCohort, recordings)?, min_max),
            ("Per_Patient_All_Voxel", whole(N::MinMaxRecording, recordings)?, min_max),
            ("Per_Patient_Per_Voxel", by_column(N::MinMaxRecording, recordings)?, min_max),
            ("Per_Voxel_All_Patient", by_column(N::MinMaxCohort, recordings)?, min_max),
            ("Subtract_Mean_Divide_Global_STD", divided("global_std"), atol),
            ("Subtract_Mean_Divide_Global_99thPercent", divided("percentile_99"), atol),
            ("Subtract_Mean", demeaned.clone(), atol),
        ] {
            let name = format!("{source}.{what}_Normalized_Recording");
            let expected = recorded.tensor(&name)?;
            worst.add(&name, max_abs(found.iter().flatten(), expected), tolerance);
        }
    }
    Ok(worst)
}

/// Recordings normalised by a formula without a pool.
fn whole(kind: Normalisation, recordings: &[Array2<f64>]) -> Result<Vec<Array2<f64>>> {
    let fit = FittedNormalisation::fit(kind, recordings, 0)?;
    Ok(recordings.iter().map(|recording| fit.apply(recording)).collect::<scan::Result<_>>()?)
}

/// The same with every column by itself.
fn by_column(kind: Normalisation, recordings: &[Array2<f64>]) -> Result<Vec<Array2<f64>>> {
    let mut found = recordings.to_vec();
    for idx in 0..found.first().map_or(0, Array2::ncols) {
        let alone: Vec<_> = recordings.iter().map(|it| it.select(Axis(1), &[idx])).collect();
        for (to, column) in found.iter_mut().zip(whole(kind, &alone)?) {
            to.column_mut(idx).assign(&column.column(0));
        }
    }
    Ok(found)
}

fn global_z(folder: &Path, recorded: &Recorded) -> Result<Worst> {
    let run = scan::read_bold(file(folder, recorded, "volume.nii.gz"))?;
    let fit = GlobalZ::measure(&run)?;
    let mut worst = Worst::new();
    for (what, found, key) in
        [("mean", fit.mean, "mean"), ("deviation", fit.deviation, "std_ddof1")]
    {
        let expected = number(&recorded.facts["derived"][key]);
        worst.add(
            what,
            (found - expected).abs() / expected.abs(),
            tolerance(recorded, "mean_std_rtol", 1e-7),
        );
    }
    let standard = fit.apply(&run, Background::Minimum)?;
    let expected = recorded
        .tensor("independent.z_norm_first_10_frames")?
        .clone()
        .into_dimensionality::<Ix4>()
        .context("four axes")?;
    let first = standard.data().slice(ndarray::s![.., .., .., ..expected.dim().3]);
    let first: Vec<f64> = first.iter().map(|&x| x.into()).collect();
    worst.add("first frames", max_abs(&first, &expected), 1e-6);
    // from 0 to 1: the same straight line with other numbers
    let largest = run.data().iter().filter(|x| **x != 0.0).fold(f32::MIN, |max, &x| max.max(x));
    let (mean, deviation) = (fit.minimum, f64::from(largest) - fit.minimum);
    let unit = GlobalZ { mean, deviation, ..fit };
    for (fit, background, name) in [
        (fit, Background::Minimum, "output.z_norm_f16"),
        (fit, Background::Zero, "output.z_norm_zero_background_f16"),
        (unit, Background::Minimum, "output.minmax_f16"),
    ] {
        let standard = fit.apply(&run, background)?;
        let expected = recorded.tensor(name)?;
        // Ours are rounded once from 64 bits, theirs from 32: a unit apart where that falls on an
        // edge, which the case allows for one value in a thousand.
        let (mut n_other, mut most) = (0, 0.0_f64);
        for (&found, &expected) in standard.data().iter().zip(expected) {
            let found = f64::from(found);
            let unit = found.abs().max(2_f64.powi(-14)).log2().floor().exp2() / 1024.0;
            let units = ((found / unit).round_ties_even() * unit - expected).abs() / unit;
            n_other += usize::from(units > 0.0);
            most = most.max(units);
        }
        let share = n_other as f64 / expected.len() as f64;
        worst.add(name, most, tolerance(recorded, "max_units_in_last_place", 1.0));
        let most = tolerance(recorded, "max_differing_share", 1e-3);
        worst.add("share of other roundings", share, most);
    }
    Ok(worst)
}
