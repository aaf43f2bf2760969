//! What the model is told before it writes: how the scan was made, and nothing about what was seen.

use std::ops::Range;

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

const PLACEHOLDER: &str = "{technique}";

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

/// A prompt with one place for the technique sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct PromptTemplate(String);

impl PromptTemplate {
    /// The template of the shipped pipelines.
    pub const STANDARD: &str = "Technique: {technique}\n";

    /// Takes a template with exactly one `{technique}` and no other placeholder.
    pub fn new(template: &str) -> Result<Self> {
        let found = template.matches(PLACEHOLDER).count();
        if found != 1 {
            return Err(Error::TechniquePlaceholders { template: template.to_owned(), found });
        }
        let rest = template.replace(PLACEHOLDER, "");
        if let Some(start) = rest.find(['{', '}']) {
            let end = rest[start..].find('}').map_or(rest.len(), |length| start + length + 1);
            let placeholder = rest[start..end].to_owned();
            return Err(Error::UnknownPlaceholder { template: template.to_owned(), placeholder });
        }
        Ok(Self(template.to_owned()))
    }

    /// The prompt of one window.
    pub fn fill(&self, technique: &Technique) -> String {
        self.0.replace(PLACEHOLDER, &technique.sentence())
    }
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
            template.fill(&technique),
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
        assert!(new("{technique} {age}").contains("unknown placeholder {age}"));
        assert!(new("{technique} }").contains("unknown placeholder }"));
        let json = serde_json::from_str::<PromptTemplate>(r#""no place""#);
        assert!(json.unwrap_err().to_string().contains("0 placeholders"));
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
