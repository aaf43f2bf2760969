//! What a block must know besides its tokens: positions and padding.

use std::sync::Arc;

use candle_core::{Result, bail};
use nn::{KeyMask, Mask};

/// Positions and attention mask of one pass, shared by all blocks.
#[derive(Clone, Debug)]
pub struct Step {
    /// Position of each token, row by row; padding counts for nothing.
    pub positions: Arc<Vec<u32>>,
    /// Whether each token is real, row by row.
    pub real: Arc<Vec<bool>>,
    /// Which past and present tokens each token may see.
    pub mask: Mask,
}

impl Step {
    /// A pass over the last `n_tokens` of rows whose real tokens `real` marks (`true`), padding on
    /// either side. `real[b]` covers past and present: its length is past + `n_tokens`.
    ///
    /// A token sees the real tokens up to and including itself; positions count real tokens, so
    /// that neither side's padding moves them.
    pub fn new(real: &[Vec<bool>], n_tokens: usize) -> Result<Self> {
        let n_keys = real.first().map_or(0, Vec::len);
        if real.iter().any(|row| row.len() != n_keys) || n_tokens > n_keys || n_tokens == 0 {
            bail!("rows of a batch must be padded to one length that holds the new tokens")
        }
        let past = n_keys - n_tokens;
        let mut positions = Vec::with_capacity(real.len() * n_tokens);
        let new = real.iter().flat_map(|row| row[past..].iter().copied()).collect();
        let mut allowed = Vec::with_capacity(real.len() * n_tokens * n_keys);
        for row in real {
            let mut seen = row[..past].iter().filter(|&&real| real).count() as u32;
            for query in past..n_keys {
                seen += u32::from(row[query]);
                positions.push(seen.saturating_sub(1));
                allowed.extend((0..n_keys).map(|key| key <= query && row[key]));
            }
        }
        let mask = KeyMask { allowed, rows: None, n_queries: n_tokens, n_keys };
        Ok(Self { positions: Arc::new(positions), real: Arc::new(new), mask: Mask::new(mask)? })
    }

    /// A pass over whole rows without padding or past.
    pub fn plain(batch: usize, n_tokens: usize) -> Result<Self> {
        Self::new(&vec![vec![true; n_tokens]; batch], n_tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_on_either_side_moves_no_position() -> Result<()> {
        let (t, f) = (true, false);
        let step = Step::new(&[vec![f, t, t], vec![t, t, f]], 3)?;
        assert_eq!(*step.positions, vec![0, 0, 1, 0, 1, 1]);
        let last = Step::new(&[vec![f, t, t, t]], 1)?;
        assert_eq!((*last.positions).clone(), vec![2]);
        Ok(())
    }

    #[test]
    fn rows_of_different_length_are_an_error() {
        assert!(Step::new(&[vec![true], vec![true, true]], 1).is_err());
        assert!(Step::new(&[vec![true]], 2).is_err());
    }
}
