//! A written report with everything needed to judge it: where it comes from, what it states, how sure
//! that is, and what it must not be used for.

use std::fmt::Write;

use indexmap::IndexMap;
use scan::{FrameRange, seconds};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Error, Result, prompt::Labels, slots::SlotReading};

/// Stands on every text, file and page.
pub const DISCLAIMER: &str =
    "Research output of neuroflamingo, not for diagnosis; not a medical device.";

/// [`DISCLAIMER`] as a field that cannot be left out, emptied or reworded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disclaimer;

impl Serialize for Disclaimer {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(DISCLAIMER)
    }
}

impl<'de> Deserialize<'de> for Disclaimer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let found = String::deserialize(deserializer)?;
        if found == DISCLAIMER {
            return Ok(Self);
        }
        Err(de::Error::invalid_value(de::Unexpected::Str(&found), &DISCLAIMER))
    }
}

/// One generated report; its JSON is the record, its text a rendering of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratedReport {
    /// What it must not be used for.
    pub disclaimer: Disclaimer,
    /// The subject's label, without `sub-`.
    pub subject: String,
    /// The session's label, without `ses-`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The stretch of the scan that was looked at.
    pub window: Window,
    /// What the model was told.
    pub prompt: String,
    /// What it was told of the person; given, not found.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub given: Labels,
    /// What it wrote.
    pub text: String,
    /// What that says, and how sure the model is of it.
    pub slots: Vec<GeneratedSlot>,
    /// Which model wrote it.
    pub model_id: String,
    /// Digest of the scan.
    pub data_digest: String,
    /// Seed of the generation.
    pub seed: u64,
}

/// A stretch of a scan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The scan's file name, without folders: paths name people and machines.
    pub scan: String,
    /// Start, in seconds from the first volume.
    pub onset_s: f64,
    /// Length, in seconds.
    pub duration_s: f64,
    /// The frames of the file that the model was shown; empty where another program made its tokens, and
    /// did not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frames: Vec<FrameRange>,
}

impl Window {
    /// Keeps only the file name of `scan`.
    pub fn new(scan: &str, onset_s: f64, duration_s: f64) -> Self {
        let name = scan.rsplit(['/', '\\']).next().unwrap_or(scan);
        Self { scan: name.to_owned(), onset_s, duration_s, frames: Vec::new() }
    }

    /// The same, with the frames that were shown.
    #[must_use]
    pub fn of_frames(self, frames: Vec<FrameRange>) -> Self {
        Self { frames, ..self }
    }

    /// `15 s to 37.5 s (frames 8 to 16)`: where it lies, for people.
    pub fn stretch(&self) -> String {
        let (start, end) = (seconds(self.onset_s), seconds(self.onset_s + self.duration_s));
        let ranges: Vec<String> = self.frames.iter().map(FrameRange::to_string).collect();
        let frames = match ranges.split_last() {
            None => String::new(),
            Some((last, [])) => format!(" (frames {last})"),
            Some((last, before)) => format!(" (frames {} and {last})", before.join(", ")),
        };
        format!("{start} s to {end} s{frames}")
    }
}

/// One slot of a generated report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratedSlot {
    /// The slot's name.
    pub name: String,
    /// The value, if exactly one is stated.
    pub stated: Option<String>,
    /// The values that contradict each other, if several are stated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicting: Vec<String>,
    /// A value that is stated as possible only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedged: Option<String>,
    /// A stated number that cannot be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_range: Option<String>,
    /// Probability of each allowed value in place of the stated one; they sum to 1. Empty for numbers and
    /// sets.
    pub probabilities: IndexMap<String, f64>,
    /// Probability of the stated value.
    pub confidence: Option<f64>,
    /// The stated value is not determined below this probability; absent: the slot asks for no share of errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_determined_below: Option<f64>,
}

impl GeneratedSlot {
    /// Joins what was read with what the model thinks of the alternatives.
    pub fn new(
        name: &str,
        reading: &SlotReading,
        probabilities: IndexMap<String, f64>,
        not_determined_below: Option<f64>,
    ) -> Self {
        let stated = reading.value().map(str::to_owned);
        let confidence = stated.as_ref().and_then(|value| probabilities.get(value).copied());
        let conflicting = match reading {
            SlotReading::Conflicting { values } => values.clone(),
            _ => Vec::new(),
        };
        let (hedged, out_of_range) = match reading.clone() {
            SlotReading::Hedged { value } => (Some(value), None),
            SlotReading::OutOfRange { value } => (None, Some(value)),
            _ => (None, None),
        };
        let name = name.to_owned();
        Self {
            name,
            stated,
            conflicting,
            hedged,
            out_of_range,
            probabilities,
            confidence,
            not_determined_below,
        }
    }

