//! Folders as fMRIPrep, XCP-D and others write them.

use super::*;

/// Writes a folder of files with their texts below `data`.
fn dataset(files: &[(&str, &str)]) -> Dataset {
    let dataset = Dataset(tempfile::tempdir().unwrap());
    files.iter().for_each(|(path, text)| dataset.write(path, text));
    dataset
}

/// A table of one parcel with so many frames.
fn series(n_frames: usize) -> String {
    format!("A\n{}", "0.5\n".repeat(n_frames))
}

fn timeseries(it: &mut BidsConfig) {
    (it.suffix, it.t_r) = ("timeseries".to_owned(), Some(2.0));
}

#[test]
fn the_series_of_all_runs_that_xcp_d_joins_is_counted_once() {
    let stem = "sub-01/func/sub-01_task-rest";
    let name = |run: &str| format!("{stem}{run}_space-A_atlas-B_stat-mean_timeseries.tsv");
    let (whole, first, second) = (name(""), name("_run-1"), name("_run-2"));
    let (long, short) = (series(120), series(60));
    let dataset = dataset(&[(&whole, &long), (&first, &short), (&second, &short)]);
    let cohort = dataset.index(timeseries).unwrap();
    assert_eq!(names(&cohort), ["sub-01_task-rest_run-1", "sub-01_task-rest_run-2"]);
    assert_eq!(
        reasons(&cohort),
        ["sub-01_task-rest: holds the frames of 2 of its runs, which are there too"]
    );
    assert_eq!((cohort.recordings[0].n_frames, cohort.failed().count()), (Some(60), 0));
    // who asks for it alone gets it
    let asked = dataset.index(|it| {
        timeseries(it);
        it.entities.insert(Entity::Run, vec!["none".to_owned()]);
    });
    assert_eq!(names(&asked.unwrap()), ["sub-01_task-rest"]);
}

#[test]
fn a_run_in_two_spellings_is_left_out() {
    let dataset = Dataset::new();
    for run in ["run-1", "run-01", "run-2"] {
        let n_frames = if run == "run-1" { 5 } else { 6 };
        let name = format!("sub-04/func/sub-04_task-rest_{run}_bold.nii.gz");
        write_scan(&dataset.at(&name), n_frames, 2.0);
    }
    let cohort = dataset.index(|it| it.query = Some("subject == '04'".into())).unwrap();
    assert_eq!(names(&cohort), ["sub-04_task-rest_run-2"]);
    let failed: Vec<String> = cohort.failed().map(|it| it.name.clone()).collect();
    assert_eq!(failed, ["sub-04_task-rest_run-01", "sub-04_task-rest_run-1"]);
    let one = dataset.index(|it| {
        it.query = Some("subject == '04' and run != '01'".into());
    });
    assert_eq!(names(&one.unwrap()), ["sub-04_task-rest_run-1", "sub-04_task-rest_run-2"]);
}

#[test]
fn a_series_without_its_censored_frames_is_left_out() {
    let folder = "sub-01/func/sub-01_task-rest";
    let (name, outliers) =
        (format!("{folder}_atlas-B_stat-mean_timeseries.tsv"), format!("{folder}_outliers.tsv"));
    let flags = |n: usize| format!("framewise_displacement\n{}", "0\n".repeat(n));
    let other = "sub-02/func/sub-02_task-rest_atlas-B_stat-mean_timeseries.tsv";
    let dataset = dataset(&[(&name, &series(51)), (other, &series(60)), (&outliers, &flags(60))]);
    let cohort = dataset.index(timeseries).unwrap();
    assert_eq!(names(&cohort), ["sub-02_task-rest"]);
    let reason = &reasons(&cohort)[0];
    assert!(
        reason.starts_with("sub-01_task-rest: has 51 frames and its table of outliers 60"),
        "{reason}"
    );
}

