//! Numbers with their units: how they are written, and found in running text.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Units that measure the same, by how many of the first one is.
const FAMILIES: [&[(&str, f64)]; 5] = [
    &[
        ("mm", 1.0),
        ("millimetres", 1.0),
        ("millimetre", 1.0),
        ("millimeters", 1.0),
        ("millimeter", 1.0),
        ("cm", 10.0),
        ("µm", 0.001),
        ("μm", 0.001),
        ("um", 0.001),
    ],
    &[
        ("s", 1.0),
        ("sec", 1.0),
        ("seconds", 1.0),
        ("second", 1.0),
        ("ms", 0.001),
        ("milliseconds", 0.001),
        ("min", 60.0),
        ("minutes", 60.0),
        ("minute", 60.0),
    ],
    &[
        ("years", 1.0),
        ("year", 1.0),
        ("yrs", 1.0),
        ("yr", 1.0),
        ("y", 1.0),
        ("months", 1.0 / 12.0),
        ("month", 1.0 / 12.0),
    ],
    &[("%", 1.0), ("percent", 1.0), ("per cent", 1.0)],
    &[("Hz", 1.0), ("mHz", 0.001)],
];

/// Words after a number without a unit that do not say what is counted.
const AFTER: [&str; 16] = [
    "and", "at", "but", "for", "from", "in", "is", "of", "on", "or", "over", "than", "to", "was",
    "which", "with",
];

/// How a number is written and scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NumberForm {
    /// The unit behind it, such as mm, s, years, % or frames; numbers in other units of the same quantity
    /// are converted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The least and the largest that is possible; what is stated beyond is never right.
    pub range: [f64; 2],
    /// Decimals with which it is written.
    #[serde(default)]
    pub decimals: usize,
    /// Edges between the bins within which a stated number counts as right, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bins: Vec<f64>,
    /// How far a stated number may be off to count as near; one unit of the last decimal where it is not
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<f64>,
    /// From here on numbers are written as this and a `+`: ages of 90 and more as `90+`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<f64>,
}

/// A number of a text, or both ends of a range, in the unit of its form.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) range: Range<usize>,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) has_unit: bool,
}

impl NumberForm {
    pub(super) fn check(&self, slot: &str) -> Result<()> {
        let refuse =
            |expected: &'static str| Err(Error::NumberForm { slot: slot.to_owned(), expected });
        let [low, high] = self.range;
        if !(low.is_finite() && high.is_finite() && low < high) {
            return refuse("a range of two numbers, the smaller first");
        }
        let edges = [&[low], &self.bins[..], &[high]].concat();
        if !edges.iter().all(|edge| edge.is_finite()) || edges.windows(2).any(|it| it[0] >= it[1]) {
            return refuse("bins that ascend within the range");
        }
        if self.decimals > 6 {
            return refuse("at most 6 decimals");
        }
        if self.within.is_some_and(|it| !(it.is_finite() && it >= 0.0)) {
            return refuse("within to be a number, not negative");
        }
        if self.top.is_some_and(|top| !(low < top && top < high)) {
            return refuse("top to lie within the range");
        }
        if self.unit.as_ref().is_some_and(|unit| {
            unit.is_empty() || unit.chars().any(|c| c.is_whitespace() || c.is_numeric())
        }) {
            return refuse("a unit of one word without digits");
        }
        Ok(())
    }

    /// As a canonical sentence has it: rounded, with the unit.
    ///
    /// ```
    /// # use report::slots::NumberForm;
    /// let age: NumberForm =
    ///     serde_json::from_str(r#"{"unit": "years", "range": [0, 120], "top": 90}"#).unwrap();
    /// assert_eq!(age.written(34.4), "34 years");
    /// assert_eq!(age.written(91.0), "90+ years");
    /// ```
    pub fn written(&self, value: f64) -> String {
        let number = self.number(value);
        match self.unit.as_deref() {
            None => number,
            Some("%") => format!("{number} %"),
            Some(unit) => format!("{number} {unit}"),
        }
    }

