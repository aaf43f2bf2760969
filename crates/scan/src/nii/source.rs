//! The bytes of a file, whether they are compressed or not.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Chain, Cursor, Read},
    path::{Path, PathBuf},
};

use flate2::bufread::GzDecoder;

use crate::error::{Error, Result};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Deflate packs at most 258 bytes into 2 bits; no stream can hold more than this times its length.
const MAX_DEFLATE_RATIO: u64 = 1032;

/// Bytes after the last voxel that a compressed stream may go on with.
const MAX_TRAILING_BYTES: u64 = 64 << 20;

/// A file being read from front to back.
pub(crate) struct Source {
    path: PathBuf,
    /// Size on disk.
    pub(crate) n_bytes: u64,
    /// Whether the content, not the name, says gzip.
    pub(crate) is_gzip: bool,
    reader: Box<dyn Read + Send>,
    position: u64,
    /// Whether a header that was read here announces extensions.
    pub(crate) extended: bool,
}

type Peeked = Chain<Cursor<Vec<u8>>, File>;

impl Source {
    /// Opens a file and looks at its first two bytes.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let attach = |source| Error::Read { path: path.to_path_buf(), source };
        // asked before it is opened, because a pipe would wait for whoever writes into it
        let metadata = std::fs::metadata(path).map_err(attach)?;
        if !metadata.is_file() {
            return Err(attach(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")));
        }
        let mut file = File::open(path).map_err(attach)?;
        let mut magic = Vec::new();
        file.by_ref().take(2).read_to_end(&mut magic).map_err(attach)?;
        let is_gzip = magic == GZIP_MAGIC;
        let peeked: BufReader<Peeked> =
            BufReader::with_capacity(1 << 17, Cursor::new(magic).chain(file));
        let reader: Box<dyn Read + Send> = if is_gzip {
            Box::new(Members(Some(GzDecoder::new(peeked))))
        } else {
            Box::new(peeked)
        };
        let (path, n_bytes) = (path.to_path_buf(), metadata.len());
        Ok(Self { path, n_bytes, is_gzip, reader, position: 0, extended: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses a promise of more content than the file can hold.
    pub(crate) fn check_holds(&self, expected: u128) -> Result<()> {
        let ratio = if self.is_gzip { MAX_DEFLATE_RATIO } else { 1 };
        if expected > u128::from(self.n_bytes) * u128::from(ratio) {
            return Err(Error::Truncated {
                path: self.path.clone(),
                found: self.n_bytes,
                expected,
            });
        }
        Ok(())
    }

    /// Fills the front of `buffer` and says how much of it, less than all at the end only.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(source) if source.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.attach(source)),
            }
        }
        self.position += filled as u64;
        Ok(filled)
    }

    /// Fills all of `buffer`; `promised` is the length the content must have.
    pub(crate) fn fill_all(&mut self, buffer: &mut [u8], promised: u128) -> Result<()> {
        if self.fill(buffer)? < buffer.len() {
            let (path, found) = (self.path.clone(), self.position);
            return Err(Error::Truncated { path, found, expected: promised });
        }
        Ok(())
    }

    /// The next `n` bytes; allocates as they come, not as they are promised.
    pub(crate) fn take(&mut self, n: usize, promised: u128) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while bytes.len() < n {
            let start = bytes.len();
            let goal = n.min((2 * start).max(1 << 20));
            bytes.reserve_exact(goal - start);
            bytes.resize(goal, 0);
            self.fill_all(&mut bytes[start..], promised)?;
        }
        Ok(bytes)
    }

    /// All of the content, to its end; none where it is more than `limit` bytes.
    pub(crate) fn up_to(&mut self, limit: usize) -> Result<Option<Vec<u8>>> {
        let known = if self.is_gzip { 0 } else { self.n_bytes };
        let mut bytes = Vec::with_capacity((known as usize).min(limit));
        let read = self.reader.by_ref().take(limit as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|source| self.attach(source))?;
        self.position += bytes.len() as u64;
        Ok((bytes.len() <= limit).then_some(bytes))
    }

    /// Moves forward to `offset` of the content.
    pub(crate) fn skip_to(&mut self, offset: u64, promised: u128) -> Result<()> {
        let mut buffer = [0; 4096];
        while self.position < offset {
            let n = (offset - self.position).min(4096) as usize;
            self.fill_all(&mut buffer[..n], promised)?;
        }
        Ok(())
    }

    /// Reads a compressed stream to its end, because its checksum stands there.
    pub(crate) fn finish(mut self) -> Result<()> {
        let mut buffer = [0; 1 << 14];
        let end = self.position;
        while self.is_gzip && self.fill(&mut buffer)? > 0 {
            if self.position - end > MAX_TRAILING_BYTES {
                let path = self.path.clone();
                return Err(Error::TooLong { path, promised: end, limit: MAX_TRAILING_BYTES });
            }
        }
        Ok(())
    }

    fn attach(&self, source: io::Error) -> Error {
        let path = self.path.clone();
        let damaged =
            [io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidInput, io::ErrorKind::InvalidData];
        if self.is_gzip && damaged.contains(&source.kind()) {
            Error::Gzip { path, source }
        } else {
            Error::Read { path, source }
        }
    }
}

/// The members of a gzip file, one after another. Zeros between and after them are padding, as
/// tapes and `gzip` itself have it; anything else there is damage.
struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let n = member.read(buffer)?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            let rest = self.0.take().map(GzDecoder::into_inner);
            self.0 = rest.map(past_zeros).transpose()?.flatten().map(GzDecoder::new);
        }
        Ok(0)
    }
}

/// What stands after zeros, if anything does.
fn past_zeros<R: BufRead>(mut rest: R) -> io::Result<Option<R>> {
    loop {
        let bytes = rest.fill_buf()?;
        let n_bytes = bytes.len();
        let n_zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        rest.consume(n_zeros);
        if n_bytes == 0 {
            return Ok(None);
        }
        if n_zeros < n_bytes {
            return Ok(Some(rest));
        }
    }
}