#[test]
fn one_of_two_formats_is_asked_for() {
    let stem = "sub-01/func/sub-01_task-rest_space-fsLR_atlas-B_den-91k_stat-mean_timeseries";
    let tables = dataset(&[(&format!("{stem}.tsv"), &series(9)), (&format!("{stem}.h5"), "HDF")]);
    let said = tables.said(timeseries);
    assert!(said.ends_with("choose by `extension`: two files differ only after their point"));
    let asked = |extension: &str| {
        tables.index(|it| {
            timeseries(it);
            it.extension = Some(extension.to_owned());
        })
    };
    assert_eq!(asked(".tsv").unwrap().recordings[0].n_frames, Some(9));
    assert!(asked(".h5").unwrap().recordings[0].source.path().ends_with(format!("{stem}.h5")));
    let config = |it: &mut BidsConfig| it.extension = Some(".txt".to_owned());
    let mut wrong: BidsConfig = serde_json::from_str("{\"dir\": \"d\"}").unwrap();
    config(&mut wrong);
    let said = wrong.check().unwrap_err().to_string();
    assert!(said.starts_with("extension is .txt, expected one of .nii, .nii.gz"), "{said}");
}

#[test]
fn recordings_are_chosen_by_the_repetition_time_of_their_headers() {
    let dataset = Dataset::new();
    write_scan(&dataset.at("sub-04/func/sub-04_task-movie_bold.nii.gz"), 5, 0.72);
    let asked = |query: &str| dataset.index(|it| it.query = Some(query.to_owned()));
    assert_eq!(names(&asked("t_r == 0.72").unwrap()), ["sub-04_task-movie"]);
    assert_eq!(names(&asked("t_r > 1 and subject == '03'").unwrap()), ["sub-03_task-rest"]);
    let said = asked("t_r == 'fast'").unwrap_err().to_string();
    assert!(said.starts_with("column t_r holds numbers, not text"), "{said}");
}

#[test]
fn a_folder_of_series_says_which_suffix_reads_them() {
    let name = "sub-01/func/sub-01_task-rest_atlas-B_stat-mean_timeseries.tsv";
    let confounds = "sub-01/func/sub-01_task-rest_desc-confounds_timeseries.tsv";
    let dataset = dataset(&[(name, &series(9)), (confounds, &series(9))]);
    let error = dataset.index(|_| {}).unwrap_err();
    assert!(error.to_string().ends_with("; 1 end in _timeseries"), "{error}");
    assert_eq!(error.hint().unwrap(), "read these with `suffix: timeseries`");
}

#[test]
fn the_form_without_an_entity_is_asked_for_by_none() {
    let dataset = Dataset::new();
    let func = "sub-03/func/sub-03_task-rest";
    for echo in ["1", "2"] {
        let scan = format!("{func}_echo-{echo}_space-MNI152NLin6Asym_desc-preproc_bold.nii.gz");
        write_scan(&dataset.at(&scan), 3, 2.0);
    }
    let said = dataset.said(|_| {});
    assert!(said.ends_with("choose by echo: 1 or 2 or none"), "{said}");
    let combined =
        dataset.index(|it| _ = it.entities.insert(Entity::Echo, vec!["none".to_owned()])).unwrap();
    assert_eq!((combined.recordings.len(), combined.recordings[4].n_frames), (5, Some(7)));
    let by_query = dataset.index(|it| it.query = Some("echo is missing".into())).unwrap();
    assert_eq!(by_query, combined);
    let second = dataset.index(|it| it.query = Some("echo == '2'".into())).unwrap();
    assert_eq!((second.recordings.len(), second.recordings[0].n_frames), (1, Some(3)));
}

#[test]
fn labels_may_hold_plus_signs_and_hidden_files_are_none() {
    let dataset = Dataset::new();
    write_scan(&dataset.at("sub-05+pilot/func/sub-05+pilot_task-a+b_bold.nii.gz"), 3, 2.0);
    dataset.write("sub-03/func/._sub-03_task-rest_desc-preproc_bold.nii.gz", "Mac OS X");
    dataset.write("._sub-03", "Mac OS X");
    let cohort = dataset.index(|_| {}).unwrap();
    assert_eq!((cohort.recordings.len(), cohort.excluded.len()), (6, 0));
    assert_eq!(cohort.recordings[5].name(), "sub-05+pilot_task-a+b");
}

