//! The only place that writes to the terminal: data to stdout, everything else to stderr.
#![allow(clippy::print_stderr, reason = "this is what the module is for")]
use std::io::{ErrorKind, IsTerminal as _, Write as _};

use anyhow::Result;
use tracing::level_filters::LevelFilter;

/// Data.
pub(crate) fn out(text: &str) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        // whoever read it has enough
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// A piece of data, as soon as it is there.
pub(crate) fn piece(text: &str) {
    let mut out = std::io::stdout().lock();
    // whoever read it has enough
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Data for programs.
pub(crate) fn json(value: &serde_json::Value) -> Result<()> {
    out(&serde_json::to_string_pretty(value)?)
}

/// Anything but data.
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
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
        eprintln!("{label}: {text}");
        said.push_str(&text);
    }
    let ours = error.chain().find_map(|cause| cause.downcast_ref::<pipeline::Error>());
    if let Some(hint) = ours.and_then(pipeline::Error::hint) {
        eprintln!("hint: {hint}");
    }
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
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .init();
}
