//! What the header of a scan says, without a voxel read.

use std::{fs::File, io::Read as _, path::Path};

use scan::{BoldFile, CiftiFile, Frames as _, ReadOptions};

/// Frames and repetition time, as far as they can be known without reading the whole file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Facts {
    pub(crate) n_frames: Option<usize>,
    /// Seconds, or why it is not said.
    pub(crate) t_r: Result<f64, String>,
}

/// Reads a header; the problem is a sentence without the path.
pub(crate) fn read(path: &Path) -> Result<Facts, String> {
    let without_path = |error: scan::Error| {
        let text = error.to_string();
        text.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&text).to_owned()
    };
    match Kind::of(path).map_err(|error| error.to_string())? {
        Kind::Cifti => {
            let file = CiftiFile::open(path).map_err(without_path)?;
            Ok(Facts { n_frames: Some(file.shape()[0]), t_r: file.t_r().map_err(without_path) })
        }
        Kind::Images => {
            // any repetition time will do to learn everything else
            let known = ReadOptions { t_r: Some(1.0) };
            let file = BoldFile::open_with(path, &known).map_err(without_path)?;
            let t_r = BoldFile::open(path).map(|file| file.t_r()).map_err(without_path);
            Ok(Facts { n_frames: Some(file.n_frames()), t_r })
        }
        Kind::Series => {
            let t_r = Err("the file does not say it".to_owned());
            Ok(Facts { n_frames: None, t_r })
        }
    }
}

enum Kind {
    /// NIfTI, or what its name says is one.
    Images,
    Cifti,
    Series,
}

impl Kind {
    /// Images say so at their start; which are CIFTI, by convention, in their name.
    fn of(path: &Path) -> std::io::Result<Self> {
        let mut start = Vec::new();
        File::open(path)?.take(4).read_to_end(&mut start)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_image = matches!(
            start.as_slice(),
            [0x1f, 0x8b, ..]
                | [0x5c, 1, 0, 0]
                | [0, 0, 1, 0x5c]
                | [0x1c, 2, 0, 0]
                | [0, 0, 2, 0x1c]
        );
        let is_called_image =
            [".nii", ".nii.gz", ".img", ".hdr"].iter().any(|it| name.ends_with(it));
        Ok(match is_image || is_called_image {
            true if name.contains("series.nii") => Self::Cifti,
            true => Self::Images,
            false => Self::Series,
        })
    }
}
