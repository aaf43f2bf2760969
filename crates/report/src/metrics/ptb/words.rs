//! Words: letters and digits, contractions, words with apostrophes, hyphens and slashes.

use super::source::{
    Form, Hit, SOFT_HYPHEN, Source, is_alnum, is_digit, is_letter, is_line_break, is_plain_letter,
    is_space,
};

/// Words that are two: the first part has three letters.
const PAIRS: [&str; 6] = ["cannot", "gonna", "gotta", "lemme", "gimme", "wanna"];

/// Words with an apostrophe that stay whole.
const WITH_APOSTROPHE: [&str; 8] =
    ["cont'd", "nor'easter", "c'mon", "e'er", "s'mores", "ev'ry", "li'l", "nat'l"];

/// `cannot` is `can not`.
pub(super) fn pair(s: &Source, from: usize) -> Option<Hit> {
    let reach = PAIRS.iter().find_map(|word| s.literal(from, word))?;
    Some(Hit::before(from + 3, reach, Form::Word))
}

/// `'tis` is `'t is`.
pub(super) fn archaic(s: &Source, from: usize) -> Option<Hit> {
    let t = s.literal(from, "'t")?;
    let reach = s.literal(t, "is").or_else(|| s.literal(t, "was"))?;
    Some(Hit::before(t, reach, Form::Word))
}

/// A word, also before `'s` and the like, which is the next token.
pub(super) fn word(s: &Source, from: usize) -> Option<Hit> {
    let end = word_end(s, from)?;
    let reach = enclitic(s, end).unwrap_or(end);
    Some(Hit::before(end, reach, Form::Word))
}

/// A word whose full stop is its own, because a comma, semicolon or colon follows.
pub(super) fn word_before_comma(s: &Source, from: usize) -> Option<Hit> {
    stop_before_comma(s, word_end(s, from)?)
}

/// `do` of `don't`.
pub(super) fn negated(s: &Source, from: usize) -> Option<Hit> {
    let letters = s.run(from, |c| c.is_ascii_alphabetic() || c == SOFT_HYPHEN);
    let before = |place: usize| if place > from { s.at(place - 1) } else { ' ' };
    if letters < from + 2 || !before(letters).eq_ignore_ascii_case(&'n') {
        return None;
    }
    let end = letters - 1;
    let stem = s.slice(from, end).iter().rev().find(|c| **c != SOFT_HYPHEN)?;
    let reach = negation(s, end)?;
    (!stem.eq_ignore_ascii_case(&'n')).then(|| Hit::before(end, reach, Form::Word))
}

/// `n't` by itself.
pub(super) fn bare_negation(s: &Source, from: usize) -> Option<Hit> {
    Some(Hit::new(negation(s, from)?, Form::Contraction))
}

/// `'s`, `'re` and the like by themselves.
pub(super) fn bare_enclitic(s: &Source, from: usize) -> Option<Hit> {
    let end = enclitic(s, from)?;
    let next = s.at(end);
    let other = end < s.len() && !next.is_ascii_alphabetic();
    other.then(|| Hit::before(end, end + 1, Form::Contraction))
}

/// Where a word ends: letters and digits, with full stops, `!` and `?` between letters.
pub(super) fn word_end(s: &Source, from: usize) -> Option<usize> {
    let mut end = letter(s, from)?;
    loop {
        if let Some(next) = letter(s, end) {
            end = next;
        } else if is_digit(s.at(end))
            || (matches!(s.at(end), '.' | '!' | '?') && letter(s, end + 1).is_some())
        {
            end += 1;
        } else {
            return Some(end);
        }
    }
}

/// A letter, also one written as `&eacute;`.
pub(super) fn letter(s: &Source, from: usize) -> Option<usize> {
    if is_letter(s.at(from)) {
        return Some(from + 1);
    }
    let vowel = matches!(s.at(from + 1).to_ascii_lowercase(), 'a' | 'e' | 'i' | 'o' | 'u');
    if s.at(from) != '&' || !vowel {
        return None;
    }
    ["acute;", "grave;", "uml;"].iter().find_map(|accent| s.literal(from + 2, accent))
}

fn apostrophe(s: &Source, from: usize) -> Option<usize> {
    match s.at(from) {
        '\'' | '\u{92}' | '\u{2019}' => Some(from + 1),
        '&' => s.literal(from, "&apos;"),
        _ => None,
    }
}

/// An apostrophe, or what is taken for one within a word.
fn like_apostrophe(s: &Source, from: usize) -> Option<usize> {
    match s.at(from) {
        '`' | '\u{91}' | '\u{2018}' | '\u{201B}' => Some(from + 1),
        _ => apostrophe(s, from),
    }
}

/// `'s`, `'m`, `'d`, `'re`, `'ve`, `'ll`.
fn enclitic(s: &Source, from: usize) -> Option<usize> {
    let start = apostrophe(s, from)?;
    let ends = ["re", "ve", "ll", "m", "s", "d"];
    ends.iter().find_map(|end| s.literal(start, end))
}

