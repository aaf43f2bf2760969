//! Weight files as slices of memory, without a copy.

#![allow(unsafe_code, reason = "a mapped file, and bytes seen as numbers")]

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;

use memmap2::Mmap;

/// A file mapped into memory, to be read only.
///
/// Pages are read when they are first touched and shared with other processes. **The file must not
/// be changed while it is mapped.** Writers replace it by renaming a new file over it, which leaves
/// the old one whole for those who have it open; a file that is cut short in place ends the process
/// with SIGBUS when a missing page is read.
#[derive(Debug)]
pub struct Mapped(Mmap);

impl Mapped {
    /// Maps the file at a path.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::of(&File::open(path)?)
    }

    /// Maps an open file.
    pub fn of(file: &File) -> io::Result<Self> {
        // SAFETY: the map is read-only and private, and only ever handed out as `&[u8]`. That these
        // bytes stay as they are rests on the rule above, which all writers of this workspace keep;
        // no type whose validity depends on its bytes is made from them (see `as_f32`, `as_u16`), so
        // a file that does change gives wrong numbers, not invalid values.
        let map = unsafe { memmap2::MmapOptions::new().map_copy_read_only(file)? };
        Ok(Self(map))
    }

    /// Asks the system to read a range of bytes ahead; where it cannot be asked, nothing happens.
    pub fn will_need(&self, bytes: Range<usize>) -> io::Result<()> {
        assert!(bytes.start <= bytes.end && bytes.end <= self.len(), "{bytes:?} lies outside");
        #[cfg(unix)]
        self.0.advise_range(memmap2::Advice::WillNeed, bytes.start, bytes.len())?;
        Ok(())
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Little-endian bytes as `f32`, or nothing where they are not aligned, not whole numbers, or the
/// machine is big-endian.
pub fn as_f32(bytes: &[u8]) -> Option<&[f32]> {
    // SAFETY: every pattern of 32 bits is an f32
    whole(unsafe { bytes.align_to() })
}

/// Little-endian bytes as `u16`, of which half precisions are made; nothing where [`as_f32`] gives
/// nothing.
pub fn as_u16(bytes: &[u8]) -> Option<&[u16]> {
    // SAFETY: every pattern of 16 bits is a u16
    whole(unsafe { bytes.align_to() })
}

fn whole<'a, T>((before, numbers, after): (&[u8], &'a [T], &[u8])) -> Option<&'a [T]> {
    let whole = before.is_empty() && after.is_empty() && cfg!(target_endian = "little");
    whole.then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(bytes: &[u8]) -> Mapped {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), bytes).expect("a temporary file can be written");
        Mapped::open(file.path()).expect("a file can be mapped")
    }

    #[test]
    fn a_mapped_file_reads_as_its_numbers() {
        let numbers = [1.5f32, -2.25, 1e-30];
        let map = mapped(&numbers.map(f32::to_le_bytes).concat());
        map.will_need(0..map.len()).expect("advice is taken");
        assert_eq!(as_f32(&map), Some(&numbers[..]));
        assert_eq!(as_u16(&map[2..4]), Some(&[0x3fc0][..]));
    }

    #[test]
    fn bytes_that_are_not_aligned_or_not_whole_are_no_numbers() {
        let map = mapped(&[0; 16]);
        assert!(as_f32(&map[1..13]).is_none() && as_f32(&map[2..14]).is_none());
        assert!(as_f32(&map[..6]).is_none());
        assert!(as_u16(&map[1..3]).is_none() && as_u16(&map[..3]).is_none());
    }

    #[test]
    fn an_empty_file_maps_to_nothing_and_a_missing_one_is_an_error() {
        assert!(mapped(&[]).is_empty());
        let error = Mapped::open(Path::new("/nowhere/at/all")).expect_err("there is no such file");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_replaced_file_leaves_the_mapped_one_whole() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [path, new] = ["weights", "weights.new"].map(|name| folder.path().join(name));
        std::fs::write(&path, [1; 8192]).expect("written");
        let map = Mapped::open(&path).expect("mapped");
        std::fs::write(&new, [2; 10]).expect("written");
        std::fs::rename(&new, &path).expect("renamed");
        assert!(map.iter().all(|&byte| byte == 1) && map.len() == 8192);
    }
}
