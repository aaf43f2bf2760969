//! `oracles/fmri_signals`: series, cleaning, confounds, resampling and connectivity as nilearn has
//! them.

mod settings;

use std::{cell::RefCell, collections::HashMap, path::Path};

use anyhow::{Context, Result, ensure};
use ndarray::{Array2, Array4, ArrayD, Axis, Ix2, Zip};
use scan::{
    Atlas, Bold, BoldFile, ConfoundTable, ConnectivityKind, CovarianceEstimator, Frames,
    Interpolation, ParcelSeries, Range, ReadOptions, Resampler, Smoother, Volume, clean_signals,
    connectivity,
};
use serde_json::Value;

use self::settings::{Masker, strategy};
use super::{
    Outcome, Worst,
    recorded::{Recorded, max_abs, max_rel, number, numbers},
};

/// One outcome a variant, strategy or tensor.
pub(crate) fn outcomes(folder: &Path) -> Vec<Outcome> {
    match Checks::open(folder) {
        Ok(checks) => checks.all(),
        Err(error) => vec![Outcome::broken("fmri_signals", format!("{error:#}"))],
    }
}

struct Checks {
    recorded: Recorded,
    run: BoldFile,
    atlas: Atlas,
    mask: Option<Volume>,
    table: ConfoundTable,
    /// Series by what decides them; many variants clean the same ones.
    raw: RefCell<HashMap<String, ParcelSeries>>,
}

impl Checks {
    fn open(folder: &Path) -> Result<Self> {
        let recorded = Recorded::read(folder)?;
        let facts = &recorded.facts;
        let path = |value: &Value| -> Result<_> {
            Ok(folder.join(value.as_str().context("a file name is missing")?))
        };
        let checks = Self {
            run: BoldFile::open(path(&facts["bold"]["file"])?)?,
            atlas: Atlas::read(path(&facts["atlas"]["file"])?)?,
            mask: path(&facts["mask_img"]).ok().map(scan::read_volume).transpose()?,
            table: ConfoundTable::read(path(&facts["confounds"])?)?,
            raw: RefCell::default(),
            recorded,
        };
        let expected = number(&checks.recorded.facts["bold"]["t_r"]);
        let found = checks.run.t_r();
        ensure!((found - expected).abs() < 1e-6, "{}: t_r is {found}", folder.display());
        Ok(checks)
    }

    fn all(&self) -> Vec<Outcome> {
        let facts = &self.recorded.facts;
        let mut outcomes = vec![
            outcome("atlas_on_bold_grid", self.atlas_on_grid()),
            outcome("volume", self.volumes()),
            outcome("fd_power", self.displacement()),
            outcome("small", self.small()),
        ];
        let each = |key: &str| facts[key].as_object().cloned().unwrap_or_default();
        for (name, case) in each("variants") {
            outcomes.push(outcome(&format!("roi.{name}"), self.variant(&case)));
        }
        for (name, case) in each("strategies") {
            outcomes.push(outcome(&format!("strategy.{name}"), self.strategy(&case)));
        }
        for (name, case) in each("connectivity") {
            outcomes.push(outcome(&format!("fc.{name}"), self.connectivity(&name, &case)));
        }
        if facts["real"]["bold_file"].is_string() {
            outcomes.extend(self.real());
        }
        outcomes
    }

    fn folder(&self) -> &Path {
        self.run.path().parent().unwrap_or(Path::new(""))
    }

    fn tensor2(&self, name: &str) -> Result<Array2<f64>> {
        Ok(self.recorded.tensor(name)?.clone().into_dimensionality::<Ix2>()?)
    }

    fn atlas_on_grid(&self) -> Result<Worst> {
        let mut worst = Worst::new();
        let found: Vec<f64> = self.atlas.on(self.run.grid()).into_iter().map(f64::from).collect();
        let expected = self.recorded.tensor("atlas_on_bold_grid")?;
        worst.add("labels", max_abs(&found, expected.t().iter()), 0.0);
        let series = self.series(&Masker::default())?;
        let expected = numbers(&self.recorded.facts["atlas"]["labels_lost_on_bold_grid"]);
        let lost: Vec<f64> = series.lost.iter().map(|&label| label.into()).collect();
        worst.equal("lost labels", &lost, &expected);
        let labels: Vec<f64> = series.parcels.iter().map(|parcel| parcel.label.into()).collect();
        worst.equal("labels", &labels, &numbers(&self.recorded.facts["atlas"]["labels"]));
        let at = |label: &i32| series.parcels.iter().position(|p| p.label == *label);
        let zero = series
            .lost
            .iter()
            .filter_map(at)
            .all(|column| series.values.column(column).iter().all(|x| *x == 0.0));
        worst.equal("lost labels are columns of zeros", &zero, &true);
        Ok(worst)
    }

