//! A cohort as a BIDS folder: raw, or derivatives of fMRIPrep and its kin.
//!
//! ```text
//! participants.tsv                     labels of people
//! task-rest_bold.json                  RepetitionTime, unless a deeper one says otherwise
//! sub-01/[ses-1/]func/
//!   sub-01_task-rest_space-…_desc-preproc_bold.nii.gz
//!   sub-01_task-rest_space-…_desc-brain_mask.nii.gz
//!   sub-01_task-rest_desc-confounds_timeseries.tsv
//! ```

mod beside;
mod forms;
mod hemispheres;
mod people;
mod visit;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use files::FileIndex;
use scan::FailureKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    division::SplitConfig,
    entity::{BidsName, Entities, Entity, RECORDING, is_label},
    error::{Error, Result},
    folder::Folder,
    labels::LabelTables,
    quality::QcThresholds,
    query::Query,
    reason::{Part, Reason, Way},
    recording::{Cohort, Excluded, Recording, RepetitionTime, Source, TrSource},
    root::Root,
    select::{Found, Selection, Wanted, chosen, may_be_chosen},
    sidecar::Sidecars,
};
pub use beside::{confounds_beside, coverage_beside};
use forms::{Candidates, Form, one_form_each};
use hemispheres::Half;

/// A BIDS dataset, or a folder of derivatives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BidsConfig {
    /// The folder that holds `sub-…`.
    pub dir: PathBuf,
    /// Folder that paths and links must stay in. Default: `dir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// BIDS suffix of the files: `bold`, or `timeseries` for extracted series.
    #[serde(default = "bold", skip_serializing_if = "is_bold")]
    pub suffix: String,
    /// File extension, where a recording has files in several formats: `.tsv` or `.ptseries.nii`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    /// Tables about the same people beside `participants.tsv`, joined by subject, session, task
    /// and run, or by MRIQC's `bids_name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<PathBuf>,
    /// Labels that are wanted: `{ task: [rest], space: [MNI152NLin2009cAsym] }`.
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

fn bold() -> String {
    "bold".to_owned()
}

fn is_bold(suffix: &str) -> bool {
    suffix == "bold"
}

/// What a scan's name may end in.
pub(crate) const EXTENSIONS: [&str; 9] = [
    ".nii",
    ".nii.gz",
    ".dtseries.nii",
    ".ptseries.nii",
    ".func.gii",
    ".gii",
    ".tsv",
    ".1D",
    ".h5",
];

impl BidsConfig {
    /// Refuses what is wrong whatever the files hold.
    pub fn check(&self) -> Result<()> {
        if let Some(found) = self.extension.as_deref().filter(|it| !EXTENSIONS.contains(it)) {
            let expected = format!("one of {}", EXTENSIONS.join(", "));
            return Err(Error::Setting { field: "extension", found: found.to_owned(), expected });
        }
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
        let mut walk = Walk {
            asked: self,
            root: &root,
            sidecars: Sidecars::new(known),
            candidates: BTreeMap::new(),
            excluded: Vec::new(),
            others: BTreeMap::new(),
        };
        let n_subjects = walk.dataset(&dir)?;
        if n_subjects == 0 {
            let problem = "holds no folder sub-…, expected a BIDS dataset or derivatives of one";
            return Err(Error::Folder { path: dir, problem: problem.to_owned() });
        }
        let others = walk.others.iter().next();
        let there = others.map_or(String::new(), |(suffix, n)| format!("; {n} end in _{suffix}"));
        let sought = format!(
            "{n_subjects} folders sub-…, none with a file func/sub-…_{} ending in one of {}{there}",
            self.suffix,
            EXTENSIONS.join(", ")
        );
        let cure = others.map(|(suffix, _)| format!("read these with `suffix: {suffix}`"));
        let (excluded, recordings) = (walk.excluded, Vec::new());
        let mut found = Found { path: dir.clone(), sought, cure, recordings, excluded };
        let query = self.query.as_deref().map(Query::parse).transpose()?;
        for form in one_form_each(&dir, walk.candidates, &self.entities, query.as_ref())? {
            match form.found {
                Ok(recording) => found.recordings.push(recording),
                Err(reason) => {
                    let name = form.entities.only(&RECORDING).to_string();
                    found.excluded.push(Excluded { name, reason });
                }
            }
        }
        let mut tables = people::tables(&dir, &root, &found.recordings)?;
        tables.all.append(&mut LabelTables::named(&self.labels, place)?.all);
        found.select(self.asked(), known, tables)
    }
}

