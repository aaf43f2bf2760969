//! Whether preprocessing fits a masked autoencoder: how well it fills in patches that are hidden.
use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use encoder::{EncoderConfig, Filled, Fit, InputShape, InputSpace, Preparation, Reconstruction};
use engine::{Event, Observer};
use flamingo::DeviceName;
use ndarray::Array2;
use preprocess::{Kind, StoredSeries, steps::formula_name};
use scan::{
    FittedNormalisation, Normalisation, OpenOptions, PadPolicy, Scan, SeriesAxes, WindowPolicy,
    WindowsConfig,
};
use serde::Serialize;

use crate::{
    Component, Error, Result,
    event::{self, Control},
    plan::Plan,
    reasons,
    run::{hold, run_stages},
    spec::Loaded,
    stage::{Artifact, Stage},
};

/// Frames of each recording that robust formulas look at, as in BrainLM's.
const POOL_FRAMES: usize = 200;

/// How patches are hidden.
#[derive(Clone, Copy, Debug, Default)]
pub struct EncoderCheck {
    /// The share of them; absent: that of the training.
    pub mask_ratio: Option<f64>,
    /// Decides which.
    pub seed: u64,
    /// Where the encoder works; absent: where the pipeline says, or on the CPU.
    pub device: Option<DeviceName>,
}

/// Parcel series that no pipeline prepares.
#[derive(Clone, Debug)]
pub struct SeriesFiles<'a> {
    /// One recording a file.
    pub files: &'a [PathBuf],
    /// Where the parcels are; absent for encoders that do not ask.
    pub coordinates: Option<&'a Path>,
    /// Seconds between frames; absent: as each file says.
    pub t_r: Option<f64>,
    /// Formula that brings them to scale; absent: they are.
    pub normalise: Option<Normalisation>,
    /// Frames of a window; absent: as the weights were trained.
    pub window: Option<usize>,
}

/// How well an encoder filled in what was hidden.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckedEncoder {
    /// Name and version of the architecture.
    pub encoder: String,
    /// Its settings and weights, hashed.
    pub encoder_sha256: String,
    /// The share of patches that was hidden.
    pub mask_ratio: f64,
    /// What decided which.
    pub seed: u64,
    /// Frames of a window.
    pub n_frames: usize,
    /// Each scan.
    pub scans: Vec<CheckedScan>,
    /// Scans that could not be checked.
    pub n_failed: usize,
    /// All scans together.
    pub all: Fit,
}

/// One scan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckedScan {
    /// Its name in the cohort, or its file.
    pub name: String,
    /// Windows of it.
    pub n_windows: usize,
    /// What was found in them.
    #[serde(flatten)]
    pub fit: Fit,
}

/// Checks the encoder of a pipeline, or the one in `encoder`, on scans as the pipeline's stages up to the
/// windows prepare them.
///
/// # Errors
/// As a plan and a run, and where the encoder has no decoder or no scan is left.
pub fn check_encoder(
    pipeline: &Path,
    sets: &[String],
    encoder: Option<&Path>,
    how: EncoderCheck,
    observer: &mut dyn Observer<event::Event>,
    stop: &AtomicBool,
) -> Result<CheckedEncoder> {
    let mut sets = sets.to_vec();
    if let Some(path) = encoder {
        let file = component(path);
        let file = std::path::absolute(&file).unwrap_or(file);
        sets.push(format!(
            "model.encoder={{file: {}}}",
            files::to_json(&file.display().to_string())
        ));
    }
    let mut loaded = Loaded::read(pipeline, &sets)?;
    loaded.spec.repeat = None;
    let how = EncoderCheck { device: how.device.or(Some(loaded.spec.device)), ..how };
    let stages = &mut loaded.spec.stages.get_mut().0;
    let cut = |(at, stage): (usize, &Stage)| Some((at, stage.cut()?.sliding()?.clone()));
    let cut = stages.iter().enumerate().find_map(cut);
    let has_series = stages.iter().any(|stage| stage.gives(Artifact::Media(Kind::ParcelSeries)));
    let (Some((last, windows)), true) = (cut, has_series) else {
        let problem = "an encoder is checked on windows of parcel series, expected the stages \
                       parcellate, and sliding_windows or prepare";
        return Err(Error::StageInput { stage: "sliding_windows", problem: problem.to_owned() });
    };
    stages.truncate(last + 1);
    let missing = Error::MissingSection { stage: "encoder check", section: "model" };
    let config = loaded.encoder().ok_or(missing)?;
    let plan = Plan::new(loaded)?;
    let (n_voxels, _) = config.decoded().map_err(Error::Encode)?;
    let input = InputShape::Window { n_frames: windows.n_frames, n_voxels };
    let opened = Opened::new(&config, input, how)?;
    let lock = hold(&plan, &format!("{}-check-{}", plan.spec().name, std::process::id()))?;
    let mut control = Control::new(observer, stop).holding(lock.lost());
    let media = run_stages(&plan, &plan.runs[0], &mut control)?.media;
    let parcels = media.parcels.as_ref().expect("the chain of stages was checked");
    // the plan asks for them where the encoder does
    let places = parcels.about.coordinates().unwrap_or_default();
    let units = parcels.units.iter().zip(media.scans());
    let units = units.filter_map(|(unit, scan)| Some((unit.as_ref()?, scan)));
    let scans: Vec<_> = units.collect();
    let named = scans.iter().map(|(unit, scan)| {
        let series = || Ok(StoredSeries::read(unit)?.values);
        (scan.name.clone(), series)
    });
    let checked = opened.check(named.collect(), &windows, &places, &mut control)?;
    Ok(CheckedEncoder { n_failed: checked.n_failed + media.failures.len(), ..checked })
}

