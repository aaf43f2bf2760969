//! What the stages that prepare scans give: what a model may be shown of each scan of a run.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ::cohort::Labels;
use encoder::InputShape;
use engine::{Reason, Unit};
use flamingo::Medium;
use ndarray::{Array1, Array2, Axis};
use preprocess::{
    Inputs, Measured, Recording, Seen, SeriesFacts,
    steps::{LeftRightTemplate, VolumesConfig},
};
use report::{
    prompt::{PromptTemplate, Technique},
    slots::SlotSet,
};
use scan::{ImageQualityMetrics, Split, VoxelMask, VoxelSeries, WindowsConfig};

use crate::{
    Error, Result,
    plan::{CohortPlan, Plan, RunPlan, SourcePlan, slots},
    shown::technique,
    spec::CohortSpec,
    stage::{Embeddings, Parcels, TokenSet},
    whitening::Whitening,
};

/// The scans of a run, prepared; indices are those of the plan, `None` where a scan failed.
pub(crate) struct Media<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) run: &'a RunPlan,
    /// Stage and reason, by scan.
    pub(crate) failures: BTreeMap<usize, (&'static str, Reason)>,
    /// Those of `failures` that are whole but not good enough.
    pub(crate) unwanted: BTreeSet<usize>,
    /// Whether only some scans are worked on, as a task of an array does; no stage may compare them.
    pub(crate) is_part: bool,
    scans: Vec<Recording>,
    digests: Mutex<HashMap<PathBuf, String>>,
    /// Parcel series of scans, in files.
    pub(crate) parcels: Option<Parcels>,
    /// How scans become volumes; that is done when they are encoded.
    pub(crate) volumes: Option<VolumesConfig>,
    /// How the volumes of the cohort look, where left and right are compared.
    pub(crate) volume_left_right: Option<LeftRightTemplate>,
    /// How the windows of a scan lie; they are cut when it is encoded.
    pub(crate) cut: Option<WindowsConfig>,
    /// Encoder tokens of scans, in files.
    pub(crate) tokens: Option<TokenSet>,
    pub(crate) embeddings: Option<Embeddings>,
    /// Other files of stages that are published: the path in the run directory, and where each is kept.
    pub(crate) files: BTreeMap<String, PathBuf>,
    pub(crate) mask: Option<VoxelMask>,
    pub(crate) series: Vec<Option<VoxelSeries>>,
    pub(crate) quality: Vec<Option<ImageQualityMetrics>>,
    /// By row, before whitening: what the linear baselines see.
    pub(crate) cleaned: Vec<Option<Arc<Array2<f32>>>>,
    /// By row: what the model sees.
    pub(crate) windows: Vec<Option<Arc<Array2<f32>>>>,
    pub(crate) whitening: Option<Arc<Whitening>>,
}

impl<'a> Media<'a> {
    pub(crate) fn new(plan: &'a Plan, run: &'a RunPlan) -> Self {
        let scans = plan.scans();
        Self {
            plan,
            run,
            digests: Mutex::default(),
            failures: BTreeMap::new(),
            unwanted: BTreeSet::new(),
            is_part: false,
            scans,
            parcels: None,
            volumes: None,
            volume_left_right: None,
            cut: None,
            tokens: None,
            embeddings: None,
            files: BTreeMap::new(),
            mask: None,
            series: Vec::new(),
            quality: Vec::new(),
            cleaned: Vec::new(),
            windows: Vec::new(),
            whitening: None,
        }
    }

    /// Only `scans`; the others are left to other tasks.
    pub(crate) fn part(plan: &'a Plan, run: &'a RunPlan, scans: &[usize]) -> Self {
        let mut media = Self { is_part: true, ..Self::new(plan, run) };
        let others = (0..media.scans.len()).filter(|idx| !scans.contains(idx));
        let reason = || Reason::plain("left to another task".to_owned());
        media.failures = others.map(|idx| (idx, ("cohort", reason()))).collect();
        media
    }

    /// Leaves out a scan that could be read and is not good enough.
    pub(crate) fn exclude(&mut self, idx: usize, stage: &'static str, reason: Reason) {
        self.failures.insert(idx, (stage, reason));
        self.unwanted.insert(idx);
        let units = self.parcels.iter_mut().map(|it| &mut it.units);
        for units in units.chain(self.tokens.iter_mut().map(|it| &mut it.units)) {
            units[idx] = None;
        }
    }

    /// What was measured of a scan so far; none of one that no stage has read, or that failed.
    pub(crate) fn measured(&self, idx: usize) -> Result<Option<Measured>> {
        if let Some(parcels) = &self.parcels {
            let facts = parcels.units[idx].as_ref().and_then(SeriesFacts::of);
            return Ok(facts.as_ref().map(Measured::of_series));
        }
        let tokens = self.tokens.as_ref().and_then(|it| it.units[idx].as_ref());
        tokens.map(TokenSet::measured).transpose()
    }

