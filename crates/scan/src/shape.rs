//! How long a scan is and how many series it has, from its description.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    arrow::ArrowRows,
    cifti::{CiftiAxis, CiftiFile},
    error::Result,
    frames::{BoldFile, Frames as _},
    h5,
    kind::{Kind, annotation_is_no_scan},
    matlab::MatFile,
    nii::ReadOptions,
    open::{OpenOptions, placed},
    surface::SurfaceFile,
    tables::{
        MAX_TEXT_BYTES,
        text::{self, Head, Text},
        turned,
    },
    tensor::TensorFile,
};

/// What [`shape`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// A run of volumes: its grid, where a header says it in the order x, y, z, and its frames.
    Run {
        /// Voxels along x, y and z.
        grid: [usize; 3],
        /// Number of frames.
        n_frames: usize,
    },
    /// Series of parcels.
    Series {
        /// Number of frames.
        n_frames: usize,
        /// Number of parcels.
        n_parcels: usize,
    },
    /// Series of surface vertices and voxels.
    Grayordinates {
        /// Number of frames.
        n_frames: usize,
    },
    /// Series of many subjects in one file.
    Cohort {
        /// Frames of the longest.
        n_frames: usize,
        /// Number of parcels.
        n_parcels: usize,
    },
}

impl Shape {
    /// Number of frames; of a file of many subjects those of the longest.
    pub fn n_frames(self) -> usize {
        match self {
            Self::Run { n_frames, .. }
            | Self::Series { n_frames, .. }
            | Self::Grayordinates { n_frames }
            | Self::Cohort { n_frames, .. } => n_frames,
        }
    }
}

/// The shape of what [`open`](crate::open) would read with these options. No values are read, except
/// of text, which has no header.
///
/// # Errors
/// As [`open`](crate::open) where the form or the place of voxels is not known, or an axis is neither time
/// nor parcels.
pub fn shape(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Shape> {
    let path = path.as_ref();
    Ok(match Kind::of(path)? {
        Kind::Nifti => {
            // the repetition time decides nothing here
            let file = BoldFile::open_with(path, &ReadOptions { t_r: Some(1.0) })?;
            Shape::Run { grid: file.grid().shape, n_frames: file.n_frames() }
        }
        Kind::Cifti => {
            let file = CiftiFile::open(path)?;
            let [n_frames, n_parcels] = file.shape();
            match file.axes()[1] {
                CiftiAxis::Parcels(_) => Shape::Series { n_frames, n_parcels },
                _ => Shape::Grayordinates { n_frames },
            }
        }
        Kind::Surface => {
            let n_frames = SurfaceFile::open(path, options.axes)?.n_frames();
            Shape::Grayordinates { n_frames }
        }
        Kind::Annotation => return Err(annotation_is_no_scan(path)),
        Kind::Hdf5 => h5::shape(path, options)?,
        Kind::Arrow => {
            let rows = ArrowRows::open(path, options)?;
            Shape::Cohort { n_frames: rows.max_frames(), n_parcels: rows.n_parcels() }
        }
        Kind::Matlab => {
            array(path, &MatFile::open(path)?.sizes(options.dataset.as_deref())?, options)?
        }
        Kind::Tensor => {
            let file = TensorFile::open(path)?;
            array(path, &file.entry().shape, &file.options(options))?
        }
        Kind::Text => {
            let Text { values, head, .. } = text::read(path, MAX_TEXT_BYTES, options.n_parcels())?;
            let axes = options.needed_axes(path, head != Head::None)?;
            let size = values.dim().into();
            series(size, turned(path, size, axes)?)
        }
    })
}

/// The shape of an array without a description.
fn array(path: &Path, sizes: &[usize], options: &OpenOptions) -> Result<Shape> {
    match *sizes {
        [a, b, c, d] => run(path, [a, b, c, d], None, options),
        [rows, columns] => {
            let axes = options.needed_axes(path, false)?;
            Ok(series([rows, columns], turned(path, [rows, columns], axes)?))
        }
        _ => Err(crate::Error::ArrayAxes { path: path.to_path_buf(), found: sizes.to_vec() }),
    }
}

/// Four axes as the options order them, of voxels whose place is known: `own` is what the file says.
pub(crate) fn run(
    path: &Path,
    stored: [usize; 4],
    own: Option<[[f64; 4]; 4]>,
    options: &OpenOptions,
) -> Result<Shape> {
    placed(path, own, options)?;
    let [x, y, z, n_frames] = options.volume_axes.to_xyzt().map(|axis| stored[axis]);
    let grid = [x, y, z];
    options.check_grid(path, grid)?;
    Ok(Shape::Run { grid, n_frames })
}

/// Two axes, the first of them time unless they are turned.
pub(crate) fn series([rows, columns]: [usize; 2], is_turned: bool) -> Shape {
    let (n_frames, n_parcels) = if is_turned { (columns, rows) } else { (rows, columns) };
    Shape::Series { n_frames, n_parcels }
}

#[cfg(test)]
mod tests {
    use ndarray::Array;

    use super::*;
    use crate::{
        CohortWriter, SeriesAxes, Space, VolumeAxes,
        nii::testing::{Scratch, fixture},
        read_series, write_npy,
    };

    #[test]
    fn every_form_says_its_shape() {
        let scratch = Scratch::new();
        let by = |n| OpenOptions {
            t_r: Some(2.0),
            axes: Some(SeriesAxes::ByParcels(n)),
            ..OpenOptions::default()
        };
        let run = fixture("run001/bold_1slice.nii.gz");
        let grid = [40, 20, 1];
        assert_eq!(shape(&run, &by(3)).unwrap(), Shape::Run { grid, n_frames: 121 });

        let tensor = scratch.path("run.npy");
        write_npy(&tensor, &Array::zeros((5, 6, 7, 40)).into_dyn().view()).unwrap();
        let space = Some(Space::Affine(*crate::read_bold(&run).unwrap().affine().rows()));
        let txyz = OpenOptions { space, volume_axes: VolumeAxes::Txyz, ..OpenOptions::default() };
        let nowhere = OpenOptions { space: None, ..txyz.clone() };
        assert!(matches!(shape(&tensor, &nowhere), Err(crate::Error::NoSpace { .. })));
        assert_eq!(shape(&tensor, &txyz).unwrap(), Shape::Run { grid: [6, 7, 40], n_frames: 5 });

        let table = scratch.file("series.tsv", b"a\tb\tc\n1\t2\t3\n3\t4\t5\n");
        let expected = Shape::Series { n_frames: 2, n_parcels: 3 };
        assert_eq!(shape(&table, &by(3)).unwrap(), expected);
        let refused = shape(&table, &by(4)).unwrap_err().to_string();
        assert!(refused.contains("2 × 3 and no axis is of 4 parcels"), "{refused}");

        let series = read_series(&table, &by(3)).unwrap();
        let (one, many) = (scratch.path("one.h5"), scratch.path("many.h5"));
        crate::write_hdf5(&one, &series).unwrap();
        assert_eq!(shape(&one, &by(3)).unwrap(), expected);
        let mut writer = CohortWriter::create(&many, 30, &series).unwrap();
        for subject in ["1", "2"] {
            writer.push(subject, &series).unwrap();
        }
        writer.finish().unwrap();
        assert_eq!(shape(&many, &by(3)).unwrap(), Shape::Cohort { n_frames: 30, n_parcels: 3 });
    }
}
