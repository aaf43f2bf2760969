//! Punctuation, quotes, brackets, dashes and faces.

use super::source::{Form, Hit, Source, is_space, is_symbol};

/// Any mark that is a token, alone or in a run of its like.
pub(super) fn mark(s: &Source, from: usize) -> Option<Hit> {
    let c = s.at(from);
    let run = |class: fn(char) -> bool| Some(Hit::new(s.run(from, class), Form::Plain));
    let one = |form| Some(Hit::new(from + 1, form));
    match c {
        '?' | '!' => run(|c| matches!(c, '?' | '!')),
        '*' => run(|c| c == '*'),
        '\\' if s.at(from + 1) == '*' => {
            let mut end = from + 2;
            while end < from + 6 && s.exactly(end, "\\*").is_some() {
                end += 2;
            }
            Some(Hit::new(end, Form::Plain))
        }
        '@' => run(|c| c == '@'),
        '#' => run(|c| c == '#'),
        '_' => run(|c| c == '_'),
        '-' => {
            let end = s.run(from, |c| c == '-');
            let dash = if matches!(end - from, 2..=4) { Form::Fixed("--") } else { Form::Plain };
            Some(Hit::new(end, dash))
        }
        '<' | '>' => {
            let twice = usize::from(s.at(from + 1) == c);
            Some(Hit::new(from + 1 + twice, Form::Plain))
        }
        '.' | ',' | ';' | ':' | '/' | '=' | '+' | '%' | '&' | '~' | '^' | '|' | '\\' | '$' => {
            one(Form::Plain)
        }
        '\u{96}' | '\u{97}' | '\u{2013}'..='\u{2015}' => one(Form::Fixed("--")),
        '\u{AD}' => one(Form::Fixed("-")),
        _ if is_symbol(c) => one(Form::Plain),
        _ => bracket(c).map(|text| Hit::new(from + 1, Form::Fixed(text))),
    }
}

/// Spaces are no token.
pub(super) fn spaces(s: &Source, from: usize) -> Option<Hit> {
    let end = s.run(from, is_space);
    (end > from).then(|| Hit::new(end, Form::Fixed("")))
}

/// Brackets by the names that they have in the Penn Treebank.
pub(super) fn bracket(c: char) -> Option<&'static str> {
    Some(match c {
        '(' => "-lrb-",
        ')' => "-rrb-",
        '[' => "-lsb-",
        ']' => "-rsb-",
        '{' => "-lcb-",
        '}' => "-rcb-",
        _ => return None,
    })
}

/// Three to five full stops, also with spaces between them, and the sign for three.
pub(super) fn ellipsis(s: &Source, from: usize) -> Option<Hit> {
    let dots = Form::Fixed("...");
    if matches!(s.at(from), '\u{85}' | '\u{2026}') {
        return Some(Hit::new(from + 1, dots));
    }
    if s.at(from) != '.' {
        return None;
    }
    let close = s.run_of(from, 5, |c| c == '.');
    let mut spaced = from;
    let mut n = 0;
    while n < 4 && matches!(s.at(spaced + 1), ' ' | '\u{A0}') && s.at(spaced + 2) == '.' {
        (spaced, n) = (spaced + 2, n + 1);
    }
    let wide = if n >= 2 { spaced + 1 } else { from };
    let end = close.max(wide);
    (end >= from + 3).then(|| Hit::new(end, dots))
}

/// Quotes: double ones as two single ones, opening or closing.
pub(super) fn quote(s: &Source, from: usize) -> Option<Hit> {
    let (end, text) = match s.at(from) {
        '"' => return Some(double(s, from + 1)),
        '&' => match s.literal(from, "&quot;") {
            Some(end) => return Some(double(s, end)),
            None => (s.literal(from, "&apos;")?, "'"),
        },
        '\'' if s.at(from + 1) == '\'' => (from + 2, "''"),
        '\'' => (from + 1, "'"),
        first => {
            straight_quote(first)?;
            let two = straight_quote(s.at(from + 1)).is_some();
            return Some(Hit::new(from + 1 + usize::from(two), Form::Quotes));
        }
    };
    Some(Hit::new(end, Form::Fixed(text)))
}

/// Quotes that are not straight, as straight ones.
pub(super) fn straight_quote(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{92}' | '\u{2019}' | '\u{203A}' => "'",
        '`' | '\u{91}' | '\u{2018}' | '\u{201B}' | '\u{2039}' => "`",
        '\u{93}' | '\u{201C}' | '\u{AB}' => "``",
        '\u{94}' | '\u{201D}' | '\u{BB}' => "''",
        _ => return None,
    })
}

fn double(s: &Source, end: usize) -> Hit {
    if s.at(end).is_ascii_alphanumeric() || s.at(end) == '$' {
        return Hit::before(end, end + 1, Form::Fixed("``"));
    }
    Hit::new(end, Form::Fixed("''"))
}

/// A single quote before a word of two letters or more opens.
pub(super) fn opening_quote(s: &Source, from: usize) -> Option<Hit> {
    let opens = s.at(from) == '\''
        && s.at(from + 1).is_ascii_alphabetic()
        && from + 2 < s.len()
        && !matches!(s.at(from + 2), ' ' | '\t' | '\n' | '\r' | '\u{A0}');
    opens.then(|| Hit::before(from + 1, from + 3, Form::Fixed("`")))
}

/// `:-)` and the like, before anything but a letter, and `^_^`.
pub(super) fn face(s: &Source, from: usize) -> Option<Hit> {
    western(s, from).into_iter().chain(eastern(s, from)).max_by_key(|hit| hit.reach)
}

fn western(s: &Source, from: usize) -> Option<Hit> {
    let brow = from + usize::from(matches!(s.at(from), '<' | '>'));
    if !matches!(s.at(brow), ':' | ';' | '=') {
        return None;
    }
    let mouth = |place: usize| {
        let mouths = "()DPdpO\\{@|[]";
        let end = place + 1;
        (mouths.contains(s.at(place)) && end < s.len() && !s.at(end).is_ascii_alphanumeric())
            .then(|| Hit::before(end, end + 1, Form::Joined))
    };
    let nose = matches!(s.at(brow + 1), '-' | 'o' | '*' | '\'');
    nose.then(|| mouth(brow + 2)).flatten().or_else(|| mouth(brow + 1))
}

fn eastern(s: &Source, from: usize) -> Option<Hit> {
    let wide = |place: usize| matches!(s.at(place), '^' | 'x' | '=' | '~' | '<' | '>' | '-' | '\'');
    if wide(from) && s.at(from + 1) == '_' && wide(from + 2) {
        return Some(Hit::new(from + 3, Form::Joined));
    }
    if s.at(from) != '(' {
        return None;
    }
    let (left, middle) = (from + 1, s.at(from + 2));
    let narrow = |place: usize| wide(place) && s.at(place) != '-';
    let faces = [
        (wide(left) && wide(left + 1)).then_some(left + 1),
        (matches!(middle, '_' | '.') && wide(left) && wide(left + 2)).then_some(left + 2),
        (middle == '-' && narrow(left) && (narrow(left + 2) || s.at(left + 2) == '`'))
            .then_some(left + 2),
    ];
    let closed = faces.into_iter().flatten().filter(|eye| s.at(eye + 1) == ')');
    closed.max().map(|eye| Hit::new(eye + 2, Form::Joined))
}
