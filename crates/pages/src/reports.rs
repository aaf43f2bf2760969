//! The reports about a person, each beside the truth and beside what is written without the scan.

use report::{evidence::Answer, generated::GeneratedReport};

use crate::{
    differences::{self, Piece},
    escape::escape,
    figures::{Image, WindowMap},
    leaning::Leaning,
};

/// The longest part of a text that is shown; the whole text has a file of its own.
const MOST_CHARACTERS: usize = 20_000;

/// One window on the page.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportView {
    /// What was written.
    pub report: GeneratedReport,
    /// Its slots, in the order of the report's own.
    pub slots: Vec<SlotView>,
    /// The true report.
    pub truth: Option<String>,
    /// A slice of the window.
    pub map: Option<WindowMap>,
    /// What the model writes after the same prompt where it sees something else: in which case, and the text.
    pub beside: Vec<(String, String)>,
    /// What of the scan it leans on, where that was asked.
    pub leaning: Option<Leaning>,
}

/// What is known of a slot beside what a report states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotView {
    /// Whether it counts for the verdict.
    pub is_scored: bool,
    /// Its true value.
    pub truth: Option<String>,
    /// Whether what is stated is right; none where no truth is known.
    pub is_right: Option<bool>,
    /// Whether statements rest on the slot's place; none where that was not asked.
    pub is_grounded: Option<bool>,
}

/// A report as its template shows it.
pub(crate) struct Shown<'a> {
    pub(crate) class: &'static str,
    pub(crate) heading: String,
    pub(crate) given: Option<String>,
    pub(crate) stamp: Option<&'static str>,
    pub(crate) map: Option<Image>,
    pub(crate) texts: Vec<ShownText<'a>>,
    pub(crate) slots: Vec<ShownSlot<'a>>,
    pub(crate) leaning: Option<&'a Leaning>,
    pub(crate) source: String,
}

/// One of the texts that stand beside each other.
pub(crate) struct ShownText<'a> {
    pub(crate) what: &'a str,
    pub(crate) is_same: bool,
    pub(crate) pieces: Vec<Piece<'a>>,
    pub(crate) note: Option<String>,
}

/// A line of the table of slots.
pub(crate) struct ShownSlot<'a> {
    pub(crate) name: &'a str,
    pub(crate) is_scored: bool,
    pub(crate) stated: String,
    pub(crate) probability: String,
    pub(crate) truth: &'a str,
    pub(crate) right: &'static str,
    pub(crate) grounded: &'static str,
}

impl ReportView {
    pub(crate) fn shown(&self, answer: Option<Answer>) -> Shown<'_> {
        let GeneratedReport { session, window, text, data_digest, .. } = &self.report;
        let session = session.as_ref().map_or(String::new(), |it| format!("Session {it}, "));
        let own = text.trim();
        let mut texts = vec![ShownText::of("Own scan", "", own, false)];
        texts
            .extend(self.truth.iter().map(|it| ShownText::of("True report", "", it.trim(), false)));
        texts
            .extend(self.beside.iter().map(|(what, it)| ShownText::of(what, own, it.trim(), true)));
        let digest = if data_digest.is_empty() {
            String::new()
        } else {
            format!(", sha256 {}", data_digest.trim_start_matches("sha256:"))
        };
        Shown {
            class: self.class(),
            heading: format!("{session}{}", window.stretch()),
            given: self.report.given_in_words(),
            stamp: match answer {
                Some(Answer::No) => Some("NOT SCAN-DEPENDENT"),
                Some(Answer::Undecided) => Some("SCAN DEPENDENCE UNDECIDED"),
                Some(Answer::Yes) | None => None,
            },
            map: self.map.as_ref().and_then(WindowMap::image),
            texts,
            slots: self.report.slots.iter().zip(&self.slots).map(ShownSlot::of).collect(),
            leaning: self.leaning.as_ref(),
            source: format!("{}{digest}.", window.scan),
        }
    }

    fn class(&self) -> &'static str {
        let scored = || self.slots.iter().filter(|it| it.is_scored);
        match scored().next() {
            None => "",
            Some(_) if scored().all(|it| it.is_right == Some(true)) => "right",
            Some(_) => "wrong",
        }
    }
}

impl Shown<'_> {
    /// About how many bytes of the page it takes.
    pub(crate) fn n_bytes(&self) -> usize {
        let texts = self.texts.iter().flat_map(|it| &it.pieces);
        let image = self.map.as_ref().map_or(0, |it| it.source.len());
        // a slot is a row of a table
        texts.map(|it| escape(it.text).len() + 13).sum::<usize>()
            + image
            + self.given.as_ref().map_or(0, |it| escape(it).len())
            + self.leaning.map_or(0, Leaning::n_bytes)
            + 200 * self.slots.len()
            + 600
    }
}

impl<'a> ShownText<'a> {
    fn of(what: &'a str, own: &str, text: &'a str, is_compared: bool) -> Self {
        if is_compared && text == own {
            return Self { what, is_same: true, pieces: Vec::new(), note: None };
        }
        let end = text.char_indices().nth(MOST_CHARACTERS).map(|(end, _)| end);
        let note = end.map(|_| {
            let n = text.chars().count();
            format!("The first {MOST_CHARACTERS} of {n} characters.")
        });
        let shown = &text[..end.unwrap_or(text.len())];
        let pieces = if is_compared {
            differences::pieces(own, shown)
        } else {
            vec![Piece { text: shown, is_other: false }]
        };
        Self { what, is_same: false, pieces, note }
    }
}

impl<'a> ShownSlot<'a> {
    fn of((slot, known): (&'a report::generated::GeneratedSlot, &'a SlotView)) -> Self {
        let yes_or_no = |it: Option<bool>, yes, no| it.map_or("–", |it| if it { yes } else { no });
        Self {
            name: &slot.name,
            is_scored: known.is_scored,
            stated: slot.said(),
            probability: slot.confidence.map_or("–".to_owned(), |it| format!("{it:.2}")),
            truth: known.truth.as_deref().unwrap_or("not known"),
            right: yes_or_no(known.is_right, "✓ right", "✗ wrong"),
            grounded: yes_or_no(known.is_grounded, "yes", "no"),
        }
    }
}
