//! The synthetic cohort in files of a test's own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use xtask::synthetic::{self, Side};

use crate::{Ran, root, run};

/// How the scans of a copy are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// As in the repository: some run to the right, some to the left.
    Mixed,
    /// All alike.
    All(Side),
    /// Parcel series in HDF5, a file each.
    Hdf5,
}

/// Pipelines over the synthetic cohort; gone with the value.
pub struct Synthetic {
    dir: PathBuf,
    _gone_with_the_value: TempDir,
}

impl Synthetic {
    /// A copy of the first `n` people, and of the shipped pipeline `name` over it.
    pub fn new(n: usize, stored: Stored, name: &str) -> Self {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let dir = temporary.path().join("data/cohort");
        fs::create_dir_all(&dir).expect("a new folder");
        let cohort = Self { dir, _gone_with_the_value: temporary };
        for (name, text) in synthetic::texts() {
            let path = cohort.dir.join(&name);
            fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
            fs::write(path, text).expect("a text is written");
        }
        fs::remove_dir_all(cohort.dir.join("bids")).expect("the dataset is made anew");
        let atlas = cohort.dir.join("atlas/synthetic424.nii.gz");
        scan::write_volume(atlas, &synthetic::labels()).expect("the atlas is written");
        for (name, text) in synthetic::texts().into_iter().filter(|(it, _)| it.starts_with("bids/"))
        {
            let of_people = name.contains("/sub-");
            if !of_people || (0..n).any(|at| name.contains(&format!("/sub-{:02}/", at + 1))) {
                let path = cohort.dir.join(&name);
                fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                fs::write(path, text).expect("a text is written");
            }
        }
        for subject in 0..n {
            cohort.write_scan(subject, stored);
        }
        let text = fs::read_to_string(root().join(format!("pipelines/{name}.yaml")));
        let text = text.expect("a shipped pipeline");
        let home = root().display().to_string();
        let text = text
            .replace("../fixtures/synthetic/", "")
            .replace("../configs", &format!("{home}/configs"));
        let text =
            text.replace("../fixtures", &format!("{home}/fixtures")).replace("../runs", "runs");
        cohort.write_pipeline(&text);
        cohort
    }

    fn write_scan(&self, subject: usize, stored: Stored) {
        let path = self.scan(subject);
        let side = match stored {
            Stored::Mixed => synthetic::side(subject),
            Stored::All(side) => side,
            Stored::Hdf5 => Side::Ras,
        };
        let run = synthetic::bold(subject, side);
        if stored != Stored::Hdf5 {
            return scan::write_bold(&path, &run).expect("a scan is written");
        }
        let atlas = scan::Atlas::from_volume(&synthetic::labels()).expect("an atlas");
        let series = atlas.extract(&run, &scan::ExtractConfig::default(), None).expect("a series");
        let name =
            path.display().to_string().replace("_desc-preproc_bold.nii.gz", "_timeseries.h5");
        scan::write_hdf5(name, &series).expect("a series is written");
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The scan of a person, from 0.
    pub fn scan(&self, subject: usize) -> PathBuf {
        self.dir.join("bids").join(synthetic::scan_name(subject))
    }

    /// The pipeline file.
    pub fn pipeline(&self) -> PathBuf {
        self.dir.join("pipeline.yaml")
    }

    /// Another text for the pipeline file.
    pub fn write_pipeline(&self, text: &str) {
        fs::write(self.pipeline(), text).expect("the pipeline is written");
    }

    /// Changes the first `from` of the pipeline.
    pub fn edit_pipeline(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.pipeline()).expect("a pipeline is text");
        assert!(text.contains(from), "no {from:?} in it");
        self.write_pipeline(&text.replacen(from, to, 1));
    }

    /// `neuroflamingo run` on it; its folder is called `[cohort]` in what it says.
    pub fn run(&self, sets: &[&str]) -> Ran {
        let pipeline = self.pipeline().display().to_string();
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        let args: Vec<&str> = ["run", &pipeline].into_iter().chain(sets).collect();
        run(&args).naming(&self.dir, "[cohort]")
    }

    /// The file of this name in the run directory of pipeline `name`.
    pub fn result(&self, name: &str, file: &str) -> PathBuf {
        self.dir.join("runs").join(name).join(file)
    }
}
