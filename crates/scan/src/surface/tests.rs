//! Files of `fixtures/surface`, which nibabel 5.4.2 wrote or reads, and the ways they go wrong.

use std::path::PathBuf;

use ndarray::Array2;
use serde_json::Value;

use super::*;
use crate::{
    DenseSeries, Description, GrayordinateAtlas, OpenOptions, Scan, Shape, describe, footprint,
    nii::testing::{Scratch, gzip, surface},
    open, probe_header, shape,
};

const RUN: &str = "sub-01_task-rest_hemi-L_space-fsaverage_bold.func.gii";

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(surface("expected.json")).unwrap()).unwrap()
}

/// Rows of numbers; null is NaN.
fn rows(value: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = value
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row.as_array().unwrap().iter().map(|x| x.as_f64().unwrap_or(f64::NAN)).collect())
        .collect();
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
}

/// All values, `(n_frames, n_vertices)`.
fn values(file: &SurfaceFile) -> Array2<f64> {
    let mut all = Array2::zeros((file.n_frames(), file.n_vertices()));
    file.each(&mut |part| match part {
        Part::Place { place, values } => {
            all.column_mut(place).iter_mut().zip(values).for_each(|(to, x)| *to = *x);
        }
        Part::Frame { frame, first, values } => {
            values.iter().enumerate().for_each(|(at, x)| all[[frame, first + at]] = *x);
        }
    })
    .unwrap();
    all
}

fn same(found: &Array2<f64>, expected: &Array2<f64>) {
    assert_eq!(found.dim(), expected.dim());
    for (found, expected) in found.iter().zip(expected) {
        assert!(found == expected || found.is_nan() && expected.is_nan(), "{found} {expected}");
    }
}

