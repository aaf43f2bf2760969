//! The folder that no path of a cohort leaves, neither by `..` nor by a link.

use std::path::{Component, Path, PathBuf};

use crate::{
    error::{Error, Result},
    reason::{Part, Reason, Way},
};

/// A folder with its true place.
#[derive(Clone, Debug)]
pub(crate) struct Root(PathBuf);

impl Root {
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let attach = |source| Error::Read { path: folder.to_path_buf(), source };
        let place = folder.canonicalize().map_err(attach)?;
        if !place.is_dir() {
            let (path, problem) = (folder.to_path_buf(), "is not a folder".to_owned());
            return Err(Error::Folder { path, problem });
        }
        Ok(Self(place))
    }

    /// Whether what is really there lies inside.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        path.canonicalize().is_ok_and(|place| place.starts_with(&self.0))
    }

    /// The file that `path`, seen from `folder`, names; or why it is not taken. What lies outside
    /// is not opened.
    pub(crate) fn file(&self, folder: &Path, path: &Path, part: Part) -> Result<PathBuf, Reason> {
        let outside = |way| Reason::Outside { part, way };
        if path.is_relative() && climbs(path) && !self.holds_folded(folder, path) {
            return Err(outside(Way::Parents));
        }
        let joined = folder.join(path);
        let Ok(place) = joined.canonicalize() else {
            return Err(Reason::Missing { part });
        };
        if !place.starts_with(&self.0) {
            let way = if path.is_absolute() && !joined.starts_with(&self.0) {
                Way::Elsewhere
            } else {
                Way::Link
            };
            return Err(outside(way));
        }
        // devices and pipes have no end
        if place.is_file() { Ok(joined) } else { Err(Reason::NoFile { part }) }
    }

    /// Whether `path` stays inside when `..` is taken by its letters.
    fn holds_folded(&self, folder: &Path, path: &Path) -> bool {
        let Ok(mut folded) = folder.canonicalize() else { return false };
        for part in path.components() {
            match part {
                Component::ParentDir => {
                    folded.pop();
                    if !folded.starts_with(&self.0) {
                        return false;
                    }
                }
                other => folded.push(other),
            }
        }
        true
    }
}

fn climbs(path: &Path) -> bool {
    path.components().any(|part| part == Component::ParentDir)
}

#[cfg(all(test, unix))]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn nothing_outside_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("cohort/sub-01")).unwrap();
        fs::create_dir_all(at("cohort/.git/annex")).unwrap();
        for file in ["secret.nii", "cohort/.git/annex/1.nii", "cohort/sub-01/own.nii"] {
            fs::write(at(file), "x").unwrap();
        }
        symlink(at("secret.nii"), at("cohort/sub-01/out.nii")).unwrap();
        symlink("../.git/annex/1.nii", at("cohort/sub-01/annexed.nii")).unwrap();
        symlink("loop.nii", at("cohort/sub-01/loop.nii")).unwrap();
        symlink(dir.path(), at("cohort/sub-01/up")).unwrap();
        let root = Root::new(&at("cohort")).unwrap();
        let file = |path: &str| root.file(&at("cohort/sub-01"), Path::new(path), Part::Scan);
        let out = |way| Err(Reason::Outside { part: Part::Scan, way });
        for inside in ["own.nii", "annexed.nii", "../sub-01/own.nii", "./own.nii"] {
            assert!(file(inside).is_ok(), "{inside}");
        }
        assert!(file(at("cohort/sub-01/own.nii").to_str().unwrap()).is_ok());
        assert_eq!(file("out.nii"), out(Way::Link));
        assert_eq!(file("up/secret.nii"), out(Way::Link));
        assert_eq!(file("../../secret.nii"), out(Way::Parents));
        assert_eq!(file("../../cohort/sub-01/own.nii"), out(Way::Parents));
        assert_eq!(file("/etc/passwd"), out(Way::Elsewhere));
        assert_eq!(file("loop.nii"), Err(Reason::Missing { part: Part::Scan }));
        assert_eq!(file("gone.nii"), Err(Reason::Missing { part: Part::Scan }));
        assert_eq!(file("."), Err(Reason::NoFile { part: Part::Scan }));
        assert!(root.holds(&at("cohort/sub-01")) && !root.holds(&at("cohort/sub-01/up")));
        assert!(Root::new(&at("secret.nii")).is_err() && Root::new(&at("gone")).is_err());
    }
}
