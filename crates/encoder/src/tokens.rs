//! Which tokens of a window reach the resampler, and which stand for it in a table of embeddings.
//!
//! An encoder gives all its tokens in one order; what is taken of them is chosen here, by name, in
//! the same way for all encoders.

use std::{fmt, ops::Range};

use candle_core::{Result as CandleResult, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which tokens of a window are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenPolicy {
    /// As the encoder gives them; the class token, if there is one, comes first.
    #[default]
    All,
    /// Without the class token, and without tokens that saw nothing but padding.
    DataOnly,
    /// The class token alone.
    Cls,
    /// One token: the mean of those of `data_only`.
    Mean,
    /// One token a moment: the mean over parcels.
    ParcelMean,
    /// One token a moment: the mean over the places of a volume.
    SpaceMean,
    /// One token a parcel or place: the mean over time.
    TimeMean,
    /// As `time_mean` over so many moments at a time, place by place.
    TimeWindow(usize),
}

impl TokenPolicy {
    /// Whether it takes as many tokens where a window's last moments are missing.
    pub fn fits_short_windows(self) -> bool {
        matches!(self, Self::Cls | Self::Mean | Self::TimeMean)
    }
}

impl fmt::Display for TokenPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::DataOnly => f.write_str("data_only"),
            Self::Cls => f.write_str("cls"),
            Self::Mean => f.write_str("mean"),
            Self::ParcelMean => f.write_str("parcel_mean"),
            Self::SpaceMean => f.write_str("space_mean"),
            Self::TimeMean => f.write_str("time_mean"),
            Self::TimeWindow(n) => write!(f, "time_window: {n}"),
        }
    }
}

/// What the tokens of an encoder stand for, besides moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Places {
    /// Parcels, or groups of them.
    Parcels,
    /// Places of a volume.
    Space,
    /// Nothing that a mean could be taken over.
    Unnamed,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// In which order places and moments follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenOrder {
    /// All moments of the first place, then of the second.
    PlaceMajor,
    /// All places of the first moment, then of the second.
    TimeMajor,
}

/// How the tokens of one window lie: perhaps a class token, then places by moments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenLayout {
    /// Whether the first token is a class token.
    pub has_class: bool,
    /// Register tokens after it, which stand for no place or moment.
    #[serde(skip_serializing_if = "is_zero")]
    pub n_registers: usize,
    /// What a place is.
    pub places: Places,
    /// Places of the window.
    pub n_places: usize,
    /// Moments of the window.
    pub n_times: usize,
    /// How they follow.
    pub order: TokenOrder,
    /// Places that saw data; the others saw padding.
    pub data_places: Range<usize>,
    /// Moments that saw data.
    pub data_times: Range<usize>,
}

impl TokenLayout {
    /// So many tokens, about which nothing is known.
    pub fn plain(n_tokens: usize) -> Self {
        Self::grid(Places::Unnamed, n_tokens, 1, TokenOrder::PlaceMajor)
    }

    /// Places by moments, all of data, without a class token.
    pub fn grid(places: Places, n_places: usize, n_times: usize, order: TokenOrder) -> Self {
        let (data_places, data_times) = (0..n_places, 0..n_times);
        let (has_class, n_registers) = (false, 0);
        Self { has_class, n_registers, places, n_places, n_times, order, data_places, data_times }
    }

    /// With a class token before them.
    pub fn with_class(self) -> Self {
        Self { has_class: true, ..self }
    }

    /// With so many register tokens after the class token.
    pub fn with_registers(self, n_registers: usize) -> Self {
        Self { n_registers, ..self }
    }

    /// Where only some of the places and moments saw data.
    pub fn with_data(self, data_places: Range<usize>, data_times: Range<usize>) -> Self {
        Self { data_places, data_times, ..self }
    }

    /// All tokens that the encoder gives.
    pub fn n_all(&self) -> usize {
        self.n_prefix() + self.n_places * self.n_times
    }

    /// Tokens before those of places and moments.
    fn n_prefix(&self) -> usize {
        usize::from(self.has_class) + self.n_registers
    }

    /// Tokens that a policy takes.
    pub fn n_tokens(&self, policy: TokenPolicy) -> usize {
        let (n_places, n_times) = (self.data_places.len(), self.data_times.len());
        match policy {
            TokenPolicy::All => self.n_all(),
            TokenPolicy::DataOnly => n_places * n_times,
            TokenPolicy::Cls | TokenPolicy::Mean => 1,
            TokenPolicy::ParcelMean | TokenPolicy::SpaceMean => n_times,
            TokenPolicy::TimeMean => n_places,
            TokenPolicy::TimeWindow(n) => n_places * (n_times / n.max(1)),
        }
    }

