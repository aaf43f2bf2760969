//! `scan inspect` on every form of file, whole and damaged: facts on stdout, or one sentence on
//! stderr and exit code 2.

use std::{fs, path::Path};

use insta::assert_snapshot;
use tests::{Ran, run};

const ORACLES: &str = "fixtures/oracles/hdf5_cifti";

fn inspect(path: &Path) -> Ran {
    run(&["scan", "inspect", path.to_str().expect("a path of letters")])
}

/// One sentence that names the file; the libraries underneath say nothing.
fn refused(path: &Path) -> String {
    let ran = inspect(path).exits_with(2);
    assert_eq!((ran.stdout.as_str(), ran.stderr.lines().count()), ("", 1), "{ran}");
    let name = path.display().to_string();
    ran.stderr.trim_end().replace(&format!("{name}: "), "").replace("error: ", "")
}

#[test]
fn hdf5_files_are_listed_without_their_texts() {
    let ran = inspect(&Path::new(ORACLES).join("cohort.h5")).exits_with(0);
    assert!(!ran.stdout.contains("sub-0003"), "{ran}");
    assert_snapshot!(ran);
    let path = format!("{ORACLES}/nested.h5");
    let ran = run(&["scan", "inspect", &path, "--json"]).exits_with(0);
    let facts: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(facts["format"], "hdf5");
    assert_eq!(facts["objects"]["/outside"]["kind"], "external_link");
    assert_eq!(facts["objects"]["/sparse"]["shape"], serde_json::json!([64, 40]));
    assert!(facts["private_fields"].as_array().unwrap().contains(&"/@site".into()), "{facts}");
    assert!(!ran.stdout.contains("site A"), "{ran}");
}

#[test]
fn every_form_is_inspected() {
    for (path, expected) in [
        ("fixtures/scan/msec.ptseries.nii", "series step of the CIFTI axes"),
        ("fixtures/scan/int16_pair.hdr", "nifti1_pair"),
        ("fixtures/formats/bold_fp16.pt", "2 3 4 5"),
        ("fixtures/formats/fortran.npy", "2 3"),
        ("fixtures/oracles/hdf5_cifti/matlab73_like.mat", "dataset TR in s"),
    ] {
        let ran = inspect(Path::new(path)).exits_with(0);
        assert!(ran.stdout.contains(expected) && ran.stderr.is_empty(), "{ran}");
    }
}

#[test]
fn damaged_files_end_with_2() {
    assert_snapshot!(refused(&Path::new(ORACLES).join("bad_truncated.h5")), @"cannot be read as HDF5: unable to synchronously open file: truncated file: eof = 13687, sblock->base_addr = 0, stored_eof = 27375");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("writable");
        path
    };
    assert_snapshot!(refused(&file("empty.nii", b"")), @"is empty; expected NIfTI, MGH, CIFTI, GIFTI, HDF5, Arrow, MATLAB, .npy, a PyTorch tensor or a table of numbers");
    assert_snapshot!(refused(Path::new("fixtures/formats/malicious.pt")), @"the file wants to call `posix.system`, which no weight file needs; refused");
    // 377 bytes that claim 18 GB: a header and 25 bytes of voxels
    let mut header = vec![0; 377];
    header[..4].copy_from_slice(&348_i32.to_le_bytes());
    for (slot, size) in [4_i16, 1000, 1000, 1000, 9].into_iter().enumerate() {
        header[40 + 2 * slot..42 + 2 * slot].copy_from_slice(&size.to_le_bytes());
    }
    header[70..72].copy_from_slice(&4_i16.to_le_bytes());
    header[72..74].copy_from_slice(&16_i16.to_le_bytes());
    header[108..112].copy_from_slice(&352_f32.to_le_bytes());
    header[344..348].copy_from_slice(b"n+1\0");
    assert_snapshot!(refused(&file("18gb.nii", &header)), @"holds 377 bytes, its header promises 18000000352");
}
