//! Recordings that are whole and not wanted: beyond a threshold of quality that only a scan that was read
//! can be held against, or not selected by a stage.
use ::cohort::{Count, Excluded, QcThresholds, Reason as Unwanted, Recording};
use engine::Reason;
use preprocess::Kind;

use crate::{
    Error, Result,
    event::Control,
    media::Media,
    plan::SourcePlan,
    record,
    spec::{CohortSpec, Spec},
    stage::{Artifact, Stage},
};

/// The thresholds of a cohort of recordings.
fn of_cohort(cohort: &CohortSpec) -> Option<&QcThresholds> {
    match cohort {
        CohortSpec::Bids(bids) => bids.qc_thresholds.as_ref(),
        CohortSpec::Arrow(arrow) => arrow.qc_thresholds.as_ref(),
        CohortSpec::Files(files) => files.qc_thresholds.as_ref(),
        CohortSpec::Manifest(manifest) => manifest.qc_thresholds.as_ref(),
        CohortSpec::Hdf5(hdf5) => hdf5.qc_thresholds.as_ref(),
        CohortSpec::Pairs(_)
        | CohortSpec::Pictures(_)
        | CohortSpec::Benchmark(_)
        | CohortSpec::Corpus(_) => None,
    }
}

/// Refuses a threshold that neither tables nor headers nor any stage could judge.
pub(crate) fn can_be_judged(spec: &Spec, recordings: &[Recording]) -> Result<()> {
    let has = |is: fn(&Stage) -> bool| spec.stages().iter().any(is);
    let reads_parcels = has(|stage| stage.gives(Artifact::Media(Kind::ParcelSeries)));
    let reads_volumes = has(|stage| stage.gives(Artifact::Media(Kind::Volumes)))
        && has(|stage| matches!(stage, Stage::Encode(_)));
    let Some(thresholds) = of_cohort(&spec.cohort) else { return Ok(()) };
    if reads_parcels || reads_volumes {
        return Ok(());
    }
    let open = recordings.iter().flat_map(|it| thresholds.measured_when_read(it)).next();
    open.map_or(Ok(()), |threshold| {
        let column = if threshold == "min_tsnr" { "tsnr" } else { "n_timepoints" };
        Err(Error::Threshold { kind: spec.cohort.name(), threshold, column })
    })
}

/// Leaves out the recordings that a stage has read and that are beyond a threshold, and those that it does
/// not want; an error where none is left then.
pub(crate) fn leave_out(
    media: &mut Media<'_>,
    stage: &'static str,
    unwanted: Vec<(usize, Unwanted)>,
    control: &mut Control<'_>,
) -> Result<()> {
    let mut excluded = Vec::new();
    for (idx, reason) in unwanted.into_iter().chain(beyond_thresholds(media)) {
        if media.failures.contains_key(&idx) {
            continue;
        }
        let kind = engine::Kind::new(reason.failure_kind().name());
        let said = Reason::plain(reason.to_string()).of_kind(kind);
        let name = media.scans()[idx].name.clone();
        control.unit_left_out(stage, (idx, media.scans().len()), &name, &said);
        excluded.push(Excluded { name, reason });
        media.exclude(idx, stage, said);
    }
    if excluded.is_empty() || media.is_part || media.failures.len() < media.scans().len() {
        return Ok(());
    }
    let lines: Vec<String> = Count::all(&excluded).iter().flat_map(Count::lines).collect();
    Err(Error::NoneGood { stage, reasons: lines.join("\n  "), status: record::status(media) })
}

/// The recordings that were read and are beyond a threshold.
fn beyond_thresholds(media: &Media<'_>) -> Vec<(usize, Unwanted)> {
    let (Some(thresholds), SourcePlan::Recordings(recordings)) =
        (of_cohort(&media.plan.spec().cohort), &media.plan.source)
    else {
        return Vec::new();
    };
    let judged = recordings.recordings().iter().enumerate().filter_map(|(idx, recording)| {
        let quality = media.quality.get(idx)?.as_ref()?;
        let reason = thresholds.judge_read(recording, quality.n_frames, quality.median_tsnr)?;
        Some((idx, reason))
    });
    judged.collect()
}