    /// Whether the encoder has a policy; if not, why.
    pub fn check(&self, policy: TokenPolicy) -> Result<(), String> {
        let n_times = self.data_times.len();
        let refused = |why: &str| Err(format!("tokens is `{policy}`, but {why}"));
        match policy {
            TokenPolicy::Cls if !self.has_class => refused("the encoder has no class token"),
            TokenPolicy::ParcelMean if self.places != Places::Parcels => {
                refused("its tokens do not stand for parcels")
            }
            TokenPolicy::SpaceMean if self.places != Places::Space => {
                refused("its tokens do not stand for places of a volume")
            }
            TokenPolicy::TimeMean | TokenPolicy::TimeWindow(_)
                if self.places == Places::Unnamed =>
            {
                refused("its tokens do not stand for moments")
            }
            TokenPolicy::TimeWindow(n) if n == 0 || !n_times.is_multiple_of(n) => {
                refused(&format!("a window has {n_times} moments, which it must divide"))
            }
            _ => Ok(()),
        }
    }

    /// What a policy takes of all tokens `(n, n_all, vis_dim)`: `(n, n_tokens, vis_dim)`.
    pub fn pick(&self, policy: TokenPolicy, tokens: &Tensor) -> CandleResult<Tensor> {
        match policy {
            TokenPolicy::All => return Ok(tokens.clone()),
            TokenPolicy::Cls => return tokens.narrow(1, 0, 1),
            _ => {}
        }
        let (n, _, dim) = tokens.dims3()?;
        let (n_places, n_times) = (self.data_places.len(), self.data_times.len());
        // (n, places, times, dim), whatever the order was
        let data = self.data(tokens)?;
        match policy {
            TokenPolicy::All | TokenPolicy::Cls => unreachable!("taken above"),
            TokenPolicy::DataOnly => match self.order {
                TokenOrder::PlaceMajor => data,
                TokenOrder::TimeMajor => data.transpose(1, 2)?.contiguous()?,
            }
            .reshape((n, n_places * n_times, dim)),
            TokenPolicy::Mean => data.reshape((n, n_places * n_times, dim))?.mean_keepdim(1),
            TokenPolicy::ParcelMean | TokenPolicy::SpaceMean => data.mean(1),
            TokenPolicy::TimeMean => data.mean(2),
            TokenPolicy::TimeWindow(size) => data
                .reshape((n, n_places, n_times / size, size, dim))?
                .mean(3)?
                .reshape((n, n_places * (n_times / size), dim)),
        }
    }

    /// Weights of what a policy takes, given back to the places that saw data, for each the weights of its moments: what
    /// is a mean gives each of its parts as much. What lies on class and register tokens belongs to no place.
    pub fn spread(&self, policy: TokenPolicy, weights: &[f32]) -> Vec<Vec<f32>> {
        let (n_places, n_times) = (self.data_places.len(), self.data_times.len());
        let at = |place: usize, time: usize| match self.order {
            TokenOrder::PlaceMajor => place * n_times + time,
            TokenOrder::TimeMajor => time * n_places + place,
        };
        let of_all = |place: usize, time: usize| {
            let (place, time) = (self.data_places.start + place, self.data_times.start + time);
            let at = match self.order {
                TokenOrder::PlaceMajor => place * self.n_times + time,
                TokenOrder::TimeMajor => time * self.n_places + place,
            };
            weights[self.n_prefix() + at]
        };
        let weight = |place: usize, time: usize| match policy {
            TokenPolicy::All => of_all(place, time),
            TokenPolicy::DataOnly => weights[at(place, time)],
            TokenPolicy::Cls => 0.,
            TokenPolicy::Mean => weights[0] / (n_places * n_times) as f32,
            TokenPolicy::ParcelMean | TokenPolicy::SpaceMean => weights[time] / n_places as f32,
            TokenPolicy::TimeMean => weights[place] / n_times as f32,
            TokenPolicy::TimeWindow(size) => {
                weights[place * (n_times / size) + time / size] / size as f32
            }
        };
        let of_place = |place| (0..n_times).map(|time| weight(place, time)).collect();
        (0..n_places).map(of_place).collect()
    }

