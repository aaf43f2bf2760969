//! `volumes`: how a scan becomes the volumes that an encoder of whole brains reads. It is done when
//! the scan is encoded, because volumes are too large to be kept twice.
use std::path::PathBuf;

use cohort::Hdf5Config;
use encoder::InputShape;
use flamingo::PackageFile;
use scan::{Affine, OpenOptions};

use super::said;
use crate::{
    Data, Deferred, Error, Fitted, Given, Kind, Made, Planned, Recording, Result, Step, StepId,
    Training,
    mirror::LeftRightTemplate,
    settings::Settings,
    step::{Packing, packed},
    volumes::{self, VolumesConfig},
};

/// Where a package that may hold both keeps how the volumes of a cohort look.
pub const VOLUME_LEFT_RIGHT_TEMPLATE: &str = "volume_likeness.json";

/// Most voxels along an axis.
const MOST_VOXELS: usize = 1024;

impl Step for VolumesConfig {
    fn id(&self) -> StepId {
        let (name, version) = volumes::STEP;
        StepId { name, version }
    }

    fn said(&self) -> String {
        said(self)
    }

    fn takes(&self) -> Kind {
        Kind::Scans
    }

    fn accepts(&self, given: Kind) -> Option<Kind> {
        match given {
            Kind::Scans | Kind::Recordings => Some(Kind::Volumes),
            // parcel series stay there for encoders that read them
            Kind::ParcelSeries => Some(Kind::ParcelSeries),
            _ => None,
        }
    }

    fn check(&self) -> Result<()> {
        if let Some(policy) = self.policy {
            self.fits(policy)?;
        }
        if let Some(margins) = self.margins {
            margins.grid(self.shape)?;
        }
        self.mirror_check.as_ref().map_or(Ok(()), |it| it.check(self.id().name))?;
        if !self.shape.iter().all(|n| (1..=MOST_VOXELS).contains(n)) {
            let expected = format!("1 to {MOST_VOXELS} voxels along each axis");
            return Settings(self.id().name).refuse(
                "shape",
                &format!("{:?}", self.shape),
                &expected,
            );
        }
        let Some(rows) = self.affine else { return Ok(()) };
        let affine = Affine::new(rows)?;
        if affine.axcodes() != self.axes.to_string() {
            let (stage, field) = (self.id().name, "axes");
            let (found, expected) =
                (self.axes.to_string(), format!("{} as `affine`", affine.axcodes()));
            return Err(Error::Setting { stage, field, found, expected });
        }
        Ok(())
    }

    fn makes(&self, made: &mut Made, _planned: Option<Planned<'_>>) -> Result<()> {
        made.volumes = Some(self.clone());
        Ok(())
    }

    fn opens(
        &self,
        recording: &Recording,
        _n_parcels: Option<usize>,
        _stack: Option<&Hdf5Config>,
    ) -> Option<OpenOptions> {
        Some(self.options(recording))
    }

    fn deferred(&self) -> Option<Deferred<'_>> {
        Some(Deferred::Volumes(self))
    }

    fn serves(&self, windows: InputShape) -> bool {
        matches!(windows, InputShape::Volume { .. })
    }

    fn pack(&mut self, kept: &Packing<'_>) -> Result<Vec<PackageFile>> {
        Ok(kept
            .volume_left_right
            .map_or_else(Vec::new, |it| vec![packed(VOLUME_LEFT_RIGHT_TEMPLATE, it)]))
    }

    fn parts(&self) -> Vec<PathBuf> {
        self.mirror_check.iter().map(|_| VOLUME_LEFT_RIGHT_TEMPLATE.into()).collect()
    }

    fn in_methods(&self) -> Option<String> {
        let said =
            "Scans were brought to one grid and scale, for encoders that read whole volumes.";
        Some(said.to_owned())
    }

    fn fit(&self, training: &Training<'_>) -> Result<Box<dyn Fitted>> {
        let compares = self.mirror_check.is_some();
        let fitted = training.inputs.fitted(VOLUME_LEFT_RIGHT_TEMPLATE).filter(|_| compares);
        let left_right = fitted.map(|path| files::read_json(&path)).transpose()?;
        Ok(Box::new(Placement { config: self.clone(), left_right }))
    }
}

/// The grid, and how the scans of a cohort look on it, where left and right are compared.
struct Placement {
    config: VolumesConfig,
    left_right: Option<LeftRightTemplate>,
}

impl Fitted for Placement {
    fn footprint(&self, recording: &Recording, _given: Option<Given<'_>>) -> u64 {
        self.config.cost(recording)
    }

    /// Of series of parcels that stand before it nothing is left.
    fn apply(&self, recording: &Recording, _given: Data) -> Result<Data> {
        Ok(Data::Volumes(Box::new(self.config.volumes(recording, self.left_right.as_ref())?)))
    }
}
