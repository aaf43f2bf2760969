//! Words of the Penn Treebank, as Stanford's `PTBTokenizer` 3.4.1 cuts them for COCO's caption scores.
//!
//! The rules are ours, made until their tokens were equal to those of the program on tens of thousands of
//! texts. Its oddities are kept, because published scores rest on them: brackets become words
//! (`-lrb-`), `€` becomes `$`, `1 1/2` is one token with a no-break space in it.

mod abbreviations;
mod lexer;
mod marks;
mod numbers;
pub(super) mod source;
mod tables;
mod tags;
mod web;
mod words;

use lexer::Token;

/// Tokens that COCO's scores do not count. Brackets are in the original's list too, but in capitals, which
/// tokens in lower case never are: they count.
const DROPPED: [&str; 14] =
    ["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";", ""];

/// The tokens of one text that COCO's scores count, in lower case.
///
/// A line break is a space. `PTBTokenizer` for COCO makes spaces of `\n` only; at other line breaks it
/// begins a new text, and gives every later text the tokens of the one before.
///
/// ```
/// use report::metrics::ptb::words;
/// assert_eq!(words("A 2.5mm lesion (p<0.05) isn't seen."), [
///     "a", "2.5", "mm", "lesion", "-lrb-", "p", "<", "0.05", "-rrb-", "is", "n't", "seen",
/// ]);
/// ```
pub fn words(text: &str) -> Vec<String> {
    let one_line = text.replace(source::is_line_break, " ");
    kept(lines(&one_line).into_iter().flatten())
}

/// All tokens of each line, with punctuation.
pub fn lines(text: &str) -> Vec<Vec<String>> {
    let mut lines = vec![Vec::new()];
    for token in lexer::tokens(text) {
        match token {
            Token::LineBreak => lines.push(Vec::new()),
            Token::Word(word) => lines.last_mut().expect("there is a first line").push(word),
        }
    }
    lines
}

/// Those of many tokens that COCO's scores count.
pub fn kept(tokens: impl IntoIterator<Item = String>) -> Vec<String> {
    tokens.into_iter().filter(|token| !DROPPED.contains(&token.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    /// Texts with the tokens that Stanford CoreNLP 3.4.1 gives each by itself, with the options of COCO's
    /// scores; `\t` and `\u{…}` are spelled out.
    const TABLE: &str = include_str!("../../../../../fixtures/metrics/ptb_tokens.tsv");

    fn spelled(text: &str) -> String {
        let mut text = text.replace("\\t", "\t");
        for (name, c) in
            [("a0", '\u{A0}'), ("2009", '\u{2009}'), ("200b", '\u{200B}'), ("ad", '\u{AD}')]
        {
            text = text.replace(&format!("\\u{{{name}}}"), &c.to_string());
        }
        text
    }

    #[test]
    fn tokens_are_those_of_the_java_program() {
        let mut wrong = String::new();
        let mut n = 0;
        for line in TABLE.lines().skip(1) {
            let (text, expected) = line.split_once('\t').expect("two columns");
            let found = lines(&spelled(text)).concat().join(" ");
            if found != spelled(expected) {
                writeln!(wrong, "{text}\n  found    {found}\n  expected {expected}").unwrap();
            }
            n += 1;
        }
        assert!(wrong.is_empty(), "{wrong}");
        assert_eq!(n, 254);
    }

    #[test]
    fn punctuation_is_dropped_and_brackets_are_words() {
        assert_eq!(words("(A) \"b\"; so..."), ["-lrb-", "a", "-rrb-", "b", "so"]);
        assert_eq!(words("?! what?"), ["?!", "what"]);
        assert!(words("").is_empty() && words(" \u{200B}. ").is_empty());
    }

    #[test]
    fn line_breaks_part_lines_and_are_spaces_in_a_text() {
        for line_break in ["\n", "\r", "\r\n", "\u{B}", "\u{C}", "\u{2028}", "\u{2029}"] {
            assert_eq!(lines(&format!("a{line_break}b")), [["a"], ["b"]], "{line_break:?}");
            assert_eq!(words(&format!("a{line_break}b")), ["a", "b"], "{line_break:?}");
        }
        assert_eq!(lines("a\u{85}b"), [["a", "...", "b"]]);
        // an abbreviation at the end of a line is judged by what the next line begins with
        assert_eq!(lines("on Mon.\nwe"), [vec!["on", "mon."], vec!["we"]]);
        assert_eq!(lines("on Mon.\nWe"), [vec!["on", "mon.", "."], vec!["we"]]);
    }

    #[test]
    fn time_is_linear_in_the_length_of_the_text() {
        // a second power would take minutes, and a busy machine takes some seconds
        for part in ["1a.", "&", "+", "😀", "a@.", "<a ", "<!a", "www.a'", "A. ", "’", "(", "a,"]
        {
            let text = part.repeat(100_000 / part.len());
            let start = std::time::Instant::now();
            lines(&text);
            assert!(start.elapsed().as_secs() < 60, "{part:?} took {:?}", start.elapsed());
        }
    }
}
