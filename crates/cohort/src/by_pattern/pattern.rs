//! Where the files of a cohort lie: `{subject}/Results/rfMRI_{run}/rfMRI_{run}_Atlas.dtseries.nii`.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    entity::{Entity, RECORDING},
    error::Error,
};

/// A path with placeholders for what tells one recording from another (`{subject}`, `{session}`,
/// `{task}`, `{run}`, `{acquisition}`, `{direction}`, …) and `*` for any text. None of them reaches over
/// a `/`; each takes as little as fits, and one that stands twice is the same text both times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct FilePattern {
    text: String,
    parts: Vec<Vec<Piece>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Label(Entity),
    Any,
}

/// What the placeholders stand for.
pub(super) type Captured = Vec<(Entity, String)>;

/// The most placeholders and `*` in one name.
const MAX_OPEN: usize = 6;

impl FilePattern {
    /// Number of names in the path.
    pub(super) fn depth(&self) -> usize {
        self.parts.len()
    }

    /// The name at a depth, where nothing in it is open.
    pub(super) fn plain(&self, depth: usize) -> Option<&str> {
        match &self.parts[depth][..] {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// What the placeholders of the name at a depth stand for, beside those that are known already;
    /// none where `name` does not fit.
    pub(super) fn fit(&self, depth: usize, name: &str, known: &Captured) -> Option<Captured> {
        let mut captured = known.clone();
        fits(&self.parts[depth], name, &mut captured).then_some(captured)
    }

    /// The path that these labels give; none where a placeholder is not among them or `*` is in it.
    pub(super) fn filled(&self, captured: &Captured) -> Option<String> {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => Some(text.clone()),
            Piece::Label(entity) => known(captured, *entity).map(str::to_owned),
            Piece::Any => None,
        };
        let part = |part: &Vec<Piece>| part.iter().map(piece).collect::<Option<String>>();
        Some(self.parts.iter().map(part).collect::<Option<Vec<_>>>()?.join("/"))
    }

    pub(super) fn has(&self, entity: Entity) -> bool {
        self.parts.iter().flatten().any(|piece| *piece == Piece::Label(entity))
    }
}

fn known(captured: &Captured, entity: Entity) -> Option<&str> {
    captured.iter().find(|(it, _)| *it == entity).map(|(_, text)| text.as_str())
}

/// Takes as little as fits for each placeholder, from the left.
fn fits(pieces: &[Piece], name: &str, captured: &mut Captured) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return name.is_empty() };
    match first {
        Piece::Text(text) => {
            name.strip_prefix(text.as_str()).is_some_and(|after| fits(rest, after, captured))
        }
        Piece::Label(entity) => {
            if let Some(text) = known(captured, *entity).map(str::to_owned) {
                return name.strip_prefix(&text).is_some_and(|after| fits(rest, after, captured));
            }
            ends(name).skip(1).any(|end| {
                captured.push((*entity, name[..end].to_owned()));
                let fit = fits(rest, &name[end..], captured);
                if !fit {
                    captured.pop();
                }
                fit
            })
        }
        Piece::Any => ends(name).any(|end| fits(rest, &name[end..], captured)),
    }
}

/// Where a text may be cut.
fn ends(name: &str) -> impl Iterator<Item = usize> {
    name.char_indices().map(|(at, _)| at).chain([name.len()])
}

impl FromStr for FilePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split('/').map(pieces).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { text: text.to_owned(), parts })
    }
}

impl TryFrom<String> for FilePattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<FilePattern> for String {
    fn from(pattern: FilePattern) -> Self {
        pattern.text
    }
}

