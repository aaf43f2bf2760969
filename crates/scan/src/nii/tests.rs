//! Bad files, one thing wrong each, and the real and written ones that must be read.

use ndarray::{Array4, Axis, s};
use proptest::prelude::*;

use super::{
    AffineSource,
    testing::{Scratch, f32s, fixture, gzip, i16s, small_bold},
};
use crate::{
    Affine, Bold, Inspection, Volume, inspect, read_bold, read_values, read_volume, volume_bytes,
    write_bold, write_volume,
};

fn sentence(path: &std::path::Path) -> String {
    let error = read_bold(path).unwrap_err().to_string();
    let named = error.strip_prefix(&format!("{}: ", path.display()));
    named.unwrap_or_else(|| panic!("file not named first: {error}")).to_owned()
}

// nibabel 5.4.2: get_fdata() and header of the same file
#[test]
fn a_real_run_agrees_with_nibabel() {
    let bold = read_bold(fixture("run001/bold_1slice.nii.gz")).unwrap();
    assert_eq!((bold.grid_shape(), bold.n_frames(), bold.t_r()), ([40, 20, 1], 121, 2.5));
    assert_eq!(bold.affine().axcodes(), "LAS");
    let sum: f64 = bold.data().iter().map(|&x| f64::from(x)).sum();
    assert_eq!(sum, 94_412_900.0);
    assert_eq!(bold.data().slice(s![11, 7, 0, 3..6]).to_vec(), [1228.0, 1216.0, 1225.0]);
    assert_eq!(bold.n_nonfinite(), 0);
}

#[test]
fn masks_are_volumes() {
    let brain = read_volume(fixture("masks_25mm/brain.nii.gz")).unwrap();
    assert_eq!(brain.grid_shape(), [6, 10, 10]);
    assert_eq!(crate::VoxelMask::from_volume(&brain).unwrap().n_voxels(), 129);
    let error = sentence(&fixture("masks_25mm/brain.nii.gz"));
    assert_eq!(error, "has 3 dimensions [6, 10, 10], expected 4");
}

#[test]
fn a_volume_in_memory_is_the_file_that_would_be_written() {
    let mean = read_bold(fixture("run001/bold_1slice.nii.gz")).unwrap();
    let mean = Volume::new(mean.data().mean_axis(Axis(3)).unwrap(), mean.affine().clone()).unwrap();
    let scratch = Scratch::new();
    let path = scratch.file("mean.nii.gz", &volume_bytes("mean.nii.gz", &mean).unwrap());
    assert_eq!(read_volume(&path).unwrap(), mean);
    write_volume(scratch.path("other.nii.gz"), &mean).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), std::fs::read(scratch.path("other.nii.gz")).unwrap());
}

