//! A proposal as text to be pasted into a pipeline.

use std::fmt::{self, Write as _};

use serde_json::Value;

use super::Proposal;

/// So many other choices are shown.
const MAX_SHOWN: usize = 24;

impl fmt::Display for Proposal {
    /// The section `cohort` in YAML, and below it the other choices as comments.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |n_recordings: usize, n_subjects: usize| {
            let s = |n: usize| if n == 1 { "" } else { "s" };
            format!(
                "{n_recordings} recording{} of {n_subjects} subject{}",
                s(n_recordings),
                s(n_subjects)
            )
        };
        writeln!(
            f,
            "# {}, TR {} s",
            counted(self.n_recordings, self.n_subjects),
            shown(self.t_r_s)
        )?;
        write!(f, "cohort:")?;
        for (kind, settings) in self.cohort.as_object().into_iter().flatten() {
            write!(f, "\n  {kind}:")?;
            for (name, value) in settings.as_object().into_iter().flatten() {
                write!(f, "\n    {name}: {}", flow(value))?;
            }
        }
        if !self.alternatives.is_empty() {
            write!(f, "\n# or, counted by the names of files:")?;
        }
        for it in self.alternatives.iter().take(MAX_SHOWN) {
            let counts = counted(it.n_recordings, it.n_subjects);
            write!(f, "\n# {counts}:\n#   cohort: {}", flow(&it.cohort))?;
        }
        match self.alternatives.len().saturating_sub(MAX_SHOWN) {
            0 => Ok(()),
            n => write!(f, "\n# and {n} more, which --json lists"),
        }
    }
}

/// Seconds without the digits that 32 bits add.
fn shown(seconds: f64) -> f64 {
    (seconds * 1e4).round() / 1e4
}

/// A value in one line.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut text = "{ ".to_owned();
            for (position, (name, value)) in map.iter().enumerate() {
                let comma = if position == 0 { "" } else { ", " };
                let _ = write!(text, "{comma}{name}: {}", flow(value));
            }
            text + " }"
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::String(text) if is_plain(text) => text.clone(),
        // a JSON text is a YAML text
        other => other.to_string(),
    }
}

/// Whether YAML takes the letters for a text, and for nothing else.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let inside = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    begins && text.chars().all(inside) && !WORDS.contains(&text.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_that_look_like_something_else_are_quoted() {
        let said =
            flow(&json!({ "a": ["rest", "01", "no", "1e3", "a b", "a: b", "ä"], "b": 0.72 }));
        assert_eq!(
            said,
            "{ a: [rest, \"01\", \"no\", \"1e3\", \"a b\", \"a: b\", \"ä\"], b: 0.72 }"
        );
        assert_eq!(flow(&json!("/data/a-b_1.h5")), "/data/a-b_1.h5");
        assert_eq!(flow(&json!("{subject}.txt")), "\"{subject}.txt\"");
    }
}
