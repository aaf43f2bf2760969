//! JSON sidecars as converters write them.

use serde_json::Value;

/// Words that programs write for values that JSON does not have.
const FOREIGN: [&str; 11] =
    ["inf", "-inf", "Inf", "-Inf", "nan", "-nan", "-NaN", "None", "True", "False", "undefined"];

/// Parses a sidecar. A byte order mark is skipped, and `NaN`, `Infinity` and `-Infinity`, which Python
/// writes, become null. An error repeats no value of the file.
///
/// ```
/// let text = "\u{feff}{\"EchoTime\": NaN, \"RepetitionTime\": 2.0}";
/// assert_eq!(scan::parse_sidecar(text.as_bytes()).unwrap()["RepetitionTime"], 2.0);
/// let problem = scan::parse_sidecar(b"{\"TotalReadoutTime\": inf}").unwrap_err();
/// assert!(problem.starts_with("`inf` in line 1 is not JSON"));
/// ```
pub fn parse_sidecar(bytes: &[u8]) -> Result<Value, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (before, after) = bytes.split_at(error.valid_up_to());
        let line = before.split(|byte| *byte == b'\n').count();
        let byte = after.first().copied().unwrap_or_default();
        format!("is not UTF-8: byte 0x{byte:02x} in line {line}, as in Latin-1; save it as UTF-8")
    })?;
    let error = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let (strict, foreign) = without_nan(text);
    serde_json::from_str(&strict).map_err(|_| match foreign {
        Some((word, line)) => {
            format!("`{word}` in line {line} is not JSON, expected null or a number")
        }
        None => format!("is no JSON at line {}", error.line()),
    })
}

/// The text with null for what Python writes outside of strings, and the first other word that is not
/// JSON, with its line.
fn without_nan(text: &str) -> (String, Option<(&'static str, usize)>) {
    let mut strict = String::with_capacity(text.len());
    let (mut foreign, mut line, mut rest) = (None, 1, text);
    while let Some(first) = rest.chars().next() {
        let n_bytes = match first {
            '"' => string_len(rest),
            c if c.is_ascii_alphabetic() || c == '-' => word_len(rest),
            c => c.len_utf8(),
        };
        let (part, after) = rest.split_at(n_bytes);
        line += part.matches('\n').count();
        foreign = foreign.or(FOREIGN.into_iter().find(|word| *word == part).map(|it| (it, line)));
        strict.push_str(if matches!(part, "NaN" | "Infinity" | "-Infinity") {
            "null"
        } else {
            part
        });
        rest = after;
    }
    (strict, foreign)
}

/// Bytes of the string that a text begins with, quotation marks included.
fn string_len(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !is_escaped => return at + 1,
            _ => is_escaped = c == '\\' && !is_escaped,
        }
    }
    text.len()
}

/// Bytes of the word or number that a text begins with.
fn word_len(text: &str) -> usize {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-');
    text.find(|c| !inside(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_python_are_null_outside_of_strings_only() {
        let text = r#"{"a": [NaN, -Infinity, -1e-3], "b\"NaN": "NaN, \\", "c": 1.5}"#;
        let sidecar = parse_sidecar(text.as_bytes()).unwrap();
        let expected = serde_json::json!({
            "a": [null, null, -1e-3], "b\"NaN": "NaN, \\", "c": 1.5
        });
        assert_eq!(sidecar, expected);
    }

    #[test]
    fn what_is_not_json_is_said_exactly() {
        let said = |bytes: &[u8]| parse_sidecar(bytes).unwrap_err();
        assert_eq!(
            said(b"{\"a\": 1,\n\"b\": -inf}"),
            "`-inf` in line 2 is not JSON, expected null or a number"
        );
        assert_eq!(
            said(b"{\"ProtocolName\":\n\"tilt 15\xb0\"}"),
            "is not UTF-8: byte 0xb0 in line 2, as in Latin-1; save it as UTF-8"
        );
        for text in ["{", "{\"a\": NaN", "\"a", "", "{\"a\": \"\\"] {
            assert!(said(text.as_bytes()).starts_with("is no JSON at line 1"), "{text}");
        }
    }
}
