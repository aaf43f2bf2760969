//! What a step is: nothing of a cohort's store, of a run or of a page.
use std::{
    fmt,
    path::{Path, PathBuf},
};

use cohort::Hdf5Config;
use encoder::InputShape;
use engine::Unit;
use flamingo::PackageFile;
use ndarray::Array2;
use scan::{Atlas, EncoderPolicy, OpenOptions, Parcel, Shape, Shrinkage, Split};
use serde::Serialize;
use serde_json::Value;

use crate::{
    AboutSeries, Cut, Error, Kind, Made, Need, Planned, Recording, Result, SeriesFacts,
    StoredSeries, Timing,
    mirror::{LeftRightPairs, LeftRightTemplate, MirrorCheck},
    volumes::{Volumes, VolumesConfig},
};

/// Name and version of a step: both go into the keys of what it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepId {
    /// Its name in a pipeline file.
    pub name: &'static str,
    /// Raised when the same inputs would now give another result.
    pub version: u32,
}

/// One step of a recording's road, as its settings say it.
///
/// A step is asked in three places. The plan asks what it [`accepts`](Self::accepts), before a scan is
/// opened. Then it is fitted, once for all recordings: it reads the files that it names, and learns what
/// it learns from those that may be learned from. What was [`Fitted`] prepares one recording after
/// another, those of a cohort as one that is of none.
pub trait Step: Cloned + fmt::Debug + Send + Sync {
    /// Its name and version.
    fn id(&self) -> StepId;

    /// Its settings as they go into keys, as JSON; one that a program brings along is made again from it. The
    /// steps of this crate name files without their folders: where a file lies decides nothing, and its digest
    /// is part of what decides the result.
    fn said(&self) -> String;

    /// What it takes, in a word.
    fn takes(&self) -> Kind {
        Kind::ParcelSeries
    }

    /// What it makes of what is there; none where it cannot use it.
    fn accepts(&self, given: Kind) -> Option<Kind> {
        (given == self.takes()).then_some(given)
    }

    /// Refuses settings that could only fail later.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Files that its settings name.
    fn paths(&mut self) -> Vec<&mut PathBuf> {
        Vec::new()
    }

    /// Whether a recording needs its confounds table.
    fn asks_for_confounds(&self) -> bool {
        false
    }

    /// The image of the parcels that it divides scans into, where there is one.
    ///
    /// # Errors
    /// Where a file of it cannot be read.
    fn labels_image(&self, _place: &dyn Fn(&Path) -> PathBuf) -> Result<Option<Atlas>> {
        Ok(None)
    }

    /// Where it cuts windows out of scans.
    fn cut(&self) -> Option<Cut> {
        None
    }

    /// Whether it takes scans only that lie on one grid, with one repetition time.
    fn wants_one_grid(&self) -> bool {
        false
    }

    /// Of how much the noise is shrunk that it learns within the classes of windows; none where it learns
    /// none.
    fn noise(&self) -> Option<Shrinkage> {
        None
    }

    /// What there is after it, where `made` was before; without `planned` as far as settings say it.
    ///
    /// # Errors
    /// Where it does not find what it needs, or cannot read a file that it names.
    fn makes(&self, _made: &mut Made, _planned: Option<Planned<'_>>) -> Result<()> {
        Ok(())
    }

    /// The timing of a recording after it.
    fn timing(&self, given: Timing) -> Timing {
        given
    }

    /// How it would open a recording; `n_parcels` are those of the atlas, where one was read.
    fn opens(
        &self,
        _recording: &Recording,
        _n_parcels: Option<usize>,
        _stack: Option<&Hdf5Config>,
    ) -> Option<OpenOptions> {
        None
    }

