//! What one stage hands to the next, by name.
use std::fmt;

use preprocess::Kind;

/// What one stage hands to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Artifact {
    /// Recordings somewhere between their files and what a model may be shown of them.
    Media(Kind),
    /// A trained model.
    Model,
    /// Generated reports.
    Reports,
    /// Scores with their controls.
    Evidence,
    /// Pages for people.
    Pages,
    /// Pictures as files.
    Pictures,
    /// A text for every picture.
    Captions,
    /// Pictures with questions and solved examples.
    Benchmark,
    /// What answers to those are worth.
    Scores,
    /// Answers to questions about every scan.
    Answers,
    /// Text alone.
    Texts,
    /// A language model folder.
    LanguageModel,
    /// Reference reports that were composed.
    Composed,
}

impl fmt::Display for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Media(kind) => return kind.fmt(f),
            Self::Model => "a trained model",
            Self::Reports => "generated reports",
            Self::Evidence => "scores",
            Self::Pages => "pages",
            Self::Pictures => "pictures",
            Self::Captions => "captions",
            Self::Benchmark => "a data set of questions",
            Self::Scores => "scores of answers",
            Self::Answers => "answers",
            Self::Texts => "texts",
            Self::LanguageModel => "a language model",
            Self::Composed => "composed reports",
        })
    }
}