/// The one sentence of a file that is refused.
fn sentence(path: &Path) -> String {
    let said = open(path, &OpenOptions { t_r: Some(2.0), ..OpenOptions::default() });
    let said = said.unwrap_err().to_string();
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn both_hemispheres_are_one_series_with_the_numbers_of_nibabel() {
    let facts = expected();
    let [left, right] = ["series_L", "series_R"].map(|key| rows(&facts[key]));
    let both = ndarray::concatenate![ndarray::Axis(1), left, right];
    for name in [RUN, &RUN.replace("hemi-L", "hemi-R")] {
        let path = surface(name);
        let file = SurfaceFile::open(&path, None).unwrap();
        same(&values(&file), &both);
        assert_eq!(file.t_r().unwrap(), 2.0);
        assert_eq!(file.t_r_source(), "TimeStep of the GIFTI metadata in ms");
        let meshes: Vec<(&str, usize)> = file.places().meshes().collect();
        assert_eq!(
            meshes,
            [("CIFTI_STRUCTURE_CORTEX_LEFT", 12), ("CIFTI_STRUCTURE_CORTEX_RIGHT", 10)]
        );
        assert_eq!(crate::files_of_scan(&path).len(), 2);
        let opened = open(&path, &OpenOptions::default()).unwrap();
        assert!(matches!(&opened.scan, Scan::Grayordinates(_)));
        assert_eq!(
            probe_header(&path).unwrap(),
            crate::HeaderFacts { n_frames: Some(5), t_r: Ok(2.0) }
        );
        let options = OpenOptions::default();
        assert_eq!(shape(&path, &options).unwrap(), Shape::Grayordinates { n_frames: 5 });
        let footprint = footprint(&path, &options).unwrap();
        assert_eq!((footprint.n_values, footprint.n_voxels), (110, 0));
        assert!((8_000..20_000).contains(&footprint.n_bytes), "{}", footprint.n_bytes);
    }
}

#[test]
fn images_of_one_voxel_a_vertex_are_the_same_series() {
    let facts = expected();
    let [left, right] = ["series_L", "series_R"].map(|key| rows(&facts[key]));
    let path = surface("sub-01.rh.mgz");
    let file = SurfaceFile::open(&path, None).unwrap();
    same(&values(&file), &ndarray::concatenate![ndarray::Axis(1), left, right]);
    assert_eq!(
        (file.t_r().unwrap(), file.t_r_source().as_str()),
        (2.0, "tr of the MGH footer in ms")
    );
    assert_eq!(crate::files_of_scan(&path).len(), 2);
    let atlas = GrayordinateAtlas::read(surface("lh.test.annot")).unwrap();
    let dense = DenseSeries::of(&path, None).unwrap().unwrap();
    let gifti = DenseSeries::of(surface(RUN), None).unwrap().unwrap();
    assert_eq!(atlas.extract(&dense).unwrap().values, atlas.extract(&gifti).unwrap().values);
    let scratch = Scratch::new();
    let unnamed = scratch.file("run.mgz", &std::fs::read(&path).unwrap());
    let said = sentence(&unnamed);
    assert!(said.ends_with("expected `lh.` or `hemi-L` in it"), "{said}");
    let said = GrayordinateAtlas::read(&path).unwrap_err().to_string();
    assert!(said.ends_with("expected a `.label.gii` or an `.annot` as atlas"), "{said}");
}

#[test]
fn one_array_of_two_axes_is_the_same_series_where_something_tells_the_axes() {
    let facts = expected();
    let [left, right] = ["series_L", "series_R"].map(|key| rows(&facts[key]));
    // 12 and 10 vertices: the axis that both hemispheres share is time
    let file = SurfaceFile::open(surface("one_hemi-R.gii"), None).unwrap();
    same(&values(&file), &ndarray::concatenate![ndarray::Axis(1), left, right]);
    let said = file.t_r().unwrap_err().to_string();
    assert!(said.ends_with("the GIFTI file does not say it (no TimeStep)"), "{said}");

    let scratch = Scratch::new();
    let alone = scratch.file("lh.gii", &std::fs::read(surface("one_hemi-L.gii")).unwrap());
    let said = sentence(&alone);
    assert!(
        said.ends_with(
            "lh.gii: its one array is 12 × 5, and either axis may be time; give `axes`, \
             `time_parcels` or `parcels_time`, or write one array a frame"
        ),
        "{said}"
    );
    assert_eq!(probe_header(&alone).unwrap().n_frames, None);
    let file = SurfaceFile::open(&alone, Some(SeriesAxes::ParcelsTime)).unwrap();
    same(&values(&file), &rows(&facts["series_L"]));
    let turned = SurfaceFile::open(&alone, Some(SeriesAxes::TimeParcels)).unwrap();
    assert_eq!((turned.n_frames(), turned.n_vertices()), (12, 5));
}

#[test]
fn every_encoding_order_and_byte_order_is_read() {
    let expected = rows(&expected()["encoded"]);
    for encoding in ["ASCII", "Base64Binary", "GZipBase64Binary"] {
        for order in ["Row", "Column"] {
            for endian in ["Little", "Big"] {
                let name = format!("encoded_{encoding}_{order}_{endian}.rh.gii");
                let file =
                    SurfaceFile::open(surface(&name), Some(SeriesAxes::ParcelsTime)).unwrap();
                same(&values(&file), &expected);
            }
        }
    }
    // packed as a whole, told by its content
    let scratch = Scratch::new();
    let bytes = std::fs::read(surface("encoded_ASCII_Row_Little.rh.gii")).unwrap();
    let packed = scratch.file("x.rh.gii", &gzip(&bytes));
    same(&values(&SurfaceFile::open(&packed, Some(SeriesAxes::ParcelsTime)).unwrap()), &expected);
}

#[test]
fn regions_of_equal_numbers_stay_apart_and_their_means_are_numpys() {
    let facts = expected();
    let series = DenseSeries::of(surface(RUN), None).unwrap().unwrap();
    let cases = [
        (
            "atlas_hemi-L.label.gii",
            "label_means",
            vec![(1, "lh_A"), (2, "B"), (3, "rh_A"), (4, "D"), (5, "E")],
        ),
        (
            "lh.test.annot",
            "annot_means",
            vec![(1, "lh_bankssts"), (2, "cuneus"), (3, "rh_bankssts")],
        ),
    ];
    for (name, means, regions) in cases {
        let atlas = GrayordinateAtlas::read(surface(name)).unwrap();
        let found: Vec<(i32, &str)> =
            atlas.parcels().iter().map(|parcel| (parcel.label, parcel.name.as_str())).collect();
        assert_eq!(found, regions);
        let extracted = atlas.extract(&series).unwrap();
        let expected = rows(&facts[means]).reversed_axes();
        for (found, expected) in extracted.values.iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-12 * expected.abs(), "{found} {expected}");
        }
    }
    let coverage = GrayordinateAtlas::read(surface("atlas_hemi-R.label.gii")).unwrap();
    let coverage = coverage.extract(&series).unwrap().coverage.unwrap();
    // the fourth left vertex has no data, and is one of four of region B
    assert_eq!(coverage[..2], [1.0, 0.75]);
}

#[test]
fn both_versions_of_an_annotation_are_read_as_nibabel_reads_them() {
    let facts = expected();
    for (name, key) in
        [("lh.test.annot", "annot_L"), ("lh.old.annot", "annot_L"), ("rh.test.annot", "annot_R")]
    {
        let annotation = annot::read(&surface(name)).unwrap();
        let found: Vec<i64> = annotation.keys.iter().map(|&key| key.into()).collect();
        let expected: Vec<i64> =
            facts[key].as_array().unwrap().iter().map(|x| x.as_i64().unwrap()).collect();
        assert_eq!(found, expected, "{name}");
        assert_eq!(annotation.table[&1], "bankssts");
    }
    let alone = GrayordinateAtlas::read(surface("lh.old.annot")).unwrap();
    assert_eq!((alone.n_parcels(), alone.parcels()[0].name.as_str()), (2, "bankssts"));
}