    fn data(&self, tokens: &Tensor) -> CandleResult<Tensor> {
        let (n, _, dim) = tokens.dims3()?;
        let (n_places, n_times) = (self.n_places, self.n_times);
        let grid = tokens.narrow(1, self.n_prefix(), n_places * n_times)?;
        let grid = match self.order {
            TokenOrder::PlaceMajor => grid.reshape((n, n_places, n_times, dim))?,
            TokenOrder::TimeMajor => grid.reshape((n, n_times, n_places, dim))?.transpose(1, 2)?,
        };
        grid.narrow(1, self.data_places.start, self.data_places.len())?
            .narrow(2, self.data_times.start, self.data_times.len())?
            .contiguous()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// A token's number is 100 · place + moment, the class token's −1.
    fn tokens(layout: &TokenLayout) -> Tensor {
        let (n_places, n_times) = (layout.n_places, layout.n_times);
        let of = |idx: usize| match layout.order {
            TokenOrder::PlaceMajor => 100 * (idx / n_times) + idx % n_times,
            TokenOrder::TimeMajor => 100 * (idx % n_places) + idx / n_places,
        };
        let class = layout.has_class.then_some(-1.);
        let values: Vec<f64> =
            class.into_iter().chain((0..n_places * n_times).map(|idx| of(idx) as f64)).collect();
        Tensor::from_vec(values, (1, layout.n_all(), 1), &Device::Cpu).unwrap()
    }

    fn picked(layout: &TokenLayout, policy: TokenPolicy) -> Vec<f64> {
        layout.check(policy).unwrap();
        let picked = layout.pick(policy, &tokens(layout)).unwrap();
        assert_eq!(picked.dims(), [1, layout.n_tokens(policy), 1], "{policy}");
        picked.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// Three parcels, four moments of which the middle two saw data.
    fn padded(order: TokenOrder) -> TokenLayout {
        TokenLayout::grid(Places::Parcels, 3, 4, order).with_class().with_data(0..2, 1..3)
    }

    #[test]
    fn each_policy_takes_what_it_says_in_both_orders() {
        for order in [TokenOrder::PlaceMajor, TokenOrder::TimeMajor] {
            let layout = padded(order);
            let data = picked(&layout, TokenPolicy::DataOnly);
            match order {
                TokenOrder::PlaceMajor => assert_eq!(data, [1., 2., 101., 102.]),
                TokenOrder::TimeMajor => assert_eq!(data, [1., 101., 2., 102.]),
            }
            assert_eq!(picked(&layout, TokenPolicy::All).len(), 13);
            assert_eq!(picked(&layout, TokenPolicy::Cls), [-1.]);
            assert_eq!(picked(&layout, TokenPolicy::Mean), [51.5]);
            assert_eq!(picked(&layout, TokenPolicy::ParcelMean), [51., 52.]);
            assert_eq!(picked(&layout, TokenPolicy::TimeMean), [1.5, 101.5]);
            assert_eq!(picked(&layout, TokenPolicy::TimeWindow(1)), [1., 2., 101., 102.]);
            assert_eq!(picked(&layout, TokenPolicy::TimeWindow(2)), [1.5, 101.5]);
        }
        let volume = TokenLayout::grid(Places::Space, 2, 2, TokenOrder::PlaceMajor);
        assert_eq!(picked(&volume, TokenPolicy::SpaceMean), [50., 51.]);
    }

    #[test]
    fn weights_of_tokens_go_back_to_where_they_were_taken() {
        for order in [TokenOrder::PlaceMajor, TokenOrder::TimeMajor] {
            let layout = padded(order).with_registers(2);
            let policies = [
                TokenPolicy::All,
                TokenPolicy::DataOnly,
                TokenPolicy::Mean,
                TokenPolicy::ParcelMean,
                TokenPolicy::TimeMean,
                TokenPolicy::TimeWindow(2),
            ];
            for policy in policies {
                // the sum of what is taken, each token by its weight, is that of the parts by theirs
                let weights: Vec<f32> =
                    (0..layout.n_tokens(policy)).map(|at| 1. + at as f32).collect();
                let spread = layout.spread(policy, &weights);
                let n_all = layout.n_all();
                let one = |at: usize| -> f64 {
                    let token = Tensor::arange(0u32, n_all as u32, &Device::Cpu).unwrap();
                    let token = token.eq(at as u32).unwrap().to_dtype(candle_core::DType::F64);
                    let taken =
                        layout.pick(policy, &token.unwrap().reshape((1, n_all, 1)).unwrap());
                    let taken: Vec<f64> = taken.unwrap().flatten_all().unwrap().to_vec1().unwrap();
                    taken.iter().zip(&weights).map(|(share, it)| share * f64::from(*it)).sum()
                };
                for (place, time) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let at = 3 + match order {
                        TokenOrder::PlaceMajor => place * 4 + 1 + time,
                        TokenOrder::TimeMajor => (1 + time) * 3 + place,
                    };
                    let found = f64::from(spread[place][time]);
                    assert!((found - one(at)).abs() < 1e-6, "{policy} {order:?} {place} {time}");
                }
            }
            assert!(layout.spread(TokenPolicy::Cls, &[3.]).iter().flatten().all(|it| *it == 0.));
        }
    }

    #[test]
    fn an_encoder_says_which_policies_it_has() {
        let plain = TokenLayout::plain(4);
        for policy in [TokenPolicy::Cls, TokenPolicy::ParcelMean, TokenPolicy::TimeMean] {
            assert!(plain.check(policy).is_err(), "{policy}");
        }
        let layout = padded(TokenOrder::PlaceMajor);
        assert!(layout.check(TokenPolicy::SpaceMean).is_err());
        assert_eq!(
            layout.check(TokenPolicy::TimeWindow(3)).unwrap_err(),
            "tokens is `time_window: 3`, but a window has 2 moments, which it must divide"
        );
    }
}
