//! Scans from files, in one pass over the bytes and without a 64-bit copy of a run.

use std::path::Path;

use ndarray::{Array3, Array4, ArrayD, IxDyn, ShapeBuilder};
use nifti::NiftiType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Header, Source, affine_rows, header::open, repetition_time, voxels::Decoder};
use crate::{
    affine::Affine,
    bold::{Bold, Volume},
    error::{Error, Result},
};

/// Values decoded at once; they fit the nearer caches.
const CHUNK: usize = 1 << 15;

/// Bytes of values kept back until they are written row-major, several frames at a time.
const BLOCK_BYTES: usize = 64 << 20;

/// Side of a square of frames and voxels turned at once: sixteen values fill a cache line.
const TILE: usize = 16;

/// What a caller knows better than the header.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadOptions {
    /// Repetition time in seconds; used instead of the header's.
    #[serde(default)]
    pub t_r: Option<f64>,
}

/// Reads a functional run from `.nii`, `.nii.gz` (told apart by content) or
/// `.hdr` and `.img`, NIfTI-1 or NIfTI-2.
///
/// Stored numbers are scaled by slope and intercept in 64 bits and kept in 32. Values that are not
/// finite are kept too: [`Bold::n_nonfinite`].
pub fn read_bold(path: impl AsRef<Path>) -> Result<Bold> {
    read_bold_with(path, &ReadOptions::default())
}

/// Reads a functional run, with what the caller knows better than its header.
pub fn read_bold_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Bold> {
    let path = path.as_ref();
    let (source, header) = open(path)?;
    let [x, y, z, t] = sized(path, &header)?;
    let affine = checked_affine(path, &header)?;
    let t_r = match options.t_r {
        Some(t_r) => t_r,
        None => repetition_time(&header)
            .map(|(t_r, _)| t_r)
            .map_err(|problem| Error::RepetitionTime { path: path.to_path_buf(), problem })?,
    };
    let values = row_major(source, &header, [x, y, z], t)?;
    let data = Array4::from_shape_vec((x, y, z, t), values).expect("as many values as promised");
    Ok(Bold::new(data, affine, t_r)?.with_path(path))
}

/// Reads one image: a mask, an atlas, an anatomical scan.
pub fn read_volume(path: impl AsRef<Path>) -> Result<Volume> {
    let path = path.as_ref();
    let (source, header) = open(path)?;
    let [x, y, z] = sized_grid(path, &header.dims)?;
    let affine = checked_affine(path, &header)?;
    let values = row_major(source, &header, [x, y, z], 1)?;
    let data = Array3::from_shape_vec((x, y, z), values).expect("as many values as promised");
    Volume::new(data, affine)
}

/// Reads the scaled values of a file of any number of axes in 64 bits, without geometry: for
/// comparisons with other programs. A scan is read by [`read_bold`].
pub fn read_values(path: impl AsRef<Path>) -> Result<ArrayD<f64>> {
    let path = path.as_ref();
    let (source, header) = open(path)?;
    let values = x_fastest(path, source, &header)?;
    let shape = IxDyn(&header.dims).f();
    Ok(ArrayD::from_shape_vec(shape, values).expect("as many values as promised"))
}

/// An image as it is stored.
pub(crate) struct StoredImage {
    /// Scaled, in 64 bits, x fastest.
    pub(crate) values: Vec<f64>,
    /// Sizes of the axes.
    pub(crate) dims: Vec<usize>,
    /// Voxel indices to mm.
    pub(crate) affine: Affine,
    /// Between two neighbouring values of whole numbers that a slope scales; none of other numbers.
    pub(crate) step: Option<f64>,
}

/// An image as it is stored, with its place.
pub(crate) fn read_values_with_grid(path: &Path) -> Result<StoredImage> {
    let (source, header) = open(path)?;
    let affine = checked_affine(path, &header)?;
    let is_whole = !matches!(header.dtype, NiftiType::Float32 | NiftiType::Float64);
    let step = header.scaling.filter(|_| is_whole).map(|scaling| scaling.slope);
    let values = x_fastest(path, source, &header)?;
    Ok(StoredImage { values, dims: header.dims, affine, step })
}

/// The three sizes of an image, which may have a fourth axis of one.
pub(crate) fn sized_grid(path: &Path, dims: &[usize]) -> Result<[usize; 3]> {
    let dims = if let [dims @ .., 1] = dims
        && dims.len() == 3
    {
        dims
    } else {
        dims
    };
    dims.try_into().map_err(|_| Error::Dimensions {
        path: path.to_path_buf(),
        found: dims.to_vec(),
        expected: 3,
    })
}

