//! Models that see one window of voxels: mask, cleaning, whitening, and where the window lies.
use std::{collections::BTreeMap, path::Path, sync::Arc};

use flamingo::{Medium, Model, PackageFile};
use preprocess::Seen;
use report::{
    counted,
    metrics::SlotTrust,
    prompt::{PromptTemplate, Technique},
    slots::SlotSet,
};
use scan::{
    CleanConfig, ImageQualityMetrics, ReadOptions, VoxelMask, VoxelMaskConfig, WindowConfig,
};
use serde::{Deserialize, Serialize};

use super::parts::{KnownScan, Look, NO_CONFOUNDS, Packed, part, section};
use crate::{
    Error, OneScan, Place, Result,
    answers::Trust,
    arrays,
    media::Media,
    one_scan::Timed,
    plan::left_out,
    stage::{Stage, WHITENING},
    whitening::Whitening,
};

const FORMAT: u32 = 1;
const MASK: &str = "voxel_mask.json";

/// The section `preprocessing` of a package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Preprocessing {
    format: u32,
    /// Repetition time of the scans it was fitted to.
    pub(crate) t_r_s: f64,
    mask: VoxelMaskConfig,
    clean: Option<CleanConfig>,
    pub(crate) window: WindowConfig,
    /// The share of the sphere in the noise covariance; none where nothing is whitened.
    whitening_shrinkage: Option<f64>,
    prompt: PromptTemplate,
    pub(crate) slots: SlotSet,
    /// Divides log-likelihoods of a slot's values, where the slot has no temperature of its own; fitted on
    /// windows that were not trained on.
    pub(super) temperature: f64,
    /// Of each slot that has its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) slot_trust: BTreeMap<String, SlotTrust>,
    /// Scans of the cohort table, so that their windows can be asked for by number.
    pub(crate) scans: Vec<KnownScan>,
}

impl Preprocessing {
    /// What a run's package holds.
    pub(super) fn packed(media: &Media<'_>, trust: Trust) -> Packed {
        let section = Self::of(media, trust);
        let section = serde_json::to_value(section).expect("plain values");
        Packed { section, files: files(media), frozen_encoder: None }
    }

    /// As the run did it.
    pub(crate) fn of(media: &Media<'_>, trust: Trust) -> Self {
        let (mut mask, mut clean, mut window) = (None, None, None);
        for stage in media.plan.spec().stages() {
            match stage {
                Stage::Mask(config) => mask = Some(config.clone()),
                Stage::Clean(config) => clean = Some(config.clone()),
                Stage::Window(config) => window = Some(config.clone()),
                _ => {}
            }
        }
        let cohort = media.cohort();
        Self {
            format: FORMAT,
            t_r_s: cohort.t_r_s,
            mask: mask.expect("windows come from a mask"),
            clean,
            window: window.expect("a model is fitted to windows"),
            whitening_shrinkage: media.whitening.as_ref().map(|it| it.shrinkage()),
            prompt: media.prompt_template().clone(),
            slots: media.slots().clone(),
            temperature: trust.temperature,
            slot_trust: trust.slots,
            scans: KnownScan::all(cohort),
        }
    }
}

/// The files that go with it.
fn files(media: &Media<'_>) -> Vec<PackageFile> {
    let mask = media.mask.as_ref().expect("windows come from a mask");
    let mask = serde_json::to_vec(mask).expect("a mask is plain numbers");
    let whitening = media.whitening.as_ref().map(|it| (WHITENING, it.to_bytes()));
    let all = [(MASK, mask)].into_iter().chain(whitening);
    all.map(|(name, bytes)| PackageFile { name: name.to_owned(), bytes, licence: None }).collect()
}

/// A package of a model that sees one window of voxels.
pub(crate) struct WindowReader {
    pub(super) preprocessing: Preprocessing,
    mask: VoxelMask,
    whitening: Option<Whitening>,
}

impl WindowReader {
    pub(super) fn open(dir: &Path, model: &Model) -> Result<Self> {
        let preprocessing: Preprocessing = section(dir, model, FORMAT)?;
        let refuse = |problem: String| Error::Package { path: dir.to_owned(), problem };
        let whitening = match preprocessing.whitening_shrinkage {
            None => None,
            Some(shrinkage) => {
                let fitted = Whitening::from_arrays(
                    arrays::read(&part(dir, model, Path::new(WHITENING))?)?,
                    shrinkage,
                )?;
                Some(fitted.ok_or_else(|| refuse(format!("{WHITENING} lacks a part")))?)
            }
        };
        Ok(Self {
            mask: files::read_json(&part(dir, model, Path::new(MASK))?)?,
            whitening,
            preprocessing,
        })
    }

