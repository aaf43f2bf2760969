use super::*;
use crate::testing::{write, write_scan};

/// What is proposed for a folder of these runs.
fn proposed(files: &[&str]) -> Proposal {
    let dir = tempfile::tempdir().unwrap();
    for name in files {
        write_scan(&dir.path().join(name), 4, 2.0);
    }
    write(&dir.path().join("dataset_description.json"), "{}");
    propose(dir.path(), None).unwrap()
}

fn entities(proposal: &Proposal) -> String {
    proposal.cohort["bids"]["entities"].to_string()
}

#[test]
fn of_as_many_files_a_template_goes_before_the_scanner() {
    let name = |form: &str| format!("sub-1/func/sub-1_task-rest{form}_bold.nii.gz");
    let forms =
        ["_desc-preproc", "_space-T1w_desc-preproc", "_space-MNI152NLin6Asym_res-2_desc-preproc"];
    let files: Vec<String> = forms.map(name).into();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let proposal = proposed(&files);
    assert_eq!(
        proposal.cohort["bids"]["entities"],
        serde_json::json!({
            "task": ["rest"], "space": ["MNI152NLin6Asym"], "res": ["2"], "desc": ["preproc"]
        })
    );
    assert_eq!((proposal.n_recordings, proposal.alternatives.len()), (1, 2));
    let native = &proposal.alternatives[1].cohort["bids"]["entities"];
    assert_eq!(native["space"][0], "none");
    // the form that most have goes before
    let more =
        [&files[..], &["sub-2/func/sub-2_task-rest_space-T1w_desc-preproc_bold.nii.gz"]].concat();
    let proposal = proposed(&more);
    assert!(entities(&proposal).contains("\"space\":[\"T1w\"]"), "{proposal}");
    assert_eq!((proposal.n_recordings, proposal.n_subjects), (2, 2));
}

#[test]
fn echoes_are_left_to_what_is_combined_of_them() {
    let stem = "sub-1/ses-1/func/sub-1_ses-1_task-rest";
    let names = ["_echo-1_desc-preproc", "_echo-2_desc-preproc", "_desc-preproc"];
    let names: Vec<String> = names.iter().map(|form| format!("{stem}{form}_bold.nii.gz")).collect();
    let proposal = proposed(&names.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(entities(&proposal).contains("\"echo\":[\"none\"]"), "{proposal}");
    let left: Vec<(&str, usize)> =
        proposal.left_out.iter().map(|it| (it.reason.as_str(), it.n)).collect();
    assert_eq!(left, [("of echo 1", 1), ("of echo 2", 1)]);
}

#[test]
fn a_proposal_is_read_back_as_the_configuration_that_was_indexed() {
    let proposal = proposed(&["a/sub-1/func/sub-1_task-rest_bold.nii.gz"]);
    let config: crate::BidsConfig =
        serde_json::from_value(proposal.cohort["bids"].clone()).unwrap();
    assert!(config.dir.ends_with("a") && config.dir.is_absolute());
    assert_eq!(config.entities[&Entity::Task], ["rest"]);
    assert_eq!(proposal.t_r_s, 2.0);
    assert!(
        proposal.to_string().starts_with("# 1 recording of 1 subject, TR 2 s\ncohort:\n  bids:\n")
    );
}
