//! Left and right: what a file says of its hemisphere, and where the other one lies.
//!
//! ```text
//! sub-01_task-rest_hemi-L_space-fsaverage5_bold.func.gii     BIDS
//! lh.aparc.annot, sub-01.fsa5.lh.mgz                         FreeSurfer
//! 100307.L.aparc.32k_fs_LR.label.gii                         Human Connectome Project
//! ```

use std::path::{Path, PathBuf};

/// A hemisphere of the cortex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hemisphere {
    Left,
    Right,
}

/// How names say it, the surest first: the word of the left one, that of the right one, and what may
/// stand before and after it.
const MARKS: [(&str, &str, &str, &str); 3] =
    [("hemi-L", "hemi-R", "_", "_."), ("lh", "rh", "._-", "._"), ("L", "R", ".", ".")];

impl Hemisphere {
    /// As CIFTI calls it.
    pub(super) fn structure(self) -> &'static str {
        match self {
            Self::Left => "CIFTI_STRUCTURE_CORTEX_LEFT",
            Self::Right => "CIFTI_STRUCTURE_CORTEX_RIGHT",
        }
    }

    /// In words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Left => "left hemisphere",
            Self::Right => "right hemisphere",
        }
    }

    /// What `FreeSurfer` puts before names of the left one and of the right one.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Left => "lh_",
            Self::Right => "rh_",
        }
    }

    /// Which one the name of a file says.
    pub(super) fn of_name(path: &Path) -> Option<Self> {
        marked(path).map(|(side, _)| side)
    }

    /// Which one `AnatomicalStructurePrimary` of GIFTI says.
    ///
    /// # Errors
    /// Where it says another structure.
    pub(super) fn of_structure(name: &str) -> Result<Self, String> {
        match name {
            "CortexLeft" => Ok(Self::Left),
            "CortexRight" => Ok(Self::Right),
            other => {
                let found = crate::error::brief(other);
                Err(format!("its structure is {found:?}, expected CortexLeft or CortexRight"))
            }
        }
    }
}

/// Which hemisphere the name of a file says, and the same name of the other one.
fn marked(path: &Path) -> Option<(Hemisphere, String)> {
    let name = path.file_name()?.to_str()?;
    let found = |word: &str, before: &str, after: &str| {
        let fits = |at: usize| {
            let start = name[..at].chars().next_back();
            let end = name[at + word.len()..].chars().next();
            start.is_none_or(|c| before.contains(c)) && end.is_some_and(|c| after.contains(c))
        };
        name.match_indices(word).map(|(at, _)| at).find(|&at| fits(at))
    };
    for (left, right, before, after) in MARKS {
        for (word, other, side) in
            [(left, right, Hemisphere::Left), (right, left, Hemisphere::Right)]
        {
            if let Some(at) = found(word, before, after) {
                let twin = format!("{}{other}{}", &name[..at], &name[at + word.len()..]);
                return Some((side, twin));
            }
        }
    }
    None
}

/// The files of both hemispheres, the left one first, where the name of one says which it is and the
/// other lies beside it.
pub(crate) fn both(path: &Path) -> Option<[PathBuf; 2]> {
    let (side, twin) = marked(path)?;
    let twin = path.with_file_name(twin);
    let pair = match side {
        Hemisphere::Left => [path.to_path_buf(), twin],
        Hemisphere::Right => [twin, path.to_path_buf()],
    };
    pair.iter().all(|half| half.is_file()).then_some(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_their_hemisphere_and_the_name_of_the_other() {
        for (left, right) in [
            (
                "sub-01_hemi-L_space-fsaverage5_bold.func.gii",
                "sub-01_hemi-R_space-fsaverage5_bold.func.gii",
            ),
            ("x_hemi-L.gii", "x_hemi-R.gii"),
            ("lh.aparc.annot", "rh.aparc.annot"),
            ("sub-01.fsa5.lh.mgz", "sub-01.fsa5.rh.mgz"),
            ("atlas-dk-lh.label.gii.gz", "atlas-dk-rh.label.gii.gz"),
            ("1.L.aparc.32k_fs_LR.label.gii", "1.R.aparc.32k_fs_LR.label.gii"),
        ] {
            let side = |name: &str| marked(Path::new(name));
            assert_eq!(side(left), Some((Hemisphere::Left, right.to_owned())));
            assert_eq!(side(right), Some((Hemisphere::Right, left.to_owned())));
        }
        for name in ["sub-L_bold.nii", "lhs.gii", "a_L_b.gii", "sub-01_bold.func.gii"] {
            assert_eq!(marked(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn a_pair_is_one_where_both_lie_there() {
        let folder = tempfile::tempdir().unwrap();
        let [left, right] = ["lh.x.annot", "rh.x.annot"].map(|name| folder.path().join(name));
        std::fs::write(&right, "").unwrap();
        assert_eq!(both(&right), None);
        std::fs::write(&left, "").unwrap();
        assert_eq!(both(&right), Some([left.clone(), right.clone()]));
        assert_eq!(both(&left), Some([left, right]));
    }
}
