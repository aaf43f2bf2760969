//! What the model is told before it writes: how the scan was made, what is known of the person where a pipeline asks
//! for it, and nothing about what was seen.

use std::{collections::BTreeMap, ops::Range};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    slots::{SlotSet, SlotSpan},
};

/// Stands where the scan is looked at.
pub const IMAGE: &str = "<image>";
/// Ends what belongs to one scan.
pub const END_OF_CHUNK: &str = "<|endofchunk|>";

/// The placeholder of the sentence about the technique.
pub(crate) const TECHNIQUE: &str = "technique";

/// Columns of a table of pairs that say where a report comes from, or what it says.
const NOT_OF_A_PERSON: [&str; 7] =
    ["subject", "session", "scan", "onset", "duration", "report", "split"];

/// Stands for what is not known of a person.
pub const NOT_GIVEN: &str = "not given";

/// What is known of a person, by the column that says it; stated in prompts as it is, never scored.
pub type Labels = BTreeMap<String, String>;

/// What a cell says of a person; nothing where it is empty or `n/a`. A token that has its own place is a problem.
pub fn label(column: &str, cell: &str) -> std::result::Result<Option<String>, String> {
    let cell = cell.trim();
    match [IMAGE, END_OF_CHUNK].into_iter().find(|token| cell.contains(token)) {
        Some(token) => Err(format!("{column} holds the token `{token}`, which has its own place")),
        None => Ok((!matches!(cell, "" | "n/a")).then(|| cell.to_owned())),
    }
}

/// Quality figures of one window, computed from the scan alone; said, never scored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Technique {
    /// Repetition time, in seconds.
    pub t_r_s: f64,
    /// Volumes in the window.
    pub n_volumes: usize,
    /// Voxels the encoder sees.
    pub n_voxels: usize,
    /// Median over voxels of mean / standard deviation in time; none of standardised series.
    pub median_tsnr: Option<f64>,
}

impl Technique {
    /// The sentence a prompt holds.
    ///
    /// ```
    /// use report::prompt::Technique;
    /// let technique = Technique { t_r_s: 2.5, n_volumes: 9, n_voxels: 481, median_tsnr: Some(61.2) };
    /// assert_eq!(technique.sentence(), "BOLD fMRI, TR 2.5 s, 9 volumes, 481 voxels, median tSNR 61.");
    /// ```
    pub fn sentence(&self) -> String {
        let tsnr = self.median_tsnr.map_or_else(String::new, |it| format!(", median tSNR {it:.0}"));
        let Self { n_volumes, n_voxels, .. } = self;
        let t_r_s = scan::seconds(self.t_r_s);
        format!("BOLD fMRI, TR {t_r_s} s, {n_volumes} volumes, {n_voxels} voxels{tsnr}.")
    }
}

/// A prompt with one place for the technique sentence, and places for what is known of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct PromptTemplate(String);

impl PromptTemplate {
    /// The template of the shipped pipelines.
    pub const STANDARD: &str = "Technique: {technique}\n";

    /// Takes a template with exactly one `{technique}`; other placeholders are names of columns that say something
    /// of a person, such as `{age}`.
    pub fn new(template: &str) -> Result<Self> {
        let pieces = pieces(template).map_err(|placeholder| Error::UnknownPlaceholder {
            template: template.to_owned(),
            placeholder,
        })?;
        let found = pieces.iter().filter(|it| **it == Piece::Placeholder(TECHNIQUE)).count();
        if found != 1 {
            return Err(Error::TechniquePlaceholders { template: template.to_owned(), found });
        }
        Ok(Self(template.to_owned()))
    }

    /// The columns that it states of a person, each once.
    ///
    /// ```
    /// use report::prompt::PromptTemplate;
    /// let template = PromptTemplate::new("{technique} Age {age}, sex {sex}.\n").unwrap();
    /// assert_eq!(template.columns(), ["age", "sex"]);
    /// ```
    pub fn columns(&self) -> Vec<&str> {
        columns(&self.0)
    }

    /// The prompt of one window; what `labels` do not say of the person is `not given`.
    pub fn fill(&self, technique: &Technique, labels: &Labels) -> String {
        filled(&self.0, &technique.sentence(), labels)
    }

    /// The same without the sentence of the technique.
    pub fn of_person(&self, labels: &Labels) -> String {
        filled(&self.0, "", labels)
    }
}

/// A part of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A text as it is.
    Text(&'a str),
    /// The name between braces.
    Placeholder(&'a str),
}

/// The columns that a template states of a person, each once.
pub(crate) fn columns(template: &str) -> Vec<&str> {
    let mut columns = Vec::new();
    for piece in checked(template) {
        if let Piece::Placeholder(name) = piece
            && name != TECHNIQUE
            && !columns.contains(&name)
        {
            columns.push(name);
        }
    }
    columns
}

/// A template with its placeholders filled; what `labels` do not say of the person is `not given`.
pub(crate) fn filled(template: &str, technique: &str, labels: &Labels) -> String {
    let filled = checked(template).into_iter().map(|piece| match piece {
        Piece::Text(text) => text.to_owned(),
        Piece::Placeholder(TECHNIQUE) => technique.to_owned(),
        Piece::Placeholder(name) => {
            labels.get(name).map_or_else(|| NOT_GIVEN.to_owned(), String::clone)
        }
    });
    filled.collect()
}

fn checked(template: &str) -> Vec<Piece<'_>> {
    pieces(template).expect("checked when it was made")
}

