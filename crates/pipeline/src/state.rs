//! What the stages of one run hand on.
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use encoder::InputShape;
use flamingo::Medium;
use ndarray::Array2;
use report::{
    prompt::{PromptTemplate, Technique},
    slots::SlotSet,
};
use scan::{QualityFigures, Split, VoxelMask, VoxelSeries};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    plan::{CohortPlan, PicturesPlan, Plan, RunPlan, slots},
    spec::CohortSpec,
    stage::{Evaluation, Fit, WrittenCaption, WrittenReport},
    whitening::Whitening,
};

/// Why a scan or picture was left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) scan_idx: usize,
    pub(crate) reason: String,
}

/// Everything computed so far; indices are those of the plan, `None` where a scan failed.
pub(crate) struct State<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) run: &'a RunPlan,
    /// Where the running stage keeps what it needs to go on after a stop.
    pub(crate) keep_dir: PathBuf,
    /// Stage and reason, by scan.
    pub(crate) failures: BTreeMap<usize, (&'static str, String)>,
    pub(crate) mask: Option<VoxelMask>,
    pub(crate) series: Vec<Option<VoxelSeries>>,
    pub(crate) quality: Vec<Option<QualityFigures>>,
    /// By row, before whitening: what the linear baselines see.
    pub(crate) cleaned: Vec<Option<Arc<Array2<f32>>>>,
    /// By row: what the model sees.
    pub(crate) windows: Vec<Option<Arc<Array2<f32>>>>,
    pub(crate) whitening: Option<Arc<Whitening>>,
    pub(crate) fit: Option<Fit>,
    /// The trained model's package.
    pub(crate) model_dir: Option<PathBuf>,
    pub(crate) reports: Vec<WrittenReport>,
    /// One for each picture that could be read.
    pub(crate) captions: Vec<WrittenCaption>,
    pub(crate) evaluation: Option<Evaluation>,
    /// Figures and pages, by their path in the run directory.
    pub(crate) pages: BTreeMap<String, Vec<u8>>,
    /// The language model that was trained.
    pub(crate) lm_dir: Option<PathBuf>,
    pub(crate) lm_summary: Option<serde_json::Value>,
}

impl<'a> State<'a> {
    pub(crate) fn new(plan: &'a Plan, run: &'a RunPlan) -> Self {
        Self {
            plan,
            run,
            keep_dir: PathBuf::new(),
            failures: BTreeMap::new(),
            mask: None,
            series: Vec::new(),
            quality: Vec::new(),
            cleaned: Vec::new(),
            windows: Vec::new(),
            whitening: None,
            fit: None,
            model_dir: None,
            reports: Vec::new(),
            captions: Vec::new(),
            evaluation: None,
            pages: BTreeMap::new(),
            lm_dir: None,
            lm_summary: None,
        }
    }

    pub(crate) fn cohort(&self) -> &'a CohortPlan {
        self.plan.cohort()
    }

    pub(crate) fn pictures(&self) -> &'a PicturesPlan {
        self.plan.pictures()
    }

    pub(crate) fn slots(&self) -> &'a SlotSet {
        slots(self.plan.spec())
    }

    /// Rows of a split whose windows are there.
    pub(crate) fn rows_of(&self, split: Split) -> Result<Vec<usize>> {
        let of_split = |row: &usize| self.run.splits[*row] == split;
        let all: Vec<usize> = (0..self.run.splits.len()).filter(of_split).collect();
        let left: Vec<usize> =
            all.iter().copied().filter(|&row| self.windows[row].is_some()).collect();
        match all.first() {
            Some(&row) if left.is_empty() => {
                let failure = self.failures.get(&self.cohort().rows[row].scan_idx);
                let reason = failure.map_or_else(String::new, |(_, reason)| reason.clone());
                Err(Error::NothingLeft { split, reason })
            }
            _ => Ok(left),
        }
    }

    pub(crate) fn window(&self, row: usize) -> &Arc<Array2<f32>> {
        self.windows[row].as_ref().expect("rows_of gives rows that are there")
    }

    /// The row's window as the model takes it.
    pub(crate) fn medium(&self, row: usize) -> Arc<Medium> {
        Arc::new(self.window(row).as_ref().clone().into_dyn())
    }

    /// What the model sees of a scan.
    pub(crate) fn input(&self) -> InputShape {
        let window = self.windows.iter().flatten().next().expect("some training window is there");
        InputShape::Window { n_frames: window.nrows(), n_voxels: window.ncols() }
    }

    pub(crate) fn prompt_template(&self) -> &'a PromptTemplate {
        match &self.plan.spec().cohort {
            CohortSpec::Pairs(pairs) => &pairs.prompt,
            _ => unreachable!("only pairs have prompts"),
        }
    }

    /// The words before a row's report.
    pub(crate) fn prompt(&self, row: usize) -> String {
        let quality = self.quality[self.cohort().rows[row].scan_idx].as_ref();
        let window = self.window(row);
        self.prompt_template().fill(&Technique {
            t_r_s: self.cohort().t_r_s,
            n_volumes: window.nrows(),
            n_voxels: window.ncols(),
            median_tsnr: quality.expect("measured with the mask").median_tsnr,
        })
    }

    /// The scored value's index.
    pub(crate) fn class(&self, row: usize) -> Option<usize> {
        let truth = self.cohort().rows[row].truth.as_ref()?;
        self.slots().scored().values.get_index_of(truth)
    }
}
