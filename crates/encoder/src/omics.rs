//! Numbers of a person as tokens: polygenic scores, expression, any columns of a table.
//!
//! ```text
//! columns (2, n_columns) ─ flat ─ linear ─ (n_tokens, vis_dim)
//! ```
//! The first row holds standardised values, 0 where one is missing; the second is 1 there and 0 elsewhere, so that the
//! network can tell what is missing from what is average. Each token is a linear map of all of them.

use candle_core::{Result as CandleResult, Tensor};
use nn::{Builder, Linear};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    BrainEncoder, EncoderSpec, Error, InputShape, InputSpace, Licence, Result, TokenLayout,
    TokenPolicy, WindowLength,
};

const NAME: &str = "omics";

/// How many tokens, and how wide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OmicsConfig {
    /// Tokens that stand for all columns together.
    pub n_tokens: usize,
    /// Width of a token (`vis_dim`).
    pub dim: usize,
}

impl OmicsConfig {
    pub(crate) fn spec(&self, input: InputShape) -> Result<EncoderSpec> {
        let Self { n_tokens, dim } = *self;
        if dim == 0 || n_tokens == 0 {
            let reason = format!("dim is {dim} and n_tokens is {n_tokens}, both must be above 0");
            return Err(Error::Setting { encoder: NAME, reason });
        }
        let InputShape::Columns { n } = input else {
            let (expected, found) = ("columns of numbers".to_owned(), input.to_string());
            return Err(Error::Input { encoder: NAME, expected, found });
        };
        Ok(EncoderSpec {
            name: NAME,
            id: "omics_v1".to_owned(),
            input: InputSpace::Columns { n },
            window: WindowLength::Any,
            t_r: None,
            normalisations: Vec::new(),
            vis_dim: dim,
            layout: TokenLayout::plain(n_tokens),
            tokens: TokenPolicy::All,
            licence: Licence::named("Apache-2.0"),
            short_scans: Vec::new(),
            drops_masked: false,
        })
    }
}

/// Tokens of columns. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Omics {
    embed: Linear,
    spec: EncoderSpec,
}

impl Omics {
    /// Reads `embed.weight` `(n_tokens · dim, 2 · n_columns)` and `embed.bias`.
    pub fn new(config: &OmicsConfig, input: InputShape, vb: Builder) -> CandleResult<Self> {
        let spec = config.spec(input).map_err(candle_core::Error::wrap)?;
        let n: usize = input.dims().iter().product();
        let embed = Linear::with_bias(n, config.n_tokens * config.dim, vb.pp("embed"))?;
        Ok(Self { embed, spec })
    }
}

impl BrainEncoder for Omics {
    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    fn windows(&self, windows: &Tensor, _: Option<&Tensor>) -> CandleResult<Tensor> {
        let flat = windows.flatten_from(1)?;
        let n = flat.dim(0)?;
        flat.apply(&self.embed)?.reshape((n, self.spec.n_tokens(), self.spec.vis_dim))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EncoderInput;
    use candle_core::DType;
    use nn::gradcheck::{check, sample};
    use nn::weights::Variables;

    const CONFIG: OmicsConfig = OmicsConfig { n_tokens: 3, dim: 4 };
    const INPUT: InputShape = InputShape::Columns { n: 5 };

    #[test]
    fn gradients_match_finite_differences() -> CandleResult<()> {
        let variables = Variables::default();
        let encoder = Omics::new(&CONFIG, INPUT, variables.builder(1, DType::F64))?;
        let columns = sample("columns", (2, 1, 1, 2, 5))?;
        let named = variables.all();
        let mut vars: Vec<_> = named.iter().map(|(name, var)| (name.as_str(), var)).collect();
        assert_eq!(vars.len(), 2);
        vars.push(("columns", &columns));
        check(&vars, || {
            let input = EncoderInput::new(columns.as_tensor().clone());
            encoder.encode(&input)?.values.sqr()?.sum_all()
        })
    }

    #[test]
    fn what_is_missing_differs_from_what_is_average() -> CandleResult<()> {
        let variables = Variables::default();
        let encoder = Omics::new(&CONFIG, INPUT, variables.builder(1, DType::F64))?;
        let mut values = [0f64; 20];
        values[15] = 1.;
        let columns = Tensor::from_slice(&values, (2, 2, 5), &candle_core::Device::Cpu)?;
        let tokens = encoder.windows(&columns, None)?;
        assert_eq!(tokens.dims(), [2, 3, 4]);
        let tokens = tokens.flatten_from(1)?.to_vec2::<f64>()?;
        assert!(tokens[0].iter().zip(&tokens[1]).all(|(a, b)| a != b));
        Ok(())
    }

    #[test]
    fn scans_and_sizes_of_nothing_are_refused() {
        let said = CONFIG.spec(InputShape::Image { size: 8 }).unwrap_err().to_string();
        assert!(said.contains("columns of numbers") && said.contains("8 × 8 pixels"), "{said}");
        let none = OmicsConfig { n_tokens: 0, dim: 4 }.spec(INPUT).unwrap_err().to_string();
        assert!(none.contains("n_tokens is 0"), "{none}");
    }
}
