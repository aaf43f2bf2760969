//! The non-linearity that a config names.

use candle_core::{Result, Tensor};
use nn::{Ops, gelu, silu};
use serde::{Deserialize, Serialize};

/// A pointwise non-linearity, by Hugging Face's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x · Φ(x)` with the exact error function.
    Gelu,
    /// Its approximation by a hyperbolic tangent (Hendrycks and Gimpel 2016, section 2).
    #[serde(rename = "gelu_new", alias = "gelu_fast", alias = "gelu_pytorch_tanh")]
    GeluTanh,
    /// `x · sigmoid(x)`.
    #[serde(alias = "swish")]
    Silu,
}

impl Activation {
    /// The same among those that follow a product in one pass.
    pub(crate) fn in_one_pass(self) -> Option<nn::Activation> {
        match self {
            Self::Gelu => Some(nn::Activation::Gelu),
            Self::Silu => Some(nn::Activation::Silu),
            Self::Relu | Self::GeluTanh => None,
        }
    }
}

impl Activation {
    /// Of every entry, by these operations; any shape.
    pub(crate) fn apply(self, ops: Ops, xs: &Tensor) -> Result<Tensor> {
        match self {
            Self::Relu => xs.relu(),
            Self::Gelu => gelu(ops, xs),
            Self::GeluTanh => xs.gelu(),
            Self::Silu => silu(ops, xs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nn::gradcheck::{check, sample};

    #[test]
    fn values_and_gradients_are_those_of_the_named_function() -> Result<()> {
        // torch.nn.functional in float64 at 1.0 and -0.5
        for (name, expected) in [
            ("relu", [1., 0.]),
            ("gelu", [0.841_344_746_068_542_9, -0.154_268_769_362_993_45]),
            ("gelu_new", [0.841_191_990_608_276_8, -0.154_285_990_174_856_08]),
            ("gelu_fast", [0.841_191_990_608_276_8, -0.154_285_990_174_856_08]),
            ("swish", [0.731_058_578_630_004_9, -0.188_770_334_399_072_7]),
        ] {
            let f: Activation = serde_json::from_str(&format!("{name:?}")).unwrap();
            let xs = Tensor::new(&[1f64, -0.5], &candle_core::Device::Cpu)?;
            let sampled = sample("x", (3, 5))?;
            for ops in Ops::ALL {
                let ys = f.apply(ops, &xs)?.to_vec1::<f64>()?;
                for (y, expected) in ys.into_iter().zip(expected) {
                    assert!((y - expected).abs() < 1e-9, "{name}: {y}");
                }
                check(&[("x", &sampled)], || f.apply(ops, &sampled)?.sqr()?.sum_all())?;
            }
        }
        Ok(())
    }

    #[test]
    fn an_unknown_name_is_refused() {
        let error = serde_json::from_str::<Activation>("\"quick_gelu\"").unwrap_err().to_string();
        assert!(error.contains("quick_gelu") && error.contains("gelu_new"), "{error}");
    }
}
