//! fMRIPrep's confounds: the table up to the first zero byte, its sidecar after it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scan::{ConfoundStrategy, ConfoundTable, MotionFigures};
use scan_fuzz::{file, read};

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (table, sidecar) = bytes.split_at(end);
    let path = file("confounds.tsv", table);
    let beside = file("confounds.json", sidecar.get(1..).unwrap_or_default());
    if sidecar.len() < 2 {
        let _ = std::fs::remove_file(beside);
    }
    if let Some(table) = read(ConfoundTable::read(&path)) {
        read(MotionFigures::measure(&table, None));
        for strategy in [ConfoundStrategy::Scrubbing, ConfoundStrategy::CompCor] {
            read(table.select(&strategy.config()));
        }
    }
});
