//! Ten synthetic people in every form that a cohort may have: small, sound and fast to read.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use ndarray::{Array2, Array3, Array4};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scan::{Affine, Atlas, Bold, CohortWriter, ExtractConfig, ParcelSeries, Volume};

/// Frames of a scan.
pub(super) const N_FRAMES: usize = 30;
/// Parcels, half of them on each side.
pub(super) const N_PARCELS: usize = 8;
/// Voxels along each axis, for the stage `volumes`.
pub(super) const SHAPE: [usize; 3] = [6, 6, 4];
const N_PEOPLE: usize = 10;
const T_R_S: f64 = 0.735;
/// Six are learned from, two choose, two are tested; both sides in each.
const SPLITS: [&str; N_PEOPLE] =
    ["train", "train", "train", "train", "train", "train", "choose", "choose", "test", "test"];

/// Rows of the matrix from voxels to mm; the first axis runs to the left.
pub(super) const ROWS: [[f64; 4]; 4] =
    [[-9.0, 0.0, 0.0, 22.5], [0.0, 9.0, 0.0, -20.0], [0.0, 0.0, 9.0, -9.0], [0.0, 0.0, 0.0, 1.0]];

fn affine() -> Affine {
    Affine::new(ROWS).expect("a grid")
}

/// The parcel of a voxel: four on each side, by its place along the second axis and the third.
fn label([x, y, z]: [usize; 3]) -> usize {
    1 + 4 * (x / 3) + 2 * (y / 3) + z / 2
}

fn labels() -> Volume {
    let [nx, ny, nz] = SHAPE;
    let values = Array3::from_shape_fn((nx, ny, nz), |(x, y, z)| label([x, y, z]) as f32);
    Volume::new(values, affine()).expect("an image")
}

/// A person's scan: bright everywhere, with a signal shared by one side.
fn bold(person: usize) -> Bold {
    let mut random = ChaCha8Rng::seed_from_u64(person as u64);
    let mut wave =
        || Array2::from_shape_fn((N_PARCELS, N_FRAMES), |_| random.random_range(-9.0..9.0));
    let (own, shared): (Array2<f32>, Array2<f32>) = (wave(), wave());
    let [nx, ny, nz] = SHAPE;
    let values = Array4::from_shape_fn((nx, ny, nz, N_FRAMES), |(x, y, z, frame)| {
        let parcel = label([x, y, z]) - 1;
        let is_shared = (parcel < N_PARCELS / 2) == is_left(person);
        let signal = if is_shared { shared[[0, frame]] } else { own[[parcel, frame]] };
        (800.0 + 10.0 * parcel as f32 + (x + y + z) as f32 + signal).round()
    });
    Bold::new(values, affine(), T_R_S).expect("a run")
}

fn is_left(person: usize) -> bool {
    person.is_multiple_of(2)
}

fn report(person: usize) -> String {
    let side = if is_left(person) { "left" } else { "right" };
    format!("Findings: Shared fluctuations are strongest in the {side} hemisphere.")
}

fn stem(person: usize) -> String {
    let label = format!("sub-{:02}", person + 1);
    format!("bids/{label}/func/{label}_task-rest")
}

pub(super) fn scan_name(person: usize) -> String {
    format!("{}_space-MNI152NLin6Asym_desc-preproc_bold.nii.gz", stem(person))
}

/// Motion and its measure, as fMRIPrep names them.
fn confounds(person: usize) -> String {
    let mut random = ChaCha8Rng::seed_from_u64(100 + person as u64);
    let names = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"];
    let mut text = names.join("\t") + "\tframewise_displacement\n";
    for frame in 0..N_FRAMES {
        for _ in names {
            let _ = write!(text, "{:.5}\t", random.random_range(-0.01..0.01));
        }
        let moved = if frame == 0 { "n/a".to_owned() } else { "0.1".to_owned() };
        let _ = writeln!(text, "{moved}");
    }
    text
}

