//! What a dataset says of its people and their visits: `participants.tsv`, `sub-…_sessions.tsv`.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    labels::{LabelTable, LabelTables, Sessions},
    recording::Recording,
    root::Root,
};

/// Reads the tables of the dataset, or of the one above its `derivatives`. One that cannot be read is a
/// problem only where something is asked of it.
pub(super) fn tables(dir: &Path, root: &Root, recordings: &[Recording]) -> Result<LabelTables> {
    let mut tables = LabelTables::default();
    let homes = homes(dir);
    let inside = |path: &Path| -> Result<()> {
        if path.starts_with(dir) && !root.holds(path) {
            let problem = "leaves the cohort's folder by a link".to_owned();
            return Err(Error::Folder { path: path.to_path_buf(), problem });
        }
        Ok(())
    };
    let first = |name: &str| homes.iter().map(|home| home.join(name)).find(|path| path.is_file());
    if let Some(path) = first("participants.tsv") {
        inside(&path)?;
        match LabelTable::read(&path) {
            Ok(table) => tables.all.push(table.unnamed()),
            Err(problem) => tables.problems.push(problem),
        }
    }
    let visits = recordings.iter().filter(|recording| recording.session().is_some());
    let subjects: BTreeSet<&str> = visits.map(Recording::subject).collect();
    let mut sessions = Sessions::default();
    for subject in subjects {
        let Some(path) = first(&format!("sub-{subject}/sub-{subject}_sessions.tsv")) else {
            continue;
        };
        inside(&path)?;
        tables.problems.extend(sessions.add(&path, subject).err());
    }
    tables.all.extend(sessions.into_table(homes.last().map_or(dir, PathBuf::as_path)));
    Ok(tables)
}

/// The dataset itself, and the one that its folder `derivatives` belongs to.
fn homes(dir: &Path) -> Vec<PathBuf> {
    let place = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    let derivatives = place.parent().filter(|it| it.ends_with("derivatives"));
    let above = derivatives.and_then(Path::parent).map(Path::to_path_buf);
    [dir.to_path_buf()].into_iter().chain(above).collect()
}
