//! Parts of a file: the header `Range` of RFC 9110, section 14.
use std::ops::Range;

/// Which bytes of a file are asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All: there is no header, or one that a server may ignore (several ranges, another unit, not well formed).
    Whole,
    Part(Range<u64>),
    /// None that the file has.
    Beyond,
}

impl Wanted {
    /// What `header` asks of a file of `n_bytes`.
    pub(crate) fn of(header: Option<&str>, n_bytes: u64) -> Self {
        let wanted = || {
            let (first, last) = header?.strip_prefix("bytes=")?.trim().split_once('-')?;
            if first.is_empty() {
                // the last bytes
                return Some(n_bytes.saturating_sub(number(last)?)..n_bytes);
            }
            let first = number(first)?;
            if last.is_empty() {
                return Some(first..n_bytes);
            }
            let last = number(last).filter(|last| first <= *last)?;
            Some(first..last.saturating_add(1).min(n_bytes))
        };
        match wanted() {
            None => Self::Whole,
            Some(range) if range.is_empty() => Self::Beyond,
            Some(range) => Self::Part(range),
        }
    }
}

/// Digits and nothing else.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_standard() {
        // of RFC 9110, section 14.1.2, for a file of 10000 bytes
        for (header, wanted) in [
            ("bytes=0-499", Wanted::Part(0..500)),
            ("bytes=500-999", Wanted::Part(500..1000)),
            ("bytes=-500", Wanted::Part(9500..10000)),
            ("bytes=9500-", Wanted::Part(9500..10000)),
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=9999-20000", Wanted::Part(9999..10000)),
            ("bytes=-20000", Wanted::Part(0..10000)),
            ("bytes=10000-", Wanted::Beyond),
            ("bytes=20000-20001", Wanted::Beyond),
            ("bytes=-0", Wanted::Beyond),
            ("bytes=5-4", Wanted::Whole),
            ("bytes=0-0,-1", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=0-99999999999999999999999", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
        ] {
            assert_eq!(Wanted::of(Some(header), 10_000), wanted, "{header}");
        }
        assert_eq!(Wanted::of(None, 10), Wanted::Whole);
        assert_eq!(Wanted::of(Some("bytes=0-"), 0), Wanted::Beyond);
    }
}
