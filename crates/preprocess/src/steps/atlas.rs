//! The files of an atlas, and what they divide: runs of volumes, or series of vertices and voxels.
use std::path::{Path, PathBuf};

use flamingo::PackageFile;
use scan::{
    Atlas, DenseSeries, ExtractConfig, Footprint, GrayordinateAtlas, MapName, OpenOptions, Parcel,
    ParcelSeries, Reduction, Scan, WorkingGrid,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Error, Result, Slice, mirror, slices::Looked};

/// Where a package keeps the atlas.
const ATLAS: &str = "atlas";

/// The stage that reads an atlas.
const STAGE: &str = "parcellate";

/// The files of an atlas, and the name that encoders know it by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AtlasFiles {
    /// Its name: `A424`, `schaefer400_tian50`.
    pub id: String,
    /// The image of labels; for dense CIFTI series a `.dlabel.nii`; for series of the cortex a `.label.gii`
    /// or `.annot` of one hemisphere, beside which that of the other is found. Absent: every scan is a
    /// series of the parcels that `names` or `coordinates` list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
    /// The map of `labels` that is meant, by its name or its number from 1, where it holds several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<MapName>,
    /// Where each parcel is, in mm; absent: the means of its voxels, or of vertices nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinates: Option<PathBuf>,
    /// What each parcel is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<PathBuf>,
}

impl AtlasFiles {
    /// Each file and its digest.
    pub(super) fn recorded(&self, place: &dyn Fn(&Path) -> PathBuf) -> Value {
        let file = |path: &Path| {
            let path = place(path);
            json!({ "path": files::shown(&path), "sha256": scan::sha256_scan(&path).ok() })
        };
        json!({
            "id": self.id,
            "labels": self.labels.as_deref().map(file),
            "map": self.map,
            "coordinates": self.coordinates.as_deref().map(file),
            "names": self.names.as_deref().map(file),
        })
    }

