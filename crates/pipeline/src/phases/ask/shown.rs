//! What a package is shown of every scan: made once a scan, kept in its file, and read again where it is asked about.
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use engine::{Header, Key, Numbers, Unit};
use flamingo::Medium;
use ndarray::{ArrayD, IxDyn};
use report::prompt::Technique;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Error, Result,
    event::Control,
    media::Media,
    package::{Reader, ShownScan},
    plan::{AskPlan, AskedWindow},
    units::{self, Job},
};

/// Raised where the same scan would be shown otherwise.
const VERSION: u32 = 1;

const WINDOWS: &str = "windows";

/// What is said of a scan beside what is shown.
#[derive(Serialize, Deserialize)]
struct About {
    technique: Technique,
}

/// What the model is shown.
pub(super) struct Shown<'a> {
    pub(super) reader: &'a Reader,
    units: Vec<Option<Unit>>,
    /// The scan that was read last: windows of one are asked for one after another.
    read: Mutex<Option<(usize, Arc<ArrayD<f32>>)>>,
}

impl<'a> Shown<'a> {
    /// Shows the reader every scan; those that fail are listed in `dir`.
    pub(super) fn of(
        plan: &AskPlan,
        media: &Media<'_>,
        reader: &'a Reader,
        dir: &Path,
        control: &mut Control<'_>,
    ) -> Result<Self> {
        let job = Job {
            stage: "ask",
            key: &|idx| Ok(Key::of(&decides(plan, media, idx)?)),
            cost: &|idx| reader.footprint(&media.scans()[idx]),
            work: &|idx, key| {
                let shown = reader.show(&reader.beside(&media.scans()[idx])?)?;
                Ok(to_bytes(key, &shown))
            },
        };
        units::each_unit(media, dir, control, &job)?;
        let units = units::listed(media, "ask", dir)?;
        if units.iter().all(Option::is_none) {
            let failures: Vec<engine::Failure> = crate::stage::work::read_failures(dir)?;
            let reason =
                failures.first().map_or_else(String::new, |it| it.reason.anonymous.clone());
            return Err(Error::NothingToAsk { reason });
        }
        Ok(Self { reader, units, read: Mutex::default() })
    }

    /// Whether a scan could be shown.
    pub(super) fn has(&self, scan_idx: usize) -> bool {
        self.units[scan_idx].is_some()
    }

    /// Names what is shown of a window; the same in a copy of its scan.
    pub(super) fn digest(&self, window: &AskedWindow) -> String {
        let key = self.units[window.scan_idx].as_ref().map_or("", |unit| unit.key.as_str());
        format!("{key} {:?}", window.window)
    }

    pub(super) fn technique(&self, window: &AskedWindow) -> Result<Technique> {
        let unit = self.unit(window);
        let about = unit.facts.get::<About>();
        let damaged =
            |error: serde_json::Error| engine::Error::damaged(&unit.path, error.to_string());
        Ok(about.map_err(damaged)?.technique)
    }

    /// What the model sees of a window.
    pub(super) fn medium(&self, window: &AskedWindow) -> Result<Arc<Medium>> {
        let windows = self.windows(window)?;
        Ok(Arc::new(self.reader.medium(&windows, window.window.map(|number| number - 1))))
    }

    fn windows(&self, window: &AskedWindow) -> Result<Arc<ArrayD<f32>>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, windows)) = read.as_ref().filter(|(idx, _)| *idx == window.scan_idx) {
            return Ok(Arc::clone(windows));
        }
        let unit = self.unit(window);
        let (_, mut arrays) = engine::read(&unit.path, &unit.key)?;
        let (shape, values) = arrays.take(WINDOWS);
        let values = values.into_iter().map(|x| x as f32).collect();
        let windows = ArrayD::from_shape_vec(IxDyn(&shape), values);
        let windows = Arc::new(windows.expect("a file's shape and size agree"));
        *read = Some((window.scan_idx, Arc::clone(&windows)));
        Ok(windows)
    }

    fn unit(&self, window: &AskedWindow) -> &Unit {
        self.units[window.scan_idx].as_ref().expect("windows that cannot be shown are left out")
    }
}

/// Everything that decides what the model is shown of a scan.
pub(super) fn decides(plan: &AskPlan, media: &Media<'_>, idx: usize) -> Result<Value> {
    let scan = &media.scans()[idx];
    // one that the plan does not know may lie beside the scan
    let beside = || ::cohort::confounds_beside(&scan.path);
    let confounds = scan.confounds.clone().or_else(beside);
    let digest = |path: Option<&Path>| path.map(|path| media.digest_of(path)).transpose();
    let mut decides = json!({
        "version": VERSION,
        "model": plan.model_id,
        "package": plan.preprocessing,
        "scan": media.digest(idx)?,
        "timing": scan.timing(),
        "confounds": digest(confounds.as_deref())?,
        "coverage": digest(scan.coverage.as_deref())?,
        "events_s": scan.events_s,
    });
    // a package may hold an encoder, whose tokens it is shown
    crate::operations::add_ops(media.plan.loaded.device()?, &mut decides);
    Ok(decides)
}

fn to_bytes(key: &Key, shown: &ShownScan) -> Vec<u8> {
    let facts = serde_json::to_value(About { technique: shown.technique }).expect("plain values");
    let what = "what a package is shown of a scan".to_owned();
    let header = Header { key: key.clone(), what, facts };
    let values: Vec<f32> = shown.windows.iter().copied().collect();
    engine::to_bytes(&header, &[(WINDOWS, shown.windows.shape(), Numbers::F32(&values))])
}
