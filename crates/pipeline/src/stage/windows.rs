//! `windows`: which frames of a scan an encoder sees at once. They are cut when it is encoded.
use std::path::Path;

use preprocess::{Kind, SeriesFacts};
use scan::{PadPolicy, WindowPolicy, WindowsConfig};
use serde_json::{Value, json};

use super::{
    Artifact,
    settings::{MOST_FRAMES, Settings},
    work::{Preparation, Work, each_scan, load_failures},
};
use crate::{Result, event::Control, media::Media};

/// Most windows drawn out of a scan.
const MOST_WINDOWS: usize = 10_000;

impl Work for WindowsConfig {
    fn name(&self) -> &'static str {
        "windows"
    }

    fn version(&self) -> u32 {
        1
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Media(Kind::ParcelSeries), Artifact::Media(Kind::ScanWindows))
    }

    fn gives(&self, have: Artifact) -> Option<Artifact> {
        matches!(have, Artifact::Media(Kind::ParcelSeries | Kind::Volumes))
            .then_some(Artifact::Media(Kind::ScanWindows))
    }

    fn check(&self) -> Result<()> {
        let settings = Settings(self.name());
        settings.at_most(&[("n_frames", self.n_frames, MOST_FRAMES)])?;
        match self.policy {
            WindowPolicy::Tiled { stride } => {
                Ok(settings.at_least(1, &[("policy.tiled.stride", stride)])?)
            }
            WindowPolicy::Random { n, .. } => {
                Ok(settings.at_most(&[("policy.random.n", n, MOST_WINDOWS)])?)
            }
            WindowPolicy::Whole { at_most: Some(n) } => {
                Ok(settings.at_least(1, &[("policy.whole.at_most", n)])?)
            }
            WindowPolicy::Centre | WindowPolicy::First | WindowPolicy::Whole { .. } => Ok(()),
        }
    }

    fn preparation(&self) -> Option<&dyn Preparation> {
        Some(self)
    }
}

impl Preparation for WindowsConfig {
    fn inputs(&self, media: &Media<'_>) -> Value {
        json!((0..media.scans().len()).map(|idx| n_frames(media, idx)).collect::<Vec<_>>())
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let starts = each_scan(media, self.name(), dir, control, |idx| {
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
        load_failures(media, self.name(), dir)?;
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
