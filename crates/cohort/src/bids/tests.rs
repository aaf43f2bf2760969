mod derivatives;
mod forms;

use std::fs;

use super::*;
use crate::{
    recording::{RepetitionTime, TrSource},
    testing::{write, write_scan},
    value::Value,
};

/// A dataset of derivatives with three people, two sessions, two spaces.
struct Dataset(tempfile::TempDir);

impl Dataset {
    fn new() -> Self {
        let dataset = Self(tempfile::tempdir().unwrap());
        dataset.write(
            "participants.tsv",
            "participant_id\tage\tsite\nsub-01\t71\tA\nsub-02\t19\tB\nsub-03\tn/a\tA\n",
        );
        dataset.write("task-rest_bold.json", "{\"RepetitionTime\": 2.0}");
        for subject in ["01", "02"] {
            for session in ["1", "2"] {
                dataset.run(subject, Some(session), "MNI152NLin6Asym", 12);
            }
        }
        dataset.run("03", None, "MNI152NLin6Asym", 7);
        dataset
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join("data").join(path)
    }

    fn write(&self, path: &str, text: &str) {
        write(&self.at(path), text);
    }

    fn func(subject: &str, session: Option<&str>) -> (String, String) {
        match session {
            Some(ses) => {
                (format!("sub-{subject}/ses-{ses}/func"), format!("sub-{subject}_ses-{ses}"))
            }
            None => (format!("sub-{subject}/func"), format!("sub-{subject}")),
        }
    }

    fn run(&self, subject: &str, session: Option<&str>, space: &str, n_frames: usize) {
        let (folder, who) = Self::func(subject, session);
        let scan = format!("{folder}/{who}_task-rest_space-{space}_desc-preproc_bold.nii.gz");
        write_scan(&self.at(&scan), n_frames, 2.0);
        self.write(&format!("{folder}/{who}_task-rest_space-{space}_desc-brain_mask.nii.gz"), "");
        let fd = ["n/a".to_owned()].into_iter().chain((1..n_frames).map(|t| format!("0.{t:03}")));
        let table = format!("framewise_displacement\n{}\n", fd.collect::<Vec<_>>().join("\n"));
        self.write(&format!("{folder}/{who}_task-rest_desc-confounds_timeseries.tsv"), &table);
    }

    /// The cohort of a YAML-like configuration.
    fn index(&self, change: impl FnOnce(&mut BidsConfig)) -> Result<Cohort> {
        let mut config = BidsConfig {
            dir: "data".into(),
            root: None,
            suffix: bold(),
            extension: None,
            labels: vec![],
            entities: Wanted::new(),
            query: None,
            qc_thresholds: None,
            t_r: None,
            split: None,
        };
        change(&mut config);
        config.index(&|path| self.0.path().join(path), &FileIndex::unkept())
    }

    fn said(&self, change: impl FnOnce(&mut BidsConfig)) -> String {
        let text = self.index(change).unwrap_err().to_string();
        text.replace(&self.0.path().display().to_string(), "")
    }
}

fn names(cohort: &Cohort) -> Vec<String> {
    cohort.recordings.iter().map(Recording::name).collect()
}

fn reasons(cohort: &Cohort) -> Vec<String> {
    cohort.excluded.iter().map(ToString::to_string).collect()
}

#[test]
fn derivatives_are_found_with_what_lies_beside_them() {
    let dataset = Dataset::new();
    let cohort = dataset.index(|_| {}).unwrap();
    assert_eq!(
        names(&cohort),
        [
            "sub-01_ses-1_task-rest",
            "sub-01_ses-2_task-rest",
            "sub-02_ses-1_task-rest",
            "sub-02_ses-2_task-rest",
            "sub-03_task-rest",
        ]
    );
    assert_eq!((cohort.n_subjects(), cohort.excluded.len()), (3, 0));
    let first = &cohort.recordings[0];
    assert_eq!(
        (first.subject(), first.session(), first.task(), first.run()),
        ("01", Some("1"), Some("rest"), None)
    );
    assert_eq!(first.entities.get(Entity::Space), Some("MNI152NLin6Asym"));
    assert!(
        first
            .confounds
            .as_ref()
            .unwrap()
            .ends_with("sub-01_ses-1_task-rest_desc-confounds_timeseries.tsv")
    );
    assert!(
        first
            .mask
            .as_ref()
            .unwrap()
            .ends_with("sub-01_ses-1_task-rest_space-MNI152NLin6Asym_desc-brain_mask.nii.gz")
    );
    assert_eq!(first.t_r, Some(RepetitionTime { seconds: 2.0, source: TrSource::Sidecar }));
    assert_eq!((first.n_frames, &first.labels["age"]), (Some(12), &Value::Number(71.0)));
    assert!(!cohort.recordings[4].labels.contains_key("age"));
}

