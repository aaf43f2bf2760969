//! `volumes` as a stage of a run: which scans are left out because their left and right seem exchanged.
//! Volumes themselves are made when a scan is encoded.
use std::path::Path;

use engine::{Header, Key, Numbers, Unit};
use preprocess::{
    Step as _,
    steps::{LEFT_RIGHT_TEMPLATE, LeftRightTemplate, VolumesConfig, look_of_run},
};
use serde_json::{Value, json};

use super::{
    compare, given,
    work::{Preparation, load_failures, write_failures},
};
use crate::{
    Result,
    event::Control,
    media::Media,
    units::{self, Job},
};

impl Preparation for VolumesConfig {
    fn is_by_recording(&self) -> bool {
        true
    }

    fn inputs(&self, media: &Media<'_>) -> Value {
        if !compares(self, media) {
            return Value::Null;
        }
        json!((0..media.scans().len()).map(|idx| key(self, media, idx).ok()).collect::<Vec<_>>())
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        files::write_json(&dir.join("volumes.json"), self)?;
        let Some(check) = self.mirror_check.as_ref().filter(|_| compares(self, media)) else {
            files::write_json(&dir.join(LEFT_RIGHT_TEMPLATE), &LeftRightTemplate::NONE)?;
            return write_failures(dir, &[]);
        };
        let key = |idx: usize| key(self, media, idx);
        let cost = |idx: usize| self.cost(&media.scans()[idx]);
        let work = |idx: usize, key: &Key| {
            let run = self.placed(&media.scans()[idx])?;
            Ok(look_to_bytes(key, &look_of_run(&run, self.axes)))
        };
        let job = Job { stage: self.id().name, key: &key, cost: &cost, work: &work };
        units::each_unit(media, dir, control, &job)?;
        let look = |unit: &Unit| Ok(engine::read(&unit.path, &unit.key)?.1.take("look").1);
        compare::leave_out(check, media, &self.sides(), &look, dir, control)
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        let volumes = files::read_json(&dir.join("volumes.json"))?;
        let left_right = files::read_json(&dir.join(LEFT_RIGHT_TEMPLATE))?;
        load_failures(media, self.id().name, dir)?;
        media.volume_left_right = self.mirror_check.is_some().then_some(left_right);
        media.volumes = Some(volumes);
        Ok(())
    }
}

/// Whether left and right are compared.
fn compares(config: &VolumesConfig, media: &Media<'_>) -> bool {
    config.mirror_check.is_some() && given::reads_volumes(media, config.shape)
}

fn key(config: &VolumesConfig, media: &Media<'_>, idx: usize) -> Result<Key> {
    let (timing, digest) = (media.scans()[idx].timing(), media.digest(idx)?);
    Ok(Key::of(&json!({ "look": config.decides_volumes(), "scan": digest, "t_r_s": timing })))
}

/// The bytes of the file of a scan's look.
fn look_to_bytes(key: &Key, look: &[f64]) -> Vec<u8> {
    let header = Header {
        key: key.clone(),
        what: "the mean signal of blocks of voxels".to_owned(),
        facts: Value::Null,
    };
    engine::to_bytes(&header, &[("look", &[look.len()], Numbers::F64(look))])
}