fn negation(s: &Source, from: usize) -> Option<usize> {
    let n = s.literal(from, "n")?;
    s.literal(like_apostrophe(s, n)?, "t")
}

/// The same before a letter.
pub(super) fn late_enclitic(s: &Source, from: usize) -> Option<Hit> {
    Some(Hit::new(enclitic(s, from)?, Form::Contraction))
}

/// Words with an apostrophe in or beside them that stay one.
pub(super) fn with_apostrophe(s: &Source, from: usize) -> Option<Hit> {
    let ends = [
        elided(s, from),
        listed(s, from),
        capital_name(s, from),
        between_vowels(s, from),
        shortened(s, from),
    ];
    ends.into_iter().flatten().max().map(|end| Hit::new(end, Form::Plain))
}

/// `d'`, `l'`, `j'`, `ol'`, `somethin'`, `Dunkin'`, and the bird `o'o`.
fn elided(s: &Source, from: usize) -> Option<usize> {
    let stems = ["d", "l", "j", "ol", "somethin", "dunkin"];
    let bird = || s.literal(like_apostrophe(s, s.literal(from, "o")?)?, "o");
    stems.iter().find_map(|stem| apostrophe(s, s.literal(from, stem)?)).or_else(bird)
}

fn listed(s: &Source, from: usize) -> Option<usize> {
    WITH_APOSTROPHE.iter().find_map(|word| {
        let end = s.literal(from, word)?;
        Some(if *word == "cont'd" && s.at(end) == '.' { end + 1 } else { end })
    })
}

/// `B'Gosh`: a capital but I and Y, or an `n`, before at least two letters.
fn capital_name(s: &Source, from: usize) -> Option<usize> {
    let first = s.at(from);
    if !(first == 'n' || first.is_ascii_uppercase() && !matches!(first, 'I' | 'Y')) {
        return None;
    }
    let start = like_apostrophe(s, from + 1)?;
    let end = s.run(start, is_plain_letter);
    (end >= start + 2).then_some(end)
}

/// `Hawai'i`: a vowel before the apostrophe and behind it.
fn between_vowels(s: &Source, from: usize) -> Option<usize> {
    let end = s.run(from, is_plain_letter);
    if end < from + 2 || !is_vowel(s.at(end - 1)) && !s.at(end - 1).eq_ignore_ascii_case(&'y') {
        return None;
    }
    let start = like_apostrophe(s, end)?;
    let next = s.at(start);
    (is_vowel(next) || next.is_ascii_uppercase()).then(|| s.run(start, is_plain_letter))
}

fn is_vowel(c: char) -> bool {
    matches!(c.to_ascii_lowercase(), 'a' | 'e' | 'i' | 'o' | 'u')
}

/// `'n'`, `'em`, `'90s`, `'till`, `'cause`.
fn shortened(s: &Source, from: usize) -> Option<usize> {
    let start = apostrophe(s, from)?;
    if let Some(end) = ["em", "till", "til", "cause"].iter().find_map(|it| s.literal(start, it)) {
        return Some(end);
    }
    if matches!(s.at(start), '2'..='9')
        && let Some(end) = s.literal(start + 1, "0s")
    {
        return Some(end);
    }
    let n = s.literal(start, "n")?;
    Some(apostrophe(s, n).unwrap_or(n))
}

/// `y'` of `y'all`.
pub(super) fn you(s: &Source, from: usize) -> Option<Hit> {
    let end = apostrophe(s, s.literal(from, "y")?)?;
    is_plain_letter(s.at(end)).then(|| Hit::before(end, end + 1, Form::Word))
}

/// `'90` before a space.
pub(super) fn year(s: &Source, from: usize) -> Option<Hit> {
    let start = apostrophe(s, from)?;
    let end = s.run_of(start, 2, |c| c.is_ascii_digit());
    let space = is_space(s.at(end)) || is_line_break(s.at(end));
    (end == start + 2 && space).then(|| Hit::before(end, end + 1, Form::Plain))
}

/// Parts of letters and digits with hyphens or underscores between them: `T1-weighted`, `O'Brien-Jones`.
pub(super) fn compound(s: &Source, from: usize) -> Option<Hit> {
    Some(Hit::new(compound_end(s, from)?, Form::Word))
}

/// The same with a full stop of its own before a comma.
pub(super) fn compound_before_comma(s: &Source, from: usize) -> Option<Hit> {
    stop_before_comma(s, compound_end(s, from)?)
}

fn compound_end(s: &Source, from: usize) -> Option<usize> {
    let mut end = compound_part(s, from)?;
    while is_hyphen(s.at(end)) {
        let Some(next) = compound_part(s, end + 1) else { break };
        end = next;
    }
    Some(end)
}

fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '_' | '\u{58A}' | '\u{2010}' | '\u{2011}')
}

