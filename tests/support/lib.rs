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
