//! Models that see tokens of a whole scan: the stages before them as they were, what was fitted to the
//! cohort, the atlas and the encoder, so that any scan goes the way of the cohort's.
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use encoder::{EncoderConfig, FrozenEncoder, InputShape};
use flamingo::{Model, PackageFile};
use preprocess::{
    Recording, names, places,
    steps::{
        FITTED, LIKENESS, Likeness, NormaliseConfig, PrepareConfig, Sides, columns, look,
        normalised, ordered,
    },
};
use report::{counted, prompt::PromptTemplate, slots::SlotSet};
use scan::{FittedNormalisation, WindowsConfig};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{KnownScan, Look, Packed, part, section, windows::NO_CONFOUNDS};
use crate::{
    Error, OneScan, Place, Result,
    media::Media,
    one::Timed,
    stage::{AboutTokens, PreparedScan, Stage, TokenSet, VOLUME_LIKENESS, given, technique},
};

const FORMAT: u32 = 2;

/// The key that only this section has.
pub(super) const SECTION: &str = "tokens";

/// Where a package keeps the atlas.
const ATLAS: &str = "atlas";

/// The section `preprocessing` of a model that is shown tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FromTokens {
    format: u32,
    tokens: AboutTokens,
    /// The windows that the encoder reads.
    windows: InputShape,
    /// The stages between a scan and the model; their files lie in the package.
    stages: Vec<Stage>,
    /// The shortest and the longest repetition time of the cohort's scans where they are encoded.
    t_r_s: [f64; 2],
    prompt: PromptTemplate,
    pub(super) slots: SlotSet,
    pub(super) temperature: f64,
    /// Scans of the cohort table, so that their windows can be asked for by number.
    pub(super) scans: Vec<KnownScan>,
}

/// What a run's package holds.
pub(super) fn packed(media: &Media<'_>, set: &TokenSet, temperature: f64) -> Result<Packed> {
    let encoder = media.plan.loaded.encoder().expect("tokens come from an encoder");
    let windows = given::input(&encoder, media)?;
    let (mut stages, mut files) = (Vec::new(), Vec::new());
    if given::stored(&encoder).is_none() {
        let all = media.plan.spec().stages().iter();
        stages = all.filter(|stage| is_needed(stage, windows)).cloned().collect();
        for stage in &mut stages {
            files.extend(take_in(stage, media)?);
        }
    }
    let section = FromTokens {
        format: FORMAT,
        tokens: set.about.clone(),
        windows,
        stages,
        t_r_s: times(set)?,
        prompt: media.prompt_template().clone(),
        slots: media.slots().clone(),
        temperature,
        scans: KnownScan::all(media.cohort()),
    };
    let section = serde_json::to_value(section).expect("plain values");
    let is_before = !encoder.trainable().moves() && given::stored(&encoder).is_none();
    Ok(Packed { section, files, frozen_encoder: is_before.then_some(encoder) })
}

/// Whether the windows of one scan depend on a stage.
fn is_needed(stage: &Stage, windows: InputShape) -> bool {
    let reads_volumes = matches!(windows, InputShape::Volume { .. });
    match stage {
        Stage::Parcellate(config) => !reads_volumes || config.mirror_check.is_some(),
        Stage::OrderParcels(_)
        | Stage::Denoise(_)
        | Stage::ResampleTime(_)
        | Stage::Normalise(_) => !reads_volumes,
        Stage::Volumes(_) => reads_volumes,
        Stage::Prepare(_) | Stage::Windows(_) | Stage::Encode(_) => true,
        _ => false,
    }
}

