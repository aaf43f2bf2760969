//! Strict reading of our own YAML: every complaint names file, line and column and shows the place.
mod outline;
mod words;

pub use outline::{Outline, Place};

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use strsim::levenshtein;
use words::in_our_words;

/// A place in a YAML file and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlError {
    /// The file, as the user named it.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Characters that are wrong; none: the word that starts there.
    pub len: Option<usize>,
    /// What was found and what was expected.
    pub message: String,
    /// The line itself.
    pub source_line: String,
}

impl std::error::Error for YamlError {}

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column, len, message, source_line } = self;
        writeln!(f, "{}:{line}:{column}: {message}", path.display())?;
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let word = || token_at(source_line, *column).chars().count();
        let carets = "^".repeat(len.unwrap_or_else(word).max(1));
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {source_line}")?;
        write!(f, "{margin} | {}{carets}", " ".repeat(column - 1))
    }
}

impl YamlError {
    /// `message` about a place of `text`, which came from `path`.
    pub fn at(path: &Path, text: &str, place: Place, message: String) -> Self {
        let Place { line, column } = place;
        let source_line = text.lines().nth(line - 1).unwrap_or_default().to_owned();
        Self { path: path.to_owned(), line, column, len: None, message, source_line }
    }

    /// The closest of the expected names, where a name was not one of them.
    pub fn hint(&self) -> Option<String> {
        if !self.message.starts_with("unknown ") {
            return None;
        }
        let (_, expected) = self.message.split_once(", expected ")?;
        let found = token_at(&self.source_line, self.column);
        let names = expected.trim_start_matches("one of ").split([',', ' ']);
        let distance = |name: &str| levenshtein(name, found);
        let best = names.map(|name| name.trim_matches('`')).filter(|name| !name.is_empty());
        let best = best.min_by_key(|name| distance(name))?;
        (distance(best) <= 1 + best.chars().count() / 4).then(|| format!("did you mean `{best}`?"))
    }
}

/// Reads `text`, which came from `path`.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, YamlError> {
    // no setting is NaN: where one stands, the parser says it of values without a type
    if text.to_ascii_lowercase().contains(".nan") {
        let untyped: Result<serde_json::Value, _> = serde_yaml::from_str(text);
        untyped.map_err(|error| locate(path, text, &error))?;
    }
    serde_yaml::from_str(text).map_err(|error| locate(path, text, &error))
}

/// A value that was read, as YAML that reads the same.
pub fn write(value: &impl Serialize) -> String {
    serde_yaml::to_string(value).expect("what was read can be written")
}

fn locate(path: &Path, text: &str, error: &serde_yaml::Error) -> YamlError {
    let place = error.location().map_or(Place { line: 1, column: 1 }, Place::of);
    let error = error.without_snippet();
    if let serde_yaml::Error::SerdeMissingField { field, .. } = error
        && let Some(outline) = Outline::read(text)
        && let Some(block) = outline.block_at(place)
    {
        let name = block.name.map_or("this block".to_owned(), |name| format!("`{name}`"));
        let beside = match block.keys.as_slice() {
            [] => String::new(),
            keys => format!(", expected beside {}", keys.join(", ")),
        };
        let message = format!("missing field `{field}` in {name}{beside}");
        return YamlError::at(path, text, block.place, message);
    }
    let mut found = YamlError::at(path, text, place, String::new());
    let plain = error.to_string();
    let plain = plain.rsplit_once(" at line ").map_or(plain.as_str(), |(message, _)| message);
    found.message = in_our_words(plain, token_at(&found.source_line, found.column));
    found
}

/// The word that starts at `column`.
fn token_at(line: &str, column: usize) -> &str {
    let start = line.char_indices().nth(column - 1).map_or(line.len(), |(byte, _)| byte);
    let rest = &line[start..];
    let end = rest.find([':', ',', '}', ']', '#', '\n']).unwrap_or(rest.len());
    rest[..end].trim_end()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by the parser")]
    struct Window {
        shift_s: f64,
        n_frames: usize,
    }

    fn refused(text: &str) -> YamlError {
        parse::<Window>(Path::new("a.yaml"), text).unwrap_err()
    }

    #[test]
    fn a_typo_is_underlined_where_it_stands() {
        let error = refused("shift_s: 5.0\nn_frmaes: 9\n");
        assert_eq!(
            error.to_string(),
            "a.yaml:2:1: unknown field `n_frmaes`, expected one of shift_s, n_frames\n  \
             |\n2 | n_frmaes: 9\n  | ^^^^^^^^"
        );
        assert_eq!(error.hint().as_deref(), Some("did you mean `n_frames`?"));
    }

    #[test]
    fn a_duplicate_key_is_an_error_at_its_second_place() {
        let error = refused("shift_s: 5.0\nn_frames: 9\nshift_s: 4.0\n");
        assert_eq!((error.line, error.column), (3, 1));
        assert_eq!(error.message, "key `shift_s` appears twice in this block");
    }

    #[test]
    fn a_wrong_type_says_what_was_expected_and_found() {
        let error = refused("shift_s: 5.0\nn_frames: nine\n");
        assert_eq!((error.line, error.column), (2, 11));
        assert_eq!(error.message, "expected a whole number, not negative, found `nine`");
        assert_eq!(
            refused("shift_s: late\nn_frames: 9\n").message,
            "expected a number, found `late`"
        );
    }

    #[test]
    fn a_nan_is_no_setting_wherever_it_stands() {
        let nan = |text: &str| {
            let parsed = parse::<serde_json::Value>(Path::new("a.yaml"), text);
            parsed.err().map(|error| (error.line, error.column, error.message))
        };
        let said = |line, column, found: &str| {
            let message = format!("expected a finite number, found `{found}`");
            Some((line, column, message))
        };
        assert_eq!(nan("shift_s: .nan\nn_frames: 9\n"), said(1, 10, ".nan"));
        assert_eq!(nan("a:\n  - { b: 1, c: [0.5, .NaN] }\n"), said(2, 22, ".NaN"));
        assert_eq!(nan("a: '.nan'\nb: x.nan\n"), None);
    }

    #[test]
    fn a_missing_field_is_named() {
        let error = refused("# a comment\nshift_s: 5.0\n");
        assert_eq!(
            error.message,
            "missing field `n_frames` in this block, expected beside shift_s"
        );
        assert_eq!((error.line, error.column, error.hint()), (2, 1, None));
    }

    #[test]
    fn the_block_that_lacks_a_field_is_underlined() {
        let refused = |text: &str| {
            let parsed = parse::<HashMap<String, Window>>(Path::new("a.yaml"), text);
            parsed.unwrap_err()
        };
        let error = refused("first:\n  shift_s: 5.0\nlast: { shift_s: 1.0, n_frames: 2 }\n");
        assert_eq!(
            error.to_string(),
            "a.yaml:1:1: missing field `n_frames` in `first`, expected beside shift_s\n  \
             |\n1 | first:\n  | ^^^^^"
        );
        let error = refused("first: { shift_s: 1.0, n_frames: 2 }\nlast: {}\n");
        assert_eq!(
            (error.line, error.column, error.message.as_str()),
            (2, 1, "missing field `shift_s` in `last`")
        );
    }

    #[test]
    fn broken_syntax_has_a_place_too() {
        let error = refused("shift_s: [5.0\nn_frames: 9\n");
        assert!(error.line >= 1, "{error}");
    }
}
