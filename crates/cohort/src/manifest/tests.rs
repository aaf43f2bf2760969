use std::fs;

use super::*;
use crate::testing::{write, write_scan};

struct Folder(tempfile::TempDir);

impl Folder {
    /// Three scans and the table.
    fn new(table: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for scan in ["a.nii.gz", "b.nii.gz", "sub/c.nii"] {
            write_scan(&folder.at(scan), 9, 0.8);
        }
        write_scan(&folder.at("../outside.nii"), 9, 0.8);
        write(&folder.at("manifest.csv"), table);
        folder
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join("cohort").join(path)
    }

    fn index(&self, change: impl FnOnce(&mut ManifestConfig)) -> Result<Cohort> {
        let mut config = ManifestConfig {
            table: "cohort/manifest.csv".into(),
            root: None,
            columns: ManifestColumns::default(),
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
}

fn said(table: &str) -> String {
    let folder = Folder::new(table);
    let text = folder.index(|_| {}).unwrap_err().to_string();
    text.replace(&folder.0.path().display().to_string(), "")
}

fn reasons(cohort: &Cohort) -> Vec<String> {
    cohort.excluded.iter().map(ToString::to_string).collect()
}

#[test]
fn the_columns_of_the_field_are_known() {
    let text = "eid,session_id,tensor_path,TR,age,sex,split,mean_fd,n_timepoints\n\
                1002,2,a.nii.gz,0.8,54,F,train,0.2,490\n\
                1001,2,sub/c.nii,,61,M,test,0.7,\n\
                1003,2,,0.8,50,M,train,0.1,490\n";
    let folder = Folder::new(text);
    let cohort = folder.index(|_| {}).unwrap();
    let names: Vec<_> = cohort.recordings.iter().map(Recording::name).collect();
    assert_eq!(names, ["sub-1001_ses-2", "sub-1002_ses-2"]);
    assert_eq!(reasons(&cohort), ["row 4: its row names no scan"]);
    assert_eq!(cohort.failed().count(), 0);
    let second = &cohort.recordings[1];
    assert_eq!(second.t_r.unwrap().source, TrSource::Manifest);
    assert_eq!(cohort.recordings[0].t_r.unwrap().source, TrSource::Header);
    assert_eq!((second.row, second.n_frames), (Some(2), Some(9)), "the header counts");
    let labels: Vec<&str> = second.labels.keys().map(String::as_str).collect();
    assert_eq!(labels, ["TR", "age", "mean_fd", "n_timepoints", "sex", "split"]);
    let split = SplitConfig::Column("split".to_owned()).divide(&cohort).unwrap();
    assert_eq!(split[0].splits, [scan::Split::Test, scan::Split::Train]);
    let thresholds = QcThresholds { motion_fd_mean: Some(0.5), ..QcThresholds::default() };
    let still = folder.index(|it| it.qc_thresholds = Some(thresholds)).unwrap();
    assert_eq!(
        reasons(&still)[1],
        "sub-1001_ses-2: motion_fd_mean is 0.7000, the threshold is 0.5"
    );
}

#[test]
fn parquet_and_other_names_are_the_same_cohort() {
    let folder = Folder::new("who,file,where\nx1,a.nii.gz,A\nx2,b.nii.gz,B\n");
    let columns = ManifestColumns {
        subject: Some("who".into()),
        scan: Some("file".into()),
        ..ManifestColumns::default()
    };
    let text = folder.index(|it| it.columns = columns.clone()).unwrap();
    let bytes = tables::read(folder.at("manifest.csv")).unwrap().to_parquet().unwrap();
    fs::write(folder.at("manifest.csv"), bytes).unwrap();
    let parquet = folder.index(|it| it.columns = columns.clone()).unwrap();
    assert_eq!(text, parquet);
    let missing = ManifestColumns { subject: Some("whom".into()), ..columns };
    let error = folder.index(|it| it.columns = missing).unwrap_err().to_string();
    assert!(error.ends_with("no column says the subject, expected one of whom"), "{error}");
}

#[test]
fn labels_and_paths_that_lead_elsewhere_leave_out_their_row() {
    let text = "subject,scan,confounds_path\n\
                01,a.nii.gz,\n\
                ../../etc,b.nii.gz,\n\
                a/b,b.nii.gz,\n\
                03,../outside.nii,\n\
                04,/etc/passwd,\n\
                05,gone.nii,\n\
                06,b.nii.gz,../secret.tsv\n\
                07,.,\n\
                ,b.nii.gz,\n";
    let folder = Folder::new(text);
    let cohort = folder.index(|_| {}).unwrap();
    assert_eq!(
        reasons(&cohort),
        [
            "row 10: subject is not a label of letters, digits and +",
            "row 3: subject is not a label of letters, digits and +",
            "row 4: subject is not a label of letters, digits and +",
            "row 5: scan leaves the cohort's folder by `..`",
            "row 6: scan lies outside of the cohort's folder",
            "row 7: scan is not there",
            "row 8: confounds table leaves the cohort's folder by `..`",
            "row 9: scan is no file",
        ]
    );
    assert_eq!((cohort.recordings.len(), cohort.failed().count()), (1, 8));
    write(&folder.at("manifest.csv"), "subject,scan\n03,../outside.nii\n02,cohort/a.nii.gz\n");
    let wider = folder.index(|it| it.root = Some(".".into())).unwrap();
    assert_eq!(wider.recordings.len(), 1, "relative to the root: {:?}", reasons(&wider));
}

#[test]
fn names_of_studies_become_labels() {
    let text = "eid,session_id,task,scan\n\
                1000012_2_0,2_0,rfMRI_REST1_LR,a.nii.gz\n\
                1000013_2_0,2_0,rfMRI_REST1_RL,b.nii.gz\n";
    let folder = Folder::new(text);
    write(&folder.at("ages.csv"), "eid,age\n1000012_2_0,50\n100001320,60\n");
    let names = |change: &dyn Fn(&mut ManifestConfig)| {
        let cohort = folder.index(change).unwrap();
        cohort.recordings.iter().map(Recording::name).collect::<Vec<_>>()
    };
    let [first, second] =
        ["sub-100001220_ses-20_task-rfMRIREST1LR", "sub-100001320_ses-20_task-rfMRIREST1RL"];
    assert_eq!(names(&|_| {}), [first, second]);
    // asked for as the table writes them
    let task = vec!["rfMRI_REST1_LR".to_owned()];
    assert_eq!(names(&|it| it.entities = [(Entity::Task, task.clone())].into()), [first]);
    assert_eq!(names(&|it| it.query = Some("task == 'rfMRI_REST1_LR'".into())), [first]);
    assert_eq!(names(&|it| it.query = Some("task in ['rfMRIREST1LR']".into())), [first]);
    let old = |it: &mut ManifestConfig| {
        it.labels = vec!["cohort/ages.csv".into()];
        it.query = Some("age > 55".into());
    };
    assert_eq!(names(&old), [second]);
}

#[test]
fn two_spellings_of_one_label_are_refused() {
    assert_eq!(
        said("subject,session,scan\n01,1_0,a.nii.gz\n02,10,b.nii.gz\n"),
        "/cohort/manifest.csv: rows 2 and 3 spell one label of column session in two ways: `_` and \
         `-` are no part of a label"
    );
    let folder = Folder::new("subject,session,scan\nsub-1_0,10,a.nii.gz\n1_0,11,b.nii.gz\n");
    assert_eq!(folder.index(|_| {}).unwrap().recordings.len(), 2, "what is before is no spelling");
}

#[cfg(unix)]
#[test]
fn links_to_one_file_may_be_many_recordings_of_one_split_only() {
    let folder = Folder::new("subject,scan,split\n1,a.nii.gz,train\n2,link.nii.gz,train\n");
    std::os::unix::fs::symlink("a.nii.gz", folder.at("link.nii.gz")).unwrap();
    let split = SplitConfig::Column("split".to_owned());
    let cohort = folder.index(|_| {}).unwrap();
    assert_eq!(split.divide(&cohort).unwrap()[0].splits.len(), 2);
    write(&folder.at("manifest.csv"), "subject,scan,split\n1,a.nii.gz,train\n2,link.nii.gz,test\n");
    let error = split.divide(&folder.index(|_| {}).unwrap()).unwrap_err().to_string();
    let expected = "the scan of one subject in split train and of another in split test is the same file (rows 2 and 3)";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn what_is_wrong_with_the_table_is_a_sentence() {
    assert_eq!(
        said("subject,scan\n01,a.nii.gz\n02,b.nii.gz\n01,sub/c.nii\n"),
        "/cohort/manifest.csv: rows 2 and 4 are both about one recording"
    );
    assert_eq!(
        said("subject,scan\n01,a.nii.gz\n02,a.nii.gz\n"),
        "/cohort/manifest.csv: rows 2 and 3 are both about one scan"
    );
    assert_eq!(
        said("eid,subject_id,scan\n1,2,a.nii.gz\n"),
        "/cohort/manifest.csv: columns eid and subject_id may both say the subject"
    );
    assert_eq!(
        said("subject,file\n1,a.nii.gz\n"),
        "/cohort/manifest.csv: no column says the scan, expected one of scan, scan_path, bold, \
         bold_path, tensor_path, path"
    );
    assert_eq!(
        said("subject,scan\n1,gone.nii.gz\n2,gone.nii.gz\n"),
        "/cohort/manifest.csv: no recording is left:\n  2 × scan is not there"
    );
    assert_eq!(
        said("\u{feff}subject,scan\r\n"),
        "/cohort/manifest.csv: holds no recording: it has no row below its line of names, \
         expected one a recording"
    );
    assert_eq!(
        said("subject,scan,tr\n1,a.nii.gz,2.0\n"),
        "/cohort/manifest.csv: no recording is left:\n  1 × repetition time unknown or contradictory\n      \
         the first: repetition time: the table gives 2 s, the scan's header 0.8 s; give `t_r` to settle it"
    );
}

#[test]
fn a_sidecar_counts_where_the_table_gives_no_repetition_time() {
    let folder = Folder::new("subject,run,scan\n1,1,a.nii.gz\n1,2,b.nii.gz\n");
    write(&folder.at("a.json"), "{\"RepetitionTime\": 1.6}");
    write(&folder.at("b.json"), "{\"RepetitionTime\": 0.8}");
    let cohort = folder.index(|_| {}).unwrap();
    assert_eq!(cohort.recordings[0].t_r.unwrap().source, TrSource::Sidecar);
    let reason = "sub-1_run-1: repetition time: the sidecar gives 1.6 s, the scan's header 0.8 s; give \
                  `t_r` to settle it";
    assert_eq!(reasons(&cohort), [reason]);
    assert_eq!(folder.index(|it| it.t_r = Some(0.8)).unwrap().recordings.len(), 2);
    write(&folder.at("manifest.csv"), "subject,run,scan\n1,1,a.nii.gz\n1,01,b.nii.gz\n");
    let said = folder.index(|_| {}).unwrap_err().to_string();
    assert!(said.ends_with("rows 2 and 3 are both about one recording"), "{said}");
}