    pub(super) fn look(&self, scan: &OneScan<'_>, known: Option<&KnownScan>) -> Result<Look> {
        let refuse = |problem: &str| Error::NoSuchWindow {
            path: scan.path.to_owned(),
            problem: problem.to_owned(),
        };
        if scan.confounds.is_some() {
            return Err(refuse(NO_CONFOUNDS));
        }
        let place = scan.place.ok_or_else(|| {
            refuse("this model reads one window of a scan, expected --window or --onset")
        })?;
        let Timed { scan, start_s, kept } = &scan.timed()?;
        if let Some(kept) = kept {
            return Err(refuse(&left_out(kept.frames.len(), kept)));
        }
        let stretch_s = locate(&self.preprocessing, known, scan.path, place, *start_s)?;
        let (medium, prompt, seen) = self.window(scan, stretch_s.0 - start_s)?;
        Ok(Look { medium, prompt, seen, stretch_s })
    }

    /// What the model sees of the window at `onset_s` from its first frame, the prompt before its report,
    /// and the frames in it.
    fn window(&self, one: &OneScan<'_>, onset_s: f64) -> Result<(Arc<Medium>, String, Seen)> {
        let Preprocessing { t_r_s, clean, window, prompt, .. } = &self.preprocessing;
        let refuse = |problem: String| Error::NoSuchWindow { path: one.path.to_owned(), problem };
        let bold = scan::read_bold_with(one.path, &ReadOptions { t_r: one.t_r })?;
        if (bold.t_r() - t_r_s).abs() > 1e-6 * t_r_s {
            let found = bold.t_r();
            return Err(refuse(format!("TR is {found} s, the model was fitted to {t_r_s} s")));
        }
        let raw = self.mask.apply(&bold)?;
        let quality = ImageQualityMetrics::measure(&raw)?;
        let series = clean.as_ref().map_or(Ok(raw.clone()), |config| scan::clean(&raw, config))?;
        let outside = |error: scan::Error| refuse(error.to_string());
        let frames = window.frames(onset_s, series.t_r, series.n_frames()).map_err(outside)?;
        let cut = window.cut(&series, onset_s).map_err(outside)?.values;
        let seen = match &self.whitening {
            Some(whitening) => whitening.apply(cut.view())?,
            None => cut,
        };
        let technique = Technique {
            t_r_s: *t_r_s,
            n_volumes: seen.nrows(),
            n_voxels: seen.ncols(),
            median_tsnr: quality.median_tsnr,
        };
        let shown = Seen::range(&frames, series.t_r);
        Ok((Arc::new(seen.into_dyn()), prompt.fill(&technique), shown))
    }
}

fn locate(
    preprocessing: &Preprocessing,
    known: Option<&KnownScan>,
    scan: &Path,
    place: Place,
    start_s: f64,
) -> Result<(f64, f64)> {
    let Preprocessing { window, t_r_s, .. } = preprocessing;
    let length_s = window.n_frames as f64 * t_r_s;
    let refuse = |problem: String| Error::NoSuchWindow { path: scan.to_owned(), problem };
    match (place, known) {
        (Place::Onset(onset_s), known) => {
            let same = known.and_then(|known| {
                known.windows.iter().find(|it| (it.onset_s - onset_s).abs() < 1e-9)
            });
            Ok((onset_s, same.map_or(length_s, |it| it.duration_s)))
        }
        (Place::Window(0), _) => Err(refuse("windows are counted from 1, found 0".to_owned())),
        (Place::Window(number), Some(known)) => {
            let n = counted(known.windows.len(), "window");
            let found = known.windows.get(number - 1).map(|it| (it.onset_s, it.duration_s));
            found.ok_or_else(|| {
                refuse(format!("has {n} in the model's cohort, found --window {number}"))
            })
        }
        // the shift is taken off, so that window 1 begins with the first frame
        (Place::Window(number), None) => {
            Ok((start_s + (number - 1) as f64 * length_s - window.shift_s, length_s))
        }
    }
}