/// Checks the encoder in `encoder`, a package or a YAML file, on parcel series.
///
/// # Errors
/// Where a file cannot be read, or the encoder cannot read such series.
pub fn check_encoder_on_series(
    encoder: &Path,
    series: &SeriesFiles<'_>,
    how: EncoderCheck,
    observer: &mut dyn Observer<event::Event>,
    stop: &AtomicBool,
) -> Result<CheckedEncoder> {
    let config = read_component(encoder)?;
    let mut recordings = Vec::with_capacity(series.files.len());
    let (n_parcels, usual) = config.decoded().map_err(Error::Encode)?;
    let n_frames = series.window.unwrap_or(usual);
    let input = InputShape::Window { n_frames, n_voxels: n_parcels };
    let spec = config.spec(input)?;
    let places = series.coordinates.map(|path| scan::read_places(path, n_parcels)).transpose()?;
    let asks = matches!(spec.input, InputSpace::Parcels { coordinates: true, .. });
    let places = match places {
        None if asks => return Err(Error::NoCoordinates { encoder: spec.name }),
        places => places.unwrap_or_default(),
    };
    for path in series.files {
        let (values, t_r_s) = read_series(path, n_parcels, series.t_r)?;
        let InputSpace::Parcels { atlas, .. } = &spec.input else {
            unreachable!("it reads series")
        };
        let formula = series.normalise.map(formula_name);
        let given = Preparation {
            space: InputSpace::Parcels {
                atlas: atlas.clone(),
                n: values.ncols(),
                coordinates: true,
            },
            n_frames,
            t_r_s: Some(t_r_s),
            // series that are on their scale already say no formula
            normalisation: formula.or_else(|| spec.normalisations.first().cloned()),
        };
        let named = |source| Error::Series { path: path.clone(), source: Box::new(source) };
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        are_numbers(&file, &values)?;
        spec.check(&given).map_err(Error::Encode).map_err(named)?;
        recordings.push(values);
    }
    if let Some(formula) = series.normalise {
        let shortest = recordings.iter().map(Array2::nrows).min().unwrap_or(0);
        let fitted = FittedNormalisation::fit(formula, &recordings, POOL_FRAMES.min(shortest))?;
        for recording in &mut recordings {
            *recording = fitted.apply(recording)?;
        }
    }
    let windows = WindowsConfig {
        n_frames,
        policy: WindowPolicy::Tiled { stride: n_frames },
        pad: PadPolicy::Refuse,
    };
    let named = series.files.iter().zip(&recordings).map(|(path, recording)| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name, || Ok(recording.clone()))
    });
    let mut control = Control::new(observer, stop);
    let opened = Opened::new(&config, input, how)?;
    opened.check(named.collect(), &windows, &places, &mut control)
}

fn component(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(flamingo::ENCODER_COMPONENT) } else { path.to_owned() }
}

/// The encoder of a package or of a component's file, its weights found and unchanged.
fn read_component(path: &Path) -> Result<EncoderConfig> {
    let file = component(path);
    let read =
        Component::<EncoderConfig>::File { file }.inline_with(Path::new(""), |it, folder| {
            it.relocate(&|path| files::join(folder, path));
        })?;
    let mut config = read.get().clone();
    if let Some(encoder::WeightsSource::Package(dir)) = config.weights() {
        flamingo::check_encoder_weights(dir)?;
    }
    flamingo::find_encoder_weights(&mut config)?;
    Ok(config)
}