    /// Names each as it lies in a package from now on, and gives what lies there.
    pub(super) fn pack(&mut self, place: &dyn Fn(&Path) -> PathBuf) -> Result<Vec<PackageFile>> {
        let mut all = Vec::new();
        let parts = [
            ("labels", &mut self.labels),
            ("coordinates", &mut self.coordinates),
            ("names", &mut self.names),
        ];
        for (name, path) in parts.into_iter().filter_map(|(name, it)| Some((name, it.as_mut()?))) {
            let from = place(path);
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

    /// Reads them. The place of each parcel is checked against its voxels; vertices do not
    /// say theirs.
    pub(super) fn read(&self, place: &dyn Fn(&Path) -> PathBuf) -> Result<ReadAtlas> {
        let [names, coordinates] =
            [&self.names, &self.coordinates].map(|path| path.as_deref().map(place));
        let Some(labels) = self.labels.as_deref().map(place) else {
            return self.listed(names.as_deref(), coordinates.as_deref());
        };
        let map = self.map.as_ref();
        if GrayordinateAtlas::is_one(&labels)? {
            let mut atlas = GrayordinateAtlas::read_map(&labels, map)?;
            if let Some(names) = names {
                atlas = atlas.with_names(names)?;
            }
            if let Some(coordinates) = coordinates {
                atlas = atlas.with_coordinates(coordinates)?;
            }
            return Ok(ReadAtlas::Grayordinates(Box::new(atlas)));
        }
        scan::check_placed(&labels)?;
        let mut atlas = Atlas::read_map(&labels, map)?;
        if let Some(names) = names {
            atlas = atlas.with_names(names)?;
        }
        if let Some(path) = coordinates {
            let centres = atlas.parcels().to_vec();
            atlas = atlas.with_coordinates(&path)?;
            mirror::check_places(&path, &centres, atlas.parcels())?;
        }
        Ok(ReadAtlas::Image(Box::new(atlas)))
    }

    /// Its image of labels, where it is one.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub(super) fn image(&self, place: &dyn Fn(&Path) -> PathBuf) -> Result<Option<Atlas>> {
        match self.read(place)? {
            ReadAtlas::Image(atlas) => Ok(Some(*atlas)),
            ReadAtlas::Grayordinates(_) | ReadAtlas::Listed(_) => Ok(None),
        }
    }

    /// The parcels of its tables, for series that are parcelled already.
    fn listed(&self, names: Option<&Path>, coordinates: Option<&Path>) -> Result<ReadAtlas> {
        if self.map.is_some() {
            let problem = "atlas.map names a map of atlas.labels, which is not given".to_owned();
            return Err(Error::StageInput { stage: STAGE, problem });
        }
        let parcels = scan::read_parcels(names, coordinates)?;
        if parcels.is_empty() {
            let problem = "the atlas has no files: give atlas.labels, or atlas.names and \
                           atlas.coordinates for series that are parcelled already";
            return Err(Error::StageInput { stage: STAGE, problem: problem.to_owned() });
        }
        Ok(ReadAtlas::Listed(parcels))
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

/// An atlas by what its labels lie on.
#[derive(Clone, Debug)]
pub enum ReadAtlas {
    /// On voxels.
    Image(Box<Atlas>),
    /// On vertices of the cortex and voxels at once.
    Grayordinates(Box<GrayordinateAtlas>),
    /// Only listed: series are parcelled already.
    Listed(Vec<Parcel>),
}

impl ReadAtlas {
    /// Regions, ascending by label: the columns of every series.
    pub fn parcels(&self) -> &[Parcel] {
        match self {
            Self::Image(atlas) => atlas.parcels(),
            Self::Grayordinates(atlas) => atlas.parcels(),
            Self::Listed(parcels) => parcels,
        }
    }

    /// Number of regions.
    pub fn n_parcels(&self) -> usize {
        self.parcels().len()
    }

    /// Refuses settings that are about voxels where the labels are not on them alone.
    pub(super) fn check(&self, extract: &ExtractConfig) -> Result<()> {
        if matches!(self, Self::Image(_)) {
            return Ok(());
        }
        let said = serde_json::to_value(extract).expect("plain values");
        let settings = [
            ("extract.grid", extract.grid == WorkingGrid::Data, "data"),
            ("extract.smoothing_fwhm_mm", extract.smoothing_fwhm_mm.is_none(), "null"),
            ("extract.reduction", extract.reduction == Reduction::Mean, "mean"),
            ("extract.brainlm_toolkit_compat", !extract.brainlm_toolkit_compat, "false"),
        ];
        let Some((field, _, only)) = settings.into_iter().find(|it| !it.1) else { return Ok(()) };
        let said = &said[&field["extract.".len()..]];
        let found = said.as_str().map_or_else(|| said.to_string(), str::to_owned);
        let what = match self {
            Self::Listed(_) => "has no image of labels",
            _ => "has labels of vertices",
        };
        let expected = format!("{only}, because the atlas {what}");
        Err(Error::Setting { stage: STAGE, field, found, expected })
    }

    /// Refuses a scan of the other kind, by its header. Parcel series are of neither, and what
    /// cannot be read is told where it is read.
    pub(super) fn divides(&self, scan: &Path, options: &OpenOptions) -> Result<()> {
        let dense = match DenseSeries::of(scan, options.axes) {
            // counts that leave open which axis is time are known before a value is read
            Err(error @ scan::Error::Axes { .. }) => return Err(error.into()),
            dense => dense.ok().flatten(),
        };
        let problem = match (self, dense) {
            (Self::Grayordinates(atlas), Some(dense)) => return Ok(atlas.check(&dense)?),
            (Self::Image(_), Some(_)) => {
                "the scan is a series of grayordinates, but the atlas is an image of labels, which \
                 divides runs of volumes: give a `.dlabel.nii`, `.label.gii` or `.annot`"
            }
            (Self::Grayordinates(_), None) if scan::footprint(scan, options).is_ok_and(is_run) => {
                "the scan is a run of volumes, but the atlas has labels of vertices, which divide \
                 series of grayordinates: give an image of labels"
            }
            (Self::Listed(_), Some(_)) => {
                "the scan is a series of grayordinates, but the atlas only lists parcels: give a \
                 `.dlabel.nii`, `.label.gii` or `.annot` as atlas.labels"
            }
            (Self::Listed(_), None) if scan::footprint(scan, options).is_ok_and(is_run) => {
                "the scan is a run of volumes, but the atlas only lists parcels: give an image of \
                 labels as atlas.labels"
            }
            (_, None) => return Ok(()),
        };
        Err(Error::StageInput { stage: STAGE, problem: problem.to_owned() })
    }

    /// Series of all regions of a scan that it divides; of a run of volumes `slices` show where it lies.
    pub(super) fn extract(
        &self,
        scan: &Scan,
        config: &ExtractConfig,
        slices: &mut Vec<Slice>,
    ) -> Result<ParcelSeries> {
        match (self, scan, scan.frames()) {
            (Self::Image(atlas), _, Some(run)) => {
                let looked = Looked::new(run, atlas, config);
                let series = atlas.extract(&looked, config, None)?;
                *slices = looked.slices();
                Ok(series)
            }
            (Self::Grayordinates(atlas), Scan::Grayordinates(dense), _) => {
                Ok(atlas.extract(dense)?)
            }
            (_, scan, _) => {
                let problem = format!("the scan is {}, expected a run", scan.kind());
                Err(Error::StageInput { stage: STAGE, problem })
            }
        }
    }

    /// The most bytes that work on a scan takes; none for one that the work will fail to read.
    pub(super) fn extract_bytes(
        &self,
        path: &Path,
        scan: &Footprint,
        options: &OpenOptions,
        config: &ExtractConfig,
    ) -> u64 {
        match self {
            Self::Image(atlas) => atlas.extract_bytes(scan, config),
            Self::Grayordinates(atlas) => {
                let dense = DenseSeries::of(path, options.axes).ok().flatten();
                atlas.extract_bytes(dense.as_ref(), scan).unwrap_or(0)
            }
            Self::Listed(_) => scan.n_bytes + 6 * 8 * scan.n_values,
        }
    }
}

/// Whether a scan has voxels.
fn is_run(scan: Footprint) -> bool {
    scan.n_voxels > 0
}

#[cfg(test)]
mod tests;
