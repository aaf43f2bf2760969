//! Windows as a stage of a run: which scans are too short. They are cut when they are shown to an encoder.
use std::path::Path;

use preprocess::{Cut, Recording, SeriesFacts};
use scan::{PadPolicy, WindowsConfig};
use serde_json::{Value, json};

use super::work::{Preparation, each_scan, load_failures};
use crate::{Result, event::Control, media::Media};

/// How windows lie, by the stage of this name.
pub(super) struct Cutting {
    pub(super) stage: &'static str,
    pub(super) cut: Cut,
}

impl Preparation for Cutting {
    fn is_by_recording(&self) -> bool {
        true
    }

    fn inputs(&self, media: &Media<'_>) -> Value {
        let n_frames = (0..media.scans().len()).map(|idx| n_frames(media, idx));
        let n_frames: Vec<Option<usize>> = n_frames.collect();
        match &self.cut {
            Cut::Sliding(_) => json!(n_frames),
            Cut::Events(_) => {
                let events: Vec<_> = media.scans().iter().map(|it| &it.events_s).collect();
                json!({ "n_frames": n_frames, "events_s": events })
            }
        }
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let starts = each_scan(media, self.stage, dir, control, |idx| match &self.cut {
            Cut::Sliding(config) => of_scan(config, n_frames(media, idx)),
            Cut::Events(_) => of_events(&self.cut, &media.scans()[idx], facts(media, idx).as_ref()),
        })?;
        Ok(files::write_json(&dir.join("first_frames.json"), &starts)?)
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        let _: Value = files::read_json(&dir.join("first_frames.json"))?;
        load_failures(media, self.stage, dir)?;
        media.cut = Some(self.cut.clone());
        Ok(())
    }
}

/// Where the windows of a scan begin; none where the header was not believed: its voxels will say.
fn of_scan(config: &WindowsConfig, n_frames: Option<usize>) -> Result<Option<Vec<usize>>> {
    match n_frames {
        Some(n) if n < config.n_frames && n > 0 && config.pad != PadPolicy::Refuse => {
            Ok(Some(vec![0]))
        }
        Some(n) => Ok(Some(config.first_frames(n)?)),
        None => Ok(None),
    }
}

/// The same of the events of a scan; none of volumes, which are not made yet.
fn of_events(
    cut: &Cut,
    scan: &Recording,
    facts: Option<&SeriesFacts>,
) -> Result<Option<Vec<usize>>> {
    let (Some(config), Some(facts)) = (cut.events(), facts) else { return Ok(None) };
    let frames = facts.frames();
    let start = |&onset_s: &f64| Ok(frames.event(config, onset_s, facts.n_frames)?.start);
    scan.events_s.iter().map(start).collect::<Result<_>>().map(Some)
}

fn facts(media: &Media<'_>, idx: usize) -> Option<SeriesFacts> {
    SeriesFacts::of(media.series()?.units[idx].as_ref()?)
}

/// Frames of a scan as it is now.
pub(super) fn n_frames(media: &Media<'_>, idx: usize) -> Option<usize> {
    match media.series() {
        Some(_) => Some(facts(media, idx)?.n_frames),
        None => media.scans()[idx].n_frames,
    }
}