    /// What is done only when a recording is encoded; none where it is done, and its result kept, when the
    /// step has its turn.
    fn deferred(&self) -> Option<Deferred<'_>> {
        None
    }

    /// Every number of frames that it needs.
    fn needs(&self, _reads_volumes: bool) -> Vec<Need> {
        Vec::new()
    }

    /// Whether it cannot do without recordings that are learned from.
    fn learns(&self) -> bool {
        false
    }

    /// Refuses a recording that it could not go on with, by its header and the tables beside it.
    fn check_recording(&self, _recording: &Recording, _given: Timing) -> Result<()> {
        Ok(())
    }

    /// A sentence for the methods of a paper.
    fn in_methods(&self) -> Option<String> {
        None
    }

    /// In words for a plan and a card, where it follows a policy.
    fn policy_in_words(&self) -> Option<String> {
        None
    }

    /// The policy by which volumes are made when they are encoded; such a step leaves series alone.
    fn volume_policy(&self) -> Option<EncoderPolicy> {
        None
    }

    /// What decides the result of a recording beside the settings, the version and what came before;
    /// none where nothing does. Of a step that opens scans it is all there is, the step itself with it.
    fn decides(&self, _recording: &Recording, _inputs: &dyn Inputs) -> Result<Option<Value>> {
        Ok(None)
    }

    /// Whether nothing of it is fitted to several recordings, so that each may be prepared without the
    /// others.
    fn is_by_recording(&self) -> bool {
        true
    }

    /// What decides that which is fitted, beside the settings and what came before; none where nothing
    /// is.
    fn learns_from(&self, _training: &Training<'_>) -> Option<Value> {
        None
    }

    /// Whether windows that an encoder reads depend on it.
    fn serves(&self, windows: InputShape) -> bool {
        !matches!(windows, InputShape::Volume { .. })
    }

    /// Changes its settings to what a package keeps of them, and gives the files that go with them.
    fn pack(&mut self, _kept: &Packing<'_>) -> Result<Vec<PackageFile>> {
        Ok(Vec::new())
    }

    /// The files of a package that it reads.
    fn parts(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Makes it ready for recordings: reads the files that it names, and learns what it learns, or reads
    /// what was fitted before.
    fn fit(&self, training: &Training<'_>) -> Result<Box<dyn Fitted>>;

    /// What all series share after it, by what they shared before and by the files that
    /// [`Fitted::keep`] wrote, each of which lies at `kept(name)`.
    fn after(
        &self,
        before: Option<AboutSeries>,
        kept: &dyn Fn(&str) -> PathBuf,
    ) -> Result<AboutSeries> {
        let _ = kept;
        Ok(before.expect("series come from an atlas").and(self.said()))
    }
}

/// A step as another one of the same settings.
pub trait Cloned {
    /// The copy.
    fn cloned(&self) -> Box<dyn Step>;
}

impl<S: Step + Clone + 'static> Cloned for S {
    fn cloned(&self) -> Box<dyn Step> {
        Box::new(self.clone())
    }
}

/// What is done with a recording when it is encoded.
#[derive(Clone, Debug)]
pub enum Deferred<'a> {
    /// It becomes volumes.
    Volumes(&'a VolumesConfig),
    /// Windows are cut out of it.
    Windows(Cut),
    /// Each of its windows is changed, as [`Fitted::window`] does.
    EachWindow,
}

/// A step that is ready for recordings.
pub trait Fitted: Send + Sync {
    /// The most bytes that work on a recording takes; none for one that the work will fail to read.
    /// `given` tells of the series that it takes, where it takes one.
    fn footprint(&self, recording: &Recording, given: Option<Given<'_>>) -> u64;

    /// One step further with a recording.
    fn apply(&self, recording: &Recording, given: Data) -> Result<Data>;

    /// Whether it changes the windows that are cut out of a recording.
    fn changes_windows(&self) -> bool {
        false
    }

    /// A window `(n_frames, n_columns)` as the model is shown it. What is made of a frame may depend on no
    /// other: a window may have more frames than those that were cut.
    fn window(&self, window: Array2<f32>) -> Result<Array2<f32>> {
        Ok(window)
    }

    /// The columns of series after it, where it says them.
    fn parcels(&self) -> Option<&[Parcel]> {
        None
    }

    /// What was fitted, for the keys of what it makes; none where the settings decide it.
    fn decides(&self) -> Option<Value> {
        None
    }

    /// Writes into `dir` what [`Step::after`] reads.
    fn keep(&self, _dir: &Path) -> Result<()> {
        Ok(())
    }

    /// How recordings are held against each other once all are there.
    fn compares(&self) -> Option<(&MirrorCheck, &LeftRightPairs)> {
        None
    }
}

/// A recording at a place of its road.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// A file that nobody opened yet.
    Scan,
    /// One series a parcel, or a voxel.
    Series(Box<StoredSeries>),
    /// Images on one grid.
    Volumes(Box<Volumes>),
}

impl From<StoredSeries> for Data {
    fn from(series: StoredSeries) -> Self {
        Self::Series(Box::new(series))
    }
}

impl Data {
    /// The series.
    ///
    /// # Panics
    /// Where it is none: the chain of steps is checked before a recording is opened.
    pub fn into_series(self) -> StoredSeries {
        match self {
            Self::Series(series) => *series,
            Self::Scan | Self::Volumes(_) => unreachable!("the chain of steps was checked"),
        }
    }
}

