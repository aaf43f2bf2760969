//! A query's words.

use super::{QueryError, Sign, Span, error};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Word(String),
    /// In backquotes: a column whatever it is called.
    Column(String),
    Text(String),
    Number(f64),
    Sign(Sign),
    /// One of `()[],`.
    Mark(char),
}

/// Words with their places.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, Span)>, QueryError> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if chars[at].is_whitespace() {
            at += 1;
            continue;
        }
        let (token, len) =
            token(&chars[at..]).map_err(|(len, problem)| error(text, Span { at, len }, problem))?;
        tokens.push((token, Span { at, len }));
        at += len;
    }
    Ok(tokens)
}

/// The first word of what is left, and its length; or the length of what is none, and why.
fn token(rest: &[char]) -> Result<(Token, usize), (usize, String)> {
    let second = rest.get(1).copied().unwrap_or(' ');
    let sign = |sign, len| Ok((Token::Sign(sign), len));
    let instead = |len, found: &str, right: &str| {
        Err((len, format!("`{found}` means nothing here, expected `{right}`")))
    };
    match (rest[0], second) {
        ('=', '=') => sign(Sign::Equal, 2),
        ('!', '=') => sign(Sign::Unequal, 2),
        ('<', '>') => instead(2, "<>", "!="),
        ('<', '=') => sign(Sign::AtMost, 2),
        ('>', '=') => sign(Sign::AtLeast, 2),
        ('<', _) => sign(Sign::Less, 1),
        ('>', _) => sign(Sign::Greater, 1),
        ('=', _) => instead(1, "=", "=="),
        ('&', '&') => instead(2, "&&", "and"),
        ('|', '|') => instead(2, "||", "or"),
        ('&', _) => instead(1, "&", "and"),
        ('|', _) => instead(1, "|", "or"),
        ('!' | '~', _) => instead(1, &rest[0].to_string(), "not"),
        (mark @ ('(' | ')' | '[' | ']' | ','), _) => Ok((Token::Mark(mark), 1)),
        (quote @ ('"' | '\'' | '`'), _) => quoted(rest, quote),
        (c, next) if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') && starts(next) => {
            number(rest)
        }
        (c, _) if c.is_alphabetic() || c == '_' => {
            let len = word_len(rest);
            Ok((Token::Word(rest[..len].iter().collect()), len))
        }
        (c, _) => Err((1, format!("`{c}` means nothing here"))),
    }
}

fn starts(c: char) -> bool {
    c.is_ascii_digit() || c == '.'
}

fn word_len(rest: &[char]) -> usize {
    let inside = |c: &&char| c.is_alphanumeric() || matches!(**c, '_' | '.');
    rest.iter().take_while(inside).count()
}

fn quoted(rest: &[char], quote: char) -> Result<(Token, usize), (usize, String)> {
    let Some(len) = rest[1..].iter().position(|c| *c == quote) else {
        return Err((rest.len(), format!("{quote} is not closed")));
    };
    let inside: String = rest[1..=len].iter().collect();
    let token = if quote == '`' { Token::Column(inside) } else { Token::Text(inside) };
    Ok((token, len + 2))
}

fn number(rest: &[char]) -> Result<(Token, usize), (usize, String)> {
    let mut len = 1;
    while let Some(c) = rest.get(len) {
        let is_exponent = matches!(rest[len - 1], 'e' | 'E') && matches!(c, '-' | '+');
        if !(c.is_alphanumeric() || *c == '.' || *c == '_' || is_exponent) {
            break;
        }
        len += 1;
    }
    let word: String = rest[..len].iter().collect();
    match word.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((Token::Number(number), len)),
        _ => Err((len, format!("`{word}` is not a number; a text stands in quotation marks"))),
    }
}