#[test]
fn entities_labels_and_quality_choose() {
    let dataset = Dataset::new();
    let wanted = |entity, label: &str| Wanted::from([(entity, vec![label.to_owned()])]);
    let second = dataset.index(|it| it.entities = wanted(Entity::Session, "2")).unwrap();
    assert_eq!(names(&second), ["sub-01_ses-2_task-rest", "sub-02_ses-2_task-rest"]);
    let none = dataset.index(|it| it.entities = wanted(Entity::Space, "T1w")).unwrap_err();
    assert_eq!(none.hint().unwrap(), "space T1w is asked for, space MNI152NLin6Asym is there");
    let nobody = dataset.index(|it| it.entities = wanted(Entity::Subject, "99")).unwrap_err();
    assert_eq!(nobody.hint(), None, "nobody is named");
    let old = dataset.index(|it| it.query = Some("age >= 50 and site == \"A\"".into())).unwrap();
    assert_eq!(
        old.counts().iter().map(|it| (it.reason.as_str(), it.n)).collect::<Vec<_>>(),
        [("`where` is not true", 2), ("`where` asks for age, which is missing", 1)]
    );
    assert_eq!(old.failed().count(), 0);
    let limits = |mean, least| QcThresholds {
        motion_fd_mean: mean,
        min_timepoints: least,
        ..QcThresholds::default()
    };
    let long = dataset.index(|it| it.qc_thresholds = Some(limits(None, Some(10)))).unwrap();
    assert_eq!(reasons(&long), ["sub-03_task-rest: min_timepoints is 7.0000, the threshold is 10"]);
    // the mean of 0.001 to 0.011
    let still = dataset.index(|it| it.qc_thresholds = Some(limits(Some(0.0055), None))).unwrap();
    assert_eq!(names(&still), ["sub-03_task-rest"]);
    assert_eq!(
        still.excluded[0].reason,
        Reason::Quality { threshold: "motion_fd_mean", limit: 0.0055, found: 0.006 }
    );
    assert_eq!(
        still.counts()[0].lines(),
        [
            "4 × beyond motion_fd_mean 0.0055",
            "    the first: motion_fd_mean is 0.0060, the threshold is 0.0055"
        ]
    );
    fs::remove_file(dataset.at("sub-03/func/sub-03_task-rest_desc-confounds_timeseries.tsv"))
        .unwrap();
    let error = dataset.said(|it| it.qc_thresholds = Some(limits(Some(0.0055), None)));
    assert_eq!(
        error,
        "/data: no recording is left:\n  4 × beyond motion_fd_mean 0.0055\n      the first: \
         motion_fd_mean is 0.0060, the threshold is 0.0055\n  1 × motion_fd_mean cannot be judged \
         without a confounds table or a column of framewise displacement"
    );
    let error = dataset.said(|it| it.entities = wanted(Entity::Task, "nback"));
    assert_eq!(error, "/data: no recording is left:\n  5 × not among the entities asked for");
    assert!(
        dataset
            .said(|it| it.query = Some("sit == 'A'".into()))
            .starts_with("no column sit; there are age, ")
    );
}

#[test]
fn runs_of_a_visit_have_confounds_of_their_own() {
    let dataset = Dataset::new();
    for (run, tail) in [("01", "0.3"), ("02", "0.4")] {
        let stem = format!("sub-04/ses-1/func/sub-04_ses-1_task-rest_run-{run}");
        for desc in ["preproc", "smoothed"] {
            let scan = format!("{stem}_space-MNI152NLin6Asym_desc-{desc}_bold.nii.gz");
            write_scan(&dataset.at(&scan), 3, 2.0);
        }
        // as Windows writes it
        let table = format!("\u{feff}framewise_displacement\r\nn/a\r\n0.1\r\n{tail}\r\n");
        dataset.write(&format!("{stem}_desc-confounds_timeseries.tsv"), &table);
    }
    let both = |it: &mut BidsConfig| {
        it.entities.insert(Entity::Subject, vec!["04".to_owned()]);
        it.entities.insert(Entity::Description, vec!["preproc".to_owned(), "smoothed".to_owned()]);
    };
    let said = dataset.said(both);
    assert!(said.ends_with("choose by description: preproc or smoothed"), "{said}");
    let one = |it: &mut BidsConfig| {
        both(it);
        it.entities.insert(Entity::Description, vec!["smoothed".to_owned()]);
        let limits = "{\"motion_fd_max\": 0.35}";
        it.qc_thresholds = Some(serde_json::from_str(limits).unwrap());
    };
    let cohort = dataset.index(one).unwrap();
    assert_eq!(names(&cohort), ["sub-04_ses-1_task-rest_run-01"]);
    let left = reasons(&cohort);
    assert!(left.iter().any(|it| it.starts_with("sub-04_ses-1_task-rest_run-02: ")), "{left:?}");
}

