//! From a file to a table, by its content.

use std::path::Path;

use crate::{
    error::{Error, Result},
    parquet,
    table::Table,
    text::{self, Missing},
};

/// The most bytes a table may have.
const MAX_BYTES: u64 = 2 << 30;

/// Reads CSV (comma or semicolon), TSV or Parquet. The content of the file decides, not its name.
///
/// In text, an empty cell and `n/a`, `NA`, `NaN`, `null` or `None` are missing; a column in which
/// every other cell is a whole number, a number, or true or false becomes one of these. A number
/// that begins with a needless 0, as in `007`, is a label and stays text.
pub fn read(path: impl AsRef<Path>) -> Result<Table> {
    read_with(path, &Missing::default())
}

/// Reads a table as [`read`] does, with other words for missing values; Parquet has its own.
pub fn read_with(path: impl AsRef<Path>, missing: &Missing) -> Result<Table> {
    let path = path.as_ref();
    let attach = |source| Error::Read { path: path.to_path_buf(), source };
    let bytes = formats::read_up_to(path, MAX_BYTES).map_err(attach)?;
    let not = |found| Err(Error::NotATable { path: path.to_path_buf(), found });
    match bytes.as_slice() {
        [] => not("an empty file"),
        [b'P', b'A', b'R', b'1', ..] => parquet::read_parquet(path, bytes),
        [b'P', b'A', b'R', b'E', ..] => not("an encrypted Parquet file"),
        [0x1f, 0x8b, ..] => not("a gzip file"),
        [b'P', b'K', 3, 4, ..] => not("a zip archive, perhaps a workbook"),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => not("a workbook"),
        [0x89, b'H', b'D', b'F', ..] => not("an HDF5 file"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => not("text in UTF-16; save it as UTF-8"),
        _ if bytes.starts_with(b"version https://git-lfs") => {
            not("a Git LFS pointer, not the file itself (run `git lfs pull`)")
        }
        _ if bytes.starts_with(b"/annex/objects/") => {
            not("a git-annex pointer, not the file itself (run `git annex get`)")
        }
        _ if bytes.contains(&0) => not("a binary file"),
        _ => text::read(path, &bytes, missing),
    }
}