    /// Whether the stated value is sure enough, where the slot asks for it.
    pub fn is_determined(&self) -> bool {
        let least = self.not_determined_below.unwrap_or(0.0);
        self.confidence.is_none_or(|it| it >= least)
    }

    /// What is stated, in words, without its probability.
    pub fn said(&self) -> String {
        match &self.stated {
            Some(value) if !self.is_determined() => format!("not determined: {value}"),
            Some(value) => value.clone(),
            None if self.conflicting.is_empty() => match (&self.hedged, &self.out_of_range) {
                (Some(value), _) => format!("possible only: {value}"),
                (None, Some(value)) => format!("out of range: {value}"),
                (None, None) => "not stated".to_owned(),
            },
            None => format!("contradictory: {}", self.conflicting.join(", ")),
        }
    }

    fn sentence(&self) -> String {
        match (&self.stated, self.confidence) {
            (Some(value), Some(confidence)) if !self.is_determined() => {
                format!("not determined (probability of {value}: {confidence:.2})")
            }
            (Some(value), Some(confidence)) => format!("{value} (probability {confidence:.2})"),
            _ => self.said(),
        }
    }
}

impl GeneratedReport {
    /// The record, indented, with a final newline.
    pub fn to_json(&self) -> String {
        let mut json =
            serde_json::to_string_pretty(self).expect("strings and numbers are always JSON");
        json.push('\n');
        json
    }

    /// `Given to the model: age 34, sex F`, where it was told something of the person.
    pub fn given_in_words(&self) -> Option<String> {
        let given = self.given.iter().map(|(column, label)| format!("{column} {label}"));
        let given: Vec<String> = given.collect();
        (!given.is_empty()).then(|| format!("Given to the model: {}", given.join(", ")))
    }

    /// The report for a reader, with its provenance and the disclaimer below.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n\n", self.text.trim_end());
        let session = self.session.as_ref().map(|ses| format!(", session {ses}"));
        let (scan, stretch) = (&self.window.scan, self.window.stretch());
        let mut line = |line: std::fmt::Arguments<'_>| {
            writeln!(text, "{line}").expect("a String takes every line");
        };
        line(format_args!("Subject: {}{}", self.subject, session.unwrap_or_default()));
        line(format_args!("Window: {scan}, {stretch}"));
        if let Some(given) = self.given_in_words() {
            line(format_args!("{given}"));
        }
        for slot in &self.slots {
            line(format_args!("Slot {}: {}", slot.name, slot.sentence()));
        }
        line(format_args!("Model: {}, seed {}", self.model_id, self.seed));
        line(format_args!("Scan digest: {}", self.data_digest));
        line(format_args!("\n{DISCLAIMER}"));
        text
    }
}

/// A BIDS-like file name: entities, then what the file is.
///
/// ```
/// use report::generated::bids_name;
/// let name = bids_name(&[("sub", "1"), ("run", "03")], "desc-generated_report.json").unwrap();
/// assert_eq!(name, "sub-1_run-03_desc-generated_report.json");
/// ```
///
/// # Errors
/// Where the first entity is no subject, or an entity or its label is not as BIDS has them.
pub fn bids_name(entities: &[(&str, &str)], what: &str) -> Result<String> {
    let first = entities.first().map_or("nothing", |(entity, _)| entity);
    if first != "sub" {
        return Err(Error::NoSubject { found: first.to_owned() });
    }
    let mut name = String::new();
    for (entity, label) in entities {
        let good_entity = !entity.is_empty() && entity.chars().all(|c| c.is_ascii_lowercase());
        let good_label =
            !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '+');
        if !good_entity || !good_label {
            let (entity, label) = ((*entity).to_owned(), (*label).to_owned());
            return Err(Error::BadEntity { entity, label });
        }
        write!(name, "{entity}-{label}_").expect("a String takes every line");
    }
    Ok(name + what)
}

/// A made-up report, for tests.
#[cfg(test)]
pub(crate) mod example {
    use super::*;
    use crate::slots::example::{FACES, haxby};

