//! A copy of the bundled cohort to be damaged.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use tempfile::TempDir;

use crate::{Ran, files_below, root, run};

/// The table, its scans and a pipeline over them that needs no model; gone with the value.
pub struct Cohort {
    dir: PathBuf,
    _gone_with_the_value: TempDir,
}

impl Cohort {
    /// An undamaged copy.
    pub fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        // deep enough that what the program shows of a path has no random part
        let dir = temporary.path().join("data/cohort");
        fs::create_dir_all(&dir).expect("a new folder");
        let cohort = Self { dir, _gone_with_the_value: temporary };
        let from = root().join("fixtures/haxby2001");
        fs::copy(from.join("pairs.csv"), cohort.table()).expect("the table is copied");
        for run in 1..=12 {
            let scan = cohort.scan(run);
            let name = scan.strip_prefix(cohort.dir()).expect("a scan lies in the folder");
            fs::create_dir(cohort.dir().join(format!("run{run:03}"))).expect("a new folder");
            fs::copy(from.join(name), &scan).expect("a scan is copied");
        }
        cohort.write_pipeline(&pipeline());
        cohort
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `pairs.csv`.
    pub fn table(&self) -> PathBuf {
        self.dir().join("pairs.csv")
    }

    /// One of its twelve scans; 1 to 9 are trained on, 10 is for validation, 11 and 12 are tested.
    pub fn scan(&self, run: usize) -> PathBuf {
        self.dir().join(format!("run{run:03}/bold_1slice.nii.gz"))
    }

    /// Where its pipeline writes.
    pub fn outputs(&self) -> PathBuf {
        self.dir().join("runs")
    }

    /// The pipeline file.
    pub fn pipeline(&self) -> PathBuf {
        self.dir().join("windows.yaml")
    }

    /// Another text for the pipeline file.
    pub fn write_pipeline(&self, text: &str) {
        fs::write(self.pipeline(), text).expect("the pipeline is written");
    }

    /// Changes the first `from` of the pipeline.
    pub fn edit_pipeline(&self, from: &str, to: &str) {
        edit(&self.pipeline(), from, to);
    }

    /// Changes the first `from` of the table.
    pub fn edit_table(&self, from: &str, to: &str) {
        edit(&self.table(), from, to);
    }

    /// Overwrites bytes of a scan's header, at offsets of nifti1.h.
    pub fn patch_scan(&self, run: usize, patches: &[(usize, &[u8])]) {
        let path = self.scan(run);
        let mut bytes = Vec::new();
        let file = fs::File::open(&path).expect("a scan of the cohort");
        GzDecoder::new(file).read_to_end(&mut bytes).expect("a gzip file");
        for (offset, field) in patches {
            bytes[*offset..*offset + field.len()].copy_from_slice(field);
        }
        let file = fs::File::create(&path).expect("a scan of the cohort");
        let mut out = GzEncoder::new(file, Compression::fast());
        out.write_all(&bytes).expect("the scan is written");
        out.finish().expect("the scan is written");
    }

    /// `neuroflamingo run` on it; its folder is called `[cohort]` in what it says.
    pub fn run(&self, sets: &[&str]) -> Ran {
        let pipeline = self.pipeline().display().to_string();
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        let args: Vec<&str> = ["run", &pipeline].into_iter().chain(sets).collect();
        run(&args).naming(self.dir(), "[cohort]")
    }

    /// Nothing that is still being written lies below the folder.
    pub fn has_no_partial_file(&self) -> bool {
        files_below(self.dir()).iter().all(|path| {
            let inside = path.strip_prefix(self.dir()).expect("it lies below");
            inside.iter().all(|part| !part.to_string_lossy().starts_with('.'))
        })
    }
}

impl Default for Cohort {
    fn default() -> Self {
        Self::new()
    }
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).expect("a text file");
    assert!(text.contains(from), "{}: no {from:?} in it", path.display());
    fs::write(path, text.replacen(from, to, 1)).expect("the file is written");
}

/// From the scans to whitened windows.
fn pipeline() -> String {
    format!(
        "\
name: windows
seed: 1
cohort:
  pairs:
    table: pairs.csv
    split_unit: scan
    slots: {{ file: {}/configs/slots/haxby_v1.yaml }}
    prompt: \"Technique: {{technique}}\\n\"
stages:
  - mask: {{ above_mean: 0.6 }}
  - clean: {{ detrend: quadratic, standardize: zscore_sample }}
  - event_windows: {{ shift_s: 5.0, n_frames: 9 }}
  - whiten: {{ shrinkage: {{ fixed: 0.3 }} }}
outputs: runs
",
        root().display()
    )
}
