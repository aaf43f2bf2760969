//! Tables of which only a pointer of version control is there; scans are known by their content.

use std::{fs::File, io::Read as _, path::Path};

use crate::{Error, Result};

/// Longer than the beginning of any pointer.
const N_BYTES: u64 = 64;

/// Refuses what Git LFS or git-annex leaves in place of a file that was not fetched. What else is
/// wrong with a file is reported by its reader.
pub(crate) fn refuse(path: &Path) -> Result<()> {
    let mut start = Vec::new();
    let found = match File::open(path) {
        Ok(file) => {
            let read = file.take(N_BYTES).read_to_end(&mut start);
            read.ok().and_then(|_| formats::pointer(&start))
        }
        Err(_) => formats::dangling(path),
    };
    found.map_or(Ok(()), |found| Err(Error::Pointer { path: path.to_path_buf(), found }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_says_that_it_was_not_fetched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.tsv");
        let link = folder.path().join("link.tsv");
        std::os::unix::fs::symlink(".git/annex/objects/gone", &link).unwrap();
        for (text, command) in [
            ("version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "git lfs pull"),
            ("/annex/objects/SHA256E-s1--ab.tsv\n", "git annex get"),
        ] {
            std::fs::write(&path, text).unwrap();
            for path in [&path, &link] {
                let command = if *path == link { "git annex get" } else { command };
                let refused = [
                    crate::read_pairs(path).err(),
                    crate::ConfoundTable::read(path).err(),
                    crate::ConfoundTable::footprint(path, 10).err(),
                    crate::tables::text::read(path, 1 << 20, None).err(),
                ];
                for error in refused {
                    let error = error.unwrap().to_string();
                    assert!(error.contains(".tsv: is a") && error.contains(command), "{error}");
                }
            }
        }
        std::fs::write(&path, "a\tb\n1\t2\n").unwrap();
        assert!(refuse(&path).is_ok() && refuse(folder.path()).is_ok());
    }
}
