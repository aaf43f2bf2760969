//! Every file below a folder, by name alone.

use std::path::Path;

use crate::error::{Error, Result};

/// Folders below the first that are looked into.
const MAX_DEPTH: usize = 16;

/// The most files of one tree.
const MAX_FILES: usize = 2_000_000;

/// Folders of BIDS and its kin that hold no series.
const PASSED_BY: [&str; 9] =
    ["anat", "dwi", "fmap", "perf", "figures", "log", "logs", "sourcedata", "node_modules"];

/// The files of a tree.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Paths from the first folder on, sorted, with `/` between names.
    pub(super) files: Vec<String>,
    /// Links to folders: none is followed.
    pub(super) n_links: usize,
    /// Folders beyond [`MAX_DEPTH`], or that cannot be listed.
    pub(super) n_unlisted: usize,
}

pub(super) fn walk(dir: &Path) -> Result<Tree> {
    std::fs::read_dir(dir).map_err(|source| Error::Read { path: dir.to_path_buf(), source })?;
    let mut tree = Tree::default();
    let mut open = vec![(String::new(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let Ok(entries) = std::fs::read_dir(dir.join(&folder)) else {
            tree.n_unlisted += 1;
            continue;
        };
        for entry in entries.flatten() {
            let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else {
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if kind.is_dir() {
                if PASSED_BY.contains(&name.as_str()) {
                    continue;
                }
                if depth < MAX_DEPTH { open.push((path, depth + 1)) } else { tree.n_unlisted += 1 }
            } else if kind.is_symlink() && entry.path().is_dir() {
                tree.n_links += 1;
            } else {
                // a link to a file is judged when the file is looked at
                tree.files.push(path);
                if tree.files.len() > MAX_FILES {
                    let problem =
                        format!("holds more than {MAX_FILES} files, name a folder below it");
                    return Err(Error::Folder { path: dir.to_path_buf(), problem });
                }
            }
        }
    }
    tree.files.sort_unstable();
    Ok(tree)
}