    pub(crate) fn faces() -> GeneratedReport {
        let probabilities: IndexMap<String, f64> =
            [("cat", 0.25), ("face", 0.625), ("house", 0.0), ("scrambledpix", 0.125)]
                .map(|(value, p)| (value.to_owned(), p))
                .into();
        let reading = &haxby().parse(FACES).slots[0];
        GeneratedReport {
            disclaimer: Disclaimer,
            subject: "1".to_owned(),
            session: Some("11".to_owned()),
            window: Window::new("/data/people/run011/bold_1slice.nii.gz", 15.0, 22.5),
            prompt: "Technique: BOLD fMRI.\n".to_owned(),
            given: Labels::new(),
            text: FACES.to_owned(),
            slots: vec![GeneratedSlot::new("viewed", reading, probabilities, None)],
            model_id: "tiny".to_owned(),
            data_digest: "sha256:0123".to_owned(),
            seed: 7,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_holds_report_provenance_and_disclaimer() {
        let expected = "Findings: The ventral temporal pattern fits viewing of faces. \
            The stimulus domain is living things.\nImpression: Visual response to faces.\n\n\
            Subject: 1, session 11\nWindow: bold_1slice.nii.gz, 15 s to 37.5 s\n\
            Slot viewed: face (probability 0.62)\nModel: tiny, seed 7\nScan digest: sha256:0123\n\n\
            Research output of neuroflamingo, not for diagnosis; not a medical device.\n";
        assert_eq!(example::faces().to_text(), expected);
    }

    #[test]
    fn seconds_are_written_as_people_write_them() {
        let mut report = example::faces();
        (report.window.onset_s, report.window.duration_s) = (252.742, 12.0);
        assert!((252.742_f64 + 12.0).to_string().len() > 8, "a sum that is no short number");
        assert!(report.to_text().contains("Window: bold_1slice.nii.gz, 252.742 s to 264.742 s"));
    }

    #[test]
    fn frames_that_were_shown_are_named() {
        let range = |first, last| FrameRange { first, last };
        let window = |frames| Window::new("a/bold.nii.gz", 15.0, 264.742).of_frames(frames);
        assert_eq!(window(vec![]).stretch(), "15 s to 279.742 s");
        assert_eq!(window(vec![range(8, 16)]).stretch(), "15 s to 279.742 s (frames 8 to 16)");
        let gaps = window(vec![range(0, 3), range(8, 9), range(12, 12)]);
        assert!(gaps.stretch().ends_with(" (frames 0 to 3, 8 to 9 and 12 to 12)"));
        let json = serde_json::to_string(&gaps).unwrap();
        assert_eq!(serde_json::from_str::<Window>(&json).unwrap(), gaps);
        let plain = r#"{"scan": "bold.nii.gz", "onset_s": 15.0, "duration_s": 22.5}"#;
        assert!(serde_json::from_str::<Window>(plain).unwrap().frames.is_empty());
        assert!(!serde_json::to_string(&window(vec![])).unwrap().contains("frames"));
    }

    #[test]
    fn json_is_the_record_and_keeps_the_disclaimer() {
        let report = example::faces();
        let json = report.to_json();
        assert_eq!(serde_json::from_str::<GeneratedReport>(&json).unwrap(), report);
        assert!(json.contains(DISCLAIMER) && !json.contains("/data"));
        let reworded = json.replace("not for diagnosis", "for diagnosis");
        assert!(serde_json::from_str::<GeneratedReport>(&reworded).is_err());
    }

    #[test]
    fn silence_and_contradiction_have_no_confidence() {
        let none = GeneratedSlot::new("viewed", &SlotReading::Absent, IndexMap::new(), None);
        assert_eq!((none.confidence, none.sentence().as_str()), (None, "not stated"));
        let values = vec!["cat".to_owned(), "face".to_owned()];
        let both = GeneratedSlot::new(
            "viewed",
            &SlotReading::Conflicting { values },
            IndexMap::new(),
            None,
        );
        assert_eq!(both.sentence(), "contradictory: cat, face");
    }

    #[test]
    fn what_is_not_sure_enough_is_not_determined() {
        let mut slot = example::faces().slots.remove(0);
        assert!(slot.is_determined());
        slot.not_determined_below = Some(0.625);
        assert_eq!(slot.sentence(), "face (probability 0.62)");
        slot.not_determined_below = Some(0.7);
        assert_eq!(slot.sentence(), "not determined (probability of face: 0.62)");
        assert!(!slot.is_determined());
    }

    #[test]
    fn file_names_take_letters_and_digits_only() {
        let name = |entities: &[(&str, &str)]| bids_name(entities, "report.txt");
        assert_eq!(name(&[("sub", "A1")]).unwrap(), "sub-A1_report.txt");
        for entities in [
            &[("sub", "1_2")] as &[(&str, &str)],
            &[("sub", "")],
            &[("sub", "../x")],
            &[("sub", "é")],
            &[("sub", "1"), ("Ses", "1")],
            &[("ses", "1")],
            &[],
        ] {
            assert!(name(entities).is_err(), "{entities:?}");
        }
        let error = name(&[("sub", "01-a")]).unwrap_err().to_string();
        assert!(error.starts_with("sub-01-a is not a BIDS entity"));
    }
}
