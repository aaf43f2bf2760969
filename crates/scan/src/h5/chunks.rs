//! Chunks of a dataset, judged before the library unpacks one.
//!
//! The library unpacks a chunk to its end, however far that is beyond what the dataset says of its
//! chunks.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

use flate2::bufread::ZlibDecoder;
use hdf5::{SliceOrIndex, dataset::ChunkInfo, filters::Filter};

use super::dataset::{ALWAYS_ALLOWED, Dataset, MAX_DEFLATE_RATIO};
use crate::error::Result;

/// The most bytes of one chunk: it is unpacked as a whole.
const MAX_CHUNK_BYTES: u64 = 1 << 30;

/// Chunks that could unpack to more than is always allowed; each is tried before it is read.
#[derive(Clone, Debug, Default)]
pub(super) struct Heavy {
    chunks: Vec<ChunkInfo>,
    /// Values along each axis of a chunk.
    sides: Vec<usize>,
    /// Bytes of the values of a chunk.
    n_bytes: u64,
}

impl Dataset<'_> {
    /// Refuses chunks that would not fit, and gives those that must be tried.
    pub(super) fn check_chunks(&self, filters: &[Filter]) -> Result<Heavy> {
        let failed = |error| self.file.failed(&self.name, "cannot be read", &error);
        let width = self.inner.dtype().map_err(failed)?.size() as u64;
        let sides = self.inner.chunk().unwrap_or_default();
        let chunk = sides.iter().try_fold(width, |n, &size| n.checked_mul(size as u64));
        let Some(chunk) = chunk.filter(|n| *n <= MAX_CHUNK_BYTES) else {
            let problem = format!("has chunks of {sides:?} values, expected at most 1 GiB a chunk");
            return Err(self.refuse(&problem));
        };
        if chunk > self.most_bytes() {
            let limit = self.most_bytes();
            let problem =
                format!("has chunks of {chunk} bytes, a file of this size can hold {limit}");
            return Err(self.refuse(&problem));
        }
        let packs = |filter: &Filter| matches!(filter, Filter::Deflate(_) | Filter::LZF);
        if filters.iter().filter(|filter| packs(filter)).count() > 1 {
            let problem = "is packed twice, which is not read; pack it anew with gzip \
                           (`h5repack -f GZIP=4`)";
            return Err(self.refuse(problem));
        }
        let (mut largest, mut chunks) = (0, Vec::new());
        let gzip = filters.iter().position(|filter| matches!(filter, Filter::Deflate(_)));
        self.inner
            .chunks_visit(|info| {
                largest = largest.max(info.size);
                let is_packed = gzip.is_some_and(|at| !info.disabled_filters().contains(&at));
                if is_packed && info.size > ALWAYS_ALLOWED / MAX_DEFLATE_RATIO {
                    chunks.push(info.into());
                }
                0
            })
            .map_err(failed)?;
        if largest > honest(chunk) {
            let problem =
                format!("has a chunk of {largest} packed bytes for {chunk} values' bytes");
            return Err(self.refuse(&problem));
        }
        let after = gzip.map_or(&[][..], |at| &filters[at + 1..]);
        if let (false, Some(filter)) =
            (chunks.is_empty(), after.iter().find(|it| !matches!(it, Filter::Fletcher32)))
        {
            let problem = format!(
                "is changed by {filter:?} after it was packed, and its chunks are too large for \
                 that; pack it anew with gzip (`h5repack -f SHUF -f GZIP=4`)"
            );
            return Err(self.refuse(&problem));
        }
        Ok(Heavy { chunks, sides, n_bytes: chunk })
    }

    /// Unpacks the heavy chunks of a part, and refuses one that holds more than a chunk; what comes
    /// out is counted and thrown away. Of everything, where no part is given.
    pub(super) fn try_chunks(&self, heavy: &Heavy, part: Option<&[SliceOrIndex]>) -> Result<()> {
        let meets = |chunk: &&ChunkInfo| part.is_none_or(|part| heavy.meets(chunk, part));
        let mut file = None;
        for chunk in heavy.chunks.iter().filter(meets) {
            let file = match &mut file {
                Some(file) => file,
                None => file.insert(self.file.plain()?),
            };
            // A stream that is damaged is the library's to name.
            let limit = honest(heavy.n_bytes);
            if unpacked(file, chunk, limit).is_ok_and(|n| n > limit) {
                let (found, expected) = (chunk.size, heavy.n_bytes);
                let problem = format!(
                    "has a chunk of {found} packed bytes that hold more than the {expected} \
                     bytes of a chunk"
                );
                return Err(self.refuse(&problem));
            }
        }
        Ok(())
    }
}

impl Heavy {
    fn meets(&self, chunk: &ChunkInfo, part: &[SliceOrIndex]) -> bool {
        let axes = part.iter().zip(&chunk.offset).zip(&self.sides);
        axes.into_iter().all(|((part, &first), &side)| match *part {
            SliceOrIndex::SliceTo { start, end, .. } => {
                (start as u64) < first + side as u64 && first < end as u64
            }
            SliceOrIndex::Index(at) => (first..first + side as u64).contains(&(at as u64)),
            _ => true,
        })
    }
}

/// The most bytes that so many become on their way through filters: packing what cannot be packed
/// adds a few in a thousand; more is a bomb.
fn honest(n_bytes: u64) -> u64 {
    n_bytes + n_bytes / 100 + 4096
}

/// The length of a packed stream, counted to just beyond `limit`.
fn unpacked(file: &mut File, chunk: &ChunkInfo, limit: u64) -> io::Result<u64> {
    file.seek(SeekFrom::Start(chunk.addr))?;
    let packed = BufReader::new(file.take(chunk.size));
    io::copy(&mut ZlibDecoder::new(packed).take(limit + 1), &mut io::sink())
}
