//! `fixtures/synthetic`: 24 people with a planted difference between left and right, an atlas of 424
//! parcels, and what else a cohort has. Numbers of this project, made from a seed.
//!
//! All are brighter on the left, by a pattern that they share: a scan whose sides were exchanged is
//! unlike the others. In each person the parcels of one side share a signal; which side it is, is what
//! the report says.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use ndarray::{Array2, Array3, Array4};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scan::{Affine, Bold, Volume, write_bold, write_volume};

/// Where it lies.
pub const FOLDER: &str = "fixtures/synthetic";

/// People.
pub const N_SUBJECTS: usize = 24;
/// Parcels, half of them on each side.
pub const N_PARCELS: usize = 424;
/// Frames of a scan.
pub const N_FRAMES: usize = 40;
/// Seconds between two frames.
pub const T_R_S: f64 = 0.735;

const SHAPE: [usize; 3] = [14, 16, 13];
const ZOOM_MM: f64 = 12.0;
const SEED: u64 = 424;

/// Which way the first axis of a file runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// To the right: `RAS`, as fMRIPrep writes.
    Ras,
    /// To the left: `LAS`, as FSL writes.
    Las,
}

/// Whether the stronger side of a person, from 0, is the left one.
pub fn is_left(subject: usize) -> bool {
    subject.is_multiple_of(2) != subject.is_multiple_of(3)
}

/// Rows from voxel indices to mm; the middle of the grid is between left and right.
fn affine(side: Side) -> Affine {
    let [nx, ny, nz] = SHAPE.map(|n| n as f64);
    let half = ZOOM_MM * (nx - 1.0) / 2.0;
    let (step, start) = match side {
        Side::Ras => (ZOOM_MM, -half),
        Side::Las => (-ZOOM_MM, half),
    };
    let rows = [
        [step, 0.0, 0.0, start],
        [0.0, ZOOM_MM, 0.0, -ZOOM_MM * ny / 2.0 - 12.0],
        [0.0, 0.0, ZOOM_MM, -ZOOM_MM * nz / 3.0],
        [0.0, 0.0, 0.0, 1.0],
    ];
    Affine::new(rows).expect("a grid")
}

/// Voxels of each parcel on a grid that runs to the right: the right side first, then the left one as
/// its mirror image.
fn parcels() -> Vec<[[usize; 3]; 2]> {
    let [nx, ny, nz] = SHAPE;
    let away = |[x, y, z]: [usize; 3]| {
        let part = |at: usize, n: usize| (at as f64 + 0.5) / n as f64 * 2.0 - 1.0;
        part(x, nx).powi(2) + part(y, ny).powi(2) + part(z, nz).powi(2)
    };
    let mut voxels: Vec<[usize; 3]> = Vec::new();
    for x in nx / 2..nx {
        for y in 0..ny {
            voxels.extend((0..nz).map(|z| [x, y, z]));
        }
    }
    voxels.sort_by(|a, b| away(*a).total_cmp(&away(*b)).then(a.cmp(b)));
    voxels.truncate(N_PARCELS);
    voxels.sort_unstable();
    let right: Vec<[[usize; 3]; 2]> = voxels.chunks_exact(2).map(|it| [it[0], it[1]]).collect();
    let mirrored = right.iter().map(|pair| pair.map(|[x, y, z]| [nx - 1 - x, y, z]));
    right.iter().copied().chain(mirrored).collect()
}

/// The labels image, on a grid that runs to the left.
pub fn labels() -> Volume {
    let mut values = Array3::<f32>::zeros(SHAPE);
    for (label, pair) in (1_u16..).zip(parcels()) {
        for [x, y, z] in pair {
            values[[SHAPE[0] - 1 - x, y, z]] = f32::from(label);
        }
    }
    Volume::new(values, affine(Side::Las)).expect("an image")
}

