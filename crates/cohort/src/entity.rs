//! The parts of a BIDS name: `sub-01_ses-2_task-rest_space-MNI152NLin6Asym_desc-preproc_bold.nii.gz`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::spelling::form;

/// What a part of a BIDS name says, in the order in which they stand in one.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Entity {
    /// `sub`: who.
    #[serde(alias = "sub")]
    Subject,
    /// `ses`: which visit.
    #[serde(alias = "ses")]
    Session,
    /// `task`: what was done in the scanner.
    Task,
    /// `acq`: how it was acquired.
    #[serde(alias = "acq")]
    Acquisition,
    /// `ce`: contrast agent.
    #[serde(alias = "ce", alias = "ceagent")]
    Contrast,
    /// `rec`: how it was reconstructed.
    #[serde(alias = "rec")]
    Reconstruction,
    /// `dir`: phase encoding direction.
    #[serde(alias = "dir")]
    Direction,
    /// `run`: which repetition.
    Run,
    /// `echo`: which echo.
    Echo,
    /// `part`: magnitude or phase.
    Part,
    /// `chunk`: which piece of the volume.
    Chunk,
    /// `hemi`: which hemisphere.
    #[serde(alias = "hemi")]
    Hemisphere,
    /// `feature`: which of the features that `HALFpipe` made.
    Feature,
    /// `space`: which template or scanner space.
    Space,
    /// `reg`: which regressors C-PAC took out.
    #[serde(alias = "reg")]
    Regressors,
    /// `seg`: which atlas.
    #[serde(alias = "seg")]
    Segmentation,
    /// `cohort`: which age group of the template.
    Cohort,
    /// `atlas`: which atlas, in names of older tools.
    Atlas,
    /// `res`: which grid of the space.
    #[serde(alias = "res")]
    Resolution,
    /// `den`: which mesh of the space.
    #[serde(alias = "den")]
    Density,
    /// `hash`: which configuration of the tool.
    Hash,
    /// `label`: which tissue.
    Label,
    /// `stat`: which statistic.
    #[serde(alias = "stat")]
    Statistic,
    /// `desc`: what was done to it.
    #[serde(alias = "desc")]
    Description,
}

use Entity as E;

/// Keys of names, in BIDS's order.
const KEYS: [(Entity, &str); 24] = [
    (E::Subject, "sub"),
    (E::Session, "ses"),
    (E::Task, "task"),
    (E::Acquisition, "acq"),
    (E::Contrast, "ce"),
    (E::Reconstruction, "rec"),
    (E::Direction, "dir"),
    (E::Run, "run"),
    (E::Echo, "echo"),
    (E::Part, "part"),
    (E::Chunk, "chunk"),
    (E::Hemisphere, "hemi"),
    (E::Feature, "feature"),
    (E::Space, "space"),
    (E::Regressors, "reg"),
    (E::Segmentation, "seg"),
    (E::Cohort, "cohort"),
    (E::Atlas, "atlas"),
    (E::Resolution, "res"),
    (E::Density, "den"),
    (E::Hash, "hash"),
    (E::Label, "label"),
    (E::Statistic, "stat"),
    (E::Description, "desc"),
];

/// What tells one recording from another; the rest tells forms of one recording apart.
pub(crate) const RECORDING: [Entity; 8] = [
    E::Subject,
    E::Session,
    E::Task,
    E::Acquisition,
    E::Contrast,
    E::Reconstruction,
    E::Direction,
    E::Run,
];

impl Entity {
    /// Its key in a name: `sub`, `ses`, `task`, ….
    pub fn key(self) -> &'static str {
        KEYS[self as usize].1
    }

    /// Its name in a query or a pipeline: `subject`, `session`, `task`, ….
    pub fn name(self) -> &'static str {
        match self {
            E::Subject => "subject",
            E::Session => "session",
            E::Task => "task",
            E::Acquisition => "acquisition",
            E::Contrast => "contrast",
            E::Reconstruction => "reconstruction",
            E::Direction => "direction",
            E::Run => "run",
            E::Echo => "echo",
            E::Part => "part",
            E::Chunk => "chunk",
            E::Hemisphere => "hemisphere",
            E::Feature => "feature",
            E::Space => "space",
            E::Regressors => "regressors",
            E::Segmentation => "segmentation",
            E::Cohort => "cohort",
            E::Atlas => "atlas",
            E::Resolution => "resolution",
            E::Density => "density",
            E::Hash => "hash",
            E::Label => "label",
            E::Statistic => "statistic",
            E::Description => "description",
        }
    }

    /// The entity of a name in a query.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        KEYS.iter().map(|(entity, _)| *entity).find(|entity| entity.name() == name)
    }

    fn of_key(key: &str) -> Option<Self> {
        KEYS.iter().find(|(_, known)| *known == key).map(|(entity, _)| *entity)
    }
}

