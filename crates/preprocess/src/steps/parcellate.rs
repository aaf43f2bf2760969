//! `parcellate`: scans to the series of an atlas's parcels, one file a scan.
use std::path::{Path, PathBuf};

use cohort::Hdf5Config;
use encoder::{InputShape, InputSpace};
use flamingo::PackageFile;
use ndarray::Array1;
use scan::{
    Atlas, ConfoundTable, ExtractConfig, ImageQualityMetrics, OpenOptions, Parcel, ParcelSeries,
    Scan, SeriesAxes, VoxelSeries,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    atlas::{AtlasFiles, ReadAtlas},
    columns,
    lost::{self, LossLimits},
    said_by_names, shares,
};
use crate::{
    AboutSeries, Data, Fitted, Given, Inputs, Kind, Made, Need, Planned, Recording, Result,
    SeriesFacts, Step, StepId, StoredSeries, Training,
    mirror::{LEFT_RIGHT_TEMPLATE, LeftRightPairs, LeftRightTemplate, MirrorCheck, look},
    names,
    settings::{SHARE, Settings},
    step::{Packing, packed},
};

/// Which atlas, and how the voxels of a parcel become one number a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParcellateConfig {
    /// The atlas; the user's files.
    pub atlas: AtlasFiles,
    /// On which grid voxels and labels meet, and what is made of them; labels of vertices make means.
    #[serde(default)]
    pub extract: ExtractConfig,
    /// The smallest share of a parcel, from 0 to 1, that a scan must have data of: voxels or vertices
    /// that are finite and not 0 in some frame. A parcel with less is lost: its column is 0, and it is
    /// named and counted. 0, the default: a parcel is lost where the scan has no data of it, or the
    /// same value in all frames. XCP-D asks for 0.5, `HALFpipe` for 0.8.
    #[serde(default)]
    pub min_coverage: f64,
    /// The most parcels that a scan may lose; one that loses more is left out. Absent: all but one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lost_parcels: Option<usize>,
    /// Which axis of a table or an array is time. Absent: the one that has another length than there
    /// are parcels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axes: Option<SeriesAxes>,
    /// How many columns tables have of which the atlas lists only some, by their numbers from 1: 25 or 100
    /// components of ICA, of which 21 or 55 are good in UK Biobank. Absent: a column for each parcel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<usize>,
    /// Path of the series in HDF5 files of one recording, or its variable in MATLAB files. Absent:
    /// `/parcel_ts`, or the only dataset or matrix that could be a series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Takes the numbers of HDF5 files as they are stored, though attributes scale them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stored_numbers: bool,
    /// Leaves out scans whose left and right seem exchanged; absent: not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror_check: Option<MirrorCheck>,
}

const PARCELS: &str = "parcels.json";
const FILES: &str = "atlas.json";

impl Step for ParcellateConfig {
    fn id(&self) -> StepId {
        StepId { name: "parcellate", version: 6 }
    }

    fn said(&self) -> String {
        said_by_names(self)
    }

    fn takes(&self) -> Kind {
        Kind::Scans
    }

    fn accepts(&self, given: Kind) -> Option<Kind> {
        matches!(given, Kind::Scans | Kind::Recordings).then_some(Kind::ParcelSeries)
    }

    fn check(&self) -> Result<()> {
        let name = self.id().name;
        Settings(name).numbers(SHARE, &[("min_coverage", self.min_coverage)])?;
        self.mirror_check.as_ref().map_or(Ok(()), |it| it.check(name))
    }

    fn makes(&self, made: &mut Made, planned: Option<Planned<'_>>) -> Result<()> {
        let id = Some(self.atlas.id.clone());
        let Some(planned) = planned else {
            made.series = Some(InputSpace::Parcels { atlas: id, n: 0, coordinates: false });
            return Ok(());
        };
        let atlas = self.read_atlas(&|path| planned.inputs.place(path))?;
        self.reads_some(&atlas, planned.recordings)?;
        self.some_have_the_parcels(&atlas, planned)?;
        let coordinates = atlas.parcels().iter().all(|it| it.centre_mm.is_some());
        made.labels = names(atlas.parcels());
        let n = atlas.n_parcels();
        made.series = Some(InputSpace::Parcels { atlas: id, n, coordinates });
        Ok(())
    }

