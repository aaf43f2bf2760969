//! Cases recorded from what the code around the encoders does with a recording.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use ndarray::{Array2, Array4, ArrayD, Axis, Ix2};
use scan::{
    Affine, Bold, EncoderPolicy, FittedNormalisation, Normalisation, PadPolicy, picked_frames,
};
use serde_json::Value;

use crate::checks::{
    Worst,
    recorded::{Recorded, listed, number},
};

/// The kinds that this file knows.
pub(in crate::checks) const KINDS: [&str; 4] = [
    "cortex_mae_preprocess",
    "brain_jepa_preprocess",
    "brain_semantoks_preprocess",
    "swift_preprocess",
];

/// Compares everything that a case of one of [`KINDS`] records.
pub(in crate::checks) fn run(folder: &Path, kind: &str) -> Result<Worst> {
    let recorded = Recorded::read_named(folder, "case.json", "io.safetensors")?;
    for name in listed(&recorded.facts) {
        recorded.tensor(name)?;
    }
    let mut case = Case { recorded, worst: Worst::new(), compared: Vec::new() };
    match kind {
        "cortex_mae_preprocess" => case.cortex_mae()?,
        "brain_jepa_preprocess" => case.brain_jepa()?,
        "brain_semantoks_preprocess" => case.brain_semantoks()?,
        _ => case.swift()?,
    }
    for name in listed(&case.recorded.facts).filter(|name| !name.starts_with("input.")) {
        ensure!(case.compared.contains(name), "nothing was compared with {name}");
    }
    Ok(case.worst)
}

struct Case {
    recorded: Recorded,
    worst: Worst,
    compared: Vec<String>,
}

impl Case {
    /// The runs of the case: name, repetition time in seconds.
    fn runs(&self) -> Result<Vec<(String, f64)>> {
        let runs = self.recorded.facts["config"]["runs"].as_object();
        let runs = runs.context("case.json has no config.runs")?;
        Ok(runs.iter().map(|(name, run)| (name.clone(), number(&run["tr"]))).collect())
    }

    fn has(&self, name: &str) -> bool {
        self.recorded.tensor(name).is_ok()
    }

    fn matrix(&self, name: &str) -> Result<Array2<f64>> {
        let found = self.recorded.tensor(name)?.clone();
        found.into_dimensionality::<Ix2>().with_context(|| name.to_owned())
    }

    /// The absolute tolerance of a tensor: the longest beginning of its name that has one.
    fn atol(&self, name: &str) -> Result<f64> {
        let all = self.recorded.facts["tolerance"]["atol"].as_object();
        let all = all.context("case.json has no tolerance.atol")?;
        let fits = |key: &&String| name.starts_with(key.as_str()) || name.ends_with(key.as_str());
        let key = all.keys().filter(fits).max_by_key(|key| key.len());
        let key = key.with_context(|| format!("case.json has no tolerance of {name}"))?;
        all[key].as_f64().with_context(|| format!("tolerance.atol.{key} is not a number"))
    }

