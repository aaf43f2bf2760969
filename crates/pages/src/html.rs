//! What every page has: its head with a policy that lets nothing in, and figures with what is to be seen in
//! them.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use report::generated::DISCLAIMER;

use crate::figures::{FIGURE_STYLE, Svg};

/// The one style of all pages, dark and light, on screen and on paper.
static STYLE: LazyLock<String> =
    LazyLock::new(|| include_str!("style.css").to_owned() + FIGURE_STYLE);

/// Nothing is fetched and nothing is run: only that style and pictures inside the page.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = files::sha256_bytes(STYLE.as_bytes());
    let pairs = digest.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| {
        let pair = str::from_utf8(pair).expect("digits are ASCII");
        u8::from_str_radix(pair, 16).expect("a digest is hexadecimal")
    };
    let digest = STANDARD.encode(pairs.map(byte).collect::<Vec<u8>>());
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
});

/// What stands at the beginning and at the end of a page.
pub(crate) struct Frame {
    pub(crate) title: String,
    pub(crate) style: &'static str,
    pub(crate) policy: &'static str,
    pub(crate) disclaimer: &'static str,
}

impl Frame {
    pub(crate) fn new(title: String) -> Self {
        Self { title, style: &STYLE, policy: &POLICY, disclaimer: DISCLAIMER }
    }
}

/// A figure with its heading and what is to be seen in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The heading.
    pub title: String,
    /// The drawing.
    pub svg: Svg,
    /// What it shows.
    pub shows: String,
    /// What it looks like where all is well.
    pub good: &'static str,
    /// What it looks like where something is wrong.
    pub bad: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_drawings_and_the_style_are_not_escaped() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
        let mut n_safe = 0;
        for file in std::fs::read_dir(dir).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for (at, _) in text.match_indices("safe") {
                let before = &text[..at];
                let allowed = before.ends_with("svg|") || before.ends_with("frame.style|");
                assert!(allowed, "{}", &text[at.saturating_sub(60)..at + 10]);
                n_safe += 1;
            }
            // a policy of digests refuses styles of single elements
            assert!(!text.contains("style=") && !text.contains("<script"));
        }
        assert!(n_safe >= 2);
    }

    #[test]
    fn the_policy_names_the_style_by_its_digest() {
        let digest = POLICY.split("'sha256-").nth(1).unwrap().split('\'').next().unwrap();
        assert_eq!(digest.len(), 44);
        let digest = STANDARD.decode(digest).unwrap();
        let expected = files::sha256_bytes(STYLE.as_bytes());
        for (at, byte) in digest.iter().enumerate() {
            assert_eq!(format!("{byte:02x}"), expected[2 * at..2 * at + 2]);
        }
    }
}