    fn opens(
        &self,
        recording: &Recording,
        n_parcels: Option<usize>,
        stack: Option<&Hdf5Config>,
    ) -> Option<OpenOptions> {
        Some(self.options(n_parcels?, recording, stack))
    }

    fn needs(&self, _reads_volumes: bool) -> Vec<Need> {
        // what the quality of a scan is measured on
        vec![Need { in_file: true, ..Need::of(None, 3) }]
    }

    fn labels_image(&self, place: &dyn Fn(&Path) -> PathBuf) -> Result<Option<Atlas>> {
        self.atlas.image(place)
    }

    fn paths(&mut self) -> Vec<&mut PathBuf> {
        let atlas = &mut self.atlas;
        let more = atlas.coordinates.iter_mut().chain(&mut atlas.names);
        atlas.labels.iter_mut().chain(more).collect()
    }

    fn decides(&self, recording: &Recording, inputs: &dyn Inputs) -> Result<Option<Value>> {
        let StepId { name, version } = self.id();
        let of_atlas = |path: &Option<PathBuf>| {
            let placed = path.as_deref().map(|path| inputs.place(path));
            inputs.digest_if(placed.as_deref())
        };
        Ok(Some(json!({
            "stage": name,
            "version": version,
            "scan": inputs.digest_of(recording)?,
            "t_r_s": recording.timing(),
            "confounds": inputs.digest_if(recording.confounds.as_deref())?,
            "atlas": [
                of_atlas(&self.atlas.labels)?,
                of_atlas(&self.atlas.coordinates)?,
                of_atlas(&self.atlas.names)?,
            ],
            "map": self.atlas.map,
            "extract": self.extract,
            "read": self.reading(inputs.digest_if(recording.coverage.as_deref())?),
            "lost": [json!(self.min_coverage), json!(self.max_lost_parcels)],
        })))
    }

    fn serves(&self, windows: InputShape) -> bool {
        // volumes are compared by their parcels too
        !matches!(windows, InputShape::Volume { .. }) || self.mirror_check.is_some()
    }

    fn pack(&mut self, kept: &Packing<'_>) -> Result<Vec<PackageFile>> {
        let left_right = kept.about.and_then(|it| it.left_right.as_ref());
        let left_right = left_right.map(|it| packed(LEFT_RIGHT_TEMPLATE, it));
        Ok(left_right.into_iter().chain(self.atlas.pack(kept.place)?).collect())
    }

    fn parts(&self) -> Vec<PathBuf> {
        let atlas = &self.atlas;
        let given = [&atlas.labels, &atlas.coordinates, &atlas.names].into_iter().flatten();
        let left_right = self.mirror_check.as_ref().map(|_| PathBuf::from(LEFT_RIGHT_TEMPLATE));
        given.cloned().chain(left_right).collect()
    }

    fn in_methods(&self) -> Option<String> {
        let id = &self.atlas.id;
        Some(format!("The mean series of each parcel of the atlas {id} was extracted."))
    }

    fn fit(&self, training: &Training<'_>) -> Result<Box<dyn Fitted>> {
        let place = |path: &Path| training.inputs.place(path);
        let atlas = self.read_atlas(&place)?;
        let sides = self.mirror_check.as_ref().map(|_| LeftRightPairs::of_parcels(atlas.parcels()));
        let left_right = training.inputs.fitted(LEFT_RIGHT_TEMPLATE).filter(|_| sides.is_some());
        Ok(Box::new(Parcellation {
            files: self.atlas.recorded(&place),
            sides: sides.transpose()?,
            left_right: left_right.map(|path| files::read_json(&path)).transpose()?,
            config: self.clone(),
            atlas,
            stack: training.stack.cloned(),
        }))
    }

    fn after(
        &self,
        _before: Option<AboutSeries>,
        kept: &dyn Fn(&str) -> PathBuf,
    ) -> Result<AboutSeries> {
        let left_right =
            |_: &MirrorCheck| files::read_json::<LeftRightTemplate>(&kept(LEFT_RIGHT_TEMPLATE));
        Ok(AboutSeries {
            parcels: files::read_json(&kept(PARCELS))?,
            mask: None,
            atlas: files::read_json(&kept(FILES))?,
            preparation: vec![self.said()],
            left_right: self.mirror_check.as_ref().map(left_right).transpose()?,
            normalisation: None,
        })
    }
}