    fn volumes(&self) -> Result<Worst> {
        let facts = &self.recorded.facts;
        let index = number(&facts["intermediate_volume_index"]) as usize;
        let mut image = vec![0.0; self.run.grid().n_voxels()];
        self.run.each(&mut |frame, values| {
            if frame == index {
                values.read(&mut image);
            }
            Ok(())
        })?;
        let mut worst = Worst::new();
        let mut compare = |name: &str, found: &[f64], tolerance: f64| -> Result<()> {
            let expected: &ArrayD<f64> = self.recorded.tensor(name)?;
            worst.add(name, max_rel(found, expected.t().iter()), tolerance);
            Ok(())
        };
        let mut smoothed = image.clone();
        Smoother::new(self.run.grid(), [6.0; 3]).apply(&mut smoothed);
        compare("volume.smoothed_6mm", &smoothed, 1e-10)?;
        for (name, interpolation) in [
            ("cubic", Interpolation::Cubic),
            ("linear", Interpolation::Linear),
            ("nearest", Interpolation::Nearest),
        ] {
            let resampler = Resampler::new(self.run.grid(), self.atlas.grid(), interpolation);
            let mut seen = resampler.apply(&image);
            Range::of(&image).clip(&mut seen);
            compare(&format!("volume.on_atlas_grid_{name}"), &seen, 1e-6)?;
        }
        Ok(worst)
    }

    fn displacement(&self) -> Result<Worst> {
        let names = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"];
        let mut motion = Array2::zeros((self.table.n_frames(), 6));
        for (name, mut column) in names.iter().zip(motion.columns_mut()) {
            let series = self.table.column(name).with_context(|| format!("no column {name}"))?;
            column.iter_mut().zip(series).for_each(|(to, &x)| *to = x);
        }
        let found = scan::framewise_displacement(motion.view());
        let mut worst = Worst::new();
        worst.add("fd", max_abs(&found, self.recorded.tensor("fd_power")?), 1e-12);
        Ok(worst)
    }

    fn series(&self, masker: &Masker) -> Result<ParcelSeries> {
        let key = masker.extraction_key();
        if let Some(known) = self.raw.borrow().get(&key) {
            return Ok(known.clone());
        }
        let mask = self.mask.as_ref().filter(|_| masker.masked);
        let series = self.atlas.extract(&self.run, &masker.extract, mask)?;
        self.raw.borrow_mut().insert(key, series.clone());
        Ok(series)
    }

    fn variant(&self, case: &Value) -> Result<Worst> {
        let mut masker = Masker::of(&case["masker"])?;
        if case["smooth_axes"].is_array() {
            let axes = numbers(&case["smooth_axes"]);
            masker.extract.smoothing_fwhm_mm = Some(axes.try_into().ok().context("three axes")?);
        }
        masker.signal.nilearn_compat = case["interpolation"] == "nilearn";
        let series = self.series(&masker)?;
        let confounds = match case["confound_matrix"].as_str() {
            Some(name) => Some(self.tensor2(name)?),
            // a run that is smoothed before has them of what it became
            None if masker.high_variance && case["smooth_axes"].is_array() => {
                let run = self.smoothed(masker.extract.smoothing_fwhm_mm)?;
                Some(scan::high_variance_confounds(&run, 5, 2.0)?)
            }
            None if masker.high_variance => Some(scan::high_variance_confounds(&self.run, 5, 2.0)?),
            None => None,
        };
        let censored: Option<Vec<usize>> = case["censored_volumes"]
            .is_array()
            .then(|| numbers(&case["censored_volumes"]).iter().map(|&n| n as usize).collect());
        let kept: Option<Vec<usize>> =
            censored.map(|out| (0..self.run.n_frames()).filter(|t| !out.contains(t)).collect());
        let t_r = case["t_r"].as_f64().unwrap_or(1.0);
        let expected = self.tensor2(case["output"].as_str().context("no output")?)?;
        let labels = numbers(&case["labels"]);
        let told = case["nilearn_dtype"] == "float32";
        masker.single = told || masker.is_single(self.run.path())?;
        cleaned(&series, &labels, t_r, confounds.as_ref(), kept.as_deref(), &masker, &expected)
    }

