//! Tags as of HTML, and named characters.

use super::source::{Form, Hit, Source};

/// Longer tags are read as text, so that a text of many opening brackets takes linear time.
const MAX_LEN: usize = 4096;

/// `<b>`, `</b>`, `<a href="x">`, `<!-- … -->`.
pub(super) fn tag(s: &Source, from: usize) -> Option<Hit> {
    let open = s.exactly(from, "<")?;
    let end = match s.at(open) {
        '!' | '?' => {
            let first = s.at(open + 1);
            let rest = s.run_of(open + 2, MAX_LEN, |c| !matches!(c, '>' | '\r' | '\n'));
            (first.is_ascii_alphabetic() || first == '-').then_some(rest)?
        }
        '/' => spaces(s, name(s, open + 1)?),
        _ => attributes(s, name(s, open)?, from + MAX_LEN)?,
    };
    Some(Hit::new(s.exactly(end, ">")?, Form::Spaced))
}

/// The place of the closing bracket behind names, values and a slash.
fn attributes(s: &Source, from: usize, limit: usize) -> Option<usize> {
    let mut place = from;
    loop {
        let start = spaces(s, place);
        if s.at(start) == '>' {
            return Some(start);
        }
        if s.at(start) == '/' {
            return Some(spaces(s, start + 1));
        }
        if start == place || start > limit {
            return None;
        }
        place = name(s, start)?;
        let sign = spaces(s, place);
        if s.at(sign) == '=' {
            let quote = spaces(s, sign + 1);
            let mark = Some(s.at(quote)).filter(|c| matches!(c, '"' | '\''))?;
            let end = s.run_of(quote + 1, MAX_LEN, |c| c != mark);
            place = (s.at(end) == mark).then_some(end + 1)?;
        }
    }
}

fn spaces(s: &Source, from: usize) -> usize {
    s.run_of(from, MAX_LEN, |c| c == ' ')
}

fn name(s: &Source, from: usize) -> Option<usize> {
    let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.' | '-');
    s.at(from).is_ascii_alphabetic().then(|| s.run_of(from, MAX_LEN, rest))
}

/// `&amp;`, `&mdash;` and the like as what they stand for; other named marks as they are.
pub(super) fn named(s: &Source, from: usize) -> Option<Hit> {
    if s.at(from) != '&' {
        return None;
    }
    // a space is no token
    let written = [("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"), ("&nbsp;", "")];
    let dashes = ["&md;", "&mdash;", "&ndash;"];
    let kept = ["&ht;", "&tl;", "&ur;", "&lr;", "&qc;", "&ql;", "&qr;", "&odq;", "&cdq;"];
    let fixed =
        |name: &str, text| s.literal(from, name).map(|end| Hit::new(end, Form::Fixed(text)));
    written
        .iter()
        .find_map(|(name, text)| fixed(name, text))
        .or_else(|| dashes.iter().find_map(|name| fixed(name, "--")))
        .or_else(|| {
            let end = kept.iter().find_map(|name| s.literal(from, name))?;
            Some(Hit::new(end, Form::Plain))
        })
        .or_else(|| {
            let start = s.exactly(from, "&#")?;
            let digits = s.run_of(start, MAX_LEN, |c| c.is_ascii_digit());
            let end = s.exactly(digits, ";")?;
            (digits > start).then(|| Hit::new(end, Form::Plain))
        })
}
