//! How far answers depend on the scan, whether or not the truth is known.

use serde::{Deserialize, Serialize};

use super::Answered;
use crate::metrics::{Clusters, Draws, Interval, argmax, mean};

/// What becomes of the answers to one question where the model sees something else. Intervals are 95 %, over people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dependence {
    /// Share of the answers that are others without a scan.
    pub changed_without_scan: Interval,
    /// Probability that moves to other answers without a scan, on average: 0 where it is the same, 1 at most (total
    /// variation).
    pub moved_without_scan: Interval,
    /// The same shares and probabilities with scans of other people; none where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_with_other_scans: Option<Interval>,
    /// See `moved_without_scan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_with_other_scans: Option<Interval>,
}

impl Dependence {
    /// Of the windows that were asked about; none of no window.
    pub fn of(windows: &[Answered], draws: Draws) -> Option<Self> {
        if windows.is_empty() {
            return None;
        }
        let person: Vec<usize> = windows.iter().map(|it| it.person).collect();
        let clusters = Clusters::of(&person);
        let over = |values: &[f64]| {
            clusters.interval(draws, |drawn| mean(&drawn.map(|it| values[it]).collect::<Vec<_>>()))
        };
        let of = |other: &dyn Fn(&Answered) -> Option<Vec<f64>>| {
            let both = windows.iter().map(|it| {
                let other = other(it)?;
                let changed = f64::from(u8::from(argmax(&other) != it.given()));
                Some((changed, moved(&it.own, &other)))
            });
            let (changed, moved): (Vec<f64>, Vec<f64>) =
                both.collect::<Option<Vec<_>>>()?.into_iter().unzip();
            Some((over(&changed), over(&moved)))
        };
        let (changed_without_scan, moved_without_scan) = of(&|it| Some(it.no_scan.clone()))?;
        let (changed_with_other_scans, moved_with_other_scans) =
            of(&|it| it.other_scans.clone()).unzip();
        Some(Self {
            changed_without_scan,
            moved_without_scan,
            changed_with_other_scans,
            moved_with_other_scans,
        })
    }
}

/// Total variation of two distributions.
fn moved(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::questions::scores::tests::{DRAWS, window};

    #[test]
    fn answers_that_stay_the_same_do_not_depend_on_the_scan() {
        // without a scan 0.6 and 0.4, with others 0.5 and 0.5
        let windows = [window(0, 0.9, None), window(1, 0.4, None)];
        let found = Dependence::of(&windows, DRAWS).unwrap();
        assert_eq!(found.changed_without_scan.estimate, 0.5);
        assert!((found.moved_without_scan.estimate - 0.25).abs() < 1e-12);
        // of equals the first: 0.9 of the second is given, and the first with another scan
        assert_eq!(found.changed_with_other_scans.unwrap().estimate, 0.5);
        assert!((found.moved_with_other_scans.unwrap().estimate - 0.25).abs() < 1e-12);
        let blind = [window(0, 0.4, None), window(1, 0.4, None)];
        let found = Dependence::of(&blind, DRAWS).unwrap();
        assert_eq!(found.changed_without_scan.estimate, 0.0);
        assert!(found.moved_without_scan.estimate.abs() < 1e-12);
    }

    #[test]
    fn without_other_people_nothing_is_said_of_their_scans() {
        let mut alone = window(0, 0.9, None);
        alone.other_scans = None;
        let found = Dependence::of(&[alone], DRAWS).unwrap();
        assert_eq!((found.changed_with_other_scans, found.moved_with_other_scans), (None, None));
        assert!(Dependence::of(&[], DRAWS).is_none());
    }
}
