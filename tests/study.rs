//! Three people, eight parcels and forty frames, and a pipeline over them.

use std::{fmt::Write as _, fs, path::PathBuf};

use ndarray::{Array3, Array4};
use scan::{Affine, Bold, Volume};
use tables::{Cell, Table};
use tempfile::TempDir;
use tests::{Ran, root, run};

pub(crate) const N_FRAMES: usize = 40;
pub(crate) const N_PARCELS: usize = 8;
pub(crate) const SIGNAL: &str = "{ detrend: linear, filter: none, standardize: zscore_sample, \
                      standardize_confounds: true, extrapolate: true, nilearn_compat: false }";

/// A cohort of three people, eight parcels and forty frames, in files of a test's own.
pub(crate) struct Study(TempDir);

/// Values of no order, between -1 and 1.
pub(crate) fn noise(person: usize, frame: usize, parcel: usize) -> f64 {
    let at = (1 + person) * 7919 + frame * 104_729 + parcel * 1_299_709;
    (at as f64 * 12.989_8).sin()
}

pub(crate) fn affine() -> Affine {
    let row = |i: usize| {
        std::array::from_fn(|j| if j == 3 { -14.0 } else { f64::from(u8::from(i == j)) * 4.0 })
    };
    Affine::new([row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]]).unwrap()
}

/// Label 1 to 8 by the half along each axis.
pub(crate) fn octant(x: usize, y: usize, z: usize) -> usize {
    1 + x / 4 + 2 * (y / 4) + 4 * (z / 4)
}

impl Study {
    pub(crate) fn new() -> Self {
        let study = Self(tempfile::tempdir().unwrap());
        let labels = Array3::from_shape_fn((8, 8, 8), |(x, y, z)| octant(x, y, z) as f32);
        let labels = Volume::new(labels, affine()).unwrap();
        scan::write_volume(study.at("atlas.nii.gz"), &labels).unwrap();
        study
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What the files of a person, from 0, begin with.
    pub(crate) fn stem(person: usize) -> String {
        format!("data/sub-0{}/func/sub-0{0}_task-rest", person + 1)
    }

    pub(crate) fn put(&self, name: &str, text: &str) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs of three people with fMRIPrep's confounds beside them; `value` changes a voxel's signal.
    pub(crate) fn runs(&self, value: impl Fn(usize, [usize; 3], f32) -> f32) {
        for person in 0..3 {
            let data = Array4::from_shape_fn((8, 8, 8, N_FRAMES), |(x, y, z, t)| {
                let signal = 1000.0 + 20.0 * noise(person, t, octant(x, y, z));
                value(person, [x, y, z], signal as f32)
            });
            let func = Self::stem(person);
            self.put(&format!("{func}{CONFOUNDS}"), &confounds(person, N_FRAMES));
            let path = self.at(&format!("{func}_space-MNI_desc-preproc_bold.nii.gz"));
            scan::write_bold(path, &Bold::new(data, affine(), 2.0).unwrap()).unwrap();
        }
    }

    /// parcellate, `between`, windows, connectivity, one vector a person.
    pub(crate) fn pipeline(&self, cohort: &str, more: &str, between: &str, pooling: &str) {
        let home = root().display().to_string();
        let text = format!(
            "name: p
seed: 1
cohort:
  {cohort}
model:
  encoder: {{ connectivity: {{ tokens: all }} }}
  resampler: {{ file: {home}/configs/resampler/tiny_v1.yaml }}
  gates: {{ file: {home}/configs/gates/tiny_v1.yaml }}
  lm: {{ hf: {home}/fixtures/tiny-lm }}
stages:
  - parcellate: {{ {more} }}
{between}  - sliding_windows: {{ n_frames: 20, policy: {{ tiled: {{ stride: 20 }} }}, pad: refuse }}
  - encode: {{ precision: f32 }}
  - embed: {{ strategy: t_v1, window: mean, run: {pooling} }}
outputs: runs
"
        );
        self.put("p.yaml", &text);
    }

    pub(crate) fn run(&self) -> Ran {
        run(&["run", &self.at("p.yaml").display().to_string()]).naming(self.0.path(), "[study]")
    }

    pub(crate) fn check(&self) -> Ran {
        run(&["-v", "check", &self.at("p.yaml").display().to_string()])
            .naming(self.0.path(), "[study]")
    }

    pub(crate) fn result(&self, name: &str) -> String {
        fs::read_to_string(self.at("runs/p").join(name)).unwrap()
    }

    pub(crate) fn embeddings(&self) -> Table {
        tables::read(self.at("runs/p/embeddings.parquet")).unwrap()
    }
}

pub(crate) const CONFOUNDS: &str = "_desc-confounds_timeseries.tsv";
pub(crate) const ATLAS: &str = "atlas: { id: octants, labels: atlas.nii.gz }";
pub(crate) const BIDS: &str = "bids: { dir: data }";

pub(crate) fn confounds(person: usize, n_rows: usize) -> String {
    let columns = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"];
    let mut text = columns.join("\t") + "\tframewise_displacement\n";
    for t in 0..n_rows {
        for c in 0..columns.len() {
            write!(text, "{:.6}\t", noise(person + 50, t, c)).unwrap();
        }
        let fd = if t == 0 {
            "n/a".to_owned()
        } else {
            format!("{:.4}", 0.2 + 0.1 * noise(person, t, 9))
        };
        writeln!(text, "{fd}").unwrap();
    }
    text
}

pub(crate) fn denoise(nuisance: &str) -> String {
    format!("  - denoise: {{ signal: {SIGNAL}, confounds: {nuisance} }}\n")
}

pub(crate) const BASIC: &str = "{ columns: { motion: basic, demean: true } }";

pub(crate) fn integers(table: &Table, column: &str) -> Vec<i64> {
    let cell = |row| match table.column(column).unwrap().cell(row) {
        Cell::Integer(n) => n,
        other => panic!("{column}: {other:?}"),
    };
    (0..table.n_rows()).map(cell).collect()
}

pub(crate) fn vectors(table: &Table) -> Vec<Vec<f32>> {
    let cell = |row| match table.column("embedding").unwrap().cell(row) {
        Cell::Vector(values) => values.to_vec(),
        other => panic!("{other:?}"),
    };
    (0..table.n_rows()).map(cell).collect()
}

/// Series of three people as tables with this first line; `change` rewrites a cell.
pub(crate) fn tables_of(
    study: &Study,
    header: &str,
    change: impl Fn(usize, usize, String) -> String,
) {
    for person in 0..3 {
        let mut text = if header.is_empty() { String::new() } else { format!("{header}\n") };
        for t in 0..N_FRAMES {
            let cell = |p: usize| change(person, p, format!("{:.5}", noise(person, t, p + 1)));
            let cells: Vec<String> = (0..N_PARCELS).map(cell).collect();
            writeln!(text, "{}", cells.join("\t")).unwrap();
        }
        let stem = Study::stem(person) + "_timeseries";
        study.put(&format!("{stem}.tsv"), &text);
        study.put(&format!("{stem}.json"), "{\"RepetitionTime\": 2.0}");
    }
}
