//! The guides: every link leads somewhere, and every file of the repository that they name is there.
use std::{collections::BTreeSet, fs, path::Path};

use tests::{pages, root};

/// The targets of a page's links, `](target)`.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1);
    targets.filter_map(|rest| Some(rest.split_once(')')?.0)).collect()
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let kept = |c: &char| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_';
    let anchor = |line: &str| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        words.chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_to_a_page_and_a_heading() {
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.with_file_name(path) };
            assert!(target.exists(), "{}: {link}", page.display());
            if !anchor.is_empty() {
                let there = anchors(&fs::read_to_string(&target).expect("a page"));
                assert!(there.contains(anchor), "{}: {link} is none of {there:?}", page.display());
            }
        }
    }
}

#[test]
fn every_pipeline_and_fixture_that_is_named_is_there() {
    let folders = ["pipelines/", "configs/", "fixtures/", "notebooks/", "crates/"];
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let mut n_found = 0;
    for page in pages().into_iter().filter(|page| !page.ends_with("CHANGELOG.md")) {
        let text = fs::read_to_string(&page).expect("a page");
        // in backticks, so that examples in blocks may name files of the reader's
        for code in text.split('`').skip(1).step_by(2).filter(|it| !it.contains('\n')) {
            // `my.yaml` is the reader's own
            let named = folders.iter().any(|folder| code.starts_with(folder))
                && !code.ends_with("/my.yaml");
            if named && code.chars().all(is_path) {
                assert!(Path::new(&root()).join(code).exists(), "{}: {code}", page.display());
                n_found += 1;
            }
        }
    }
    assert!(n_found > 20, "{n_found}");
}

#[test]
fn every_page_of_the_book_is_in_its_contents_and_no_link_leaves_it() {
    let docs = root().join("docs");
    let contents = fs::read_to_string(docs.join("SUMMARY.md")).expect("the contents");
    let listed = links(&contents);
    for page in pages().into_iter().filter(|page| page.starts_with(&docs)) {
        let name = page.file_name().expect("a file").to_str().expect("a name");
        let n_times = listed.iter().filter(|it| **it == name).count();
        assert_eq!(n_times, usize::from(name != "SUMMARY.md"), "{name}");
        // what lies outside is no page of the book
        let text = fs::read_to_string(&page).expect("a page");
        let out: Vec<_> = links(&text).into_iter().filter(|link| link.starts_with("../")).collect();
        assert_eq!(out, [""; 0], "{name}");
    }
}

#[test]
fn the_readme_is_read_in_one_go() {
    let text = fs::read_to_string(root().join("README.md")).expect("the page");
    assert!(text.lines().count() < 120, "{}", text.lines().count());
}