fn x_fastest(path: &Path, source: Source, header: &Header) -> Result<Vec<f64>> {
    let mut values = reserved(path, header.n_values() as usize)?;
    each_chunk(source, header, |chunk| values.extend_from_slice(chunk))?;
    Ok(values)
}

/// Hands all values on, in file order (first axis fastest), scaled.
pub(crate) fn each_chunk(
    mut source: Source,
    header: &Header,
    mut sink: impl FnMut(&[f64]),
) -> Result<()> {
    let decoder = Decoder::of(header);
    let width = header.dtype.size_of();
    let n_values = header.n_values() as usize;
    let mut bytes = vec![0; CHUNK.min(n_values) * width];
    let mut values = vec![0.0; CHUNK.min(n_values)];
    for start in (0..n_values).step_by(CHUNK) {
        let n = CHUNK.min(n_values - start);
        let (bytes, values) = (&mut bytes[..n * width], &mut values[..n]);
        source.fill_all(bytes, header.promised())?;
        decoder.reorder(bytes);
        decoder.all(bytes, values);
        sink(values);
    }
    source.finish()
}

/// Values of `n_frames` images in 32 bits: x slowest, time fastest.
fn row_major(
    source: Source,
    header: &Header,
    grid: [usize; 3],
    n_frames: usize,
) -> Result<Vec<f32>> {
    let path = source.path().to_path_buf();
    let n_voxels: usize = grid.iter().product();
    let mut values: Vec<f32> = reserved(&path, n_voxels * n_frames)?;
    values.resize(n_voxels * n_frames, 0.0);
    let frames_held = (BLOCK_BYTES / (4 * n_voxels)).clamp(1, TILE).min(n_frames);
    let n_block = n_voxels * frames_held;
    let mut block: Vec<f32> = reserved(&path, n_block)?;
    let mut first_frame = 0;
    each_chunk(source, header, |mut chunk| {
        while !chunk.is_empty() {
            let (now, later) = chunk.split_at(chunk.len().min(n_block - block.len()));
            block.extend(now.iter().map(|&value| value as f32));
            chunk = later;
            if block.len() == n_block {
                transpose(&block, grid, &mut values, n_frames, first_frame);
                first_frame += frames_held;
                block.clear();
            }
        }
    })?;
    if !block.is_empty() {
        transpose(&block, grid, &mut values, n_frames, first_frame);
    }
    Ok(values)
}

/// Puts a block of at most [`TILE`] whole frames, x fastest, into its place of the row-major run.
///
/// Through a tile that stays in the nearest cache: frames often lie a power of two apart, where
/// neighbouring reads would evict each other.
fn transpose(
    block: &[f32],
    [nx, ny, nz]: [usize; 3],
    values: &mut [f32],
    n_frames: usize,
    first_frame: usize,
) {
    let n_voxels = nx * ny * nz;
    let mut tile = [[0.0; TILE]; TILE];
    for (z, y) in (0..nz).flat_map(|z| (0..ny).map(move |y| (z, y))) {
        for x in (0..nx).step_by(TILE) {
            let width = TILE.min(nx - x);
            let from = x + nx * (y + ny * z);
            for (row, frame) in tile.iter_mut().zip(block.chunks_exact(n_voxels)) {
                row[..width].copy_from_slice(&frame[from..from + width]);
            }
            for column in 0..width {
                let to = (((x + column) * ny + y) * nz + z) * n_frames + first_frame;
                let series = &mut values[to..to + block.len() / n_voxels];
                for (value, row) in series.iter_mut().zip(&tile) {
                    *value = row[column];
                }
            }
        }
    }
}

/// An empty vector with room, or an error instead of an abort.
fn reserved<T>(path: &Path, n: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    values.try_reserve_exact(n).map_err(|_| Error::OutOfMemory {
        path: path.to_path_buf(),
        n_bytes: (n * size_of::<T>()) as u64,
    })?;
    Ok(values)
}

/// The four sizes of a run.
pub(crate) fn sized(path: &Path, header: &Header) -> Result<[usize; 4]> {
    header.dims.as_slice().try_into().map_err(|_| Error::Dimensions {
        path: path.to_path_buf(),
        found: header.dims.clone(),
        expected: 4,
    })
}

pub(crate) fn checked_affine(path: &Path, header: &Header) -> Result<Affine> {
    let (rows, _) = affine_rows(header);
    Affine::new(rows)
        .map_err(|source| Error::AffineOf { path: path.to_path_buf(), source: Box::new(source) })
}