#[test]
fn a_broken_table_of_people_is_a_warning_until_something_is_asked_of_it() {
    for (table, warning) in [
        (
            "participant_id\tparticipant_id\tage\nsub-01\tA1\t30\n",
            "column participant_id appears twice",
        ),
        (
            "participant_id\tage\nsub-01\t30\nsub-01\t31\nsub-02\t40\nsub-02\t40\n",
            "rows 2 and 3 are both about one subject: left out of its columns: age",
        ),
    ] {
        let dataset = Dataset::new();
        dataset.write("participants.tsv", table);
        let cohort = dataset.index(|_| {}).unwrap();
        assert_eq!(cohort.recordings.len(), 5);
        assert!(cohort.warnings[0].contains(warning), "{:?}", cohort.warnings);
        let said = dataset.said(|it| it.query = Some("age > 20".into()));
        assert!(said.starts_with("/data/participants.tsv: "), "{said}");
    }
    let dataset = Dataset::new();
    fs::write(dataset.at("participants.tsv"), b"participant_id\tsite\nsub-01\tM\xfcnchen\n")
        .unwrap();
    let cohort = dataset.index(|_| {}).unwrap();
    assert!(
        cohort.warnings[0].contains("row 2: column site is not UTF-8"),
        "{:?}",
        cohort.warnings
    );
}

#[test]
fn none_is_a_level_and_not_a_missing_value() {
    let dataset = Dataset::new();
    let people = "participant_id\tmedication\tdose\n\
                  sub-01\tNone\tNaN\nsub-02\tSSRI\t20\nsub-03\tn/a\tn/a\n";
    dataset.write("participants.tsv", people);
    let asked = |query: &str| names(&dataset.index(|it| it.query = Some(query.into())).unwrap());
    assert_eq!(asked("medication == \"None\"").len(), 2);
    assert_eq!(asked("medication is missing"), ["sub-03_task-rest"]);
    assert_eq!(asked("dose is missing").len(), 3, "a number that is not there");
    // even in a column of numbers where the data dictionary documents it
    dataset.write("participants.json", "{\"dose\": {\"Levels\": {\"NaN\": \"never\"}}}");
    assert_eq!(asked("dose == \"NaN\"").len(), 2);
}

#[test]
fn what_is_said_of_a_visit_is_joined_and_goes_before_what_is_said_of_the_person() {
    let dataset = Dataset::new();
    let visits = "session_id\tage\tmood\nses-1\t71\t3\nses-2\t89+\t5\n";
    dataset.write("sub-01/sub-01_sessions.tsv", visits);
    dataset.write("sub-02/sub-02_sessions.tsv", "session_id\tmood\nses-2\t9\n");
    let asked = |query: &str| names(&dataset.index(|it| it.query = Some(query.into())).unwrap());
    assert_eq!(asked("age >= 80"), ["sub-01_ses-2_task-rest"]);
    assert_eq!(asked("mood > 4"), ["sub-01_ses-2_task-rest", "sub-02_ses-2_task-rest"]);
    assert_eq!(asked("age < 20").len(), 2, "of the person");
}

