//! A cohort as files that lie by a pattern, as HCP, `HALFpipe`, C-PAC and most laboratories keep them.

mod pattern;

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
};

use files::FileIndex;
use scan::FailureKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    division::SplitConfig,
    entity::{Entities, RECORDING},
    error::{Error, Result},
    folder::Folder,
    labels::LabelTables,
    quality::QcThresholds,
    reason::{Part, Reason, Way},
    recording::{Cohort, Excluded, Recording, RepetitionTime, Source, TrSource},
    root::Root,
    select::{Found, Selection, Wanted},
    sidecar::Sidecars,
    spelling::label_from,
};
use pattern::Captured;
pub use pattern::FilePattern;

/// Files whose path says whom they are of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilesConfig {
    /// The folder that the patterns begin in.
    pub dir: PathBuf,
    /// Folder that paths and links must stay in. Default: `dir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Where images or series lie: `sub-{subject}/func/sub-{subject}_task-rest_timeseries.tsv`.
    pub scans: FilePattern,
    /// Where the mask of a recording lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<FilePattern>,
    /// Where the table of nuisance series of a recording lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confounds: Option<FilePattern>,
    /// Tables about the same people, joined by subject, session, task and run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<PathBuf>,
    /// Labels that are wanted: `{ session: [1] }`.
    #[serde(default, skip_serializing_if = "Wanted::is_empty")]
    pub entities: Wanted,
    /// Which recordings are wanted: `age >= 50 and site == "A"`.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Quality thresholds for leaving out recordings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qc_thresholds: Option<QcThresholds>,
    /// Repetition time of all recordings in seconds; overrides the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t_r: Option<f64>,
    /// Division into train, validation and test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitConfig>,
}

impl FilesConfig {
    /// Refuses what is wrong whatever the files hold.
    pub fn check(&self) -> Result<()> {
        pattern::check("scans", &self.scans)?;
        self.asked().check().map(drop)
    }

    fn asked(&self) -> Selection<'_> {
        Selection {
            entities: &self.entities,
            query: self.query.as_deref(),
            qc_thresholds: self.qc_thresholds.as_ref(),
            t_r: self.t_r,
            split: self.split.as_ref(),
        }
    }

    /// Walks the folder and looks at every scan's header; `place` finds what the configuration
    /// names; scans that `known` has seen are not opened.
    pub fn index(&self, place: &dyn Fn(&Path) -> PathBuf, known: &FileIndex) -> Result<Cohort> {
        let dir = place(&self.dir);
        let root = Root::new(&self.root.as_ref().map_or_else(|| dir.clone(), |root| place(root)))?;
        let mut walk = Walk { asked: self, root: &root, scans: Vec::new(), excluded: Vec::new() };
        walk.folder(&dir, 0, &Captured::new()).map_err(|source| {
            let path = dir.clone();
            Error::Read { path, source }
        })?;
        let Walk { scans, excluded, .. } = walk;
        let sought = format!("no file lies at {}", self.scans);
        let recordings = Vec::new();
        let mut found = Found { path: dir.clone(), sought, cure: None, recordings, excluded };
        let mut sidecars = Sidecars::new(known);
        let mut names = HashSet::new();
        for (path, captured) in scans {
            match self.recording(&dir, &root, &path, &captured, &mut sidecars) {
                Ok(recording) => {
                    if !names.insert(recording.entities.key(&RECORDING)) {
                        let problem = format!(
                            "two files at {} are of one recording: tell them apart by a \
                             placeholder such as {{session}} or {{run}}",
                            self.scans
                        );
                        return Err(Error::Folder { path: dir, problem });
                    }
                    found.recordings.push(recording);
                }
                Err(reason) => {
                    found.excluded.push(Excluded { name: "a file".to_owned(), reason });
                }
            }
        }
        found.select(self.asked(), known, LabelTables::named(&self.labels, place)?)
    }

    fn recording(
        &self,
        dir: &Path,
        root: &Root,
        path: &Path,
        captured: &Captured,
        sidecars: &mut Sidecars<'_>,
    ) -> Result<Recording, Reason> {
        let mut entities = Entities::default();
        for (entity, text) in captured {
            let label = label_from(text).ok_or(Reason::Label { what: entity.name() })?;
            entities.add(*entity, &label);
        }
        let inside = path.strip_prefix(dir).unwrap_or(path);
        let scan = root.file(dir, inside, Part::Scan)?;
        let beside = |pattern: &Option<FilePattern>, part| {
            let name = pattern.as_ref().and_then(|it| it.filled(captured));
            match name.map(|name| root.file(dir, Path::new(&name), part)) {
                Some(Err(Reason::Missing { .. })) | None => Ok(None),
                Some(found) => found.map(Some),
            }
        };
        let said = match self.t_r {
            // the pipeline settles what sidecars leave open
            Some(_) => None,
            None => sidecars.of_scan(&scan, Some(root))?.t_r,
        };
        Ok(Recording {
            entities,
            mask: beside(&self.mask, Part::Mask)?,
            confounds: beside(&self.confounds, Part::Confounds)?,
            coverage: None,
            source: Source::File(scan),
            t_r: said.map(|seconds| RepetitionTime { seconds, source: TrSource::Sidecar }),
            n_frames: None,
            kept: None,
            labels: BTreeMap::new(),
            row: None,
        })
    }
}

struct Walk<'a> {
    asked: &'a FilesConfig,
    root: &'a Root,
    scans: Vec<(PathBuf, Captured)>,
    excluded: Vec<Excluded>,
}

impl Walk<'_> {
    /// What fits in one folder and below it.
    fn folder(&mut self, path: &Path, depth: usize, known: &Captured) -> std::io::Result<()> {
        let pattern = &self.asked.scans;
        if let Some(name) = pattern.plain(depth) {
            let below = path.join(name);
            if below.symlink_metadata().is_ok() {
                self.entry(&below, depth, known.clone());
            }
            return Ok(());
        }
        for name in Folder::list(path)?.names() {
            if let Some(captured) = pattern.fit(depth, name, known) {
                self.entry(&path.join(name), depth, captured);
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, depth: usize, captured: Captured) {
        if depth + 1 == self.asked.scans.depth() {
            if !path.is_dir() {
                self.scans.push((path.to_path_buf(), captured));
            }
            return;
        }
        if !path.is_dir() {
            return;
        }
        let outcome = if self.root.holds(path) {
            self.folder(path, depth + 1, &captured).map_err(|error| Reason::Unreadable {
                part: Part::Folder,
                problem: error.to_string(),
                kind: FailureKind::of_io(&error),
            })
        } else {
            Err(Reason::Outside { part: Part::Folder, way: Way::Link })
        };
        if let Err(reason) = outcome {
            self.excluded.push(Excluded { name: "a folder".to_owned(), reason });
        }
    }
}

#[cfg(test)]
mod tests;
