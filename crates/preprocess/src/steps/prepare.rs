//! `prepare`: scans as the code around a published encoder prepares them, by the name of its policy:
//! scale, repetition time, windows, and what becomes of short scans.
use std::path::{Path, PathBuf};

use encoder::{InputShape, InputSpace};
use flamingo::PackageFile;
use scan::{EncoderPolicy, FittedNormalisation, PadPolicy};
use serde_json::Value;

use super::{
    normalise::{self, fitted_on, formula_name},
    said_by_names,
};
use crate::{
    AboutSeries, Cut, Data, Error, Fitted, Given, Kind, Made, Planned, Recording, Result, Step,
    StepId, Timing, Training,
    policy::{self, PrepareConfig},
    step::Packing,
};

impl Step for PrepareConfig {
    fn id(&self) -> StepId {
        let (name, version) = policy::STEP;
        StepId { name, version }
    }

    fn said(&self) -> String {
        said_by_names(self)
    }

    fn takes(&self) -> Kind {
        if self.policy.reads_volumes() { Kind::Volumes } else { Kind::ParcelSeries }
    }

    fn accepts(&self, given: Kind) -> Option<Kind> {
        // series of parcels may stand before the volumes of a policy that reads these
        let takes = given == Kind::ParcelSeries || given == self.takes();
        takes.then_some(Kind::ScanWindows)
    }

    fn check(&self) -> Result<()> {
        let setting = |field, found: String, expected: &str| {
            let (stage, expected) = (self.id().name, expected.to_owned());
            Err(Error::Setting { stage, field, found, expected })
        };
        match self.first_frame {
            Some(first) if !self.policy.picks() => {
                let expected = "no such setting: this policy picks no frames";
                setting("first_frame", first.to_string(), expected)
            }
            Some(first) if !(0.0..=10.0).contains(&first) => {
                setting("first_frame", first.to_string(), "0 to 10, as the authors draw it")
            }
            _ if self.policy.picks()
                && self.short_scans.is_some_and(|it| it != PadPolicy::Refuse) =>
            {
                let found = files::to_json(&self.short_scans);
                setting("short_scans", found, "refuse: there is nothing to pick from")
            }
            _ => Ok(()),
        }
    }

    fn makes(&self, made: &mut Made, _planned: Option<Planned<'_>>) -> Result<()> {
        self.finds(
            made.volumes.is_some(),
            matches!(made.series, Some(InputSpace::Parcels { .. })),
        )?;
        match made.volumes.as_mut().filter(|_| self.policy.reads_volumes()) {
            Some(volumes) => {
                volumes.fits(self.policy)?;
                volumes.policy = Some(self.policy);
            }
            None => made.normalisation = Some(formula_name(self.policy.normalisation())),
        }
        made.cut = Step::cut(self);
        made.policy = Some(self.clone());
        Ok(())
    }

    fn timing(&self, given: Timing) -> Timing {
        let Some((n_frames, t_r_s)) = given.both() else {
            return Timing { n_frames: None, ..given };
        };
        Timing {
            n_frames: Some(self.policy.n_frames(n_frames, t_r_s)),
            t_r_s: Some(self.policy.t_r_s(t_r_s)),
        }
    }

    fn policy_in_words(&self) -> Option<String> {
        Some(self.in_words())
    }

    fn paths(&mut self) -> Vec<&mut PathBuf> {
        self.stats.iter_mut().collect()
    }

    fn cut(&self) -> Option<Cut> {
        Some(Cut::Sliding(self.windows()))
    }

    fn volume_policy(&self) -> Option<EncoderPolicy> {
        self.policy.reads_volumes().then_some(self.policy)
    }

    fn serves(&self, _windows: InputShape) -> bool {
        true
    }

    fn pack(&mut self, kept: &Packing<'_>) -> Result<Vec<PackageFile>> {
        if self.policy.reads_volumes() {
            return Ok(Vec::new());
        }
        Ok(normalise::pack(&mut self.stats, kept))
    }

    fn parts(&self) -> Vec<PathBuf> {
        if self.policy.reads_volumes() { Vec::new() } else { vec![normalise::FITTED.into()] }
    }

    fn is_by_recording(&self) -> bool {
        let formula = self.policy.normalisation();
        self.policy.reads_volumes() || self.stats.is_some() || formula.asks_each_alone()
    }

    fn learns_from(&self, training: &Training<'_>) -> Option<Value> {
        Some(fitted_on(self.stats.as_deref(), training))
    }

    /// Policies that ask each recording alone read one.
    fn fit(&self, training: &Training<'_>) -> Result<Box<dyn Fitted>> {
        if self.policy.reads_volumes() {
            return Ok(Box::new(VolumePolicy(self.policy)));
        }
        let (stats, formula) = (self.stats.as_deref(), self.policy.normalisation());
        let fitted = normalise::fit(stats, formula, 1, training)?;
        Ok(Box::new(ByPolicy { config: self.clone(), fitted }))
    }

    fn after(
        &self,
        before: Option<AboutSeries>,
        kept: &dyn Fn(&str) -> PathBuf,
    ) -> Result<AboutSeries> {
        normalise::after(self.said(), before, kept)
    }
}

/// A policy for volumes, which are made by it when they are encoded.
struct VolumePolicy(EncoderPolicy);

impl Fitted for VolumePolicy {
    fn footprint(&self, _recording: &Recording, _given: Option<Given<'_>>) -> u64 {
        0
    }

    fn apply(&self, _recording: &Recording, given: Data) -> Result<Data> {
        let Data::Volumes(mut volumes) = given else {
            unreachable!("the chain of steps was checked")
        };
        volumes.config.policy = Some(self.0);
        Ok(Data::Volumes(volumes))
    }
}

/// A policy for series, with its scale.
struct ByPolicy {
    config: PrepareConfig,
    fitted: FittedNormalisation,
}

impl Fitted for ByPolicy {
    fn footprint(&self, _recording: &Recording, given: Option<Given<'_>>) -> u64 {
        let Some(given) = given else { return 0 };
        given.n_bytes(self.config.policy.n_frames(given.facts.n_frames, given.facts.t_r_s))
    }

    fn apply(&self, _recording: &Recording, given: Data) -> Result<Data> {
        Ok(self.config.prepared(&self.fitted, given.into_series())?.into())
    }

    fn decides(&self) -> Option<Value> {
        Some(normalise::digest(&self.fitted))
    }

    fn keep(&self, dir: &Path) -> Result<()> {
        normalise::keep(&self.fitted, dir)
    }
}
