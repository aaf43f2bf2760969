//! Texts with their special tokens, as padded rows of ids.

use candle_core::{Device, Tensor};
use lm::{Step, Tokenizer};

use crate::{Error, Result, TextView, media};

/// Ends a report; the model stops when it writes it.
pub const END_OF_CHUNK: &str = "<|endofchunk|>";
/// Stands for one scan in the text.
pub const IMAGE: &str = "<image>";
const PAD: &str = "<PAD>";

/// A language model's tokenizer with Flamingo's special tokens, added as OpenFlamingo adds them:
/// `<|endofchunk|>`, `<image>`, and `<PAD>` where the tokenizer has no padding token.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// The tokenizer, special tokens included.
    pub tokenizer: Tokenizer,
    /// Id of [`END_OF_CHUNK`].
    pub end_of_chunk: u32,
    /// Id of [`IMAGE`].
    pub image: u32,
    /// Rows that the special tokens need beyond the language model's embedding.
    pub n_special: usize,
    /// Special ids that a report must never contain.
    pub banned: Vec<u32>,
}

impl Vocabulary {
    /// Adds the special tokens; `vocab_size` is the language model's.
    ///
    /// # Errors
    /// When the tokenizer's ids do not continue the embedding's rows.
    pub fn new(mut tokenizer: Tokenizer, vocab_size: usize) -> Result<Self> {
        let known = tokenizer.vocab_size();
        if known != vocab_size {
            return Err(lm::Error::Tokenizer(format!(
                "it knows {known} tokens, but the language model's embedding has {vocab_size} rows"
            ))
            .into());
        }
        let mut special = vec![END_OF_CHUNK, IMAGE];
        if !tokenizer.has_pad() {
            special.push(PAD);
        }
        tokenizer.add_special(&special)?;
        let id = |token| tokenizer.id(token).expect("added above");
        let (end_of_chunk, image) = (id(END_OF_CHUNK), id(IMAGE));
        let first_new = vocab_size as u32;
        let banned = (first_new..tokenizer.vocab_size() as u32).filter(|&id| id != end_of_chunk);
        Ok(Self {
            end_of_chunk,
            image,
            n_special: tokenizer.vocab_size() - vocab_size,
            banned: banned.collect(),
            tokenizer,
        })
    }

    /// Ids of a prompt, checked against its number of scans.
    pub fn prompt(&self, text: &str, n_media: usize) -> Result<Vec<u32>> {
        let ids = self.tokenizer.encode(text)?.ids;
        let tokens = ids.iter().filter(|&&id| id == self.image).count();
        if tokens != n_media {
            return Err(Error::MediaCount { tokens, media: n_media });
        }
        Ok(ids)
    }
}

/// Rows of ids padded to one length; the padding is marked, so its id never matters.
pub struct Prompts {
    rows: Vec<Vec<u32>>,
    real: Vec<Vec<bool>>,
    image: u32,
}

impl Prompts {
    /// Pads on the left, for writing on.
    pub fn left_padded(rows: Vec<Vec<u32>>, image: u32) -> Self {
        Self::padded(rows, image, true)
    }

    /// Pads on the right, for reading whole texts.
    pub fn right_padded(rows: Vec<Vec<u32>>, image: u32) -> Self {
        Self::padded(rows, image, false)
    }

    fn padded(rows: Vec<Vec<u32>>, image: u32, left: bool) -> Self {
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        let (mut padded, mut real) = (Vec::new(), Vec::new());
        for row in rows {
            let (padding, n) = (longest - row.len(), row.len());
            let flags = |first: bool, a, b| [vec![first; a], vec![!first; b]].concat();
            real.push(if left { flags(false, padding, n) } else { flags(true, n, padding) });
            let zeros = vec![0; padding];
            padded.push(if left { [zeros, row].concat() } else { [row, zeros].concat() });
        }
        Self { rows: padded, real, image }
    }

    /// Tokens in a row, padding included.
    pub fn n_tokens(&self) -> usize {
        self.rows.first().map_or(0, Vec::len)
    }

    /// The rows as one pass of a model that reads at most `limit` tokens.
    pub fn view(&self, limit: usize) -> Result<TextView> {
        if self.n_tokens() > limit {
            return Err(Error::TooLong { found: self.n_tokens(), limit });
        }
        let shape = (self.rows.len(), self.n_tokens());
        Ok(TextView {
            ids: Tensor::from_vec(self.rows.concat(), shape, &Device::Cpu)?,
            step: Step::new(&self.real, self.n_tokens())?,
            text_time: self.rows.iter().map(|row| media::text_time(row, self.image)).collect(),
        })
    }

    /// Appends one token to each row and returns the pass over these tokens alone.
    ///
    /// They see the scan that their row's text ended with.
    pub fn push(&mut self, ids: &[u32]) -> Result<TextView> {
        for ((row, real), &id) in self.rows.iter_mut().zip(&mut self.real).zip(ids) {
            row.push(id);
            real.push(true);
        }
        let times = self.rows.iter().map(|row| media::text_time(row, self.image));
        Ok(TextView {
            ids: Tensor::from_slice(ids, (ids.len(), 1), &Device::Cpu)?,
            step: Step::new(&self.real, 1)?,
            text_time: times.map(|times| times[times.len() - 1..].to_vec()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_keeps_the_rows_and_the_pushed_token_sees_the_last_scan() -> Result<()> {
        let rows = vec![vec![9, 4], vec![9, 5, 6, 9]];
        let mut prompts = Prompts::left_padded(rows.clone(), 9);
        let view = prompts.view(8)?;
        assert_eq!(view.ids.to_vec2::<u32>()?, vec![vec![0, 0, 9, 4], vec![9, 5, 6, 9]]);
        assert_eq!(view.text_time, vec![vec![0, 0, 1, 1], vec![1, 1, 1, 2]]);
        let next = prompts.push(&[7, 7])?;
        assert_eq!(next.text_time, vec![vec![1], vec![2]]);
        assert_eq!(*next.step.positions, vec![2, 4]);
        let right = Prompts::right_padded(rows, 9).view(8)?;
        assert_eq!(right.ids.to_vec2::<u32>()?[0], vec![9, 4, 0, 0]);
        Ok(())
    }

    #[test]
    fn a_text_beyond_the_context_is_refused_with_both_numbers() {
        let error = Prompts::left_padded(vec![vec![1; 9]], 9).view(8).err().unwrap().to_string();
        assert!(error.contains("9 tokens") && error.contains("at most 8"), "{error}");
    }
}