struct Walk<'a> {
    asked: &'a BidsConfig,
    root: &'a Root,
    sidecars: Sidecars<'a>,
    candidates: Candidates,
    excluded: Vec<Excluded>,
    /// Scans with another suffix than is asked for, by suffix.
    others: BTreeMap<String, usize>,
}

/// What scans and series of scans are called.
const SUFFIXES: [&str; 2] = ["bold", "timeseries"];

impl Walk<'_> {
    /// Number of subjects' folders.
    fn dataset(&mut self, dir: &Path) -> Result<usize> {
        let top =
            Folder::list(dir).map_err(|source| Error::Read { path: dir.to_path_buf(), source })?;
        let mut n = 0;
        for name in top.names().filter(|name| name.starts_with("sub-")) {
            let path = dir.join(name);
            if !path.is_dir() {
                continue;
            }
            n += 1;
            let outcome = if visit::is_visit(name) {
                self.visit(&top, &path, name)
            } else {
                self.below(&path, name, "sub-", "subject")
                    .and_then(|subject| self.subject(&top, &path, &subject))
            };
            if let Err((name_of, reason)) = outcome {
                let mut who = Entities::default();
                who.add(Entity::Subject, &name["sub-".len()..]);
                self.leave_out(&who, name_of, reason);
            }
        }
        Ok(n)
    }

    /// Leaves out a folder or a file of which no more is known than `who`; what is not asked for is
    /// no failure.
    fn leave_out(&mut self, who: &Entities, name: String, reason: Reason) {
        let is_asked = may_be_chosen(who, &self.asked.entities);
        let reason = if is_asked { reason } else { Reason::Entities };
        self.excluded.push(Excluded { name, reason });
    }

    /// The label of a folder that may be entered.
    fn below(
        &self,
        path: &Path,
        name: &str,
        prefix: &str,
        what: &'static str,
    ) -> Result<String, (String, Reason)> {
        let label = &name[prefix.len()..];
        if !is_label(label) {
            return Err((format!("a folder {prefix}…"), Reason::Label { what }));
        }
        if !self.root.holds(path) {
            let reason = Reason::Outside { part: Part::Folder, way: Way::Link };
            return Err((name.to_owned(), reason));
        }
        Ok(label.to_owned())
    }

    fn subject(
        &mut self,
        top: &Folder,
        path: &Path,
        subject: &str,
    ) -> Result<(), (String, Reason)> {
        let name = format!("sub-{subject}");
        let listed = list_folder(path, &name)?;
        let mut who = Entities::default();
        who.add(Entity::Subject, subject);
        if let Err((name, reason)) = self.functional(&[top, &listed], &path.join("func"), &who) {
            self.leave_out(&who, name, reason);
        }
        let sessions: Vec<&str> = listed.names().filter(|name| name.starts_with("ses-")).collect();
        for session in sessions {
            let path = path.join(session);
            if !path.is_dir() {
                continue;
            }
            let mut visit = who.clone();
            visit.add(Entity::Session, &session["ses-".len()..]);
            let outcome = match self.below(&path, session, "ses-", "session") {
                Ok(_) => list_folder(&path, &visit.to_string()).and_then(|below| {
                    self.functional(&[top, &listed, &below], &path.join("func"), &visit)
                }),
                Err((session, reason)) => Err((format!("{name}_{session}"), reason)),
            };
            if let Err((name, reason)) = outcome {
                self.leave_out(&visit, name, reason);
            }
        }
        Ok(())
    }

    /// The scans of one visit; `above` are the folders whose sidecars it inherits.
    fn functional(
        &mut self,
        above: &[&Folder],
        path: &Path,
        who: &Entities,
    ) -> Result<(), (String, Reason)> {
        if !path.is_dir() {
            return Ok(());
        }
        if !self.root.holds(path) {
            let reason = Reason::Outside { part: Part::Folder, way: Way::Link };
            return Err((who.to_string(), reason));
        }
        let folder = list_folder(path, &who.to_string())?;
        let levels: Vec<&Folder> = above.iter().copied().chain([&folder]).collect();
        for name in folder.names() {
            let ending = format!("_{}.", self.asked.suffix);
            let Some((_, extension)) = name.rsplit_once(&ending) else {
                self.count_other(name);
                continue;
            };
            let extension = format!(".{extension}");
            let is_asked = self.asked.extension.as_ref().is_none_or(|asked| *asked == extension);
            if !is_asked || !EXTENSIONS.contains(&extension.as_str()) {
                continue;
            }
            let parsed = match BidsName::parse(name) {
                Some(parsed) if parsed.entities.includes(who) => parsed,
                parsed => {
                    let other = "it has another subject or session than its folder".to_owned();
                    let problem = parsed.map_or_else(|| BidsName::problem(name), |_| other);
                    self.leave_out(who, format!("a file of {who}"), Reason::Name { problem });
                    continue;
                }
            };
            if !is_scan(&parsed) {
                continue;
            }
            let Half::Whole(entities, other) = Half::of(&folder, name, &parsed) else { continue };
            let key = entities.only(&RECORDING);
            let found = if chosen(&entities, &self.asked.entities) {
                let other =
                    other.map(|it| self.root.file(folder.path(), Path::new(&it), Part::Scan));
                other.transpose().and_then(|_| self.recording(&levels, &folder, name, &parsed))
            } else {
                // what is not asked for is not looked up
                Ok(bare(&entities, folder.path().join(name)))
            };
            let found = found.map(|it| Recording { entities: entities.clone(), ..it });
            let form = Form { entities, found };
            self.candidates.entry(key).or_default().push(form);
        }
        Ok(())
    }

    /// Counts a scan that another suffix would take.
    fn count_other(&mut self, name: &str) {
        let Some(parsed) = BidsName::parse(name) else { return };
        let is_scan = SUFFIXES.contains(&parsed.suffix.as_str())
            && EXTENSIONS.contains(&parsed.extension.as_str())
            && self::is_scan(&parsed);
        if is_scan {
            *self.others.entry(parsed.suffix).or_default() += 1;
        }
    }

    fn recording(
        &mut self,
        levels: &[&Folder],
        folder: &Folder,
        name: &str,
        parsed: &BidsName,
    ) -> Result<Recording, Reason> {
        let file = |name: &str, part| self.root.file(folder.path(), Path::new(name), part);
        let scan = file(name, Part::Scan)?;
        let entities = &parsed.entities;
        let mask = folder.beside(entities, &["mask"], &[".nii", ".nii.gz"], Some("brain"));
        let confounds = beside::confounds(folder, entities);
        let coverage = beside::coverage(folder, parsed);
        let optional = |name: Option<String>, part| name.map(|name| file(&name, part)).transpose();
        let (mask, confounds) =
            (optional(mask, Part::Mask)?, optional(confounds, Part::Confounds)?);
        let coverage = optional(coverage, Part::Coverage)?;
        // the pipeline settles what sidecars leave open
        let t_r = match self.asked.t_r {
            Some(_) => None,
            None => self.sidecars.of_levels(levels, parsed, self.root)?.t_r,
        };
        let t_r = t_r.map(|seconds| RepetitionTime { seconds, source: TrSource::Sidecar });
        Ok(Recording { mask, confounds, coverage, t_r, ..bare(entities, scan) })
    }
}

/// Whether a file that is called a scan is one: confounds are called `timeseries` too, and XCP-D calls tables
/// of one number a parcel (coverage, ALFF, `ReHo`) `bold`.
fn is_scan(name: &BidsName) -> bool {
    let is_number = name.suffix == "bold" && name.entities.get(Entity::Statistic).is_some();
    name.entities.get(Entity::Description) != Some("confounds") && !is_number
}

/// A recording of which nothing but its scan is known.
fn bare(entities: &Entities, scan: PathBuf) -> Recording {
    Recording {
        entities: entities.clone(),
        source: Source::File(scan),
        mask: None,
        confounds: None,
        coverage: None,
        t_r: None,
        n_frames: None,
        kept: None,
        labels: BTreeMap::new(),
        row: None,
    }
}

/// The entries of a folder, or why there are none.
fn list_folder(path: &Path, name: &str) -> Result<Folder, (String, Reason)> {
    Folder::list(path).map_err(|error| {
        let (part, problem, kind) = (Part::Folder, error.to_string(), FailureKind::of_io(&error));
        (name.to_owned(), Reason::Unreadable { part, problem, kind })
    })
}

#[cfg(test)]
mod tests;
