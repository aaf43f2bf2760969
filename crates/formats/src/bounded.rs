//! Files that are read as a whole, up to a limit: a length that the system tells may be wrong, and a
//! pipe or a device has none.

use std::{
    fs::File,
    io::{Error, ErrorKind, Read as _, Result},
    path::Path,
};

/// The most bytes of settings: a config, a manifest, a sidecar, a component.
pub const MAX_SETTINGS: u64 = 16 << 20;

/// The most bytes of a table or a list of texts.
pub const MAX_TABLE: u64 = 1 << 30;

/// The bytes of a file, of which there are no more than `limit`.
///
/// # Errors
/// Of kind [`ErrorKind::FileTooLarge`], which says both numbers where the length is known.
pub fn read_up_to(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let refuse = |found: String| {
        Error::new(ErrorKind::FileTooLarge, format!("it has {found} bytes, the limit is {limit}"))
    };
    if length > limit {
        return Err(refuse(length.to_string()));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(refuse(format!("more than {limit}"))) } else { Ok(bytes) }
}

/// The same as text.
pub fn read_text_up_to(path: &Path, limit: u64) -> Result<String> {
    let bytes = read_up_to(path, limit)?;
    String::from_utf8(bytes)
        .map_err(|error| Error::new(ErrorKind::InvalidData, format!("it is not UTF-8: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beyond_the_limit_is_refused_with_both_numbers() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "12345").unwrap();
        assert_eq!(read_text_up_to(file.path(), 5).unwrap(), "12345");
        let error = read_up_to(file.path(), 4).unwrap_err();
        assert_eq!(error.to_string(), "it has 5 bytes, the limit is 4");
        assert!(error.raw_os_error().is_none(), "its contents are to blame");
        std::fs::write(file.path(), b"\xff").unwrap();
        assert!(read_text_up_to(file.path(), 5).unwrap_err().to_string().contains("not UTF-8"));
    }

    #[cfg(unix)]
    #[test]
    fn a_device_without_an_end_is_refused() {
        let error = read_up_to(Path::new("/dev/zero"), 1000).unwrap_err().to_string();
        assert_eq!(error, "it has more than 1000 bytes, the limit is 1000");
    }
}