    /// Scans that are left out, for keys.
    pub(crate) fn left_out(&self) -> Vec<usize> {
        self.failures.keys().copied().collect()
    }

    /// Every scan of the cohort; failures and units have its indices.
    pub(crate) fn scans(&self) -> &[Recording] {
        &self.scans
    }

    /// A path of the pipeline file, as seen from here.
    pub(crate) fn place(&self, path: &Path) -> PathBuf {
        self.plan.loaded.resolve(path)
    }

    /// Names what a scan holds: the digest of its file, and of a file of many the place in it.
    pub(crate) fn digest(&self, idx: usize) -> Result<String> {
        Ok(Inputs::digest_of(self, &self.scans[idx])?)
    }

    /// The digest of a file, or of both files of a pair; hashed once a run.
    pub(crate) fn digest_of(&self, path: &Path) -> Result<String, scan::Error> {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = digests.get(path) {
            return Ok(known.clone());
        }
        let digest = self.plan.loaded.sha256(path)?;
        digests.insert(path.to_path_buf(), digest.clone());
        Ok(digest)
    }

    /// The digest of a scan's confounds, where it has some.
    pub(crate) fn confounds_digest(&self, idx: usize) -> Result<Option<String>> {
        Ok(self.digest_if(self.scans[idx].confounds.as_deref())?)
    }

    /// Whether the files of a scan can be read and are those that its key names.
    pub(crate) fn is_unchanged(&self, idx: usize) -> bool {
        let scan = &self.scans[idx];
        let known = |path: &Path| {
            let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
            digests.get(path).cloned()
        };
        let same = |path: &Path, known: Option<String>| {
            let now = scan::sha256_scan(path).ok();
            now.is_some() && (known.is_none() || known == now)
        };
        if scan.stacked.is_some() {
            // a cohort in one file is too large to be hashed for each scan that fails
            return std::fs::File::open(&scan.path).is_ok();
        }
        let of_scan = scan.sha256.clone().or_else(|| known(&scan.path));
        same(&scan.path, of_scan) && scan.beside().all(|path| same(path, known(path)))
    }

    /// Scans that may be learned from: those of the training split, or all where nothing is divided.
    pub(crate) fn trained_on(&self) -> Vec<usize> {
        let splits = &self.run.splits;
        let SourcePlan::Cohort(cohort) = &self.plan.source else {
            return (0..self.scans.len())
                .filter(|idx| splits.get(*idx).is_none_or(|split| *split == Split::Train))
                .collect();
        };
        let trained = cohort.rows.iter().zip(splits).filter(|(_, split)| **split == Split::Train);
        let mut scans: Vec<usize> = trained.map(|(row, _)| row.scan_idx).collect();
        scans.sort_unstable();
        scans.dedup();
        scans
    }

