//! Addresses and names of the web, and file names.

use super::{
    source::{Form, Hit, Source, is_digit, is_letter, is_line_break, is_space},
    words::letter,
};

/// Longer names of hosts and files are read as text, so that a long text without spaces takes linear time.
const MAX_LEN: usize = 300;

/// `https://example.org/page`
pub(super) fn full_url(s: &Source, from: usize) -> Option<Hit> {
    let scheme = s.literal(from, "http")?;
    let start = s.literal(scheme, "s").unwrap_or(scheme);
    Some(Hit::new(url_rest(s, s.literal(start, "://")?, in_url)?, Form::Plain))
}

/// `www.example.org`, and addresses that end in `com`, `net`, `org` or `edu`.
pub(super) fn likely_url(s: &Source, from: usize) -> Option<Hit> {
    let known = ["com", "net", "org", "edu"];
    let top = |place: usize| known.iter().find_map(|name| s.literal(place, name));
    let plain = last_label(s, from, in_bare_host, top);
    let letters = |place: usize| {
        let end = s.run_of(place, 4, |c| c.is_ascii_alphabetic());
        (end >= place + 2).then_some(end)
    };
    let www = s.literal(from, "www.").and_then(|start| last_label(s, start, in_host, letters));
    plain.max(www).map(|end| Hit::new(end, Form::Plain))
}

/// Labels that each end in a full stop, then a last one: the longest address, with its path.
fn last_label(
    s: &Source,
    from: usize,
    class: impl Fn(char) -> bool,
    last: impl Fn(usize) -> Option<usize>,
) -> Option<usize> {
    let mut place = from;
    let mut best = None;
    loop {
        let end = s.run_of(place, MAX_LEN, &class);
        if end == place || s.at(end) != '.' || end > from + MAX_LEN {
            return best;
        }
        place = end + 1;
        if let Some(end) = last(place) {
            let path = (s.at(end) == '/').then(|| url_rest(s, end + 1, in_path)).flatten();
            best = best.max(Some(path.unwrap_or(end)));
        }
    }
}

/// At least two characters in UTF-16, of which the last is no punctuation.
fn url_rest(s: &Source, from: usize, class: impl Fn(char) -> bool) -> Option<usize> {
    let end = s.run(from, class);
    let first = from + usize::from(s.at(from).len_utf16() == 1);
    let last = (first..end)
        .rev()
        .find(|place| !matches!(s.at(*place), '.' | '!' | '?' | ',' | '-' | '{' | '}'))?;
    Some(last + 1)
}

fn in_path(c: char) -> bool {
    !matches!(c, ' ' | '\t' | '\n' | '\u{C}' | '\r' | '"' | '<' | '>' | '|' | '(' | ')')
        && c != super::source::END
}

fn in_url(c: char) -> bool {
    in_path(c) && !matches!(c, '{' | '}')
}

fn in_host(c: char) -> bool {
    in_url(c) && !matches!(c, '.' | '!' | '?' | ',')
}

fn in_bare_host(c: char) -> bool {
    in_url(c) && !matches!(c, '!' | '\'' | '`' | '$' | ','..='_')
}

/// `me@example.org`, in angle brackets or without.
pub(super) fn email(s: &Source, from: usize) -> Option<Hit> {
    let open = s.literal(from, "&lt;").or_else(|| s.exactly(from, "<")).unwrap_or(from);
    if !s.at(open).is_ascii_alphanumeric() {
        return None;
    }
    let (at, end) = s.address(open)?;
    (at > open).then(|| Hit::new(s.exactly(end, ">").unwrap_or(end), Form::Plain))
}

/// `@name` and `#topic`.
pub(super) fn handle(s: &Source, from: usize) -> Option<Hit> {
    let (start, end) = match s.at(from) {
        '@' if !s.at(from + 1).is_ascii_digit() => {
            (from + 1, s.run(from + 1, |c| c.is_ascii_alphanumeric() || c == '_'))
        }
        '#' => {
            let mut end = from + 1;
            while let Some(next) = letter(s, end) {
                end = next;
            }
            (from + 1, end)
        }
        _ => return None,
    };
    (end > start).then(|| Hit::new(end, Form::Plain))
}

/// Ends of names of files.
const EXTENSIONS: &str = "bat bmp c class cgi cpp dll doc docx exe gif gz h htm html jar java jpeg jpg mov \
    mp3 pdf php pl png ppt ps py sql tar txt wav x xml zip";

/// `image.png` before a space or the end of a sentence.
pub(super) fn file_name(s: &Source, from: usize) -> Option<Hit> {
    let mut place = from;
    let mut best = None;
    loop {
        let end = s.run_of(place, MAX_LEN, |c| is_letter(c) || is_digit(c));
        if end == place || end > from + MAX_LEN {
            return best;
        }
        let next = s.at(end);
        let ends = is_space(next) || is_line_break(next) || matches!(next, '.' | '?' | '!' | ',');
        let known = |it: &str| s.literal(place, it) == Some(end);
        if place > from && ends && EXTENSIONS.split(' ').any(known) {
            best = Some(Hit::before(end, end + 1, Form::Plain));
        }
        if next != '.' {
            return best;
        }
        place = end + 1;
    }
}
