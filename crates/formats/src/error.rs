//! What can go wrong between a foreign file and its arrays, as sentences about the user's file.

use std::{io, path::PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Longer than any sentence of ours without a name from a file.
const MAX_SENTENCE: usize = 400;

/// Text from a file as a part of a sentence: on one line, without codes that steer a terminal, and
/// not longer than a reader likes.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::new();
    for char in text.chars() {
        if plain.len() > MAX_SENTENCE {
            plain.push('…');
            break;
        }
        if char.is_control() {
            plain.extend(char.escape_default());
        } else {
            plain.push(char);
        }
    }
    plain
}

/// Every failure of this crate; a sentence names the file, what was found and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the sentence beside each variant says what its fields hold")]
pub enum Error {
    #[error("{}: cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "{}: is {found}, expected a PyTorch (.pt, .pth, .bin, .ckpt), safetensors, GGUF or npy file",
        path.display()
    )]
    UnknownContent { path: PathBuf, found: String },
    #[error("{}: is {found}", path.display())]
    Pointer { path: PathBuf, found: &'static str },
    #[error("{}: {problem}", path.display())]
    Damaged { path: PathBuf, problem: String },
    #[error("{}: holds {found}, which is not read; {cure}", path.display())]
    Unsupported { path: PathBuf, found: String, cure: String },
    #[error(
        "{}: the file wants to call `{name}`, which no weight file needs; refused", path.display()
    )]
    Call { path: PathBuf, name: String },
    #[error("{}: holds no tensors, expected at least one; found {found}", path.display())]
    NoTensors { path: PathBuf, found: String },
    #[error("{}: has no tensors under `{key}`; found {found}", path.display())]
    NoSuchPart { path: PathBuf, key: String, found: String },
    #[error("{}: holds {found} arrays, expected exactly one", path.display())]
    NotOneArray { path: PathBuf, found: usize },
    #[error("{}: `{name}` takes {n_bytes} bytes, which do not fit into memory", path.display())]
    Memory { path: PathBuf, name: String, n_bytes: u64 },
    #[error("an array {shape:?} of {dtype} takes {expected:?} bytes, found {found}")]
    Length { dtype: String, shape: Vec<usize>, expected: Option<u64>, found: u64 },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_a_file_cannot_steer_the_terminal_or_flood_it() {
        assert_eq!(plain("a\u{1b}[2J\nb é"), "a\\u{1b}[2J\\nb é");
        assert_eq!(plain(&"x".repeat(9999)).chars().count(), MAX_SENTENCE + 2);
    }
}
