//! `attribute`: what of its scan a report leans on, by three methods side by side, and what it would be without one.
mod config;
mod found;
mod looking;
mod overlay;
mod places;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use engine::{Event, Kept};
use serde_json::{Value, json};

pub use self::config::AttributeConfig;
pub(crate) use self::found::{Found, Place, Token};
use self::{config::STAGE, looking::Looking, overlay::Grid};
use super::{Trained, WrittenReport};
use crate::{
    Result,
    event::Control,
    media::Media,
    runner::{Folders, Runner},
    stage::{
        Artifact, Stage,
        settings::{MOST_IN_BATCH, Settings},
        work::Work,
    },
};

const FOUND: &str = "found.json";
const FILES: &str = "files";

/// What reports lean on.
pub(crate) struct Attributed {
    pub(crate) found: Vec<Found>,
    /// Tables and images, by the names that they have in a run folder.
    pub(crate) files: BTreeMap<String, PathBuf>,
}

impl Work for AttributeConfig {
    fn name(&self) -> &'static str {
        STAGE
    }

    fn version(&self) -> u32 {
        1
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Evidence, Artifact::Evidence)
    }

    fn check(&self) -> Result<()> {
        Ok(Settings(self.name()).at_most(&[
            ("reports", self.reports, usize::MAX),
            ("parts", self.parts, 100_000),
            ("batch_size", self.batch_size, MOST_IN_BATCH),
        ])?)
    }
}

/// Looks into reports, where a stage asks for it.
pub(super) fn attribute(
    runner: &mut Runner<'_, '_, '_>,
    media: &Media<'_>,
    trained: &Trained,
    reports: &[WrittenReport],
) -> Result<Option<Attributed>> {
    let stage = runner.find(|stage| match stage {
        Stage::Attribute(config) => Some(config),
        _ => None,
    });
    let Some((stage, config)) = stage else { return Ok(None) };
    let looking = Looking { config, media, trained, reports };
    let attributed = runner.stage(
        stage,
        &mut (),
        |()| json!(media.left_out()),
        |(), folders, control| looking.look(folders, control),
        |(), dir| load(dir),
    )?;
    Ok(Some(attributed))
}

fn load(dir: &Path) -> Result<Attributed> {
    let mut files = BTreeMap::new();
    let folder = dir.join(FILES);
    for path in files::below(&folder)? {
        files.insert(path.display().to_string(), folder.join(path));
    }
    Ok(Attributed { found: files::read_json(&dir.join(FOUND))?, files })
}

/// What the columns of the tables are, for whoever reads them years later.
const COLUMNS: [(&str, &str); 9] = [
    ("text", "the characters of a token, as a JSON string"),
    ("log_prob", "log-probability of the token given the scan and all before it, in nats"),
    ("log_prob_no_scan", "the same without a scan"),
    ("looks_at", "the places with most of the token's attention, each with its share"),
    (
        "attention",
        "share of the report's cross-attention, rolled out through the resampler to the encoder's tokens; mean over the \
         tokens of the report and over gated blocks by how far they are open",
    ),
    ("gradient", "gradient of the report's log-likelihood times the value, in nats"),
    (
        "occlusion",
        "log-likelihood that the report loses when its part is replaced by its mean, in nats",
    ),
    ("part", "the places that were replaced together"),
    (
        "agreement",
        "mean rank correlation of the parts' sizes between the methods; where it is low, none of the maps is to be relied on",
    ),
];

impl Looking<'_> {
    fn look(&self, folders: Folders<'_>, control: &mut Control<'_>) -> Result<()> {
        let kept = Kept::new(folders.unfinished, STAGE);
        let written = self.reports.iter().filter(|it| !it.answer.text.is_empty());
        let reports: Vec<&WrittenReport> = written.take(self.config.reports).collect();
        let mut all = Vec::new();
        for (done, report) in reports.iter().enumerate() {
            control.tell(Event::Advanced { stage: STAGE, done, total: reports.len() });
            control.checkpoint()?;
            let found = if let Some(found) = kept.get(report.row) {
                found
            } else {
                let found = self.find(report, control)?;
                kept.put(report.row, &found)?;
                found
            };
            all.push(found);
        }
        control.tell(Event::Advanced { stage: STAGE, done: reports.len(), total: reports.len() });
        self.write(&all, &folders.result.join(FILES))?;
        Ok(files::write_json(&folders.result.join(FOUND), &all)?)
    }

    /// Writes tables and images.
    fn write(&self, all: &[Found], dir: &Path) -> Result<()> {
        let grid = Grid::of(self.media)?;
        for found in all {
            let path = |name: &str| {
                let path = self.media.path_of_window(found.row, name)?;
                Ok::<_, crate::Error>(dir.join(path))
            };
            for (name, table) in found.tables() {
                let path = path(&format!("desc-attribution_{name}.tsv"))?;
                files::write_atomic(&path, table.as_bytes())?;
            }
            let Some(grid) = grid.as_ref().filter(|it| it.n_places() == found.places.len()) else {
                continue;
            };
            let values = |of: fn(&Place) -> Option<f64>| found.places.iter().map(of).collect();
            let methods: [(&str, Option<Vec<f64>>); 3] = [
                ("attention", values(|it| it.attention)),
                ("gradient", values(|it| it.gradient)),
                ("occlusion", values(|it| it.occlusion)),
            ];
            for (name, values) in methods {
                if let Some(values) = values {
                    let path = path(&format!("desc-{name}_statmap.nii.gz"))?;
                    scan::write_volume(&path, &grid.image(&values)?)?;
                }
            }
        }
        let about = json!({ "reports": self.summary(all)?, "columns": COLUMNS.into_iter().collect::<BTreeMap<_, _>>() });
        Ok(files::write_json(&dir.join("attribution.json"), &about)?)
    }

    /// How the methods agree, report by report.
    fn summary(&self, all: &[Found]) -> Result<Vec<Value>> {
        let of = |found: &Found| {
            let tokens = self.media.path_of_window(found.row, "desc-attribution_tokens.tsv")?;
            Ok(json!({
                "tokens": tokens,
                "scan_gain_nats": found.gain(),
                "agreement": found.agreement,
            }))
        };
        all.iter().map(of).collect()
    }
}
