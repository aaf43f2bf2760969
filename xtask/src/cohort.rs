//! A cohort of any size to try the engine with: recordings of 8 × 8 × 8 voxels and 40 frames with their
//! confounds, an atlas of 64 parcels and a pipeline. A part of them may be broken, in twelve ways.
//!
//! Everything follows from the number of a recording, so that two cohorts of one size are the same bytes.

use std::{
    fmt::Write as _,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use ndarray::{Array3, Array4, Axis};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scan::{Affine, Bold, Volume, write_bold, write_volume};

/// Voxels along each axis.
const SIDE: usize = 8;
const ZOOM_MM: f64 = 20.0;
/// Parcels of 2 × 2 × 2 voxels.
const N_PARCELS: usize = 64;
/// Frames of a scan.
pub const N_FRAMES: usize = 40;
/// Seconds between two frames.
pub const T_R_S: f64 = 2.0;
/// The share that is broken, and the least number: each way once, where there are enough recordings.
const BROKEN_SHARE: f64 = 0.03;

/// What is wrong with a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The scan is not there.
    Missing,
    /// The gzip stream ends early.
    TruncatedGzip,
    /// The gzip stream is whole, and its content ends early.
    TruncatedData,
    /// The header says an impossible number of dimensions.
    BadHeader,
    /// Every value is NaN.
    NotANumber,
    /// One volume instead of a run.
    OneVolume,
    /// The header has another repetition time than the sidecar.
    OtherRepetitionTime,
    /// The table names no confounds.
    NoConfounds,
    /// The confounds table has more rows than the scan has frames.
    LongConfounds,
    /// The grid lies elsewhere.
    OtherGrid,
    /// Voxels were flipped and the affine was not.
    Mirrored,
    /// The sidecar of the scan is cut short.
    DamagedSidecar,
}

/// Every way, in the order in which recordings are broken.
pub const WAYS: [Way; 12] = [
    Way::Missing,
    Way::TruncatedGzip,
    Way::TruncatedData,
    Way::BadHeader,
    Way::NotANumber,
    Way::OneVolume,
    Way::OtherRepetitionTime,
    Way::NoConfounds,
    Way::LongConfounds,
    Way::OtherGrid,
    Way::Mirrored,
    Way::DamagedSidecar,
];

/// Which recordings of `n`, from 0, are broken, and how: spread over all of them.
pub fn broken(n: usize) -> Vec<(usize, Way)> {
    let n_broken = ((n as f64 * BROKEN_SHARE).round() as usize).max(WAYS.len()).min(n);
    let ways = WAYS.iter().copied().cycle();
    (0..n_broken).map(|at| (2 * at + 1) * n / (2 * n_broken)).zip(ways).collect()
}

fn affine(away_mm: f64) -> Affine {
    let start = -ZOOM_MM * (SIDE as f64 - 1.0) / 2.0;
    let row = |at: usize| {
        let mut row = [0.0, 0.0, 0.0, start + away_mm];
        row[at] = ZOOM_MM;
        row
    };
    Affine::new([row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]]).expect("a grid")
}

/// The parcel of a voxel, from 0.
fn parcel([x, y, z]: [usize; 3]) -> usize {
    (x / 2 * 4 + y / 2) * 4 + z / 2
}

fn labels() -> Volume {
    let values =
        Array3::from_shape_fn((SIDE, SIDE, SIDE), |(x, y, z)| parcel([x, y, z]) as f32 + 1.0);
    Volume::new(values, affine(0.0)).expect("an image")
}

/// Parcels that share signals, brighter on the left by a pattern that all people have.
fn bold(subject: usize) -> Array4<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(subject as u64);
    let mut wave = |n: usize| -> Vec<f32> {
        let mut last = 0.0;
        let step = |_| {
            last = 0.7 * last + random.random_range(-1.0_f32..1.0);
            last
        };
        (0..n).map(step).collect()
    };
    let shared: Vec<Vec<f32>> = (0..4).map(|_| wave(N_FRAMES)).collect();
    let own: Vec<Vec<f32>> = (0..N_PARCELS).map(|_| wave(N_FRAMES)).collect();
    Array4::from_shape_fn((SIDE, SIDE, SIDE, N_FRAMES), |(x, y, z, frame)| {
        let parcel = parcel([x, y, z]);
        // the same pattern on both sides, and the left one brighter where it is high
        let pattern = ((x.min(SIDE - 1 - x) / 2 * 16 + parcel % 16) * 37 % 101) as f32;
        let bright = 800.0 + if x < SIDE / 2 { 2.5 } else { 1.0 } * 2.0 * pattern;
        let signal = 20.0 * shared[parcel * 7 % 4][frame] + 8.0 * own[parcel][frame];
        (bright + signal + ((x + y + z) % 2 * 4) as f32).round()
    })
}

fn confounds(subject: usize, n_rows: usize) -> String {
    let mut random = ChaCha8Rng::seed_from_u64(1 << 32 | subject as u64);
    let names = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"];
    let mut text = names.join("\t") + "\tframewise_displacement\n";
    for row in 0..n_rows {
        for name in names {
            let scale = if name.starts_with("rot") { 0.0005 } else { 0.03 };
            let _ = write!(text, "{:.6}\t", random.random_range(-scale..scale));
        }
        let fd_mm: f64 = random.random_range(0.05..0.25);
        let _ = if row == 0 { writeln!(text, "n/a") } else { writeln!(text, "{fd_mm:.6}") };
    }
    text
}

