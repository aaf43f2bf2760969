//! What is checked of a `tokenizer.json` before the library reads it, and of what it makes of it: the
//! library trusts such files, and panics or takes all memory where they are odd.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::read_text;
use crate::{Error, Result};

/// Lists of steps in lists of steps; published ones nest less than ten.
const MAX_DEPTH: usize = 64;

/// Bytes of a text outside of the vocabulary: patterns and what takes their place.
const MAX_TEXT: usize = 1 << 14;

/// The one text that is longer: the table of sentencepiece's normalisation, of some 300 kB.
const CHARACTER_MAP: &str = "precompiled_charsmap";

/// Values outside of the vocabulary.
const MAX_VALUES: usize = 1 << 16;

/// The most tokens that a byte of text may become; an odd step could make any number.
const TOKENS_OF_BYTE: usize = 64;

/// The text that is encoded and decoded before a tokenizer is called whole.
const PROBE: &str = "Findings: the pattern (2.5 mm) fits – Ünïcode, 日本.\n";

/// The steps around the vocabulary.
#[derive(Deserialize)]
struct Steps {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
}

/// Reads the file, with a reason why it is refused.
pub(crate) fn read(path: &Path) -> Result<tokenizers::Tokenizer> {
    let bytes = read_text(path)?.into_bytes();
    let refuse = |problem: String| Error::Tokenizer(format!("{}: {problem}", path.display()));
    check(&bytes).map_err(refuse)?;
    let read = formats::guarded(|| tokenizers::Tokenizer::from_bytes(&bytes));
    match read {
        Ok(read) => read.map_err(|error| refuse(error.to_string())),
        Err(panicked) => Err(refuse(gave_up(&panicked))),
    }
}

/// Why the library cannot be trusted with the file.
fn check(bytes: &[u8]) -> Result<(), String> {
    let depth = formats::json_depth(bytes);
    if depth > MAX_DEPTH {
        return Err(format!("its JSON is nested {depth} deep, the limit is {MAX_DEPTH}"));
    }
    // the library says better what is wrong with other files
    let Ok(steps) = serde_json::from_slice::<Steps>(bytes) else { return Ok(()) };
    let Steps { normalizer, pre_tokenizer, post_processor, decoder } = &steps;
    let named = [
        ("normalizer", normalizer),
        ("pre_tokenizer", pre_tokenizer),
        ("post_processor", post_processor),
        ("decoder", decoder),
    ];
    for (name, steps) in named {
        let (n_values, longest) = size(steps);
        if n_values > MAX_VALUES {
            return Err(format!("its {name} has {n_values} values, the limit is {MAX_VALUES}"));
        }
        if longest > MAX_TEXT {
            return Err(format!(
                "its {name} holds a text of {longest} bytes, the limit is {MAX_TEXT}"
            ));
        }
    }
    Ok(())
}

/// Values of a tree, and the longest text in it.
fn size(value: &Value) -> (usize, usize) {
    let join = |(n, longest): (usize, usize), (more, other): (usize, usize)| {
        (n + more, longest.max(other))
    };
    match value {
        Value::String(text) => (1, text.len()),
        Value::Array(items) => items.iter().map(size).fold((1, 0), join),
        Value::Object(entries) => {
            let entries = entries.iter().filter(|(key, _)| *key != CHARACTER_MAP);
            let sizes = entries.map(|(key, value)| join((0, key.len()), size(value)));
            sizes.fold((1, 0), join)
        }
        _ => (1, 0),
    }
}

pub(crate) fn gave_up(formats::Panicked(said): &formats::Panicked) -> String {
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    format!("the tokenizers library gave up on it{said}")
}

/// Runs the library; a panic is an error, and so are more tokens than a text can have.
pub(crate) fn encode(
    tokenizer: &tokenizers::Tokenizer,
    text: &str,
    specials: bool,
) -> Result<tokenizers::Encoding> {
    let encoded = guarded(|| tokenizer.encode(text, specials))?;
    let (found, limit) = (encoded.len(), (text.len() + 16) * TOKENS_OF_BYTE);
    if found > limit {
        let problem =
            format!("{} bytes of text became {found} tokens, expected {limit} at most", text.len());
        return Err(Error::Tokenizer(problem));
    }
    Ok(encoded)
}

/// Runs the library; a panic is an error.
pub(crate) fn decode(tokenizer: &tokenizers::Tokenizer, ids: &[u32]) -> Result<String> {
    guarded(|| tokenizer.decode(ids, true))
}

fn guarded<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
    match formats::guarded(work) {
        Ok(done) => done.map_err(|error| Error::Tokenizer(error.to_string())),
        Err(panicked) => Err(Error::Tokenizer(gave_up(&panicked))),
    }
}

/// Encodes a text and decodes the ids; all of them must be in the vocabulary.
pub(crate) fn probe(tokenizer: &tokenizers::Tokenizer) -> Result<()> {
    for text in [PROBE, ""] {
        let encoded = encode(tokenizer, text, true)?;
        decode(tokenizer, encoded.get_ids())?;
        let unknown = encoded.get_ids().iter().find(|id| tokenizer.id_to_token(**id).is_none());
        if let Some(id) = unknown {
            let problem = format!("it encodes a text with id {id}, which it does not know");
            return Err(Error::Tokenizer(problem));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beyond_the_limits_is_refused_before_the_library_reads_it() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(
            check(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err(),
            "its JSON is nested 65 deep, the limit is 64"
        );
        check(nested(MAX_DEPTH).as_bytes()).unwrap();
        let long = format!(r#"{{"decoder": {{"content": "{}"}}}}"#, "a".repeat(MAX_TEXT + 1));
        let said = check(long.as_bytes()).unwrap_err();
        assert_eq!(said, "its decoder holds a text of 16385 bytes, the limit is 16384");
        let map = long.replace("decoder", "normalizer").replace("content", CHARACTER_MAP);
        check(map.as_bytes()).unwrap();
        let many = format!(r#"{{"normalizer": [{}0]}}"#, "0,".repeat(MAX_VALUES));
        let said = check(many.as_bytes()).unwrap_err();
        assert!(said.starts_with("its normalizer has 65538 values"), "{said}");
        // a vocabulary may be as large as it is
        check(format!(r#"{{"model": [{}0]}}"#, "0,".repeat(MAX_VALUES)).as_bytes()).unwrap();
    }

    #[test]
    fn a_library_that_panics_gives_an_error_in_words() {
        let stand_in = || -> tokenizers::Result<usize> { panic!("no entry found for key") };
        let said = guarded(stand_in).unwrap_err().to_string();
        assert!(said.contains("the tokenizers library gave up on it: no entry found"), "{said}");
    }
}
