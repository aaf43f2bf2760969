//! Kinds of files that could be a cohort together: alike in everything but whose they are.

use std::collections::BTreeSet;

use crate::{
    bids::EXTENSIONS,
    entity::{BidsName, Entities, Entity, RECORDING},
};

/// What files of one kind share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Files of a BIDS dataset or of derivatives.
    Bids {
        /// From the first folder on.
        dir: String,
        suffix: String,
        extension: String,
        /// Task, space, atlas, …; nothing of people, visits and repetitions.
        forms: Entities,
    },
    /// Files that lie by a pattern.
    Pattern(String),
    /// One HDF5 file of many subjects, and the datasets in it where they are not `/parcel_ts`.
    Stack(String, Vec<String>),
    /// A folder of Arrow files.
    Rows(String),
}

/// A kind with its files.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) kind: Kind,
    /// Its files, from the first folder on.
    pub(super) files: Vec<String>,
    pub(super) n_recordings: usize,
    pub(super) n_subjects: usize,
}

/// What one file of a BIDS dataset is.
pub(super) enum Bids {
    Scan(Kind, Entities),
    /// Series in a format that no cohort lists.
    Foreign(String),
    /// It is about a scan, or a figure of one.
    Beside,
    /// It is no file of a BIDS dataset.
    Other,
}

/// A file at `…/sub-X/[ses-Y/]func/NAME`; `is_there` knows the other files.
pub(super) fn bids(path: &str, is_there: &dyn Fn(&str) -> bool) -> Bids {
    let names: Vec<&str> = path.split('/').collect();
    let Some(parsed) = names.last().and_then(|name| BidsName::parse(name)) else {
        return Bids::Other;
    };
    let above = &names[..names.len() - 1];
    let dir = match above {
        [dir @ .., sub, ses, "func"] if sub.starts_with("sub-") && ses.starts_with("ses-") => dir,
        [dir @ .., sub, "func"] if sub.starts_with("sub-") => dir,
        _ => return Bids::Other,
    };
    let entities = &parsed.entities;
    let is_series = ["bold", "timeseries"].contains(&parsed.suffix.as_str());
    let is_figure = entities.get(Entity::Statistic).is_some_and(|stat| stat != "mean");
    let is_beside = entities.get(Entity::Description) == Some("confounds");
    if !is_series || is_figure || is_beside || parsed.extension == ".json" {
        return Bids::Beside;
    }
    if !EXTENSIONS.contains(&parsed.extension.as_str()) {
        return Bids::Foreign(parsed.extension);
    }
    // the files of both hemispheres are one recording, which the left one stands for
    let is_pair = |from: &str, to: &str| {
        [".func.gii", ".gii"].contains(&parsed.extension.as_str())
            && path.contains(from)
            && is_there(&path.replacen(from, to, 1))
    };
    let entities = if is_pair("_hemi-R", "_hemi-L") {
        return Bids::Beside;
    } else if is_pair("_hemi-L", "_hemi-R") {
        entities.without(Entity::Hemisphere)
    } else {
        entities.clone()
    };
    let mut forms = Entities::default();
    for (entity, label) in entities.iter() {
        if entity == Entity::Task || !RECORDING.contains(&entity) {
            forms.add(entity, label);
        }
    }
    let kind = Kind::Bids {
        dir: dir.join("/"),
        suffix: parsed.suffix.clone(),
        extension: parsed.extension.clone(),
        forms,
    };
    Bids::Scan(kind, entities)
}

impl Kind {
    /// Which of two kinds of as many recordings goes first: series that are extracted before volumes,
    /// a template before the scanner's space, what is combined before its echoes.
    pub(super) fn preference(&self) -> (u8, u8, u8, u8) {
        let Self::Bids { suffix, extension, forms, .. } = self else { return (3, 0, 0, 0) };
        let of_space = match forms.get(Entity::Space) {
            Some("MNI152NLin2009cAsym") => 0,
            Some(space) if space.starts_with("MNI") => 1,
            Some(space) if space.starts_with("fsLR") => 2,
            None if suffix == "timeseries" => 2,
            Some("T1w" | "boldref" | "func" | "native") | None => 4,
            Some(_) => 3,
        };
        let of_description = match forms.get(Entity::Description) {
            Some("preproc" | "denoised") | None => 0,
            Some(_) => 1,
        };
        let of_form = match extension.as_str() {
            ".tsv" | ".nii.gz" | ".nii" => 0,
            ".dtseries.nii" => 2,
            _ => 1,
        };
        let of_echo = u8::from(forms.get(Entity::Echo).is_some());
        (u8::from(suffix != "timeseries"), of_space, of_description + of_echo, of_form)
    }

    /// What a file of this kind is and one of `chosen` is not.
    pub(super) fn differs(&self, chosen: &Self) -> String {
        let (
            Self::Bids { dir, suffix, extension, forms },
            Self::Bids { dir: dir2, suffix: suffix2, extension: extension2, forms: forms2 },
        ) = (self, chosen)
        else {
            return "of another pattern, file or folder".to_owned();
        };
        if dir != dir2 {
            return "in another dataset of the folder".to_owned();
        }
        if suffix != suffix2 {
            return format!("called _{suffix}, not _{suffix2}");
        }
        let names: BTreeSet<Entity> =
            forms.iter().chain(forms2.iter()).map(|(entity, _)| entity).collect();
        let label = |forms: &Entities, entity| forms.get(entity).unwrap_or("none").to_owned();
        let other = names.into_iter().find(|it| forms.get(*it) != forms2.get(*it));
        match other {
            Some(entity) => format!("of {} {}", entity.name(), label(forms, entity)),
            None => format!("stored as {extension}, not {extension2}"),
        }
    }
}

/// The entities that a pipeline must ask for so that of `all` the forms only `chosen` is left: each that it
/// has, and `none` for those that others have.
pub(super) fn asked(chosen: &Entities, all: &[&Entities]) -> Vec<(Entity, String)> {
    let mut names: BTreeSet<Entity> = chosen.iter().map(|(entity, _)| entity).collect();
    names.extend(all.iter().flat_map(|forms| forms.iter().map(|(entity, _)| entity)));
    let label = |entity| chosen.get(entity).unwrap_or(crate::select::ABSENT).to_owned();
    names.into_iter().map(|entity| (entity, label(entity))).collect()
}