/// Whether `text` may be a label: letters and digits, and plus signs as BIDS 1.11 allows. Labels become
/// parts of file names, so nothing else may be in them.
pub(crate) fn is_label(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+')
}

/// The entities of a recording or a file; each label holds letters, digits and + only.
///
/// They are a sorted list: a cohort has tens of thousands, each of a few.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entities(Vec<(Entity, Box<str>)>);

/// As a map from entity to label.
impl Serialize for Entities {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

impl Entities {
    /// The label of an entity.
    pub fn get(&self, entity: Entity) -> Option<&str> {
        self.at(entity).ok().map(|at| &*self.0[at].1)
    }

    /// Where an entity stands, or would.
    fn at(&self, entity: Entity) -> Result<usize, usize> {
        self.0.binary_search_by_key(&entity, |(entity, _)| *entity)
    }

    /// Adds a label; says whether it may be one and was not there.
    pub(crate) fn add(&mut self, entity: Entity, label: &str) -> bool {
        is_label(label) && !self.replace(entity, label)
    }

    /// Gives an entity a label; says whether it had one.
    pub(crate) fn replace(&mut self, entity: Entity, label: &str) -> bool {
        let at = self.at(entity);
        match at {
            Ok(at) => self.0[at].1 = label.into(),
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (entity, label.into()));
            }
        }
        at.is_ok()
    }

    /// Entities with their labels, in the order of a BIDS name.
    pub fn iter(&self) -> impl Iterator<Item = (Entity, &str)> {
        self.0.iter().map(|(entity, label)| (*entity, &**label))
    }

    /// Those of `wanted` only.
    pub(crate) fn only(&self, wanted: &[Entity]) -> Self {
        let kept = self.0.iter().filter(|(entity, _)| wanted.contains(entity));
        Self(kept.cloned().collect())
    }

    /// All but one.
    pub(crate) fn without(&self, entity: Entity) -> Self {
        let mut rest = self.clone();
        rest.0.retain(|(it, _)| *it != entity);
        rest
    }

    /// Those of `wanted`, to be found by: an index is a number, `run-01` is `run-1`.
    pub(crate) fn key(&self, wanted: &[Entity]) -> Self {
        let mut key = self.only(wanted);
        let run = key.get(E::Run).filter(|it| it.bytes().all(|b| b.is_ascii_digit()));
        if let Some(run) = run.map(str::to_owned) {
            let digits = run.trim_start_matches('0');
            key.replace(E::Run, if digits.is_empty() { "0" } else { digits });
        }
        key
    }

    /// Whether `other` says nothing else than this.
    pub(crate) fn includes(&self, other: &Self) -> bool {
        other.iter().all(|(entity, label)| self.get(entity) == Some(label))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Entities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (entity, label)) in self.iter().enumerate() {
            let separator = if position == 0 { "" } else { "_" };
            write!(f, "{separator}{}-{label}", entity.key())?;
        }
        Ok(())
    }
}

/// The entities of a file name; none where it is no BIDS name.
pub fn entities_of(name: &str) -> Option<Entities> {
    Some(BidsName::parse(name)?.entities)
}

/// A file name taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BidsName {
    pub(crate) entities: Entities,
    /// `bold`, `timeseries`, `mask`, ….
    pub(crate) suffix: String,
    /// From the first point on: `.nii.gz`.
    pub(crate) extension: String,
}

impl BidsName {
    /// Takes a name apart; nothing where it is no BIDS name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (stem, extension) = name.split_at(name.find('.').unwrap_or(name.len()));
        let mut parts: Vec<&str> = stem.split('_').collect();
        let suffix = parts.pop().filter(|suffix| is_label(suffix))?;
        let mut entities = Entities::default();
        for part in parts {
            let (key, label) = part.split_once('-')?;
            if !entities.add(Entity::of_key(key)?, label) {
                return None;
            }
        }
        let (suffix, extension) = (suffix.to_owned(), extension.to_owned());
        Some(Self { entities, suffix, extension })
    }

    /// Why [`BidsName::parse`] takes `name` for no BIDS name: the first part that is wrong. Subjects
    /// and sessions are not repeated, nor words that may be names of people.
    pub(crate) fn problem(name: &str) -> String {
        let stem = name.split('.').next().unwrap_or_default();
        let mut parts: Vec<&str> = stem.split('_').collect();
        let suffix = parts.pop().unwrap_or_default();
        let mut entities = Entities::default();
        for part in parts {
            let Some((key, label)) = part.split_once('-') else {
                return format!("{} has no hyphen, expected key-label", shown_word(part));
            };
            let Some(entity) = Entity::of_key(key) else {
                let known = KEYS.map(|(_, key)| key).join(", ");
                return format!(
                    "`{}-` is not a BIDS entity, expected one of {known}",
                    printable(key)
                );
            };
            if !is_label(label) {
                return format!("the label of `{key}-` is not letters, digits and +");
            }
            if !entities.add(entity, label) {
                return format!("`{key}-` stands in it twice");
            }
        }
        format!("it ends in {}, expected a suffix such as bold", shown_word(suffix))
    }
}