#[test]
fn what_is_wrong_with_a_file_is_one_sentence() {
    let scratch = Scratch::new();
    let text = std::fs::read_to_string(surface("encoded_Base64Binary_Row_Little.rh.gii")).unwrap();
    let zlib =
        std::fs::read_to_string(surface("encoded_GZipBase64Binary_Row_Little.rh.gii")).unwrap();
    let (start, rest) = zlib.split_once("<Data>").unwrap();
    let (data, end) = rest.split_once("</Data>").unwrap();
    let cases = [
        (
            text.replace("Dim1=\"5\"", "Dim1=\"6\""),
            "array 1: it holds 200 bytes, its sizes [10, 6] promise 240",
        ),
        (text.replace("Dim0=\"10\"", "Dim0=\"0\""), "array 1: its sizes are [0, 5], expected 1 to"),
        (text.replace("Dim0=\"10\"", "Dim0=\"4611686018427387904\""), "expected 1 to"),
        (
            text.replace("NumberOfDataArrays=\"1\"", "NumberOfDataArrays=\"2\""),
            "holds 1 arrays, its NumberOfDataArrays is 2",
        ),
        (
            text.replace("\"Base64Binary\"", "\"ExternalFileBinary\""),
            "its numbers lie in another file",
        ),
        (
            text.replace("FLOAT32", "RGB24"),
            "DataType is \"NIFTI_TYPE_RGB24\", expected real numbers",
        ),
        (
            text.replace("LittleEndian", "Middle"),
            "Endian is \"Middle\", expected LittleEndian or BigEndian",
        ),
        (
            text.replace("INTENT_NONE", "INTENT_POINTSET"),
            "array 1 is part of a surface's shape, expected a time series",
        ),
        (
            text.replace("INTENT_NONE", "INTENT_LABEL"),
            "array 1 is a map of labels, expected a time series",
        ),
        (text[..text.len() - 40].to_owned(), "cannot be read as GIFTI"),
        (text.replace("gifti.dtd\"", "gifti.dtd\" [<!ENTITY a \"b\">]"), "defines entities"),
        (
            format!("{start}<Data>{}</Data>{end}", &data[..data.len() / 8 * 4]),
            "its compressed numbers are damaged",
        ),
        (text.replace("<Data>", "<Data>?"), "its numbers are no base64"),
    ];
    for (at, (text, expected)) in cases.iter().enumerate() {
        let path = scratch.file(&format!("{at}.rh.gii"), text.as_bytes());
        let said = match open(
            &path,
            &OpenOptions {
                axes: Some(SeriesAxes::ParcelsTime),
                t_r: Some(2.0),
                ..OpenOptions::default()
            },
        ) {
            Err(error) => error.to_string(),
            // the numbers are looked at when they are asked for
            Ok(opened) => {
                let Scan::Grayordinates(dense) = opened.scan else { panic!("a surface") };
                dense.each(&mut |_| {}).unwrap_err().to_string()
            }
        };
        assert!(said.contains(expected), "{said} | {expected}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let nowhere = sentence(&scratch.file("bold.gii", text.as_bytes()));
    assert!(
        nowhere.contains("neither its name nor its metadata say which hemisphere"),
        "{nowhere}"
    );
    let named = text.replace("<MetaData/><LabelTable", "<MetaData><MD><Name>AnatomicalStructurePrimary</Name><Value>CortexLeft</Value></MD></MetaData><LabelTable");
    let said = sentence(&scratch.file("x.rh.gii", named.as_bytes()));
    assert!(
        said.ends_with(
            "its metadata say it is of the left hemisphere, its name says the right hemisphere"
        ),
        "{said}"
    );
    let named = named.replace("CortexLeft", "Cerebellum");
    let said = sentence(&scratch.file("x.rh.gii", named.as_bytes()));
    assert!(
        said.ends_with("its structure is \"Cerebellum\", expected CortexLeft or CortexRight"),
        "{said}"
    );
}

#[test]
fn hemispheres_that_are_of_two_runs_are_refused() {
    let scratch = Scratch::new();
    let copy = |name: &str, change: &dyn Fn(String) -> String| -> PathBuf {
        scratch.file(name, change(std::fs::read_to_string(surface(name)).unwrap()).as_bytes())
    };
    let path = copy(RUN, &|text| text);
    let right = RUN.replace("hemi-L", "hemi-R");
    copy(&right, &|text| text.replace("2000.000000", "720"));
    let said = SurfaceFile::open(&path, None).unwrap_err().to_string();
    assert!(
        said.ends_with("has a frame every 0.72 s, the left hemisphere beside it every 2 s"),
        "{said}"
    );
    copy(&right, &|text| {
        let at = text.rfind("<DataArray").unwrap();
        text[..at].replace("NumberOfDataArrays=\"5\"", "NumberOfDataArrays=\"4\"") + "</GIFTI>"
    });
    let said = SurfaceFile::open(&path, None).unwrap_err().to_string();
    assert!(said.ends_with("has 4 frames, the left hemisphere beside it 5"), "{said}");
    let odd = copy(RUN, &|text| text.replace("2000.000000", "40"));
    std::fs::remove_file(scratch.path(&right)).unwrap();
    let said = SurfaceFile::open(odd, None).unwrap().t_r().unwrap_err().to_string();
    assert!(said.ends_with("TimeStep is \"40\", expected 0.05 to 30 s, or as many ms"), "{said}");
}

#[test]
fn an_atlas_of_another_mesh_or_of_two_hemispheres_needs_the_same_of_a_scan() {
    let scratch = Scratch::new();
    let both = GrayordinateAtlas::read(surface("atlas_hemi-L.label.gii")).unwrap();
    let left = scratch.file("lh.gii", &std::fs::read(surface(RUN)).unwrap());
    let dense = DenseSeries::of(&left, None).unwrap().unwrap();
    let said = both.check(&dense).unwrap_err().to_string();
    assert!(
        said.contains("has no CIFTI_STRUCTURE_CORTEX_RIGHT, of which the atlas has regions"),
        "{said}"
    );
    let alone =
        scratch.file("lh.a.label.gii", &std::fs::read(surface("atlas_hemi-L.label.gii")).unwrap());
    let alone = GrayordinateAtlas::read(&alone).unwrap();
    assert_eq!(alone.parcels()[0].name, "A");
    alone.check(&dense).unwrap();
    let other = std::fs::read_to_string(surface("encoded_ASCII_Row_Little.rh.gii")).unwrap();
    let other = scratch.file("other.lh.gii", other.as_bytes());
    let dense = DenseSeries::of(&other, Some(SeriesAxes::ParcelsTime)).unwrap().unwrap();
    let said = alone.check(&dense).unwrap_err().to_string();
    assert!(said.ends_with("CORTEX_LEFT has a mesh of 10 vertices, the atlas one of 12"), "{said}");
    assert_ne!(both.sha256(), alone.sha256());
}

#[test]
fn annotations_that_are_cut_off_or_lie_are_refused() {
    let scratch = Scratch::new();
    let whole = std::fs::read(surface("lh.test.annot")).unwrap();
    for n in [9, 50, 99, 110, 130, whole.len() - 1] {
        let said = annot::read(&scratch.file("lh.annot", &whole[..n])).unwrap_err().to_string();
        assert!(said.contains("lh.annot: is no whole annotation: "), "{said}");
    }
    let mut many = whole.clone();
    many[..4].copy_from_slice(&i32::MAX.to_be_bytes());
    let said = annot::read(&scratch.file("lh.annot", &many)).unwrap_err().to_string();
    assert!(
        said.ends_with("the number of vertices is 2147483647, more than the file holds"),
        "{said}"
    );
    let mut twice = whole;
    twice[12..16].copy_from_slice(&12_i32.to_be_bytes());
    let said = annot::read(&scratch.file("lh.annot", &twice)).unwrap_err().to_string();
    assert!(said.ends_with("it has vertex 12 of 12"), "{said}");
    let said = sentence(&surface("lh.test.annot"));
    assert!(
        said.ends_with("is a FreeSurfer annotation, which is an atlas; expected a scan"),
        "{said}"
    );
    let said = GrayordinateAtlas::read(surface(RUN)).unwrap_err().to_string();
    assert!(said.contains("NIFTI_INTENT_TIME_SERIES, expected a map of labels"), "{said}");
}

#[test]
fn a_description_names_metadata_and_shows_none() {
    let Description::Surface(found) = describe(surface(RUN)).unwrap() else { panic!("a surface") };
    assert_eq!(found.content, "series of 5 frames and 12 vertices");
    assert_eq!((found.hemisphere, found.t_r), (Some("left hemisphere"), Some(2.0)));
    assert_eq!((found.n_arrays, found.shape), (5, vec![12]));
    assert!(found.other_hemisphere.unwrap().ends_with(RUN.replace("hemi-L", "hemi-R")));
    assert!(found.private_fields.contains(&"UserName".to_owned()));
    let Description::Surface(found) = describe(surface("rh.test.annot")).unwrap() else {
        panic!("a surface")
    };
    assert_eq!((found.content.as_str(), found.n_labels), ("labels of 10 vertices", 3));
}
