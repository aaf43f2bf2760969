//! Simulated evaluations: who is scanned, what is noise, and what the model sees.

use anyhow::Context;
use serde::{Deserialize, Deserializer};

const TABLE: &str = include_str!("designs.csv");

/// One row of `designs.csv`. Sizes of noise and effects are in nats; an empty cell is 0 or no.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Design {
    /// `B`: blind; `L`: sees a site that is known; `S`: sees the label alone; `H`: sees something; `G`:
    /// writes something else; `C`: for coverage.
    pub(super) id: String,
    pub(super) subjects: usize,
    /// Runs a subject.
    pub(super) runs: usize,
    /// Windows a run; 0: one to ten at random.
    pub(super) windows: usize,
    /// Values of the scored slot.
    pub(super) values: usize,
    /// Share of the first value; absent: all alike.
    pub(super) first_share: Option<f64>,
    pub(super) label_by: LabelBy,
    /// Noise of each report with each scan.
    #[serde(deserialize_with = "or_default")]
    pub(super) cell: f64,
    /// Noise of each scan, for all reports alike.
    #[serde(deserialize_with = "or_default")]
    pub(super) scan: f64,
    /// Noise of each subject, for all reports alike.
    #[serde(deserialize_with = "or_default")]
    pub(super) subject: f64,
    /// Noise of each report, with all scans alike.
    #[serde(deserialize_with = "or_default")]
    pub(super) report: f64,
    /// Noise of each text with each window; windows of one value have one text.
    #[serde(deserialize_with = "or_default")]
    pub(super) text_window: f64,
    /// Noise of each text with each subject.
    #[serde(deserialize_with = "or_default")]
    pub(super) text_subject: f64,
    /// What a scan adds to one text it takes from the others.
    #[serde(deserialize_with = "or_default")]
    pub(super) contrast: bool,
    /// Student's t with 2 degrees of freedom instead of normal noise.
    #[serde(deserialize_with = "or_default")]
    pub(super) heavy: bool,
    /// Every scan occurs under two names.
    #[serde(deserialize_with = "or_default")]
    pub(super) copied: bool,
    /// Correlation of a window's noise with that of the window before.
    #[serde(deserialize_with = "or_default")]
    pub(super) follows: f64,
    /// How much likelier a text is with any scan of its value.
    #[serde(deserialize_with = "or_default")]
    pub(super) label: f64,
    /// How much likelier a report is with its own scan.
    #[serde(deserialize_with = "or_default")]
    pub(super) own: f64,
    /// How much likelier a report is with any scan of its subject.
    #[serde(deserialize_with = "or_default")]
    pub(super) fingerprint: f64,
    /// How much likelier a text is with a scan of the site at which its value is frequent.
    #[serde(deserialize_with = "or_default")]
    pub(super) site: f64,
    /// Whether the evaluation knows the sites.
    #[serde(deserialize_with = "or_default")]
    pub(super) site_known: bool,
    pub(super) writes: Writes,
}

/// Within what the value is constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LabelBy {
    Subject,
    /// But for one window of each run.
    SubjectButOne,
    Run,
    /// Four windows in a row.
    Block,
    Window,
}

/// What the model writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Writes {
    /// The value whose text is likeliest.
    Likeliest,
    /// No value.
    Nothing,
    /// A value that no scan has.
    Wrong,
    /// The value of the scan, whatever the likelihoods.
    Right,
}

/// Every design, in the order of the table.
pub(super) fn all() -> anyhow::Result<Vec<Design>> {
    csv::Reader::from_reader(TABLE.as_bytes())
        .deserialize()
        .map(|row| row.context("designs.csv"))
        .collect()
}

impl Design {
    /// Whether the model sees nothing at all: those of `B` but for a fingerprint or a site.
    pub(super) fn is_blind(&self) -> bool {
        self.id.starts_with('B') && self.fingerprint == 0.0 && self.site == 0.0
    }

    /// Who is scanned and what differs, in words.
    pub(super) fn words(&self) -> String {
        let windows = match self.windows {
            0 => "1-10".to_owned(),
            n => n.to_string(),
        };
        let runs = if self.runs == 1 { String::new() } else { format!(" x {} runs", self.runs) };
        let by = match self.label_by {
            LabelBy::Subject => "subject",
            LabelBy::SubjectButOne => "subject, but for one window",
            LabelBy::Run => "run",
            LabelBy::Block => "four windows",
            LabelBy::Window => "window",
        };
        let sizes = [
            ("cell", self.cell),
            ("scan", self.scan),
            ("subject", self.subject),
            ("report", self.report),
            ("text x window", self.text_window),
            ("text x subject", self.text_subject),
            ("AR", self.follows),
            ("sees label", self.label),
            ("sees own scan", self.own),
            ("sees subject", self.fingerprint),
            ("sees site", self.site),
        ];
        let marks = [
            ("contrast", self.contrast),
            ("heavy tails", self.heavy),
            ("every scan twice", self.copied),
            ("site known", self.site_known),
            ("writes nothing", self.writes == Writes::Nothing),
            ("writes wrong values", self.writes == Writes::Wrong),
            ("writes right values", self.writes == Writes::Right),
        ];
        let mut words = vec![
            format!("{} subj{runs} x {windows}", self.subjects),
            format!("{} values by {by}", self.values),
        ];
        words.extend(self.first_share.map(|share| format!("first {:.0} %", 100.0 * share)));
        let sizes = sizes.iter().filter(|(_, size)| *size != 0.0);
        words.extend(sizes.map(|(name, size)| format!("{name} {size}")));
        words.extend(marks.iter().filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned()));
        words.join(", ")
    }
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    cell: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(cell)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_44_blind_designs() {
        let designs = all().unwrap();
        assert_eq!(designs.iter().filter(|it| it.is_blind()).count(), 44);
        let odd = designs.iter().find(|it| it.id == "B36").unwrap();
        assert_eq!(
            odd.words(),
            "1 subj x 2 runs x 16, 2 values by four windows, text x window 1, AR 0.9, contrast"
        );
    }
}
