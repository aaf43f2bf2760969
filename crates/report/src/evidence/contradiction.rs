//! Words before the report that say something else than the scan shows: whom the text follows.

use serde::{Deserialize, Serialize};

use super::{ToldOtherwise, units::Units};
use crate::{
    Result,
    metrics::{Interval, same_length, share_interval},
};

/// Whom the text follows where the prompt contradicts the scan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contradiction {
    /// The slot.
    pub slot: String,
    /// Windows that were told otherwise.
    pub n_windows: usize,
    /// Windows that were not, because nothing is wrong of them or the longer prompt does not fit.
    pub n_left_out: usize,
    /// Share whose report states what the prompt said.
    pub prompt_wins: Interval,
    /// Share whose report states what it states without being told.
    pub scan_wins: Interval,
}

impl Contradiction {
    /// `None` where no window was told otherwise.
    pub(super) fn of(input: &ToldOtherwise, units: &Units) -> Result<Option<Self>> {
        let n = units.resampled().len();
        for found in [input.told.len(), input.stated.len(), input.plain.len()] {
            same_length("statements after a prompt that contradicts the scan", found, n)?;
        }
        let told: Vec<usize> = (0..n).filter(|&idx| input.told[idx].is_some()).collect();
        if told.is_empty() {
            return Ok(None);
        }
        let cluster: Vec<usize> = told.iter().map(|&idx| units.resampled()[idx]).collect();
        let share = |of: &[Option<String>]| {
            let same = told.iter().map(|&idx| {
                f64::from(u8::from(input.stated[idx].is_some() && input.stated[idx] == of[idx]))
            });
            share_interval(&same.collect::<Vec<_>>(), &cluster)
        };
        Ok(Some(Self {
            slot: input.slot.clone(),
            n_windows: told.len(),
            n_left_out: n - told.len(),
            prompt_wins: share(&input.told)?,
            scan_wins: share(&input.plain)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Unit;

    #[test]
    fn the_prompt_the_scan_or_neither_wins() {
        let unit = |idx: usize| Unit { subject: idx.to_string(), ..Unit::default() };
        let units: Vec<Unit> = (0..8).map(unit).collect();
        let units = Units::new(&units, &[0, 1, 0, 1, 0, 1, 0, 1]);
        let said = |words: [&str; 8]| -> Vec<Option<String>> {
            words.iter().map(|it| (*it != "-").then(|| (*it).to_owned())).collect()
        };
        let mut input = ToldOtherwise {
            slot: "viewed".to_owned(),
            told: said(["cat", "cat", "cat", "cat", "-", "cat", "cat", "cat"]),
            // three follow the prompt, one the scan, one says something else, two say nothing
            stated: said(["cat", "cat", "cat", "face", "cat", "shoe", "-", "-"]),
            plain: said(["face", "face", "face", "face", "face", "face", "face", "-"]),
        };
        let found = Contradiction::of(&input, &units).unwrap().unwrap();
        assert_eq!((found.n_windows, found.n_left_out), (7, 1));
        assert_eq!(found.prompt_wins.estimate, 3.0 / 7.0);
        assert_eq!(found.scan_wins.estimate, 1.0 / 7.0);
        input.told.fill(None);
        assert_eq!(Contradiction::of(&input, &units).unwrap(), None);
        input.told.pop();
        assert!(Contradiction::of(&input, &units).is_err());
    }
}
