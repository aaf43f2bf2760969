//! Why a scan is left out: in the words of tables, which name it, and in those of a terminal, which
//! name nobody.
use std::path::Path;

use engine::{Kind, Reason};
use files::{one_line, without_folders};
use preprocess::Recording;

use crate::Error;

/// Why work on `scan` failed; no folder of the machine is named, and no control character is left.
pub(crate) fn of(error: &Error, scan: &Recording) -> Reason {
    let mut named = one_line(&error.to_string());
    for path in scan::files_of_scan(&scan.path).iter().chain([&scan.path]) {
        named = named.replace(&shown(path), &scan.file);
    }
    for path in scan.beside() {
        named = named.replace(&shown(path), &file_name(path));
    }
    let named = without_folders(&named);
    let mut anonymous = named.clone();
    let mut names = vec![
        (scan.file.clone(), "the scan"),
        (file_name(&scan.path), "the scan"),
        (scan.name.clone(), "the scan"),
        (scan.unit.clone(), "the scan"),
    ];
    names.extend(scan.confounds.as_deref().map(|path| (file_name(path), "its confounds")));
    names.extend(scan.coverage.as_deref().map(|path| (file_name(path), "its table of coverage")));
    names.push((format!("sub-{}", scan.subject), "its subject"));
    // the label in the files is another one where labels are hashed
    let folders = scan.path.components().filter_map(|it| it.as_os_str().to_str());
    let folders =
        folders.filter(|it| it.starts_with("sub-")).map(|it| (it.to_owned(), "its subject"));
    names.extend(folders);
    // a longer name first: it may hold a shorter one
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    for (name, what) in names.iter().filter(|(name, _)| !name.is_empty()) {
        anonymous = anonymous.replace(name, what);
    }
    let anonymous = without_word(&anonymous, &scan.subject, "its subject");
    Reason { named, anonymous, kind: Kind::new(error.kind().name()) }
}

/// Why the file `name` of a table, at `path`, could not be worked on.
pub(crate) fn of_file(error: &Error, path: &Path, name: &str) -> Reason {
    let named = one_line(&error.to_string()).replace(&shown(path), name);
    let named = without_folders(&named);
    let names = [name.to_owned(), file_name(path)].into_iter().filter(|it| !it.is_empty());
    let anonymous = names.fold(named.clone(), |text, name| text.replace(&name, "the file"));
    Reason { named, anonymous, kind: Kind::new(error.kind().name()) }
}

fn shown(path: &Path) -> String {
    one_line(&path.display().to_string())
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| one_line(&name.to_string_lossy()))
}

/// `word` replaced where it stands alone; a short number may be any number and stays.
fn without_word(text: &str, word: &str, by: &str) -> String {
    if word.len() < 3 || !text.contains(word) {
        return text.to_owned();
    }
    let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        let last = before.chars().next_back().or_else(|| kept.chars().next_back());
        let alone = !is_part(last) && !is_part(after.chars().next());
        kept.push_str(before);
        kept.push_str(if alone { by } else { word });
        rest = after;
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan() -> Recording {
        Recording {
            subject: "NDAR01".to_owned(),
            session: None,
            name: "sub-NDAR01_task-rest_bold".to_owned(),
            unit: "sub-NDAR01_task-rest_bold".to_owned(),
            file: "sub-NDAR01/func/sub-NDAR01_task-rest_bold.nii.gz".to_owned(),
            path: "/home/a b/study/sub-NDAR01/func/sub-NDAR01_task-rest_bold.nii.gz".into(),
            sha256: None,
            t_r_s: None,
            n_frames: None,
            kept: None,
            confounds: Some("/home/a b/study/sub-NDAR01/func/c_confounds.tsv".into()),
            coverage: Some("/home/a b/study/sub-NDAR01/func/c_stat-coverage_bold.tsv".into()),
            stacked: None,
            events_s: Vec::new(),
        }
    }

    fn reason(path: &str, problem: &str) -> Reason {
        let error = Error::Arrays { path: path.into(), problem: problem.to_owned() };
        of(&error, &scan())
    }

    #[test]
    fn tables_name_the_scan_and_logs_name_nobody() {
        let path = scan().path.display().to_string();
        let both = reason(&path, "of NDAR01, cut\x1b[31m\nshort");
        assert_eq!(
            both.named,
            "sub-NDAR01/func/sub-NDAR01_task-rest_bold.nii.gz: is damaged: of NDAR01, cut [31m short"
        );
        assert_eq!(both.anonymous, "the scan: is damaged: of its subject, cut [31m short");
        let confounds = scan().confounds.unwrap().display().to_string();
        let both = reason(&confounds, "has 3 rows");
        assert_eq!(both.named, "c_confounds.tsv: is damaged: has 3 rows");
        assert_eq!(both.anonymous, "its confounds: is damaged: has 3 rows");
        let coverage = scan().coverage.unwrap().display().to_string();
        let both = reason(&coverage, "has 3 rows");
        assert_eq!(both.named, "c_stat-coverage_bold.tsv: is damaged: has 3 rows");
        assert_eq!(both.anonymous, "its table of coverage: is damaged: has 3 rows");
    }
}
