//! Numbers: decimals, dates, fractions, telephone numbers, exponents and money.

use super::source::{Form, Hit, SOFT_HYPHEN, Source, is_digit};

/// A number with an optional sign: digits in groups joined by `.`, `,` or `:`.
pub(super) fn number(s: &Source, from: usize) -> Option<Hit> {
    let start = if matches!(s.at(from), '+' | '-') { from + 1 } else { from };
    let mut end = s.run(start, is_digit);
    while matches!(s.at(end), '.' | ',' | ':' | SOFT_HYPHEN | '\u{66B}' | '\u{66C}')
        && is_digit(s.at(end + 1))
    {
        end = s.run(end + 1, is_digit);
    }
    (end > start).then(|| Hit::new(end, Form::Word))
}

/// `11/12/2012`, `1-2-98`.
pub(super) fn date(s: &Source, from: usize) -> Option<Hit> {
    let mut place = from;
    for _ in 0..2 {
        let end = s.run_of(place, 2, is_digit);
        if end == place || !matches!(s.at(end), '-' | '/') {
            return None;
        }
        place = end + 1;
    }
    let end = s.run_of(place, 4, is_digit);
    (end >= place + 2).then(|| Hit::new(end, Form::Plain))
}

/// `1/2`, and `1 1/2` as one token.
pub(super) fn fraction(s: &Source, from: usize) -> Option<Hit> {
    let simple = |from: usize| {
        let over = s.run_of(from, 4, is_digit);
        let slash = if s.at(over) == '\\' && s.at(over + 1) == '/' { over + 1 } else { over };
        let under = s.run_of(slash + 1, 4, is_digit);
        let found = over > from && matches!(s.at(slash), '/' | '\u{2044}') && under > slash + 1;
        found.then_some(under)
    };
    let whole = s.run_of(from, 4, is_digit);
    let mixed = (whole > from && matches!(s.at(whole), ' ' | '-' | '\u{A0}'))
        .then(|| simple(whole + 1))
        .flatten();
    mixed.or_else(|| simple(from)).map(|end| Hit::new(end, Form::Spaced))
}

/// Superscript or subscript digits with their sign.
pub(super) fn exponent(s: &Source, from: usize) -> Option<Hit> {
    let signed = matches!(s.at(from), '\u{207A}' | '\u{207B}' | '\u{208A}' | '\u{208B}');
    let start = from + usize::from(signed);
    let above =
        |c| matches!(c, '\u{2070}' | '\u{B9}' | '\u{B2}' | '\u{B3}' | '\u{2074}'..='\u{2079}');
    let end = s.run(start, above).max(s.run(start, |c| matches!(c, '\u{2080}'..='\u{2089}')));
    (end > start).then(|| Hit::new(end, Form::Plain))
}

/// `½` in digits.
pub(super) fn vulgar_fraction(s: &Source, from: usize) -> Option<Hit> {
    let digits = match s.at(from) {
        '\u{BC}' => "1/4",
        '\u{BD}' => "1/2",
        '\u{BE}' => "3/4",
        '\u{2153}' => "1/3",
        '\u{2154}' => "2/3",
        _ => return None,
    };
    Some(Hit::new(from + 1, Form::Fixed(digits)))
}

/// `$`, `US$`, and other signs as the one that the Penn Treebank has for them.
pub(super) fn money(s: &Source, from: usize) -> Option<Hit> {
    let sign = s.run(from, |c| c.is_ascii_uppercase());
    if s.at(sign) == '$' {
        return Some(Hit::new(sign + 1, Form::Plain));
    }
    let written = match s.at(from) {
        '\u{A2}' => "cents",
        '\u{A3}' => "#",
        '\u{80}' | '\u{A4}' | '\u{20A0}' | '\u{20AC}' => "$",
        _ => return None,
    };
    Some(Hit::new(from + 1, Form::Fixed(written)))
}

/// Groups of digits that look like a telephone number; `120 300 4000` does.
pub(super) fn telephone(s: &Source, from: usize) -> Option<Hit> {
    let end = [with_area_code(s, from), with_prefixes(s, from), with_stops(s, from)];
    end.into_iter().flatten().max().map(|end| Hit::new(end, Form::Joined))
}

/// The ends of runs of `least` to `most` digits.
fn digits(s: &Source, from: usize, least: usize, most: usize) -> impl Iterator<Item = usize> {
    let longest = s.run_of(from, most, |c| c.is_ascii_digit());
    from + least..=longest
}

fn is_gap(c: char) -> bool {
    matches!(c, '-' | ' ' | '\u{A0}')
}

/// The last two groups, with a gap between them or none.
fn subscriber(s: &Source, from: usize) -> Option<usize> {
    let ends = digits(s, from, 3, 4).flat_map(|middle| {
        let gap = is_gap(s.at(middle)).then_some(middle + 1);
        [Some(middle), gap].into_iter().flatten().flat_map(|start| digits(s, start, 3, 5))
    });
    ends.max()
}

/// `(555) 123-4567`.
fn with_area_code(s: &Source, from: usize) -> Option<usize> {
    if s.at(from) != '(' {
        return None;
    }
    let close = s.run_of(from + 1, 3, |c| c.is_ascii_digit());
    if close < from + 3 || s.at(close) != ')' {
        return None;
    }
    let spaced = matches!(s.at(close + 1), ' ' | '\u{A0}').then(|| subscriber(s, close + 2));
    spaced.flatten().or_else(|| subscriber(s, close + 1))
}

/// `+49 89 123 4567`, `555-123 4567`.
fn with_prefixes(s: &Source, from: usize) -> Option<usize> {
    let group = |from: usize| {
        let ends = digits(s, from, 2, 4).filter(|end| is_gap(s.at(*end))).map(|end| end + 1);
        ends.max()
    };
    let start = plus(s, from);
    let first = group(start)?;
    let long = group(first).and_then(|second| subscriber(s, second));
    long.max(subscriber(s, first))
}

/// `12.345.6789`, `555.12.345.6789`.
fn with_stops(s: &Source, from: usize) -> Option<usize> {
    let group = |from: usize, most: usize| {
        let end = s.run_of(from, most, |c| c.is_ascii_digit());
        (end >= from + 2 && s.at(end) == '.').then_some(end + 1)
    };
    let tail = |from: usize| {
        let second = group(group(from, 4)?, 4).filter(|it| *it >= from + 4)?;
        digits(s, second, 3, 5).max()
    };
    let start = plus(s, from);
    let long = group(start, 4).and_then(tail);
    if start > from { long } else { long.max(tail(from)) }
}

fn plus(s: &Source, from: usize) -> usize {
    s.run_of(from, 2, |c| c == '+')
}
