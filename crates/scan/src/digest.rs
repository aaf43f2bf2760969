//! Which files a scan is read from, and the digest of their content.

use std::path::{Path, PathBuf};

use crate::{
    error::{Error, Result},
    nii, surface,
};

/// Digest of a file's bytes, as [`files::sha256_file`].
pub fn sha256_file(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    files::sha256_file(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })
}

/// The files that a scan or an atlas is read from: its file, header and image of a pair, or the files of
/// both hemispheres.
pub fn files_of_scan(path: impl AsRef<Path>) -> Vec<PathBuf> {
    let path = path.as_ref();
    pair_of(path).map_or_else(|| vec![path.to_path_buf()], Vec::from)
}

fn pair_of(path: &Path) -> Option<[PathBuf; 2]> {
    nii::pair_of(path).or_else(|| surface::pair_of(path))
}

/// Digest of all that a scan or an atlas is read from: its file, header and image of a pair, or the files
/// of both hemispheres.
pub fn sha256_scan(path: impl AsRef<Path>) -> Result<String> {
    sha256_scan_by(path, |file| files::sha256_file(file))
}

/// The same, from the digests of files that `sha256` gives.
pub fn sha256_scan_by(
    path: impl AsRef<Path>,
    sha256: impl Fn(&Path) -> std::io::Result<String>,
) -> Result<String> {
    let path = path.as_ref();
    let sha256 = |path: &Path| {
        sha256(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })
    };
    let Some([header, image]) = pair_of(path) else { return sha256(path) };
    let both = format!("{} {}", sha256(&header)?, sha256(&image)?);
    Ok(files::sha256_bytes(both.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_named_by_both_halves_from_either() {
        let dir = tempfile::tempdir().unwrap();
        let [header, image] = ["run.hdr", "run.img"].map(|name| dir.path().join(name));
        std::fs::write(&header, "header").unwrap();
        assert_eq!(sha256_scan(&header).unwrap(), sha256_file(&header).unwrap());
        std::fs::write(&image, "voxels").unwrap();
        let before = sha256_scan(&header).unwrap();
        assert_eq!(before, sha256_scan(&image).unwrap());
        std::fs::write(&image, "others").unwrap();
        assert_ne!(before, sha256_scan(&header).unwrap());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = sha256_file("nowhere/bold.nii.gz").unwrap_err().to_string();
        assert!(error.starts_with("nowhere/bold.nii.gz: cannot be read"), "{error}");
    }
}