    /// The number alone: rounded, and at the top with a `+`.
    pub(super) fn number(&self, value: f64) -> String {
        let rounded = self.rounded(value);
        let reached = |top: &f64| rounded.parse::<f64>().is_ok_and(|it| it >= *top);
        self.top.filter(reached).map_or(rounded.clone(), |top| format!("{}+", self.rounded(top)))
    }

    /// Rounded to its decimals, without a sign where it is 0.
    pub(super) fn rounded(&self, value: f64) -> String {
        let text = format!("{value:.*}", self.decimals);
        let is_zero = text.chars().all(|c| matches!(c, '-' | '0' | '.'));
        if is_zero { text.trim_start_matches('-').to_owned() } else { text }
    }

    /// As a true value counts: what is written as `90+` is 90.
    pub fn truth(&self, value: f64) -> f64 {
        self.top.map_or(value, |top| value.min(top))
    }

    /// How far a stated number may be off to count as near.
    pub fn within(&self) -> f64 {
        self.within.unwrap_or_else(|| 10_f64.powi(-(self.decimals as i32)))
    }

    /// The bins, from the lowest.
    pub(super) fn bin_names(&self) -> Vec<String> {
        let [Some(first), Some(last)] = [self.bins.first(), self.bins.last()] else {
            return Vec::new();
        };
        let mut names = vec![format!("below {}", self.edge(*first))];
        names.extend(
            self.bins.windows(2).map(|it| format!("{} to {}", self.edge(it[0]), self.edge(it[1]))),
        );
        names.push(format!("{} and above", self.edge(*last)));
        names
    }

    /// The bin of a number.
    pub(super) fn bin(&self, value: f64) -> Option<usize> {
        (!self.bins.is_empty()).then(|| self.bins.iter().filter(|edge| value >= **edge).count())
    }

    fn edge(&self, value: f64) -> String {
        let short = value.to_string();
        if short.len() <= 12 { short } else { self.rounded(value) }
    }

    /// Whether a number is one that can be.
    pub(super) fn holds(&self, value: f64) -> bool {
        let [low, high] = self.range;
        low <= value && value <= high
    }

    /// Every number of this unit in `text[within]`, and every number that nothing says the unit of.
    pub(super) fn find(&self, text: &str, within: Range<usize>) -> Vec<Found> {
        let mut found = Vec::new();
        let mut at = within.start;
        while at < within.end {
            let Some((first, mut end)) = number_at(text, at, within.end) else {
                at += text[at..].chars().next().map_or(1, char::len_utf8);
                continue;
            };
            let mut last = first;
            // a unit may stand behind both ends: 20 years to 30 years
            let behind_first = self.unit_at(text, end, within.end);
            let after = behind_first.map_or(end, |(_, after)| after);
            if let Some((other, after)) = range_end(text, after, within.end) {
                (last, end) = (other, after);
            } else if text[end..within.end].starts_with('+') {
                end += 1;
            }
            let unit = self.unit_at(text, end, within.end);
            let end_of_unit = unit.map_or(end, |(_, end)| end);
            let scale = unit.or(behind_first).map(|(scale, _)| scale);
            if scale.is_some() || is_bare(text, end, within.end) {
                let factor = scale.unwrap_or(1.0);
                let [low, high] = [first * factor, last * factor];
                let (low, high) = (low.min(high), low.max(high));
                let has_unit = scale.is_some();
                found.push(Found { range: at..end_of_unit, low, high, has_unit });
            }
            at = end_of_unit;
        }
        found
    }