#[test]
fn displacement_without_a_value_cannot_be_judged() {
    let dataset = Dataset::new();
    let table = "sub-03/func/sub-03_task-rest_desc-confounds_timeseries.tsv";
    let asked = |text: &str| {
        let thresholds = serde_json::from_str(text).unwrap();
        let config = |it: &mut BidsConfig| {
            it.qc_thresholds = Some(thresholds);
            it.query = Some("subject == '03'".into());
        };
        dataset.index(config).map(|cohort| names(&cohort)).map_err(|error| error.to_string())
    };
    dataset.write(table, &format!("framewise_displacement\n{}", "n/a\n".repeat(7)));
    for threshold in ["motion_fd_mean", "motion_fd_max"] {
        let said = asked(&format!("{{\"{threshold}\": 9}}")).unwrap_err();
        let unknown = format!(
            "1 × {threshold} cannot be judged without a value of framewise_displacement in its \
             confounds table"
        );
        assert!(said.contains(&unknown), "{said}");
    }
    dataset.write(table, &format!("csf\n{}", "1\n".repeat(7)));
    let said = asked("{\"motion_fd_mean\": 9}").unwrap_err();
    assert!(
        said.contains("without a column framewise_displacement or six of motion in its"),
        "{said}"
    );
    // the mean over the frames that have one
    dataset.write(table, &format!("framewise_displacement\nn/a\n{}n/a\n", "0.2\n".repeat(5)));
    let said = asked("{\"motion_fd_mean\": 0.19}").unwrap_err();
    assert!(said.contains("motion_fd_mean is 0.2000, the threshold is 0.19"), "{said}");
    assert_eq!(asked("{\"motion_fd_mean\": 0.21}").unwrap(), ["sub-03_task-rest"]);
}

#[test]
fn a_folder_of_xcp_d_26_has_its_motion_and_no_table_of_one_number_is_a_scan() {
    let folder = "sub-01/func/sub-01_task-rest";
    let table = |what: &str| format!("{folder}_space-fsLR_atlas-4S456Parcels_den-91k_{what}.tsv");
    let (mean, coverage, reho) =
        (table("stat-mean_timeseries"), table("stat-coverage_bold"), table("stat-reho_bold"));
    let (motion, nodes) = (format!("{folder}_motion.tsv"), "Node\tcoverage\nA\t0.9\n");
    let fd = format!("trans_x\tframewise_displacement\n{}", "0.1\t0.2\n".repeat(60));
    let files = [(&mean, &*series(60)), (&coverage, nodes), (&reho, "A\n0.5\n"), (&motion, &*fd)];
    let dataset = dataset(&files.map(|(path, text)| (path.as_str(), text)));
    let cohort = dataset.index(timeseries).unwrap();
    assert_eq!(names(&cohort), ["sub-01_task-rest"]);
    let found = &cohort.recordings[0];
    assert!(found.confounds.as_ref().unwrap().ends_with("sub-01_task-rest_motion.tsv"));
    assert!(found.coverage.as_ref().unwrap().ends_with(&coverage));
    assert_eq!(found.coverage, crate::coverage_beside(found.source.path()));
    assert_eq!(found.entities.get(Entity::Atlas), Some("4S456Parcels"));
    let limits = QcThresholds { motion_fd_mean: Some(0.15), ..QcThresholds::default() };
    let said = dataset.said(|it| {
        timeseries(it);
        it.qc_thresholds = Some(limits);
    });
    assert!(said.contains("motion_fd_mean is 0.2000, the threshold is 0.15"), "{said}");
    // nothing that is called bold is one
    let said = dataset.said(|_| {});
    assert!(said.contains("none with a file func/sub-…_bold"), "{said}");
}

#[test]
fn the_coverage_of_another_atlas_is_none_and_a_link_out_of_the_folder_is_refused() {
    let name = |atlas: &str, what: &str| {
        format!("sub-01/func/sub-01_task-rest_space-A_seg-{atlas}_stat-{what}.tsv")
    };
    let (mean, coverage) = (name("B", "mean_timeseries"), name("C", "coverage_bold"));
    let dataset = dataset(&[(&mean, &series(60)), (&coverage, "Node\tcoverage\nA\t0.9\n")]);
    assert_eq!(dataset.index(timeseries).unwrap().recordings[0].coverage, None);
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    let link = dataset.at(&name("B", "coverage_bold"));
    std::os::unix::fs::symlink(elsewhere.path(), link).unwrap();
    let said = dataset.said(timeseries);
    assert!(said.contains("table of coverage"), "{said}");
}