    /// `|a − b| ≤ atol + rtol |b|`; the share of values for which it does not hold, and how far they
    /// are, where the case allows some.
    fn compare<'a>(
        &mut self,
        name: &str,
        found: impl IntoIterator<Item = &'a f64>,
        shape: &[usize],
    ) -> Result<()> {
        let (atol, rtol) = (self.atol(name)?, self.rtol());
        let expected = self.expected(name, shape)?;
        let mut share = 0f64;
        for (a, b) in found.into_iter().zip(&expected) {
            let one = (a - b).abs() / (atol + rtol * b.abs());
            share = if one.is_nan() { f64::NAN } else { share.max(one) };
        }
        self.worst.add(name, share * atol, atol);
        Ok(())
    }

    fn rtol(&self) -> f64 {
        self.recorded.facts["tolerance"]["rtol"].as_f64().unwrap_or(0.0)
    }

    fn expected(&mut self, name: &str, shape: &[usize]) -> Result<ArrayD<f64>> {
        let expected = self.recorded.tensor(name)?.clone();
        let found = expected.shape();
        ensure!(found == shape, "{name}: shape {shape:?}, recorded {found:?}");
        self.compared.push(name.to_owned());
        Ok(expected)
    }

    fn equal(&mut self, name: &str, found: &[f64], shape: &[usize]) -> Result<()> {
        let expected: Vec<f64> = self.expected(name, shape)?.into_iter().collect();
        self.worst.equal(name, found, expected.as_slice());
        Ok(())
    }

    /// As [`Self::compare`], but one value in a thousand may descend from a 16-bit number that was
    /// rounded the other way.
    fn compare_halves(&mut self, name: &str, found: &Array2<f64>, shape: &[usize]) -> Result<()> {
        const SHARE: f64 = 1e-3;
        const FAR: f64 = 5e-3;
        let (atol, rtol) = (self.atol(name)?, self.rtol());
        let expected = self.expected(name, shape)?;
        let (mut n_off, mut most, mut inside) = (0, 0.0_f64, 0.0_f64);
        for (a, b) in found.iter().zip(&expected) {
            let gap = (a - b).abs();
            if gap <= atol + rtol * b.abs() {
                inside = inside.max(gap);
            } else {
                n_off += 1;
                most = if gap.is_nan() { f64::INFINITY } else { most.max(gap) };
            }
        }
        let share = f64::from(n_off) / found.len().max(1) as f64;
        self.worst.add(name, inside, atol + rtol * 3.0);
        self.worst.add(&format!("{name}: share of other roundings"), share, SHARE);
        self.worst.add(&format!("{name}: values of other roundings"), most, FAR);
        Ok(())
    }

    fn cortex_mae(&mut self) -> Result<()> {
        let policy = EncoderPolicy::CortexMae;
        let config = self.recorded.facts["config"].clone();
        says(&config, "target_tr", policy.rate().map_or(f64::NAN, |rate| rate.t_r_s))?;
        says(&config, "clip_vmax", 3.0)?;
        let windows = policy.windows(None);
        says(&config, "num_frames", windows.n_frames as f64)?;
        for (run, t_r_s) in self.runs()? {
            let recording = self.matrix(&format!("input.{run}"))?;
            let n = recording.ncols();
            // what the reader keeps: the scale over time, in 16 bits
            let mean = recording.mean_axis(Axis(0)).context("a run has frames")?;
            let spread = recording.std_axis(Axis(0), 0.0);
            // of a parcel that hardly varies both are kept as 0
            let varies = spread.mapv(|spread| f64::from(u8::from(spread > 1e-6)));
            let (mean, spread) = (mean * &varies, spread * &varies);
            self.relative(&format!("read.{run}.mean"), &mean.to_vec(), n)?;
            self.relative(&format!("read.{run}.std"), &spread.to_vec(), n)?;
            let read = scan::half_parcel_z(&recording);
            self.halves(&format!("read.{run}.bold_f16"), &read)?;
            let fitted = policy.fit(std::slice::from_ref(&recording))?;
            let found = policy.prepare(&recording, t_r_s, &fitted, 0.0)?.values;
            self.compare_halves(&format!("frames.{run}"), &found, found.shape())?;
            let cut = windows.cut(found.view())?;
            let shape = [cut.len(), windows.n_frames, n];
            let views: Vec<_> = cut.iter().map(|window| window.values.view()).collect();
            let all = ndarray::concatenate(Axis(0), &views)?;
            self.compare_halves(&format!("windows.{run}"), &all, &shape)?;
            let real = |window: &scan::Window| {
                let of = |frame: usize| f64::from(u8::from(frame < window.n_real));
                (0..windows.n_frames).flat_map(move |frame| vec![of(frame); n]).collect::<Vec<_>>()
            };
            let mask: Vec<f64> = cut.iter().flat_map(real).collect();
            self.equal(&format!("windows.{run}.mask"), &mask, &shape)?;
        }
        Ok(())
    }

    /// Values of which the case gives one relative tolerance.
    fn relative(&mut self, name: &str, found: &[f64], n: usize) -> Result<()> {
        let tolerance = self.recorded.facts["tolerance"]["read_mean_std_rtol"].as_f64();
        let rtol = tolerance.unwrap_or(1e-6);
        let expected = self.expected(name, &[1, n])?;
        let gaps = found.iter().zip(&expected).map(|(a, b)| {
            // a constant parcel has no spread, but its rounding may
            if *a == *b { 0.0 } else { (a - b).abs() / b.abs().max(1e-3) }
        });
        self.worst.add(name, gaps.fold(0.0, f64::max), rtol);
        Ok(())
    }

    /// Numbers in 16 bits: at most one value in a thousand is a unit apart.
    fn halves(&mut self, name: &str, found: &Array2<f64>) -> Result<()> {
        let expected = self.expected(name, found.shape())?;
        let (mut n_other, mut most) = (0, 0.0_f64);
        for (&found, &expected) in found.iter().zip(&expected) {
            let unit = expected.abs().max(2_f64.powi(-14)).log2().floor().exp2() / 1024.0;
            let units = (found - expected).abs() / unit;
            n_other += usize::from(units > 0.0);
            most = most.max(units);
        }
        self.worst.add(&format!("{name}: units in the last place"), most, 1.0);
        let share = n_other as f64 / found.len() as f64;
        self.worst.add(&format!("{name}: share of other roundings"), share, 1e-3);
        Ok(())
    }

    fn brain_jepa(&mut self) -> Result<()> {
        let config = self.recorded.facts["config"].clone();
        let policy = EncoderPolicy::BrainJepaEvaluation;
        says(&config, "num_frames", policy.windows(None).n_frames as f64)?;
        says(&config, "target_tr", policy.rate().map_or(f64::NAN, |rate| rate.t_r_s))?;
        let starts = config["starts"].as_array().filter(|_| self.has("input.recording"));
        for start in starts.into_iter().flatten() {
            let recording = self.matrix("input.recording")?.t().to_owned();
            let name = format!("downstream.start_{start}");
            let start = number(start);
            let policy = EncoderPolicy::BrainJepaFinetuning;
            let fitted = policy.fit(std::slice::from_ref(&recording))?;
            let found = policy.prepare(&recording, 1.0, &fitted, start)?.values;
            let frames = picked_frames(start, recording.nrows())?;
            let frames: Vec<f64> = frames.into_iter().map(|frame| frame as f64).collect();
            self.equal(&format!("{name}.frames"), &frames, &[frames.len()])?;
            self.parcels_first(&name, &found)?;
        }
        if self.has("input.cohort") {
            self.pretraining()?;
        }
        for (run, t_r_s) in self.runs()? {
            let recording = self.matrix(&format!("input.{run}"))?;
            let n = recording.ncols();
            // what is given to it: the recording at mean 0 and spread 1 (n), undone again
            let mean = recording.mean_axis(Axis(0)).context("a run has frames")?;
            let spread = recording.std_axis(Axis(0), 0.0);
            let fitted = policy.fit(std::slice::from_ref(&recording))?;
            let found = policy.prepare(&recording, t_r_s, &fitted, 0.0)?.values;
            for (name, pad) in [("mean", PadPolicy::MeanFrame), ("tile", PadPolicy::Repeat)] {
                let cut = policy.windows(Some(pad)).cut(found.view())?;
                self.parcels_first(&format!("brainmarks.{run}.{name}"), &cut[0].values)?;
            }
            if self.has(&format!("brainmarks.{run}.z")) {
                let z = (&recording - &mean) / &spread;
                self.compare(&format!("brainmarks.{run}.z"), &z, z.shape())?;
            }
            if self.has(&format!("brainmarks.{run}.std")) {
                self.compare(&format!("brainmarks.{run}.std"), &spread, &[1, n])?;
            }
        }
        Ok(())
    }

    fn pretraining(&mut self) -> Result<()> {
        let cohort = self.recorded.tensor("input.cohort")?.clone();
        let turned = |recording: ndarray::ArrayViewD<'_, f64>| {
            Ok(recording.into_dimensionality::<Ix2>()?.t().to_owned())
        };
        let cohort: Vec<Array2<f64>> =
            cohort.axis_iter(Axis(0)).map(turned).collect::<Result<_>>()?;
        let fitted = FittedNormalisation::fit(Normalisation::RobustMeans, &cohort, 1)?;
        let n = fitted.shift().len();
        self.compare("pretraining.medians", fitted.shift(), &[n])?;
        self.compare("pretraining.iqrs", fitted.scale(), &[n])?;
        self.parcels_first("pretraining.recording_0", &fitted.apply(&cohort[0])?)?;
        Ok(())
    }

    /// A window `(n_frames, n_parcels)` with one recorded as `(1, n_parcels, n_frames)`.
    fn parcels_first(&mut self, name: &str, found: &Array2<f64>) -> Result<()> {
        let turned = found.t();
        let shape = [1, turned.nrows(), turned.ncols()];
        let values: Vec<f64> = turned.iter().copied().collect();
        self.compare(name, &values, &shape)
    }

    fn brain_semantoks(&mut self) -> Result<()> {
        let policy = EncoderPolicy::BrainSemantoksEvaluation;
        let config = self.recorded.facts["config"].clone();
        let windows = policy.windows(None);
        says(&config, "target_tr", policy.rate().map_or(f64::NAN, |rate| rate.t_r_s))?;
        says(&config, "target_length", windows.n_frames as f64)?;
        let patch = number(&config["patch_size"]) as usize;
        let n_networks = number(&config["num_networks"]) as usize;
        for (run, t_r_s) in self.runs()? {
            let recording = self.matrix(&format!("input.{run}"))?;
            let fitted = policy.fit(std::slice::from_ref(&recording))?;
            let z = fitted.apply(&recording)?.t().to_owned();
            self.compare(&format!("zscored.{run}"), &z, z.shape())?;
            let found = policy.prepare(&recording, t_r_s, &fitted, 0.0)?.values;
            let window = &windows.cut(found.view())?[0];
            let turned = window.values.t().to_owned();
            self.compare(&format!("signal.{run}"), &turned, turned.shape())?;
            let n_patches = windows.n_frames / patch;
            let first = window.n_real.div_ceil(patch);
            let of_network = (0..n_patches).map(|at| f64::from(u8::from(at >= first)));
            let mask = of_network.collect::<Vec<_>>().repeat(n_networks);
            self.equal(&format!("signal.{run}.mask"), &mask, &[n_networks, n_patches])?;
            let sos = format!("low_pass.{run}.sos");
            if self.has(&sos) {
                let rate = policy.rate().context("it resamples")?;
                let sections = scan::anti_alias_sections(t_r_s, rate.t_r_s);
                let all: Vec<f64> = sections.iter().flatten().copied().collect();
                self.compare(&sos, &all, &[sections.len(), 6])?;
            }
        }
        Ok(())
    }

    fn swift(&mut self) -> Result<()> {
        let policy = EncoderPolicy::SwiftEvaluation;
        let config = self.recorded.facts["config"].clone();
        let windows = policy.windows(None);
        says(&config, "target_tr", policy.rate().map_or(f64::NAN, |rate| rate.t_r_s))?;
        says(&config, "sequence_length", windows.n_frames as f64)?;
        let places = self.matrix("input.mask_zyx")?;
        for (run, t_r_s) in self.runs()? {
            let values = self.matrix(&format!("input.{run}"))?;
            let mut volumes = Array4::<f32>::zeros((91, 109, 91, values.nrows()));
            for (place, series) in places.rows().into_iter().zip(values.columns()) {
                let [z, y, x] = [0, 1, 2].map(|axis| place[axis] as usize);
                for (frame, &value) in series.iter().enumerate() {
                    volumes[[x, y, z, frame]] = value as f32;
                }
            }
            let rows =
                [[2., 0., 0., -90.], [0., 2., 0., -126.], [0., 0., 2., -72.], [0., 0., 0., 1.]];
            let scan = Bold::new(volumes, Affine::new(rows)?, t_r_s)?;
            let found = policy.volumes(scan.reoriented("LAS".parse()?)?)?;
            let mut found = found.into_data();
            if found.dim().3 < windows.n_frames {
                // the run filled up with its mean frame, as a window of it is
                let missing = windows.n_frames - found.dim().3;
                let mean = found.mapv(f64::from).mean_axis(Axis(3)).context("a run has frames")?;
                let mean = mean.mapv(|x| x as f32).insert_axis(Axis(3));
                let more: Vec<_> = (0..missing).map(|_| mean.view()).collect();
                let more = ndarray::concatenate(Axis(3), &more)?;
                found = ndarray::concatenate(Axis(3), &[found.view(), more.view()])?;
            }
            let (x, y, z, n) = found.dim();
            let shape = [x, y, z, n].map(|side| side as f64);
            let name = |what: &str| format!("output.{run}.{what}");
            self.equal(&name("shape"), &shape, &[4])?;
            let filler = f64::from(found.iter().copied().fold(f32::INFINITY, f32::min));
            self.compare(&name("fill"), &[filler], &[1])?;
            let (mut places, mut series) = (Vec::new(), Vec::new());
            for (at, lane) in found.lanes(Axis(3)).into_iter().enumerate() {
                if lane.iter().any(|x| f64::from(*x) != filler) {
                    places.extend([at / (y * z), at / z % y, at % z].map(|at| at as f64));
                    series.extend(lane.iter().map(|x| f64::from(*x)));
                }
            }
            let n_places = places.len() / 3;
            self.equal(&name("places"), &places, &[n_places, 3])?;
            self.compare(&name("values"), &series, &[n_places, n])?;
        }
        Ok(())
    }
}

/// Refuses a case with another number under this key than the policy's.
fn says(config: &Value, key: &str, expected: f64) -> Result<()> {
    let found = number(&config[key]);
    ensure!(found == expected, "config.{key} is {found}, the policy's is {expected}");
    Ok(())
}