/// `name: cohort`, from parcels to a table of one vector a recording; paths of this repository are
/// whole, those of the cohort relative.
fn pipeline(repository: &Path) -> String {
    let repository = repository.display();
    format!(
        "\
# {N_PARCELS} parcels, windows of 20 frames, functional connectivity, one vector a recording.
name: cohort
seed: 1

cohort:
  manifest: {{ table: recordings.csv }}

model:
  encoder: {{ file: {repository}/configs/encoder/connectivity_v1.yaml }}
  resampler: {{ file: {repository}/configs/resampler/tiny_v1.yaml }}
  gates: {{ file: {repository}/configs/gates/tiny_v1.yaml }}
  lm: {{ hf: {repository}/fixtures/tiny-lm }}

stages:
  - parcellate:
      atlas: {{ id: blocks64, labels: atlas.nii.gz }}
      mirror_check: {{ margin: 0.1 }}
  - sliding_windows: {{ n_frames: 20, policy: {{ tiled: {{ stride: 20 }} }}, pad: refuse }}
  - encode: {{ precision: f32 }}
  - embed: {{ strategy: rest_blocks_windows_v1, window: mean, run: inverse_fd }}

outputs: runs
"
    )
}

/// The folder of a recording and the start of its files' names.
fn stem(subject: usize) -> String {
    let label = format!("sub-{:05}", subject + 1);
    format!("scans/{label}/func/{label}_task-rest")
}

/// Where the scan of a recording lies, from 0, below the folder.
pub fn scan_name(subject: usize) -> String {
    format!("{}_desc-preproc_bold.nii.gz", stem(subject))
}

/// Writes `n` recordings into `folder`, with `recordings.csv`, `atlas.nii.gz` and `pipeline.yaml`.
pub fn write(repository: &Path, folder: &Path, n: usize, is_broken: bool) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let put = |name: &str, text: &str| {
        fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))
    };
    let mut ways = vec![None; n];
    for (subject, way) in broken(n).into_iter().filter(|_| is_broken) {
        ways[subject] = Some(way);
    }
    let mut table = "participant_id,task,scan,confounds_path\n".to_owned();
    for (subject, way) in ways.into_iter().enumerate() {
        recording(folder, subject, way)?;
        let (scan, confounds) = (scan_name(subject), confounds_name(subject));
        let confounds = if way == Some(Way::NoConfounds) { "" } else { &confounds };
        let _ = writeln!(table, "{:05},rest,{scan},{confounds}", subject + 1);
    }
    write_volume(folder.join("atlas.nii.gz"), &labels())?;
    put("recordings.csv", &table)?;
    put("pipeline.yaml", &pipeline(repository))
}

fn confounds_name(subject: usize) -> String {
    format!("{}_desc-confounds_timeseries.tsv", stem(subject))
}

fn recording(folder: &Path, subject: usize, way: Option<Way>) -> Result<()> {
    let path = folder.join(scan_name(subject));
    let above = path.parent().expect("a file lies in a folder");
    fs::create_dir_all(above).with_context(|| format!("cannot make {}", above.display()))?;
    let put = |path: PathBuf, bytes: &[u8]| {
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    let n_rows = N_FRAMES + if way == Some(Way::LongConfounds) { 3 } else { 0 };
    if way != Some(Way::NoConfounds) {
        put(folder.join(confounds_name(subject)), confounds(subject, n_rows).as_bytes())?;
    }
    let sidecar = folder.join(format!("{}_desc-preproc_bold.json", stem(subject)));
    let text = format!("{{\n  \"RepetitionTime\": {T_R_S:.1}\n}}\n");
    let n_kept = if way == Some(Way::DamagedSidecar) { 12 } else { text.len() };
    put(sidecar, &text.as_bytes()[..n_kept])?;

    let mut values = bold(subject);
    match way {
        Some(Way::Missing) => return Ok(()),
        Some(Way::NotANumber) => values.fill(f32::NAN),
        Some(Way::Mirrored) => {
            values.invert_axis(Axis(0));
            values = values.as_standard_layout().into_owned();
        }
        Some(Way::OneVolume) => {
            let volume = values.index_axis(Axis(3), 0).to_owned();
            return Ok(write_volume(&path, &Volume::new(volume, affine(0.0))?)?);
        }
        _ => {}
    }
    let away_mm = if way == Some(Way::OtherGrid) { 4000.0 } else { 0.0 };
    let t_r = if way == Some(Way::OtherRepetitionTime) { 3.0 } else { T_R_S };
    write_bold(&path, &Bold::new(values, affine(away_mm), t_r)?)?;
    let bytes = fs::read(&path)?;
    match way {
        Some(Way::TruncatedGzip) => put(path, &bytes[..bytes.len() * 2 / 3]),
        Some(Way::TruncatedData) => put(path, &packed(&unpacked(&bytes)?[..20_000])?),
        Some(Way::BadHeader) => {
            let mut image = unpacked(&bytes)?;
            // the number of dimensions, in nifti1.h `dim[0]`
            image[40..42].copy_from_slice(&77_i16.to_le_bytes());
            put(path, &packed(&image)?)
        }
        _ => Ok(()),
    }
}

fn unpacked(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut image = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut image)?;
    Ok(image)
}

fn packed(image: &[u8]) -> Result<Vec<u8>> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut out, image)?;
    Ok(out.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_in_a_hundred_are_broken_and_each_way_is_there() {
        for (n, n_broken) in [(5, 5), (200, 12), (400, 12), (1600, 48), (10_000, 300)] {
            let broken = broken(n);
            assert_eq!(broken.len(), n_broken);
            assert!(broken.windows(2).all(|it| it[0].0 < it[1].0), "{broken:?}");
            assert!(broken.last().unwrap().0 < n);
            let of_way = |way| broken.iter().filter(|(_, it)| *it == way).count();
            assert!(n < 12 || WAYS.into_iter().all(|way| of_way(way) == n_broken / 12));
        }
    }
}
