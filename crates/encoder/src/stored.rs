//! Tokens computed elsewhere, by any model: the way in for encoders that this project does not have.

use std::path::{Path, PathBuf};

use candle_core::{Result as CandleResult, Tensor, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    BrainEncoder, EncoderSpec, Error, InputShape, InputSpace, Licence, Result, TokenLayout,
    TokenPolicy, Untrained, WindowLength,
};

const NAME: &str = "stored";

/// How wide the tokens are, and where they lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoredConfig {
    /// Width of a token (`vis_dim`).
    pub dim: usize,
    /// Tokens of all scans of a cohort; absent: they are the model's input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<StoredTokens>,
    /// Nothing: there are no weights.
    #[serde(default, skip_serializing)]
    pub trainable: Untrained,
}

impl StoredConfig {
    /// Tokens of this width that are the model's input.
    pub fn of_width(dim: usize) -> Self {
        Self { dim, tokens: None, trainable: Untrained::None }
    }
}

/// Files of tokens that another program wrote: for each scan `(n_windows, n_tokens, dim)`, or
/// `(n_tokens, dim)` where it has one window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoredTokens {
    /// One safetensors, HDF5 or PyTorch file: an array a scan, named as the scan is
    /// (`sub-01_ses-1_run-1`).
    File(PathBuf),
    /// A folder: a file a scan (`.npy`, `.safetensors`, `.h5`, `.pt`), named as the scan is, with one
    /// array in it.
    Folder(PathBuf),
}

impl StoredTokens {
    /// The file or folder.
    pub fn path(&self) -> &Path {
        let (Self::File(path) | Self::Folder(path)) = self;
        path
    }
}

impl StoredConfig {
    pub(crate) fn relocate(&mut self, place: &dyn Fn(&Path) -> PathBuf) {
        if let Some(StoredTokens::File(path) | StoredTokens::Folder(path)) = &mut self.tokens {
            *path = place(path);
        }
    }

    pub(crate) fn spec(&self, input: InputShape) -> Result<EncoderSpec> {
        let InputShape::Tokens { n_tokens, dim } = input else {
            return Err(Error::Input {
                encoder: NAME,
                expected: format!("tokens of {} numbers", self.dim),
                found: input.to_string(),
            });
        };
        if dim != self.dim {
            let reason = format!("dim is {}, the tokens have {dim} numbers", self.dim);
            return Err(Error::Setting { encoder: NAME, reason });
        }
        Ok(EncoderSpec {
            name: NAME,
            id: "stored_v1".to_owned(),
            input: InputSpace::Tokens { n: n_tokens, dim },
            window: WindowLength::Any,
            t_r: None,
            normalisations: Vec::new(),
            vis_dim: dim,
            layout: TokenLayout::plain(n_tokens),
            tokens: TokenPolicy::All,
            licence: Licence::named("the tokens' own"),
            short_scans: Vec::new(),
            drops_masked: false,
        })
    }
}

/// Hands its input on. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Stored(EncoderSpec);

impl Stored {
    /// Without weights: the tokens are the input.
    pub fn new(config: &StoredConfig, input: InputShape) -> Result<Self> {
        config.spec(input).map(Self)
    }
}

impl BrainEncoder for Stored {
    fn spec(&self) -> &EncoderSpec {
        &self.0
    }

    fn windows(&self, windows: &Tensor, _: Option<&Tensor>) -> CandleResult<Tensor> {
        let (.., dim) = windows.dims3()?;
        if dim != self.0.vis_dim {
            bail!("stored tokens have {dim} numbers each, expected {}", self.0.vis_dim)
        }
        Ok(windows.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_another_width_are_refused_with_both_numbers() {
        let config = StoredConfig::of_width(8);
        let error = Stored::new(&config, InputShape::Tokens { n_tokens: 4, dim: 6 }).unwrap_err();
        assert!(error.to_string().contains("dim is 8, the tokens have 6"), "{error}");
        assert!(Stored::new(&config, InputShape::Image { size: 8 }).is_err());
    }
}
