//! Bytes of a file by position, never more of them than the file has.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result, plain},
    pointer::unreadable,
};

/// An open file; reads carry their position, so threads may share it.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) len: u64,
}

impl Source {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let attach = |source| Error::Read { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(|source| unreadable(path, source))?;
        let metadata = file.metadata().map_err(attach)?;
        if !metadata.is_file() {
            return Err(attach(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")));
        }
        Ok(Self { path: path.to_path_buf(), file, len: metadata.len() })
    }

    /// Fills `out` from position `at`.
    pub(crate) fn read_at(&self, at: u64, out: &mut [u8]) -> Result<()> {
        let attach = |source| Error::Read { path: self.path.clone(), source };
        self.file.read_exact_at(out, at).map_err(attach)
    }

    /// The first bytes, fewer where the file is shorter.
    pub(crate) fn head(&self, n: usize) -> Result<Vec<u8>> {
        let mut head = vec![0; n.min(usize::try_from(self.len).unwrap_or(n))];
        self.read_at(0, &mut head)?;
        Ok(head)
    }

    pub(crate) fn damaged(&self, problem: impl Into<String>) -> Error {
        Error::Damaged { path: self.path.clone(), problem: plain(&problem.into()) }
    }

    pub(crate) fn unsupported(&self, found: impl Into<String>, cure: impl Into<String>) -> Error {
        let (found, cure) = (plain(&found.into()), cure.into());
        Error::Unsupported { path: self.path.clone(), found, cure }
    }
}

const BUFFER: u64 = 1 << 14;

/// Reads a part of a file from front to back; a length from the file is believed only where that
/// many bytes are left.
pub(crate) struct Cursor<'a> {
    pub(crate) source: &'a Source,
    /// What the part is called in an error, such as "the record `archive/data.pkl`".
    what: String,
    /// Position in the file of the byte after the buffer's last.
    buffered_to: u64,
    end: u64,
    buffer: Vec<u8>,
    used: usize,
}

impl<'a> Cursor<'a> {
    /// Over `start..end`, which must lie in the file.
    pub(crate) fn new(source: &'a Source, what: &str, start: u64, end: u64) -> Self {
        let (what, buffer) = (what.to_owned(), Vec::new());
        Self { source, what, buffered_to: start, end, buffer, used: 0 }
    }

    /// Position in the file of the next byte.
    pub(crate) fn position(&self) -> u64 {
        self.buffered_to - self.buffered().len() as u64
    }

    /// Bytes up to the end.
    pub(crate) fn left(&self) -> u64 {
        self.end - self.position()
    }

    fn buffered(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    /// Refuses a promise of more bytes than are left.
    pub(crate) fn check_left(&self, n: u64) -> Result<()> {
        if n <= self.left() {
            return Ok(());
        }
        let (what, at, left) = (&self.what, self.position(), self.left());
        Err(self.source.damaged(format!(
            "{what} is truncated or damaged: {n} bytes are promised at byte {at}, {left} are left"
        )))
    }

    pub(crate) fn fill(&mut self, out: &mut [u8]) -> Result<()> {
        self.check_left(out.len() as u64)?;
        let have = out.len().min(self.buffered().len());
        let (front, rest) = out.split_at_mut(have);
        front.copy_from_slice(&self.buffered()[..have]);
        self.used += have;
        if rest.is_empty() {
            return Ok(());
        }
        if rest.len() as u64 >= BUFFER {
            self.source.read_at(self.buffered_to, rest)?;
            self.buffered_to += rest.len() as u64;
            return Ok(());
        }
        self.buffer.resize(BUFFER.min(self.end - self.buffered_to) as usize, 0);
        self.source.read_at(self.buffered_to, &mut self.buffer)?;
        self.buffered_to += self.buffer.len() as u64;
        rest.copy_from_slice(&self.buffer[..rest.len()]);
        self.used = rest.len();
        Ok(())
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn bytes(&mut self, n: u64) -> Result<Vec<u8>> {
        self.check_left(n)?;
        let mut bytes = vec![0; n as usize];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// `n` bytes of UTF-8.
    pub(crate) fn text(&mut self, n: u64) -> Result<String> {
        let at = self.position();
        String::from_utf8(self.bytes(n)?).map_err(|_| {
            self.source.damaged(format!("{} has text at byte {at} that is no UTF-8", self.what))
        })
    }

    pub(crate) fn skip(&mut self, n: u64) -> Result<()> {
        self.check_left(n)?;
        let have = n.min(self.buffered().len() as u64);
        self.used += have as usize;
        self.buffered_to += n - have;
        if n > have {
            (self.used, self.buffer) = (0, Vec::new());
        }
        Ok(())
    }

    /// An error about the content of this part.
    pub(crate) fn damaged(&self, problem: impl std::fmt::Display) -> Error {
        self.source.damaged(format!("{} is damaged: {problem}", self.what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_reads_large_reads_and_skips_agree_with_the_file() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n * 7 % 251) as u8).collect();
        let file = crate::testing::file(&bytes);
        let source = Source::open(file.path()).unwrap();
        let mut cursor = Cursor::new(&source, "it", 3, 99_000);
        let mut at = 3;
        for (n, skipped) in [(1, 5), (40_000, 0), (16_384, 1), (10, 20_000), (7, 16_384), (0, 2)] {
            assert_eq!(cursor.bytes(n).unwrap(), bytes[at..at + n as usize]);
            at += n as usize;
            cursor.skip(skipped).unwrap();
            at += skipped as usize;
            assert_eq!((cursor.position(), cursor.left()), (at as u64, 99_000 - at as u64));
        }
        assert!(cursor.bytes(u64::MAX).unwrap_err().to_string().contains("is truncated"));
    }
}