#[test]
fn a_table_of_c_pac_is_a_series() {
    let name = "sub-01/func/sub-01_task-rest_atlas-AAL_desc-Mean_timeseries.1D";
    let dataset = dataset(&[(name, "# 3dROIstats -1Dformat\n#Mean_1,Mean_2\n1.5,2\n3,4.5\n")]);
    let cohort = dataset.index(timeseries).unwrap();
    assert_eq!(names(&cohort), ["sub-01_task-rest"]);
    assert_eq!(cohort.recordings[0].n_frames, Some(2));
}

#[test]
fn one_of_the_strategies_of_c_pac_is_asked_for() {
    let name = |strategy: &str| {
        let space = "space-MNI152NLin6ASym";
        let (atlas, what) = ("atlas-Schaefer2018p200n17", "desc-Mean_timeseries.1D");
        format!("sub-01/func/sub-01_task-rest_{atlas}_{space}_{strategy}{what}")
    };
    let names = [name("reg-36Parameter_"), name("reg-aCompCor_"), name("")];
    let table = "#Mean_1,Mean_2\n1.5,2\n3,4.5\n";
    let dataset = dataset(&names.each_ref().map(|it| (it.as_str(), table)));
    let said = dataset.said(timeseries);
    assert!(said.ends_with("choose by regressors: 36Parameter or aCompCor or none"), "{said}");
    for (strategy, name) in ["36Parameter", "aCompCor", "none"].into_iter().zip(&names) {
        let cohort = dataset.index(|it| {
            timeseries(it);
            // as a pipeline spells it
            let wanted = format!("{{\"reg\": [\"{strategy}\"]}}");
            it.entities = serde_json::from_str(&wanted).unwrap();
        });
        assert!(cohort.unwrap().recordings[0].source.path().ends_with(name), "{strategy}");
    }
}

#[test]
fn each_visit_of_c_pac_has_a_folder() {
    let name = |who: &str, of: &str| format!("{who}/func/{of}_task-rest_desc-preproc_bold.1D");
    let table = "#Mean_1,Mean_2\n1.5,2\n3,4.5\n";
    let visits = [("sub-01_ses-1", "sub-01_ses-1"), ("sub-01_ses-2", "sub-01_ses-2")];
    let wrong = [("sub-01_ses-3", "sub-02_ses-3"), ("sub-01_ses-a_b", "sub-01_ses-a")];
    let files: Vec<String> = visits.iter().chain(&wrong).map(|(who, of)| name(who, of)).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|it| (it.as_str(), table)).collect();
    let cohort = dataset(&files).index(|it| it.t_r = Some(2.0)).unwrap();
    assert_eq!(names(&cohort), ["sub-01_ses-1_task-rest", "sub-01_ses-2_task-rest"]);
    let said = reasons(&cohort);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("a file of sub-01_ses-3: "), "{said:?}");
    assert!(said[1].contains("session is not a label of letters, digits and +"), "{said:?}");
}

#[test]
fn one_of_the_features_of_halfpipe_is_asked_for() {
    let name = |feature: &str| {
        format!("sub-01/func/sub-01_task-rest_feature-{feature}_atlas-A_timeseries.tsv")
    };
    let (one, other) = (name("corr1"), name("corr2"));
    // no header, a column for every label, tabs
    let table = "0.5\tnan\t1.5\n".repeat(7);
    let dataset = dataset(&[(&one, &table), (&other, &table)]);
    let said = dataset.said(timeseries);
    assert!(said.ends_with("choose by feature: corr1 or corr2"), "{said}");
    let cohort = dataset.index(|it| {
        timeseries(it);
        it.entities.insert(Entity::Feature, vec!["corr2".to_owned()]);
    });
    let found = &cohort.unwrap().recordings[0];
    assert!(found.source.path().ends_with(other));
    assert_eq!(found.n_frames, Some(7));
}
