//! Four people of 150 volumes at 2.0 s, an atlas and tiny weights for each encoder: what
//! `docs/short-scans.md` walks through.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ndarray::{Array3, Array4};
use scan::{Affine, Bold, Volume};
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::{encoders, published};

use crate::{Ran, labels, program, root};

/// People of the cohort.
pub const N_PEOPLE: usize = 4;

/// Voxels along each axis, which SwiFT's margins bring to 16.
const GRID: [usize; 3] = [11, 29, 11];

const N_FRAMES: usize = 150;
const T_R_S: f64 = 2.0;
const ZOOM_MM: f64 = 8.0;

/// Encoders with what they read and how wide their tokens are: weights of one or two blocks.
const ENCODERS: [(&str, usize); 6] = [
    ("brainlm", 8),
    ("brainmt", 32),
    ("brain-jepa", 64),
    ("cortexmae", 64),
    ("brain-semantoks", 64),
    ("swift", 16),
];

/// A folder with `data`, `atlases`, `models` and what the test writes; gone with the value.
pub struct ShortScans {
    dir: PathBuf,
    _gone_with_the_value: TempDir,
}

impl ShortScans {
    /// Scans, atlases and models.
    pub fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let dir = temporary.path().join("home");
        fs::create_dir(&dir).expect("a new folder");
        let made = Self { dir, _gone_with_the_value: temporary };
        for shared in ["configs", "fixtures", "schema"] {
            let link = std::os::unix::fs::symlink(root().join(shared), made.dir.join(shared));
            link.expect("a link to the repository");
        }
        made.write("data/rest/dataset_description.json", DATASET);
        let sidecar = format!("{{ \"RepetitionTime\": {T_R_S} }}\n");
        made.write("data/rest/task-rest_bold.json", &sidecar);
        for person in 0..N_PEOPLE {
            let label = format!("sub-{:02}", person + 1);
            let name = format!("{label}_task-rest_space-MNI152NLin6Asym_desc-preproc_bold.nii.gz");
            let path = made.place(&format!("data/rest/{label}/func/{name}"));
            scan::write_bold(path, &bold(person)).expect("a scan is written");
        }
        let (seventeen, seven) = (labels::schaefer(17, 400), labels::schaefer(7, 400));
        let (tian, buckner) = (labels::tian(), labels::buckner());
        made.atlas("schaefer400_17networks", &seventeen);
        made.atlas("tian50_schaefer400", &[tian.clone(), seventeen].concat());
        made.atlas("schaefer400_tian50_buckner7", &[seven, tian, buckner].concat());
        made.atlas("a424", &labels::a424());
        ENCODERS.iter().for_each(|(name, _)| made.model(name));
        made
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a text below the folder.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.place(name), text).expect("a text is written");
    }

    /// Runs the program in the folder.
    pub fn run(&self, args: &[String]) -> Ran {
        let output = Command::new(program()).args(args).current_dir(&self.dir).output();
        let output = output.expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn place(&self, name: &str) -> PathBuf {
        let path = self.dir.join(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
        path
    }

    /// A labels image of a voxel a label, right ones to the right, with names and places.
    fn atlas(&self, name: &str, labels: &[String]) {
        let mut values = Array3::<f32>::zeros(GRID);
        let (mut left, mut right, mut middle) = (voxels(0..5), voxels(6..11), voxels(5..6));
        let affine = affine();
        let (mut names, mut places) = (vec!["index\tname".to_owned()], Vec::new());
        for (label, text) in (1..).zip(labels) {
            let of_side = match labels::side(text) {
                Some('L') => &mut left,
                Some(_) => &mut right,
                None => &mut middle,
            };
            let voxel = of_side.next().expect("a grid larger than any atlas");
            values[voxel] = label as f32;
            let [x, y, z] = affine.apply(voxel.map(|at| at as f64));
            names.push(format!("{label}\t{text}"));
            places.push(format!("{label}\t{x}\t{y}\t{z}"));
        }
        let image = Volume::new(values, affine).expect("an image");
        let path = self.place(&format!("atlases/{name}.nii.gz"));
        scan::write_volume(path, &image).expect("the atlas is written");
        self.write(&format!("atlases/{name}.tsv"), &names.join("\n"));
        self.write(&format!("atlases/{name}_mm.tsv"), &places.join("\n"));
    }

    /// Weights of a network of the published kind with few numbers, and the component that names them.
    fn model(&self, name: &str) {
        let weights = self.place(&format!("models/{name}/weights.safetensors"));
        let source = json!({ "file": "weights.safetensors" });
        let (mut config, input) = tiny(name);
        if name == "brainlm" {
            let network = encoders::image();
            encoders::write(&network, 1, &weights, false).expect("weights are written");
        } else {
            let kind = config.as_object().expect("an encoder").keys().next().cloned();
            let kind = kind.expect("an encoder has a name");
            config[&kind]["weights"] = json!({ "seed": 1 });
            published::write(&weights, &config, &input, 1).expect("weights are written");
        }
        for encoder in config.as_object_mut().expect("an encoder").values_mut() {
            encoder["weights"] = source.clone();
        }
        // JSON is YAML
        self.write(&format!("models/{name}/encoder.yaml"), &config.to_string());
    }
}

impl Default for ShortScans {
    fn default() -> Self {
        Self::new()
    }
}

const DATASET: &str = r#"{ "Name": "rest", "BIDSVersion": "1.9.0", "DatasetType": "derivative" }"#;

/// An encoder without its weights, and its input.
fn tiny(name: &str) -> (Value, Value) {
    let window = |n_frames: usize, n_voxels: usize| json!({ "window": { "n_frames": n_frames, "n_voxels": n_voxels } });
    let volume = |n_frames: usize, grid: [usize; 3]| json!({ "volume": { "n_frames": n_frames, "grid": grid } });
    match name {
        "brainlm" => (json!({ "brainlm": { "network": encoders::image() } }), Value::Null),
        "brainmt" => {
            let size = json!({ "embed_dim": 32, "depth": [2, 1], "n_heads": 2, "n_cells": 2 });
            (json!({ "brainmt": { "size": size } }), volume(200, GRID))
        }
        "brain-jepa" => {
            let size = json!({ "dim": 64, "depth": 1, "n_heads": 1 });
            (json!({ "brain_jepa": { "size": size } }), window(160, 450))
        }
        "cortexmae" => {
            let size = json!({ "dim": 64, "depth": 1, "n_heads": 1 });
            (json!({ "cortex_mae": { "size": size } }), window(16, 400))
        }
        "brain-semantoks" => {
            let branches = json!([
                { "dense": { "channels": 32, "kernel": 3 } },
                { "structured": { "channels": 32, "kernel": 4, "scales": 3 } },
            ]);
            let size = json!({ "depth": 1, "n_heads": 1, "hidden": 64, "branches": branches });
            (json!({ "brain_semantoks": { "size": size } }), window(100, 457))
        }
        "swift" => {
            let size = json!({
                "embed_dim": 8, "depths": [2, 2], "n_heads": [2, 2], "grid": [16, 16, 16],
                "patch": [4, 4, 4], "first_window": [2, 2, 2, 4], "window": [2, 2, 2, 4],
            });
            (json!({ "swift": { "size": size } }), volume(20, [16; 3]))
        }
        other => unreachable!("no encoder {other}"),
    }
}

/// To the right and up, as fMRIPrep writes; the fifth column of voxels lies in the middle.
fn affine() -> Affine {
    let [nx, ny, nz] = GRID.map(|n| ZOOM_MM * (n as f64 - 1.0) / 2.0);
    let rows = [
        [ZOOM_MM, 0.0, 0.0, -nx],
        [0.0, ZOOM_MM, 0.0, -ny],
        [0.0, 0.0, ZOOM_MM, -nz],
        [0.0, 0.0, 0.0, 1.0],
    ];
    Affine::new(rows).expect("a grid")
}

/// Voxels of some columns that are not background.
fn voxels(columns: std::ops::Range<usize>) -> impl Iterator<Item = [usize; 3]> {
    let [_, ny, nz] = GRID;
    columns.flat_map(move |x| (1..ny).flat_map(move |y| (0..nz).map(move |z| [x, y, z])))
}

/// A person's scan: noise with a memory around another mean in every voxel, 0 outside.
fn bold(person: usize) -> Bold {
    let [nx, ny, nz] = GRID;
    let mut values = Array4::<f32>::zeros((nx, ny, nz, N_FRAMES));
    let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(person as u64 + 1);
    let mut noise = || {
        // xorshift (Marsaglia 2003)
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    for (at, [x, y, z]) in voxels(0..nx).enumerate() {
        let mut last = 0.0;
        for frame in 0..N_FRAMES {
            last = 0.6 * last + 40.0 * noise();
            values[[x, y, z, frame]] = 800.0 + (at % 101) as f32 + last;
        }
    }
    Bold::new(values, affine(), T_R_S).expect("a run")
}
