//! Helpers shared by the integration tests.

mod cohort;
mod elsewhere;
mod foreign;
pub mod labels;
mod program;
mod pytorch;
mod short;
mod synthetic;

use std::path::{Path, PathBuf};

pub use cohort::Cohort;
pub use elsewhere::Elsewhere;
pub use foreign::{Foreign, gguf, stored_zip};
pub use program::{Ran, program, run, run_until, says};
pub use pytorch::pytorch;
pub use short::{N_PEOPLE, ShortScans};
pub use synthetic::{Stored, Synthetic};

/// Parts of a page that are fenced as this language, in their order.
pub fn fenced(page: &str, language: &str) -> Vec<String> {
    let start = format!("```{language}\n");
    let parts = page.split(&start).skip(1);
    parts.map(|part| part.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// The words of a command, of which some are in single quotes.
pub fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in command.chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().expect("a word").push(other),
        }
    }
    words
}

/// README and the other pages at the top, and those of `docs/` and `findings/`.
pub fn pages() -> Vec<PathBuf> {
    let folders = [root(), root().join("docs"), root().join("findings")];
    let entries =
        folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("a folder").flatten());
    let mut pages: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|it| it == "md"))
        .collect();
    pages.sort();
    assert!(pages.len() > 8, "{pages:?}");
    pages
}

/// The workspace's root.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests lies in the workspace").to_owned()
}

/// Every file below `folder`, sorted.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder);
        let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.map(|entry| entry.expect("an entry of a folder").path()) {
            if path.is_dir() { &mut folders } else { &mut files }.push(path);
        }
    }
    files.sort();
    files
}
