use super::*;
use crate::{
    entity::Entity,
    testing::{write, write_scan},
};

fn config(scans: &str) -> FilesConfig {
    FilesConfig {
        dir: "data".into(),
        root: None,
        scans: scans.parse().unwrap(),
        mask: None,
        confounds: None,
        labels: vec![],
        entities: Wanted::new(),
        query: None,
        qc_thresholds: None,
        t_r: None,
        split: None,
    }
}

fn names(cohort: &Cohort) -> Vec<String> {
    cohort.recordings.iter().map(Recording::name).collect()
}

fn series(n_frames: usize) -> String {
    "0.5 1.5\n".repeat(n_frames)
}

#[test]
fn a_tree_of_hcp_is_a_cohort_with_its_runs() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join("data").join(name);
    for subject in ["100206", "100307"] {
        for run in ["REST1_LR", "REST2_RL"] {
            let folder = format!("{subject}/MNINonLinear/Results/rfMRI_{run}");
            write_scan(&at(&format!("{folder}/rfMRI_{run}_clean.nii.gz")), 4, 0.72);
            write(&at(&format!("{folder}/confounds_{subject}.tsv")), "a\n1\n1\n1\n1\n");
        }
    }
    write(&dir.path().join("people.csv"), "subject,age\n100206,30\n100307,25\n");
    let mut asked = config("{subject}/MNINonLinear/Results/rfMRI_{run}/rfMRI_{run}_clean.nii.gz");
    asked.confounds =
        "{subject}/MNINonLinear/Results/rfMRI_{run}/confounds_{subject}.tsv".parse().ok();
    asked.labels = vec!["people.csv".into()];
    let place = |path: &Path| dir.path().join(path);
    let cohort = asked.index(&place, &FileIndex::unkept()).unwrap();
    assert_eq!(
        names(&cohort),
        [
            "sub-100206_run-REST1LR",
            "sub-100206_run-REST2RL",
            "sub-100307_run-REST1LR",
            "sub-100307_run-REST2RL",
        ]
    );
    let first = &cohort.recordings[0];
    assert_eq!((first.n_frames, first.t_r.unwrap().source), (Some(4), TrSource::Header));
    assert!(first.confounds.as_ref().unwrap().ends_with("confounds_100206.tsv"));
    asked.query = Some("age < 28".into());
    asked.entities = Wanted::from([(Entity::Run, vec!["REST1_LR".to_owned()])]);
    assert_eq!(
        names(&asked.index(&place, &FileIndex::unkept()).unwrap()),
        ["sub-100307_run-REST1LR"]
    );
}

#[test]
fn flat_files_need_a_repetition_time_and_names_that_are_labels() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["1000012_25753_2_0.txt", "1000025_25753_2_0.txt", "bad name_25753_2_0.txt", "x.md"]
    {
        write(&dir.path().join("data").join(name), &series(5));
    }
    let place = |path: &Path| dir.path().join(path);
    let mut asked = config("{subject}_25753_2_0.txt");
    let said = asked.index(&place, &FileIndex::unkept()).unwrap_err().to_string();
    assert!(said.contains("2 × repetition time unknown"), "{said}");
    asked.t_r = Some(0.735);
    let cohort = asked.index(&place, &FileIndex::unkept()).unwrap();
    assert_eq!(names(&cohort), ["sub-1000012", "sub-1000025"]);
    let left: Vec<String> = cohort.excluded.iter().map(ToString::to_string).collect();
    assert_eq!(left, ["a file: subject is not a label of letters, digits and +"]);
    let said =
        config("{subject}_1.txt").index(&place, &FileIndex::unkept()).unwrap_err().to_string();
    assert!(said.ends_with("no file lies at {subject}_1.txt"), "{said}");
    let said = config("{subject}_*_2_0.txt").check();
    assert!(said.is_ok());
    write(&dir.path().join("data/1000012_25751_2_0.txt"), &series(5));
    asked.scans = "{subject}_*_2_0.txt".parse().unwrap();
    let said = asked.index(&place, &FileIndex::unkept()).unwrap_err().to_string();
    assert!(said.contains("are of one recording: tell them apart by a placeholder"), "{said}");
}

#[cfg(unix)]
#[test]
fn links_out_of_the_folder_are_not_followed() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for place in ["data/01", "elsewhere"] {
        write(&at(&format!("{place}/series.txt")), &series(5));
    }
    std::fs::create_dir(at("data/03")).unwrap();
    symlink(at("elsewhere"), at("data/02")).unwrap();
    symlink(at("elsewhere/series.txt"), at("data/03/series.txt")).unwrap();
    let mut asked = config("{subject}/series.txt");
    asked.t_r = Some(2.0);
    let cohort = asked.index(&|path| dir.path().join(path), &FileIndex::unkept()).unwrap();
    assert_eq!(names(&cohort), ["sub-01"]);
    let left: Vec<String> = cohort.excluded.iter().map(ToString::to_string).collect();
    assert_eq!(
        left,
        [
            "a file: scan leaves the cohort's folder by a link",
            "a folder: folder leaves the cohort's folder by a link",
        ]
    );
}
