//! `parcellate`: scans to the series of an atlas's parcels, one file a scan.
use std::path::{Path, PathBuf};

use cohort::Hdf5Config;
use ndarray::{Array1, Array2};
use scan::{
    CohortFile, ConfoundTable, ExtractConfig, FittedNormalisation, OpenOptions, Parcel,
    ParcelSeries, QualityFigures, Scan, SeriesAxes, VoxelSeries,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Artifact,
    atlas::{AtlasFiles, ReadAtlas},
    mirror::{self, LIKENESS, Likeness, MirrorCheck, Sides},
    work::{Work, load_failures},
};
use crate::{
    Error, Result,
    event::Control,
    files,
    plan::ScanView,
    spec::CohortSpec,
    state::State,
    units::{
        self, Job, Unit,
        file::{self, Header, Numbers},
    },
};

/// Which atlas, and how the voxels of a parcel become one number a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParcellateConfig {
    /// The atlas; the user's files.
    pub atlas: AtlasFiles,
    /// On which grid voxels and labels meet, and what is made of them; a `.dlabel.nii` makes means.
    #[serde(default)]
    pub extract: ExtractConfig,
    /// Leaves out scans whose left and right seem exchanged; absent: not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror_check: Option<MirrorCheck>,
}

/// Parcel series of the scans that are there.
#[derive(Clone, Debug)]
pub(crate) struct Parcels {
    pub(crate) parcels: Vec<Parcel>,
    /// The files of the atlas with their digests, for the record.
    pub(crate) atlas: Value,
    pub(crate) units: Vec<Option<Unit>>,
    /// What decided them beside the scans: the stages so far.
    pub(crate) preparation: Vec<String>,
    /// How the scans of the cohort look, where left and right are compared.
    pub(crate) likeness: Option<Likeness>,
    /// What was fitted to the training scans, where they were brought to scale.
    pub(crate) normalisation: Option<FittedNormalisation>,
}

impl Parcels {
    /// The labels that each scan lost, in the order of the scans; nothing for one that lost none.
    pub(crate) fn lost(&self) -> impl Iterator<Item = (usize, Vec<i32>)> {
        let lost = |(idx, unit): (usize, &Option<Unit>)| {
            Some((idx, unit.as_ref().and_then(SeriesFacts::of)?.lost))
        };
        self.units.iter().enumerate().filter_map(lost).filter(|(_, lost)| !lost.is_empty())
    }

    /// Where the parcels are, if that is known of all.
    pub(crate) fn coordinates(&self) -> Option<Vec<[f64; 3]>> {
        places(&self.parcels)
    }
}

/// Where parcels are, if that is known of all.
pub(crate) fn places(parcels: &[Parcel]) -> Option<Vec<[f64; 3]>> {
    parcels.iter().map(|parcel| parcel.centre_mm).collect()
}

/// One scan's parcel series, as its file holds it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredSeries {
    /// `(n_frames, n_parcels)`.
    pub(crate) values: Array2<f64>,
    /// Framewise displacement in mm of each frame, where confounds say it.
    pub(crate) fd_mm: Option<Array1<f64>>,
    pub(crate) facts: SeriesFacts,
}

/// What is asked of a series without reading it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SeriesFacts {
    pub(crate) t_r_s: f64,
    pub(crate) n_frames: usize,
    /// Labels of parcels that no voxel of the scan carries.
    pub(crate) lost: Vec<i32>,
    /// Of the series as they were extracted.
    pub(crate) quality: QualityFigures,
    /// Mean framewise displacement in mm, of all frames.
    pub(crate) fd_mean_mm: Option<f64>,
}

impl SeriesFacts {
    /// Those of a scan's file.
    pub(super) fn of(unit: &Unit) -> Option<Self> {
        serde_json::from_value(unit.facts.clone()).ok()
    }
}

impl StoredSeries {
    /// Reads a scan's file.
    pub(crate) fn read(unit: &Unit) -> Result<Self> {
        let (header, mut arrays) = file::read(&unit.path, &unit.key)?;
        let damaged = |problem: String| Error::Arrays { path: unit.path.clone(), problem };
        let facts: SeriesFacts =
            serde_json::from_value(header.facts).map_err(|error| damaged(error.to_string()))?;
        let (shape, values) = arrays.take("series");
        let &[rows, columns] = shape.as_slice() else {
            return Err(damaged("its series have no two sides".to_owned()));
        };
        let values = Array2::from_shape_vec((rows, columns), values);
        let (_, fd_mm) = arrays.take("fd_mm");
        Ok(Self {
            values: values.map_err(|error| damaged(error.to_string()))?,
            fd_mm: (fd_mm.len() == rows).then(|| fd_mm.into()),
            facts,
        })
    }

