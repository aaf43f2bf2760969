//! Cuts a text into tokens: of all rules that fit at a place the one that looks farthest wins, of equal
//! ones the first.

use super::{
    abbreviations, marks, numbers,
    source::{Form, Hit, SOFT_HYPHEN, Source, is_line_break},
    tags, web, words,
};

type Rule = fn(&Source, usize) -> Option<Hit>;

/// Every rule, in the order that decides between equals.
const RULES: [Rule; 44] = [
    words::pair,
    words::archaic,
    tags::tag,
    tags::named,
    words::negated,
    words::word,
    words::with_apostrophe,
    words::you,
    web::full_url,
    web::likely_url,
    web::email,
    web::handle,
    words::bare_enclitic,
    words::bare_negation,
    numbers::date,
    numbers::number,
    numbers::exponent,
    numbers::fraction,
    numbers::vulgar_fraction,
    words::fixed_names,
    words::year,
    words::slashed,
    numbers::money,
    abbreviations::ending,
    abbreviations::before_number,
    abbreviations::whole,
    abbreviations::acronym,
    abbreviations::initial,
    words::word_before_comma,
    numbers::telephone,
    web::file_name,
    marks::face,
    marks::ellipsis,
    words::hyphenated_before_comma,
    words::hyphenated,
    words::compound_before_comma,
    words::compound,
    words::joined_capitals_before_comma,
    words::joined_capitals,
    marks::opening_quote,
    words::late_enclitic,
    marks::quote,
    marks::mark,
    marks::spaces,
];

/// What the lexer finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    LineBreak,
}

/// The tokens of a text, in lower case.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let s = Source::new(text);
    let mut tokens = Vec::new();
    let mut place = 0;
    while place < s.len() {
        if is_line_break(s.at(place)) {
            let pair = s.at(place) == '\r' && s.at(place + 1) == '\n';
            place += 1 + usize::from(pair);
            tokens.push(Token::LineBreak);
            continue;
        }
        let mut best: Option<Hit> = None;
        for rule in RULES {
            if let Some(hit) = rule(&s, place)
                && best.is_none_or(|best| hit.reach > best.reach)
            {
                best = Some(hit);
            }
        }
        let Some(hit) = best else {
            place += 1;
            continue;
        };
        let written = written(s.slice(place, hit.end), hit.form);
        if !written.is_empty() {
            tokens.push(Token::Word(written.to_lowercase()));
        }
        place = if hit.form == Form::StopTwice { hit.end - 1 } else { hit.end };
    }
    tokens
}

fn written(token: &[char], form: Form) -> String {
    match form {
        Form::Plain | Form::StopTwice => token.iter().collect(),
        Form::Quotes => token.iter().filter_map(|c| marks::straight_quote(*c)).collect(),
        Form::Fixed(text) => text.to_owned(),
        Form::Word => {
            let text: String = token.iter().filter(|c| **c != SOFT_HYPHEN).collect();
            if text.is_empty() { "-".to_owned() } else { text }
        }
        Form::Contraction => {
            let text: String = token.iter().collect();
            text.replace(['\u{92}', '\u{2019}'], "'").replace("&apos;", "'")
        }
        Form::Spaced => token.iter().map(|c| if *c == ' ' { '\u{A0}' } else { *c }).collect(),
        Form::Joined => {
            let mut text = String::new();
            for c in token {
                match (c, marks::bracket(*c)) {
                    (' ', _) => text.push('\u{A0}'),
                    ('(' | ')', Some(name)) => text.push_str(name),
                    _ => text.push(*c),
                }
            }
            text
        }
    }
}
