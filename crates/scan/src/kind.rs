//! What a file is, by its content.

use std::{fs::File, path::Path};

use crate::{
    arrow,
    cifti::CIFTI_EXTENSION,
    error::{Error, Result},
    foreign, h5, matlab, nii, surface,
};

/// What all readers together read.
const EXPECTED: &str =
    "NIfTI, MGH, CIFTI, GIFTI, HDF5, Arrow, MATLAB, .npy, a PyTorch tensor or a table of numbers";

/// Codes of CIFTI-2 among the intents of NIfTI-2.
const CIFTI_INTENTS: std::ops::Range<i32> = 3000..3100;

/// A NIfTI-2 header and the beginning of its first extension.
const START: usize = 560;

/// A way of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Images: NIfTI, and `FreeSurfer`'s.
    Nifti,
    Cifti,
    /// Values of the vertices of the cortex.
    Surface,
    /// A colour for each vertex of the cortex, and what the colours are: an atlas.
    Annotation,
    Hdf5,
    /// A file or a stream of Arrow.
    Arrow,
    /// MATLAB before 7.3, whose files are HDF5.
    Matlab,
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
        let mut start = [0; START];
        let n = source.fill(&mut start)?;
        let (start, is_gzip) = (&start[..n], source.is_gzip);
        let refuse = |found: &str| {
            let (path, found) = (path.to_path_buf(), found.to_owned());
            Err(Error::Unsupported { path, found, expected: EXPECTED })
        };
        match start {
            [] => return refuse("empty"),
            [0, 0, 0, 1, ..] if nii::is_surface_mgh(start) => return Ok(Self::Surface),
            [0x5c, 1, 0, 0, ..] | [0, 0, 1, 0x5c, ..] | [0, 0, 0, 1, ..] => return Ok(Self::Nifti),
            [0x1c, 2, 0, 0, ..] | [0, 0, 2, 0x1c, ..] => {
                let intent = start.get(504..508).map(|b| [b[0], b[1], b[2], b[3]]);
                let intent = intent.unwrap_or_default();
                let number = if start[0] == 0 {
                    i32::from_be_bytes(intent)
                } else {
                    i32::from_le_bytes(intent)
                };
                // a file without the intent still says by its extension what it is
                let is_cifti = CIFTI_INTENTS.contains(&number) || has_cifti_extension(start);
                return Ok(if is_cifti { Self::Cifti } else { Self::Nifti });
            }
            _ if foreign::is_gifti(start) => return Ok(Self::Surface),
            _ if surface::begins_annotation(path, start) => return Ok(Self::Annotation),
            _ if is_gzip => return refuse(foreign::in_gzip(path, start)),
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] | [b'P', b'K', 3, 4, ..] => {
                return Ok(Self::Tensor);
            }
            _ if matlab::begins(start) => return Ok(Self::Matlab),
            // a pickle, as PyTorch wrote before 1.6
            [0x80, 2..=5, ..] => return Ok(Self::Tensor),
            start if arrow::begins(start) => return Ok(Self::Arrow),
            _ => {}
        }
        let attach = |source| Error::Read { path: path.to_path_buf(), source };
        if h5::begins_at(&mut File::open(path).map_err(attach)?).map_err(attach)?.is_some() {
            return Ok(Self::Hdf5);
        }
        if let Some(found) = foreign::format(path, start) {
            return refuse(found);
        }
        if start.contains(&0) { refuse("of no form that is known") } else { Ok(Self::Text) }
    }
}

/// An error about an annotation in place of a scan.
pub(crate) fn annotation_is_no_scan(path: &Path) -> Error {
    Error::Unsupported {
        path: path.to_path_buf(),
        found: "a FreeSurfer annotation, which is an atlas".to_owned(),
        expected: "a scan",
    }
}

/// Whether the first extension after a NIfTI-2 header is the XML of CIFTI.
fn has_cifti_extension(start: &[u8]) -> bool {
    let Some(&code) = start.get(548..552).and_then(|bytes| bytes.first_chunk::<4>()) else {
        return false;
    };
    let number = if start[0] == 0 { i32::from_be_bytes(code) } else { i32::from_le_bytes(code) };
    start[540] != 0 && number == CIFTI_EXTENSION
}