/// Label, x, y, z in whole mm, as atlases come.
pub fn coordinates() -> String {
    let affine = affine(Side::Ras);
    let rows = (1..).zip(parcels()).map(|(label, pair)| {
        let places = pair.map(|voxel| affine.apply(voxel.map(|at| at as f64)));
        let middle = [0, 1, 2].map(|axis| f64::midpoint(places[0][axis], places[1][axis]));
        format!("{label}\t{:.0}\t{:.0}\t{:.0}\n", middle[0], middle[1], middle[2])
    });
    rows.collect()
}

/// The table of the atlas's names: seven networks on either side, as Schaefer's names have them.
fn names() -> String {
    const NETWORKS: [&str; 7] =
        ["Vis", "SomMot", "DorsAttn", "SalVentAttn", "Limbic", "Cont", "Default"];
    let n_side = N_PARCELS / 2;
    let mut text = "index\tname\n".to_owned();
    for parcel in 0..N_PARCELS {
        let (side, at) = (["RH", "LH"][parcel / n_side], parcel % n_side);
        let network = NETWORKS[at * NETWORKS.len() / n_side];
        let row = format!("{}\t7Networks_{side}_{network}_{}\n", parcel + 1, at + 1);
        text.push_str(&row);
    }
    text
}

/// A person's parcel series `(n_frames, n_parcels)`, whole numbers.
fn series(subject: usize) -> Array2<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED + subject as u64);
    let mut wave = || -> Vec<f32> {
        let mut last = 0.0;
        (0..N_FRAMES)
            .map(|_| {
                last = 0.7 * last + random.random_range(-1.0_f32..1.0);
                last
            })
            .collect()
    };
    let (shared, other) = (wave(), wave());
    let n_side = N_PARCELS / 2;
    Array2::from_shape_fn((N_FRAMES, N_PARCELS), |(frame, parcel)| {
        let on_left = parcel >= n_side;
        let pattern = (parcel % n_side * 37 % 101) as f32;
        // the same pattern on both sides, and the left one brighter where it is high
        let bright = 800.0 + 2.0 * pattern + if on_left { 1.5 * pattern } else { 0.0 };
        let signal =
            if on_left == is_left(subject) { 24.0 * shared[frame] } else { 6.0 * other[frame] };
        (bright + signal + random.random_range(-12.0_f32..12.0)).round()
    })
}

/// A person's scan: a file whose first axis runs to `side`.
pub fn bold(subject: usize, side: Side) -> Bold {
    let series = series(subject);
    let [nx, ny, nz] = SHAPE;
    let mut values = Array4::<f32>::zeros((nx, ny, nz, N_FRAMES));
    for (parcel, pair) in parcels().into_iter().enumerate() {
        for (half, [x, y, z]) in pair.into_iter().enumerate() {
            let x = if side == Side::Ras { x } else { nx - 1 - x };
            // the two voxels differ, their mean is the parcel's
            let apart = if half == 0 { 4.0 } else { -4.0 };
            for frame in 0..N_FRAMES {
                values[[x, y, z, frame]] = series[[frame, parcel]] + apart;
            }
        }
    }
    Bold::new(values, affine(side), T_R_S).expect("a run")
}

/// A person's scan whose voxels were flipped and whose affine was not.
pub fn mirrored(subject: usize) -> Bold {
    let right = bold(subject, Side::Ras);
    let mut values = right.data().clone();
    values.invert_axis(ndarray::Axis(0));
    Bold::new(values.as_standard_layout().into_owned(), right.affine().clone(), T_R_S)
        .expect("a run")
}

/// The side of a person's file: both occur.
pub fn side(subject: usize) -> Side {
    if subject.is_multiple_of(2) { Side::Ras } else { Side::Las }
}

/// `sub-01/func/sub-01_task-rest`, for a person from 0.
fn stem(subject: usize) -> String {
    let label = format!("sub-{:02}", subject + 1);
    format!("{label}/func/{label}_task-rest")
}

/// The scan of a person, below the dataset.
pub fn scan_name(subject: usize) -> String {
    format!("{}_space-MNI152NLin6Asym_desc-preproc_bold.nii.gz", stem(subject))
}

/// `train` for 16, `validation` for 4, `test` for 4; both sides in each.
fn split(subject: usize) -> &'static str {
    match subject {
        0..16 => "train",
        16..20 => "choose",
        _ => "test",
    }
}

