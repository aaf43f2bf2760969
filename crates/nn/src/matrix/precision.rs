//! In which numbers frozen weights are kept.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// In which numbers the matrices of a frozen model are kept in memory. Sums, norms and softmax are
/// in `f32` whatever it says; `bf16` and `q8_0` round what is multiplied with them too, as PyTorch and
/// ggml do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// As their file stores them: read where they lie in the file, where that can be. What is
    /// multiplied with them stays in `f32` beside bf16, and in at least sixteen bits beside `Q8_0`.
    Stored,
    /// Widened to `f32`.
    #[default]
    F32,
    /// Rounded to the upper half of an `f32`, and so are the inputs of every product.
    Bf16,
    /// Rounded to IEEE half precision.
    F16,
    /// Quantised to blocks of thirty-two bytes and a scale, and so are the inputs of every product;
    /// rows that are no whole blocks stay as they are stored.
    #[serde(rename = "q8_0")]
    Q8_0,
}

/// Every choice and its name.
const NAMES: [(Precision, &str); 5] = [
    (Precision::Stored, "stored"),
    (Precision::F32, "f32"),
    (Precision::Bf16, "bf16"),
    (Precision::F16, "f16"),
    (Precision::Q8_0, "q8_0"),
];

impl Precision {
    /// What holds where nothing is said of it, for a setting that need not be written.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(precision, _)| precision == self);
        f.write_str(name.expect("every precision has a name").1)
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = NAMES.iter().find(|(_, name)| *name == text);
        known.map(|(precision, _)| *precision).ok_or_else(|| {
            format!("found precision `{text}`, expected stored, f32, bf16, f16 or q8_0")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precision_is_read_as_it_is_written() {
        for (precision, name) in NAMES {
            assert_eq!(name.parse(), Ok(precision));
            assert_eq!(precision.to_string(), name);
            assert_eq!(serde_json::to_value(precision).expect("a name"), name);
        }
        let error = "int4".parse::<Precision>().expect_err("there is no such thing");
        assert_eq!(error, "found precision `int4`, expected stored, f32, bf16, f16 or q8_0");
    }
}
