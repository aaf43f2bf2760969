//! Functional connectivity as tokens: the baseline that every brain encoder has to beat.
//!
//! ```text
//! window (n_frames, n_parcels) ─ correlation ─ Fisher z ─ (n_parcels, n_parcels)
//! ```
//! One token a parcel: its row, what it goes together with. Pearson correlation, the inverse
//! hyperbolic tangent (Fisher 1915), 0 on the diagonal; a parcel that does not vary goes with
//! nothing. There are no weights.

use candle_core::{DType, Result as CandleResult, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    BrainEncoder, EncoderSpec, Error, InputShape, InputSpace, Licence, Places, Result, TokenLayout,
    TokenOrder, TokenPolicy, Untrained, WindowLength,
};

const NAME: &str = "connectivity";

/// Fewest frames with a correlation that is not ±1 by necessity.
const LEAST: usize = 3;

/// Which tokens are taken; the atlas decides how many there are, and how wide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectivityConfig {
    /// `all` or `mean`.
    #[serde(default)]
    pub tokens: TokenPolicy,
    /// Nothing: there are no weights.
    #[serde(default, skip_serializing)]
    pub trainable: Untrained,
}

impl ConnectivityConfig {
    pub(crate) fn spec(&self, input: InputShape) -> Result<EncoderSpec> {
        let InputShape::Window { n_voxels: n, .. } = input else {
            let (expected, found) = ("windows of parcel series".to_owned(), input.to_string());
            return Err(Error::Input { encoder: NAME, expected, found });
        };
        let layout = TokenLayout::grid(Places::Parcels, n, 1, TokenOrder::PlaceMajor);
        layout.check(self.tokens).map_err(|reason| Error::Setting { encoder: NAME, reason })?;
        Ok(EncoderSpec {
            name: NAME,
            id: "connectivity_v1".to_owned(),
            input: InputSpace::Parcels { atlas: None, n, coordinates: false },
            window: WindowLength::Between { least: LEAST, most: usize::MAX },
            t_r: None,
            normalisations: Vec::new(),
            vis_dim: n,
            layout,
            tokens: self.tokens,
            licence: Licence::named("Apache-2.0"),
            short_scans: Vec::new(),
            drops_masked: false,
        })
    }
}

/// Rows of the connectivity matrix. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Connectivity(EncoderSpec);

impl Connectivity {
    /// Without weights.
    pub fn new(config: &ConnectivityConfig, input: InputShape) -> Result<Self> {
        config.spec(input).map(Self)
    }
}

impl BrainEncoder for Connectivity {
    fn spec(&self) -> &EncoderSpec {
        &self.0
    }

    fn windows(&self, windows: &Tensor, _: Option<&Tensor>) -> CandleResult<Tensor> {
        let (_, _, n_parcels) = windows.dims3()?;
        let series = windows.to_dtype(DType::F64)?;
        let mean = series.mean_keepdim(1)?;
        let centred = series.broadcast_sub(&mean)?;
        let norm = centred.sqr()?.sum_keepdim(1)?.sqrt()?;
        // rounding leaves a little of a constant
        let floor = ((mean.abs()? * (1e-6 * (windows.dim(1)? as f64).sqrt()))? + 1e-12)?;
        let varies = norm.gt(&floor)?;
        let safe = varies.where_cond(&norm, &norm.ones_like()?)?;
        let unit = centred.broadcast_div(&safe)?;
        let unit = unit.broadcast_mul(&varies.to_dtype(DType::F64)?)?;
        let correlation = unit.transpose(1, 2)?.contiguous()?.matmul(&unit)?;
        let off = (1. - Tensor::eye(n_parcels, DType::F64, windows.device())?)?;
        let limit = 1. - 1e-12;
        let r = correlation.broadcast_mul(&off)?.clamp(-limit, limit)?;
        // artanh r = ½ ln((1 + r) / (1 − r))
        let z = ((((&r + 1.)?.log()? - (1. - &r)?.log()?)?) * 0.5)?;
        z.to_dtype(windows.dtype())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EncoderInput;
    use candle_core::Device;

    const INPUT: InputShape = InputShape::Window { n_frames: 4, n_voxels: 3 };

    #[test]
    fn a_token_is_the_row_of_its_parcel() -> CandleResult<()> {
        let encoder = Connectivity::new(&ConnectivityConfig::default(), INPUT).unwrap();
        // r of the first two by hand: (1·2 + 0·1 + 0·−3 − 1·0) / √(2 · 14) = 2 / √28
        let series = [1f64, 2., 5., 0., 1., 5., 0., -3., 5., -1., 0., 5.];
        let values = Tensor::from_slice(&series, (1, 1, 1, 4, 3), &Device::Cpu)?;
        let tokens = encoder.encode(&EncoderInput::new(values))?.values;
        assert_eq!(tokens.dims(), [1, 1, 1, 3, 3]);
        let rows = tokens.reshape((3, 3))?.to_vec2::<f64>()?;
        let expected = (2. / 28f64.sqrt()).atanh();
        assert!((rows[0][1] - expected).abs() < 1e-12 && (rows[1][0] - expected).abs() < 1e-12);
        assert!((0..3).all(|i| rows[i][i] == 0.), "{rows:?}");
        assert!((0..3).all(|i| rows[2][i] == 0. && rows[i][2] == 0.), "a flat parcel: {rows:?}");
        Ok(())
    }

    #[test]
    fn parcels_that_are_the_same_stay_finite() -> CandleResult<()> {
        let encoder = Connectivity::new(&ConnectivityConfig::default(), INPUT).unwrap();
        let series = [1f32, 1., -1., 2., 2., -2., 3., 3., -3., 5., 5., -5.];
        let values = Tensor::from_slice(&series, (1, 4, 3), &Device::Cpu)?;
        let rows = encoder.windows(&values, None)?.squeeze(0)?.to_vec2::<f32>()?;
        assert!(rows[0][1] > 10. && rows[0][2] < -10. && rows[0][1].is_finite(), "{rows:?}");
        Ok(())
    }

    #[test]
    fn what_has_no_parcels_or_no_class_token_is_refused() {
        let spec = |tokens, input| ConnectivityConfig { tokens, ..Default::default() }.spec(input);
        assert!(spec(TokenPolicy::All, InputShape::Image { size: 8 }).is_err());
        let error = spec(TokenPolicy::Cls, INPUT).unwrap_err().to_string();
        assert_eq!(
            error,
            "encoder `connectivity`: tokens is `cls`, but the encoder has no class token"
        );
        assert!(spec(TokenPolicy::Mean, INPUT).unwrap().check_window(2).is_err());
    }
}
