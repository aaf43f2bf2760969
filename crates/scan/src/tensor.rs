//! Arrays of numpy and PyTorch: described by `formats`, which executes nothing, and widened here.

use std::path::Path;

use formats::{Container, Dtype, Entry};
use half::{bf16, f16};
use ndarray::{ArrayD, ArrayViewD, IxDyn};

use crate::{
    error::{Error, Result},
    nii::MAX_BYTES,
    open::{OpenOptions, VolumeAxes},
};

/// A file of one array.
pub(crate) struct TensorFile {
    container: Container,
    entry: Entry,
    /// What stored numbers are multiplied by.
    scale: Option<f64>,
}

impl TensorFile {
    /// Reads and checks the description of the array.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let container = formats::open(path).map_err(Error::Tensor)?;
        let entry = container.only().map_err(Error::Tensor)?.clone();
        let scale = scale_of_frames(path, &container, &entry)?;
        Ok(Self { scale, ..Self::of(path, container, entry)? })
    }

    /// The options with the order of four axes, which `NeuroSTORM`'s frames say themselves.
    pub(crate) fn options(&self, options: &OpenOptions) -> OpenOptions {
        let volume_axes = if self.scale.is_some() { VolumeAxes::Txyz } else { options.volume_axes };
        OpenOptions { volume_axes, ..options.clone() }
    }

    /// One of several arrays.
    pub(crate) fn named(path: &Path, name: &str) -> Result<Self> {
        let container = formats::open(path).map_err(Error::Tensor)?;
        let Some(entry) = container.get(name).cloned() else {
            let found = container.entries().iter().map(|it| it.name.clone()).collect();
            return Err(crate::named::no_array(path, name, found));
        };
        Self::of(path, container, entry)
    }

    fn of(path: &Path, container: Container, entry: Entry) -> Result<Self> {
        let found = match entry.dtype {
            Dtype::Quantised(_) => "an array of quantised blocks",
            Dtype::C64 | Dtype::C128 => "an array of complex numbers",
            Dtype::F8E4M3 | Dtype::F8E5M2 => "an array of floats of 8 bits",
            _ => return Ok(Self { container, entry, scale: None }),
        };
        let (path, found) = (path.to_path_buf(), found.to_owned());
        Err(Error::Unsupported { path, found, expected: "plain numbers" })
    }

    pub(crate) fn path(&self) -> &Path {
        self.container.path()
    }

    pub(crate) fn format(&self) -> formats::Format {
        self.container.format()
    }

    /// What is known of the array.
    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The values in row-major order, in 64 bits.
    pub(crate) fn values(&self) -> Result<ArrayD<f64>> {
        self.widened(|x| x)
    }

    /// The values in row-major order, in 32 bits.
    pub(crate) fn values_f32(&self) -> Result<ArrayD<f32>> {
        self.widened(|x| x as f32)
    }

    fn widened<T>(&self, to: impl Fn(f64) -> T) -> Result<ArrayD<T>> {
        let path = || self.path().to_path_buf();
        let width = size_of::<T>().max(self.entry.dtype.size()) as u128;
        let sizes = self.entry.shape.iter();
        let found = sizes.fold(width, |n, &size| n.saturating_mul(size as u128));
        if found > u128::from(MAX_BYTES) {
            return Err(Error::TooLarge { path: path(), found, limit: MAX_BYTES });
        }
        let n_values: usize = self.entry.shape.iter().product();
        let mut values = Vec::new();
        let n_bytes = (n_values * size_of::<T>()) as u64;
        let full = |_| Error::OutOfMemory { path: path(), n_bytes };
        values.try_reserve_exact(n_values).map_err(full)?;
        let bytes = self.container.read(&self.entry).map_err(Error::Tensor)?;
        let scale = self.scale.unwrap_or(1.0);
        each(self.entry.dtype, &bytes, |x| values.push(to(x * scale)));
        Ok(ArrayD::from_shape_vec(IxDyn(&self.entry.shape), values).expect("as many as promised"))
    }
}

/// The factor of a file `{frames: int8 [t, x, y, z], scale, num_frames}`, as `NeuroSTORM` keeps a scan
/// (`datasets/convert_frames_to_blob.py`); none for every other file.
fn scale_of_frames(path: &Path, container: &Container, entry: &Entry) -> Result<Option<f64>> {
    let number = |key| container.metadata().get(key).and_then(formats::Value::as_float);
    let Some(scale) = number("scale") else { return Ok(None) };
    if entry.name != "frames" || entry.dtype != Dtype::I8 || entry.shape.len() != 4 {
        return Ok(None);
    }
    let refuse = |found: String, expected| {
        Err(Error::Unsupported { path: path.to_path_buf(), found, expected })
    };
    if !(scale.is_finite() && scale > 0.0) {
        let found = format!("frames of 8 bits with the scale {scale}");
        return refuse(found, "a finite scale above 0");
    }
    match number("num_frames") {
        Some(n) if n != entry.shape[0] as f64 => {
            let found = format!("{} frames of 8 bits, num_frames says {n}", entry.shape[0]);
            refuse(found, "one number of frames")
        }
        _ => Ok(Some(scale)),
    }
}

/// Shows every little-endian number, widened.
fn each(dtype: Dtype, bytes: &[u8], mut show: impl FnMut(f64)) {
    macro_rules! numbers {
        ($kind:ty, $widen:expr) => {{
            let (stored, _) = bytes.as_chunks::<{ size_of::<$kind>() }>();
            stored.iter().for_each(|bytes| show($widen(<$kind>::from_le_bytes(*bytes))))
        }};
    }
    match dtype {
        Dtype::F64 => numbers!(f64, |x| x),
        Dtype::F32 => numbers!(f32, f64::from),
        Dtype::F16 => numbers!(f16, f64::from),
        Dtype::BF16 => numbers!(bf16, f64::from),
        Dtype::I64 => numbers!(i64, |x| x as f64),
        Dtype::I32 => numbers!(i32, f64::from),
        Dtype::I16 => numbers!(i16, f64::from),
        Dtype::I8 => numbers!(i8, f64::from),
        Dtype::U64 => numbers!(u64, |x| x as f64),
        Dtype::U32 => numbers!(u32, f64::from),
        Dtype::U16 => numbers!(u16, f64::from),
        Dtype::U8 => numbers!(u8, f64::from),
        Dtype::Bool => numbers!(u8, |x| f64::from(u8::from(x != 0))),
        Dtype::F8E4M3 | Dtype::F8E5M2 | Dtype::C64 | Dtype::C128 | Dtype::Quantised(_) => {
            unreachable!("refused when the file was opened")
        }
    }
}

/// Reads an array of numbers as numpy writes it, widened to 64 bits. Object arrays, which carry
/// programs, are refused by their type.
pub fn read_npy(path: impl AsRef<Path>) -> Result<ArrayD<f64>> {
    TensorFile::open(path.as_ref())?.values()
}

/// Writes an array of 64-bit numbers; the file appears under its name only when it is whole.
pub fn write_npy(path: impl AsRef<Path>, array: &ArrayViewD<f64>) -> Result<()> {
    let path = path.as_ref();
    let failed = |source| Error::Write { path: path.to_path_buf(), source };
    let aside = files::Aside::new(path).map_err(failed)?;
    let bytes: Vec<u8> = array.iter().flat_map(|x| x.to_le_bytes()).collect();
    formats::write_npy(aside.path(), Dtype::F64, array.shape(), &bytes)
        .map_err(|error| failed(std::io::Error::other(error)))?;
    aside.keep().map_err(failed)
}
