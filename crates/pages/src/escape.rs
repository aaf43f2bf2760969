//! Text that cannot become markup, in figures and in templates.

use std::fmt::{self, Write};

use askama::filters::Escaper;

/// What templates escape with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Html;

impl Escaper for Html {
    fn write_escaped_str<W: Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c {
            '&' => dest.write_str("&amp;"),
            '<' => dest.write_str("&lt;"),
            '>' => dest.write_str("&gt;"),
            '"' => dest.write_str("&quot;"),
            '\'' => dest.write_str("&#39;"),
            // not allowed in XML, and an SVG that holds one does not open
            c if c.is_control() && !matches!(c, '\n' | '\t') => dest.write_char('\u{fffd}'),
            c => dest.write_char(c),
        })
    }
}

/// A text as the content of an element or of a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    Html.write_escaped_str(&mut escaped, text).expect("a String takes everything");
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_control_characters_become_text() {
        assert_eq!(escape("<b a='1'>&\"\u{1}"), "&lt;b a=&#39;1&#39;&gt;&amp;&quot;\u{fffd}");
        assert_eq!(escape("plain, é 12\n"), "plain, é 12\n");
    }
}