    /// The bytes of its file.
    pub(crate) fn to_bytes(&self, key: &str) -> Vec<u8> {
        let values = self.values.as_standard_layout();
        let (rows, columns) = values.dim();
        let header = Header {
            key: key.to_owned(),
            what: format!("series of {columns} parcels"),
            facts: serde_json::to_value(&self.facts).expect("plain values"),
        };
        let shape = [rows, columns];
        let series = Numbers::F64(values.as_slice().expect("standard layout"));
        let mut arrays: Vec<(&str, &[usize], Numbers<'_>)> = vec![("series", &shape, series)];
        let n_fd = [rows];
        if let Some(fd_mm) = &self.fd_mm {
            arrays.push(("fd_mm", &n_fd, Numbers::F64(fd_mm.as_slice().expect("one axis"))));
        }
        file::to_bytes(&header, &arrays)
    }
}

impl Work for ParcellateConfig {
    fn name(&self) -> &'static str {
        "parcellate"
    }

    fn version(&self) -> u32 {
        2
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Scans, Artifact::ParcelSeries)
    }

    fn gives(&self, have: Artifact) -> Option<Artifact> {
        matches!(have, Artifact::Scans | Artifact::Recordings).then_some(Artifact::ParcelSeries)
    }

    fn check(&self) -> Result<()> {
        self.mirror_check.as_ref().map_or(Ok(()), |it| it.check(self.name()))
    }

    fn inputs(&self, state: &State<'_>) -> Value {
        json!((0..state.scans().len()).map(|idx| self.key(state, idx)).collect::<Vec<_>>())
    }

    fn compute(&self, state: &State<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let atlas = self.read_atlas(&|path| state.place(path))?;
        files::write_json(&dir.join("parcels.json"), &atlas.parcels())?;
        files::write_json(
            &dir.join("atlas.json"),
            &self.atlas.recorded(&|path| state.place(path)),
        )?;
        let stack = stack(state);
        let cost = |idx: usize| self.cost(&atlas, &state.scans()[idx], stack);
        let work = |idx: usize, key: &str| {
            Ok(self.series(&atlas, &state.scans()[idx], stack)?.to_bytes(key))
        };
        let key = |idx: usize| self.key(state, idx);
        let job = Job { stage: self.name(), key: &key, cost: &cost, work: &work };
        units::each_unit(state, dir, control, &job)?;
        match &self.mirror_check {
            Some(check) => {
                let sides = Sides::of_parcels(atlas.parcels())?;
                let look = |unit: &Unit| Ok(mirror::look(&StoredSeries::read(unit)?));
                mirror::leave_out(check, state, &sides, &look, dir, control)
            }
            None => Ok(()),
        }
    }

    fn load(&self, state: &mut State<'_>, dir: &Path) -> Result<()> {
        let units = units::listed(state, self.name(), dir)?;
        load_failures(state, self.name(), dir)?;
        let parcels = files::read_json(&dir.join("parcels.json"))?;
        let atlas = files::read_json(&dir.join("atlas.json"))?;
        let facts = |unit: &Option<Unit>| unit.as_ref().and_then(SeriesFacts::of);
        state.quality = units.iter().map(|unit| facts(unit).map(|it| it.quality)).collect();
        let preparation = vec![super::said(self)];
        let likeness = |_: &MirrorCheck| files::read_json(&dir.join(LIKENESS));
        let likeness = self.mirror_check.as_ref().map(likeness).transpose()?;
        let normalisation = None;
        state.parcels =
            Some(Parcels { parcels, atlas, units, preparation, likeness, normalisation });
        Ok(())
    }
}

impl ParcellateConfig {
    /// The files it names.
    pub(crate) fn paths(&mut self) -> Vec<&mut PathBuf> {
        let atlas = &mut self.atlas;
        let more = atlas.coordinates.iter_mut().chain(&mut atlas.names);
        [&mut atlas.labels].into_iter().chain(more).collect()
    }

    fn key(&self, state: &State<'_>, idx: usize) -> String {
        let scan = &state.scans()[idx];
        let digest = |path: &Path| scan::sha256_file(path).ok();
        let atlas = |path: &Option<PathBuf>| path.as_deref().map(|it| digest(&state.place(it)));
        units::key(&json!({
            "stage": self.name(),
            "version": self.version(),
            "scan": state.digest(idx),
            "t_r_s": scan.t_r_s,
            "confounds": scan.confounds.as_deref().map(digest),
            "atlas": [
                Some(digest(&state.place(&self.atlas.labels))),
                atlas(&self.atlas.coordinates),
                atlas(&self.atlas.names),
            ],
            "extract": self.extract,
        }))
    }

    /// Reads the atlas; settings that cannot apply to it are refused.
    pub(crate) fn read_atlas(&self, place: &dyn Fn(&Path) -> PathBuf) -> Result<ReadAtlas> {
        let atlas = self.atlas.read(place)?;
        atlas.check(&self.extract)?;
        if self.mirror_check.is_some() {
            Sides::of_parcels(atlas.parcels())?;
        }
        Ok(atlas)
    }

