//! Which tokens an encoder sees, and in which order: the masking of masked autoencoders.

use candle_core::{DType, Result, Tensor, bail};

/// The order that ascending noise gives, cut off after the tokens that are kept (He et al. 2022).
///
/// Noise `0, 1, 2, …` and a ratio of 0 is the identity, which is how scans are encoded.
#[derive(Clone, Debug)]
pub struct Masking {
    /// `(batch · n_kept)` rows of the flattened tokens.
    kept: Tensor,
    /// `(batch, n_tokens)`: where each token went.
    restore: Tensor,
    n_kept: usize,
}

impl Masking {
    /// From noise `(batch, n_tokens)`; the share `mask_ratio` with the largest noise is hidden.
    pub fn new(noise: &Tensor, mask_ratio: f64) -> Result<Self> {
        let (batch, n_tokens) = noise.dims2()?;
        if !(0. ..1.).contains(&mask_ratio) {
            bail!("a mask ratio of {mask_ratio}, expected at least 0 and below 1")
        }
        let n_kept = (n_tokens as f64 * (1. - mask_ratio)) as usize;
        let mut kept = Vec::with_capacity(batch * n_kept);
        let mut restore = vec![0u32; batch * n_tokens];
        for (item, noise) in noise.to_dtype(DType::F64)?.to_vec2::<f64>()?.iter().enumerate() {
            let mut order: Vec<usize> = (0..n_tokens).collect();
            order.sort_by(|&a, &b| noise[a].total_cmp(&noise[b]));
            for (place, &token) in order.iter().enumerate() {
                restore[item * n_tokens + token] = place as u32;
            }
            kept.extend(order[..n_kept].iter().map(|&token| (item * n_tokens + token) as u32));
        }
        let device = noise.device();
        Ok(Self {
            kept: Tensor::from_vec(kept, batch * n_kept, device)?,
            restore: Tensor::from_vec(restore, (batch, n_tokens), device)?,
            n_kept,
        })
    }

    /// All of `n_tokens` tokens as they stand.
    pub fn identity(batch: usize, n_tokens: usize, like: &Tensor) -> Result<Self> {
        let noise = Tensor::arange(0f64, n_tokens as f64, like.device())?;
        Self::new(&noise.broadcast_as((batch, n_tokens))?.contiguous()?, 0.)
    }

    /// Tokens that the encoder sees.
    pub fn n_kept(&self) -> usize {
        self.n_kept
    }

    /// `(batch, n_tokens)`: the place of each token in the shuffled sequence.
    pub fn restore(&self) -> &Tensor {
        &self.restore
    }

    /// `(batch, n_tokens)` in `f32`, 1 where a token is hidden.
    pub fn hidden(&self) -> Result<Tensor> {
        self.restore.ge(self.n_kept as u32)?.to_dtype(DType::F32)
    }

    /// `(batch, n_tokens, dim)` to `(batch, n_kept, dim)`.
    pub(super) fn keep(&self, tokens: &Tensor) -> Result<Tensor> {
        let (batch, n_tokens, dim) = tokens.dims3()?;
        if (batch, n_tokens) != self.restore.dims2()? {
            bail!("an order of {:?} tokens for {:?}", self.restore.dims(), tokens.dims())
        }
        tokens.flatten_to(1)?.index_select(&self.kept, 0)?.reshape((batch, self.n_kept, dim))
    }

    /// `(batch, n_kept, dim)` back to `(batch, n_tokens, dim)`, `mask_token` `(dim)` where a token
    /// is hidden.
    pub(super) fn unshuffle(&self, kept: &Tensor, mask_token: &Tensor) -> Result<Tensor> {
        let (batch, n_tokens) = self.restore.dims2()?;
        let (_, n_kept, dim) = kept.dims3()?;
        let n_hidden = n_tokens - n_kept;
        let shuffled = if n_hidden == 0 {
            kept.clone()
        } else {
            let hidden = mask_token.reshape((1, 1, dim))?;
            Tensor::cat(&[kept, &hidden.broadcast_as((batch, n_hidden, dim))?], 1)?
        };
        let starts = Tensor::arange(0u32, batch as u32, kept.device())?;
        let rows = (starts * n_tokens as f64)?.unsqueeze(1)?.broadcast_add(&self.restore)?;
        let shuffled = shuffled.contiguous()?.flatten_to(1)?;
        shuffled.index_select(&rows.flatten_all()?, 0)?.reshape((batch, n_tokens, dim))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn what_is_kept_comes_back_to_its_place() -> Result<()> {
        let noise = Tensor::new(&[[0.3, 0.1, 0.9, 0.2f64], [0.8, 0.7, 0.6, 0.5]], &Device::Cpu)?;
        let order = Masking::new(&noise, 0.5)?;
        assert_eq!(order.restore().to_vec2::<u32>()?, [[2, 0, 3, 1], [3, 2, 1, 0]]);
        assert_eq!(order.hidden()?.to_vec2::<f32>()?, [[1., 0., 1., 0.], [1., 1., 0., 0.]]);
        let tokens = Tensor::arange(0f64, 8., &Device::Cpu)?.reshape((2, 4, 1))?;
        let kept = order.keep(&tokens)?;
        assert_eq!(kept.flatten_all()?.to_vec1::<f64>()?, [1., 3., 7., 6.]);
        let back = order.unshuffle(&kept, &Tensor::new(&[-1f64], &Device::Cpu)?)?;
        assert_eq!(back.flatten_all()?.to_vec1::<f64>()?, [-1., 1., -1., 3., -1., -1., 6., 7.]);
        Ok(())
    }

    #[test]
    fn equal_noise_keeps_the_order_and_a_ratio_of_one_is_refused() -> Result<()> {
        let noise = Tensor::zeros((1, 20), DType::F32, &Device::Cpu)?;
        let order = Masking::new(&noise, 0.)?;
        assert_eq!(order.restore().to_vec2::<u32>()?[0], (0..20).collect::<Vec<_>>());
        assert!(Masking::new(&noise, 1.).is_err());
        Ok(())
    }
}
