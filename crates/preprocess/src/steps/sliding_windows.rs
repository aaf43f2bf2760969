//! `sliding_windows`: which frames of a scan an encoder sees at once. They are cut when it is encoded.
use encoder::InputShape;
use scan::{PadPolicy, WindowPolicy, WindowsConfig};

use super::said;
use crate::{
    Cut, Data, Deferred, Fitted, Given, Kind, Made, Need, Planned, Recording, Result, Step, StepId,
    Training,
    settings::{MOST_FRAMES, Settings},
};

/// Most windows drawn out of a scan.
const MOST_WINDOWS: usize = 10_000;

impl Step for WindowsConfig {
    fn id(&self) -> StepId {
        StepId { name: "sliding_windows", version: 1 }
    }

    fn said(&self) -> String {
        said(self)
    }

    fn accepts(&self, given: Kind) -> Option<Kind> {
        matches!(given, Kind::Series | Kind::ParcelSeries | Kind::Volumes)
            .then_some(Kind::ScanWindows)
    }

    fn check(&self) -> Result<()> {
        let settings = Settings(self.id().name);
        settings.at_most(&[("n_frames", self.n_frames, MOST_FRAMES)])?;
        match self.policy {
            WindowPolicy::Tiled { stride } => {
                settings.at_least(1, &[("policy.tiled.stride", stride)])
            }
            WindowPolicy::Random { n, .. } => {
                settings.at_most(&[("policy.random.n", n, MOST_WINDOWS)])
            }
            WindowPolicy::Whole { at_most: Some(n) } => {
                settings.at_least(1, &[("policy.whole.at_most", n)])
            }
            WindowPolicy::Centre | WindowPolicy::First | WindowPolicy::Whole { .. } => Ok(()),
        }
    }

    fn cut(&self) -> Option<Cut> {
        Some(Cut::Sliding(self.clone()))
    }

    fn makes(&self, made: &mut Made, _planned: Option<Planned<'_>>) -> Result<()> {
        made.cut = Step::cut(self);
        Ok(())
    }

    fn needs(&self, reads_volumes: bool) -> Vec<Need> {
        if self.pad != PadPolicy::Refuse {
            return Vec::new();
        }
        let or = ", or another `pad` than refuse";
        let need = |in_file| Need { or, in_file, ..Need::of(Some("n_frames"), self.n_frames) };
        [need(false)].into_iter().chain(reads_volumes.then(|| need(true))).collect()
    }

    fn deferred(&self) -> Option<Deferred<'_>> {
        Some(Deferred::Windows(Cut::Sliding(self.clone())))
    }

    fn serves(&self, _windows: InputShape) -> bool {
        true
    }

    fn in_methods(&self) -> Option<String> {
        Some(format!("Scans were cut into windows of {} volumes.", self.n_frames))
    }

    fn fit(&self, _training: &Training<'_>) -> Result<Box<dyn Fitted>> {
        Ok(Box::new(self.clone()))
    }
}

impl Fitted for WindowsConfig {
    fn footprint(&self, _recording: &Recording, _given: Option<Given<'_>>) -> u64 {
        0
    }

    fn apply(&self, _recording: &Recording, given: Data) -> Result<Data> {
        Ok(given)
    }
}