    /// The factor to the form's unit of a unit that stands at `at`, and where that ends.
    fn unit_at(&self, text: &str, at: usize, limit: usize) -> Option<(f64, usize)> {
        let unit = self.unit.as_deref()?;
        let family = FAMILIES.iter().find(|family| family.iter().any(|it| it.0 == unit));
        let own = [(unit, 1.0)];
        let known: &[(&str, f64)] = family.map_or(&own, |family| family);
        let base = known.iter().find(|it| it.0 == unit).map_or(1.0, |it| it.1);
        let rest = text[at..limit].trim_start_matches([' ', '\u{a0}', '\u{202f}', '-']);
        let start = limit - rest.len();
        let matching = known.iter().filter_map(|(name, factor)| {
            let end = if *name == "%" {
                rest.starts_with('%').then_some(start + 1)?
            } else {
                whole_unit(text, start, limit, name)?
            };
            Some((factor / base, end))
        });
        matching.max_by_key(|(_, end)| *end)
    }
}

/// Where a unit ends that stands at `start`, behind a digit, a blank or a hyphen. One letter and mixed case
/// are matched as they are.
fn whole_unit(text: &str, start: usize, limit: usize, name: &str) -> Option<usize> {
    let exact = name.len() == 1 || name.chars().any(char::is_uppercase);
    let found = text.get(start..start + name.len()).filter(|_| start + name.len() <= limit)?;
    let same = if exact { found == name } else { found.to_lowercase() == name.to_lowercase() };
    let end = start + name.len();
    (same && !text[end..limit].starts_with(char::is_alphanumeric)).then_some(end)
}

/// A number that begins at `start`, and where it ends.
fn number_at(text: &str, start: usize, limit: usize) -> Option<(f64, usize)> {
    let rest = &text[start..limit];
    let before = text[..start].chars().next_back();
    let (sign, unsigned) = match rest.strip_prefix(['-', '−']) {
        Some(unsigned)
            if !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, ')' | '%')) =>
        {
            (-1.0, unsigned)
        }
        Some(_) => return None,
        None => (1.0, rest.strip_prefix('+').unwrap_or(rest)),
    };
    if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | ',')) {
        // the middle of a word or of another number
        let spaced = before.is_some_and(|c| c == ',') && !ends_in_digit(&text[..start], ',');
        if !spaced {
            return None;
        }
    }
    let digits: String = unsigned.chars().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
    let digits = digits.trim_end_matches(',');
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let groups: Vec<&str> = digits.split(',').collect();
    // 1,200 is a number; 0,25 may be two, or one of another language
    let grouped = groups.len() == 1
        || (groups[0].len() <= 3 && groups[0] != "0" && groups[1..].iter().all(|it| it.len() == 3));
    if !grouped {
        return None;
    }
    let mut length = digits.len();
    let mut number = groups.concat();
    if let Some(fraction) = unsigned[length..].strip_prefix('.') {
        let decimals: String = fraction.chars().take_while(char::is_ascii_digit).collect();
        if !decimals.is_empty() {
            length += 1 + decimals.len();
            number = format!("{number}.{decimals}");
        }
    }
    let end = start + (rest.len() - unsigned.len()) + length;
    // 3D, 1st and 2a are no numbers; a unit may touch
    Some((sign * number.parse::<f64>().ok()?, end))
}

fn ends_in_digit(text: &str, mark: char) -> bool {
    text.strip_suffix(mark).is_some_and(|before| before.ends_with(|c: char| c.is_ascii_digit()))
}

/// The other end of a range that begins before `at`.
fn range_end(text: &str, at: usize, limit: usize) -> Option<(f64, usize)> {
    let rest = &text[at..limit];
    let trimmed = rest.trim_start();
    let (joint, after) = ["to ", "and ", "–", "-", "—"]
        .into_iter()
        .find_map(|joint| Some((joint, trimmed.strip_prefix(joint)?)))?;
    // two numbers and no range, but after between
    if joint == "and " && !is_between(&text[..at]) {
        return None;
    }
    let start = limit - after.trim_start().len();
    number_at(text, start, limit)
        .or_else(|| (joint != "to " && joint != "and ").then(|| unsigned_at(text, start, limit))?)
}

