//! How a config stretches the rotary positions.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits::{self, POSITIONS};

/// The rotary part of a config: `rope_scaling` as transformers wrote it up to version 4, or
/// `rope_parameters` as it writes it since 5, where base and width moved in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct Rope {
    /// What happens to the frequencies.
    pub scaling: RopeScaling,
    /// Base of the frequencies, where it is said here.
    pub theta: Option<f64>,
    /// Share of a head that is rotated, where it is said here.
    pub partial: Option<f64>,
    /// What cosines and sines are multiplied with, where it is said: by GGUF files alone.
    pub magnitude: Option<f64>,
}

/// A rule that changes the rotary frequencies so that a model reaches further than it was trained.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum RopeScaling {
    /// None.
    #[default]
    Plain,
    /// All frequencies divided (Chen et al. 2023).
    Linear {
        /// By this.
        factor: f64,
    },
    /// Low frequencies divided, high ones kept, those between interpolated (Llama 3.1).
    Llama3 {
        /// By this.
        factor: f64,
        /// A wavelength longer than `original / low_freq_factor` positions is low.
        low_freq_factor: f64,
        /// A wavelength shorter than `original / high_freq_factor` positions is high.
        high_freq_factor: f64,
        /// Longest sequence of the first training.
        original: f64,
    },
    /// Each frequency divided by its own number, as a GGUF file stores the result of such a rule.
    Each {
        /// One a frequency.
        divisors: Vec<f64>,
    },
}

impl Rope {
    /// The same settings for every version of transformers: base and rule apart as up to version 4,
    /// and together as since version 5.
    pub(crate) fn places(&self) -> [(&'static str, Value); 3] {
        let value = |rope: &Self| serde_json::to_value(rope).expect("numbers and names are JSON");
        let rule = match self.scaling {
            RopeScaling::Plain => Value::Null,
            _ => value(&Self { theta: None, ..self.clone() }),
        };
        let theta = self.theta.map_or(Value::Null, Value::from);
        [("rope_theta", theta), ("rope_scaling", rule), ("rope_parameters", value(self))]
    }
}

impl RopeScaling {
    /// `base^(−2i / dim)` for `i` in `0..dim / 2`, scaled.
    pub(crate) fn frequencies(&self, dim: usize, base: f64) -> Vec<f64> {
        let plain = |i| base.powf(-2. * i as f64 / dim as f64);
        (0..dim / 2).map(|i| self.scaled(i, plain(i))).collect()
    }

    fn scaled(&self, i: usize, frequency: f64) -> f64 {
        match self {
            Self::Plain => frequency,
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original } => {
                let turns = original * frequency / (2. * std::f64::consts::PI);
                let kept = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
                let kept = kept.clamp(0., 1.);
                (1. - kept) * frequency / factor + kept * frequency
            }
            Self::Each { divisors } => frequency / divisors[i],
        }
    }

    /// What is wrong with a rule for heads of which `dim` entries are rotated, in a config that says
    /// `n_positions`.
    pub(crate) fn problem(&self, dim: usize, n_positions: usize) -> Option<String> {
        match self {
            Self::Each { divisors } if divisors.len() != dim / 2 => Some(format!(
                "found divisors for {} rotary frequencies, expected {}",
                divisors.len(),
                dim / 2
            )),
            Self::Each { divisors } => divisors
                .iter()
                .find_map(|&divisor| limits::positive("divisor of a rotary frequency", divisor)),
            Self::Linear { factor } => limits::positive("factor of the rotary scaling", *factor)
                .or_else(|| {
                    let reach = self.reach(n_positions);
                    limits::count(&[("longest sequence × factor", reach, POSITIONS)])
                }),
            Self::Plain | Self::Llama3 { .. } => None,
        }
    }

    /// The longest sequence of a config that says `n_positions`: a linear factor multiplies it, the
    /// other rules count it in already.
    pub(crate) fn reach(&self, n_positions: usize) -> usize {
        match self {
            Self::Linear { factor } => (n_positions as f64 * factor) as usize,
            Self::Plain | Self::Llama3 { .. } | Self::Each { .. } => n_positions,
        }
    }
}

/// The entries as files spell them.
#[derive(Default, Serialize, Deserialize)]
struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    rope_type: Option<String>,
    /// The name before transformers 4.43, still written beside the new one.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    old_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    factor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    low_freq_factor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high_freq_factor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_max_position_embeddings: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rope_theta: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_rotary_factor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    divisors: Option<Vec<f64>>,
    // not transformers' `attention_factor`, which the rules above ignore there
    #[serde(skip_serializing_if = "Option::is_none")]
    magnitude: Option<f64>,
}

impl TryFrom<Fields> for Rope {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let kind = fields.rope_type.or(fields.old_type).unwrap_or_else(|| "default".to_owned());
        let need = |name: &str, value: Option<f64>| match value {
            Some(value) if value > 0. => Ok(value),
            found => Err(format!(
                "rotary scaling `{kind}` needs a positive `{name}`, found {}",
                found.map_or("none".to_owned(), |value| value.to_string())
            )),
        };
        let factor = || need("factor", fields.factor);
        let scaling = match kind.as_str() {
            "default" => RopeScaling::Plain,
            "linear" => RopeScaling::Linear { factor: factor()? },
            "llama3" => {
                let low_freq_factor = need("low_freq_factor", fields.low_freq_factor)?;
                let high_freq_factor = need("high_freq_factor", fields.high_freq_factor)?;
                if high_freq_factor <= low_freq_factor {
                    return Err(format!(
                        "rotary scaling `llama3` needs high_freq_factor above low_freq_factor, \
                         found {high_freq_factor} and {low_freq_factor}"
                    ));
                }
                let original = fields.original_max_position_embeddings;
                RopeScaling::Llama3 {
                    factor: factor()?,
                    low_freq_factor,
                    high_freq_factor,
                    original: need("original_max_position_embeddings", original)?,
                }
            }
            "each" => {
                let divisors = fields.divisors.unwrap_or_default();
                RopeScaling::Each { divisors }
            }
            _ => {
                return Err(format!(
                    "found rotary scaling `{kind}`, expected `default`, `linear` or `llama3`"
                ));
            }
        };
        Ok(Self {
            scaling,
            theta: fields.rope_theta,
            partial: fields.partial_rotary_factor,
            magnitude: fields.magnitude,
        })
    }
}

