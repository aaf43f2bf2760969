//! Cases recorded from the original implementations, the part of them that is kept here.

use xtask::checks::{Family, run};

#[test]
fn every_kept_case_of_openflamingo_is_met() {
    run(Family::Parity, &[tests::root().join("fixtures/parity")]).expect("no case is missed");
}

#[test]
fn every_kept_case_of_scans_is_met() {
    run(Family::Oracles, &[tests::root().join("fixtures/oracles")]).expect("no case is missed");
}

#[test]
fn an_empty_folder_or_an_unknown_case_is_a_miss() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    assert!(run(Family::Parity, &[folder.path().to_owned()]).is_err());
    std::fs::write(folder.path().join("case.json"), "{\"kind\": \"new\"}").expect("writable");
    assert!(run(Family::Parity, &[folder.path().to_owned()]).is_err());
}
