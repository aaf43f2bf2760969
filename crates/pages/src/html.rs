//! What every page has: its head with a policy that lets nothing in, and figures with what is to be seen in
//! them.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use report::generated::DISCLAIMER;

use crate::figures::{Curves, FIGURE_STYLE, Svg};

/// The one style of all pages, dark and light, on screen and on paper.
pub(crate) static STYLE: LazyLock<String> =
    LazyLock::new(|| include_str!("style.css").to_owned() + FIGURE_STYLE);

/// Nothing is fetched and nothing is run: only that style and pictures inside the page.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        digest_source(&STYLE)
    )
});

/// What a policy calls a style or script inside a page.
pub(crate) fn digest_source(text: &str) -> String {
    let digest = files::sha256_bytes(text.as_bytes());
    let pairs = digest.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| {
        let pair = str::from_utf8(pair).expect("digits are ASCII");
        u8::from_str_radix(pair, 16).expect("a digest is hexadecimal")
    };
    format!("'sha256-{}'", STANDARD.encode(pairs.map(byte).collect::<Vec<u8>>()))
}

/// What a page says that was opened as a file; a server leaves it out.
pub(crate) const FROM_FILE: &str = "<p class=\"soft\">Opened as a file, this page is static; \
    <code>neuroflamingo serve RUN</code> adds curves to zoom into, volumes, and \
    the state of a run that goes on.</p>";

/// What stands at the beginning and at the end of a page.
pub(crate) struct Frame {
    pub(crate) title: String,
    pub(crate) style: &'static str,
    pub(crate) policy: &'static str,
    pub(crate) disclaimer: &'static str,
    pub(crate) from_file: &'static str,
}

impl Frame {
    pub(crate) fn new(title: String) -> Self {
        Self { title, style: &STYLE, policy: &POLICY, disclaimer: DISCLAIMER, from_file: FROM_FILE }
    }
}

/// A figure with its heading and what is to be seen in it.
#[derive(Clone, Debug, PartialEq)]
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
    /// The numbers of its lines, which a served page lets a reader zoom into.
    pub curves: Option<Curves>,
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
                let allowed = ["svg|", "frame.style|", "frame.from_file|"]
                    .iter()
                    .any(|it| before.ends_with(it));
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
