//! A run and an atlas of the size that is common, the same on every machine.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};

const SHAPE: [usize; 3] = [91, 109, 91];
const N_FRAMES: usize = 490;
const N_PARCELS: usize = 424;
const T_R: f32 = 0.735;
const INT16: i16 = 4;

/// Writes `run.nii`, `run.nii.gz` and `atlas.nii.gz` where they are missing.
pub(crate) fn write(folder: &Path) -> io::Result<String> {
    std::fs::create_dir_all(folder)?;
    let head = head();
    let inside: Vec<usize> = (0..head.len()).filter(|&voxel| head[voxel] > 0).collect();
    whole(&folder.join("atlas.nii.gz"), |file| {
        let mut out = GzEncoder::new(file, Compression::default());
        out.write_all(&header(1))?;
        out.write_all(&little(&labels(&inside)))?;
        out.finish().map(|_| ())
    })?;
    whole(&folder.join("run.nii"), |mut file| frames(&head, &inside, &mut file))?;
    whole(&folder.join("run.nii.gz"), |file| {
        let mut out = GzEncoder::new(file, Compression::default());
        frames(&head, &inside, &mut out)?;
        out.finish().map(|_| ())
    })?;
    let n_bytes = |name: &str| std::fs::metadata(folder.join(name)).map(|it| it.len());
    let (plain, packed) = (n_bytes("run.nii")?, n_bytes("run.nii.gz")?);
    Ok(format!("run.nii {plain} bytes, run.nii.gz {packed} bytes"))
}

/// Under its name when it is whole; left alone where it is there.
fn whole(path: &Path, content: impl FnOnce(BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let aside = path.with_extension("partial");
    content(BufWriter::with_capacity(1 << 20, File::create(&aside)?))?;
    std::fs::rename(aside, path)
}

fn frames(head: &[i16], inside: &[usize], out: &mut impl Write) -> io::Result<()> {
    out.write_all(&header(N_FRAMES as i16))?;
    let mut noise = Noise(7);
    let mut image = vec![0; head.len()];
    for frame in 0..N_FRAMES {
        let drift = 40.0 * (frame as f64 / 60.0).sin();
        for &voxel in inside {
            image[voxel] = head[voxel] + drift as i16 + noise.next(600);
        }
        out.write_all(&little(&image))?;
    }
    out.flush()
}

/// Bright in an ellipsoid of a quarter of the grid, 0 outside; x fastest.
fn head() -> Vec<i16> {
    let [nx, ny, nz] = SHAPE;
    let mut values = Vec::with_capacity(nx * ny * nz);
    for (z, y, x) in
        (0..nz).flat_map(|z| (0..ny).flat_map(move |y| (0..nx).map(move |x| (z, y, x))))
    {
        let from_middle = |at: usize, n: usize| (at as f64 / (n - 1) as f64 - 0.5) / 0.397;
        let (a, b, c) = (from_middle(x, nx), from_middle(y, ny), from_middle(z, nz));
        let is_inside = a * a + b * b + c * c < 1.0;
        let bright = 9000.0 + 3000.0 * (7.0 * a).sin() * (5.0 * b).cos() + 1500.0 * c;
        values.push(if is_inside { bright as i16 } else { 0 });
    }
    values
}

/// Each voxel inside has the number, from 1, of the nearest of so many random ones.
fn labels(inside: &[usize]) -> Vec<i16> {
    let [nx, ny, nz] = SHAPE;
    let place = |voxel: usize| {
        [voxel % nx, voxel / nx % ny, voxel / (nx * ny)].map(|at| i64::try_from(at).unwrap_or(0))
    };
    let mut noise = Noise(11);
    // one of each share of the voxels, so that no two are the same
    let share = inside.len() / N_PARCELS;
    let seeds: Vec<[i64; 3]> =
        (0..N_PARCELS).map(|k| place(inside[k * share + noise.bits() as usize % share])).collect();
    let mut labels = vec![0; nx * ny * nz];
    for &voxel in inside {
        let at = place(voxel);
        let distance = |seed: &[i64; 3]| (0..3).map(|k| (seed[k] - at[k]).pow(2)).sum::<i64>();
        let nearest = (0..N_PARCELS).min_by_key(|&k| distance(&seeds[k])).unwrap_or(0);
        labels[voxel] = nearest as i16 + 1;
    }
    labels
}

fn little(values: &[i16]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// NIfTI-1, 2 mm, offsets as in nifti1.h.
fn header(n_frames: i16) -> [u8; 352] {
    let mut bytes = [0; 352];
    let mut put = |offset: usize, field: &[u8]| {
        bytes[offset..offset + field.len()].copy_from_slice(field);
    };
    put(0, &348_i32.to_le_bytes());
    let sizes = SHAPE.map(|n| n as i16);
    put(40, &little(&[if n_frames > 1 { 4 } else { 3 }, sizes[0], sizes[1], sizes[2], n_frames]));
    put(50, &little(&[1, 1, 1]));
    put(70, &little(&[INT16, 16]));
    for (slot, spacing) in [1.0, 2.0, 2.0, 2.0, T_R].into_iter().enumerate() {
        put(76 + 4 * slot, &spacing.to_le_bytes());
    }
    put(108, &352_f32.to_le_bytes());
    // mm and seconds; aligned to MNI
    put(123, &[10]);
    put(254, &little(&[4]));
    let rows = [[2.0, 0.0, 0.0, -90.0], [0.0, 2.0, 0.0, -126.0], [0.0, 0.0, 2.0, -72.0]];
    for (slot, entry) in rows.as_flattened().iter().enumerate() {
        put(280 + 4 * slot, &(*entry as f32).to_le_bytes());
    }
    put(344, b"n+1\0");
    bytes
}

/// A linear congruential generator (Knuth's MMIX).
struct Noise(u64);

impl Noise {
    fn bits(&mut self) -> u32 {
        let multiplied = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = multiplied.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// The sum of two uniform numbers, from `-widest` to `widest`.
    fn next(&mut self, widest: i32) -> i16 {
        let bits = self.bits();
        let one = |bits: u32| (bits & 0xffff) as i32 * widest / 0xffff;
        (one(bits) + one(bits >> 16) - widest) as i16
    }
}
