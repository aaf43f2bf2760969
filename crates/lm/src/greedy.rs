//! Choosing the next token.

use candle_core::{Result, Tensor, bail};

/// The likeliest id of each row of logits `(batch, vocab)`, `banned` ids left out; of equal
/// logits the lowest id wins.
pub fn greedy(logits: &Tensor, banned: &[u32]) -> Result<Vec<u32>> {
    let rows = logits.to_dtype(candle_core::DType::F32)?.to_vec2::<f32>()?;
    rows.iter()
        .map(|row| {
            let mut best: Option<(usize, f32)> = None;
            for (id, &logit) in row.iter().enumerate() {
                if logit.is_nan() {
                    bail!("the model's logits are not finite")
                }
                let better = best.is_none_or(|(_, best)| logit > best);
                if better && !banned.contains(&(id as u32)) {
                    best = Some((id, logit));
                }
            }
            match best {
                Some((id, _)) => Ok(id as u32),
                None => bail!("every token is banned"),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_likeliest_allowed_token_wins_and_ties_go_to_the_lowest_id() -> Result<()> {
        let logits = Tensor::new(&[[0f32, 5., 2., 2.], [1., 1., 0., 0.]], &Device::Cpu)?;
        assert_eq!(greedy(&logits, &[])?, vec![1, 0]);
        assert_eq!(greedy(&logits, &[1])?, vec![2, 0]);
        Ok(())
    }

    #[test]
    fn logits_that_are_not_numbers_are_an_error() -> Result<()> {
        assert!(greedy(&Tensor::new(&[[0f32, f32::NAN]], &Device::Cpu)?, &[]).is_err());
        Ok(())
    }
}
