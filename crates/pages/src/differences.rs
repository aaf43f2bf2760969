//! Words of a text that are not in another.

/// Longer texts are shown without marks: the comparison takes the product of their lengths.
const MOST_WORDS: usize = 1000;

/// A stretch of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a str,
    /// Whether it is not in the other text.
    pub(crate) is_other: bool,
}

/// `text` in pieces: its words that are not part of its longest common subsequence with `own` are other ones.
pub(crate) fn pieces<'a>(own: &str, text: &'a str) -> Vec<Piece<'a>> {
    let with_space: Vec<&str> = text.split_inclusive(char::is_whitespace).collect();
    let words: Vec<&str> = with_space.iter().map(|it| it.trim_end()).collect();
    let own: Vec<&str> = own.split_whitespace().collect();
    if words.len().max(own.len()) > MOST_WORDS {
        return vec![Piece { text, is_other: false }];
    }
    let is_common = common(&own, &words);
    let mut found = Vec::new();
    let mut plain = 0..0;
    for (whole, (word, is_common)) in with_space.iter().zip(words.iter().zip(is_common)) {
        let start = plain.end;
        plain.end = start + whole.len();
        if is_common || word.is_empty() {
            continue;
        }
        found.push(Piece { text: &text[plain.start..start], is_other: false });
        found.push(Piece { text: word, is_other: true });
        plain.start = start + word.len();
    }
    found.push(Piece { text: &text[plain], is_other: false });
    found.retain(|it| !it.text.is_empty());
    found
}

/// Which of `words` are part of the longest common subsequence.
fn common(own: &[&str], words: &[&str]) -> Vec<bool> {
    // longest[i][j]: of what follows own[i] and words[j]
    let mut longest = vec![vec![0u16; words.len() + 1]; own.len() + 1];
    for i in (0..own.len()).rev() {
        for j in (0..words.len()).rev() {
            longest[i][j] = if own[i] == words[j] {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let mut is_common = vec![false; words.len()];
    let (mut i, mut j) = (0, 0);
    while i < own.len() && j < words.len() {
        if own[i] == words[j] {
            is_common[j] = true;
            (i, j) = (i + 1, j + 1);
        } else if longest[i + 1][j] >= longest[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    is_common
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(own: &str, text: &str) -> String {
        let shown = pieces(own, text)
            .into_iter()
            .map(|it| if it.is_other { format!("[{}]", it.text) } else { it.text.to_owned() });
        shown.collect()
    }

    #[test]
    fn other_words_are_marked_and_nothing_is_lost() {
        let own = "Findings: the pattern fits cats.\nImpression: cats.";
        assert_eq!(
            marked(own, "Findings: the pattern fits <dogs>.\nImpression: cats."),
            "Findings: the pattern fits [<dogs>.]\nImpression: cats."
        );
        assert_eq!(marked(own, own), own);
        assert_eq!(pieces(own, own).len(), 1);
        assert_eq!(marked("", "a  b"), "[a]  [b]");
        let long = "a ".repeat(2000);
        assert_eq!(marked(own, &long), long);
        assert_eq!(marked(own, ""), "");
    }
}
