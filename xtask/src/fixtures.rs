//! Generated files: written, or compared with what is committed.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::{corpus, pairs};

/// One file a generator makes: its path in the repository and its whole text.
pub(crate) struct Generated {
    pub(crate) path: &'static str,
    pub(crate) text: String,
}

/// Every generated fixture.
pub(crate) fn all(root: &Path) -> Result<Vec<Generated>> {
    Ok(vec![pairs::file(root)?, corpus::file(root)?])
}

/// Writes the files under `root` and says so.
#[expect(clippy::print_stdout, reason = "a chore says what it wrote")]
pub(crate) fn write(root: &Path, files: &[Generated]) -> Result<()> {
    for file in files {
        let path = root.join(file.path);
        let folder = path.parent().expect("a path in the repository has a folder");
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::write(&path, &file.text).with_context(|| format!("cannot write {}", file.path))?;
        println!("{}: {} bytes", file.path, file.text.len());
    }
    Ok(())
}

/// Fails when a committed file is not what its generator makes.
pub(crate) fn check(root: &Path, files: &[Generated]) -> Result<()> {
    let mut stale = Vec::new();
    for file in files {
        let found = fs::read_to_string(root.join(file.path))
            .with_context(|| format!("cannot read {}", file.path))?;
        if let Some(line) = first_difference(&found, &file.text) {
            stale.push(format!("{} differs from line {line} on", file.path));
        }
    }
    if !stale.is_empty() {
        bail!("{}; `cargo xtask fixtures` writes them anew", stale.join(", "));
    }
    Ok(())
}

/// The first line, from 1, in which two texts differ.
fn first_difference(found: &str, expected: &str) -> Option<usize> {
    if found == expected {
        return None;
    }
    let same = found.split('\n').zip(expected.split('\n')).take_while(|(a, b)| a == b).count();
    Some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_fixtures_are_what_their_generators_make() {
        let root = crate::repository();
        check(&root, &all(&root).unwrap()).unwrap();
    }

    #[test]
    fn the_first_differing_line_is_named() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some(2));
        assert_eq!(first_difference("", "a"), Some(1));
    }
}