#[test]
fn two_forms_of_one_recording_are_told_apart_by_the_user() {
    let dataset = Dataset::new();
    dataset.run("01", Some("1"), "T1w", 12);
    let error = dataset.said(|_| {});
    assert_eq!(
        error,
        "/data: 1 recordings are there in more than one form; choose by space: MNI152NLin6Asym or T1w"
    );
    let space = |label: &str| Wanted::from([(Entity::Space, vec![label.to_owned()])]);
    let native = dataset.index(|it| it.entities = space("T1w")).unwrap();
    assert_eq!((native.recordings.len(), native.excluded.len()), (1, 4));
    assert!(native.recordings[0].mask.as_ref().unwrap().to_str().unwrap().contains("space-T1w"));
    assert_eq!(
        dataset.index(|it| it.entities = space("MNI152NLin6Asym")).unwrap().recordings.len(),
        5
    );
}

#[test]
fn sidecars_are_inherited_and_must_agree_with_the_header() {
    let dataset = Dataset::new();
    let t_r = |dataset: &Dataset| dataset.index(|_| {}).map(|it| it.recordings[0].t_r.unwrap());
    fs::remove_file(dataset.at("task-rest_bold.json")).unwrap();
    let header = RepetitionTime { seconds: 2.0, source: TrSource::Header };
    assert_eq!(t_r(&dataset).unwrap(), header);
    // another task's, then one that says nothing of time
    dataset.write("task-nback_bold.json", "{\"RepetitionTime\": 3.0}");
    dataset.write("sub-01/sub-01_bold.json", "{\"EchoTime\": 0.03}");
    assert_eq!(t_r(&dataset).unwrap(), header);
    dataset.write("bold.json", "{\"RepetitionTime\": 0.8}");
    let contradiction = reasons(&dataset.index(|it| it.t_r = Some(2.0)).unwrap());
    assert_eq!(contradiction, Vec::<String>::new(), "the pipeline settles it");
    let error = dataset.said(|_| {});
    assert_eq!(
        error,
        "/data: no recording is left:\n  5 × repetition time unknown or contradictory\n      the first: \
         repetition time: the sidecar gives 0.8 s, the scan's header 2 s; give `t_r` to settle it"
    );
    // the deepest goes first
    dataset.write("sub-01/ses-1/func/sub-01_ses-1_task-rest_bold.json", "{\"RepetitionTime\": 2}");
    let cohort = dataset.index(|_| {}).unwrap();
    assert_eq!(names(&cohort), ["sub-01_ses-1_task-rest"]);
    assert_eq!(
        reasons(&cohort)[0],
        "sub-01_ses-2_task-rest: repetition time: the sidecar gives 0.8 s, the scan's header 2 s; give `t_r` \
         to settle it"
    );
    for (text, problem) in [
        (
            "{\"RepetitionTime\": \"2\"}",
            "repetition time: RepetitionTime of the sidecar is not a number; give `t_r` to settle it",
        ),
        (
            "{\"VolumeTiming\": [0, 2, 9]}",
            "repetition time: the sidecar gives VolumeTiming: frames are not evenly spaced; give `t_r` to \
             settle it",
        ),
        ("{", "sidecar cannot be read: is no JSON at line 1"),
        (
            "{\"RepetitionTime\": -2}",
            "repetition time: the sidecar gives -2 s, expected 0.05 to 30 s; give `t_r` to settle it",
        ),
    ] {
        dataset.write("sub-01/ses-2/func/sub-01_ses-2_task-rest_bold.json", text);
        let reasons = reasons(&dataset.index(|_| {}).unwrap());
        assert_eq!(reasons[0], format!("sub-01_ses-2_task-rest: {problem}"));
    }
}

