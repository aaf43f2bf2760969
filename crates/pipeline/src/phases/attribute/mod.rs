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
    Error, Result,
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
    (
        "log_prob",
        "log-probability of the token given the scan and all before it, in nats; among all tokens, also where `constrain` \
         allowed some of them alone",
    ),
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

/// What became of a report: what it leans on, or why that is not known.
type Outcome = std::result::Result<Found, String>;

impl Looking<'_> {
    fn look(&self, folders: Folders<'_>, control: &mut Control<'_>) -> Result<()> {
        let kept = Kept::new(folders.unfinished, STAGE);
        let grid = Grid::of(self.media)?;
        let written = self.reports.iter().filter(|it| !it.answer.text.is_empty());
        let reports: Vec<&WrittenReport> = written.take(self.config.reports).collect();
        let (mut all, mut left_out) = (Vec::new(), Vec::new());
        for (done, report) in reports.iter().enumerate() {
            control.tell(Event::Advanced { stage: STAGE, done, total: reports.len() });
            control.checkpoint()?;
            // its tables and images lie beside it until all are there
            let files = folders.unfinished.join(report.row.to_string());
            let outcome: Outcome = if let Some(outcome) = kept.get(report.row) {
                outcome
            } else {
                let outcome = self.one(report, grid.as_ref(), &files, control)?;
                kept.put(report.row, &outcome)?;
                outcome
            };
            for path in if files.is_dir() { files::below(&files)? } else { Vec::new() } {
                let bytes = files::read_bytes(&files.join(&path))?;
                files::write_atomic(&folders.result.join(FILES).join(path), &bytes)?;
            }
            match outcome {
                Ok(found) => all.push(found),
                Err(reason) => left_out.push(json!({
                    "report": self.path(report.row, "desc-generated_report.json")?,
                    "reason": reason,
                })),
            }
        }
        control.tell(Event::Advanced { stage: STAGE, done: reports.len(), total: reports.len() });
        let about = json!({
            "reports": self.summary(&all)?,
            "left_out": left_out,
            "columns": COLUMNS.into_iter().collect::<BTreeMap<_, _>>(),
        });
        files::write_json(&folders.result.join(FILES).join("attribution.json"), &about)?;
        Ok(files::write_json(&folders.result.join(FOUND), &all)?)
    }

    fn path(&self, row: usize, name: &str) -> Result<String> {
        self.media.path_of_window(row, name)
    }

    /// What one report leans on; its tables and images are written into `dir`.
    fn one(
        &self,
        report: &WrittenReport,
        grid: Option<&Grid<'_>>,
        dir: &Path,
        control: &Control<'_>,
    ) -> Result<Outcome> {
        let (found, grids) = match self.find(report, control) {
            // odd bytes may be other tokens, and more of them, when they are read
            Err(Error::Model(
                error @ (flamingo::Error::TooLong { .. } | flamingo::Error::Continuation { .. }),
            )) => return Ok(Err(error.to_string())),
            found => found?,
        };
        let tables = [
            ("tokens", found.of_tokens()),
            ("places", grids.of_places()),
            ("moments", grids.of_moments()),
        ];
        for (name, table) in tables {
            let path = self.path(found.row, &format!("desc-attribution_{name}.tsv"))?;
            files::write_atomic(&dir.join(path), table.as_bytes())?;
        }
        let Some(grid) = grid.filter(|it| it.n_places() == grids.places.len()) else {
            return Ok(Ok(found));
        };
        let values = |of: fn(&Place) -> Option<f64>| grids.places.iter().map(of).collect();
        let methods: [(&str, Option<Vec<f64>>); 3] = [
            ("attention", values(|it| it.attention)),
            ("gradient", values(|it| it.gradient)),
            ("occlusion", values(|it| it.occlusion)),
        ];
        for (name, values) in methods {
            if let Some(values) = values {
                let path = self.path(found.row, &format!("desc-{name}_statmap.nii.gz"))?;
                scan::write_volume(dir.join(path), &grid.image(&values)?)?;
            }
        }
        Ok(Ok(found))
    }

    /// How the methods agree, report by report.
    fn summary(&self, all: &[Found]) -> Result<Vec<Value>> {
        let of = |found: &Found| {
            Ok(json!({
                "tokens": self.path(found.row, "desc-attribution_tokens.tsv")?,
                "scan_gain_nats": found.gain(),
                "agreement": found.agreement,
            }))
        };
        all.iter().map(of).collect()
    }
}
