//! What the stages that prepare scans give: what a model may be shown of each scan of a run.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ::cohort::Labels;
use encoder::InputShape;
use engine::{Key, Reason, Unit};
use flamingo::{ChatFrame, Medium};
use ndarray::{Array1, Array2, Axis, Slice, s};
use preprocess::{
    Cut, Fitted, Frames, Inputs, Measured, PreparedScan, Recording, Seen, SeriesFacts,
    StoredSeries,
    steps::{LeftRightTemplate, VolumesConfig},
};
use report::{generated::bids_name, prompt::PromptTemplate, slots::SlotSet};
use scan::{ImageQualityMetrics, Split, WindowConfig};

use crate::{
    Error, Result,
    framed::framed,
    named::Named,
    plan::{CohortPlan, Plan, RunPlan, SourcePlan, slots},
    shown::technique,
    spec::CohortSpec,
    stage::{Embeddings, SeriesSet, TokenSet},
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
    pub(crate) parcels: Option<SeriesSet>,
    /// Series of the voxels of a mask, in files.
    pub(crate) voxels: Option<SeriesSet>,
    /// The series that was read last: windows of one scan are asked for one after another.
    read: Mutex<Option<(Key, Arc<StoredSeries>)>>,
    /// How scans become volumes; that is done when they are encoded.
    pub(crate) volumes: Option<VolumesConfig>,
    /// How the volumes of the cohort look, where left and right are compared.
    pub(crate) volume_left_right: Option<LeftRightTemplate>,
    /// How the windows of a scan lie; they are cut when they are shown to an encoder.
    pub(crate) cut: Option<Cut>,
    /// What changes each window then, in order.
    pub(crate) each_window: Vec<Box<dyn Fitted>>,
    /// The files that keep it, by name.
    pub(crate) fitted: BTreeMap<String, PathBuf>,
    /// Encoder tokens of scans, in files.
    pub(crate) tokens: Option<TokenSet>,
    pub(crate) embeddings: Option<Embeddings>,
    /// Other files of stages that are published: the path in the run directory, and where each is kept.
    pub(crate) files: BTreeMap<String, PathBuf>,
    pub(crate) quality: Vec<Option<ImageQualityMetrics>>,
    /// What stands beside the scan of a report, where it has several media.
    pub(crate) named: Named,
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
            voxels: None,
            read: Mutex::default(),
            volumes: None,
            volume_left_right: None,
            cut: None,
            each_window: Vec::new(),
            fitted: BTreeMap::new(),
            tokens: None,
            embeddings: None,
            files: BTreeMap::new(),
            quality: Vec::new(),
            named: match (&plan.source, &plan.spec().cohort) {
                (SourcePlan::Cohort(cohort), CohortSpec::Pairs(pairs)) => {
                    Named::of(cohort, &pairs.prompt, &run.splits)
                }
                _ => Named::default(),
            },
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
        let units = self.parcels.iter_mut().chain(&mut self.voxels).map(|it| &mut it.units);
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

    /// Where a file about a row's window lies in a run folder; `name` is what follows its entities.
    pub(crate) fn path_of_window(&self, row: usize, name: &str) -> Result<String> {
        let row = &self.cohort().rows[row];
        let scan = &self.cohort().scans[row.scan_idx];
        let (run, window) = (format!("{:02}", scan.run), format!("{:02}", row.window));
        let entities = [
            ("sub", scan.subject.as_str()),
            ("ses", scan.session.as_str()),
            ("run", run.as_str()),
            ("win", window.as_str()),
        ];
        let folder = format!("sub-{}/ses-{}", scan.subject, scan.session);
        Ok(format!("{folder}/{}", bids_name(&entities, name)?))
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

    /// Series of parcels or of voxels, as they are now.
    pub(crate) fn series(&self) -> Option<&SeriesSet> {
        self.parcels.as_ref().or(self.voxels.as_ref())
    }

    /// How windows lie at events, where they do: a row is one, and is shown alone.
    pub(crate) fn events(&self) -> Option<&WindowConfig> {
        self.cut.as_ref()?.events()
    }

    /// Seconds from the time of its scan's first frame to the event of a row.
    pub(crate) fn onset_s(&self, row: usize) -> f64 {
        let planned = &self.cohort().rows[row];
        self.scans[planned.scan_idx].events_s[planned.window - 1]
    }

    /// The series of a scan that is there.
    fn series_of(&self, idx: usize) -> Result<Arc<StoredSeries>> {
        let series = self.series().expect("windows come from series");
        let unit = series.units[idx].as_ref().expect("rows_of gives rows that are there");
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match &*read {
            Some((key, series)) if *key == unit.key => Ok(Arc::clone(series)),
            _ => {
                let series = Arc::new(StoredSeries::read(unit)?);
                *read = Some((unit.key.clone(), Arc::clone(&series)));
                Ok(series)
            }
        }
    }

    /// The window of an event with up to `reach` frames more on either side, as far as the scan goes, and how
    /// many those are.
    pub(crate) fn window(&self, row: usize, reach: usize) -> Result<(Array2<f32>, usize)> {
        let config = self.events().expect("a model is fitted to windows of events, or to tokens");
        let series = self.series_of(self.cohort().rows[row].scan_idx)?;
        let n_frames = series.values.nrows();
        let frames = series.facts.frames().event(config, self.onset_s(row), n_frames)?;
        let margin = reach.min(frames.start).min(n_frames - frames.end);
        let wider = series.values.slice(s![frames.start - margin..frames.end + margin, ..]);
        Ok((wider.mapv(|x| x as f32), margin))
    }

    /// The window of an event before it is changed: what the linear baselines see.
    pub(crate) fn cleaned(&self, row: usize) -> Result<Array2<f32>> {
        Ok(self.window(row, 0)?.0)
    }

    /// A window as the model is shown it: whitened, where a stage asks for it.
    pub(crate) fn shown(&self, window: Array2<f32>) -> Result<Array2<f32>> {
        self.each_window.iter().try_fold(window, |window, step| Ok(step.window(window)?))
    }

    /// The same of all windows of a scan.
    pub(crate) fn as_shown(&self, scan: PreparedScan) -> Result<PreparedScan> {
        self.each_window.iter().try_fold(scan, |scan, step| Ok(scan.through(step.as_ref())?))
    }

    /// Whether what the model sees of a row is there.
    fn has(&self, row: usize) -> bool {
        let idx = self.cohort().rows[row].scan_idx;
        let units = self.tokens.as_ref().map(|it| &it.units);
        let units = units.or_else(|| self.series().map(|it| &it.units));
        !self.failures.contains_key(&idx) && units.is_some_and(|units| units[idx].is_some())
    }

    /// Whether all rows of a scan are shown the same.
    pub(crate) fn shows_scans(&self) -> bool {
        self.events().is_none()
    }

    /// What the model sees of a row: its window, or all windows of its scan, read from disk.
    pub(crate) fn medium(&self, row: usize) -> Result<Arc<Medium>> {
        if self.tokens.is_none() {
            return Ok(Arc::new(self.shown(self.cleaned(row)?)?.into_dyn()));
        }
        let tokens = TokenSet::medium(self.tokens_of(row))?;
        Ok(Arc::new(match self.window_of(row) {
            Some(at) => tokens.slice_axis(Axis(0), Slice::from(at..=at)).to_owned(),
            None => tokens,
        }))
    }

    /// All that the model sees of a row: its scan, and where a report has several media these, in the order of the prompt.
    pub(crate) fn shown_of(&self, row: usize) -> Result<Vec<Arc<Medium>>> {
        Ok(self.named.with(row, self.medium(row)?))
    }

    /// Which of the windows that are kept of its scan a row is shown; none where it is shown all.
    fn window_of(&self, row: usize) -> Option<usize> {
        self.events().map(|_| self.cohort().rows[row].window - 1)
    }

    /// The frames of the scan that the model is shown for a row, and the stretch of seconds that stands
    /// for them: of an event its own, which the table has.
    pub(crate) fn seen(&self, row: usize) -> Result<(Seen, Option<(f64, f64)>)> {
        let planned = &self.cohort().rows[row];
        let Some(config) = self.events() else {
            let seen = TokenSet::facts(self.tokens_of(row))?.seen;
            let stretch_s = seen.stretch_s(self.cohort().scans[planned.scan_idx].start_s);
            return Ok((seen, stretch_s));
        };
        let of = |frames: &Frames<'_>, n: usize| -> Result<Seen> {
            Ok(Seen::of(&[frames.event(config, self.onset_s(row), n)?], frames))
        };
        let seen = if self.tokens.is_some() {
            let facts = TokenSet::facts(self.tokens_of(row))?;
            let kept = self.scans[planned.scan_idx].kept.as_ref();
            let kept = kept.map(|kept| kept.frames.as_slice());
            let ImageQualityMetrics { n_frames, t_r, .. } = facts.quality;
            of(&Frames::of(n_frames, t_r, kept, facts.t_r_s), facts.n_frames)?
        } else {
            let series = self.series_of(planned.scan_idx)?;
            of(&series.facts.frames(), series.facts.n_frames)?
        };
        Ok((seen, None))
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
            self.cleaned(row)?.mean_axis(Axis(0))
        } else {
            let means = TokenSet::vectors(self.tokens_of(row), "means")?;
            let means = means.map(|means| match self.window_of(row) {
                Some(at) => means.slice_axis(Axis(0), Slice::from(at..=at)).to_owned(),
                None => means,
            });
            means.and_then(|means| means.mean_axis(Axis(0))).map(|mean| mean.mapv(|x| x as f32))
        };
        Ok(mean.expect("a window has frames"))
    }

    /// What the model sees of a scan.
    pub(crate) fn input(&self) -> InputShape {
        if let Some(tokens) = &self.tokens {
            return tokens.about.input;
        }
        let series = self.series().expect("a model is fitted to windows or tokens");
        let n_frames = self.cut.as_ref().map_or(0, Cut::n_frames);
        InputShape::Window { n_frames, n_voxels: series.about.n_columns() }
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

    /// What a chat template writes around prompts, where that is asked for.
    pub(crate) fn chat(&self) -> Option<&'a ChatFrame> {
        self.plan.lm.as_ref()?.chat.as_ref()
    }

    /// The words before a row's report.
    pub(crate) fn prompt(&self, row: usize) -> String {
        let quality = self.quality[self.cohort().rows[row].scan_idx].as_ref();
        let quality = quality.expect("measured when scans are read");
        let technique = technique(quality, self.cut.as_ref());
        let prompt = self.prompt_template().fill(&technique, &self.cohort().rows[row].labels);
        framed(self.chat(), prompt)
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
