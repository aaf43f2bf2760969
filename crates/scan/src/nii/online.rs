//! Files that SPM, FSL, dipy and scanners wrote, from two packages that carry them.
//!
//! Fetched by pip when asked for: `cargo test -p scan --features online-data`. The files stay out
//! of the repository; the numbers are what nibabel 5.4.2 and numpy 2.4 make of them.

use std::{path::Path, process::Command};

use super::{read_bold, read_bold_with, read_values};
use crate::{CiftiAxis, CiftiFile, Inspection, ReadOptions, inspect};

/// What nibabel reads: shape, type, byte order, codes of the axes, mean, deviation, the sum of
/// value × cos(0.001 × row-major index), the last column of the affine, and the seconds between
/// frames where they can be believed.
struct Recorded {
    path: &'static str,
    dims: &'static [usize],
    dtype: [&'static str; 2],
    axcodes: &'static str,
    moments: [f64; 3],
    origin: [f64; 3],
    t_r: Option<f64>,
}

const RECORDED: [Recorded; 8] = [
    Recorded {
        path: "nibabel/tests/data/functional.nii",
        dims: &[17, 21, 3, 20],
        dtype: ["int16", "little"],
        axcodes: "LAS",
        moments: [3_637.408_513_675_239, 530.412_373_779_884, 2_122_533.705_420_993],
        origin: [32.0, -40.0, 0.0],
        t_r: Some(2.0),
    },
    Recorded {
        path: "nibabel/tests/data/example4d.nii.gz",
        dims: &[128, 96, 24, 2],
        dtype: ["int16", "little"],
        axcodes: "LAS",
        moments: [172.908_114_963_107_64, 238.768_099_508_597, 46_710.266_753_048_11],
        origin: [117.855_102_539_062_5, -35.722_942_352_294_92, -7.248_798_370_361_328],
        // 2000, and the unit is seconds
        t_r: None,
    },
    Recorded {
        path: "nibabel/tests/data/example_nifti2.nii.gz",
        dims: &[32, 20, 12, 2],
        dtype: ["int16", "little"],
        axcodes: "LAS",
        moments: [450.963_671_875, 80.975_485_668_353_16, 180_686.039_234_016_03],
        origin: [117.855_102_539_062_5, -35.722_942_352_294_92, -7.248_798_370_361_328],
        t_r: None,
    },
    Recorded {
        path: "nibabel/tests/data/anatomical.nii",
        dims: &[33, 41, 25],
        dtype: ["int16", "big"],
        axcodes: "LAS",
        moments: [8_401.066_725_794_532, 2_526.656_113_391_911_7, 7_630_987.234_313_912],
        origin: [32.0, -40.0, -16.0],
        t_r: None,
    },
    Recorded {
        path: "nibabel/tests/data/reoriented_anat_moved.nii",
        dims: &[21, 26, 22],
        dtype: ["float32", "big"],
        axcodes: "RAS",
        moments: [2_725.588_532_230_912, 4_153.070_622_689_81, -6_847_758.475_646_207],
        origin: [-35.297_897_338_867_19, -47.977_584_838_867_19, -27.599_409_103_393_555],
        t_r: None,
    },
    Recorded {
        path: "nibabel/tests/data/standard.nii.gz",
        dims: &[4, 5, 7],
        dtype: ["uint8", "little"],
        axcodes: "RAS",
        moments: [54.642_857_142_857_146, 104.633_105_347_656_94, 7_621.432_440_151_500_5],
        origin: [0.0, 0.0, 0.0],
        t_r: None,
    },
    Recorded {
        path: "nitime/data/fmri1.nii.gz",
        dims: &[10, 10, 18, 40],
        dtype: ["int16", "little"],
        axcodes: "LSP",
        moments: [692.067_416_666_666_6, 134.221_448_172_181_1, 46_989.646_808_291_2],
        origin: [96.995_506_286_621_1, -30.810_714_721_679_688, -71.397_148_132_324_22],
        t_r: Some(1.350_000_023_841_858),
    },
    Recorded {
        path: "nitime/data/fmri2.nii.gz",
        dims: &[10, 10, 18, 40],
        dtype: ["int16", "little"],
        axcodes: "LSP",
        moments: [787.372_263_888_888_9, 139.519_468_534_511_65, 145_881.316_221_436_37],
        origin: [96.995_506_286_621_1, -30.810_714_721_679_688, -71.397_148_132_324_22],
        t_r: Some(1.350_000_023_841_858),
    },
];

fn python(arguments: &[&str], folder: &Path) {
    let status = Command::new("python3").args(arguments).current_dir(folder).status();
    assert!(status.expect("python3 is there").success(), "python3 {arguments:?}");
}

#[test]
#[cfg_attr(not(feature = "online-data"), ignore = "fetches two packages: --features online-data")]
fn files_of_other_writers_read_as_nibabel_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let fetch = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"];
    python(&[&fetch[..], &["nibabel==5.4.2", "nitime==0.12.1"]].concat(), folder.path());
    for wheel in std::fs::read_dir(folder.path()).unwrap().flatten() {
        let name = wheel.file_name().into_string().unwrap();
        python(&["-m", "zipfile", "-e", &name, "."], folder.path());
    }
    for recorded in &RECORDED {
        check(folder.path(), recorded);
    }
    matrix(&folder.path().join("nibabel/tests/data/row_major.dconn.nii"));
}

fn check(folder: &Path, recorded: &Recorded) {
    let path = folder.join(recorded.path);
    let Inspection { dims, dtype, byte_order, axcodes, affine, t_r, .. } = inspect(&path).unwrap();
    assert_eq!(
        (&dims[..], &dtype[..], byte_order),
        (recorded.dims, recorded.dtype[0], recorded.dtype[1])
    );
    assert_eq!(
        (axcodes.as_deref(), t_r),
        (Some(recorded.axcodes), recorded.t_r),
        "{}",
        recorded.path
    );
    for (row, expected) in affine.iter().zip(recorded.origin) {
        assert!((row[3] - expected).abs() < 1e-9, "{affine:?}");
    }
    let values = read_values(&path).unwrap();
    let n = values.len() as f64;
    let mean = values.sum() / n;
    let deviation = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    let weighted = values.iter().enumerate().map(|(i, x)| x * (i as f64 * 1e-3).cos()).sum();
    let size = values.iter().map(|x| x.abs()).sum::<f64>();
    let sizes = [deviation, deviation, size];
    for ((found, expected), size) in
        [mean, deviation, weighted].into_iter().zip(recorded.moments).zip(sizes)
    {
        assert!((found - expected).abs() < 1e-10 * size, "{}: {found} {expected}", recorded.path);
    }
    if recorded.dims.len() == 4 {
        let run = read_bold(&path);
        assert_eq!(run.as_ref().ok().map(super::super::bold::Bold::t_r), recorded.t_r);
        if let Err(error) = run {
            assert!(error.to_string().contains("perhaps 2000 ms is meant"), "{error}");
            let known = ReadOptions { t_r: Some(2.0) };
            assert_eq!(read_bold_with(&path, &known).unwrap().t_r(), 2.0);
        }
    }
}

fn matrix(path: &Path) {
    let cifti = CiftiFile::open(path).unwrap();
    assert_eq!(cifti.shape(), [10, 10]);
    assert!(cifti.axes().iter().all(|axis| matches!(axis, CiftiAxis::BrainModels(_))));
    let values = cifti.values().unwrap();
    let weighted = values.iter().enumerate().map(|(i, x)| x * (i as f64 * 1e-3).cos());
    assert!((weighted.sum::<f64>() - 46.668_367_605_807_504).abs() < 1e-9);
}