/// A recording `(n_frames, n_parcels)` and the seconds between its frames.
fn read_series(path: &Path, n_parcels: usize, t_r: Option<f64>) -> Result<(Array2<f64>, f64)> {
    let axes = Some(SeriesAxes::ByParcels(n_parcels));
    let options = OpenOptions { t_r, axes, ..OpenOptions::default() };
    match scan::open(path, &options)?.scan {
        Scan::Series(series) => Ok((series.values, series.t_r)),
        other => {
            let problem = format!(
                "is {}, expected a parcel series; a pipeline file prepares scans",
                other.kind()
            );
            Err(Error::NoSuchWindow { path: path.to_owned(), problem })
        }
    }
}

/// Refuses series with values that are no numbers, as `n/a` in a table: what they are filled in as says
/// nothing about the encoder.
fn are_numbers(name: &str, series: &Array2<f64>) -> Result<()> {
    let mut bad = series.indexed_iter().filter(|(_, x)| !x.is_finite());
    let Some(((frame, parcel), _)) = bad.next() else { return Ok(()) };
    let (n, of) = (1 + bad.count(), series.len());
    let problem = format!(
        "{n} of {of} values are not numbers, the first in frame {frame}, parcel {}",
        parcel + 1
    );
    Err(Error::NoSuchWindow { path: name.into(), problem })
}

struct Opened {
    network: Reconstruction,
    encoder: String,
    seed: u64,
}

impl Opened {
    fn new(config: &EncoderConfig, input: InputShape, how: EncoderCheck) -> Result<Self> {
        let device = how.device.unwrap_or_default().open().map_err(flamingo::Error::from)?;
        let network = Reconstruction::open(config, input, how.mask_ratio, &device)?;
        Ok(Self { network, encoder: config.spec(input)?.id, seed: how.seed })
    }

    fn check(
        &self,
        scans: Vec<(String, impl Fn() -> Result<Array2<f64>>)>,
        windows: &WindowsConfig,
        places: &[[f64; 3]],
        control: &mut Control<'_>,
    ) -> Result<CheckedEncoder> {
        let stage = "check";
        let (mut checked, mut all, mut first) = (Vec::new(), Filled::default(), None);
        let total = scans.len();
        let mut n_failed = 0;
        for (at, (name, series)) in scans.into_iter().enumerate() {
            control.checkpoint()?;
            match series().and_then(|it| self.scan(&name, &it, windows, places)) {
                Ok((scan, filled)) => {
                    checked.push(scan);
                    all = all.with(&filled);
                }
                Err(error) => {
                    let reason = reasons::of_file(&error, Path::new(&name), &name);
                    control.unit_failed(stage, (at, total), &name, &reason);
                    n_failed += 1;
                    first.get_or_insert(error);
                }
            }
            control.tell(Event::Advanced { stage, done: at + 1, total });
        }
        let Some(all) = all.fit() else {
            let nothing = || {
                let problem = "no scan is left".to_owned();
                Error::StageInput { stage: "sliding_windows", problem }
            };
            return Err(first.unwrap_or_else(nothing));
        };
        Ok(CheckedEncoder {
            encoder: self.encoder.clone(),
            encoder_sha256: self.network.identity().to_owned(),
            mask_ratio: self.network.mask_ratio(),
            seed: self.seed,
            n_frames: windows.n_frames,
            scans: checked,
            n_failed,
            all,
        })
    }

    /// Windows that are filled up are left out: what was made up is no truth.
    fn scan(
        &self,
        name: &str,
        series: &Array2<f64>,
        windows: &WindowsConfig,
        places: &[[f64; 3]],
    ) -> Result<(CheckedScan, Filled)> {
        are_numbers(name, series)?;
        let whole = |it: &scan::Window| it.n_real == windows.n_frames;
        let cut: Vec<scan::Window> =
            windows.cut(series.view())?.into_iter().filter(whole).collect();
        let mut filled = Filled::default();
        for window in &cut {
            let values: Vec<f32> = window.values.iter().map(|&x| x as f32).collect();
            // the same patches are hidden in every scan, whatever it is called and wherever it stands
            let place = format!("frame {}", window.first_frame);
            let one = self.network.fill(&values, places, self.seed, &place).map_err(|error| {
                let problem = format!("from frame {}: {error}", window.first_frame);
                Error::NoSuchWindow { path: name.into(), problem }
            })?;
            filled = filled.with(&one);
        }
        let Some(fit) = filled.fit() else {
            let problem = format!(
                "{name} has no whole window of {} frames in which anything varies",
                windows.n_frames
            );
            return Err(Error::StageInput { stage: "sliding_windows", problem });
        };
        Ok((CheckedScan { name: name.to_owned(), n_windows: cut.len(), fit }, filled))
    }
}
