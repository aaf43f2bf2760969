//! Every form under a name that lies, and what must be said when the file does not say it.

use std::path::PathBuf;

use ndarray::{Array2, array};

use super::*;
use crate::{
    nii::testing::{Scratch, fixture, oracle, small_bold},
    write_bold, write_hdf5, write_npy,
};

fn formats(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/formats").join(name)
}

fn time_first() -> OpenOptions {
    let (axes, t_r) = (Some(SeriesAxes::TimeParcels), Some(0.72));
    OpenOptions { t_r, axes, ..OpenOptions::default() }
}

/// The values of a series, whatever form it has.
fn series(path: impl AsRef<Path>) -> Array2<f64> {
    let opened = open(path, &time_first()).unwrap();
    assert_eq!((opened.t_r(), opened.t_r_source.as_str()), (Some(0.72), "given"));
    let Scan::Series(series) = opened.scan else { panic!("{} is no series", opened.scan.kind()) };
    series.values
}

#[test]
fn the_content_decides_and_not_the_name() {
    let scratch = Scratch::new();
    let table = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
    let path = scratch.file("table.nii.gz", b"1\t2\t3\n4\t5\t6\n");
    assert_eq!(series(path), table);
    let path = scratch.path("array.csv");
    write_npy(&path, &table.view().into_dyn()).unwrap();
    assert_eq!(series(path), table);
    let path = scratch.path("hdf5.dat");
    let parcels = Vec::new();
    write_hdf5(
        &path,
        &ParcelSeries {
            values: table.clone(),
            t_r: 0.72,
            parcels,
            lost: Vec::new(),
            coverage: None,
            n_nonfinite_frames: 0,
        },
    )
    .unwrap();
    assert_eq!(series(path), table);
    let path = scratch.path("tensor.nii");
    std::fs::copy(formats("bare.pt"), &path).unwrap();
    assert_eq!(series(path), array![[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]);
    let path = scratch.path("run.tsv");
    std::fs::copy(fixture("run001/bold_25mm.nii.gz"), &path).unwrap();
    let opened = open(&path, &OpenOptions::default()).unwrap();
    assert_eq!((opened.t_r(), opened.t_r_source.as_str()), (Some(2.5), "pixdim[4] in s"));
    assert!(matches!(opened.scan, Scan::BoldFile(_)));
    assert_eq!(opened.scan.frames().unwrap().n_frames(), 121);
    let path = scratch.path("cifti.h5");
    std::fs::copy(oracle("msec.ptseries.nii"), &path).unwrap();
    let opened = open(&path, &OpenOptions::default()).unwrap();
    assert_eq!(
        (opened.t_r(), opened.t_r_source.as_str()),
        (Some(0.72), "series step of the CIFTI axes")
    );
    assert_eq!(series(path).dim(), (30, 14));
}

#[test]
fn either_half_of_a_pair_opens_it() {
    for half in ["int16_pair.hdr", "int16_pair.img"] {
        let opened = open(oracle(half), &OpenOptions::default()).unwrap();
        assert_eq!(opened.scan.frames().unwrap().n_frames(), 5);
    }
}

#[test]
fn a_tensor_of_four_axes_is_a_run_once_its_place_and_time_are_given() {
    // torch.arange(120) / 8 - 3 as float16, of shape (2, 3, 4, 5)
    let path = formats("bold_fp16.pt");
    let no_time = open(&path, &OpenOptions::default()).unwrap_err().to_string();
    assert!(
        no_time.ends_with("an array does not say it, so it must be given (`t_r`)"),
        "{no_time}"
    );
    let timed = OpenOptions { t_r: Some(0.735), ..OpenOptions::default() };
    let no_place = open(&path, &timed).unwrap_err().to_string();
    assert!(no_place.contains("does not say where its voxels lie; give `space`"), "{no_place}");
    let place = Space::Affine(*small_bold().affine().rows());
    let options = OpenOptions { space: Some(place), ..timed };
    let Scan::Bold(bold) = open(&path, &options).unwrap().scan else { panic!("a run") };
    assert_eq!((bold.grid_shape(), bold.n_frames(), bold.t_r()), ([2, 3, 4], 5, 0.735));
    assert_eq!(bold.affine(), small_bold().affine());
    let expected = |i: usize| i as f32 / 8.0 - 3.0;
    assert!(bold.data().iter().enumerate().all(|(i, x)| *x == expected(i)));
}

#[test]
fn frames_of_8_bits_are_scaled_and_come_first() {
    // torch 2.8 saved {frames: (arange(72) - 36) as int8 of shape (3, 2, 3, 4), scale: 0.25, num_frames: 3}
    let fixture = |name: &str| {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR"));
        crates.join("../../fixtures/scan").join(name)
    };
    let place = Space::Affine(*small_bold().affine().rows());
    let options = OpenOptions { t_r: Some(0.8), space: Some(place), ..OpenOptions::default() };
    let path = fixture("neurostorm.pt");
    let Scan::Bold(bold) = open(&path, &options).unwrap().scan else { panic!("a run") };
    assert_eq!((bold.grid_shape(), bold.n_frames()), ([2, 3, 4], 3));
    for ((x, y, z, t), value) in bold.data().indexed_iter() {
        assert_eq!(*value, 0.25 * ((24 * t + 12 * x + 4 * y + z) as f32 - 36.0));
    }
    let expected = crate::Shape::Run { grid: [2, 3, 4], n_frames: 3 };
    assert_eq!(crate::shape(&path, &options).unwrap(), expected);
    let said = open(fixture("neurostorm_odd.pt"), &options).unwrap_err().to_string();
    assert!(
        said.ends_with("is 3 frames of 8 bits, num_frames says 4; expected one number of frames"),
        "{said}"
    );
}

#[test]
fn the_grid_of_fsl_has_its_origin_in_the_anterior_commissure() {
    // Voxel (45, 63, 36) of MNI152_T1_2mm is (0, 0, 0) mm, as FSL's atlas tools say.
    let options = OpenOptions { space: Some(Space::FslMni2mm), ..OpenOptions::default() };
    let affine = placed(Path::new("x"), None, &options).unwrap();
    assert_eq!(affine.apply([45.0, 63.0, 36.0]), [0.0, 0.0, 0.0]);
    assert_eq!(affine.axcodes(), "LAS");
}

#[test]
fn what_a_table_does_not_say_must_be_given() {
    let scratch = Scratch::new();
    let path = scratch.file("plain.dat", b"1 2\n3 4\n");
    let none = OpenOptions { t_r: Some(1.0), ..OpenOptions::default() };
    let axes = open(&path, &none).unwrap_err().to_string();
    assert!(axes.contains("which axis is time is not said; give `axes`"), "{axes}");
    let named = scratch.file("named.dat", b"a b\n1 2\n3 4\n");
    let Scan::Series(series) = open(&named, &none).unwrap().scan else { panic!("a series") };
    assert_eq!(series.parcels[1].name, "b");
    for t_r in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let options = OpenOptions { t_r: Some(t_r), ..time_first() };
        let bad = open(&path, &options).unwrap_err().to_string();
        assert!(bad.contains("expected a positive finite number of seconds"), "{bad}");
    }
}