/// An atlas that was read, for every scan of a cohort.
struct Parcellation {
    config: ParcellateConfig,
    atlas: ReadAtlas,
    /// Its files, for the record.
    files: Value,
    /// Which parcels lie opposite each other, where left and right are compared.
    sides: Option<LeftRightPairs>,
    /// How the scans of the cohort look, for one that is not of it.
    left_right: Option<LeftRightTemplate>,
    stack: Option<Hdf5Config>,
}

impl Fitted for Parcellation {
    fn footprint(&self, recording: &Recording, _given: Option<Given<'_>>) -> u64 {
        self.config.cost(&self.atlas, recording, self.stack.as_ref())
    }

    fn apply(&self, recording: &Recording, _given: Data) -> Result<Data> {
        let series = self.config.series(&self.atlas, recording, self.stack.as_ref())?;
        if let (Some((check, sides)), Some(cohort)) = (self.compares(), &self.left_right) {
            check.one(cohort, sides, &look(&series))?;
        }
        Ok(series.into())
    }

    fn parcels(&self) -> Option<&[Parcel]> {
        Some(self.atlas.parcels())
    }

    fn keep(&self, dir: &Path) -> Result<()> {
        files::write_json(&dir.join(PARCELS), &self.atlas.parcels())?;
        Ok(files::write_json(&dir.join(FILES), &self.files)?)
    }

    fn compares(&self) -> Option<(&MirrorCheck, &LeftRightPairs)> {
        self.config.mirror_check.as_ref().zip(self.sides.as_ref())
    }
}

impl ParcellateConfig {
    /// How series are read, for the key, and the table of their coverage.
    fn reading(&self, coverage: Option<String>) -> Vec<Value> {
        let mut said = vec![json!(self.axes), json!(self.dataset), json!(self.stored_numbers)];
        said.extend(self.columns.map(|columns| json!(columns)));
        said.extend(coverage.map(|digest| json!({ "coverage": digest })));
        said
    }

    /// Reads the atlas; settings that cannot apply to it are refused.
    pub fn read_atlas(&self, place: &dyn Fn(&Path) -> PathBuf) -> Result<ReadAtlas> {
        let atlas = self.atlas.read(place)?;
        atlas.check(&self.extract)?;
        if let Some(columns) = self.columns {
            columns::can_be_listed(atlas.parcels(), columns)?;
        }
        if self.mirror_check.is_some() {
            LeftRightPairs::of_parcels(atlas.parcels())?;
        }
        Ok(atlas)
    }

