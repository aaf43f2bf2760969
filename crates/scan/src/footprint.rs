//! Memory that reading a scan takes, reckoned from what its header claims.

use std::path::Path;

use crate::{
    cifti::CiftiFile,
    error::Result,
    frames::BoldFile,
    h5,
    kind::{Kind, annotation_is_no_scan},
    matlab::MatFile,
    nii::{self, ReadOptions},
    open::OpenOptions,
    surface::SurfaceFile,
    tables::text,
    tensor::TensorFile,
};

/// Of a number of extracted series: as they are, measured, and twice as the bytes of a file.
pub(crate) const BYTES_OF_SERIES: u64 = 6 * 8;

/// What a scan claims to hold, and what [`open`](crate::open) takes to hand it on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Voxels of one image; 0 where the scan is no run of images.
    pub n_voxels: u64,
    /// Values of the recording: of all its frames, or of its parcel series. Of one subject, where a
    /// file holds many.
    pub n_values: u64,
    /// The most bytes at once, from opening the file to the last frame or value.
    pub n_bytes: u64,
}

impl Footprint {
    /// Number of frames; none where the scan is no run of images.
    pub fn n_frames(&self) -> Option<u64> {
        self.n_values.checked_div(self.n_voxels)
    }
}

/// Reckons a scan of any form that [`open`](crate::open) reads, without reading a value; of text,
/// what divides them is counted.
pub fn footprint(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Footprint> {
    let path = path.as_ref();
    Ok(match Kind::of(path)? {
        // any repetition time will do to learn everything else
        Kind::Nifti => BoldFile::open_with(path, &ReadOptions { t_r: Some(1.0) })?.footprint(),
        Kind::Cifti => {
            let (_, header) = nii::open(path)?;
            let n_values = CiftiFile::open(path)?.shape().map(|n| n as u64).iter().product();
            // the matrix and the series made of it; the XML, its text and what it describes
            Footprint { n_voxels: 0, n_values, n_bytes: 16 * n_values + 8 * header.offset }
        }
        Kind::Surface => {
            let file = SurfaceFile::open(path, options.axes)?;
            let n_values = file.n_frames() as u64 * file.n_vertices() as u64;
            Footprint { n_voxels: 0, n_values, n_bytes: file.n_bytes() }
        }
        Kind::Annotation => return Err(annotation_is_no_scan(path)),
        Kind::Hdf5 => h5::footprint(path, options)?,
        Kind::Arrow => crate::arrow::ArrowRows::open(path, options)?.footprint(),
        Kind::Matlab => {
            let (file, name) = (MatFile::open(path)?, options.dataset.as_deref());
            let sizes: Vec<u64> = file.sizes(name)?.iter().map(|&size| size as u64).collect();
            let n_values = sizes.iter().fold(1, |n: u64, &size| n.saturating_mul(size));
            let is_run = sizes.len() == 4;
            let n_frames = if is_run { sizes[options.volume_axes.to_xyzt()[3]] } else { 0 };
            let n_voxels = n_values.checked_div(n_frames).unwrap_or(0);
            Footprint { n_voxels, n_values, n_bytes: file.read_bytes(name)? }
        }
        Kind::Tensor => {
            let file = TensorFile::open(path)?;
            let entry = file.entry();
            let size = |axis: &usize| *axis as u64;
            let n_values = entry.shape.iter().map(size).fold(1, u64::saturating_mul);
            // as stored and widened, then widened and in our order; what describes the array
            let (is_run, stored) = (entry.shape.len() == 4, entry.dtype.size() as u64);
            let width = if is_run { 4 } else { 8 };
            let n_bytes =
                n_values.saturating_mul(width + stored.max(width)).saturating_add(1 << 20);
            let axes = file.options(options).volume_axes.to_xyzt();
            let n_frames = if is_run { size(&entry.shape[axes[3]]) } else { 0 };
            Footprint { n_voxels: n_values.checked_div(n_frames).unwrap_or(0), n_values, n_bytes }
        }
        Kind::Text => {
            let n_values = text::n_numbers(path)?;
            let n_bytes = std::fs::metadata(path).map_or(0, |file| file.len());
            // the text, the numbers, and their order
            Footprint { n_voxels: 0, n_values, n_bytes: n_bytes + 16 * n_values }
        }
    })
}

#[cfg(test)]
mod tests {
    use ndarray::Array;

    use super::*;
    use crate::{
        CohortWriter, SeriesAxes,
        nii::testing::{Scratch, fixture},
        read_series, write_npy,
    };

    #[test]
    fn every_form_is_reckoned_by_its_header() {
        let scratch = Scratch::new();
        let of = |path: &Path| footprint(path, &OpenOptions::default()).unwrap();
        let run = of(&fixture("run001/bold_1slice.nii.gz"));
        assert_eq!((run.n_voxels, run.n_values, run.n_frames()), (800, 800 * 121, Some(121)));
        assert!(run.n_bytes < 2_000_000, "it is streamed");

        let tensor = scratch.path("run.npy");
        let values = Array::zeros((5, 6, 7, 40)).into_dyn();
        write_npy(&tensor, &values.view()).unwrap();
        let expected = Footprint { n_voxels: 210, n_values: 8400, n_bytes: 12 * 8400 + (1 << 20) };
        assert_eq!(of(&tensor), expected, "64 bits as stored, 32 in memory");

        let table = scratch.file("series.tsv", b"a\tb\n1\t2\n3\t4\n");
        let seen = of(&table);
        assert_eq!((seen.n_voxels, seen.n_values, seen.n_frames()), (0, 7, None));

        let options = OpenOptions {
            t_r: Some(2.0),
            axes: Some(SeriesAxes::TimeParcels),
            ..OpenOptions::default()
        };
        let series = read_series(&table, &options).unwrap();
        let (one, many) = (scratch.path("one.h5"), scratch.path("many.h5"));
        crate::write_hdf5(&one, &series).unwrap();
        assert_eq!(of(&one).n_values, 4);
        let mut writer = CohortWriter::create(&many, 30, &series).unwrap();
        for subject in 0..20 {
            writer.push(&format!("{subject:02}"), &series).unwrap();
        }
        writer.finish().unwrap();
        assert_eq!(of(&many).n_values, 60, "one subject is read at a time");
        assert!(of(&many).n_bytes >= 60 * 8 * 3);
    }
}
