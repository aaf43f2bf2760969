//! The only place that writes to the terminal: data to stdout, everything else to stderr.
//!
//! What files hold may reach both, so control characters are shown and never sent. Nothing depends on
//! stderr: where it is closed or its disk is full, its lines are lost and the work goes on.
use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, ErrorKind, IsTerminal as _, Write as _, stderr, stdout},
};

use anyhow::{Context as _, Result};
use tracing::level_filters::LevelFilter;

use crate::gpu;

/// Data.
pub(crate) fn out(text: &str) -> Result<()> {
    write_out(&format!("{}\n", harmless(text)))
}

fn write_out(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // whoever read it has enough
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to stdout"),
    }
}

/// A piece of data, as soon as it is there.
pub(crate) fn piece(text: &str) -> Result<()> {
    write_out(&harmless(text))
}

/// Data for programs.
pub(crate) fn json(value: &serde_json::Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    // outside of strings JSON has no such character, and inside of them each may be escaped
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmless(c) {
            escaped.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    write_out(&(escaped + "\n"))
}

/// Anything but data.
pub(crate) fn note(text: &str) {
    let _ = writeln!(stderr().lock(), "{}", harmless(text));
}

/// The error and its causes, one a line, and what can be done.
pub(crate) fn error(error: &anyhow::Error) {
    let mut said = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        // many sentences already hold their cause
        if said.contains(&text) {
            continue;
        }
        let label = if said.is_empty() { "error" } else { "caused by" };
        note(&format!("{label}: {text}"));
        said.push_str(&text);
    }
    let ours = error.chain().find_map(|cause| cause.downcast_ref::<pipeline::Error>());
    let ours = ours.and_then(pipeline::Error::hint);
    if let Some(hint) = ours.or_else(|| gpu::hint(&said).map(str::to_owned)) {
        note(&format!("hint: {hint}"));
    }
}

/// A terminal obeys control characters, and writes text backwards where Unicode says so.
fn is_harmless(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (!c.is_control() || c == '\n' || c == '\t') && !turns
}

/// The text with every control character written out: `\u{1b}` for an escape.
fn harmless(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmless(c) {
            shown.push(c);
        } else {
            shown.extend(c.escape_unicode());
        }
    }
    Cow::Owned(shown)
}

/// Log lines of the libraries, to stderr.
pub(crate) fn logs(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(|| Deaf)
        .with_ansi(stderr().is_terminal())
        .without_time()
        .init();
}

/// Stderr, whether anybody reads it or not.
struct Deaf;

impl io::Write for Deaf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = stderr().lock().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_sent() {
        assert_eq!(harmless("two\n\tlines, Ü–✓"), "two\n\tlines, Ü–✓");
        assert_eq!(harmless("a\x1b[31mb\r\u{9b}c"), "a\\u{1b}[31mb\\u{d}\\u{9b}c");
        assert_eq!(harmless("\u{202e}txt"), "\\u{202e}txt");
    }
}