/// The text between placeholders, and their names; or what is no placeholder.
pub(crate) fn pieces(template: &str) -> std::result::Result<Vec<Piece<'_>>, String> {
    let (mut rest, mut pieces) = (template, Vec::new());
    while let Some(start) = rest.find(['{', '}']) {
        let (text, brace) = rest.split_at(start);
        let end = brace.find('}').map_or(brace.len(), |length| length + 1);
        let (placeholder, after) = brace.split_at(end);
        let name = placeholder.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
        let is_name = |name: &&str| {
            !name.is_empty() && !name.contains(['{', '\n']) && !NOT_OF_A_PERSON.contains(name)
        };
        let Some(name) = name.filter(is_name) else { return Err(placeholder.to_owned()) };
        pieces.extend([Piece::Text(text), Piece::Placeholder(name)]);
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

impl TryFrom<String> for PromptTemplate {
    type Error = Error;

    fn try_from(template: String) -> Result<Self> {
        Self::new(&template)
    }
}

impl From<PromptTemplate> for String {
    fn from(template: PromptTemplate) -> Self {
        template.0
    }
}

/// One training text: `<image>`, prompt, report, `<|endofchunk|>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExampleText {
    /// The whole text.
    pub text: String,
    /// Bytes that are learned: the report and the end token.
    pub report: Range<usize>,
    /// Bytes of the slots' surface forms, which may weigh more.
    pub slots: Vec<SlotSpan>,
}

impl ExampleText {
    /// Joins a prompt and its report.
    pub fn new(prompt: &str, report: &str, slots: &SlotSet) -> Self {
        let mut text = Self::query(prompt);
        let start = text.len();
        let spans = slots.spans(report).into_iter().map(|span| span.shifted(start)).collect();
        text.push_str(report);
        text.push_str(END_OF_CHUNK);
        Self { report: start..text.len(), slots: spans, text }
    }

    /// What stands before a report that is still to be written.
    pub fn query(prompt: &str) -> String {
        format!("{IMAGE}{prompt}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::example;

    #[test]
    fn the_standard_template_gives_the_documented_prompt() {
        let template = PromptTemplate::new(PromptTemplate::STANDARD).unwrap();
        let technique =
            Technique { t_r_s: 2.0, n_volumes: 9, n_voxels: 481, median_tsnr: Some(60.6) };
        assert_eq!(
            template.fill(&technique, &Labels::new()),
            "Technique: BOLD fMRI, TR 2 s, 9 volumes, 481 voxels, median tSNR 61.\n"
        );
    }

    #[test]
    fn a_repetition_time_of_a_header_has_no_rounding_noise() {
        let t_r_s = f64::from(0.72_f32);
        let technique = Technique { t_r_s, n_volumes: 9, n_voxels: 481, median_tsnr: Some(60.6) };
        assert!(technique.sentence().starts_with("BOLD fMRI, TR 0.72 s, "));
    }

    #[test]
    fn a_template_needs_one_placeholder_that_is_known() {
        let new = |text: &str| PromptTemplate::new(text).unwrap_err().to_string();
        assert_eq!(
            new("Technique:\n"),
            r#"prompt template "Technique:\n" has 0 placeholders {technique}, expected 1"#
        );
        assert!(new("{technique}{technique}").contains("has 2 placeholders"));
        assert!(new("{technique} {report}").contains("unknown placeholder {report}"));
        assert!(new("{technique} {}").contains("unknown placeholder {}"));
        assert!(new("{technique} {age").contains("unknown placeholder {age"));
        assert!(new("{technique} }").contains("unknown placeholder }"));
        let json = serde_json::from_str::<PromptTemplate>(r#""no place""#);
        assert!(json.unwrap_err().to_string().contains("0 placeholders"));
    }

    #[test]
    fn what_is_known_of_a_person_stands_as_it_is() {
        let template =
            PromptTemplate::new("{technique} Age {age}, indication: {indication}.\n").unwrap();
        let technique =
            Technique { t_r_s: 2.0, n_volumes: 9, n_voxels: 481, median_tsnr: Some(60.6) };
        // a cell that looks like a placeholder is a cell
        let labels = Labels::from([("age".to_owned(), "{indication}".to_owned())]);
        assert!(
            template
                .fill(&technique, &labels)
                .ends_with(" Age {indication}, indication: not given.\n")
        );
    }

    #[test]
    fn spans_of_an_example_point_into_the_whole_text() {
        let slots = example::haxby();
        let example = ExampleText::new("Technique: fMRI.\n", example::FACES, &slots);
        assert!(example.text.starts_with("<image>Technique: fMRI.\nFindings: "));
        let learned = format!("{}{END_OF_CHUNK}", example::FACES);
        assert_eq!(example.text[example.report.clone()], learned);
        let words: Vec<&str> =
            example.slots.iter().map(|span| &example.text[span.range.clone()]).collect();
        assert_eq!(words, ["faces", "living things", "faces"]);
    }
}