#[test]
fn files_of_other_kinds_are_called_what_they_are() {
    let scratch = Scratch::new();
    let cases: [(&[u8], &str); 8] = [
        (b"", "is empty"),
        (b"PAR1....", "is a Parquet file"),
        (b"<?xml version=\"1.0\"?><GIFTI>", "cannot be read as GIFTI"),
        (b"MATLAB 5.0 MAT-file", "is a MATLAB file of version 5 that is cut short"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"\xff\xfe\0\x01\0\0\0\0", "is of no form that is known"),
        (b"hello, world\n", "row 1: it holds no numbers"),
    ];
    for (bytes, expected) in cases {
        let error = open(scratch.file("x", bytes), &time_first()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
    let missing = open(scratch.path("none"), &time_first()).unwrap_err().to_string();
    assert!(missing.contains("cannot be read"), "{missing}");
    assert!(open(scratch.path(""), &time_first()).unwrap_err().to_string().contains("not a file"));
}

#[test]
fn a_pickle_that_wants_to_run_something_is_refused() {
    let error = open(formats("malicious.pt"), &time_first()).unwrap_err().to_string();
    assert!(error.contains("wants to call") && error.contains("system"), "{error}");
    let several = open(formats("dict.pt"), &time_first()).unwrap_err().to_string();
    assert!(several.ends_with("holds 2 arrays, expected exactly one"), "{several}");
}

#[test]
fn a_run_in_memory_and_in_its_file_are_the_same_frames() {
    let scratch = Scratch::new();
    let path = scratch.path("run.nii");
    let bold = small_bold();
    write_bold(&path, &bold).unwrap();
    let opened = open(&path, &OpenOptions::default()).unwrap();
    let frames = opened.scan.frames().unwrap();
    let mut values = Vec::new();
    let mut visit = |_: usize, frame: crate::Frame<'_>| {
        let mut out = vec![0.0; 6];
        frame.read(&mut out);
        values.extend(out);
        Ok(())
    };
    frames.each(&mut visit).unwrap();
    Frames::each(&bold, &mut visit).unwrap();
    assert_eq!(values[..12], values[12..]);
}
