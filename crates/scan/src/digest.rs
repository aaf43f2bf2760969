//! SHA-256 of files and bytes, in hexadecimal, so that a result can name its inputs.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Result},
    nii, surface,
};

/// Digest of a file's bytes, read as a stream.
pub fn sha256_file(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let attach = |source| Error::Read { path: path.to_path_buf(), source };
    let mut file = File::open(path).map_err(attach)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(attach)? {
            0 => return Ok(hex(&digest.finalize())),
            n => digest.update(&buffer[..n]),
        }
    }
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
    let path = path.as_ref();
    let Some([header, image]) = pair_of(path) else { return sha256_file(path) };
    Ok(sha256_bytes(format!("{} {}", sha256_file(header)?, sha256_file(image)?).as_bytes()))
}

/// Digest of bytes.
///
/// ```
/// let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// assert_eq!(scan::sha256_bytes(b""), empty);
/// ```
pub fn sha256_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|b| [b >> 4, b & 15]);
    digits.map(|d| char::from(DIGITS[usize::from(d)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // FIPS 180-2, appendix B.1
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn files_and_bytes_agree_with_the_standard() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(sha256_bytes(b"abc"), ABC);
        assert_eq!(sha256_file(&path).unwrap(), ABC);
    }

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
