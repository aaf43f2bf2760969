//! Files for tests: real ones, and small ones with one thing wrong.

use std::path::{Path, PathBuf};

use ndarray::Array4;
use tempfile::TempDir;

use crate::{Affine, Bold, write_bold};

/// A file of the bundled real runs.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/haxby2001").join(name)
}

/// A file of the small recorded cases.
pub(crate) fn oracle(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/scan").join(name)
}

/// A file of `fixtures/surface`.
pub(crate) fn surface(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/surface").join(name)
}

/// A run of 2 × 3 × 1 voxels and 2 frames, values 0 to 11 in row-major order.
pub(crate) fn small_bold() -> Bold {
    let affine = Affine::new([
        [-3.0, 0.0, 0.0, 60.5],
        [0.0, 3.5, 0.25, -35.5],
        [0.0, -0.25, 4.0, 1.0],
        [0.0, 0.0, 0.0, 1.0],
    ]);
    let values = (0..12_u8).map(f32::from).collect();
    let data = Array4::from_shape_vec((2, 3, 1, 2), values).unwrap();
    Bold::new(data, affine.unwrap(), 2.5).unwrap()
}

/// A folder to write into; gone with the value.
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Bytes under a name.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The bytes of [`small_bold`] as `.nii`.
    pub(crate) fn small_bytes(&self) -> Vec<u8> {
        let path = self.path("small.nii");
        write_bold(&path, &small_bold()).unwrap();
        std::fs::read(path).unwrap()
    }

    /// [`small_bold`] with fields of its header overwritten at their offsets.
    pub(crate) fn patched(&self, patches: &[(usize, &[u8])]) -> PathBuf {
        let mut bytes = self.small_bytes();
        for (offset, field) in patches {
            bytes[*offset..*offset + field.len()].copy_from_slice(field);
        }
        self.file("patched.nii", &bytes)
    }
}

pub(crate) fn i16s(values: &[i16]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

pub(crate) fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
