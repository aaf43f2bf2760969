//! Files of `fixtures/surface`, which nibabel 5.4.2 wrote, and what it reads from them.

use serde_json::Value;

use super::testing::{Scratch, surface};
use crate::{
    AffineSource, Atlas, Format, Scan, check_placed, footprint, inspect, open, probe_header,
    read_bold, read_values, read_volume, write_bold,
};

fn facts() -> Value {
    serde_json::from_slice(&std::fs::read(surface("mgh.json")).unwrap()).unwrap()
}

#[test]
fn every_type_has_the_numbers_and_the_affine_of_nibabel() {
    for (name, fact) in facts().as_object().unwrap() {
        let path = surface(name);
        let inspection = inspect(&path).unwrap();
        assert_eq!(inspection.format, Format::Mgh);
        assert_eq!(inspection.gzip, name.ends_with("mgz"));
        let affine: [[f64; 4]; 4] = serde_json::from_value(fact["affine"].clone()).unwrap();
        if name == "unplaced.mgh" {
            // coronal as FreeSurfer takes it (LIA); nibabel has the same cosines transposed (LSP)
            let coronal = [[-1.0, 0.0, 0.0, 2.0], [0.0, 0.0, 1.0, -1.5], [0.0, -1.0, 0.0, 2.5]];
            assert_eq!(inspection.affine[..3], coronal);
            assert_eq!(affine[1], [0.0, 0.0, -1.0, 1.5]);
        } else {
            assert_eq!(inspection.affine, affine, "{name}");
        }
        let values = read_values(&path).unwrap();
        let shape: Vec<usize> = serde_json::from_value(fact["shape"].clone()).unwrap();
        assert_eq!(values.shape(), shape, "{name}");
        let weighted = values.iter().enumerate().map(|(i, x)| x * (i as f64 * 1e-3).cos());
        let (found, expected) = (weighted.sum::<f64>(), fact["sum"].as_f64().unwrap());
        assert!((found - expected).abs() <= 1e-12 * expected.abs(), "{name}: {found} {expected}");
        let source = if name == "unplaced.mgh" {
            AffineSource::MghDefault
        } else {
            AffineSource::MghCosines
        };
        assert_eq!(inspection.affine_source, source);
        check_placed(&path).unwrap();
    }
}

#[test]
fn a_run_is_streamed_with_its_repetition_time_in_milliseconds() {
    let path = surface("float.mgz");
    let opened = open(&path, &crate::OpenOptions::default()).unwrap();
    assert_eq!(
        (opened.t_r(), opened.t_r_source.as_str()),
        (Some(0.8), "tr of the MGH footer in ms")
    );
    assert!(matches!(&opened.scan, Scan::BoldFile(_)));
    let bold = read_bold(&path).unwrap();
    assert_eq!((bold.n_frames(), bold.grid_shape()), (6, [4, 5, 3]));
    assert_eq!(footprint(&path, &crate::OpenOptions::default()).unwrap().n_voxels, 60);
    let zooms = inspect(surface("unplaced.mgh")).unwrap();
    assert_eq!((zooms.zooms, zooms.axcodes.as_deref()), ([1.0; 3], Some("LIA")));
    // what nibabel makes of NIfTI says none
    let seen = probe_header(surface("no_tr.mgz")).unwrap();
    assert_eq!(seen.n_frames, Some(4));
    let said = seen.t_r.unwrap_err();
    assert_eq!(said, "tr of the MGH footer is 0, expected a positive finite number");
    // the same voxels lie in the same places as NIfTI
    let scratch = Scratch::new();
    write_bold(scratch.path("run.nii"), &bold).unwrap();
    let again = read_bold(scratch.path("run.nii")).unwrap();
    assert_eq!(again.data(), bold.data());
}

#[test]
fn an_image_of_labels_is_an_atlas() {
    let scratch = Scratch::new();
    let whole = std::fs::read(surface("int.mgz")).unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&whole[..]), &mut bytes).unwrap();
    // one frame of it
    bytes[16..20].copy_from_slice(&1_i32.to_be_bytes());
    bytes.truncate(284 + 4 * 60);
    let path = scratch.file("aparc+aseg.mgh", &bytes);
    let labels = read_volume(&path).unwrap();
    let mut distinct: Vec<i32> =
        labels.data().iter().map(|&x| x as i32).filter(|&x| x != 0).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let atlas = Atlas::read(&path).unwrap();
    let found: Vec<i32> = atlas.parcels().iter().map(|parcel| parcel.label).collect();
    assert_eq!(found, distinct);
}

#[test]
fn files_that_are_cut_off_or_lie_are_refused_in_a_sentence() {
    let scratch = Scratch::new();
    let whole = std::fs::read(surface("unplaced.mgh")).unwrap();
    let said = |bytes: &[u8]| {
        let said = read_bold(scratch.file("x.mgh", bytes)).unwrap_err().to_string();
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    };
    assert!(said(&whole[..100]).ends_with("x.mgh: holds 100 bytes, its header promises 284"));
    assert!(said(&whole[..500]).ends_with("x.mgh: holds 500 bytes, its header promises 1004"));
    let patched = |at: usize, number: i32| {
        let mut bytes = whole.clone();
        bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
        said(&bytes)
    };
    assert!(
        patched(4, -3).contains("width to nframes is [-3, 5, 3, 6], expected four positive sizes")
    );
    assert!(patched(20, 2).contains("type is 2, expected 0, 1, 3, 4 or 10"));
    for at in [4, 8, 12, 16] {
        let lie = patched(at, i32::MAX);
        assert!(lie.contains("its header promises"), "{lie}");
    }
    // without its footer the file is whole and says no time
    let said = read_bold(scratch.file("x.mgh", &whole[..1004])).unwrap_err().to_string();
    assert!(
        said.ends_with("tr of the MGH footer is 0, expected a positive finite number"),
        "{said}"
    );
}
