//! The fixtures against Pillow's pixels, and files that are none.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/clip_images").join(name)
}

/// Opens the bytes as a file of another name.
fn open(bytes: &[u8]) -> crate::Result<Photo> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo.dat");
    fs::write(&path, bytes).unwrap();
    Photo::open(&path)
}

fn refused(bytes: &[u8]) -> String {
    let error = open(bytes).unwrap_err().to_string();
    assert!(error.contains("photo.dat: ") && !error.contains('\n'), "{error}");
    error
}

#[test]
fn every_fixture_gives_pillows_pixels_to_the_bit() {
    let table = fs::read_to_string(fixture("pixels.tsv")).unwrap();
    for line in table.lines().skip(1) {
        let [name, native, first] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let photo = Photo::open(&fixture(name)).unwrap();
        for (order, expected) in [(Order::NativeOrder, native), (Order::RgbFirst, first)] {
            let transform = ClipPreprocess { order, ..ClipPreprocess::openai(224) };
            let digest = Sha256::digest(transform.pixels(&photo));
            let found: String =
                digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
            assert_eq!(found, expected, "{name} {order:?}");
        }
    }
}

#[test]
fn sixteen_bits_of_grey_are_scaled_and_not_clipped() {
    // Pillow 13 gives 0, 255, 255, 255: a slice of a scan would be white
    let grey: [u16; 4] = [0, 300, 40_000, 65_535];
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, 2, 2);
    encoder.set_color(::png::ColorType::Grayscale);
    encoder.set_depth(::png::BitDepth::Sixteen);
    let mut writer = encoder.write_header().unwrap();
    let samples: Vec<u8> = grey.iter().flat_map(|value| value.to_be_bytes()).collect();
    writer.write_image_data(&samples).unwrap();
    drop(writer);
    let photo = open(&bytes).unwrap();
    assert_eq!(photo.to_rgb(), [[0; 3], [1; 3], [155; 3], [255; 3]].concat());
}

#[test]
fn values_are_normalised_in_f32() {
    let photo = Photo::from_rgb(2, 2, [255, 0, 51].repeat(4)).unwrap();
    let values = ClipPreprocess::openai(2).values(&photo);
    // by hand: (1 − 0.48145466) / 0.26862954, −0.4578275 / 0.26130258, (0.2 − 0.40821073) / 0.27577711
    for (plane, expected) in values.chunks(4).zip([1.930_336_2, -1.752_097_4, -0.754_996_4]) {
        assert!(plane.iter().all(|v: &f32| (v - expected).abs() < 1e-6), "{plane:?} {expected}");
    }
}

#[test]
fn a_long_side_is_truncated_and_cropped_at_even_halves() {
    // 5 · 7 / 3 is 11.67: 11 columns, of which 3 are left out on either side
    let columns: Vec<u8> = (0..7u8).flat_map(|x| [x * 40; 3]).collect();
    let photo = Photo::from_rgb(7, 3, columns.repeat(3)).unwrap();
    let pixels = ClipPreprocess::openai(5).pixels(&photo);
    assert_eq!(pixels[2], 120, "the centre column is the centre");
    // 2 of 3 columns: the half column left of the crop is rounded to 0, of 5 rows to 2
    let photo = Photo::from_rgb(3, 2, (0..18).collect()).unwrap();
    assert_eq!(ClipPreprocess::openai(2).pixels(&photo)[..4], [0, 3, 9, 12]);
    let photo = Photo::from_rgb(2, 5, (0..30).collect()).unwrap();
    assert_eq!(ClipPreprocess::openai(2).pixels(&photo)[..4], [12, 15, 18, 21]);
}

#[test]
fn the_content_decides_and_not_the_name() {
    for name in ["tiny.png", "gray.jpg"] {
        let photo = open(&fs::read(fixture(name)).unwrap()).unwrap();
        assert_eq!(photo, Photo::open(&fixture(name)).unwrap());
    }
    assert!(refused(b"GIF89a, and so on").contains("is a GIF file, expected a PNG or JPEG"));
    assert!(refused(b"RIFF....WEBPVP8 ").contains("is a WebP file"));
    assert!(refused(b"hello").contains("is no image"));
    let lfs = refused(b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 17\n");
    assert!(
        lfs.contains("is a Git LFS pointer, not the file itself (run `git lfs pull`)"),
        "{lfs}"
    );
    assert!(refused(b"/annex/objects/SHA256E-s1--a.png\n").contains("git annex get"));
    assert!(refused(b"").contains("is empty"));
    let error = Photo::open(Path::new("no/such/photo.png")).unwrap_err().to_string();
    assert!(error.contains("no/such/photo.png: cannot be read"), "{error}");
}

#[test]
fn a_file_cut_anywhere_is_named() {
    for name in ["banner.png", "made_rgba.png", "made_cmyk.jpg", "made_ycck.jpg", "made_422.jpg"] {
        let bytes = fs::read(fixture(name)).unwrap();
        // A PNG's last 16 bytes are its checksums and an empty chunk, a JPEG's last 2 its end marker.
        let needed = bytes.len() - if name.ends_with("png") { 20 } else { 2 };
        for length in (0..needed).step_by(7) {
            refused(&bytes[..length]);
        }
    }
}

#[test]
fn a_byte_that_changed_makes_an_error_or_another_picture() {
    for name in ["palette_trns.png", "made_cmyk.jpg", "made_422.jpg", "made_ycck.jpg"] {
        let bytes = fs::read(fixture(name)).unwrap();
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            if let Ok(photo) = open(&bytes) {
                assert_eq!(ClipPreprocess::openai(3).pixels(&photo).len(), 27);
            }
        }
    }
}

#[test]
fn sizes_that_the_file_cannot_hold_are_refused_before_memory_is_taken() {
    let jpeg = fs::read(fixture("made_422.jpg")).unwrap();
    let at = jpeg.windows(2).position(|pair| pair == [0xff, 0xc2]).unwrap() + 5;
    let sized = |height: u16, width: u16| {
        let mut bytes = jpeg.clone();
        bytes[at..at + 2].copy_from_slice(&height.to_be_bytes());
        bytes[at + 2..at + 4].copy_from_slice(&width.to_be_bytes());
        refused(&bytes)
    };
    assert!(sized(0, 52).contains("52 x 0 pixels, expected at least one"));
    assert!(sized(9000, 9000).contains("9000 x 9000 pixels, more than 1110 bytes can hold"));
    assert!(sized(65535, 65535).contains("expected at most 178956970"));

    let sized = |width: u32, height: u32| {
        let mut bytes = Vec::new();
        let mut encoder = ::png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(::png::ColorType::Rgb);
        drop(encoder.write_header().unwrap());
        refused(&bytes)
    };
    assert!(sized(9000, 9000).contains("9000 x 9000 pixels, more than"));
    assert!(sized(1 << 30, 1 << 30).contains("expected at most 178956970"));
    assert!(sized(1 << 25, 1).contains("expected at most 16777216 a side"));
    assert!(
        Photo::from_rgb(0, 0, Vec::new()).is_err() && Photo::from_rgb(2, 2, vec![0; 9]).is_err()
    );
}
