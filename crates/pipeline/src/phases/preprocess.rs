//! Scans to what a model may be shown of them.
use serde_json::json;

use crate::{Result, media::Media, runner::Runner, thresholds};

/// Runs the stages that prepare scans. Recordings that turn out to be beyond a threshold of quality are
/// left out after the stage that has read them, those that are not selected after the stage that says so.
pub(crate) fn preprocess<'a>(runner: &mut Runner<'a, '_, '_>) -> Result<Media<'a>> {
    let mut media = Media::new(runner.plan, runner.run);
    let stages = runner.plan.spec().stages().iter();
    for (stage, work) in stages.filter_map(|stage| Some((stage, stage.preparation()?))) {
        runner.stage(
            stage,
            &mut media,
            |media| json!([work.inputs(media), media.left_out()]),
            |media, folders, control| work.compute(media, folders.result, control),
            |media, dir| work.load(media, dir),
        )?;
        let unwanted = work.unwanted(&media)?;
        thresholds::leave_out(&mut media, stage.name(), unwanted, runner.control)?;
    }
    Ok(media)
}
