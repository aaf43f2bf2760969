//! Which scans stand beside the own ones.
use report::evidence::Unit;
use serde::{Deserialize, Serialize};

/// Whose scans a model is shown instead of the own one; the same for all questions about a cohort, so that numbers
/// over windows speak of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Others {
    /// Scans of other people.
    People,
    /// Other scans, of the same person too.
    Scans,
    /// Other windows, of the same scan too.
    Windows,
}

impl Others {
    /// The first of these that at least half of the windows have in the `blocks` within which scans are exchanged.
    pub(super) fn among<'a>(
        units: &[Unit],
        blocks: impl Iterator<Item = &'a Vec<usize>> + Clone,
    ) -> Self {
        let n_exchanged: usize = blocks.clone().map(Vec::len).sum();
        let most = |others: &Self| {
            let has = |block: &[usize], own: usize| {
                block.iter().any(|&it| others.differ(&units[own], &units[it]))
            };
            let n_having = |block: &Vec<usize>| block.iter().filter(|&&it| has(block, it)).count();
            let n: usize = blocks.clone().map(n_having).sum();
            n > 0 && 2 * n >= n_exchanged
        };
        [Self::People, Self::Scans].into_iter().find(most).unwrap_or(Self::Windows)
    }

    /// Whether one of these windows is another to the other one; copies of a scan are one scan.
    pub(super) fn differ(self, a: &Unit, b: &Unit) -> bool {
        match self {
            Self::People => a.subject != b.subject,
            Self::Scans => a.scan_digest != b.scan_digest,
            Self::Windows => a.window_digest != b.window_digest,
        }
    }

    /// As labels name them.
    pub(crate) const fn in_words(self) -> &'static str {
        match self {
            Self::People => "other people’s scans",
            Self::Scans => "other scans",
            Self::Windows => "other windows",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(subject: &str, scan: &str, window: &str) -> Unit {
        let [subject, scan_digest, window_digest] = [subject, scan, window].map(str::to_owned);
        Unit { subject, scan_digest, window_digest, ..Unit::default() }
    }

    #[test]
    fn one_kind_of_others_stands_in_for_a_whole_cohort() {
        let units = [
            unit("1", "x", "x1"),
            unit("1", "x", "x2"),
            unit("1", "y", "y1"),
            unit("2", "z", "z1"),
            unit("2", "z", "z2"),
        ];
        let among = |blocks: &[Vec<usize>]| Others::among(&units, blocks.iter());
        assert_eq!(among(&[vec![0, 1]]), Others::Windows);
        assert_eq!(among(&[vec![0, 1, 2]]), Others::Scans);
        assert_eq!(among(&[vec![0, 1, 2, 3, 4]]), Others::People);
        // several people, and scans that are exchanged within each alone
        assert_eq!(among(&[vec![0, 1], vec![3, 4]]), Others::Windows);
        // half of the windows have another person's scan, and the others none
        assert_eq!(among(&[vec![0, 1], vec![2, 3]]), Others::People);
        assert!(!Others::People.differ(&units[0], &units[1]));
        assert_eq!(among(&[]), Others::Windows);
    }

    #[test]
    fn a_window_is_no_other_to_itself_or_its_copy() {
        let [a, b, c] = [unit("1", "x", "x1"), unit("1", "x", "x2"), unit("2", "x", "x1")];
        assert!(!Others::Windows.differ(&a, &c) && Others::Windows.differ(&a, &b));
        assert!(!Others::Scans.differ(&a, &b) && !Others::Scans.differ(&a, &c));
        assert!(Others::People.differ(&a, &c));
    }
}
