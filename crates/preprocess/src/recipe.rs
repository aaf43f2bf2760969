//! The order of steps, once: what leads a recording from its file to the windows that an encoder reads.
use flamingo::PackageFile;
use scan::Parcel;

use crate::{
    Cut, Data, Fitted, Inputs, Kind, Made, Packing, Planned, PreparedScan, Recording, Result, Step,
    Timing, Training, places,
};

/// Steps in their order, each ready for recordings.
pub struct Recipe {
    fitted: Vec<Box<dyn Fitted>>,
    /// The parcels of its series; none where it makes volumes, or series of voxels.
    parcels: Vec<Parcel>,
    /// How windows lie.
    cut: Cut,
}

impl Recipe {
    /// What each of `steps` makes of what the one before it gives, the first of `start`.
    ///
    /// # Errors
    /// The first that cannot use what comes before it.
    pub fn kinds<'a>(
        steps: impl IntoIterator<Item = &'a dyn Step>,
        start: Kind,
    ) -> Result<Vec<Kind>, Mismatch> {
        let mut have = start;
        let kind = |(at, step): (usize, &dyn Step)| {
            have = step.accepts(have).ok_or(Mismatch { at, takes: step.takes(), have })?;
            Ok(have)
        };
        steps.into_iter().enumerate().map(kind).collect()
    }

    /// What `steps` make of recordings; without `planned` as far as their settings alone say it.
    ///
    /// # Errors
    /// Where a step does not find what its settings ask for, or cannot read a file that it names.
    pub fn made<'a>(
        steps: impl IntoIterator<Item = &'a dyn Step>,
        planned: Option<Planned<'_>>,
    ) -> Result<Made> {
        let mut made = Made::default();
        steps.into_iter().try_for_each(|step| step.makes(&mut made, planned))?;
        Ok(made)
    }

    /// The timing of a recording after `steps`.
    pub fn timing<'a>(steps: impl IntoIterator<Item = &'a dyn Step>, in_file: Timing) -> Timing {
        steps.into_iter().fold(in_file, |timing, step| step.timing(timing))
    }

    /// Changes `steps` to what a package keeps of them, and gives the files that go with them.
    pub fn pack<'a>(
        steps: impl IntoIterator<Item = &'a mut dyn Step>,
        kept: &Packing<'_>,
    ) -> Result<Vec<PackageFile>> {
        let mut files = Vec::new();
        for step in steps {
            files.extend(step.pack(kept)?);
        }
        Ok(files)
    }

    /// The steps of a package, with what was fitted before; `None` where they do not lead from a scan to
    /// windows.
    pub fn unpack(steps: &[&dyn Step], package: &dyn Inputs) -> Result<Option<Self>> {
        let kinds = Self::kinds(steps.iter().copied(), Kind::Scans);
        if !kinds.ok().and_then(|kinds| kinds.last().copied()).is_some_and(Kind::is_cut) {
            return Ok(None);
        }
        let (mut fitted, mut parcels, mut cut) = (Vec::new(), Vec::new(), None);
        for step in steps {
            let ready = step.fit(&Training::of_package(package, &parcels))?;
            parcels = ready.parcels().map_or(parcels, <[Parcel]>::to_vec);
            cut = step.cut().or(cut);
            fitted.push(ready);
        }
        Ok(cut.map(|cut| Self { fitted, parcels, cut }))
    }

    /// The windows of a recording, of its events where they lie at events; where an onset is given, one from
    /// there on, or of an event there.
    pub fn prepare(&self, recording: &Recording, onset_s: Option<f64>) -> Result<PreparedScan> {
        let mut data = Data::Scan;
        for step in &self.fitted {
            data = step.apply(recording, data)?;
        }
        let prepared = PreparedScan::of(data, recording, &self.cut, onset_s)?;
        self.fitted.iter().try_fold(prepared, |it, step| it.through(step.as_ref()))
    }

    /// The most bytes that reading a recording takes; none for one that the work will fail to read.
    pub fn footprint(&self, recording: &Recording) -> u64 {
        self.fitted.first().map_or(0, |step| step.footprint(recording, None))
    }

    /// How windows lie.
    pub fn cut(&self) -> &Cut {
        &self.cut
    }

    /// Where the parcels of its series are, if that is known of all.
    pub fn coordinates(&self) -> Option<Vec<[f64; 3]>> {
        places(&self.parcels).filter(|places| !places.is_empty())
    }
}

/// A step that cannot use what comes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Which, from 0.
    pub at: usize,
    /// What it would take.
    pub takes: Kind,
    /// What there is.
    pub have: Kind,
}

#[cfg(test)]
mod tests;