    /// Refuses scans of another kind than the atlas divides, if it is so of all of them; some fail
    /// when they are read.
    pub fn reads_some(&self, atlas: &ReadAtlas, scans: &[Recording]) -> Result<()> {
        let mut first = None;
        for scan in scans {
            match Self::divided(atlas, scan, &self.options(atlas.n_parcels(), scan, None)) {
                Ok(()) => return Ok(()),
                Err(error) => _ = first.get_or_insert(error),
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Refuses a scan of another kind than the atlas divides, by its header.
    fn divided(atlas: &ReadAtlas, scan: &Recording, options: &OpenOptions) -> Result<()> {
        // what lies in a file of many is a parcel series
        if scan.stacked.is_some() { Ok(()) } else { atlas.divides(&scan.path, options) }
    }

    fn limits(&self) -> LossLimits {
        LossLimits { min_coverage: self.min_coverage, max_lost_parcels: self.max_lost_parcels }
    }

    /// How a scan is opened for an atlas of `n_parcels`; `stack` says how a file of many is read.
    pub fn options(
        &self,
        n_parcels: usize,
        scan: &Recording,
        stack: Option<&Hdf5Config>,
    ) -> OpenOptions {
        let by_parcels = SeriesAxes::ByParcels(self.columns.unwrap_or(n_parcels));
        let axes = Some(self.axes.unwrap_or(by_parcels));
        let options = OpenOptions {
            t_r: scan.t_r_s,
            axes,
            dataset: self.dataset.clone(),
            stored_numbers: self.stored_numbers,
            ..OpenOptions::default()
        };
        let Some((dataset, _)) = &scan.stacked else { return options };
        let dataset = Some(dataset.clone());
        match stack {
            Some(config) => {
                let axes = config.axes.or(axes);
                // it names the datasets as they were joined
                OpenOptions { t_r: scan.t_r_s, axes, ..config.options() }
            }
            None => OpenOptions { dataset, ..options },
        }
    }

    /// The most bytes that work on a scan takes; none for one that the work will fail to read.
    fn cost(&self, atlas: &ReadAtlas, scan: &Recording, stack: Option<&Hdf5Config>) -> u64 {
        let options = self.options(atlas.n_parcels(), scan, stack);
        if Self::divided(atlas, scan, &options).is_err() {
            return 0;
        }
        let Ok(footprint) = scan::footprint(&scan.path, &options) else { return 0 };
        let n_frames = footprint.n_frames().map(|n| n as usize).or(scan.n_frames);
        let n_frames = n_frames.unwrap_or(footprint.n_values as usize / atlas.n_parcels().max(1));
        let confounds = scan.confounds.as_deref();
        let confounds = confounds.and_then(|it| ConfoundTable::footprint(it, n_frames).ok());
        let n_bytes = atlas.extract_bytes(&scan.path, &footprint, &options, &self.extract);
        n_bytes + confounds.map_or(0, |(_, n_bytes)| n_bytes)
    }

    /// A scan's series; `stack` says how a file of many is read.
    pub fn series(
        &self,
        atlas: &ReadAtlas,
        scan: &Recording,
        stack: Option<&Hdf5Config>,
    ) -> Result<StoredSeries> {
        let options = self.options_for(atlas, scan, stack)?;
        let mut slices = Vec::new();
        let series = if let Some((_, index)) = &scan.stacked {
            self.listed(scan::read_stacked(&scan.path, *index, &options)?, atlas)?
        } else {
            atlas.divides(&scan.path, &options)?;
            scan::check_placed(&scan.path)?;
            match scan::open(&scan.path, &options)?.scan {
                Scan::Series(series) => {
                    self.listed(shares::added(series, scan.coverage.as_deref())?, atlas)?
                }
                opened => atlas.extract(&opened, &self.extract, &mut slices)?,
            }
        };
        let fd_mm = scan.displacement(series.n_frames())?;
        let n_beside = series.n_parcels().saturating_sub(atlas.n_parcels());
        let mut stored = stored(series, atlas.parcels(), &self.limits(), fd_mm)?;
        stored.slices = slices;
        stored.facts.dropped = (n_beside > 0).then_some(n_beside);
        stored.facts.kept = scan.kept.as_ref().map(|kept| kept.frames.clone());
        Ok(stored)
    }
}

impl ParcellateConfig {
    /// The columns that the atlas lists, where a table has more.
    fn listed(&self, series: ParcelSeries, atlas: &ReadAtlas) -> Result<ParcelSeries> {
        match self.columns {
            Some(columns) => columns::listed(series, atlas.parcels(), columns),
            None => Ok(series),
        }
    }
}

/// A series with its figures, its columns those of the atlas; one that is not a number anywhere is
/// refused.
fn stored(
    series: ParcelSeries,
    parcels: &[Parcel],
    limits: &LossLimits,
    fd_mm: Option<Array1<f64>>,
) -> Result<StoredSeries> {
    let mut series = columns::aligned(series, parcels)?;
    lost::settle(&mut series, limits)?;
    let found = series.values.iter().filter(|x| !x.is_finite()).count();
    if found > 0 {
        let total = series.values.len();
        return Err(scan::Error::NonFiniteSeries { found, total }.into());
    }
    let raw = VoxelSeries { values: series.values.mapv(|x| x as f32), t_r: series.t_r };
    let rounded = |share: f64| (1e4 * share).round() / 1e4;
    let facts = SeriesFacts {
        t_r_s: series.t_r,
        n_frames: series.n_frames(),
        lost: series.lost,
        coverage: series.coverage.map(|shares| shares.into_iter().map(rounded).collect()),
        quality: ImageQualityMetrics::measure(&raw)?,
        fd_mean_mm: fd_mm.as_ref().and_then(|it| scan::mean_displacement(&it.to_vec())),
        fd_max_mm: fd_mm.as_ref().and_then(|it| scan::largest_displacement(&it.to_vec())),
        dropped: None,
        n_nonfinite_frames: series.n_nonfinite_frames,
        kept: None,
        of_voxels: false,
    };
    Ok(StoredSeries { values: series.values, fd_mm, slices: Vec::new(), facts })
}
