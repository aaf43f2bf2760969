//! An estimate with its 95 % interval.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An estimate and its 95 % interval. An end that the data cannot give is infinite, and `null` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// From all the data.
    pub estimate: f64,
    /// Lower end.
    #[serde(serialize_with = "end", deserialize_with = "lower_end")]
    pub low: f64,
    /// Upper end.
    #[serde(serialize_with = "end", deserialize_with = "upper_end")]
    pub high: f64,
}

impl Interval {
    /// Whether it holds a value; the ends count, and so does what differs from them by rounding.
    pub fn contains(&self, value: f64) -> bool {
        const ROUNDING: f64 = 1e-9;
        self.low <= value + ROUNDING && value - ROUNDING <= self.high
    }

    /// From end to end.
    pub fn width(&self) -> f64 {
        self.high - self.low
    }

    /// The same with both ends inside a range that the quantity cannot leave.
    pub(crate) fn within(self, lowest: f64, highest: f64) -> Self {
        let (low, high) = (self.low.max(lowest), self.high.min(highest));
        Self { low, high, ..self }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.width().is_finite() {
            let [estimate, low, high] = [self.estimate, self.low, self.high].map(two_digits);
            write!(f, "{estimate} [{low}, {high}]")
        } else {
            write!(f, "{} [interval unknown]", two_digits(self.estimate))
        }
    }
}

/// Two decimals, without a sign on zero.
fn two_digits(value: f64) -> String {
    let text = format!("{value:.2}");
    if text == "-0.00" { "0.00".to_owned() } else { text }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn end<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    value.is_finite().then_some(*value).serialize(serializer)
}

fn lower_end<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NEG_INFINITY))
}

fn upper_end<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_has_no_sign_and_an_unknown_end_is_said() {
        let interval = Interval { estimate: -0.001, low: -0.25, high: 0.0 };
        assert_eq!(interval.to_string(), "0.00 [-0.25, 0.00]");
        let unknown = Interval { estimate: 0.5, low: f64::NEG_INFINITY, high: 1.0 };
        assert_eq!(unknown.to_string(), "0.50 [interval unknown]");
    }

    #[test]
    fn an_unknown_end_is_null_in_json_and_comes_back() {
        let unknown = Interval { estimate: 0.5, low: f64::NEG_INFINITY, high: f64::INFINITY };
        let json = serde_json::to_string(&unknown).unwrap();
        assert_eq!(json, r#"{"estimate":0.5,"low":null,"high":null}"#);
        assert_eq!(serde_json::from_str::<Interval>(&json).unwrap(), unknown);
    }
}
