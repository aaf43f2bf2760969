//! What a file that we do not read looks like, so that the error says what happened to it.

/// First bytes that are looked at; a tar archive is known by its 258th.
pub(crate) const N_BYTES: usize = 262;

/// Beginnings of files that turn up in place of weights.
const KNOWN: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed data"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras and TensorFlow write weights so)"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"ARROW1", "an Arrow file"),
    (b"PAR1", "a Parquet file"),
    (b"<", "a web page or XML"),
    (b"{", "JSON"),
    (b"[", "JSON"),
    // the predecessors of GGUF, their magic numbers least significant byte first
    (b"lmgg", "a ggml file from before GGUF (convert it anew)"),
    (b"fmgg", "a ggml file from before GGUF (convert it anew)"),
    (b"tjgg", "a ggml file from before GGUF (convert it anew)"),
];

/// A few words about a file that begins like this.
pub(crate) fn describe(head: &[u8]) -> String {
    if head.is_empty() {
        return "empty".into();
    }
    if head.get(257..262) == Some(b"ustar") {
        return "a tar archive".into();
    }
    let text = head.trim_ascii_start();
    if let Some((_, what)) = KNOWN.iter().find(|(magic, _)| text.starts_with(magic)) {
        return (*what).into();
    }
    let head = &head[..head.len().min(16)];
    if head.iter().all(|byte| (b' '..=b'~').contains(byte) || byte.is_ascii_whitespace()) {
        return format!("text that begins {:?}", String::from_utf8_lossy(head));
    }
    let hex: Vec<String> = head.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("unknown: its first bytes are {}", hex.join(" "))
}

#[cfg(test)]
mod tests {
    use crate::testing::refusal;

    #[test]
    fn other_files_are_called_what_they_look_like() {
        let mut tar = vec![b'a'; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for (bytes, expected) in [
            (&b""[..], "is empty, expected a PyTorch"),
            (b"\x1f\x8b\x08", "is gzip-compressed data, expected"),
            (b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer"),
            (b"/annex/objects/MD5E-s3--x.bin\n", "is a git-annex pointer"),
            (b"\n<!DOCTYPE html>", "is a web page"),
            (b"{\"a\": 1}", "is JSON"),
            (b"name,age\n1,2\n", "is text that begins \"name,age\\n1,2\\n\", expected"),
            (b"\0\x01\xfe", "is unknown: its first bytes are 00 01 fe, expected"),
            (&tar, "is a tar archive"),
        ] {
            let problem = refusal(bytes);
            assert!(problem.starts_with(expected), "{problem}");
        }
    }

    #[test]
    fn a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let problem = crate::open(folder.path()).unwrap_err().to_string();
        assert!(problem.ends_with("cannot be read: it is not a file"), "{problem}");
    }
}
