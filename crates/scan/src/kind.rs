//! What a file is, by its content.

use std::{fs::File, path::Path};

use crate::{
    error::{Error, Result},
    h5, nii,
};

/// What all readers together read.
const EXPECTED: &str = "NIfTI, CIFTI, HDF5, .npy, a PyTorch tensor or a table of numbers";

/// Codes of CIFTI-2 among the intents of NIfTI-2.
const CIFTI_INTENTS: std::ops::Range<i32> = 3000..3100;

/// Beginnings of files that turn up in place of scans.
const OTHERS: [(&[u8], &str); 12] = [
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"<?xml", "XML, perhaps GIFTI"),
    (b"MATLAB 5.0", "a MATLAB file from before 7.3 (save it anew with `-v7.3`)"),
    (b"CDF\x01", "NetCDF 3 or MINC 1"),
    (b"CDF\x02", "NetCDF 3 or MINC 1"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed data"),
    (b"BZh", "bzip2-compressed data"),
    (b"\xfd7zXZ\0", "xz-compressed data"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself (run `git lfs pull`)"),
    (b"\x00\x00\x00\x01Bud1", "a macOS folder setting"),
    (b"/annex/objects/", "a git-annex pointer, not the file itself (run `git annex get`)"),
];

/// A way of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nifti,
    Cifti,
    Hdf5,
    /// numpy and PyTorch.
    Tensor,
    Text,
}

impl Kind {
    /// Looks at the beginning of a file, unpacked where it is packed.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        if nii::is_image_of_pair(path) {
            return Ok(Self::Nifti);
        }
        let mut source = nii::Source::open(path)?;
        let mut start = [0; 540];
        let n = source.fill(&mut start)?;
        let (start, is_gzip) = (&start[..n], source.is_gzip);
        let refuse = |found: &str| {
            let (path, found) = (path.to_path_buf(), found.to_owned());
            Err(Error::Unsupported { path, found, expected: EXPECTED })
        };
        match start {
            [] => return refuse("empty"),
            [0x5c, 1, 0, 0, ..] | [0, 0, 1, 0x5c, ..] => return Ok(Self::Nifti),
            [0x1c, 2, 0, 0, ..] | [0, 0, 2, 0x1c, ..] => {
                let intent = start.get(504..508).map(|b| [b[0], b[1], b[2], b[3]]);
                let intent = intent.unwrap_or_default();
                let number = if start[0] == 0 {
                    i32::from_be_bytes(intent)
                } else {
                    i32::from_le_bytes(intent)
                };
                let is_cifti = CIFTI_INTENTS.contains(&number);
                return Ok(if is_cifti { Self::Cifti } else { Self::Nifti });
            }
            _ if is_gzip => return refuse("gzip-compressed data that is no NIfTI"),
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] | [b'P', b'K', 3, 4, ..] => {
                return Ok(Self::Tensor);
            }
            // a pickle, as PyTorch wrote before 1.6
            [0x80, 2..=5, ..] => return Ok(Self::Tensor),
            _ => {}
        }
        let attach = |source| Error::Read { path: path.to_path_buf(), source };
        if h5::begins_at(&mut File::open(path).map_err(attach)?).map_err(attach)?.is_some() {
            return Ok(Self::Hdf5);
        }
        if let Some((_, found)) = OTHERS.iter().find(|(magic, _)| start.starts_with(magic)) {
            return refuse(found);
        }
        if start.contains(&0) { refuse("of no form that is known") } else { Ok(Self::Text) }
    }
}
