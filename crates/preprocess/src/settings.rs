//! Settings that could only fail later, or never do anything.
use crate::{Error, Result};

/// The settings of the stage of this name.
pub struct Settings(pub &'static str);

/// What is expected of a number, in words and as a rule; none holds for NaN.
pub type Rule = (&'static str, fn(f64) -> bool);

/// Above 0, and finite.
pub const POSITIVE: Rule = ("a positive number", |x| x.is_finite() && x > 0.0);
/// 0 or above, and finite.
pub const NOT_NEGATIVE: Rule = ("0 or more", |x| x.is_finite() && x >= 0.0);
/// A part of a whole.
pub const SHARE: Rule = ("0 to 1", |x| (0.0..=1.0).contains(&x));
/// A part that is not the whole.
pub const BELOW_ONE: Rule = ("0 or more, below 1", |x| (0.0..1.0).contains(&x));
/// Any number but infinity.
pub const FINITE: Rule = ("a finite number", f64::is_finite);
/// A weight or a factor of a training, which computes in 32 bits.
pub const FACTOR: Rule = ("0 to 1000000", |x| (0.0..=1e6).contains(&x));
/// A rate of learning.
pub const RATE: Rule = ("above 0, at most 10", |x| x > 0.0 && x <= 10.0);

// Limits beyond which a number is a slip, or takes all memory or time there is.
/// Most steps of a training.
pub const MOST_STEPS: usize = 100_000_000;
/// Most texts or windows worked on side by side.
pub const MOST_IN_BATCH: usize = 4096;
/// Most frames of a window.
pub const MOST_FRAMES: usize = 100_000;
/// Most random draws behind a number.
pub const MOST_DRAWS: usize = 1_000_000;

impl Settings {
    /// Refuses counts below `least`, the first by its key.
    pub fn at_least(&self, least: usize, counts: &[(&'static str, usize)]) -> Result<()> {
        match counts.iter().find(|(_, found)| *found < least) {
            None => Ok(()),
            Some((field, found)) => self.refuse(field, found, &format!("at least {least}")),
        }
    }

    /// Refuses 0, and counts above the most that is given beside each.
    pub fn at_most(&self, counts: &[(&'static str, usize, usize)]) -> Result<()> {
        for &(field, found, most) in counts {
            self.at_least(1, &[(field, found)])?;
            if found > most {
                return self.refuse(field, &found, &format!("at most {most}"));
            }
        }
        Ok(())
    }

    /// Refuses numbers for which a rule does not hold, the first by its key.
    pub fn numbers(&self, rule: Rule, numbers: &[(&'static str, f64)]) -> Result<()> {
        let (expected, holds) = rule;
        match numbers.iter().find(|(_, found)| !holds(*found)) {
            None => Ok(()),
            Some((field, found)) => self.refuse(field, found, expected),
        }
    }

    /// Says of a key what was found and what was expected.
    pub fn refuse(&self, field: &'static str, found: &dyn ToString, expected: &str) -> Result<()> {
        let (found, expected) = (found.to_string(), expected.to_owned());
        Err(Error::Setting { stage: self.0, field, found, expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_wrong_setting_is_told() {
        let settings = Settings("fit");
        let said = settings.at_least(1, &[("a", 1), ("b", 0), ("c", 0)]).unwrap_err().to_string();
        assert_eq!(said, "stages.fit.b is 0, expected at least 1");
        let said = settings.numbers(SHARE, &[("a", 1.0), ("b", 1.5)]).unwrap_err().to_string();
        assert_eq!(said, "stages.fit.b is 1.5, expected 0 to 1");
        assert!(settings.at_least(1, &[("a", 1)]).is_ok());
        let said = settings.at_most(&[("a", 5, 5), ("b", 6, 5)]).unwrap_err().to_string();
        assert_eq!(said, "stages.fit.b is 6, expected at most 5");
        let said = settings.at_most(&[("a", 0, 5)]).unwrap_err().to_string();
        assert_eq!(said, "stages.fit.a is 0, expected at least 1");
    }

    #[test]
    fn a_nan_is_no_setting() {
        for rule in [POSITIVE, NOT_NEGATIVE, SHARE, BELOW_ONE, FACTOR, RATE] {
            assert!(Settings("fit").numbers(rule, &[("a", f64::NAN)]).is_err());
            assert!(Settings("fit").numbers(rule, &[("a", -1.0)]).is_err());
            assert!(Settings("fit").numbers(rule, &[("a", 0.5)]).is_ok());
        }
    }
}