/// The files that a stage needs, which it names as they lie in the package from now on.
fn take_in(stage: &mut Stage, media: &Media<'_>) -> Result<Vec<PackageFile>> {
    let parcels = media.parcels.as_ref().map(|it| &it.about);
    let fitted = |name: &str, text: String| {
        vec![PackageFile { name: name.to_owned(), bytes: text.into_bytes(), licence: None }]
    };
    match stage {
        Stage::Prepare(config) if config.policy.reads_volumes() => Ok(Vec::new()),
        Stage::Normalise(_) | Stage::Prepare(_) => {
            // the package holds what was taken
            if let Stage::Normalise(NormaliseConfig { stats, .. })
            | Stage::Prepare(PrepareConfig { stats, .. }) = stage
            {
                *stats = None;
            }
            let normalisation = parcels.and_then(|it| it.normalisation.as_ref());
            Ok(fitted(FITTED, files::to_json(normalisation.expect("it was fitted"))))
        }
        Stage::Volumes(_) => {
            let likeness = media.volume_likeness.as_ref();
            Ok(likeness.map_or_else(Vec::new, |it| fitted(VOLUME_LIKENESS, files::to_json(it))))
        }
        Stage::Parcellate(config) => {
            let likeness = parcels.and_then(|it| it.likeness.as_ref());
            let mut all = likeness.map_or_else(Vec::new, |it| fitted(LIKENESS, files::to_json(it)));
            let atlas = &mut config.atlas;
            let parts = [
                ("labels", &mut atlas.labels),
                ("coordinates", &mut atlas.coordinates),
                ("names", &mut atlas.names),
            ];
            let given = parts.into_iter().filter_map(|(name, it)| Some((name, it.as_mut()?)));
            for (name, path) in given {
                let from = media.place(path);
                *path = inside(name, &from);
                for half in scan::files_of_scan(&from) {
                    all.push(PackageFile {
                        name: inside(name, &half).display().to_string(),
                        bytes: files::read_bytes(&half)?,
                        licence: Some("the atlas's own".to_owned()),
                    });
                }
            }
            Ok(all)
        }
        _ => Ok(Vec::new()),
    }
}

/// Where a file of the atlas lies in a package: called by what it is, with its own ending, and by its
/// hemisphere, as which it is found again beside the other.
fn inside(name: &str, file: &Path) -> PathBuf {
    let ending = |path: &Path| path.extension().map(|it| format!(".{}", it.to_string_lossy()));
    let last = ending(file).unwrap_or_default();
    let before =
        if last == ".gz" { ending(Path::new(file.file_stem().unwrap_or_default())) } else { None };
    let side = scan::hemisphere_of_name(file).map_or_else(String::new, |side| format!("{side}."));
    Path::new(ATLAS).join(format!("{side}{name}{}{last}", before.unwrap_or_default()))
}

/// The shortest and the longest repetition time.
fn times(set: &TokenSet) -> Result<[f64; 2]> {
    let mut range = [f64::INFINITY, 0.0];
    for unit in set.units.iter().flatten() {
        let t_r_s = TokenSet::facts(unit)?.t_r_s;
        range = [range[0].min(t_r_s), range[1].max(t_r_s)];
    }
    Ok(range)
}

/// A package of a model that sees tokens of a whole scan.
pub(crate) struct TokenReader {
    dir: PathBuf,
    pub(super) section: FromTokens,
    normalisation: Option<FittedNormalisation>,
    likeness: Option<Likeness>,
    volume_likeness: Option<Likeness>,
    /// None where the encoder is part of the model.
    frozen: Option<FrozenEncoder>,
}

/// What was fitted in the training, from the part `name`.
fn fitted<T: DeserializeOwned>(part: &dyn Fn(&Path) -> Result<PathBuf>, name: &str) -> Result<T> {
    Ok(files::read_json(&part(Path::new(name))?)?)
}