#[test]
fn bytes_that_are_no_scan_are_told_apart() {
    let scratch = Scratch::new();
    assert!(sentence(&scratch.path("none.nii")).starts_with("cannot be read: No such file"));
    assert!(sentence(&scratch.path("")).starts_with("cannot be read: it is not a file"));
    assert_eq!(sentence(&scratch.file("empty.nii", b"")), "not a NIfTI file: it holds 0 bytes");
    let text = sentence(&scratch.file("text.nii", b"subject,session\n"));
    assert_eq!(text, "not a NIfTI file: its first four bytes are not the header size 348 or 540");
    let half = sentence(&scratch.file("half.nii", &scratch.small_bytes()[..200]));
    assert_eq!(half, "not a NIfTI file: it ends after 200 of 348 header bytes");
    let magic = sentence(&scratch.patched(&[(344, b"abc\0")]));
    assert_eq!(magic, r#"not a NIfTI file: its magic is "abc\x00", expected "n+1\0""#);
    // nibabel 5.4.2: `Cannot work out file type` of such a file, HeaderDataError of its header
    let empty = sentence(&scratch.patched(&[(344, &[0; 4])]));
    assert!(
        empty.starts_with(r#"not a NIfTI file: its magic is empty, expected "n+1\0": "#),
        "{empty}"
    );
    let second = [&540_i32.to_le_bytes()[..], &[0; 540]].concat();
    let second = sentence(&scratch.file("two.nii", &second));
    assert!(second.starts_with("not a NIfTI file: its magic is empty, expected"), "{second}");
    let pair = sentence(&scratch.patched(&[(344, b"ni1\0")]));
    assert!(pair.contains("header of a pair, but its name does not end in .hdr"), "{pair}");
}

#[test]
fn content_decides_whether_a_file_is_compressed() {
    let scratch = Scratch::new();
    let bytes = scratch.small_bytes();
    for path in [scratch.file("plain.nii.gz", &bytes), scratch.file("packed.nii", &gzip(&bytes))] {
        assert_eq!(read_bold(path).unwrap(), small_bold());
    }
    let (front, back) = bytes.split_at(360);
    let members = [gzip(front), gzip(back)].concat();
    assert_eq!(read_bold(scratch.file("two.nii.gz", &members)).unwrap(), small_bold());
}

#[test]
fn damaged_and_shortened_files_are_refused() {
    let scratch = Scratch::new();
    let bytes = scratch.small_bytes();
    let short = sentence(&scratch.file("short.nii", &bytes[..bytes.len() - 1]));
    assert_eq!(short, "holds 399 bytes, its header promises 400");
    let packed = gzip(&bytes);
    for n in [packed.len() / 2, packed.len() - 9, packed.len() - 1] {
        let cut = sentence(&scratch.file("cut.nii.gz", &packed[..n]));
        assert!(cut.starts_with("gzip stream ends early or is damaged"), "{n}: {cut}");
    }
    let mut flipped = packed.clone();
    let checksum = packed.len() - 8;
    flipped[checksum] ^= 1;
    let flipped = sentence(&scratch.file("flipped.nii.gz", &flipped));
    assert!(flipped.starts_with("gzip stream ends early or is damaged"), "{flipped}");
    let whole_but_short = sentence(&scratch.file("s.nii.gz", &gzip(&bytes[..380])));
    assert_eq!(whole_but_short, "holds 380 bytes, its header promises 400");
}

#[test]
fn a_gzip_bomb_is_left_before_its_end() {
    let scratch = Scratch::new();
    let mut bomb = scratch.small_bytes();
    bomb.resize(70 << 20, 0);
    let bomb = gzip(&bomb);
    assert!(bomb.len() < 100_000);
    let expected = "goes on for more than 67108864 bytes after the 400 of its header";
    assert_eq!(sentence(&scratch.file("bomb.nii.gz", &bomb)), expected);
    // the same bytes before the voxels
    let far = f32s(&[300e6]);
    let mut bomb = scratch.small_bytes();
    bomb[108..112].copy_from_slice(&far);
    bomb.resize(310_000_000, 0);
    let far = sentence(&scratch.file("far.nii.gz", &gzip(&bomb)));
    assert!(far.starts_with("header field vox_offset is 300000000, expected at most 256"), "{far}");
}

#[test]
fn a_header_that_lies_about_its_size_allocates_nothing() {
    let scratch = Scratch::new();
    let lie = i16s(&[4, 1290, 1290, 1290, 2]);
    let mut bytes = scratch.small_bytes();
    bytes[40..50].copy_from_slice(&lie);
    let tiny = sentence(&scratch.file("tiny.nii", &bytes[..377]));
    assert_eq!(tiny, "holds 377 bytes, its header promises 17173512352");
    let tiny = sentence(&scratch.file("tiny.nii.gz", &gzip(&bytes[..377])));
    assert!(tiny.ends_with("its header promises 17173512352"), "{tiny}");
    let huge = i16s(&[7, 32767, 32767, 32767, 32767, 32767, 32767, 32767]);
    assert!(sentence(&scratch.patched(&[(40, &huge)])).contains("its header promises"));
    // a sparse file of the promised length is stopped by the limit
    let sparse = scratch.file("sparse.nii", &bytes);
    std::fs::File::options().write(true).open(&sparse).unwrap().set_len(17_173_512_352).unwrap();
    let sparse = sentence(&sparse);
    assert_eq!(sparse, "header claims 17173512000 bytes of voxels, the limit is 8589934592");
}

#[test]
fn header_fields_that_make_no_sense_are_named() {
    let scratch = Scratch::new();
    let cases: [(usize, Vec<u8>, &str); 16] = [
        (40, i16s(&[9]), "header field dim[0] is 9, expected a number of axes from 1 to 7"),
        (40, i16s(&[0]), "header field dim[0] is 0, expected a number of axes from 1 to 7"),
        (42, i16s(&[2, -3]), "header field dim is [2, -3, 1, 2], expected a positive size"),
        (42, i16s(&[0]), "header field dim is [0, 3, 1, 2], expected a positive size"),
        (70, i16s(&[77]), "header field datatype is 77, expected a code"),
        (70, i16s(&[32]), "is an image of complex64; expected real numbers"),
        (72, i16s(&[64]), "header field bitpix is 64, expected the width"),
        (108, f32s(&[f32::NAN]), "header field vox_offset is NaN, expected a whole number"),
        (108, f32s(&[348.0]), "header field vox_offset is 348, expected a whole number"),
        (108, f32s(&[0.0]), "header field vox_offset is 0, expected a whole number"),
        (108, f32s(&[-352.0]), "header field vox_offset is -352, expected a whole number"),
        // as after a turn of all but the size field
        (
            40,
            vec![0, 4, 0, 2],
            "header field dim[0] is 1024, expected a number of axes from 1 to 7",
        ),
        (108, f32s(&[1e9]), "holds 400 bytes, its header promises 1000000048"),
        (116, f32s(&[f32::NAN]), "header field scl_inter is NaN, expected a finite number"),
        (280, f32s(&[f32::NAN]), "affine does not map voxels to millimetres: it holds a number"),
        (280, f32s(&[0.0]), "affine does not map voxels to millimetres: it is singular"),
    ];
    for (offset, field, expected) in cases {
        let found = sentence(&scratch.patched(&[(offset, &field)]));
        assert!(found.starts_with(expected), "{found} | {expected}");
    }
    let five = i16s(&[5, 1, 1, 2, 3, 2]);
    let found = sentence(&scratch.patched(&[(40, &five)]));
    assert_eq!(found, "has 5 dimensions [1, 1, 2, 3, 2], expected 4");
}

#[test]
fn sizes_of_voxels_have_no_sign() {
    let scratch = Scratch::new();
    // offsets: qform_code and sform_code at 252, pixdim[1] at 80
    for codes in [[1_i16, 0], [0, 0]] {
        let affine = |size: f32| {
            let patches = [(252, i16s(&codes)), (80, f32s(&[size]))];
            let patches = patches.each_ref().map(|(at, bytes)| (*at, bytes.as_slice()));
            read_bold(scratch.patched(&patches)).unwrap().affine().clone()
        };
        assert_eq!(affine(-2.0), affine(2.0));
    }
}

#[test]
fn repetition_times_are_seconds_or_refused() {
    let scratch = Scratch::new();
    let with = |t_r: f32, unit: u8| scratch.patched(&[(92, &f32s(&[t_r])), (123, &[2 + unit])]);
    for (t_r, unit) in [(2.5, 8), (2500.0, 16), (2.5e6, 24)] {
        assert!((read_bold(with(t_r, unit)).unwrap().t_r() - 2.5).abs() < 1e-12);
    }
    let cases = [
        (0.0, 8, "pixdim[4] is 0, expected a positive finite number"),
        (f32::NAN, 8, "pixdim[4] is NaN, expected a positive finite number"),
        (-2.0, 8, "pixdim[4] is -2, expected a positive finite number"),
        (2.5, 0, "pixdim[4] is 2.5 in no unit (xyzt_units has time code 0)"),
        (2000.0, 8, "pixdim[4] is 2000 s, expected 0.05 to 30 s; perhaps 2000 ms is meant"),
        (2.0, 16, "pixdim[4] is 2 ms, expected 0.05 to 30 s; perhaps 2 s is meant"),
    ];
    for (t_r, unit, expected) in cases {
        let found = sentence(&with(t_r, unit));
        let expected = format!("repetition time unknown: {expected}");
        assert!(found.starts_with(&expected), "{found} | {expected}");
        let known = super::ReadOptions { t_r: Some(2.0) };
        assert_eq!(super::read_bold_with(with(t_r, unit), &known).unwrap().t_r(), 2.0);
    }
}

#[test]
fn slope_and_intercept_apply_unless_the_slope_is_zero_or_nan() {
    let scratch = Scratch::new();
    let second = |slope: f32, inter: f32| {
        read_values(scratch.patched(&[(112, &f32s(&[slope, inter]))])).unwrap()[[0, 0, 0, 1]]
    };
    assert_eq!(second(0.5, -3.0), -2.5);
    assert_eq!(second(-2.0, 1.0), -1.0);
    assert_eq!(second(0.0, -3.0), 1.0);
    assert_eq!(second(f32::NAN, f32::NAN), 1.0);
}

#[test]
fn nan_voxels_are_read_and_counted() {
    let scratch = Scratch::new();
    let path = scratch.patched(&[(352, &f32s(&[f32::NAN, f32::INFINITY]))]);
    assert_eq!(read_bold(&path).unwrap().n_nonfinite(), 2);
    let inspection = inspect(&path).unwrap();
    assert_eq!(inspection.n_nonfinite, 2);
    assert_eq!(inspection.value_range, Some([1.0, 11.0]));
}

#[test]
fn geometry_comes_from_sform_then_qform_then_zooms() {
    let scratch = Scratch::new();
    let look =
        |patches: &[(usize, &[u8])]| -> Inspection { inspect(scratch.patched(patches)).unwrap() };
    let sform = look(&[(252, &i16s(&[1]))]);
    assert_eq!((sform.affine_source, sform.affine[0][3]), (AffineSource::Sform, 60.5));
    // half a turn about x: y and z flip, and z once more by qfac
    let turn = f32s(&[1.0, 0.0, 0.0, 5.0, 6.0, 7.0]);
    let codes = i16s(&[1, 0]);
    let qform = look(&[(252, &codes), (256, &turn), (76, &f32s(&[-1.0]))]);
    assert_eq!(qform.affine_source, AffineSource::Qform);
    assert_eq!(qform.axcodes.as_deref(), Some("RPS"));
    assert_eq!(qform.affine[1][3], 6.0);
    let zooms = look(&[(252, &i16s(&[0, 0]))]);
    assert_eq!(zooms.affine_source, AffineSource::Zooms);
    assert_eq!(zooms.affine[0], [-3.0, 0.0, 0.0, 1.5]);
    assert_eq!(zooms.axcodes.as_deref(), Some("LAS"));
    let broken = look(&[(252, &codes), (256, &f32s(&[1.0, 1.0, 0.0]))]);
    assert_eq!(broken.axcodes, None);
    assert!(read_bold(scratch.path("patched.nii")).is_err());
}

#[test]
fn inspection_names_private_fields_without_their_text() {
    let scratch = Scratch::new();
    let patches: [(usize, &[u8]); 3] = [(14, b"db"), (148, b"Jane Doe 1980"), (228, b"jane.mat")];
    let inspection = inspect(scratch.patched(&patches)).unwrap();
    assert_eq!(inspection.private_fields, ["descrip", "aux_file", "db_name"]);
    let json = serde_json::to_string(&inspection).unwrap();
    assert!(!json.contains("Jane") && !json.contains("jane"), "{json}");
    assert!(json.contains(r#""t_r":2.5,"t_r_source":"pixdim[4] in s""#), "{json}");

    let mut bytes = scratch.small_bytes();
    bytes[108..112].copy_from_slice(&384_f32.to_le_bytes());
    bytes[348] = 1;
    bytes.splice(352..352, [&32_i32.to_le_bytes()[..], &6_i32.to_le_bytes(), &[b'x'; 24]].concat());
    let path = scratch.file("extended.nii", &bytes);
    assert_eq!(inspect(&path).unwrap().private_fields, ["extensions"]);
    assert_eq!(read_bold(&path).unwrap(), small_bold());
    let mut header = bytes[..376].to_vec();
    header[344..348].copy_from_slice(b"ni1\0");
    header[108..112].copy_from_slice(&0_f32.to_le_bytes());
    let pair = scratch.file("pair.hdr", &header);
    scratch.file("pair.img", &bytes[384..]);
    assert_eq!(inspect(&pair).unwrap().private_fields, ["extensions"]);
    assert_eq!(read_bold(&pair).unwrap(), small_bold());
    scratch.file("CAPITAL.HDR", &header);
    let image = scratch.file("CAPITAL.IMG", &bytes[384..]);
    assert_eq!(read_bold(&image).unwrap(), small_bold());

    write_bold(&path, &read_bold(&path).unwrap()).unwrap();
    assert_eq!(inspect(&path).unwrap().private_fields, [""; 0]);
}

#[test]
fn zeros_after_a_gzip_stream_are_padding_and_anything_else_is_damage() {
    let scratch = Scratch::new();
    let path = scratch.path("padded.nii.gz");
    write_bold(&path, &small_bold()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let padded = [&whole[..], &[0; 4096]].concat();
    assert_eq!(read_bold(scratch.file("padded.nii.gz", &padded)).unwrap(), small_bold());
    // an empty member between zeros
    let mut empty = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    empty.try_finish().unwrap();
    let members = [&padded[..], &empty.finish().unwrap(), &[0; 3]].concat();
    assert_eq!(read_bold(scratch.file("padded.nii.gz", &members)).unwrap(), small_bold());
    let spoilt = [&padded[..], b"x"].concat();
    let error = read_bold(scratch.file("padded.nii.gz", &spoilt)).unwrap_err().to_string();
    assert!(error.contains("padded.nii.gz: gzip stream"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let scratch = Scratch::new();
    let path = scratch.path("pipe.nii");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let error = crate::describe(&path).unwrap_err().to_string();
    assert!(error.ends_with("pipe.nii: cannot be read: it is not a file"), "{error}");
}

#[test]
fn writing_needs_a_nifti_name_a_folder_and_a_size_the_format_has() {
    let scratch = Scratch::new();
    let write = |name: &str, bold: &Bold| write_bold(scratch.path(name), bold).unwrap_err();
    let name = write("run.img", &small_bold()).to_string();
    assert!(name.ends_with("run.img: name does not end in .nii or .nii.gz"), "{name}");
    let folder = write("none/run.nii", &small_bold()).to_string();
    assert!(folder.contains("none/run.nii: cannot be written"), "{folder}");
    let affine = small_bold().affine().clone();
    let wide = Bold::new(Array4::zeros((1, 1, 1, 32768)), affine, 1.0).unwrap();
    assert!(write("wide.nii", &wide).to_string().contains("[1, 1, 1, 32768] does not fit"));
    let left = std::fs::read_dir(scratch.path("")).unwrap().count();
    assert_eq!(left, 0, "a failed write leaves nothing behind");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn reading_back_a_written_run_is_the_identity(
        shape in (1_usize..40, 1_usize..4, 1_usize..4, 1_usize..40),
        seed in any::<u32>(),
        t_r in 0.05_f32..30.0,
        shift in prop::array::uniform3(-200.0_f32..200.0),
        zooms in prop::array::uniform3(0.3_f32..9.0),
        extension in prop::sample::select(vec!["nii", "nii.gz"]),
    ) {
        let mut state = seed;
        let data = Array4::from_shape_simple_fn(shape, || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // any bit pattern that is a number
            let value = f32::from_bits(state);
            if value.is_nan() { 0.0 } else { value }
        });
        let [a, b, c] = zooms.map(f64::from);
        let [x, y, z] = shift.map(f64::from);
        let rows = [[0.0, a, 0.0, x], [-b, 0.0, 0.0, y], [0.0, 0.0, c, z], [0.0, 0.0, 0.0, 1.0]];
        let bold = Bold::new(data, Affine::new(rows).unwrap(), f64::from(t_r)).unwrap();
        let scratch = Scratch::new();
        let path = scratch.path(&format!("sub-1.task.{extension}"));
        write_bold(&path, &bold).unwrap();
        prop_assert_eq!(read_bold(&path).unwrap(), bold);
    }
}
