//! How far answers depend on the scan, whether or not the truth is known.

use serde::{Deserialize, Serialize};

use super::Answered;
use crate::{
    Result,
    metrics::{Clusters, Draws, Interval, argmax, check_rows, share_interval},
};

/// What becomes of the answers to one question where the model sees something else. Intervals are 95 %, over people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dependence {
    /// Share of the answers that are others without a scan.
    pub changed_without_scan: Interval,
    /// Probability that moves to other answers without a scan, on average: 0 where it is the same, 1 at most (total
    /// variation).
    pub moved_without_scan: Interval,
    /// The same shares and probabilities with other scans; none where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_with_other_scans: Option<Interval>,
    /// See `moved_without_scan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_with_other_scans: Option<Interval>,
}

impl Dependence {
    /// Of the windows that were asked about; none of no window.
    ///
    /// # Errors
    /// Where a probability is not finite, or a window has another number of them than the first.
    pub fn of(windows: &[Answered], draws: Draws) -> Result<Option<Self>> {
        let Some(first) = windows.first() else { return Ok(None) };
        check_rows(windows.iter().flat_map(Answered::rows), first.own.len())?;
        let of = |other: &dyn Fn(&Answered) -> Option<Vec<f64>>| -> Result<_> {
            let (mut person, mut changed, mut probability) = (Vec::new(), Vec::new(), Vec::new());
            for it in windows {
                let Some(other) = other(it) else { continue };
                person.push(it.person);
                changed.push(f64::from(u8::from(argmax(&other) != it.given())));
                probability.push(moved(&it.own, &other));
            }
            if person.is_empty() {
                return Ok(None);
            }
            let moved = Clusters::of(&person).mean(draws, &probability);
            Ok(Some((share_interval(&changed, &person)?, moved)))
        };
        let Some((changed_without_scan, moved_without_scan)) = of(&|it| Some(it.no_scan.clone()))?
        else {
            return Ok(None);
        };
        let (changed_with_other_scans, moved_with_other_scans) =
            of(&|it| it.other_scans.clone())?.unzip();
        Ok(Some(Self {
            changed_without_scan,
            moved_without_scan,
            changed_with_other_scans,
            moved_with_other_scans,
        }))
    }
}

/// Total variation of two distributions.
fn moved(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::questions::scores::{
        scores,
        tests::{DRAWS, window},
    };

    #[test]
    fn answers_that_stay_the_same_do_not_depend_on_the_scan() {
        // without a scan 0.6 and 0.4, with others 0.5 and 0.5
        let windows = [window(0, 0.9, None), window(1, 0.4, None)];
        let found = Dependence::of(&windows, DRAWS).unwrap().unwrap();
        assert_eq!(found.changed_without_scan.estimate, 0.5);
        assert!((found.moved_without_scan.estimate - 0.25).abs() < 1e-12);
        // the first of any ties: 0.9 of the second is given, and the first with another scan
        assert_eq!(found.changed_with_other_scans.unwrap().estimate, 0.5);
        assert!((found.moved_with_other_scans.unwrap().estimate - 0.25).abs() < 1e-12);
        let blind = [window(0, 0.4, None), window(1, 0.4, None)];
        let found = Dependence::of(&blind, DRAWS).unwrap().unwrap();
        assert_eq!(found.changed_without_scan.estimate, 0.0);
        assert!(found.moved_without_scan.estimate.abs() < 1e-12);
    }

    #[test]
    fn probabilities_that_are_none_are_refused() {
        let mut short = window(0, 0.9, None);
        short.other_scans = Some(vec![1.0]);
        let mut none = window(0, 0.9, None);
        none.no_scan[1] = f64::NAN;
        for wrong in [short, none] {
            assert!(Dependence::of(&[window(1, 0.4, None), wrong.clone()], DRAWS).is_err());
            let known = Answered { truth: Some(0), ..wrong };
            assert!(scores(&[known], 2, DRAWS).is_err());
        }
        let beyond = Answered { truth: Some(2), ..window(0, 0.9, None) };
        assert!(scores(&[beyond], 2, DRAWS).is_err());
    }

    #[test]
    fn without_other_scans_nothing_is_said_of_them() {
        let mut alone = window(0, 0.9, None);
        alone.other_scans = None;
        let found = Dependence::of(&[alone], DRAWS).unwrap().unwrap();
        assert_eq!((found.changed_with_other_scans, found.moved_with_other_scans), (None, None));
        assert!(Dependence::of(&[], DRAWS).unwrap().is_none());
    }
}
