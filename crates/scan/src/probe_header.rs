//! What the header of a scan says, without a value read: enough to plan by.

use std::path::Path;

use crate::{
    arrow::ArrowRows,
    cifti::CiftiFile,
    describe::{Description, describe},
    error::{Error, Result},
    frames::{BoldFile, Frames as _},
    kind::{Kind, annotation_is_no_scan},
    matlab::MatFile,
    nii::ReadOptions,
    open::OpenOptions,
    surface::SurfaceFile,
    tables::SeriesAxes,
};

/// Frames and repetition time, as far as they are known without reading the whole file.
#[derive(Clone, Debug, PartialEq)]
pub struct HeaderFacts {
    /// Number of frames; none where nothing but the options tells which axis is time.
    pub n_frames: Option<usize>,
    /// Seconds between two frames, or why they are not said, without the path.
    pub t_r: std::result::Result<f64, String>,
}

/// Looks at the header of a file of any form that [`open`](crate::open) reads.
pub fn probe_header(path: impl AsRef<Path>) -> Result<HeaderFacts> {
    let path = path.as_ref();
    let said = |t_r: Result<f64>| t_r.map_err(|error| words(error, path));
    Ok(match Kind::of(path)? {
        Kind::Nifti => {
            // any repetition time will do to learn everything else
            let file = BoldFile::open_with(path, &ReadOptions { t_r: Some(1.0) })?;
            let t_r = said(BoldFile::open(path).map(|file| file.t_r()));
            HeaderFacts { n_frames: Some(file.n_frames()), t_r }
        }
        Kind::Cifti => {
            let file = CiftiFile::open(path)?;
            HeaderFacts { n_frames: Some(file.shape()[0]), t_r: said(file.t_r()) }
        }
        Kind::Surface => {
            let (file, is_open) = match SurfaceFile::open(path, None) {
                // either axis will do to learn the repetition time
                Err(Error::Axes { .. }) => {
                    (SurfaceFile::open(path, Some(SeriesAxes::ParcelsTime))?, true)
                }
                file => (file?, false),
            };
            HeaderFacts { n_frames: (!is_open).then(|| file.n_frames()), t_r: said(file.t_r()) }
        }
        Kind::Annotation => return Err(annotation_is_no_scan(path)),
        Kind::Hdf5 => {
            let Description::Hdf5(file) = describe(path)? else {
                unreachable!("one kind, one description")
            };
            HeaderFacts { n_frames: None, t_r: file.t_r.ok_or(file.t_r_source) }
        }
        Kind::Matlab => {
            let t_r = MatFile::open(path)?.t_r().map(|(t_r, _)| t_r);
            HeaderFacts { n_frames: None, t_r }
        }
        Kind::Arrow => {
            let rows = ArrowRows::open(path, &OpenOptions::default())?;
            let t_r = rows.t_r().ok_or("its rows do not say one repetition time".to_owned());
            HeaderFacts { n_frames: None, t_r }
        }
        Kind::Tensor => {
            HeaderFacts { n_frames: None, t_r: Err("an array does not say it".to_owned()) }
        }
        Kind::Text => {
            HeaderFacts { n_frames: None, t_r: Err("a table does not say it".to_owned()) }
        }
    })
}

fn words(error: Error, path: &Path) -> String {
    match error {
        Error::RepetitionTime { problem, .. } => problem,
        other => other.to_string().replace(&format!("{}: ", path.display()), ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        OpenOptions, SeriesAxes,
        nii::testing::{Scratch, fixture},
    };

    #[test]
    fn a_glance_says_what_opening_says() {
        let path = fixture("run001/bold_1slice.nii.gz");
        assert_eq!(probe_header(&path).unwrap(), HeaderFacts { n_frames: Some(121), t_r: Ok(2.5) });
        let scratch = Scratch::new();
        let table = scratch.file("series.tsv", b"a\tb\n1\t2\n3\t4\n");
        let seen = probe_header(&table).unwrap();
        assert_eq!(
            seen,
            HeaderFacts { n_frames: None, t_r: Err("a table does not say it".to_owned()) }
        );
        let options = OpenOptions {
            t_r: Some(2.0),
            axes: Some(SeriesAxes::TimeParcels),
            ..OpenOptions::default()
        };
        let crate::Scan::Series(series) = crate::open(&table, &options).unwrap().scan else {
            panic!("a table is a series")
        };
        crate::write_hdf5(scratch.path("series.h5"), &series).unwrap();
        let seen = probe_header(scratch.path("series.h5")).unwrap();
        assert_eq!(seen, HeaderFacts { n_frames: None, t_r: Ok(2.0) });
        assert!(
            probe_header(
                scratch.file("pointer.nii", b"version https://git-lfs.github.com/spec/v1\n")
            )
            .is_err()
        );
    }

    #[test]
    fn a_header_without_a_repetition_time_still_counts_frames() {
        let scratch = Scratch::new();
        let path = scratch.path("run.nii");
        crate::write_bold(&path, &crate::read_bold(fixture("run001/bold_1slice.nii.gz")).unwrap())
            .unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[92..96].copy_from_slice(&0.0_f32.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        let seen = probe_header(&path).unwrap();
        assert_eq!(seen.n_frames, Some(121));
        assert_eq!(seen.t_r.unwrap_err(), "pixdim[4] is 0, expected a positive finite number");
    }
}
