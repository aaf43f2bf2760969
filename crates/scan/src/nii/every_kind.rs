//! Every data type × byte order × version × compression × one file or two reads as it was written.
//!
//! The bytes are laid out here by the offsets of nifti1.h and nifti2.h, not by the crate's writer.

use proptest::prelude::*;

use super::{
    Stretch, read_bold, read_values,
    testing::{Scratch, gzip},
};
use crate::{BoldFile, Frames, inspect};

/// Code, bytes, name, and a stored number, least significant byte first, as a 64-bit float.
type Dtype = (i16, usize, &'static str, fn(&[u8]) -> f64);

fn bits<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap()
}

const DTYPES: [Dtype; 10] = [
    (2, 1, "uint8", |b| b[0].into()),
    (256, 1, "int8", |b| i8::from_le_bytes(bits(b)).into()),
    (4, 2, "int16", |b| i16::from_le_bytes(bits(b)).into()),
    (512, 2, "uint16", |b| u16::from_le_bytes(bits(b)).into()),
    (8, 4, "int32", |b| i32::from_le_bytes(bits(b)).into()),
    (768, 4, "uint32", |b| u32::from_le_bytes(bits(b)).into()),
    (1024, 8, "int64", |b| i64::from_le_bytes(bits(b)) as f64),
    (1280, 8, "uint64", |b| u64::from_le_bytes(bits(b)) as f64),
    (16, 4, "float32", |b| f32::from_le_bytes(bits(b)).into()),
    (64, 8, "float64", |b| f64::from_le_bytes(bits(b))),
];

/// What a header says; sizes are `[x, y, z, t]`.
struct Says {
    sizes: [u8; 4],
    code: i16,
    width: usize,
    t_r: f32,
    rows: [[f32; 4]; 3],
    scaling: Option<[f32; 2]>,
}

/// Header fields at their offsets, in one byte order.
struct Fields {
    bytes: Vec<u8>,
    is_big: bool,
}

impl Fields {
    fn put<const N: usize>(&mut self, offset: usize, little: [u8; N]) {
        let mut field = little;
        if self.is_big {
            field.reverse();
        }
        self.bytes[offset..offset + N].copy_from_slice(&field);
    }
}

impl Says {
    fn version_1(&self, is_big: bool, is_pair: bool) -> Vec<u8> {
        let mut to = Fields { bytes: vec![0; 352], is_big };
        to.put(0, 348_i32.to_le_bytes());
        for (axis, n) in [4].into_iter().chain(self.sizes).chain([1; 3]).enumerate() {
            to.put(40 + 2 * axis, i16::from(n).to_le_bytes());
        }
        to.put(70, self.code.to_le_bytes());
        to.put(72, (8 * self.width as i16).to_le_bytes());
        for (slot, x) in [1.0, 2.0, 2.0, 2.0, self.t_r].into_iter().enumerate() {
            to.put(76 + 4 * slot, x.to_le_bytes());
        }
        to.put(108, if is_pair { 0.0_f32 } else { 352.0 }.to_le_bytes());
        for (slot, x) in self.scaling.unwrap_or_default().into_iter().enumerate() {
            to.put(112 + 4 * slot, x.to_le_bytes());
        }
        to.put(123, [10]);
        to.put(254, 2_i16.to_le_bytes());
        for (slot, x) in self.rows.as_flattened().iter().enumerate() {
            to.put(280 + 4 * slot, x.to_le_bytes());
        }
        to.bytes[344..348].copy_from_slice(if is_pair { b"ni1\0" } else { b"n+1\0" });
        to.bytes
    }

    fn version_2(&self, is_big: bool, is_pair: bool) -> Vec<u8> {
        let mut to = Fields { bytes: vec![0; 544], is_big };
        to.put(0, 540_i32.to_le_bytes());
        let magic = if is_pair { b"ni2\0\r\n\x1a\n" } else { b"n+2\0\r\n\x1a\n" };
        to.bytes[4..12].copy_from_slice(magic);
        to.put(12, self.code.to_le_bytes());
        to.put(14, (8 * self.width as i16).to_le_bytes());
        for (axis, n) in [4].into_iter().chain(self.sizes).chain([1; 3]).enumerate() {
            to.put(16 + 8 * axis, i64::from(n).to_le_bytes());
        }
        for (slot, x) in [1.0, 2.0, 2.0, 2.0, self.t_r].into_iter().enumerate() {
            to.put(104 + 8 * slot, f64::from(x).to_le_bytes());
        }
        to.put(168, if is_pair { 0_i64 } else { 544 }.to_le_bytes());
        for (slot, x) in self.scaling.unwrap_or_default().into_iter().enumerate() {
            to.put(176 + 8 * slot, f64::from(x).to_le_bytes());
        }
        to.put(348, 2_i32.to_le_bytes());
        for (slot, x) in self.rows.as_flattened().iter().enumerate() {
            to.put(400 + 8 * slot, f64::from(*x).to_le_bytes());
        }
        to.put(500, 10_i32.to_le_bytes());
        to.bytes
    }
}

