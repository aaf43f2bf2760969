//! Which map of a file that holds several.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::brief;

/// A map by its name in the file, or by its number from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum MapName {
    /// From 1, in the order of the file.
    Number(usize),
    /// As the file names it.
    Name(String),
}

/// The position of the map that is meant: the only one, or the one that is named.
///
/// # Errors
/// A sentence that lists the maps.
pub(crate) fn chosen(names: &[String], map: Option<&MapName>) -> Result<usize, String> {
    let found = match map {
        None if names.len() == 1 => Some(0),
        None => None,
        Some(MapName::Number(number)) => number.checked_sub(1).filter(|at| *at < names.len()),
        Some(MapName::Name(name)) => names.iter().position(|it| it == name),
    };
    found.ok_or_else(|| {
        let n = names.len();
        let listed: Vec<String> = names
            .iter()
            .filter(|it| !it.is_empty())
            .take(8)
            .map(|it| format!("{:?}", brief(it)))
            .collect();
        let listed =
            if listed.is_empty() { String::new() } else { format!(" ({})", listed.join(", ")) };
        let asked = match map {
            None => String::new(),
            Some(MapName::Number(number)) => format!(", found map {number}"),
            Some(MapName::Name(name)) => format!(", found map {:?}", brief(name)),
        };
        format!(
            "holds {n} maps of labels{listed}, expected `map` with the name or number of one{asked}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_map_needs_no_name_and_of_several_one_is_named() {
        let two = ["coarse".to_owned(), "fine".to_owned()];
        assert_eq!(chosen(&two[..1], None), Ok(0));
        assert_eq!(chosen(&two, Some(&MapName::Number(2))), Ok(1));
        assert_eq!(chosen(&two, Some(&MapName::Name("fine".to_owned()))), Ok(1));
        let told = chosen(&two, None).unwrap_err();
        assert!(told.starts_with("holds 2 maps of labels (\"coarse\", \"fine\"), expected `map`"));
        for wrong in [MapName::Number(0), MapName::Number(3), MapName::Name("other".to_owned())] {
            assert!(chosen(&two, Some(&wrong)).unwrap_err().contains(", found map "));
        }
        assert!(
            chosen(&[String::new(), String::new()], None)
                .unwrap_err()
                .starts_with("holds 2 maps of labels, ")
        );
    }
}
