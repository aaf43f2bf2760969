//! Files that are in no BIDS dataset: by which pattern they lie.

use std::collections::{BTreeMap, BTreeSet};

/// What series and runs of volumes are called that BIDS does not know.
const ENDINGS: [&str; 18] = [
    ".func.gii",
    ".mgz",
    ".mgh",
    ".dtseries.nii",
    ".ptseries.nii",
    ".nii.gz",
    ".nii",
    ".tsv",
    ".csv",
    ".txt",
    ".1D",
    ".dat",
    ".npy",
    ".pt",
    ".pth",
    ".h5",
    ".hdf5",
    ".arrow",
];

/// Beginnings of words in the names of what lies beside series: motion, nuisance, designs, figures of a scan.
const BESIDE: [&str; 24] = [
    "confound",
    "regressor",
    "motion",
    "movement",
    "readme",
    "participants",
    "sessions",
    "scans",
    "events",
    "physio",
    "bvals",
    "bvecs",
    "outlier",
    "coverage",
    "correlation",
    "matrix",
    "mask",
    "brainmask",
    "boldref",
    "sbref",
    "t1w",
    "t2w",
    "dseg",
    "rms",
];

/// Whether a file outside of BIDS could hold series or volumes, by its name.
pub(super) fn may_be_series(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let small = name.to_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
        && !parts(&small).any(|word| BESIDE.iter().any(|beside| word.starts_with(beside)))
        && !small.starts_with("rp_")
}

/// `sub-01_feature-corrMatrix1` is of four words, none of which begins with `matrix`.
fn parts(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_ascii_alphanumeric())
}

/// Each pattern with the files that lie by it, and whose they are.
pub(super) fn patterns(files: &[&str]) -> BTreeMap<String, Vec<(String, String)>> {
    let mut found: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut add = |pattern: String, path: &str, subject: &str| {
        found.entry(pattern).or_default().push((path.to_owned(), subject.to_owned()));
    };
    let mut shapes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for path in files {
        match keyed(path) {
            Some((pattern, subject)) => add(pattern, path, &subject),
            None => shapes.entry(shape(path)).or_default().push(path),
        }
    }
    // names without a digit are people too where several lie side by side
    let mut alone: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut groups = Vec::new();
    for group in shapes.into_values() {
        match (&group[..], whole_name(group[0])) {
            ([path], Some(pattern)) => alone.entry(pattern).or_default().push(path),
            _ => groups.push(group),
        }
    }
    for (pattern, group) in alone {
        if group.len() < 2 {
            groups.push(group);
            continue;
        }
        let (start, end) = pattern.split_once("{subject}").expect("it was put there");
        for path in group {
            add(pattern.clone(), path, &path[start.len()..path.len() - end.len()]);
        }
    }
    for group in groups {
        let Some(at) = subject_of(&group) else { continue };
        for path in group {
            let words = words(path);
            add(runs_of_hcp(&filled(path, words[at].1)), path, words[at].1);
        }
    }
    found
}

/// `sub-01_ses-1/func/sub-01_ses-1_run-2_atlas-A.1D` by its keys, whatever other keys it has.
fn keyed(path: &str) -> Option<(String, String)> {
    let mut pattern = String::new();
    let mut subject = None;
    for (position, part) in path.split('/').enumerate() {
        if position > 0 {
            pattern.push('/');
        }
        for (position, piece) in part.split('_').enumerate() {
            if position > 0 {
                pattern.push('_');
            }
            let (value, end) = piece.split_at(piece.find('.').unwrap_or(piece.len()));
            match value.split_once('-').filter(|(_, label)| crate::entity::is_label(label)) {
                Some(("sub", label)) => {
                    if subject.get_or_insert_with(|| label.to_owned()) != label {
                        return None;
                    }
                    pattern.push_str("sub-{subject}");
                }
                Some(("ses", _)) => pattern.push_str("ses-{session}"),
                Some(("run", _)) => pattern.push_str("run-{run}"),
                _ => pattern.push_str(value),
            }
            pattern.push_str(end);
        }
    }
    Some((pattern, subject?))
}

/// Letters and digits in a row, with where they begin.
fn words(path: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in path.char_indices().chain([(path.len(), '/')]) {
        match (c.is_alphanumeric(), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                words.push((from, &path[from..at]));
                start = None;
            }
            _ => {}
        }
    }
    words
}

/// The path with each word that holds a digit left open.
fn shape(path: &str) -> String {
    let mut shape = String::new();
    let mut after = 0;
    for (at, word) in words(path) {
        shape.push_str(&path[after..at]);
        shape.push_str(if word.contains(|c: char| c.is_ascii_digit()) { "#" } else { word });
        after = at + word.len();
    }
    shape + &path[after..]
}

