use std::{fs, path::Path};

use ndarray::Array4;

use super::*;
use crate::plan::said;

/// Nine people with a scan each, and a row that leads elsewhere.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let mut table = "eid,tensor_path,age,sex,mean_fd\n".to_owned();
        for person in 1..=9 {
            let rows =
                std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
            let data =
                Array4::from_shape_fn((2, 2, 2, 8 + person % 2), |(x, _, _, t)| (x + t) as f32);
            let bold = scan::Bold::new(data, scan::Affine::new(rows).unwrap(), 0.72).unwrap();
            let name = format!("{person}.nii");
            scan::write_bold(folder.at(&name), &bold).unwrap();
            let sex = ["F", "M"][person % 2];
            let line = format!("77{person},{name},{},{sex},0.{person}\n", 50 + person);
            table.push_str(&line);
        }
        table.push_str("7799,../secret.nii,60,F,0.1\n");
        fs::write(folder.at("cohort.csv"), table).unwrap();
        folder
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn loaded(&self, cohort: &str, sets: &[&str]) -> Loaded {
        let text = format!(
            "name: it\nseed: 1\ncohort:\n  manifest:\n    table: cohort.csv\n{cohort}stages: []\noutputs: runs\n"
        );
        fs::write(self.at("p.yaml"), text).unwrap();
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        Loaded::read(&self.at("p.yaml"), &sets).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What is said about the cohort, without the folder.
    fn refused(&self, cohort: &str, sets: &[&str]) -> String {
        let loaded = self.loaded(cohort, sets);
        let mut problems = said(&loaded.spec);
        problems.retain(|error| matches!(error, crate::Error::Cohort { .. }));
        let error = problems.pop().unwrap_or_else(|| plan(&loaded).unwrap_err());
        loaded.place(error).to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

#[test]
fn a_cohort_is_told_in_numbers_and_nobody_is_named() {
    let folder = Folder::new();
    let limits = "    qc_thresholds: { motion_fd_mean: 0.75 }\n";
    let plan = plan(&folder.loaded(limits, &[])).unwrap();
    assert_eq!(plan.in_words(), "7 recordings, 7 subjects; TR 0.72 s, 8 to 9 frames");
    let left_out = plan.left_out();
    assert_eq!(
        left_out,
        [
            "2 × beyond motion_fd_mean 0.75",
            "    the first: motion_fd_mean is 0.8000, the threshold is 0.75",
            "1 × scan leaves the cohort's folder by `..`"
        ]
    );
    assert_eq!(
        plan.excluded()[1].to_string(),
        "sub-778: motion_fd_mean is 0.8000, the threshold is 0.75"
    );
    assert_eq!(plan.excluded()[1].subject(), Some("778"));
    assert_eq!(plan.excluded()[0].subject(), None);
    assert!(plan.divisions.is_empty());
}

#[test]
fn a_mistake_in_a_query_is_shown_in_the_file() {
    let folder = Folder::new();
    assert_eq!(
        folder.refused("    where: age >= 50 and sex = \"F\"\n", &[]),
        "p.yaml:6:30: `=` means nothing here, expected `==`\n  |\n\
         6 |     where: age >= 50 and sex = \"F\"\n  |                              ^"
    );
    assert_eq!(
        folder.refused("    where: 'agee >= 50'\n", &[]),
        "p.yaml:6:13: no column agee; there are age, mean_fd, sex, subject\n  |\n\
         6 |     where: 'agee >= 50'\n  |             ^^^^"
    );
    assert_eq!(
        folder.refused("", &["cohort.manifest.where=agee > 1"]),
        "--set cohort.manifest.where=agee > 1: no column agee; there are age, mean_fd, sex, \
         subject\n  agee > 1\n  ^^^^"
    );
}

#[test]
fn wrong_settings_are_shown_in_the_file() {
    let folder = Folder::new();
    let said = folder.refused("    qc_thresholds:\n      motion_fd_mean: -1\n", &[]);
    assert!(said.starts_with("p.yaml:7:7: qc_thresholds.motion_fd_mean is -1, expected"), "{said}");
    let said = folder.refused("    split:\n      stratified_group_kfold: { k: 2, seed: 1 }\n", &[]);
    assert!(said.starts_with("p.yaml:7:33: split.stratified_group_kfold.k is 2"), "{said}");
    let said = folder.refused("    t_r: 720\n", &[]);
    assert!(said.starts_with("p.yaml:6:5: t_r is 720, expected 0.05 to 30 seconds"), "{said}");
    let said = folder.refused("    split: { column: split }\n", &[]);
    assert_eq!(said, "cohort.csv: column split is not there, which split.column asks for");
}

#[test]
fn every_fold_is_run_with_every_seed() {
    let folder = Folder::new();
    let split =
        "    split:\n      stratified_group_kfold: { k: 3, stratify_by: [sex], seed: 42 }\n";
    let labels = |loaded: &Loaded| -> Vec<Option<String>> {
        let plan = plan(loaded).unwrap();
        runs(&loaded.spec, &plan).unwrap().into_iter().map(|run| run.label).collect()
    };
    let named = |names: &[&str]| -> Vec<Option<String>> {
        names.iter().map(|&name| Some(name.to_owned())).collect()
    };
    assert_eq!(labels(&folder.loaded(split, &[])), named(&["fold-1", "fold-2", "fold-3"]));
    let seeds = ["repeat={seeds: [1, 2]}"];
    assert_eq!(
        labels(&folder.loaded(split, &seeds)),
        named(&[
            "fold-1_seed-1",
            "fold-1_seed-2",
            "fold-2_seed-1",
            "fold-2_seed-2",
            "fold-3_seed-1",
            "fold-3_seed-2"
        ])
    );
    assert_eq!(labels(&folder.loaded("", &[])), [None]);
    let fractions =
        "    split:\n      fractions: { train: 0.6, choose: 0.2, test: 0.2, seed: 42 }\n";
    assert_eq!(labels(&folder.loaded(fractions, &[])), [None]);
    let folds =
        folder.loaded(split, &["repeat={seeds: [1], folds: {unit: subject, size: 1, choose: 1}}"]);
    let error = runs(&folds.spec, &plan(&folds).unwrap()).unwrap_err().to_string();
    assert_eq!(
        error,
        "repeat.folds is given, expected nothing, the folds of cohort.manifest.split are used"
    );
}

#[test]
fn what_was_used_leads_to_the_same_files() {
    let folder = Folder::new();
    let loaded = folder.loaded("    root: .\n    labels: [more.csv]\n", &[]);
    let run = RunPlan { label: None, repeat: None, fold: None, seed: 1, splits: Vec::new() };
    let used = loaded.as_used(&folder.at("runs/it"), &run);
    for path in ["table: ../../cohort.csv", "- ../../more.csv", "root: ../.."] {
        assert!(used.contains(path), "{used}");
    }
    let used: Spec = config::parse(Path::new("used"), &used).unwrap();
    assert_eq!(used.cohort.name(), "manifest");
}