/// The report of a person.
fn report(subject: usize) -> String {
    let side = if is_left(subject) { "left" } else { "right" };
    format!("Findings: Shared fluctuations are strongest in the {side} hemisphere.")
}

/// Nuisance series as fMRIPrep names them.
fn confounds(subject: usize) -> String {
    let mut random = ChaCha8Rng::seed_from_u64(10_000 + subject as u64);
    let motion = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"];
    let plain: Vec<&str> = motion.into_iter().chain(["csf", "white_matter"]).collect();
    let mut columns: Vec<(String, Vec<f64>)> = Vec::new();
    for name in &plain {
        let scale = if name.starts_with("rot") { 0.0005 } else { 0.03 };
        let series: Vec<f64> = (0..N_FRAMES).map(|_| random.random_range(-scale..scale)).collect();
        let change = |it: &[f64], frame: usize| {
            if frame == 0 { f64::NAN } else { it[frame] - it[frame - 1] }
        };
        let derivative: Vec<f64> = (0..N_FRAMES).map(|frame| change(&series, frame)).collect();
        let square = |it: &[f64]| it.iter().map(|x| x * x).collect::<Vec<f64>>();
        columns.push((format!("{name}_derivative1_power2"), square(&derivative)));
        columns.push((format!("{name}_power2"), square(&series)));
        columns.push((format!("{name}_derivative1"), derivative));
        columns.push(((*name).to_owned(), series));
    }
    let fd_mm: Vec<f64> = (0..N_FRAMES)
        .map(|frame| if frame == 0 { f64::NAN } else { 0.05 + random.random_range(0.0..0.2) })
        .collect();
    columns.push(("framewise_displacement".to_owned(), fd_mm));
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let mut text = names.join("\t") + "\n";
    for frame in 0..N_FRAMES {
        let cell = |(_, values): &(String, Vec<f64>)| match values[frame] {
            x if x.is_nan() => "n/a".to_owned(),
            x => format!("{x:.7}"),
        };
        text += &(columns.iter().map(cell).collect::<Vec<_>>().join("\t") + "\n");
    }
    text
}

/// Every text of the cohort: its path below the folder, and what it says.
pub fn texts() -> Vec<(String, String)> {
    let mut texts = vec![
        ("atlas/synthetic424_coordinates.tsv".to_owned(), coordinates()),
        ("atlas/synthetic424_names.tsv".to_owned(), names()),
        (
            "bids/dataset_description.json".to_owned(),
            "{\n  \"Name\": \"synthetic\",\n  \"BIDSVersion\": \"1.9.0\",\n  \"DatasetType\": \"derivative\"\n}\n"
                .to_owned(),
        ),
        (
            "bids/task-rest_bold.json".to_owned(),
            format!("{{\n  \"RepetitionTime\": {T_R_S}\n}}\n"),
        ),
    ];
    let mut people = "participant_id\tage\tsex\tsite\tstronger_side\n".to_owned();
    let mut pairs = "subject,session,scan,onset,duration,report,split\n".to_owned();
    for subject in 0..N_SUBJECTS {
        let side = if is_left(subject) { "left" } else { "right" };
        let (label, age) = (subject + 1, 40 + subject * 7 % 30);
        let sex = if subject % 3 == 0 { "F" } else { "M" };
        let site = if subject < 12 { "A" } else { "B" };
        let person = format!("sub-{label:02}\t{age}\t{sex}\t{site}\t{side}\n");
        people.push_str(&person);
        let (scan, report, split) = (scan_name(subject), report(subject), split(subject));
        let seconds = N_FRAMES as f64 * T_R_S;
        let pair = format!("{label:02},1,bids/{scan},0,{seconds},\"{report}\",{split}\n");
        pairs.push_str(&pair);
        let confounds = confounds(subject);
        texts.push((format!("bids/{}_desc-confounds_timeseries.tsv", stem(subject)), confounds));
    }
    texts.push(("bids/participants.tsv".to_owned(), people));
    texts.push(("pairs.csv".to_owned(), pairs));
    texts
}

