//! Scans of a cohort held against each other: those whose left and right seem exchanged are left out.
use std::path::Path;

use engine::{Failure, Kind, Outcomes, Reason, Unit};
use preprocess::steps::{LEFT_RIGHT_TEMPLATE, LeftRightPairs, LeftRightTemplate, MirrorCheck};
use scan::FailureKind;

use crate::{Result, event::Control, media::Media, units};

/// Takes scans out of the finished stage in `dir` that agree better with the others when mirrored.
pub(crate) fn leave_out(
    check: &MirrorCheck,
    media: &Media<'_>,
    sides: &LeftRightPairs,
    look: &dyn Fn(&Unit) -> Result<Vec<f64>>,
    dir: &Path,
    control: &mut Control<'_>,
) -> Result<()> {
    if media.is_part {
        // the run that gathers holds all of them against each other
        return Ok(files::write_json(&dir.join(LEFT_RIGHT_TEMPLATE), &LeftRightTemplate::NONE)?);
    }
    let stage = sides.stage;
    let listed = units::listed(media, stage, dir)?;
    let mut looks = Vec::with_capacity(listed.len());
    for unit in &listed {
        control.checkpoint()?;
        looks.push(unit.as_ref().map(look));
    }
    let looks: Vec<Option<Vec<f64>>> =
        looks.into_iter().map(Option::transpose).collect::<Result<_>>()?;
    let (problems, left_right) = LeftRightTemplate::of_cohort(check, sides, &looks);
    let mut failures = Outcomes::read(dir)?.failures;
    let mut keys = Vec::with_capacity(listed.len());
    for (idx, (unit, problem)) in listed.iter().zip(problems).enumerate() {
        let Some(problem) = problem else {
            keys.push(unit.as_ref().map(|unit| unit.key.clone()));
            continue;
        };
        let kind = Kind::new(FailureKind::LeftRight.name());
        let (scans, reason) = (media.scans(), Reason::plain(problem).of_kind(kind));
        control.unit_failed(stage, (idx, scans.len()), &scans[idx].name, &reason);
        failures.push(Failure::of_contents(idx, reason));
        keys.push(None);
    }
    files::write_json(&dir.join(LEFT_RIGHT_TEMPLATE), &left_right)?;
    failures.sort_by_key(|failure| failure.unit);
    Ok(Outcomes { keys, failures }.write(dir)?)
}
