//! Tables that lie beside a scan and are about the same recording.

use std::path::{Path, PathBuf};

use crate::{
    entity::{BidsName, Entities, Entity},
    folder::Folder,
};

/// The confounds table.
pub(super) fn confounds(folder: &Folder, scan: &Entities) -> Option<String> {
    let table = folder.beside(scan, &["timeseries", "regressors"], &[".tsv"], Some("confounds"));
    // XCP-D names the table of framewise displacement otherwise
    table.or_else(|| folder.beside(scan, &["motion"], &[".tsv"], None))
}

/// The table in which XCP-D says which share of each parcel of a series had data: `stat-coverage_bold.tsv`,
/// of the same atlas, space and mesh.
pub(super) fn coverage(folder: &Folder, scan: &BidsName) -> Option<String> {
    if scan.suffix != "timeseries" {
        return None;
    }
    let mut wanted = scan.entities.without(Entity::Statistic);
    wanted.add(Entity::Statistic, "coverage");
    let is_it = |name: &BidsName| {
        name.suffix == "bold" && name.extension == ".tsv" && name.entities == wanted
    };
    folder.parsed().find(|(_, name)| is_it(name)).map(|(name, _)| name.to_owned())
}

/// The confounds table that fMRIPrep and its kin write beside a scan; none where the scan has no BIDS name.
pub fn confounds_beside(scan: &Path) -> Option<PathBuf> {
    beside(scan, |folder, name| confounds(folder, &name.entities))
}

/// The table of coverage that XCP-D writes beside a series of parcels; none where the series has no BIDS name.
pub fn coverage_beside(scan: &Path) -> Option<PathBuf> {
    beside(scan, coverage)
}

fn beside(scan: &Path, which: impl Fn(&Folder, &BidsName) -> Option<String>) -> Option<PathBuf> {
    let name = BidsName::parse(scan.file_name()?.to_str()?)?;
    let above = scan.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = Folder::list(above).ok()?;
    Some(above.join(which(&folder, &name)?))
}
