//! Numbers with their nouns.

/// `1 window`, `2 windows`: for nouns whose plural is an `s` more.
///
/// ```
/// assert_eq!(report::counted(1, "window"), "1 window");
/// assert_eq!(report::counted(0, "window"), "0 windows");
/// ```
pub fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