    /// What the cohort says of each scan; nothing where it has no labels.
    pub(crate) fn labels(&self) -> Vec<&'a Labels> {
        match &self.plan.source {
            SourcePlan::Recordings(plan) => plan.recordings().iter().map(|it| &it.labels).collect(),
            _ => Vec::new(),
        }
    }

    /// The split of a scan; `None` where nothing is divided, or where its windows are in several.
    pub(crate) fn split_of(&self, idx: usize) -> Option<Split> {
        let splits = &self.run.splits;
        let SourcePlan::Cohort(cohort) = &self.plan.source else {
            return splits.get(idx).copied();
        };
        let rows = cohort.rows.iter().zip(splits).filter(|(row, _)| row.scan_idx == idx);
        let mut splits = rows.map(|(_, split)| *split);
        let first = splits.next()?;
        splits.all(|split| split == first).then_some(first)
    }

    pub(crate) fn cohort(&self) -> &'a CohortPlan {
        self.plan.cohort()
    }

    pub(crate) fn slots(&self) -> &'a SlotSet {
        slots(self.plan.spec())
    }

    /// Rows of a split whose windows are there.
    pub(crate) fn rows_of(&self, split: Split) -> Result<Vec<usize>> {
        let of_split = |row: &usize| self.run.splits[*row] == split;
        let all: Vec<usize> = (0..self.run.splits.len()).filter(of_split).collect();
        let left: Vec<usize> = all.iter().copied().filter(|&row| self.has(row)).collect();
        match all.first() {
            Some(&row) if left.is_empty() => {
                let failure = self.failures.get(&self.cohort().rows[row].scan_idx);
                let reason =
                    failure.map_or_else(String::new, |(_, reason)| reason.anonymous.clone());
                Err(Error::NothingLeft { split, reason })
            }
            _ => Ok(left),
        }
    }

    pub(crate) fn window(&self, row: usize) -> &Arc<Array2<f32>> {
        self.windows[row].as_ref().expect("rows_of gives rows that are there")
    }

    /// Whether what the model sees of a row is there.
    fn has(&self, row: usize) -> bool {
        match &self.tokens {
            Some(tokens) => tokens.units[self.cohort().rows[row].scan_idx].is_some(),
            None => self.windows[row].is_some(),
        }
    }

    /// What the model sees of a row: its window, or all windows of its scan, read from disk.
    pub(crate) fn medium(&self, row: usize) -> Result<Arc<Medium>> {
        match &self.tokens {
            Some(_) => Ok(Arc::new(TokenSet::medium(self.tokens_of(row))?)),
            None => Ok(Arc::new(self.window(row).as_ref().clone().into_dyn())),
        }
    }

    /// The frames of the scan that the model is shown for a row, and the stretch of seconds that stands
    /// for them: of an event its own, which the table has.
    pub(crate) fn seen(&self, row: usize) -> Result<(Seen, Option<(f64, f64)>)> {
        if self.tokens.is_some() {
            let seen = TokenSet::facts(self.tokens_of(row))?.seen;
            let scan = &self.cohort().scans[self.cohort().rows[row].scan_idx];
            let stretch_s = seen.stretch_s(scan.start_s);
            return Ok((seen, stretch_s));
        }
        let planned = &self.cohort().rows[row];
        let series = self.series[planned.scan_idx].as_ref().expect("its window is there");
        let config = self.plan.window().expect("a model is fitted to windows");
        let onset_s = self.cohort().scans[planned.scan_idx].since_first_frame(planned.onset_s);
        let frames = config.frames(onset_s, series.t_r, series.n_frames())?;
        Ok((Seen::range(&frames, series.t_r), None))
    }

    fn tokens_of(&self, row: usize) -> &Unit {
        let tokens = self.tokens.as_ref().expect("the run has tokens");
        tokens.units[self.cohort().rows[row].scan_idx]
            .as_ref()
            .expect("rows_of gives rows that are there")
    }

    /// What a linear model reads of a row: the mean frame of its window, or the mean token.
    pub(crate) fn mean_of(&self, row: usize) -> Result<Array1<f32>> {
        let mean = if self.tokens.is_none() {
            let window = self.cleaned[row].as_ref().expect("cut before it was whitened");
            window.mean_axis(Axis(0))
        } else {
            let means = TokenSet::vectors(self.tokens_of(row), "means")?;
            means.and_then(|means| means.mean_axis(Axis(0))).map(|mean| mean.mapv(|x| x as f32))
        };
        Ok(mean.expect("a window has frames"))
    }

    /// What the model sees of a scan.
    pub(crate) fn input(&self) -> InputShape {
        if let Some(tokens) = &self.tokens {
            return tokens.about.input;
        }
        let window = self.windows.iter().flatten().next().expect("some training window is there");
        InputShape::Window { n_frames: window.nrows(), n_voxels: window.ncols() }
    }

    pub(crate) fn prompt_template(&self) -> &'a PromptTemplate {
        match &self.plan.spec().cohort {
            CohortSpec::Pairs(pairs) => &pairs.prompt,
            _ => unreachable!("only pairs have prompts"),
        }
    }

    /// The terms of use of the data.
    pub(crate) fn terms(&self) -> Option<&'a str> {
        match &self.plan.spec().cohort {
            CohortSpec::Pairs(pairs) => pairs.terms.as_deref(),
            _ => None,
        }
    }

    /// The words before a row's report.
    pub(crate) fn prompt(&self, row: usize) -> String {
        let quality = self.quality[self.cohort().rows[row].scan_idx].as_ref();
        let quality = quality.expect("measured when scans are read");
        if self.tokens.is_some() {
            return self.prompt_template().fill(&technique(quality));
        }
        let window = self.window(row);
        self.prompt_template().fill(&Technique {
            t_r_s: self.cohort().t_r_s,
            n_volumes: window.nrows(),
            n_voxels: window.ncols(),
            median_tsnr: quality.median_tsnr,
        })
    }

    /// The class of the first scored slot's true value: of a number its bin, of a set none.
    pub(crate) fn class(&self, row: usize) -> Option<usize> {
        self.class_of(row, *self.slots().scored_idxs().first()?)
    }

    /// The same of any slot.
    pub(crate) fn class_of(&self, row: usize, slot_idx: usize) -> Option<usize> {
        let truth = self.cohort().rows[row].truths[slot_idx].as_ref()?;
        self.slots().slots()[slot_idx].class(truth)
    }
}