impl From<Rope> for Fields {
    fn from(rope: Rope) -> Self {
        let fields = match rope.scaling {
            RopeScaling::Plain => Self { rope_type: Some("default".to_owned()), ..Self::default() },
            RopeScaling::Linear { factor } => Self {
                rope_type: Some("linear".to_owned()),
                factor: Some(factor),
                ..Self::default()
            },
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => Self {
                rope_type: Some("llama3".to_owned()),
                factor: Some(factor),
                low_freq_factor: Some(low_freq_factor),
                high_freq_factor: Some(high_freq_factor),
                original_max_position_embeddings: Some(original),
                ..Self::default()
            },
            RopeScaling::Each { divisors } => Self {
                rope_type: Some("each".to_owned()),
                divisors: Some(divisors),
                ..Self::default()
            },
        };
        let (rope_theta, partial_rotary_factor) = (rope.theta, rope.partial);
        Self { rope_theta, partial_rotary_factor, magnitude: rope.magnitude, ..fields }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LLAMA_3_1: &str = r#"{"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192, "rope_type": "llama3", "type": "llama3"}"#;

    fn rope(text: &str) -> Result<Rope, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn llama_3_keeps_fast_turns_divides_slow_ones_and_blends_between() {
        let scaling = rope(LLAMA_3_1).unwrap().scaling;
        let frequencies = scaling.frequencies(128, 500_000.);
        for (i, &scaled) in frequencies.iter().enumerate() {
            // the rule by wavelengths, as Llama 3.1's own code states it
            let plain = 500_000f64.powf(-(i as f64) / 64.);
            let wavelength = 2. * std::f64::consts::PI / plain;
            let expected = if wavelength < 8192. / 4. {
                plain
            } else if wavelength > 8192. {
                plain / 8.
            } else {
                let smooth = (8192. / wavelength - 1.) / 3.;
                (1. - smooth) * plain / 8. + smooth * plain
            };
            assert!((scaled / expected - 1.).abs() < 1e-12, "{i}: {scaled} {expected}");
        }
        let plain = RopeScaling::Plain.frequencies(128, 500_000.);
        assert_eq!((frequencies[0], frequencies[63]), (plain[0], plain[63] / 8.));
        assert_eq!(scaling.reach(131_072), 131_072);
    }

    #[test]
    fn a_linear_factor_stretches_positions_and_length() {
        let linear = rope(r#"{"type": "linear", "factor": 4.0}"#).unwrap();
        assert_eq!(linear.scaling.frequencies(4, 100.), vec![0.25, 0.025]);
        assert_eq!(linear.scaling.reach(2048), 8192);
        assert_eq!(linear.scaling.problem(4, 2048), None);
        let far = linear.scaling.problem(4, POSITIONS).unwrap();
        assert_eq!(far, "longest sequence × factor is 67108864, expected 1 to 16777216");
        for factor in [0., -2., f64::INFINITY, f64::NAN] {
            let problem = RopeScaling::Linear { factor }.problem(4, 2048).unwrap();
            assert!(problem.contains(&format!("factor of the rotary scaling is {factor}")));
        }
    }

    #[test]
    fn divisors_are_one_a_frequency() {
        let each = RopeScaling::Each { divisors: vec![1., 8.] };
        assert_eq!(each.frequencies(4, 100.), vec![1., 0.1 / 8.]);
        assert_eq!(each.problem(4, 64), None);
        assert!(each.problem(6, 64).unwrap().contains("2 rotary frequencies, expected 3"));
        let zero = RopeScaling::Each { divisors: vec![1., 0.] };
        assert!(zero.problem(4, 64).unwrap().contains("divisor of a rotary frequency is 0"));
    }

    #[test]
    fn a_rope_reads_back_as_written() {
        for text in [
            LLAMA_3_1,
            r#"{"type": "linear", "factor": 2.0}"#,
            r#"{"rope_type": "default", "rope_theta": 500000.0, "partial_rotary_factor": 0.25}"#,
            r#"{"rope_type": "each", "divisors": [1.0, 8.0], "magnitude": 1.5}"#,
        ] {
            let read = rope(text).unwrap();
            assert_eq!(rope(&serde_json::to_string(&read).unwrap()).unwrap(), read);
        }
    }

    #[test]
    fn unknown_or_incomplete_scaling_is_refused_in_a_sentence() {
        for (text, expected) in [
            (r#"{"type": "dynamic", "factor": 2.0}"#, "found rotary scaling `dynamic`, expected"),
            (r#"{"rope_type": "linear"}"#, "`linear` needs a positive `factor`, found none"),
            (r#"{"rope_type": "linear", "factor": 0}"#, "a positive `factor`, found 0"),
            (&LLAMA_3_1.replace("4.0", "0.5"), "high_freq_factor above low_freq_factor"),
        ] {
            let error = rope(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