fn compound_part(s: &Source, from: usize) -> Option<usize> {
    let particle = matches!(s.at(from).to_ascii_lowercase(), 'd' | 'o' | 'l')
        .then(|| like_apostrophe(s, from + 1))
        .flatten()
        .filter(|start| is_alnum(s.at(*start)) && is_alnum(s.at(*start + 1)));
    let start = particle.unwrap_or(from);
    let end = s.run(start, is_alnum);
    (end > start).then_some(end)
}

/// Hyphenated words of which the first part may hold full stops and commas, and later ones be acronyms:
/// `1.5-mm`, `non-U.S.`.
pub(super) fn hyphenated(s: &Source, from: usize) -> Option<Hit> {
    Some(Hit::new(hyphenated_end(s, from)?, Form::Word))
}

/// The same with a full stop of its own before a comma.
pub(super) fn hyphenated_before_comma(s: &Source, from: usize) -> Option<Hit> {
    stop_before_comma(s, hyphenated_end(s, from)?)
}

fn hyphenated_end(s: &Source, from: usize) -> Option<usize> {
    if !s.at(from).is_ascii_alphanumeric() {
        return None;
    }
    let mut end = s.listing(from);
    let mut found = None;
    while s.at(end) == '-' {
        let plain = s.run(end + 1, |c| c.is_ascii_alphanumeric() || c == SOFT_HYPHEN);
        let part = acronym(s, end + 1).unwrap_or(plain).max(plain);
        if part == end + 1 {
            break;
        }
        (end, found) = (part, Some(part));
    }
    found
}

/// Single letters with a full stop each, at least two: the place behind the last stop.
pub(super) fn acronym(s: &Source, from: usize) -> Option<usize> {
    let mut place = from;
    while s.at(place).is_ascii_alphabetic() && s.at(place + 1) == '.' {
        place += 2;
    }
    (place >= from + 4).then_some(place)
}

/// Words with one or two slashes: `and/or`, `T1-weighted/FLAIR`.
pub(super) fn slashed(s: &Source, from: usize) -> Option<Hit> {
    let mut end = slash_part(s, from)?;
    let mut n_slashes = 0;
    while n_slashes < 2 {
        let slash = if s.at(end) == '\\' { end + 1 } else { end };
        if s.at(slash) != '/' {
            break;
        }
        let Some(next) = slash_part(s, slash + 1) else { break };
        (end, n_slashes) = (next, n_slashes + 1);
    }
    (n_slashes > 0).then(|| Hit::new(end, Form::Word))
}

fn slash_part(s: &Source, from: usize) -> Option<usize> {
    let mut end = s.run(from, |c| c.is_ascii_alphanumeric());
    if end == from {
        return None;
    }
    for _ in 0..2 {
        let next = s.run(end + 1, |c| c.is_ascii_alphabetic());
        if s.at(end) != '-' || next == end + 1 {
            break;
        }
        end = next;
    }
    Some(end)
}

/// Capitals joined by `&` or `+`: `R&D`.
pub(super) fn joined_capitals(s: &Source, from: usize) -> Option<Hit> {
    Some(Hit::new(joined_capitals_end(s, from)?, Form::Word))
}

/// The same with a full stop of its own before a comma.
pub(super) fn joined_capitals_before_comma(s: &Source, from: usize) -> Option<Hit> {
    stop_before_comma(s, joined_capitals_end(s, from)?)
}

fn joined_capitals_end(s: &Source, from: usize) -> Option<usize> {
    let capitals = |from: usize| {
        let end = s.run(from, |c| c.is_ascii_uppercase());
        (end > from).then_some(end)
    };
    let mut end = capitals(from)?;
    let mut found = None;
    loop {
        let join = match s.at(end) {
            '+' => end + 1,
            '&' => s.literal(end, "&amp;").unwrap_or(end + 1),
            _ => return found,
        };
        let Some(next) = capitals(join) else { return found };
        (end, found) = (next, Some(next));
    }
}

fn stop_before_comma(s: &Source, end: usize) -> Option<Hit> {
    let stopped = s.at(end) == '.' && matches!(s.at(end + 1), ',' | ';' | ':' | '\u{3001}');
    stopped.then(|| Hit::before(end + 1, end + 2, Form::Word))
}

/// Names that no other rule keeps whole.
const NAMES: [&str; 17] = [
    "-LRB-",
    "-RRB-",
    "-LSB-",
    "-RSB-",
    "-LCB-",
    "-RCB-",
    "C.D.s",
    "pro-",
    "anti-",
    "S&P-500",
    "S&amp;P-500",
    "S&Ls",
    "S&amp;Ls",
    "C++",
    "C#",
    "F#",
    "c/o",
];

/// `S&P-500`, `C++` and few others.
pub(super) fn fixed_names(s: &Source, from: usize) -> Option<Hit> {
    let end = NAMES.iter().filter_map(|name| s.literal(from, name)).max()?;
    Some(Hit::new(end, Form::Plain))
}
