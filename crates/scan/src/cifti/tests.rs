//! Real structure, one thing wrong each.

use super::*;
use crate::nii::testing::{Scratch, oracle};
use crate::{DenseSeries, GrayordinateAtlas};

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(oracle(name)).unwrap()
}

fn sentence(bytes: &[u8]) -> String {
    let scratch = Scratch::new();
    CiftiFile::open(scratch.file("x.nii", bytes)).unwrap_err().to_string()
}

/// Changes text of the XML without changing its length.
fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    let mut bytes = bytes.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

#[test]
fn a_parcel_series_has_names_and_seconds() {
    let series = CiftiFile::open(oracle("msec.ptseries.nii")).unwrap().parcel_series().unwrap();
    assert_eq!(series.values.dim(), (30, 14));
    assert_eq!(series.t_r, 0.72);
    assert_eq!(series.parcels[13].name, "7Networks_LH_Vis_14");
    assert_eq!(series.parcels[13].label, 14);
}

#[test]
fn steps_that_no_scanner_makes_are_refused() {
    let scratch = Scratch::new();
    let seconds =
        replaced(&bytes("msec.ptseries.nii"), "SeriesExponent=\"-3\"", "SeriesExponent=\"+0\"");
    let file = CiftiFile::open(scratch.file("x.nii", &seconds)).unwrap();
    let found = file.parcel_series().unwrap_err().to_string();
    assert!(found.contains("its rows are 720 s apart, expected 0.05 to 30 s"), "{found}");
}

#[test]
fn text_that_describes_another_matrix_is_refused() {
    let good = bytes("msec.ptseries.nii");
    let cases = [
        (
            "NumberOfSeriesPoints=\"30\"",
            "NumberOfSeriesPoints=\"31\"",
            "its XML describes [31, 14]",
        ),
        (
            "SeriesStep=\"720.0\"",
            "SeriesStep=\"72x.0\"",
            "SeriesStep is \"72x.0\", expected a number",
        ),
        ("INDEX_TYPE_SERIES", "INDEX_TYPE_SERIEX", "CIFTI_INDEX_TYPE_SERIEX, which is not"),
        ("AppliesToMatrixDimension=\"1\"", "AppliesToMatrixDimension=\"7\"", "its dimension 1"),
        ("<CIFTI Version=\"2.0\"", "<CIFTX Version=\"2.0\"", "expected"),
        ("Version=\"2.0\"", "Version=\"1.0\"", "CIFTI version 1.0, expected 2"),
        ("8 39 55 168 227", "8 39 55 16x 227", "\"16x\" stands in a list of whole numbers"),
    ];
    for (from, to, expected) in cases {
        let found = sentence(&replaced(&good, from, to));
        assert!(found.contains(expected), "{found} | {expected}");
    }
}

#[test]
fn a_file_without_its_text_is_refused() {
    let good = bytes("msec.ptseries.nii");
    let mut code = good.clone();
    code[548] = 6;
    assert!(sentence(&code).contains("its header carries no XML (extension 32)"));
    for size in [0_i32, 7, -8] {
        let mut broken = good.clone();
        broken[544..548].copy_from_slice(&size.to_le_bytes());
        assert!(sentence(&broken).contains("carries no XML"), "{size}");
    }
    assert!(sentence(&good[..900]).contains("its header promises"));
    let bomb = "<!DOCTYPE a [<!ENTITY b \"c\">]>";
    let doctype =
        replaced(&good, &"<CIFTI Version=\"2.0\"><Matrix><MatrixIndices"[..bomb.len()], bomb);
    assert!(sentence(&doctype).contains("DTD"), "{}", sentence(&doctype));
}

#[test]
fn a_plain_image_is_no_cifti_file() {
    let error = CiftiFile::open(crate::nii::testing::fixture("run001/bold_1slice.nii.gz"));
    assert!(error.unwrap_err().to_string().ends_with("its shape [40, 20, 1, 121] is no matrix"));
}

#[test]
fn labels_have_names_and_need_a_series_to_average() {
    let path = oracle("atlas.dlabel.nii");
    let atlas = GrayordinateAtlas::read(&path).unwrap();
    let names: Vec<&str> = atlas.parcels().iter().map(|parcel| parcel.name.as_str()).collect();
    assert_eq!(names, ["V1", "V2", "MT+ & é"]);
    let dense = DenseSeries::Cifti(CiftiFile::open(&path).unwrap());
    let error = atlas.extract(&dense).unwrap_err().to_string();
    assert!(error.ends_with("its rows are no series"), "{error}");
    let error = GrayordinateAtlas::read(oracle("msec.ptseries.nii")).unwrap_err().to_string();
    assert!(error.contains("its rows are no labels"), "{error}");
}
