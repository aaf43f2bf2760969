//! SHA-256 of files and bytes, in hexadecimal, so that a result can name its inputs.

use std::{fs::File, io, io::Read as _, path::Path};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest, Sha256};

/// Digest of a file's bytes, read as a stream.
pub fn sha256_file(path: impl AsRef<Path>) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex(&digest.finalize())),
            n => digest.update(&piece[..n]),
        }
    }
}

/// Digest of bytes.
///
/// ```
/// let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// assert_eq!(files::sha256_bytes(b""), empty);
/// ```
pub fn sha256_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// HMAC-SHA256 (RFC 2104) of bytes under a key: a digest that nobody else can make. Of RFC 4231:
///
/// ```
/// let second = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
/// assert_eq!(files::hmac_sha256(b"Jefe", b"what do ya want for nothing?"), second);
/// ```
pub fn hmac_sha256(key: &[u8], bytes: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(bytes);
    hex(&mac.finalize().into_bytes())
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
        assert!(sha256_file(dir.path().join("nowhere")).is_err());
    }
}
