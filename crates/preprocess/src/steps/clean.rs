//! `clean`: detrend and standardise the voxels of each scan by itself.
use scan::{CleanConfig, VoxelSeries};

use super::said;
use crate::{Data, Fitted, Given, Kind, Need, Recording, Result, Step, StepId, Training};

impl Step for CleanConfig {
    fn id(&self) -> StepId {
        StepId { name: "clean", version: 2 }
    }

    fn said(&self) -> String {
        said(self)
    }

    fn takes(&self) -> Kind {
        Kind::Series
    }

    fn needs(&self, _reads_volumes: bool) -> Vec<Need> {
        vec![Need { in_file: true, ..Need::of(None, self.least_frames()) }]
    }

    fn fit(&self, _training: &Training<'_>) -> Result<Box<dyn Fitted>> {
        Ok(Box::new(self.clone()))
    }
}

impl Fitted for CleanConfig {
    fn footprint(&self, _recording: &Recording, given: Option<Given<'_>>) -> u64 {
        // and twice in 32 bits
        given.map_or(0, |given| given.n_bytes(given.facts.n_frames) * 5 / 4)
    }

    fn apply(&self, _recording: &Recording, given: Data) -> Result<Data> {
        let mut series = given.into_series();
        // voxels have 32 bits, which their file holds
        let raw = VoxelSeries { values: series.values.mapv(|x| x as f32), t_r: series.facts.t_r_s };
        series.values = scan::clean(&raw, self)?.values.mapv(f64::from);
        Ok(series.into())
    }
}