impl fmt::Display for FilePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One name of a path.
fn pieces(part: &str) -> Result<Vec<Piece>, String> {
    if ["", ".", ".."].contains(&part) {
        return Err(format!(
            "holds the name {part:?}, expected a path below `dir` such as sub-{{subject}}/bold.nii.gz"
        ));
    }
    let mut pieces: Vec<Piece> = Vec::new();
    let mut rest = part;
    while let Some(at) = rest.find(['{', '}', '*']) {
        if at > 0 {
            pieces.push(Piece::Text(rest[..at].to_owned()));
        }
        let (open, after) = match rest[at..].chars().next() {
            Some('*') => (Piece::Any, at + 1),
            Some('{') => {
                let end = rest[at..].find('}').ok_or("holds a `{` without its `}`")?;
                (Piece::Label(placeholder(&rest[at + 1..at + end])?), at + end + 1)
            }
            _ => return Err("holds a `}` without its `{`".to_owned()),
        };
        if !matches!(pieces.last(), None | Some(Piece::Text(_))) {
            return Err("holds two placeholders side by side, expected text between".to_owned());
        }
        pieces.push(open);
        rest = &rest[after..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    let n_open = pieces.iter().filter(|piece| !matches!(piece, Piece::Text(_))).count();
    if n_open > MAX_OPEN {
        return Err(format!("holds a name with {n_open} placeholders, the most are {MAX_OPEN}"));
    }
    Ok(pieces)
}

fn placeholder(name: &str) -> Result<Entity, String> {
    let entity = RECORDING.into_iter().find(|it| it.name() == name || it.key() == name);
    entity.ok_or_else(|| {
        let known: Vec<&str> = RECORDING.into_iter().map(Entity::name).collect();
        format!("holds the placeholder {{{name}}}, expected one of {}", known.join(", "))
    })
}

/// As an error of the configuration.
pub(super) fn check(field: &'static str, pattern: &FilePattern) -> Result<(), Error> {
    if pattern.has(Entity::Subject) {
        return Ok(());
    }
    let expected = "a path with {subject} in it".to_owned();
    Err(Error::Setting { field, found: pattern.text.clone(), expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(pattern: &str, path: &str) -> Option<String> {
        let pattern: FilePattern = pattern.parse().unwrap();
        let names: Vec<&str> = path.split('/').collect();
        assert_eq!(names.len(), pattern.depth());
        let mut found = Captured::new();
        for (depth, name) in names.into_iter().enumerate() {
            found = pattern.fit(depth, name, &found)?;
        }
        let words = found.iter().map(|(entity, text)| format!("{}={text}", entity.name()));
        Some(words.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn placeholders_take_as_little_as_fits() {
        for (pattern, path, expected) in [
            ("{subject}.txt", "100206.txt", Some("subject=100206")),
            ("{subject}_25753_2_0.txt", "1000012_25753_2_0.txt", Some("subject=1000012")),
            ("{subject}_{run}.txt", "a_b_c.txt", Some("subject=a run=b_c")),
            (
                "{subject}/r_{run}/r_{run}_A.nii",
                "7/r_1_LR/r_1_LR_A.nii",
                Some("subject=7 run=1_LR"),
            ),
            ("{subject}/r_{run}/r_{run}_A.nii", "7/r_1_LR/r_1_RL_A.nii", None),
            ("*/{sub}_*.tsv", "site-A/01_x_y.tsv", Some("subject=01")),
            ("{subject}.txt", ".txt", None),
            ("{subject}.txt", "ä.txt", Some("subject=ä")),
            ("{subject}.txt", "1.txt.gz", None),
        ] {
            assert_eq!(captured(pattern, path).as_deref(), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_reason() {
        for (text, problem) in [
            ("/data/{subject}.txt", "holds the name \"\""),
            ("../{subject}.txt", "holds the name \"..\""),
            ("{subject.txt", "holds a `{` without its `}`"),
            ("subject}.txt", "holds a `}` without its `{`"),
            ("{subject}{run}.txt", "holds two placeholders side by side"),
            ("{person}.txt", "holds the placeholder {person}, expected one of subject, session"),
            ("*a*b*c*d*e*f{subject}", "holds a name with 7 placeholders, the most are 6"),
        ] {
            let said = text.parse::<FilePattern>().unwrap_err();
            assert!(said.starts_with(problem), "{said}");
        }
        let pattern: FilePattern = "a/b.txt".parse().unwrap();
        let said = check("scans", &pattern).unwrap_err().to_string();
        assert_eq!(said, "scans is a/b.txt, expected a path with {subject} in it");
    }

    #[test]
    fn a_pattern_is_filled_with_what_another_took() {
        let filled = |pattern: &str| {
            let labels = vec![(Entity::Subject, "01".to_owned())];
            pattern.parse::<FilePattern>().unwrap().filled(&labels)
        };
        assert_eq!(filled("s{subject}/{subject}.tsv").as_deref(), Some("s01/01.tsv"));
        assert_eq!(filled("{subject}/{run}.tsv"), None);
    }
}