fn same(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan()
}

fn assert_sums(found: [f64; 2], image: &[f64], half: usize) {
    let finite = |x: &f64| if x.is_finite() { *x } else { 0.0 };
    let second = image[half..].iter().chain(&image[..1]);
    for (found, part) in found.into_iter().zip([image[..half].iter().collect(), second.collect()]) {
        let part: Vec<&f64> = part;
        let sum: f64 = part.iter().copied().map(finite).sum();
        let size: f64 = part.iter().copied().map(finite).map(f64::abs).sum();
        let is_close = (found - sum).abs() <= 1e-12 * size || size.is_infinite();
        assert!(is_close, "{found} {sum}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn every_kind_of_file_reads_as_it_was_written(
        sizes in (1_u8..5, 1_u8..4, 1_u8..3, 1_u8..4),
        noise in prop::collection::vec(any::<u8>(), 8 * 4 * 3 * 2 * 3),
        t_r in 0.05_f32..30.0,
        shift in prop::array::uniform3(-200.0_f32..200.0),
        scaling in prop::option::of(prop::array::uniform2(0.01_f32..100.0)),
    ) {
        let scratch = Scratch::new();
        let sizes = <[u8; 4]>::from(sizes);
        let [nx, ny, nz, n_frames] = sizes.map(usize::from);
        let n = nx * ny * nz * n_frames;
        let [a, b, c] = shift;
        let rows = [[0.0, 2.0, 0.0, a], [-2.5, 0.0, 0.1, b], [0.0, 0.0, 3.0, c]];
        // two parts, and the first voxel twice
        let half = nx * ny * nz / 2;
        let stretch = |first, n: usize, sum| Stretch { first, n: n as u32, sum };
        let stretches = [
            stretch(0, half, 0), stretch(half, nx * ny * nz - half, 1), stretch(0, 1, 1),
        ];
        let [slope, inter] = scaling.unwrap_or([1.0, 0.0]).map(f64::from);
        for (code, width, name, value) in DTYPES {
            let says = Says { sizes, code, width, t_r, rows, scaling };
            let stored = &noise[..n * width];
            let expected: Vec<f64> =
                stored.chunks(width).map(|bytes| value(bytes) * slope + inter).collect();
            for kind in 0..16 {
                let [is_big, is_second, is_packed, is_pair] = [1, 2, 4, 8].map(|bit| kind & bit > 0);
                let header = if is_second {
                    says.version_2(is_big, is_pair)
                } else {
                    says.version_1(is_big, is_pair)
                };
                let mut voxels = stored.to_vec();
                if is_big {
                    voxels.chunks_mut(width).for_each(<[u8]>::reverse);
                }
                let packed = |bytes: Vec<u8>| if is_packed { gzip(&bytes) } else { bytes };
                let path = if is_pair {
                    scratch.file("run.img", &packed(voxels));
                    scratch.file("run.hdr", &packed(header))
                } else {
                    scratch.file("run.nii", &packed([header, voxels].concat()))
                };

                let read = read_values(&path).unwrap();
                prop_assert_eq!(read.shape(), &[nx, ny, nz, n_frames]);
                // transposed, the first axis varies fastest
                let all = read.t().iter().zip(&expected).all(|(x, y)| same(*x, *y));
                prop_assert!(all, "{name}, kind {kind}");

                let found = inspect(&path).unwrap();
                prop_assert_eq!(&found.dtype, name);
                prop_assert_eq!(found.byte_order, if is_big { "big" } else { "little" });
                prop_assert_eq!(found.gzip, is_packed);
                for (found, row) in found.affine.iter().zip(&rows) {
                    prop_assert_eq!(found, &row.map(f64::from));
                }

                let bold = read_bold(&path).unwrap();
                prop_assert_eq!(bold.t_r(), f64::from(t_r));
                let frame = |t: usize| &expected[t * nx * ny * nz..][..nx * ny * nz];
                let mut image = vec![0.0; nx * ny * nz];
                BoldFile::open(&path).unwrap().each(&mut |t, seen| {
                    seen.read(&mut image);
                    assert!(image.iter().zip(frame(t)).all(|(x, y)| same(*x, *y)));
                    let mut sums = [0.0; 2];
                    seen.add_up(&stretches, &mut sums);
                    assert_sums(sums, frame(t), half);
                    let held = bold.data().index_axis(ndarray::Axis(3), t);
                    let narrow = |x: f64| f64::from(x as f32);
                    assert!(held.t().iter().zip(frame(t)).all(|(x, y)| same((*x).into(), narrow(*y))));
                    Ok(())
                }).unwrap();
            }
        }
    }
}
