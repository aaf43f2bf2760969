//! Runs and images to NIfTI-1 files with a fresh header: nothing of a source file's text survives.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use files::Aside;
use flate2::{Compression, write::GzEncoder};
use ndarray::{ArrayView4, Axis};

use crate::{
    bold::{Bold, Volume},
    error::{Error, Result},
    geometry::Grid,
};

const FLOAT32: i16 = 16;
/// Millimetres (2) and seconds (8).
const MM_AND_SECONDS: u8 = 10;
/// The world is that of another file (here: of the scan it came from).
const ALIGNED: i16 = 2;

/// Writes a run as 32-bit floats, `.nii` or `.nii.gz` by its name.
///
/// Affine and repetition time are stored in 32 bits, as the format has it. The file appears under
/// its name only when it is whole.
pub fn write_bold(path: impl AsRef<Path>, bold: &Bold) -> Result<()> {
    write(
        path.as_ref(),
        &Image { data: bold.data().view(), grid: bold.grid(), t_r: Some(bold.t_r()) },
    )
}

/// Writes one image as 32-bit floats, `.nii` or `.nii.gz` by its name, as [`write_bold`] does.
pub fn write_volume(path: impl AsRef<Path>, volume: &Volume) -> Result<()> {
    let data = volume.data().view().insert_axis(Axis(3));
    write(path.as_ref(), &Image { data, grid: volume.grid(), t_r: None })
}

/// One image as the bytes of a `.nii.gz` file, which errors call `name`.
pub fn volume_bytes(name: &str, volume: &Volume) -> Result<Vec<u8>> {
    let data = volume.data().view().insert_axis(Axis(3));
    let image = Image { data, grid: volume.grid(), t_r: None };
    image.check(Path::new(name))?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let bytes = write_all(&mut encoder, &image).and_then(|()| encoder.finish());
    bytes.map_err(|source| Error::Write { path: name.into(), source })
}

/// What is written: `(x, y, z, t)`; no time axis where there is no repetition time.
struct Image<'a> {
    data: ArrayView4<'a, f32>,
    grid: &'a Grid,
    t_r: Option<f64>,
}

impl Image<'_> {
    /// Refuses axes that are longer than the format can say.
    fn check(&self, path: &Path) -> Result<()> {
        if self.data.shape().iter().any(|&n| n > i16::MAX as usize) {
            let found = self.data.shape().to_vec();
            return Err(Error::TooWide { path: path.to_path_buf(), found });
        }
        Ok(())
    }
}

fn write(path: &Path, image: &Image) -> Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let compressed = name.ends_with(".nii.gz");
    let plain = path.extension().is_some_and(|extension| extension == "nii");
    if !compressed && !plain {
        return Err(Error::FileName { path: path.to_path_buf() });
    }
    image.check(path)?;
    let attempt = || {
        let aside = Aside::new(path)?;
        let mut file = BufWriter::new(File::create(aside.path())?);
        if compressed {
            let mut encoder = GzEncoder::new(&mut file, Compression::default());
            write_all(&mut encoder, image)?;
            encoder.finish()?;
        } else {
            write_all(&mut file, image)?;
        }
        file.flush()?;
        aside.keep()
    };
    attempt().map_err(|source| Error::Write { path: path.to_path_buf(), source })
}

fn write_all(out: &mut impl Write, image: &Image) -> io::Result<()> {
    out.write_all(&header(image))?;
    for frame in image.data.axis_iter(Axis(3)) {
        // x fastest: the row-major order of the reversed axes
        let bytes: Vec<u8> = frame.t().iter().flat_map(|x| x.to_le_bytes()).collect();
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// 348 bytes of header and 4 that say "no extensions"; offsets as in nifti1.h.
fn header(image: &Image) -> [u8; 352] {
    let mut bytes = [0; 352];
    let mut put = |offset: usize, field: &[u8]| {
        bytes[offset..offset + field.len()].copy_from_slice(field);
    };
    put(0, &348_i32.to_le_bytes());
    put(38, b"r");
    let n_axes: i16 = if image.t_r.is_some() { 4 } else { 3 };
    put(40, &n_axes.to_le_bytes());
    for (axis, &size) in image.data.shape().iter().chain(&[1, 1, 1]).enumerate() {
        put(42 + 2 * axis, &(size as u16).to_le_bytes());
    }
    put(70, &FLOAT32.to_le_bytes());
    put(72, &32_i16.to_le_bytes());
    let [x, y, z] = image.grid.affine.zooms();
    for (slot, spacing) in [1.0, x, y, z, image.t_r.unwrap_or(0.0)].into_iter().enumerate() {
        put(76 + 4 * slot, &(spacing as f32).to_le_bytes());
    }
    put(108, &352_f32.to_le_bytes());
    put(112, &1_f32.to_le_bytes());
    put(123, &[MM_AND_SECONDS]);
    put(254, &ALIGNED.to_le_bytes());
    for (slot, entry) in image.grid.affine.rows().as_flattened()[..12].iter().enumerate() {
        put(280 + 4 * slot, &(*entry as f32).to_le_bytes());
    }
    put(344, b"n+1\0");
    bytes
}
