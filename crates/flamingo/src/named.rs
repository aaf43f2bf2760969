//! Which medium an `<image>` stands for: `<image:rest>` in a prompt.
//!
//! The name is taken out before the text becomes tokens; the token stays `<image>`.

use crate::{Error, FlamingoConfig, Result};

/// Stands for one scan in the text.
pub const IMAGE: &str = "<image>";

/// What an `<image>` begins with, whether it has a name or not.
const START: &str = "<image";

/// A prompt whose `<image>` have lost their names, and those names in order.
///
/// ```
/// let (text, names) = flamingo::unnamed("<image:rest><image>Report: <image of>");
/// assert_eq!(text, "<image><image>Report: <image of>");
/// assert_eq!(names, [Some("rest"), None]);
/// ```
pub fn unnamed(prompt: &str) -> (String, Vec<Option<&str>>) {
    let (mut text, mut names, mut rest) = (String::new(), Vec::new(), prompt);
    while let Some(at) = rest.find(START) {
        let (before, image) = rest.split_at(at);
        text.push_str(before);
        let after = &image[START.len()..];
        let end = after.find('>');
        let name = end.and_then(|end| after[..end].strip_prefix(':'));
        match (end, name.filter(|name| is_name(name))) {
            (Some(0), _) => names.push(None),
            (_, Some(name)) => names.push(Some(name)),
            _ => {
                text.push_str(START);
                rest = after;
                continue;
            }
        }
        text.push_str(IMAGE);
        rest = &after[end.expect("just found") + 1..];
    }
    (text + rest, names)
}

/// Whether a medium may be called so: letters, digits, `_` and `-`.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

/// The media that a model is shown, by their names, each with the number of the encoder that reads it; of a model of
/// one medium none, whose `<image>` have no names.
#[derive(Clone, Debug, Default)]
pub struct NamedMedia(Vec<(String, usize)>);

impl NamedMedia {
    /// Those of an architecture: 0 is the model's own encoder, the others follow in their order.
    pub fn of(config: &FlamingoConfig) -> Self {
        let mut n = 0;
        let media = config.media.iter().map(|it| {
            n += usize::from(it.own.is_some());
            (it.name.clone(), if it.own.is_some() { n } else { 0 })
        });
        Self(media.collect())
    }

    /// Whether prompts have no names.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A prompt without its names, and for each `<image>` the number of its encoder; of a model of one medium the prompt
    /// as it is, and no number.
    ///
    /// # Errors
    /// Where an `<image>` has no name, or one that no medium has.
    pub fn read(&self, prompt: &str) -> Result<(String, Vec<usize>)> {
        if self.is_empty() {
            return Ok((prompt.to_owned(), Vec::new()));
        }
        let (text, names) = unnamed(prompt);
        let encoder = |name: Option<&str>| {
            let known = self.0.iter().find(|(known, _)| Some(known.as_str()) == name);
            known.map(|it| it.1).ok_or_else(|| Error::MediumName {
                found: name.map_or_else(|| IMAGE.to_owned(), |name| format!("<image:{name}>")),
                known: self.0.iter().map(|it| format!("<image:{}>", it.0)).collect(),
            })
        };
        let encoders = names.into_iter().map(encoder).collect::<Result<Vec<_>>>()?;
        Ok((text, encoders))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_out_and_other_text_stays() {
        let (text, names) = unnamed("a<image:rest>b<image><image:x y><image:>c<image:gene-1>");
        assert_eq!(text, "a<image>b<image><image:x y><image:>c<image>");
        assert_eq!(names, [Some("rest"), None, Some("gene-1")]);
        assert_eq!(unnamed("<image").0, "<image");
    }

    #[test]
    fn a_name_that_no_medium_has_is_told_with_those_that_are_known() {
        let media = NamedMedia(vec![("rest".into(), 0), ("task".into(), 0), ("omics".into(), 1)]);
        let (text, encoders) = media.read("<image:omics><image:task>Seen:").unwrap();
        assert_eq!((text.as_str(), encoders), ("<image><image>Seen:", vec![1, 0]));
        let said = media.read("<image:genes>Seen:").unwrap_err().to_string();
        let expected = "the prompt has `<image:genes>`, expected one of `<image:rest>`, `<image:task>`, \
                        `<image:omics>`";
        assert_eq!(said, expected);
        assert!(media.read("<image>Seen:").unwrap_err().to_string().contains("has `<image>`"));
    }

    #[test]
    fn a_model_of_one_medium_reads_no_names() {
        let (text, encoders) = NamedMedia::default().read("<image:a>b").unwrap();
        assert_eq!((text.as_str(), encoders.len()), ("<image:a>b", 0));
    }
}
