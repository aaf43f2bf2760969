use std::path::Path;

use super::{
    parts::{KnownScan, KnownWindow},
    reader::onset,
};
use crate::{OneScan, Place};

#[test]
fn a_whole_scan_is_one_window_and_an_onset_begins_another() {
    let one = |place| {
        let (path, confounds, t_r) = (Path::new("s.nii"), None, None);
        OneScan { path, place, confounds, t_r, labels: None, omics: None }
    };
    let windows = vec![KnownWindow { onset_s: 0.0, duration_s: 30.0 }];
    let (sha256, subject, session) = (String::new(), String::new(), String::new());
    let known = KnownScan { sha256, subject, session, run: 1, windows };
    let found = |place, known| onset(&one(place), known).map_err(|it| it.to_string());
    for known in [None, Some(&known)] {
        assert_eq!(found(None, known), Ok(None));
        assert_eq!(found(Some(Place::Window(1)), known), Ok(None));
        assert_eq!(found(Some(Place::Onset(2.0)), known), Ok(Some(2.0)));
    }
    let said = found(Some(Place::Window(2)), Some(&known)).unwrap_err();
    assert_eq!(said, "s.nii: has 1 window in the model's cohort, found --window 2");
    for number in [0, 2] {
        let said = found(Some(Place::Window(number)), None).unwrap_err();
        assert!(said.contains("expected neither --window nor --onset"), "{said}");
    }
}
