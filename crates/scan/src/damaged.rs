//! Files of tools with bytes changed or cut off: every reader ends in a value or a sentence.

use std::path::{Path, PathBuf};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::{
    DenseSeries, GrayordinateAtlas, OpenOptions, Scan, SeriesAxes, array_names, describe,
    footprint, nii::testing::Scratch, open, probe_header, shape,
};

/// Files of `fixtures` by the ending that they need.
fn fixtures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let mut found = Vec::new();
    for folder in ["surface", "matlab"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            if ["gii", "annot", "mgh", "mgz", "mat"].contains(&ending.as_str()) {
                found.push(path);
            }
        }
    }
    assert!(found.len() >= 25, "{found:?}");
    found.sort();
    found
}

/// Everything that reads such a file; what is wrong is one line.
fn read(path: &Path) {
    let options = OpenOptions {
        axes: Some(SeriesAxes::ParcelsTime),
        t_r: Some(2.0),
        ..OpenOptions::default()
    };
    let mut said = vec![
        describe(path).err(),
        probe_header(path).err(),
        shape(path, &options).err(),
        footprint(path, &options).err(),
        GrayordinateAtlas::read(path).err(),
        array_names(path).err(),
    ];
    match open(path, &options) {
        Ok(opened) => {
            if let Scan::Grayordinates(dense) = opened.scan {
                said.push(dense.each(&mut |_| {}).err());
            }
        }
        Err(error) => said.push(Some(error)),
    }
    said.push(DenseSeries::of(path, None).err());
    for error in said.into_iter().flatten() {
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
}

#[test]
fn damaged_files_end_in_a_value_or_a_sentence() {
    let scratch = Scratch::new();
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for path in fixtures() {
        let whole = std::fs::read(&path).unwrap();
        // a name without a hemisphere beside which another file lies
        let ending = path.extension().unwrap().to_string_lossy();
        let target = scratch.path(&format!("lh.x.{ending}"));
        for round in 0..12 {
            let mut bytes = whole.clone();
            if round % 3 == 0 {
                bytes.truncate(random.random_range(0..whole.len()));
            }
            for _ in 0..round {
                let at = random.random_range(0..whole.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.random();
                }
            }
            std::fs::write(&target, bytes).unwrap();
            read(&target);
        }
    }
}