/// Tokens `(2, 4, 8)` of every person under both names of their scan, as another program might write
/// them.
fn tokens() -> Result<Vec<u8>> {
    let n_windows = 2;
    let all: Vec<(String, Vec<u8>)> = (0..N_SUBJECTS)
        .flat_map(|subject| {
            let series = series(subject);
            let frames = N_FRAMES / n_windows;
            let token = |window: usize, token: usize, at: usize| {
                let parcel = token * 106 + at * 13;
                let rows = window * frames..(window + 1) * frames;
                let values = rows.map(|frame| series[[frame, parcel]]);
                let (sum, squares) = values.fold((0.0, 0.0), |(a, b), x| (a + x, b + x * x));
                let mean = sum / frames as f32;
                ((squares / frames as f32 - mean * mean).max(0.0)).sqrt() / 20.0
            };
            let places = (0..n_windows)
                .flat_map(|w| (0..4).flat_map(move |t| (0..8).map(move |at| (w, t, at))));
            let bytes: Vec<u8> =
                places.flat_map(|(w, t, at)| token(w, t, at).to_le_bytes()).collect();
            // as tables of pairs name a scan, and as its BIDS folder does
            ["ses-1_run-1", "task-rest"]
                .map(|rest| (format!("sub-{:02}_{rest}", subject + 1), bytes.clone()))
        })
        .collect();
    let views = all.iter().map(|(name, bytes)| {
        let shape = vec![n_windows, 4, 8];
        Ok((name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, bytes)?))
    });
    Ok(safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None)?)
}

/// Writes the whole folder.
pub fn write(folder: &Path) -> Result<()> {
    let place = |name: &str| -> Result<PathBuf> {
        let path = folder.join(name);
        let above = path.parent().expect("a file lies in a folder");
        fs::create_dir_all(above).with_context(|| format!("cannot make {}", above.display()))?;
        Ok(path)
    };
    for (name, text) in texts() {
        fs::write(place(&name)?, text).with_context(|| format!("cannot write {name}"))?;
    }
    write_volume(place("atlas/synthetic424.nii.gz")?, &labels())?;
    for subject in 0..N_SUBJECTS {
        let path = place(&format!("bids/{}", scan_name(subject)))?;
        write_bold(path, &bold(subject, side(subject)))?;
    }
    fs::write(place("tokens.safetensors")?, tokens()?).context("cannot write tokens.safetensors")
}

/// Fails when a committed file is not what is made here; packed files are compared unpacked.
pub fn check(folder: &Path) -> Result<()> {
    for (name, text) in texts() {
        let found = fs::read_to_string(folder.join(&name)).with_context(|| name.clone())?;
        anyhow::ensure!(found == text, "{name} differs; `cargo xtask fixtures` writes it anew");
    }
    for subject in 0..N_SUBJECTS {
        let found = scan::read_bold(folder.join("bids").join(scan_name(subject)))?;
        let expected = bold(subject, side(subject));
        anyhow::ensure!(
            found.data() == expected.data(),
            "the scan of sub-{:02} differs; `cargo xtask fixtures` writes it anew",
            subject + 1
        );
    }
    let found = fs::read(folder.join("tokens.safetensors"))?;
    anyhow::ensure!(found == tokens()?, "tokens.safetensors differs");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_files_are_what_is_made() {
        check(&crate::repository().join(FOLDER)).unwrap();
    }

    #[test]
    fn both_sides_are_in_every_split() {
        for range in [0..16, 16..20, 20..24] {
            let n_left = range.clone().filter(|subject| is_left(*subject)).count();
            assert!(n_left > 0 && n_left < range.len(), "{range:?}: {n_left}");
        }
    }

    #[test]
    fn two_storage_orders_hold_the_same_scan() {
        let (right, left) = (bold(3, Side::Ras), bold(3, Side::Las));
        assert_ne!(right.data(), left.data());
        let turned = left.reoriented("RAS".parse().unwrap()).unwrap();
        assert_eq!(turned.data(), right.data());
    }
}