    fn smoothed(&self, fwhm_mm: Option<[f64; 3]>) -> Result<Bold> {
        let (grid, n_frames) = (self.run.grid(), self.run.n_frames());
        let smoother = fwhm_mm.map(|fwhm| Smoother::new(grid, fwhm));
        let [nx, ny, nz] = grid.shape;
        let mut data = Array4::zeros((nx, ny, nz, n_frames));
        let mut image = vec![0.0; grid.n_voxels()];
        self.run.each(&mut |index, frame| {
            frame.read(&mut image);
            if let Some(smoother) = &smoother {
                smoother.apply(&mut image);
            }
            let mut to = data.index_axis_mut(Axis(3), index);
            to.indexed_iter_mut()
                .for_each(|((x, y, z), to)| *to = image[x + nx * (y + ny * z)] as f32);
            Ok(())
        })?;
        Ok(Bold::new(data, grid.affine.clone(), self.run.t_r())?)
    }

    fn strategy(&self, case: &Value) -> Result<Worst> {
        let chosen = self.table.select(&strategy(case)?)?;
        let mut worst = Worst::new();
        let names: Vec<Value> = chosen.names.iter().map(|name| name.as_str().into()).collect();
        worst.equal("columns", &Value::from(names), &case["columns"]);
        let expected = self.tensor2(case["confounds"].as_str().context("no confounds")?)?;
        for (found, expected) in chosen.values.columns().into_iter().zip(expected.columns()) {
            let size = expected.iter().fold(0.0_f64, |size, x| size.max(x.abs()));
            worst.add("confounds", max_abs(found, expected), 1e-9 * size.max(1e-12));
        }
        if let Some(name) = case["sample_mask"].as_str() {
            let kept: Vec<f64> = chosen.kept.iter().flatten().map(|&frame| frame as f64).collect();
            worst.add("kept frames", max_abs(&kept, self.recorded.tensor(name)?), 0.0);
        }
        let mut masker = Masker::of(&case["masker"])?;
        masker.single = masker.is_single(self.run.path())?;
        let series = self.series(&masker)?;
        let labels: Vec<f64> = series
            .parcels
            .iter()
            .filter(|parcel| !series.lost.contains(&parcel.label))
            .map(|parcel| parcel.label.into())
            .collect();
        let t_r = case["t_r"].as_f64().unwrap_or(1.0);
        let expected = self.tensor2(case["output"].as_str().context("no output")?)?;
        let kept = chosen.kept.as_deref();
        let more = cleaned(&series, &labels, t_r, Some(&chosen.values), kept, &masker, &expected)?;
        Ok(worst.joined(more))
    }

    fn connectivity(&self, tag: &str, case: &Value) -> Result<Worst> {
        use ConnectivityKind as Kind;
        use CovarianceEstimator::{Empirical, LedoitWolf};
        let series = self.tensor2(case["input"].as_str().context("no input")?)?;
        let mut worst = Worst::new();
        let mut kinds = vec![
            ("pearson", Kind::Correlation, Empirical),
            ("lw_covariance", Kind::Covariance, LedoitWolf),
            ("lw_precision", Kind::Precision, LedoitWolf),
            ("lw_correlation", Kind::Correlation, LedoitWolf),
            ("lw_partial", Kind::PartialCorrelation, LedoitWolf),
        ];
        if case["partial_empirical_reliable"] == true {
            kinds.push(("partial_empirical", Kind::PartialCorrelation, Empirical));
        }
        for (name, kind, estimator) in kinds {
            let found = connectivity(&series, kind, estimator)?;
            let expected = self.tensor2(&format!("fc.{tag}.{name}"))?;
            if kind == Kind::Precision {
                worst.add(name, max_rel(&found, &expected), 1e-7);
            } else {
                worst.add(name, max_abs(&found, &expected), 1e-9);
            }
        }
        let pearson = connectivity(&series, Kind::Correlation, Empirical)?;
        let z = scan::fisher_z(&pearson);
        worst.add("fisher_z", max_abs(&z, &self.tensor2(&format!("fc.{tag}.fisher_z"))?), 1e-9);
        let triangle = scan::lower_triangle(&pearson);
        let expected = self.recorded.tensor(&format!("fc.{tag}.pearson_vec_nodiag"))?;
        worst.add("triangle", max_abs(&triangle, expected), 1e-9);
        for (key, series) in [
            ("ledoit_wolf_shrinkage_on_series_as_given", &series),
            ("ledoit_wolf_shrinkage_on_zscored_series", &zscored(&series)),
        ] {
            let (_, shrinkage) = scan::ledoit_wolf(series)?;
            worst.add("shrinkage", (shrinkage - number(&case[key])).abs(), 1e-9);
        }
        Ok(worst)
    }

