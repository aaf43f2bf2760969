//! What became of one case: the quantity that came nearest to its tolerance, or went beyond it.

use std::fmt;

/// The result of one case, as a line.
pub(crate) struct Outcome {
    pub(super) name: String,
    result: Result<Worst, String>,
}

/// The quantity with the largest error relative to its tolerance, so far.
#[derive(Clone)]
pub(crate) struct Worst {
    what: String,
    error: f64,
    tolerance: f64,
    n: usize,
}

impl Worst {
    /// Nothing compared yet.
    pub(crate) fn new() -> Self {
        Self { what: "nothing compared".to_owned(), error: 0., tolerance: 0., n: 0 }
    }

    /// Compares one more quantity: an error that is not a number misses.
    pub(crate) fn add(&mut self, what: &str, error: f64, tolerance: f64) {
        let ratio = |error: f64, tolerance: f64| {
            if error == 0. { 0. } else { error / tolerance }
        };
        let (new, old) = (ratio(error, tolerance), ratio(self.error, self.tolerance));
        if self.n == 0 || new.is_nan() || (!old.is_nan() && new > old) {
            (self.what, self.error, self.tolerance) = (what.to_owned(), error, tolerance);
        }
        self.n += 1;
    }

    /// Compares two things that must be equal, such as token ids.
    pub(crate) fn equal<T: PartialEq + fmt::Debug + ?Sized>(
        &mut self,
        what: &str,
        found: &T,
        expected: &T,
    ) {
        self.add(what, if found == expected { 0. } else { f64::INFINITY }, 0.);
    }

    /// Everything that both compared.
    pub(crate) fn joined(mut self, other: Self) -> Self {
        let n = self.n + other.n;
        self.add(&other.what, other.error, other.tolerance);
        self.n = n;
        self
    }

    fn passed(&self) -> bool {
        self.n > 0 && self.error <= self.tolerance
    }
}

impl Outcome {
    /// A case whose quantities were all compared.
    pub(crate) fn compared(name: &str, worst: Worst) -> Self {
        Self { name: name.to_owned(), result: Ok(worst) }
    }

    /// A case that could not be run: a miss, not a skip.
    pub(crate) fn broken(name: &str, why: impl fmt::Display) -> Self {
        Self { name: name.to_owned(), result: Err(format!("{why:#}")) }
    }

    /// Whether every quantity was within its tolerance.
    pub(crate) fn passed(&self) -> bool {
        self.result.as_ref().is_ok_and(Worst::passed)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed() { "ok" } else { "MISS" };
        match &self.result {
            Ok(Worst { what, error, tolerance, n }) => {
                write!(
                    f,
                    "{} {what} {error:.2e} (tolerance {tolerance:.0e}, {n} quantities) {verdict}",
                    self.name
                )
            }
            Err(why) => write!(f, "{} {why} {verdict}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_the_largest_error_in_units_of_its_tolerance() {
        let mut worst = Worst::new();
        assert!(!Outcome::compared("empty", worst.clone()).passed());
        worst.add("logits", 5e-5, 1e-4);
        worst.add("loss", 3e-6, 1e-5);
        let outcome = Outcome::compared("case", worst.clone());
        assert!(outcome.passed() && outcome.to_string().contains("logits"), "{outcome}");
        worst.add("gates", f64::NAN, 1.);
        worst.add("tokens", 0., 0.);
        assert!(!Outcome::compared("case", worst).passed());
        let mut tokens = Worst::new();
        tokens.equal("greedy", &[1, 2], &[1, 3]);
        assert!(!Outcome::compared("case", tokens).passed());
    }
}
