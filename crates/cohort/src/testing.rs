//! Small cohorts for tests.

use std::{collections::BTreeMap, fs, path::Path};

use ndarray::Array4;

use crate::{
    entity::{Entities, Entity},
    recording::{Cohort, Recording, Source},
};

/// A resting run without labels.
pub(crate) fn recording(subject: &str) -> Recording {
    let mut entities = Entities::default();
    entities.add(Entity::Subject, subject);
    entities.add(Entity::Task, "rest");
    Recording {
        source: Source::File(format!("{entities}.nii").into()),
        entities,
        mask: None,
        confounds: None,
        coverage: None,
        t_r: None,
        n_frames: None,
        kept: None,
        labels: BTreeMap::default(),
        row: None,
    }
}

pub(crate) fn cohort(recordings: Vec<Recording>) -> Cohort {
    Cohort { path: "cohort".into(), recordings, excluded: Vec::new(), warnings: Vec::new() }
}

/// Writes a text and the folders above it.
pub(crate) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Writes a run of 2 × 2 × 2 voxels.
pub(crate) fn write_scan(path: &Path, n_frames: usize, t_r: f64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let rows = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
    let data = Array4::from_shape_fn((2, 2, 2, n_frames), |(x, _, _, t)| (x + t) as f32);
    let bold = scan::Bold::new(data, scan::Affine::new(rows).unwrap(), t_r).unwrap();
    scan::write_bold(path, &bold).unwrap();
}
