//! Files of `fixtures/matlab`, which scipy 1.17.1 wrote or reads, and the ways they go wrong.

use ndarray::{Array2, array};

use super::*;
use crate::{
    Description, Scan, SeriesAxes, Shape, array_names, describe, footprint, nii::testing::Scratch,
    open, probe_header, read_array, shape,
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/matlab").join(name)
}

/// What `make.py` stores: regions × frames.
fn tc() -> Array2<f64> {
    Array2::from_shape_fn((3, 5), |(row, column)| 10.0 * row as f64 + column as f64 + 0.5)
}

fn regions_first() -> OpenOptions {
    OpenOptions { t_r: Some(0.72), axes: Some(SeriesAxes::ParcelsTime), ..OpenOptions::default() }
}

fn sentence(path: &Path, options: &OpenOptions) -> String {
    let said = open(path, options).unwrap_err().to_string();
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn a_matrix_is_a_series_as_scipy_reads_it() {
    for name in ["one.mat", "packed.mat"] {
        let opened = open(fixture(name), &regions_first()).unwrap();
        let Scan::Series(series) = opened.scan else { panic!("a series") };
        assert_eq!(series.values, tc().reversed_axes(), "{name}");
        assert_eq!((series.t_r, opened.t_r_source.as_str()), (0.72, "given"));
    }
    let by_count = OpenOptions { axes: Some(SeriesAxes::ByParcels(3)), ..regions_first() };
    let options = OpenOptions { t_r: None, ..by_count };
    let path = fixture("packed.mat");
    let opened = open(&path, &options).unwrap();
    assert_eq!((opened.t_r(), opened.t_r_source.as_str()), (Some(0.72), "variable `TR`"));
    assert_eq!(probe_header(&path).unwrap().t_r, Ok(0.72));
    let expected = Shape::Series { n_frames: 5, n_parcels: 3 };
    assert_eq!(shape(&path, &options).unwrap(), expected);
    let footprint = footprint(&path, &options).unwrap();
    assert_eq!((footprint.n_values, footprint.n_voxels), (15, 0));
    let said = sentence(&fixture("one.mat"), &options);
    assert!(said.contains("the file does not say it (no number called TR, t_r, tr, "), "{said}");
}

#[test]
fn one_of_several_matrices_is_named_whatever_its_type() {
    let path = fixture("several.mat");
    let said = sentence(&path, &regions_first());
    assert!(
        said.ends_with(
            "holds 6 matrices (tc, whole, bytes, single, long, run), expected `dataset` with the \
             name of one"
        ),
        "{said}"
    );
    for (name, less) in
        [("tc", 0.0), ("whole", 0.5), ("bytes", 0.5), ("single", 0.0), ("long", 0.5)]
    {
        assert_eq!(read_array(&path, Some(name)).unwrap(), (tc() - less).into_dyn(), "{name}");
    }
    assert_eq!(array_names(&path).unwrap().len(), 6);
    let named = |name: &str| OpenOptions { dataset: Some(name.to_owned()), ..regions_first() };
    for (name, what) in
        [("cells", "a cell array"), ("complex", "complex numbers"), ("struct", "a struct")]
    {
        let said = sentence(&path, &named(name));
        assert!(
            said.ends_with(&format!("`{name}` is {what}, expected an array of real numbers")),
            "{said}"
        );
    }
    let said = sentence(&path, &named("none"));
    assert!(said.contains("holds no array `none`, expected one of its own: tc, whole"), "{said}");
    let said = sentence(&fixture("text_only.mat"), &regions_first());
    assert!(said.ends_with("holds no matrix of real numbers: `note` is text"), "{said}");
    // four axes are a run, whose place must be given
    let said = sentence(&path, &named("run"));
    assert!(said.contains("does not say where its voxels lie"), "{said}");
    let affine =
        [[2.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 1.0]];
    let options = OpenOptions { space: Some(crate::Space::Affine(affine)), ..named("run") };
    let Scan::Bold(run) = open(&path, &options).unwrap().scan else { panic!("a run") };
    assert_eq!((run.grid_shape(), run.n_frames()), ([2, 3, 4], 5));
    assert_eq!(run.data()[[1, 2, 3, 4]], 119.0);
    assert_eq!(run.data()[[0, 0, 1, 0]], 5.0);
    assert_eq!(shape(&path, &options).unwrap(), Shape::Run { grid: [2, 3, 4], n_frames: 5 });
}

#[test]
fn numbers_stored_narrower_and_the_other_byte_order_are_read() {
    let values = read_array(fixture("big.mat"), None).unwrap();
    let expected = array![[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0], [8.0, 9.0, 10.0, 11.0]];
    assert_eq!(values, expected.into_dyn());
    let Description::Matlab(found) = describe(fixture("packed.mat")).unwrap() else {
        panic!("a MATLAB file")
    };
    assert_eq!((found.dataset.as_deref(), found.t_r), (Some("tc"), Some(0.72)));
    assert_eq!(found.variables["tc"], "double 3 × 5");
    assert_eq!(found.private_fields, ["name"]);
}

#[test]
fn files_that_are_cut_off_or_lie_are_refused() {
    let scratch = Scratch::new();
    let whole = std::fs::read(fixture("one.mat")).unwrap();
    let said = |bytes: &[u8]| sentence(&scratch.file("x.mat", bytes), &regions_first());
    assert!(
        said(&whole[..100]).ends_with(
            "is a MATLAB file of version 5 that is cut short; expected NIfTI, \
        MGH, CIFTI, GIFTI, HDF5, Arrow, MATLAB, .npy, a PyTorch tensor or a table of numbers"
        ),
        "{}",
        said(&whole[..100])
    );
    assert!(
        said(&whole[..140]).contains("its variable 1: it claims 168 bytes, the file has 4 more")
    );
    assert!(
        said(&whole[..200]).contains("its variable 1: it claims 168 bytes, the file has 64 more")
    );
    // rows and columns stand after the flags
    let patched = |at: usize, number: u32| {
        let mut bytes = whole.clone();
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        said(&bytes)
    };
    assert_eq!(whole[160..164], 3_u32.to_le_bytes());
    assert!(patched(160, 4).ends_with("`tc`: it has 120 bytes of numbers, its sizes promise 160"));
    assert!(patched(160, i32::MAX as u32).contains("x.mat: "), "{}", patched(160, i32::MAX as u32));
    assert!(patched(160, u32::MAX).contains("the sizes of a matrix are"));
    assert!(
        patched(156, 400).contains("the sizes of a matrix claims 400 bytes, expected at most 128")
    );
    let packed = std::fs::read(fixture("packed.mat")).unwrap();
    let mut damaged = packed.clone();
    damaged[150..170].fill(0xff);
    let told = said(&damaged);
    assert!(told.contains("its variable 1: ") || told.contains("`tc`: "), "{told}");
}
