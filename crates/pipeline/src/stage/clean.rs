//! `clean`: detrend and standardise each scan by itself.
use std::path::Path;

use preprocess::{Kind, Need};
use scan::CleanConfig;
use serde_json::Value;

use super::{
    Artifact,
    mask::{read_series, write_series},
    work::{Preparation, Work, each_scan, load_failures},
};
use crate::{Result, event::Control, media::Media};

impl Work for CleanConfig {
    fn name(&self) -> &'static str {
        "clean"
    }

    fn version(&self) -> u32 {
        1
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Media(Kind::Series), Artifact::Media(Kind::Series))
    }

    fn needs(&self) -> Vec<Need> {
        vec![Need { in_file: true, ..Need::of(None, self.least_frames()) }]
    }

    fn preparation(&self) -> Option<&dyn Preparation> {
        Some(self)
    }
}

impl Preparation for CleanConfig {
    fn inputs(&self, _: &Media<'_>) -> Value {
        Value::Null
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let cleaned = each_scan(media, self.name(), dir, control, |scan_idx| {
            let series = media.series[scan_idx].as_ref().expect("failed scans are passed over");
            Ok(scan::clean(series, self)?)
        })?;
        write_series(dir, cleaned.iter().map(Option::as_ref))
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        load_failures(media, self.name(), dir)?;
        media.series = read_series(dir, media)?;
        Ok(())
    }
}