/// Writes all of it below `folder`.
pub(super) fn write(folder: &Path) -> Result<()> {
    let atlas = Atlas::from_volume(&labels())?;
    scan::write_volume(folder.join("labels.nii.gz"), &labels())?;
    let mut tokens = Vec::new();
    let mut tables = Tables::default();
    let mut stack: Option<CohortWriter> = None;
    for person in 0..N_PEOPLE {
        let (path, run) = (folder.join(scan_name(person)), bold(person));
        let above = path.parent().expect("a file lies in a folder");
        fs::create_dir_all(above).with_context(|| format!("cannot make {}", above.display()))?;
        scan::write_bold(&path, &run)?;
        let beside = folder.join(stem(person) + "_desc-confounds_timeseries.tsv");
        fs::write(beside, confounds(person)).context("cannot write confounds")?;
        let series = atlas.extract(&run, &ExtractConfig::default(), None)?;
        tables.add(folder, person, &run, &series)?;
        if stack.is_none() {
            stack = Some(CohortWriter::create(folder.join("stack.h5"), N_FRAMES, &series)?);
        }
        stack.as_mut().expect("just made").push(&format!("{:02}", person + 1), &series)?;
        // as tables of pairs name a scan, as its BIDS folder does, and as manifests do
        tokens.extend(
            ["_ses-1_run-1", "_task-rest", ""]
                .map(|rest| (format!("sub-{:02}{rest}", person + 1), person)),
        );
    }
    stack.expect("there are people").finish()?;
    let put = |name: &str, text: &str| {
        fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))
    };
    put(
        "bids/dataset_description.json",
        "{\"Name\": \"covering\", \"BIDSVersion\": \"1.10.0\"}\n",
    )?;
    put("bids/task-rest_bold.json", "{\"RepetitionTime\": 0.735}\n")?;
    put("bids/participants.tsv", &tables.participants)?;
    for (name, text) in [
        ("pairs.csv", &tables.pairs),
        ("pairs_series.csv", &tables.pairs_series),
        ("people.csv", &tables.manifest),
        ("tensors.csv", &tables.tensors),
        ("series.csv", &tables.series),
    ] {
        put(name, text)?;
    }
    write_tokens(folder, &tokens)
}

/// Texts of the tables that list the people.
struct Tables {
    participants: String,
    pairs: String,
    pairs_series: String,
    manifest: String,
    tensors: String,
    series: String,
}

impl Default for Tables {
    fn default() -> Self {
        let pairs = "subject,session,scan,onset,duration,report,split\n".to_owned();
        Self {
            participants: "participant_id\tage\tsplit\n".to_owned(),
            pairs_series: pairs.clone(),
            pairs,
            manifest: "eid,scan,confounds_path,split\n".to_owned(),
            tensors: "eid,tensor_path,split\n".to_owned(),
            series: "eid,scan,split\n".to_owned(),
        }
    }
}

impl Tables {
    /// Writes a person's scan in its other forms, and a line of each table.
    fn add(
        &mut self,
        folder: &Path,
        person: usize,
        run: &Bold,
        series: &ParcelSeries,
    ) -> Result<()> {
        let (label, split, scan) = (person + 1, SPLITS[person], scan_name(person));
        let (h5, npy, tsv) =
            (format!("{label:02}.h5"), format!("{label:02}.npy"), format!("{label:02}.tsv"));
        scan::write_hdf5(folder.join(&h5), series)?;
        scan::write_npy(folder.join(&npy), &run.data().mapv(f64::from).into_dyn().view())?;
        let line = |row: ndarray::ArrayView1<f64>| {
            row.iter().map(f64::to_string).collect::<Vec<_>>().join("\t")
        };
        let names: Vec<String> = (1..=N_PARCELS).map(|it| format!("parcel{it}")).collect();
        let rows = series.values.rows().into_iter().map(line);
        let text: Vec<String> = [names.join("\t")].into_iter().chain(rows).collect();
        fs::write(folder.join(&tsv), text.join("\n") + "\n").context("cannot write a table")?;

        let (report, whole_s) = (report(person), N_FRAMES as f64 * T_R_S);
        let beside = stem(person) + "_desc-confounds_timeseries.tsv";
        writeln!(self.participants, "sub-{label:02}\t{}\t{split}", 30 + person)?;
        for (table, file) in [(&mut self.pairs, &scan), (&mut self.pairs_series, &h5)] {
            writeln!(table, "{label:02},1,{file},0,{whole_s},\"{report}\",{split}")?;
        }
        writeln!(self.manifest, "{label:02},{scan},{beside},{split}")?;
        writeln!(self.tensors, "{label:02},{npy},{split}")?;
        writeln!(self.series, "{label:02},{tsv},{split}")?;
        Ok(())
    }
}

/// Tokens of another program, `(2, 3, 4)` a scan.
fn write_tokens(folder: &Path, names: &[(String, usize)]) -> Result<()> {
    let of = |person: usize| -> Vec<u8> {
        let mut random = ChaCha8Rng::seed_from_u64(200 + person as u64);
        (0..24).flat_map(|_| random.random_range(-1.0_f32..1.0).to_le_bytes()).collect()
    };
    let all: Vec<(&String, Vec<u8>)> = names.iter().map(|(name, it)| (name, of(*it))).collect();
    let views = all.iter().map(|(name, bytes)| {
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2, 3, 4], bytes)?;
        Ok((*name, view))
    });
    let bytes = safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None)?;
    fs::write(folder.join("tokens.safetensors"), bytes).context("cannot write tokens.safetensors")
}
