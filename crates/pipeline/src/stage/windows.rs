//! `windows` as a stage of a run: which scans are too short. Windows are cut when a scan is encoded.
use std::path::Path;

use preprocess::{SeriesFacts, Step as _};
use scan::{PadPolicy, WindowsConfig};
use serde_json::{Value, json};

use super::work::{Preparation, each_scan, load_failures};
use crate::{Result, event::Control, media::Media};

impl Preparation for WindowsConfig {
    fn is_by_recording(&self) -> bool {
        true
    }

    fn inputs(&self, media: &Media<'_>) -> Value {
        json!((0..media.scans().len()).map(|idx| n_frames(media, idx)).collect::<Vec<_>>())
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let starts = each_scan(media, self.id().name, dir, control, |idx| {
            match n_frames(media, idx) {
                Some(n) if n < self.n_frames && n > 0 && self.pad != PadPolicy::Refuse => {
                    Ok(Some(vec![0]))
                }
                Some(n) => Ok(Some(self.first_frames(n)?)),
                // the header was not believed: its voxels will say
                None => Ok(None),
            }
        })?;
        Ok(files::write_json(&dir.join("first_frames.json"), &starts)?)
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        let _: Value = files::read_json(&dir.join("first_frames.json"))?;
        load_failures(media, self.id().name, dir)?;
        media.cut = Some(self.clone());
        Ok(())
    }
}

/// Frames of a scan as it is now.
pub(super) fn n_frames(media: &Media<'_>, idx: usize) -> Option<usize> {
    let unit = media.parcels.as_ref().map(|parcels| parcels.units[idx].as_ref());
    match unit {
        Some(unit) => Some(SeriesFacts::of(unit?)?.n_frames),
        None => media.scans()[idx].n_frames,
    }
}