#[test]
fn more_tables_are_joined_by_what_they_are_about() {
    let dataset = Dataset::new();
    dataset.write(
        "../visits.csv",
        "subject_id,session_id,phq9\n1,1,4\n01,1,5\n01,2,9\nsub-02,ses-1,3\n",
    );
    dataset.write("../group_bold.tsv", "bids_name\ttsnr\tfd_mean\nsub-01_ses-1_task-rest_bold\t40\t0.1\nsub-03_task-rest_bold\t30\t0.9\n");
    let cohort = dataset
        .index(|it| {
            it.labels = vec!["visits.csv".into(), "group_bold.tsv".into()];
            it.query = Some("phq9 > 4 or tsnr < 35".into());
        })
        .unwrap();
    assert_eq!(
        names(&cohort),
        ["sub-01_ses-1_task-rest", "sub-01_ses-2_task-rest", "sub-03_task-rest"]
    );
    let thresholds =
        QcThresholds { min_tsnr: Some(35.0), motion_fd_mean: Some(0.5), ..QcThresholds::default() };
    let good = dataset
        .index(|it| {
            (it.labels, it.qc_thresholds) = (vec!["group_bold.tsv".into()], Some(thresholds));
        })
        .unwrap();
    assert_eq!(
        reasons(&good),
        ["sub-03_task-rest: motion_fd_mean is 0.9000, the threshold is 0.5"]
    );
    dataset.write("../twice.tsv", "participant_id\tage\nsub-01\t1\nsub-01\t2\n");
    let said = |name: &str| dataset.said(|it| it.labels = vec![name.into()]);
    assert_eq!(said("twice.tsv"), "/twice.tsv: rows 2 and 3 are both about one subject");
    dataset.write("../again.tsv", "participant_id\tage\nsub-01\t1\n");
    assert_eq!(said("again.tsv"), "column age stands in /data/participants.tsv and in /again.tsv");
    dataset.write("../nobody.tsv", "age\n1\n");
    assert!(
        said("nobody.tsv").starts_with(
            "/nobody.tsv: no column says the subject, expected one of participant_id, "
        )
    );
}

#[test]
fn participants_of_the_dataset_above_are_found() {
    let dataset = Dataset::new();
    let raw = dataset.0.path().join("raw");
    fs::create_dir_all(raw.join("derivatives")).unwrap();
    fs::rename(dataset.at("participants.tsv"), raw.join("participants.tsv")).unwrap();
    fs::rename(dataset.at(""), raw.join("derivatives/fmriprep")).unwrap();
    let cohort = dataset.index(|it| it.dir = "raw/derivatives/fmriprep".into()).unwrap();
    assert_eq!(cohort.recordings[0].labels["age"], Value::Number(71.0));
}

#[cfg(unix)]
#[test]
fn what_leads_outside_is_not_followed() {
    use std::os::unix::fs::symlink;
    let dataset = Dataset::new();
    let secret = dataset.0.path().join("secret");
    fs::rename(dataset.at("sub-02/ses-2"), dataset.0.path().join("elsewhere")).unwrap();
    symlink(dataset.0.path().join("elsewhere"), dataset.at("sub-02/ses-2")).unwrap();
    fs::create_dir_all(secret.join("func")).unwrap();
    symlink(&secret, dataset.at("sub-04")).unwrap();
    let scan = "sub-03/func/sub-03_task-rest_space-MNI152NLin6Asym_desc-preproc_bold.nii.gz";
    fs::rename(dataset.at(scan), secret.join("scan.nii.gz")).unwrap();
    symlink(secret.join("scan.nii.gz"), dataset.at(scan)).unwrap();
    let mask =
        "sub-01/ses-1/func/sub-01_ses-1_task-rest_space-MNI152NLin6Asym_desc-brain_mask.nii.gz";
    fs::remove_file(dataset.at(mask)).unwrap();
    symlink("/dev/zero", dataset.at(mask)).unwrap();
    symlink(".", dataset.at("sub-05")).unwrap();
    fs::create_dir_all(dataset.at("sub-..x")).unwrap();
    symlink("..", dataset.at("sub-02/ses-1/ses-1")).unwrap();
    dataset.write("sub-02/ses-1/func/sub-01_ses-1_task-rest_bold.nii.gz", "another's name");
    let cohort = dataset.index(|_| {}).unwrap();
    assert_eq!(names(&cohort), ["sub-01_ses-2_task-rest", "sub-02_ses-1_task-rest"]);
    assert_eq!(
        reasons(&cohort),
        [
            "a file of sub-02_ses-1: file name is not a BIDS name: it has another subject or session than \
             its folder",
            "a folder sub-…: subject is not a label of letters, digits and +",
            "sub-01_ses-1_task-rest: mask leaves the cohort's folder by a link",
            "sub-02_ses-2: folder leaves the cohort's folder by a link",
            "sub-03_task-rest: scan leaves the cohort's folder by a link",
            "sub-04: folder leaves the cohort's folder by a link",
        ]
    );
    assert_eq!(cohort.failed().count(), 6);
    fs::rename(dataset.at("participants.tsv"), secret.join("people.tsv")).unwrap();
    symlink(secret.join("people.tsv"), dataset.at("participants.tsv")).unwrap();
    let said = dataset.said(|_| {});
    assert_eq!(said, "/data/participants.tsv: leaves the cohort's folder by a link");
    // where the user says that links may lead there
    let wider = dataset.index(|it| it.root = Some(".".into())).unwrap();
    assert!(names(&wider).contains(&"sub-02_ses-2_task-rest".to_owned()), "{:?}", reasons(&wider));
}