/// The path with its last name open, where no digit is in that.
fn whole_name(path: &str) -> Option<String> {
    let (folder, name) = path.rsplit_once('/').map_or(("", path), |(folder, name)| (folder, name));
    let ending = ENDINGS.iter().find(|ending| name.ends_with(*ending))?;
    let is_word = |stem: &str| !stem.contains(|c: char| c.is_ascii_digit());
    name.strip_suffix(ending).filter(|stem| is_word(stem))?;
    let slash = if folder.is_empty() { "" } else { "/" };
    Some(format!("{folder}{slash}{{subject}}{ending}"))
}

/// Which word says whose a file is: the one that has the most values, if any has several; of one file the
/// first with a digit.
fn subject_of(group: &[&str]) -> Option<usize> {
    let all: Vec<Vec<(usize, &str)>> = group.iter().map(|path| words(path)).collect();
    let n_words = all.first()?.len();
    let n_values = |at: usize| all.iter().map(|words| words[at].1).collect::<BTreeSet<_>>().len();
    let open = (0..n_words).filter(|&at| all[0][at].1.contains(|c: char| c.is_ascii_digit()));
    // of as many the first
    open.max_by_key(|&at| (n_values(at), std::cmp::Reverse(at)))
}

/// The path with a word open wherever it stands by itself.
fn filled(path: &str, subject: &str) -> String {
    let mut pattern = String::new();
    let mut after = 0;
    for (at, word) in words(path).into_iter().filter(|(_, word)| *word == subject) {
        pattern.push_str(&path[after..at]);
        pattern.push_str("{subject}");
        after = at + word.len();
    }
    pattern + &path[after..]
}

/// `rfMRI_REST1_LR/rfMRI_REST1_LR_Atlas.nii` for all four runs: the folder's name begins the file's.
fn runs_of_hcp(pattern: &str) -> String {
    const REST: &str = "rfMRI_REST";
    let folder = pattern.split('/').rev().nth(1).filter(|name| {
        name.strip_prefix(REST).is_some_and(|run| !run.is_empty() && !run.contains(['{', '*']))
    });
    match folder {
        Some(folder) => pattern.replace(folder, &format!("{REST}{{run}}")),
        None => pattern.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[&str]) -> Vec<(String, usize)> {
        patterns(files).into_iter().map(|(pattern, files)| (pattern, files.len())).collect()
    }

    #[test]
    fn words_that_only_hold_the_name_of_something_else_are_series() {
        for series in ["sub-01_feature-corrMatrix1_timeseries.tsv", "norms_rest.nii.gz"] {
            assert!(may_be_series(series), "{series}");
        }
        for beside in ["a_matrix.tsv", "Movement_RelativeRMS.txt", "x_brainmask.nii.gz", "rms.tsv"]
        {
            assert!(!may_be_series(beside), "{beside}");
        }
    }

    #[test]
    fn patterns_of_the_field_are_found() {
        let hcp = |subject: &str, run: &str| {
            format!("{subject}/MNINonLinear/Results/rfMRI_{run}/rfMRI_{run}_Atlas.dtseries.nii")
        };
        let mut files = Vec::new();
        for subject in ["100206", "100307", "100408"] {
            files.extend(["REST1_LR", "REST2_RL"].map(|run| hcp(subject, run)));
            files.push(format!("{subject}_25753_2_0.txt"));
            files.push(format!("pipeline/sub-{subject}_ses-1/func/sub-{subject}_ses-1_reg-A_x.1D"));
        }
        files.push("100206_25753_3_0.txt".to_owned());
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let rest =
            "{subject}/MNINonLinear/Results/rfMRI_REST{run}/rfMRI_REST{run}_Atlas.dtseries.nii";
        assert_eq!(
            found(&files),
            [
                ("pipeline/sub-{subject}_ses-{session}/func/sub-{subject}_ses-{session}_reg-A_x.1D", 3),
                ("{subject}/MNINonLinear/Results/rfMRI_REST{run}/rfMRI_REST{run}_Atlas.dtseries.nii", 6),
                ("{subject}_25753_2_0.txt", 3),
                ("{subject}_25753_3_0.txt", 1),
            ]
            .map(|(pattern, n)| (pattern.to_owned(), n))
        );
        assert!(rest.parse::<crate::FilePattern>().is_ok());
    }

    #[test]
    fn words_alone_are_people_and_what_lies_beside_is_none() {
        assert_eq!(found(&["a/ann.csv", "a/bob.csv"]), [("a/{subject}.csv".to_owned(), 2)]);
        assert_eq!(found(&["a/ann.csv"]), []);
        assert_eq!(found(&["p1.npy"]), [("{subject}.npy".to_owned(), 1)]);
        assert!(may_be_series("p1.npy") && may_be_series("a/1_ts.1D"));
        for beside in ["Movement_Regressors.txt", "rp_a.txt", "README.txt", "a.json", "p1_mask.nii"]
        {
            assert!(!may_be_series(beside), "{beside}");
        }
    }
}