    /// A 32-bit run with values that are not finite, and an atlas stored the other way round.
    fn small(&self) -> Result<Worst> {
        let case = &self.recorded.facts["small"];
        let file = |key: &str| self.folder().join(case[key].as_str().unwrap_or_default());
        let options = ReadOptions { t_r: Some(1.0) };
        let run = BoldFile::open_with(file("bold"), &options)?;
        let series = Atlas::read(file("atlas"))?.extract(&run, &Masker::default().extract, None)?;
        let mut worst = Worst::new();
        let expected = self.tensor2(case["output"].as_str().context("no output")?)?;
        let tolerance = if case["nilearn_dtype"] == "float32" { 1e-5 } else { 1e-10 };
        worst.add("means", max_rel(&series.values, &expected), tolerance);
        Ok(worst)
    }

    fn real(&self) -> Vec<Outcome> {
        let facts = self.recorded.facts["real"].clone();
        let file = |key: &str| self.folder().join(facts[key].as_str().unwrap_or_default());
        let mut outcomes = Vec::new();
        let bold = || -> Result<_> {
            let options = ReadOptions { t_r: facts["bold_t_r"].as_f64() };
            Ok((
                BoldFile::open_with(file("bold_file"), &options)?,
                Atlas::read(file("atlas_file"))?,
            ))
        };
        for (name, case) in facts.as_object().into_iter().flatten() {
            let Some(variant) = name.strip_prefix("bold.") else { continue };
            let check = || -> Result<Worst> {
                let (run, atlas) = bold()?;
                let mut masker = Masker::of(&case["masker"])?;
                masker.single = masker.is_single(run.path())?;
                let series = atlas.extract(&run, &masker.extract, None)?;
                let expected = self.tensor2(&format!("real.bold.{variant}"))?;
                let labels = numbers(&case["labels"]);
                cleaned(&series, &labels, run.t_r(), None, None, &masker, &expected)
            };
            outcomes.push(outcome(&format!("real.{name}"), check()));
        }
        for (name, case) in facts["series_clean"].as_object().into_iter().flatten() {
            let check = || -> Result<Worst> {
                let masker = Masker::of(case)?;
                let series = self.tensor2("real.series")?;
                let t_r = number(&facts["series_t_r"]);
                let found = clean_signals(&series, t_r, None, None, &masker.signal)?;
                let expected = self.tensor2(&format!("real.series.{name}"))?;
                let mut worst = Worst::new();
                masker.compare(&mut worst, &found, &expected);
                Ok(worst)
            };
            outcomes.push(outcome(&format!("real.series.{name}"), check()));
        }
        outcomes
    }
}

fn outcome(name: &str, result: Result<Worst>) -> Outcome {
    match result {
        Ok(worst) => Outcome::compared(name, worst),
        Err(error) => Outcome::broken(name, format!("{error:#}")),
    }
}

/// Cleans the columns of some labels and compares them.
fn cleaned(
    series: &ParcelSeries,
    labels: &[f64],
    t_r: f64,
    confounds: Option<&Array2<f64>>,
    kept: Option<&[usize]>,
    masker: &Masker,
    expected: &Array2<f64>,
) -> Result<Worst> {
    let column = |label: &f64| series.parcels.iter().position(|p| f64::from(p.label) == *label);
    let columns: Option<Vec<usize>> = labels.iter().map(column).collect();
    let values = series.values.select(Axis(1), &columns.context("a label is no parcel")?);
    let found = clean_signals(&values, t_r, confounds, kept, &masker.signal)?;
    let mut worst = Worst::new();
    worst.equal("shape", found.shape(), expected.shape());
    masker.compare(&mut worst, &found, expected);
    Ok(worst)
}

fn zscored(series: &Array2<f64>) -> Array2<f64> {
    let mut scaled = series.clone();
    let (mean, std) = (series.mean_axis(Axis(0)), series.std_axis(Axis(0), 1.0));
    if let Some(mean) = mean {
        Zip::from(scaled.rows_mut()).for_each(|mut row| row -= &mean);
    }
    scaled / std
}