impl TokenReader {
    pub(super) fn open(dir: &Path, model: &Model) -> Result<Self> {
        let section: FromTokens = section(dir, model, FORMAT)?;
        let (path, manifest) = (dir.to_owned(), model.manifest());
        let frozen = match &manifest.frozen_encoder {
            Some(encoder) => Some(FrozenEncoder::open(encoder, section.windows)?),
            None if matches!(manifest.config.encoder, EncoderConfig::Stored(_)) => {
                let encoder = section.tokens.encoder_id;
                return Err(Error::TokensOnly { path, encoder });
            }
            None => None,
        };
        if frozen.as_ref().is_some_and(|it| it.identity() != section.tokens.identity) {
            let problem = "its encoder is another one than made the tokens of its training";
            return Err(Error::Package { path, problem: problem.to_owned() });
        }
        let any = |asks: fn(&Stage) -> bool| section.stages.iter().any(asks);
        let normalises = any(|it| match it {
            Stage::Normalise(_) => true,
            Stage::Prepare(config) => !config.policy.reads_volumes(),
            _ => false,
        });
        let compares =
            any(|it| matches!(it, Stage::Parcellate(config) if config.mirror_check.is_some()));
        let compares_volumes =
            any(|it| matches!(it, Stage::Volumes(config) if config.mirror_check.is_some()));
        let part = |name: &Path| part(dir, model, name);
        for stage in &section.stages {
            if let Stage::Parcellate(config) = stage {
                let atlas = &config.atlas;
                let given = [&atlas.labels, &atlas.coordinates, &atlas.names].into_iter().flatten();
                given.into_iter().try_for_each(|it| part(it).map(drop))?;
            }
        }
        Ok(Self {
            normalisation: normalises.then(|| fitted(&part, FITTED)).transpose()?,
            likeness: compares.then(|| fitted(&part, LIKENESS)).transpose()?,
            volume_likeness: compares_volumes
                .then(|| fitted(&part, VOLUME_LIKENESS))
                .transpose()?,
            dir: path,
            section,
            frozen,
        })
    }

    pub(super) fn look(&self, one: &OneScan<'_>, known: Option<&KnownScan>) -> Result<Look> {
        let timed = &one.timed()?;
        let Timed { scan: one, start_s, .. } = timed;
        let onset_s = onset(one, known)?.map(|onset_s| onset_s - start_s);
        let scan = self.view(timed)?;
        let shown = self.shown(&scan, onset_s).map_err(|error| naming(one.path, error))?;
        let PreparedScan { seen, quality, .. } = &shown.prepared;
        let prompt = self.section.prompt.fill(&technique(quality));
        let stretch_s = seen.stretch_s(*start_s).expect("a scan that was read has frames");
        Ok(Look { medium: Arc::new(shown.medium), prompt, seen: seen.clone(), stretch_s })
    }

