use super::*;

fn space(label: &str) -> Wanted {
    Wanted::from([(Entity::Space, vec![label.to_owned()])])
}

/// Each recording that stands in the record, with what it stands as.
fn rows(cohort: &Cohort) -> Vec<String> {
    let taken = names(cohort).into_iter().map(|name| format!("{name} taken"));
    let left_out = cohort.excluded.iter().map(|excluded| {
        let is_failure = excluded.reason.is_failure();
        format!("{} {}", excluded.name, if is_failure { "failed" } else { "unasked" })
    });
    let mut rows: Vec<String> = taken.chain(left_out).collect();
    rows.sort();
    rows
}

#[cfg(unix)]
#[test]
fn a_broken_form_counts_where_it_is_asked_for_only() {
    let dataset = Dataset::new();
    let folder = "sub-03/func/sub-03_task-rest";
    for form in ["space-T1w_desc-preproc_bold.nii.gz", "space-T1w_desc-brain_mask.nii.gz"] {
        // as git-annex leaves what was not fetched
        let path = dataset.at(&format!("{folder}_{form}"));
        std::os::unix::fs::symlink("../../.git/annex/objects/gone", path).unwrap();
    }
    let asked = |label: &str| {
        dataset.index(|it| {
            it.entities = space(label);
            it.entities.insert(Entity::Subject, vec!["03".to_owned(), "01".to_owned()]);
        })
    };
    let cohort = asked("MNI152NLin6Asym").unwrap();
    assert_eq!(cohort.failed().count(), 0, "{:?}", reasons(&cohort));
    assert_eq!(
        rows(&cohort),
        [
            "sub-01_ses-1_task-rest taken",
            "sub-01_ses-2_task-rest taken",
            "sub-02_ses-1_task-rest unasked",
            "sub-02_ses-2_task-rest unasked",
            "sub-03_task-rest taken",
        ]
    );
    dataset.run("01", Some("1"), "T1w", 12);
    assert_eq!(
        rows(&asked("T1w").unwrap()),
        [
            "sub-01_ses-1_task-rest taken",
            "sub-01_ses-2_task-rest unasked",
            "sub-02_ses-1_task-rest unasked",
            "sub-02_ses-2_task-rest unasked",
            "sub-03_task-rest failed",
        ]
    );
    let said = dataset.said(|it| it.entities.clear());
    assert!(said.ends_with("choose by space: MNI152NLin6Asym or T1w"), "{said}");
}

#[cfg(unix)]
#[test]
fn what_is_not_asked_for_is_no_failure() {
    let dataset = Dataset::new();
    let stem = "sub-01/ses-1/func/sub-01_ses-1_task-nback";
    write_scan(&dataset.at(&format!("{stem}_bold.nii.gz")), 3, 2.0);
    dataset.write(&format!("{stem}_bold.json"), "{");
    dataset.write("sub-02/ses-2/func/another_bold.nii.gz", "no name");
    let outside = dataset.0.path().join("outside");
    fs::rename(dataset.at("sub-02/ses-1/func"), &outside).unwrap();
    std::os::unix::fs::symlink(&outside, dataset.at("sub-02/ses-1/func")).unwrap();
    let asked = |session: &str, task: &str| {
        dataset.index(|it| {
            it.entities.insert(Entity::Session, vec![session.to_owned()]);
            it.entities.insert(Entity::Task, vec![task.to_owned()]);
        })
    };
    let first = asked("1", "rest").unwrap();
    assert_eq!(names(&first), ["sub-01_ses-1_task-rest"]);
    let failed: Vec<String> = first.failed().map(|it| it.name.clone()).collect();
    assert_eq!(failed, ["sub-02_ses-1"]);
    let second = asked("2", "rest").unwrap();
    let failed: Vec<String> = second.failed().map(|it| it.name.clone()).collect();
    assert_eq!(failed, ["a file of sub-02_ses-2"]);
    assert_eq!(names(&second), ["sub-01_ses-2_task-rest", "sub-02_ses-2_task-rest"]);
    let said = asked("1", "nback").unwrap_err().to_string();
    assert!(said.contains("1 × sidecar cannot be read"), "{said}");
}

#[test]
fn a_column_of_a_table_about_others_is_not_said_to_be_missing() {
    let dataset = Dataset::new();
    dataset.write("participants.tsv", "participant_id\tage\n1\t71\n2\t19\n");
    assert_eq!(dataset.index(|_| {}).unwrap().recordings.len(), 5);
    let said = dataset.said(|it| it.query = Some("age > 50".into()));
    assert!(
        said.starts_with(
            "/data/participants.tsv: none of its 2 rows is about a recording of the cohort: column \
             participant_id writes the subject as 9, the cohort as 99"
        ),
        "{said}"
    );
}

#[test]
fn what_is_no_dataset_is_refused() {
    let dataset = Dataset::new();
    let said = |dir: &str| dataset.said(|it| it.dir = dir.into());
    assert_eq!(
        said("data/sub-01"),
        "/data/sub-01: holds no folder sub-…, expected a BIDS dataset or derivatives of one"
    );
    let none = dataset.said(|it| it.suffix = "cbv".to_owned());
    assert!(
        none.starts_with("/data: holds no recording: 3 folders sub-…, none with a file"),
        "{none}"
    );
    assert!(said("nowhere").starts_with("/nowhere: cannot be read"));
    assert_eq!(said("data/participants.tsv"), "/data/participants.tsv: is not a folder");
    dataset.write(
        "sub-03/func/sub-03_task-rest_space-MNI152NLin6Asym_desc-preproc_bold.nii.gz",
        "no scan",
    );
    let cohort = dataset.index(|_| {}).unwrap();
    assert_eq!(
        reasons(&cohort),
        ["sub-03_task-rest: scan cannot be read: it is called an image and holds none"]
    );
}
