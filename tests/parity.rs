//! Cases recorded from the original implementations, the part of them that is kept here.

use nn::Device;
use xtask::checks::{Family, run};

/// Forward, gradients, steps of `AdamW` and tokens; on the device of candle's operations none of our kernels may run.
fn every_kept_case_is_met_on(device: &Device) {
    run(Family::Parity, &[tests::root().join("fixtures/parity")], device)
        .expect("no case is missed");
}

#[test]
fn every_kept_case_of_openflamingo_is_met() {
    every_kept_case_is_met_on(&Device::cpu());
}

#[test]
fn every_kept_case_of_openflamingo_is_met_by_the_operations_of_a_gpu() {
    every_kept_case_is_met_on(&Device::cpu_composed());
}

#[test]
fn every_kept_case_of_scans_is_met() {
    run(Family::Oracles, &[tests::root().join("fixtures/oracles")], &Device::cpu())
        .expect("no case is missed");
}

#[test]
fn an_empty_folder_or_an_unknown_case_is_a_miss() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    assert!(run(Family::Parity, &[folder.path().to_owned()], &Device::cpu()).is_err());
    std::fs::write(folder.path().join("case.json"), "{\"kind\": \"new\"}").expect("writable");
    assert!(run(Family::Parity, &[folder.path().to_owned()], &Device::cpu()).is_err());
}