    /// The scan as stages see one of the cohort.
    fn view(&self, timed: &Timed<'_>) -> Result<Recording> {
        let Timed { scan: one, kept, .. } = timed;
        let refuse = |problem: &str| Error::NoSuchWindow {
            path: one.path.to_owned(),
            problem: problem.to_owned(),
        };
        let confounds = if self.section.stages.iter().any(Stage::asks_for_confounds) {
            let beside = || cohort::confounds_beside(one.path);
            let found = one.confounds.map(Path::to_owned).or_else(beside);
            Some(found.ok_or_else(|| {
                refuse(
                    "the model's stages take confounds out, and no table of them lies beside the scan: \
                     name it with --confounds",
                )
            })?)
        } else if one.confounds.is_some() {
            return Err(refuse(NO_CONFOUNDS));
        } else {
            None
        };
        let name = one.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Recording {
            subject: "unknown".to_owned(),
            session: None,
            name: name.clone(),
            unit: name.clone(),
            file: name,
            path: one.path.to_owned(),
            sha256: None,
            t_r_s: one.t_r,
            n_frames: None,
            kept: kept.clone(),
            confounds,
            coverage: cohort::coverage_beside(one.path),
            stacked: None,
        })
    }

    /// The stages, one after the other, as the cohort's scans went through them; where an onset is given,
    /// one window from there on instead of those of the stages.
    fn shown(&self, scan: &Recording, onset_s: Option<f64>) -> Result<Shown> {
        let (mut series, mut coordinates, mut volumes, mut cut) = (None, None, None, None);
        let mut parcels = Vec::new();
        for stage in &self.section.stages {
            match stage {
                Stage::Parcellate(config) => {
                    let atlas = config.read_atlas(&|path| self.dir.join(path))?;
                    let extracted = config.series(&atlas, scan, None)?;
                    if let (Some(check), Some(likeness)) = (&config.mirror_check, &self.likeness) {
                        let sides = Sides::of_parcels(atlas.parcels())?;
                        check.one(likeness, &sides, &look(&extracted))?;
                    }
                    coordinates = places(atlas.parcels());
                    parcels = atlas.parcels().to_vec();
                    series = Some(extracted);
                }
                Stage::OrderParcels(config) => {
                    let order = config.order(&names(&parcels))?;
                    parcels = ordered(&parcels, &order);
                    coordinates = places(&parcels);
                    series = series.map(|it| columns(it, &order));
                }
                Stage::Denoise(config) => {
                    series = series.map(|it| config.clean(scan, it)).transpose()?;
                }
                Stage::ResampleTime(config) => {
                    series = series.map(|it| config.resampled(it)).transpose()?;
                }
                Stage::Normalise(_) => {
                    let fitted = self.normalisation.as_ref().expect("it was opened");
                    series = series.map(|it| normalised(fitted, it)).transpose()?;
                }
                Stage::Volumes(config) => volumes = Some(config.clone()),
                Stage::Windows(config) => cut = Some(config.clone()),
                Stage::Prepare(config) => {
                    cut = Some(config.windows());
                    if let Some(volumes) =
                        volumes.as_mut().filter(|_| config.policy.reads_volumes())
                    {
                        volumes.policy = Some(config.policy);
                    } else {
                        let fitted = self.normalisation.as_ref().expect("it was opened");
                        series = series.map(|it| config.prepared(fitted, it)).transpose()?;
                    }
                }
                Stage::Encode(config) => {
                    let cut: WindowsConfig = cut.expect("the chain of stages was checked");
                    let prepared = match (&volumes, series) {
                        (Some(volumes), _) => {
                            let cohort = self.volume_likeness.as_ref();
                            PreparedScan::of_volumes(volumes, scan, &cut, cohort, onset_s)?
                        }
                        (None, Some(series)) => PreparedScan::of_series(series, &cut, onset_s)?,
                        (None, None) => break,
                    };
                    self.check_time(&scan.path, prepared.t_r_s)?;
                    let input = self.section.windows;
                    let tokens =
                        prepared.tokens(self.frozen.as_ref(), input, coordinates.as_deref())?;
                    return Ok(Shown { medium: config.medium(tokens, input), prepared });
                }
                _ => {}
            }
        }
        let problem = "its stages do not lead from a scan to tokens".to_owned();
        Err(Error::Package { path: self.dir.clone(), problem })
    }

    /// Refuses a scan of another rate than those of the cohort.
    fn check_time(&self, path: &Path, t_r_s: f64) -> Result<()> {
        let [shortest, longest] = self.section.t_r_s;
        if t_r_s > shortest * (1.0 - SAME) && t_r_s < longest * (1.0 + SAME) {
            return Ok(());
        }
        // headers hold 32 bits
        let [found, shortest, longest] = [t_r_s, shortest, longest].map(|it| it as f32);
        let range = if shortest < longest { format!(" to {longest} s") } else { String::new() };
        let problem = format!("TR is {found} s, the model was fitted to {shortest} s{range}");
        Err(Error::NoSuchWindow { path: path.to_owned(), problem })
    }
}

/// Repetition times this near to each other are the same.
const SAME: f64 = 1e-3;

/// A scan's tokens, and what they were made of.
struct Shown {
    medium: flamingo::Medium,
    prepared: PreparedScan,
}

/// `error` with the scan's name, once.
fn naming(path: &Path, error: Error) -> Error {
    if error.to_string().contains(&path.display().to_string()) {
        return error;
    }
    Error::Series { path: path.to_owned(), source: Box::new(error) }
}

/// The second that a window is asked for from; none where the scan is seen as the cohort's were.
fn onset(one: &OneScan<'_>, known: Option<&KnownScan>) -> Result<Option<f64>> {
    let refuse = |problem: String| Error::NoSuchWindow { path: one.path.to_owned(), problem };
    let number = match one.place {
        None => return Ok(None),
        Some(Place::Onset(onset_s)) => return Ok(Some(onset_s)),
        Some(Place::Window(number)) => number,
    };
    match known {
        _ if number == 1 => Ok(None),
        Some(known) if (1..=known.windows.len()).contains(&number) => Ok(None),
        Some(known) => {
            let n = counted(known.windows.len(), "window");
            Err(refuse(format!("has {n} in the model's cohort, found --window {number}")))
        }
        None => Err(refuse(
            "the model sees a scan as a whole and writes one report of it, expected neither --window nor \
             --onset; --onset shows it one window from there on"
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests;
