//! `event_windows`: the window of a scan that belongs to each event of a table. They are cut when they are
//! shown to an encoder.
use encoder::InputShape;
use scan::WindowConfig;

use super::said;
use crate::{
    Cut, Data, Deferred, Fitted, Given, Kind, Made, Planned, Recording, Result, Step, StepId,
    Training,
    settings::{FINITE, MOST_FRAMES, Settings},
};

impl Step for WindowConfig {
    fn id(&self) -> StepId {
        StepId { name: "event_windows", version: 2 }
    }

    fn said(&self) -> String {
        said(self)
    }

    fn takes(&self) -> Kind {
        Kind::Series
    }

    fn accepts(&self, given: Kind) -> Option<Kind> {
        match given {
            Kind::Series | Kind::ParcelSeries => Some(Kind::Windows),
            Kind::Volumes => Some(Kind::VolumeWindows),
            _ => None,
        }
    }

    fn check(&self) -> Result<()> {
        let settings = Settings(self.id().name);
        settings.at_most(&[("n_frames", self.n_frames, MOST_FRAMES)])?;
        settings.numbers(FINITE, &[("shift_s", self.shift_s)])
    }

    fn cut(&self) -> Option<Cut> {
        Some(Cut::Events(self.clone()))
    }

    fn makes(&self, made: &mut Made, _planned: Option<Planned<'_>>) -> Result<()> {
        made.cut = Step::cut(self);
        Ok(())
    }

    fn deferred(&self) -> Option<Deferred<'_>> {
        Some(Deferred::Windows(Cut::Events(self.clone())))
    }

    fn serves(&self, _windows: InputShape) -> bool {
        true
    }

    fn in_methods(&self) -> Option<String> {
        let Self { shift_s, n_frames } = self;
        Some(format!(
            "Windows of {n_frames} volumes were cut out of the scans, from {shift_s} s after the onset of each \
             event on."
        ))
    }

    fn fit(&self, _training: &Training<'_>) -> Result<Box<dyn Fitted>> {
        Ok(Box::new(self.clone()))
    }
}

impl Fitted for WindowConfig {
    fn footprint(&self, _recording: &Recording, _given: Option<Given<'_>>) -> u64 {
        0
    }

    fn apply(&self, _recording: &Recording, given: Data) -> Result<Data> {
        Ok(given)
    }
}
