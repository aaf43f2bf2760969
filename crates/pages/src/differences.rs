//! Words of a text that are not in another.

use super::html::escape;

/// Longer texts are shown without marks: the comparison takes the product of their lengths.
const MOST_WORDS: usize = 1000;

/// `text` as HTML, with the words marked that are not part of its longest common subsequence with `own`.
pub(super) fn marked(own: &str, text: &str) -> String {
    let pieces: Vec<&str> = text.split_inclusive(char::is_whitespace).collect();
    let words: Vec<&str> = pieces.iter().map(|it| it.trim_end()).collect();
    let own: Vec<&str> = own.split_whitespace().collect();
    if words.len().max(own.len()) > MOST_WORDS {
        return escape(text);
    }
    let is_common = common(&own, &words);
    let shown = pieces.iter().zip(words.iter().zip(is_common)).map(|(piece, (word, is_common))| {
        if is_common || word.is_empty() {
            return escape(piece);
        }
        format!("<mark>{}</mark>{}", escape(word), escape(&piece[word.len()..]))
    });
    shown.collect()
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

    #[test]
    fn other_words_are_marked_and_nothing_is_lost() {
        let own = "Findings: the pattern fits cats.\nImpression: cats.";
        assert_eq!(
            marked(own, "Findings: the pattern fits <dogs>.\nImpression: cats."),
            "Findings: the pattern fits <mark>&lt;dogs&gt;.</mark>\nImpression: cats."
        );
        assert_eq!(marked(own, own), escape(own));
        assert_eq!(marked("", "a  b"), "<mark>a</mark>  <mark>b</mark>");
        let long = "a ".repeat(2000);
        assert_eq!(marked(own, &long), long);
    }
}
