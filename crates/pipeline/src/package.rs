//! What a model package holds beside the weights: how a scan becomes the model's input, and how its
//! text becomes slots with probabilities.
use std::{path::Path, sync::Arc};

use encoder::InputShape;
use flamingo::{Manifest, Medium, Model};
use report::{
    prompt::{PromptTemplate, Technique},
    slots::SlotSet,
};
use scan::{CleanConfig, QualityFigures, VoxelMask, VoxelMaskConfig, WindowConfig};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result, arrays, files,
    stage::{AboutTokens, Stage, WHITENING},
    state::State,
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
    /// Divides log-likelihoods of a slot's values; fitted on windows that were not trained on.
    pub(crate) temperature: f64,
    /// Scans of the cohort table, so that their windows can be asked for by number.
    pub(crate) scans: Vec<KnownScan>,
}

/// A scan of the cohort table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownScan {
    pub(crate) sha256: String,
    pub(crate) subject: String,
    pub(crate) session: String,
    pub(crate) run: usize,
    pub(crate) windows: Vec<KnownWindow>,
}

/// One of its windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownWindow {
    pub(crate) onset_s: f64,
    pub(crate) duration_s: f64,
}

/// The section of a model that is shown tokens: they are made by the pipeline, not by the package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FromTokens {
    format: u32,
    tokens: AboutTokens,
    /// The stages before the model, as the pipeline has them.
    stages: Vec<Stage>,
    prompt: PromptTemplate,
    slots: SlotSet,
    temperature: f64,
}

impl Preprocessing {
    /// The section of a run's package.
    pub(crate) fn section(state: &State<'_>, temperature: f64) -> serde_json::Value {
        let Some(tokens) = &state.tokens else {
            return serde_json::to_value(Self::of(state, temperature)).expect("plain values");
        };
        let before = |stage: &&Stage| !matches!(stage, Stage::Finetune(_));
        let stages = state.plan.spec().stages().iter().take_while(before);
        let section = FromTokens {
            format: FORMAT,
            tokens: tokens.about.clone(),
            stages: stages.cloned().collect(),
            prompt: state.prompt_template().clone(),
            slots: state.slots().clone(),
            temperature,
        };
        serde_json::to_value(section).expect("plain values")
    }

    /// As the run did it.
    pub(crate) fn of(state: &State<'_>, temperature: f64) -> Self {
        let (mut mask, mut clean, mut window) = (None, None, None);
        for stage in state.plan.spec().stages() {
            match stage {
                Stage::Mask(config) => mask = Some(config.clone()),
                Stage::Clean(config) => clean = Some(config.clone()),
                Stage::Window(config) => window = Some(config.clone()),
                _ => {}
            }
        }
        let cohort = state.cohort();
        let known = cohort.scans.iter().enumerate().map(|(scan_idx, scan)| KnownScan {
            sha256: scan.sha256.clone(),
            subject: scan.subject.clone(),
            session: scan.session.clone(),
            run: scan.run,
            windows: cohort
                .rows
                .iter()
                .filter(|row| row.scan_idx == scan_idx)
                .map(|row| KnownWindow { onset_s: row.onset_s, duration_s: row.duration_s })
                .collect(),
        });
        Self {
            format: FORMAT,
            t_r_s: cohort.t_r_s,
            mask: mask.expect("windows come from a mask"),
            clean,
            window: window.expect("a model is fitted to windows"),
            whitening_shrinkage: state.whitening.as_ref().map(|it| it.shrinkage()),
            prompt: state.prompt_template().clone(),
            slots: state.slots().clone(),
            temperature,
            scans: known.collect(),
        }
    }

    /// The files that go with it.
    pub(crate) fn files(state: &State<'_>) -> Vec<(String, Vec<u8>)> {
        if state.tokens.is_some() {
            return Vec::new();
        }
        let mask = state.mask.as_ref().expect("windows come from a mask");
        let mask = serde_json::to_vec(mask).expect("a mask is plain numbers");
        let whitening = state.whitening.as_ref().map(|it| (WHITENING.to_owned(), it.to_bytes()));
        [(MASK.to_owned(), mask)].into_iter().chain(whitening).collect()
    }
}

/// Names a package by what is in it.
pub(crate) fn model_id(manifest: &Manifest) -> String {
    let parts: String = manifest.parts.iter().map(|part| part.sha256.as_str()).collect();
    format!("{}-{}", manifest.name, &scan::sha256_bytes(parts.as_bytes())[..12])
}

/// A package ready to be given scans.
pub(crate) struct Reader {
    pub(crate) preprocessing: Preprocessing,
    mask: VoxelMask,
    whitening: Option<Whitening>,
}

impl Reader {
    /// Takes the section and the files of an open package in `dir`.
    pub(crate) fn open(dir: &Path, model: &Model) -> Result<Self> {
        if let InputShape::Image { .. } = model.manifest().input {
            let problem = format!("this model reads {}, no scans", model.manifest().input);
            return Err(Error::NoSuchWindow { path: dir.to_owned(), problem });
        }
        let section = model.manifest().preprocessing.clone();
        let refuse = |problem: String| Error::Package { path: dir.to_owned(), problem };
        if let Ok(FromTokens { tokens, .. }) = serde_json::from_value(section.clone()) {
            let path = dir.to_owned();
            return Err(Error::TokensOnly { path, encoder: tokens.encoder_id });
        }
        let preprocessing: Preprocessing =
            serde_json::from_value(section).map_err(|error| refuse(error.to_string()))?;
        if preprocessing.format != FORMAT {
            let found = preprocessing.format;
            return Err(refuse(format!("its preprocessing has format {found}, expected {FORMAT}")));
        }
        let whitening = match preprocessing.whitening_shrinkage {
            None => None,
            Some(shrinkage) => {
                let fitted =
                    Whitening::from_arrays(arrays::read(&dir.join(WHITENING))?, shrinkage)?;
                Some(fitted.ok_or_else(|| refuse(format!("{WHITENING} lacks a part")))?)
            }
        };
        Ok(Self { mask: files::read_json(&dir.join(MASK))?, whitening, preprocessing })
    }

    /// What the model sees of the window at `onset_s`, and the prompt before its report.
    pub(crate) fn window(&self, path: &Path, onset_s: f64) -> Result<(Arc<Medium>, String)> {
        let Preprocessing { t_r_s, clean, window, prompt, .. } = &self.preprocessing;
        let refuse = |problem: String| Error::NoSuchWindow { path: path.to_owned(), problem };
        let bold = scan::read_bold(path)?;
        if (bold.t_r() - t_r_s).abs() > 1e-6 * t_r_s {
            let found = bold.t_r();
            return Err(refuse(format!("TR is {found} s, the model was fitted to {t_r_s} s")));
        }
        let raw = self.mask.apply(&bold)?;
        let quality = QualityFigures::measure(&raw)?;
        let series = clean.as_ref().map_or(Ok(raw.clone()), |config| scan::clean(&raw, config))?;
        let cut = window.cut(&series, onset_s).map_err(|error| refuse(error.to_string()))?.values;
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
        Ok((Arc::new(seen.into_dyn()), prompt.fill(&technique)))
    }
}
