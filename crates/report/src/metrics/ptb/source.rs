//! The text under the lexer, and what single characters are.

use std::cell::Cell;

use super::tables::{DIGITS, LETTERS, MARKS, SYMBOLS};

/// Stands behind the last character, and is of no class.
pub(super) const END: char = '\u{10FFFF}';

/// The places of the `@` of an address and behind the address.
type Address = (usize, usize);

/// A text as characters, looked at from any place.
pub(super) struct Source {
    chars: Vec<char>,
    /// The last stretch that was searched for an address, and the address in it.
    stretch: Cell<(usize, usize, Option<Address>)>,
    /// The last run of letters, digits, full stops and commas.
    listing: Cell<(usize, usize)>,
}

/// What a rule found: `reach` is how far it looked, by which rules are ranked, `end` where the token ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) reach: usize,
    pub(super) end: usize,
    pub(super) form: Form,
}

/// How what was found is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As it stands.
    Plain,
    /// Without soft hyphens.
    Word,
    /// With a straight apostrophe.
    Contraction,
    /// With no-break spaces.
    Spaced,
    /// With no-break spaces and named parentheses.
    Joined,
    /// Quotes that are not straight.
    Quotes,
    /// Another text in its place.
    Fixed(&'static str),
    /// A full stop that is part of the token and is read once more after it.
    StopTwice,
}

impl Hit {
    pub(super) fn new(end: usize, form: Form) -> Self {
        Self { reach: end, end, form }
    }

    /// A token that stands only where something else follows.
    pub(super) fn before(end: usize, reach: usize, form: Form) -> Self {
        Self { reach, end, form }
    }
}

impl Source {
    pub(super) fn new(text: &str) -> Self {
        Self {
            chars: text.chars().collect(),
            stretch: Cell::new((0, 0, None)),
            listing: Cell::new((0, 0)),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.chars.len()
    }

    /// How many units of UTF-16 follow, counted to two.
    pub(super) fn utf16_after(&self, place: usize) -> usize {
        let rest = self.chars.get(place..).unwrap_or_default();
        rest.iter().take(2).map(|c| c.len_utf16()).sum()
    }

    pub(super) fn at(&self, place: usize) -> char {
        self.chars.get(place).copied().unwrap_or(END)
    }

    pub(super) fn slice(&self, from: usize, to: usize) -> &[char] {
        &self.chars[from..to]
    }

    /// Where the run of characters of a class ends that begins at `from`.
    pub(super) fn run(&self, from: usize, class: impl Fn(char) -> bool) -> usize {
        let rest = self.chars.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|c| class(**c)).count()
    }

    /// The same, but no longer than `most`.
    pub(super) fn run_of(&self, from: usize, most: usize, class: impl Fn(char) -> bool) -> usize {
        let rest = self.chars.get(from..).unwrap_or_default();
        from + rest.iter().take(most).take_while(|c| class(**c)).count()
    }

    /// The place behind `what`, in upper or lower case, if it stands here.
    pub(super) fn literal(&self, from: usize, what: &str) -> Option<usize> {
        let mut place = from;
        for expected in what.chars() {
            if !self.at(place).eq_ignore_ascii_case(&expected) {
                return None;
            }
            place += 1;
        }
        Some(place)
    }

    /// The same with the case as it is given.
    pub(super) fn exactly(&self, from: usize, what: &str) -> Option<usize> {
        let mut place = from;
        for expected in what.chars() {
            if self.at(place) != expected {
                return None;
            }
            place += 1;
        }
        Some(place)
    }

    /// The last `@` of an address in the stretch without spaces, quotes and brackets that holds this place,
    /// and where the address ends. Remembered, so that asking from every place of one stretch takes no
    /// longer than once.
    pub(super) fn address(&self, from: usize) -> Option<Address> {
        let (start, end, found) = self.stretch.get();
        if (start..end).contains(&from) {
            return found;
        }
        let end = self.run(from, in_address);
        let label = |place: usize| place < end && self.at(place) != '.';
        let at = (from..end).rev().find(|place| self.at(*place) == '@' && label(place + 1));
        let found = at.map(|at| {
            let mut last = at + 1;
            while label(last) || (last < end && label(last + 1)) {
                last += 1;
            }
            (at, last)
        });
        self.stretch.set((from, end, found));
        found
    }

    /// The end of the run of letters, digits, full stops and commas at this place, remembered like
    /// [`Source::address`].
    pub(super) fn listing(&self, from: usize) -> usize {
        let (start, end) = self.listing.get();
        if (start..end).contains(&from) {
            return end;
        }
        let end =
            self.run(from, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | ',' | SOFT_HYPHEN));
        self.listing.set((from, end));
        end
    }
}

pub(super) const SOFT_HYPHEN: char = '\u{AD}';

fn is_in(table: &[u16], c: char) -> bool {
    let Ok(c) = u16::try_from(u32::from(c)) else { return false };
    // an odd number of bounds lie at or below what is inside of a range, or it is a last one
    let below = table.partition_point(|bound| *bound < c);
    below % 2 == 1 || table.get(below) == Some(&c)
}

/// A letter or digit in the narrow sense.
pub(super) fn is_alnum(c: char) -> bool {
    c.is_ascii_alphanumeric() || (!c.is_ascii() && (is_in(LETTERS, c) || is_in(DIGITS, c)))
}

/// A letter in the narrow sense.
pub(super) fn is_plain_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || (!c.is_ascii() && is_in(LETTERS, c))
}

/// What words are made of, beside digits: letters, accents and soft hyphens.
pub(super) fn is_letter(c: char) -> bool {
    is_plain_letter(c) || c == SOFT_HYPHEN || (!c.is_ascii() && is_in(MARKS, c))
}

pub(in crate::metrics) fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || (!c.is_ascii() && is_in(DIGITS, c))
}

pub(super) fn is_symbol(c: char) -> bool {
    !c.is_ascii() && is_in(SYMBOLS, c)
}

pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{A0}' | '\u{2000}'..='\u{200A}' | '\u{3000}')
}

pub(super) fn is_line_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{B}' | '\u{C}' | '\u{2028}' | '\u{2029}')
}

/// What an e-mail address may hold.
fn in_address(c: char) -> bool {
    !matches!(
        c,
        ' ' | '\t'
            | '\n'
            | '\u{C}'
            | '\r'
            | '"'
            | '<'
            | '>'
            | '|'
            | '('
            | ')'
            | '{'
            | '}'
            | '\u{A0}'
            | END
    )
}
