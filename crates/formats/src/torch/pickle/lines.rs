//! Operands that are lines of text: protocol 0 writes everything so, and later ones their classes.

use super::{heap::Object, machine::Machine};
use crate::error::Result;

/// A class name longer than this is no name; nor is a longer line a place or a short number.
pub(super) const MAX_NAME: usize = 1024;

/// A longer line is no text and no integer that a weight file has.
const MAX_LINE: usize = 1 << 20;

impl Machine<'_, '_> {
    /// The bytes up to a line feed, which is read too.
    fn line(&mut self, limit: usize, what: &str) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            match self.cursor.u8()? {
                b'\n' => return Ok(line),
                byte if line.len() < limit => line.push(byte),
                _ => return Err(self.cursor.damaged(format!("{what} longer than {limit} bytes"))),
            }
        }
    }

    /// A class or a function's name.
    pub(super) fn name_line(&mut self) -> Result<String> {
        let line = self.line(MAX_NAME, "a class has a name")?;
        String::from_utf8(line)
            .map_err(|_| self.cursor.damaged("a class has a name that is no UTF-8"))
    }

    /// A place in the memo.
    pub(super) fn slot_line(&mut self) -> Result<u32> {
        let line = self.line(MAX_NAME, "a place in the memo is a line")?;
        number(&line).ok_or_else(|| self.cursor.damaged("a place in the memo is not a number"))
    }

    /// An integer; `00` and `01` are how protocols without booleans write them.
    pub(super) fn int_line(&mut self) -> Result<()> {
        let line = self.line(MAX_NAME, "an integer is a line")?;
        match line.as_slice() {
            b"00" => self.push(Object::Bool(false)),
            b"01" => self.push(Object::Bool(true)),
            digits => self.integer(digits),
        }
    }

    /// An integer of any size, perhaps with an `L` behind it.
    pub(super) fn long_line(&mut self) -> Result<()> {
        let line = self.line(MAX_LINE, "an integer is a line")?;
        self.integer(line.strip_suffix(b"L").unwrap_or(&line))
    }

    /// One that needs more than 16 bytes nobody asks for.
    fn integer(&mut self, text: &[u8]) -> Result<()> {
        if let Some(n) = number(text) {
            return self.push(Object::Int(n));
        }
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(self.cursor.damaged("an integer is not a number"));
        }
        self.push(Object::Opaque("int".into()))
    }

    pub(super) fn float_line(&mut self) -> Result<()> {
        let line = self.line(MAX_NAME, "a float is a line")?;
        let Some(x) = number(&line) else {
            return Err(self.cursor.damaged("a float is not a number"));
        };
        self.push(Object::Float(x))
    }

    /// A string as Python 2 spells it; one with escapes is data that nobody asks for.
    pub(super) fn quoted_line(&mut self) -> Result<()> {
        let line = self.line(MAX_LINE, "a string is a line")?;
        let ([b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"']) = line.as_slice() else {
            return Err(self.cursor.damaged("a string has no quotes around it"));
        };
        match std::str::from_utf8(inner) {
            Ok(text) if !text.contains('\\') => self.push(Object::Text(text.into())),
            _ => self.push(Object::Opaque("str".into())),
        }
    }

    /// Text; with halves of a character, which Python alone allows, it is data that nobody asks for.
    pub(super) fn text_line(&mut self) -> Result<()> {
        let line = self.line(MAX_LINE, "a text is a line")?;
        match unescaped(&line) {
            Some(text) => self.push(Object::Text(text.into())),
            None => self.push(Object::Opaque("str".into())),
        }
    }
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Python's `raw_unicode_escape`: Latin-1 with `\uXXXX` and `\UXXXXXXXX` for all else, and every
/// other backslash itself.
fn unescaped(line: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    loop {
        let (n_digits, after) = match rest {
            [] => return Some(text),
            [b'\\', b'u', after @ ..] => (4, after),
            [b'\\', b'U', after @ ..] => (8, after),
            // the second of two backslashes begins no escape
            [b'\\', next, after @ ..] => {
                text.extend(['\\', char::from(*next)]);
                rest = after;
                continue;
            }
            [byte, after @ ..] => {
                text.push(char::from(*byte));
                rest = after;
                continue;
            }
        };
        let digits = after.get(..n_digits).filter(|it| it.iter().all(u8::is_ascii_hexdigit))?;
        let code = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        text.push(char::from_u32(code)?);
        rest = &after[n_digits..];
    }
}