    /// Refuses scans of another kind than the atlas divides, if it is so of all of them; some fail
    /// when they are read.
    pub(crate) fn reads_some(atlas: &ReadAtlas, scans: &[ScanView]) -> Result<()> {
        let mut first = None;
        for scan in scans {
            match Self::divided(atlas, scan, &Self::options(atlas, scan, None)) {
                Ok(()) => return Ok(()),
                Err(error) => _ = first.get_or_insert(error),
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Refuses a scan of another kind than the atlas divides, by its header.
    fn divided(atlas: &ReadAtlas, scan: &ScanView, options: &OpenOptions) -> Result<()> {
        // what lies in a file of many is a parcel series
        if scan.stacked.is_some() { Ok(()) } else { atlas.divides(&scan.path, options) }
    }

    /// How a scan is opened; `stack` says how a file of many is read.
    fn options(atlas: &ReadAtlas, scan: &ScanView, stack: Option<&Hdf5Config>) -> OpenOptions {
        let axes = Some(SeriesAxes::ByParcels(atlas.n_parcels()));
        let options = OpenOptions { t_r: scan.t_r_s, axes, ..OpenOptions::default() };
        let Some((dataset, _)) = &scan.stacked else { return options };
        let dataset = Some(dataset.clone());
        match stack {
            Some(config) => {
                let axes = config.axes.or(axes);
                OpenOptions { t_r: scan.t_r_s, axes, dataset, ..config.options() }
            }
            None => OpenOptions { dataset, ..options },
        }
    }

    /// The most bytes that work on a scan takes; none for one that the work will fail to read.
    fn cost(&self, atlas: &ReadAtlas, scan: &ScanView, stack: Option<&Hdf5Config>) -> u64 {
        let options = Self::options(atlas, scan, stack);
        if Self::divided(atlas, scan, &options).is_err() {
            return 0;
        }
        let Ok(footprint) = scan::footprint(&scan.path, &options) else { return 0 };
        let n_frames = footprint.n_frames().map(|n| n as usize).or(scan.n_frames);
        let n_frames = n_frames.unwrap_or(footprint.n_values as usize / atlas.n_parcels().max(1));
        let confounds = scan.confounds.as_deref();
        let confounds = confounds.and_then(|it| ConfoundTable::footprint(it, n_frames).ok());
        let n_bytes = atlas.extract_bytes(&scan.path, &footprint, &self.extract);
        n_bytes + confounds.map_or(0, |(_, n_bytes)| n_bytes)
    }

    /// A scan's series; `stack` says how a file of many is read.
    pub(crate) fn series(
        &self,
        atlas: &ReadAtlas,
        scan: &ScanView,
        stack: Option<&Hdf5Config>,
    ) -> Result<StoredSeries> {
        let n_parcels = atlas.n_parcels();
        let options = Self::options(atlas, scan, stack);
        let series = if let Some((_, index)) = &scan.stacked {
            CohortFile::open(&scan.path, &options)?.read_at(*index)?
        } else {
            atlas.divides(&scan.path, &options)?;
            scan::check_placed(&scan.path)?;
            match scan::open(&scan.path, &options)?.scan {
                Scan::Series(series) => series,
                opened => atlas.extract(&opened, &self.extract)?,
            }
        };
        if series.n_parcels() != n_parcels {
            let found = series.n_parcels();
            let problem =
                format!("the scan has {found} parcels, expected {n_parcels} as the atlas");
            return Err(Error::StageInput { stage: self.name(), problem });
        }
        let fd_mm = scan.confounds.as_deref().map(|path| displacement(path, series.n_frames()));
        stored(series, fd_mm.transpose()?.flatten())
    }
}

/// How recordings lie in a file of many.
fn stack<'a>(state: &State<'a>) -> Option<&'a Hdf5Config> {
    match &state.plan.spec().cohort {
        CohortSpec::Hdf5(config) => Some(config),
        _ => None,
    }
}

/// A series with its figures; one that is no number anywhere is refused.
pub(crate) fn stored(series: ParcelSeries, fd_mm: Option<Array1<f64>>) -> Result<StoredSeries> {
    let found = series.values.iter().filter(|x| !x.is_finite()).count();
    if found > 0 {
        let total = series.values.len();
        return Err(scan::Error::NonFiniteSeries { found, total }.into());
    }
    let raw = VoxelSeries { values: series.values.mapv(|x| x as f32), t_r: series.t_r };
    let facts = SeriesFacts {
        t_r_s: series.t_r,
        n_frames: series.n_frames(),
        lost: series.lost,
        quality: QualityFigures::measure(&raw)?,
        fd_mean_mm: fd_mm.as_ref().and_then(|fd_mm| fd_mm.mean()),
    };
    Ok(StoredSeries { values: series.values, fd_mm, facts })
}

/// Framewise displacement of each frame; the first, before which there is none, counts as 0.
pub(super) fn displacement(path: &Path, n_frames: usize) -> Result<Option<Array1<f64>>> {
    let table = ConfoundTable::read(path)?;
    let Some(fd_mm) = table.column("framewise_displacement") else { return Ok(None) };
    if fd_mm.len() != n_frames {
        let (found, expected) = (fd_mm.len(), n_frames);
        let problem = format!("has {found} rows, but the scan has {expected} frames");
        return Err(Error::Arrays { path: path.to_owned(), problem });
    }
    Ok(Some(fd_mm.iter().map(|x| if x.is_finite() { *x } else { 0.0 }).collect()))
}
