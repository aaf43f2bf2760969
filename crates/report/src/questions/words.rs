//! The words of a question.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    prompt::{Labels, Piece, TECHNIQUE, Technique, columns, filled, pieces},
};

/// What stands between a scan and its answer. It may hold `{technique}` once, and columns of the cohort that say
/// something of the person, such as `{age}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct QuestionWords(String);

impl QuestionWords {
    /// Takes words with at most one `{technique}`.
    ///
    /// # Errors
    /// Where they say nothing, or hold a placeholder that nothing fills.
    pub fn new(words: &str) -> Result<Self> {
        let pieces = pieces(words).map_err(|placeholder| Error::UnknownPlaceholder {
            template: words.to_owned(),
            placeholder,
        })?;
        let found = pieces.iter().filter(|it| **it == Piece::Placeholder(TECHNIQUE)).count();
        if words.trim().is_empty() || found > 1 {
            return Err(Error::QuestionWords { words: words.to_owned(), found });
        }
        Ok(Self(words.to_owned()))
    }

    /// The columns that they state of a person, each once.
    pub fn columns(&self) -> Vec<&str> {
        columns(&self.0)
    }

    /// The words for one window, and the blank at their end, which belongs to the answer after them: every training
    /// text has it there. One space where the words end without any.
    ///
    /// ```
    /// use report::{prompt::Technique, questions::QuestionWords};
    /// let words = QuestionWords::new("Sex of the person, aged {age}:").unwrap();
    /// let technique = Technique { t_r_s: 2.0, n_volumes: 9, n_voxels: 481, median_tsnr: None };
    /// let labels = [("age".to_owned(), "71".to_owned())].into();
    /// assert_eq!(words.fill(&technique, &labels), ("Sex of the person, aged 71:".into(), " ".into()));
    /// ```
    pub fn fill(&self, technique: &Technique, labels: &Labels) -> (String, String) {
        let mut text = filled(&self.0, &technique.sentence(), labels);
        let blank = text.split_off(text.trim_end().len());
        (text, if blank.is_empty() { " ".to_owned() } else { blank })
    }
}

impl TryFrom<String> for QuestionWords {
    type Error = Error;

    fn try_from(words: String) -> Result<Self> {
        Self::new(&words)
    }
}

impl From<QuestionWords> for String {
    fn from(words: QuestionWords) -> Self {
        words.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_hold_columns_and_perhaps_the_technique() {
        let words = QuestionWords::new("{technique}\nAge {age}, {age}, {site}?\n").unwrap();
        assert_eq!(words.columns(), ["age", "site"]);
        let technique = Technique { t_r_s: 2.0, n_volumes: 9, n_voxels: 481, median_tsnr: None };
        let (text, blank) = words.fill(&technique, &Labels::new());
        assert!(text.starts_with("BOLD fMRI, TR 2 s") && text.ends_with("not given?"), "{text}");
        assert_eq!(blank, "\n");
    }

    #[test]
    fn words_that_ask_nothing_are_refused() {
        let refused = |words: &str| QuestionWords::new(words).unwrap_err().to_string();
        assert!(refused(" \n").contains("says nothing"), "{}", refused(" \n"));
        assert!(refused("{technique} {technique}").contains("2 placeholders {technique}"));
        assert!(refused("{report}").contains("unknown placeholder {report}"));
        assert!(refused("{age").contains("unknown placeholder {age"));
    }
}