/// What is known of a series that was not read.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// What its file says of it.
    pub facts: &'a SeriesFacts,
    /// Its columns.
    pub n_columns: usize,
}

impl Given<'_> {
    /// Bytes of the series as it is and as it becomes with so many frames; its file is read, and then
    /// written, as bytes and as a whole.
    pub fn n_bytes(&self, n_frames: usize) -> u64 {
        4 * 8 * (self.facts.n_frames.max(n_frames) * self.n_columns) as u64
    }
}

/// Files that settings and recordings name.
pub trait Inputs: Sync {
    /// A path of the settings, as seen from here.
    fn place(&self, path: &Path) -> PathBuf;

    /// The digest of a file, or of both files of a pair.
    fn digest(&self, path: &Path) -> Result<String>;

    /// What a scan would be read as, by its header.
    fn shape(&self, path: &Path, options: &OpenOptions) -> scan::Result<Shape> {
        scan::shape(path, options)
    }

    /// Where that lies which was fitted before; none where it is to be fitted.
    fn fitted(&self, _name: &str) -> Option<PathBuf> {
        None
    }

    /// The digest of a file that may be there.
    fn digest_if(&self, path: Option<&Path>) -> Result<Option<String>> {
        path.map(|path| self.digest(path)).transpose()
    }

    /// Names what a recording holds: the digest of its file, and of a file of many the place in it.
    fn digest_of(&self, recording: &Recording) -> Result<String> {
        let of_file = match &recording.sha256 {
            Some(sha256) => sha256.clone(),
            None => self.digest(&recording.path)?,
        };
        Ok(match &recording.stacked {
            Some((dataset, index)) => format!("{of_file} {dataset}[{index}]"),
            None => of_file,
        })
    }
}

/// What a step may be fitted on.
pub struct Training<'a> {
    /// Files that settings name.
    pub inputs: &'a dyn Inputs,
    /// How a file of many recordings is read.
    pub stack: Option<&'a Hdf5Config>,
    /// Parcels of the series before it.
    pub parcels: &'a [Parcel],
    /// Recordings that may be learned from: their numbers in the cohort.
    pub trained_on: Vec<usize>,
    /// Those that are there, with their numbers.
    pub recordings: Vec<(usize, &'a Recording)>,
    /// The series of those that are there.
    pub series: Vec<&'a Unit>,
    /// The windows `(n_frames, n_columns)` of those whose class is known, where the step changes windows.
    pub windows: Vec<Array2<f32>>,
    /// The class of each.
    pub classes: Vec<usize>,
    /// Why the first recording is not there, where one is not.
    pub reason: String,
    /// Bytes that numbers of all series together may take.
    pub n_bytes: u64,
    /// Whether to stop.
    pub stop: &'a dyn Fn() -> engine::Result<()>,
}

impl<'a> Training<'a> {
    /// What is said where nothing is there to be learned from.
    pub(crate) fn nothing_left(&self) -> Error {
        Error::NothingLeft { split: Split::Train, reason: self.reason.clone() }
    }

    /// Nothing to learn from: what was fitted lies where `inputs` say.
    pub fn of_package(inputs: &'a dyn Inputs, parcels: &'a [Parcel]) -> Self {
        Self {
            inputs,
            stack: None,
            parcels,
            trained_on: Vec::new(),
            recordings: Vec::new(),
            series: Vec::new(),
            windows: Vec::new(),
            classes: Vec::new(),
            reason: String::new(),
            n_bytes: 0,
            stop: &|| Ok(()),
        }
    }
}

/// What a package may keep of the cohort that steps were fitted on.
#[derive(Clone, Copy)]
pub struct Packing<'a> {
    /// What the series of the cohort share, where there are any.
    pub about: Option<&'a AboutSeries>,
    /// How the volumes of the cohort look, where left and right are compared.
    pub volume_left_right: Option<&'a LeftRightTemplate>,
    /// Where the files lie that settings name.
    pub place: &'a dyn Fn(&Path) -> PathBuf,
    /// Where that lies which steps that change windows have kept, by the names of their files.
    pub fitted: &'a dyn Fn(&str) -> Option<PathBuf>,
}

/// What was fitted, as a file of a package.
pub(crate) fn packed(name: &str, fitted: &impl Serialize) -> PackageFile {
    let bytes = files::to_json(fitted).into_bytes();
    PackageFile { name: name.to_owned(), bytes, licence: None }
}