/// A number that a hyphen touches.
fn unsigned_at(text: &str, start: usize, limit: usize) -> Option<(f64, usize)> {
    let own = &text[start..limit];
    number_at(own, 0, own.len()).map(|(number, end)| (number, start + end))
}

fn is_between(before: &str) -> bool {
    let mut words = before.split_whitespace().rev();
    words.by_ref().take(3).any(|word| word.eq_ignore_ascii_case("between"))
}

/// Whether nothing behind a number says what it counts.
fn is_bare(text: &str, end: usize, limit: usize) -> bool {
    let rest = &text[end..limit];
    if rest.starts_with(|c: char| c.is_alphabetic() || matches!(c, '%' | '-' | '_' | '/')) {
        return false;
    }
    let next = rest.trim_start();
    let word: String = next.chars().take_while(|c| c.is_alphabetic()).collect();
    if word.is_empty() {
        return !next.starts_with(['%', '×', '°', '/']);
    }
    AFTER.iter().any(|it| it.eq_ignore_ascii_case(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(unit: Option<&str>) -> NumberForm {
        NumberForm {
            unit: unit.map(str::to_owned),
            range: [-10.0, 1000.0],
            decimals: 2,
            bins: vec![0.2, 0.5],
            within: None,
            top: None,
        }
    }

    fn found(unit: Option<&str>, text: &str) -> Vec<(f64, f64)> {
        form(unit).find(text, 0..text.len()).iter().map(|it| (it.low, it.high)).collect()
    }

    #[test]
    fn units_are_converted_and_foreign_ones_are_not_ours() {
        for (text, expected) in [
            ("0.21 mm", 0.21),
            ("0.21mm", 0.21),
            ("210 µm", 0.21),
            ("0.021 cm", 0.021 * 10.0),
            ("of 0.21.", 0.21),
            ("0.21 in all", 0.21),
            ("−0.21 mm", -0.21),
        ] {
            let all = found(Some("mm"), text);
            assert!(all.len() == 1 && (all[0].0 - expected).abs() < 1e-12, "{text}: {all:?}");
        }
        for text in ["200 volumes", "2.5 s", "30 %", "30%", "3D", "v1.2.3x", "0,25 mm", "ses2"] {
            assert_eq!(found(Some("mm"), text), [], "{text}");
        }
        assert_eq!(found(Some("s"), "720 ms, 2 min"), [(0.72, 0.72), (120.0, 120.0)]);
        assert_eq!(found(Some("years"), "a 34-year-old"), [(34.0, 34.0)]);
        assert_eq!(
            found(Some("frames"), "200 frames of 1,200"),
            [(200.0, 200.0), (1200.0, 1200.0)]
        );
        assert_eq!(found(Some("%"), "97 % and 3 percent"), [(97.0, 97.0), (3.0, 3.0)]);
    }

    #[test]
    fn ranges_have_two_ends_and_lists_have_numbers() {
        for text in ["20 to 30 years", "20–30 years", "20-30 years", "20 years to 30 years"] {
            assert_eq!(found(Some("years"), text), [(20.0, 30.0)], "{text}");
        }
        assert_eq!(found(Some("years"), "between 20 and 30 years"), [(20.0, 30.0)]);
        assert_eq!(found(Some("years"), "20 and 30 years").len(), 2);
        assert_eq!(found(None, "−1.5 to −0.5"), [(-1.5, -0.5)]);
    }

    #[test]
    fn bins_have_names_and_edges() {
        let form = form(None);
        assert_eq!(form.bin_names(), ["below 0.2", "0.2 to 0.5", "0.5 and above"]);
        assert_eq!([0.1, 0.2, 0.4, 0.5].map(|x| form.bin(x).unwrap()), [0, 1, 1, 2]);
        assert_eq!(form.written(-0.001), "0.00");
    }
}