/// A word of a file name, quoted where it says nothing of a person: an entity whose hyphen was
/// forgotten, or a suffix. Otherwise its form only.
fn shown_word(word: &str) -> String {
    const SUFFIXES: [&str; 6] = ["bold", "timeseries", "cbv", "sbref", "mask", "events"];
    let forgotten = KEYS.iter().find(|(_, key)| word.starts_with(key) && word.len() > key.len());
    match forgotten {
        Some((E::Subject | E::Session, key)) => format!("`{key}…`"),
        Some(_) => format!("`{}`", printable(word)),
        None if SUFFIXES.contains(&word) || Entity::of_key(word).is_some() => format!("`{word}`"),
        None => format!("a part of the form `{}`", form(&printable(word))),
    }
}

/// At most 24 characters, none of which moves the cursor of a terminal.
fn printable(word: &str) -> String {
    word.chars().take(24).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_in_the_order_of_entities() {
        for (position, (entity, _)) in KEYS.iter().enumerate() {
            assert_eq!(*entity as usize, position);
            assert_eq!(Entity::of_name(entity.name()), Some(*entity));
        }
    }

    #[test]
    fn names_are_taken_apart_and_put_together() {
        let text =
            "sub-01_ses-2_task-rest_run-1_space-MNI152NLin6Asym_res-2_desc-preproc_bold.nii.gz";
        let name = BidsName::parse(text).unwrap();
        assert_eq!((name.suffix.as_str(), name.extension.as_str()), ("bold", ".nii.gz"));
        assert_eq!(name.entities.get(Entity::Space), Some("MNI152NLin6Asym"));
        assert_eq!(format!("{}_bold.nii.gz", name.entities), text);
        assert_eq!(name.entities.only(&RECORDING).to_string(), "sub-01_ses-2_task-rest_run-1");
    }

    #[test]
    fn templates_of_age_groups_are_known() {
        let text =
            "sub-01_task-rest_space-MNIPediatricAsym_cohort-2_res-2_desc-preproc_bold.nii.gz";
        let name = BidsName::parse(text).unwrap();
        assert_eq!(name.entities.get(Entity::Cohort), Some("2"));
        assert_eq!(format!("{}_bold.nii.gz", name.entities), text);
    }

    #[test]
    fn an_index_is_found_by_its_number() {
        let key = |name: &str| BidsName::parse(name).unwrap().entities.key(&RECORDING).to_string();
        assert_eq!(key("sub-01_ses-01_run-01_space-T1w_bold"), "sub-01_ses-01_run-1");
        assert_eq!(key("sub-01_run-00_bold"), "sub-01_run-0");
        assert_eq!(key("sub-01_run-0a_bold"), "sub-01_run-0a");
    }

    #[test]
    fn what_is_no_name_is_none() {
        for text in [
            "sub-01_sub-02_bold.nii",
            "sub-.._bold.nii",
            "sub-_bold.nii",
            "sub-a b_bold.nii",
            "sub-01_odd-1_bold.nii",
            "sub-+_bold.nii",
            "sub01_bold.nii",
            "sub-01_.nii",
            "",
        ] {
            assert_eq!(BidsName::parse(text), None, "{text}");
        }
    }
    #[test]
    fn a_plus_sign_is_part_of_a_label() {
        let name = BidsName::parse("sub-05+pilot_task-movie+rest_desc-preproc+smooth_bold.nii.gz");
        let name = name.unwrap();
        assert_eq!(name.entities.get(Entity::Subject), Some("05+pilot"));
        assert_eq!(name.entities.to_string(), "sub-05+pilot_task-movie+rest_desc-preproc+smooth");
    }

    #[test]
    fn the_part_that_is_not_bids_is_named_and_no_person() {
        for (name, part) in [
            ("sub-02_task-rest_bold_desc-filtered_bold.nii.gz", "`bold` has no hyphen, "),
            ("sub-03_task-rest_setting-a_bold.nii.gz", "`setting-` is not a BIDS entity, "),
            ("sub-04_task-rest_run001_bold.nii.gz", "`run001` has no hyphen, "),
            ("sub01_bold.nii", "`sub…` has no hyphen, "),
            ("sub-01_sub-02_bold.nii", "`sub-` stands in it twice"),
            ("sub-a b_bold.nii", "the label of `sub-` is not letters, digits and +"),
            ("Jane9_bold.nii", "a part of the form `aaaa9` has no hyphen, "),
        ] {
            let problem = BidsName::problem(name);
            assert!(problem.starts_with(part), "{problem}");
            assert_eq!(BidsName::parse(name), None);
        }
    }
}
