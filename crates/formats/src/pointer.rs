//! What version control leaves in place of a large file whose content was not fetched.

use std::fs;
use std::path::Path;

use crate::{
    bounded::read_up_to,
    error::{Error, Result},
};

/// A file of Git LFS.
const LFS: &str = "a Git LFS pointer, not the file itself (run `git lfs pull`)";
/// A file or link of git-annex.
const ANNEX: &str = "a git-annex pointer, not the file itself (run `git annex get`)";

/// Longer than any pointer: git-annex reads no more of one.
const MAX_BYTES: usize = 32 << 10;

/// The most bytes of a file that is read as a whole; the largest published tokenizers have 35 MB.
const MAX_WHOLE: u64 = 512 << 20;

/// What a file with this beginning is, where it is a pointer of Git LFS or git-annex: words for an
/// error, with the command that fetches the content.
pub fn pointer(head: &[u8]) -> Option<&'static str> {
    // `hawser` was the name of Git LFS before its first release
    let lfs: [&[u8]; 2] = [b"version https://git-lfs", b"version https://hawser"];
    if lfs.iter().any(|start| head.starts_with(start)) {
        return Some(LFS);
    }
    // an unlocked file begins with the path, a link on a file system without links is its target
    let mut path = &head[..head.len().min(MAX_BYTES)];
    while let Some(rest) = path.strip_prefix(b"../") {
        path = rest;
    }
    let annex: [&[u8]; 2] = [b"/annex/objects/", b".git/annex/objects/"];
    annex.iter().any(|start| path.starts_with(start)).then_some(ANNEX)
}

/// The same for a path that cannot be opened: a link of git-annex to content that is not there.
pub fn dangling(path: &Path) -> Option<&'static str> {
    let target = fs::read_link(path).ok()?;
    let is_annex = target.to_string_lossy().contains("annex/objects/");
    (is_annex && !path.exists()).then_some(ANNEX)
}

/// The bytes of a file that is not a pointer.
///
/// # Errors
/// [`Error::Read`] where the system refuses, [`Error::Pointer`] where the content was not fetched.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = read_up_to(path, MAX_WHOLE).map_err(|source| unreadable(path, source))?;
    match pointer(&bytes) {
        Some(found) => Err(Error::Pointer { path: path.to_owned(), found }),
        None => Ok(bytes),
    }
}

/// The text of a file that is not a pointer, without a byte order mark.
///
/// # Errors
/// As [`read`], or [`Error::Damaged`] where it is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    let text = String::from_utf8(read(path)?).map_err(|error| Error::Damaged {
        path: path.to_owned(),
        problem: format!("is not text in UTF-8 (byte {})", error.utf8_error().valid_up_to()),
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The error of a file that the system does not open.
pub(crate) fn unreadable(path: &Path, source: std::io::Error) -> Error {
    let path = path.to_owned();
    match dangling(&path) {
        Some(found) => Error::Pointer { path, found },
        None => Error::Read { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_recognised_by_their_content_alone() {
        let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 17\n";
        assert_eq!(pointer(lfs), Some(LFS));
        for annex in [
            &b"/annex/objects/SHA256E-s5000--0f.nii.gz\n"[..],
            b".git/annex/objects/x/y/SHA256E-s5000--0f/SHA256E-s5000--0f",
            b"../../.git/annex/objects/x/y/SHA256E-s5000--0f/SHA256E-s5000--0f",
        ] {
            assert_eq!(pointer(annex), Some(ANNEX));
        }
        for other in [&b""[..], b"version 2", b"{}", b"../annex", b"annex/objects/"] {
            assert_eq!(pointer(other), None);
        }
    }

    #[test]
    fn a_pointer_is_refused_wherever_a_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        for (text, command) in [
            ("version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            ("/annex/objects/x\n", "git annex get"),
        ] {
            fs::write(&path, text).unwrap();
            for error in [read(&path).err(), read_text(&path).err(), crate::open(&path).err()] {
                let error = error.unwrap().to_string();
                assert!(
                    error.contains("tokenizer.json: is a") && error.contains(command),
                    "{error}"
                );
            }
        }
        fs::write(&path, "\u{feff}{}").unwrap();
        assert_eq!(read_text(&path).unwrap(), "{}");
        fs::write(&path, b"{\xff").unwrap();
        assert!(read_text(&path).unwrap_err().to_string().contains("not text in UTF-8 (byte 1)"));
    }

    #[test]
    fn a_link_to_content_that_was_not_fetched_is_a_pointer_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        std::os::unix::fs::symlink(".git/annex/objects/gone", &path).unwrap();
        for error in [read(&path).unwrap_err(), crate::open(&path).unwrap_err()] {
            assert!(error.to_string().contains("git annex get"), "{error}");
        }
        std::os::unix::fs::symlink("gone", folder.path().join("other")).unwrap();
        let other = read(&folder.path().join("other")).unwrap_err().to_string();
        assert!(other.contains("cannot be read"), "{other}");
    }
}
