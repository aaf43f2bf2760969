//! `docs/inputs.md` names a test for each form that is read; each of them is there.

use std::{collections::BTreeSet, fs};

use tests::root;

/// The texts in backquotes of a table's cell or of a line.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Whether the file of the workspace holds a test of this name.
fn is_there(file: &str, test: &str) -> bool {
    let text = fs::read_to_string(root().join(file)).unwrap_or_default();
    let defined = format!("fn {test}(");
    // attributes may stand between
    let mut tests = text.split("#[test]").skip(1);
    tests.any(|after| after.split('{').next().is_some_and(|head| head.contains(&defined)))
}

#[test]
fn each_row_names_a_test_that_is_there() {
    let text = fs::read_to_string(root().join("docs/inputs.md")).expect("the page");
    let mut sources = BTreeSet::new();
    let mut n_tables = 0;
    for line in text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{line}");
        if cells[0] == "Source" {
            assert_eq!(cells, ["Source", "File", "What is read", "What is checked", "Test"]);
            n_tables += 1;
            continue;
        }
        if cells[0].starts_with("---") {
            continue;
        }
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{line}");
        let [file, test] = quoted(cells[4])[..] else { panic!("no file and test: {line}") };
        assert!(is_there(file, test), "no test {test} in {file}");
        assert!(sources.insert((cells[0], cells[1])), "twice: {line}");
    }
    assert!(n_tables >= 3 && sources.len() >= 20, "{n_tables} tables, {} rows", sources.len());
    assert!(!is_there("tests/inputs.rs", "no_such_test") && !is_there("tests/none.rs", "a"));
}
