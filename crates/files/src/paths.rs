//! Paths as files name them and as people are shown them.

use std::path::{Component, Path, PathBuf};

/// `path` as seen from `dir`, with `..` folded away so that messages stay readable.
pub fn join(dir: &Path, path: &Path) -> PathBuf {
    let mut folded = PathBuf::new();
    for part in dir.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(folded.components().next_back(), Some(Component::Normal(_))) =>
            {
                folded.pop();
            }
            other => folded.push(other),
        }
    }
    if folded.as_os_str().is_empty() { PathBuf::from(".") } else { folded }
}

/// `path` written relative to `dir`, if they share more than the root.
pub fn relative(path: &Path, dir: &Path) -> Option<PathBuf> {
    let absolute =
        |path: &Path| std::path::absolute(path).ok().map(|path| join(&path, Path::new("")));
    let (path, dir) = (absolute(path)?, absolute(dir)?);
    let shared = path.components().zip(dir.components()).take_while(|(a, b)| a == b).count();
    if shared < 2 {
        return None;
    }
    let up = dir.components().skip(shared).map(|_| Component::ParentDir);
    Some(up.chain(path.components().skip(shared)).collect())
}

/// `path` for a record or a page: never with the reader's home folder in it.
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    match path.strip_prefix(&here) {
        Ok(inside) => inside.display().to_string(),
        Err(_) if path.is_absolute() => {
            let home = std::env::home_dir().and_then(|home| path.strip_prefix(home).ok());
            let mut parts: Vec<_> = home.unwrap_or(path).components().collect();
            parts.retain(|part| matches!(part, Component::Normal(_)));
            if parts
                .first()
                .is_some_and(|part| ["home", "Users"].iter().any(|it| part.as_os_str() == *it))
            {
                // somebody's name stands below
                parts.drain(..parts.len().min(2));
            }
            let tail: PathBuf = parts.split_off(parts.len().saturating_sub(3)).iter().collect();
            format!("…/{}", tail.display())
        }
        Err(_) => path.display().to_string(),
    }
}

/// The text on one line, without control characters.
pub fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// The text with every absolute path cut to its last part.
pub fn without_folders(text: &str) -> String {
    let mut text = text.to_owned();
    let here = std::env::current_dir().ok();
    let known: [Option<PathBuf>; 3] = [std::env::home_dir(), here, Some(std::env::temp_dir())];
    // folders with blanks in their names could not be told from the words around them
    for folder in known.into_iter().flatten().filter(|folder| folder.components().count() > 1) {
        text = text.replace(&format!("{}/", folder.display()), "…/");
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('/') {
        let (before, path) = rest.split_at(at);
        kept.push_str(before);
        let starts = before.chars().next_back().or_else(|| kept.chars().next_back());
        let starts = starts.is_none_or(|c| c.is_whitespace() || "\"'`([{=:,".contains(c));
        let end = path.find(|c: char| c.is_whitespace() || "\"'`)]},;".contains(c));
        let (path, after) = path.split_at(end.unwrap_or(path.len()));
        let tail = path.trim_end_matches(':');
        match tail.rsplit_once('/') {
            Some((folder, name)) if starts && !folder.is_empty() && !name.is_empty() => {
                kept.push_str(name);
                kept.push_str(&path[tail.len()..]);
            }
            _ => kept.push_str(path),
        }
        rest = after;
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_folded_and_made_relative() {
        assert_eq!(
            join(Path::new("pipelines"), Path::new("../fixtures/a")),
            Path::new("fixtures/a")
        );
        assert_eq!(join(Path::new("."), Path::new("../a")), Path::new("../a"));
        let relative = relative(Path::new("/w/fixtures/a"), Path::new("/w/runs/x")).unwrap();
        assert_eq!(relative, Path::new("../../fixtures/a"));
        assert_eq!(super::relative(Path::new("/a"), Path::new("/b")), None);
    }

    #[test]
    fn no_folder_of_the_machine_stays_in_a_sentence() {
        let temporary = std::env::temp_dir().join("x y/z.tsv");
        for (text, expected) in [
            ("/data/study/a.tsv: cannot be read", "a.tsv: cannot be read"),
            ("found \"/a/b/c.nii\", expected 1/2 or a/b", "found \"c.nii\", expected 1/2 or a/b"),
            ("nothing / here", "nothing / here"),
            (&format!("{}: gone", temporary.display()), "…/x y/z.tsv: gone"),
        ] {
            assert_eq!(without_folders(text), expected);
        }
    }
}
