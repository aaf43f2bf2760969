//! Texts with their special tokens, as padded rows of ids.

use std::ops::Range;

use candle_core::Tensor;
use lm::{Step, Tokenizer};
use nn::Device;

use crate::{Error, IMAGE, Result, TextView, media};

/// Ends a report; the model stops when it writes it.
pub const END_OF_CHUNK: &str = "<|endofchunk|>";
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
    /// The ids that were added, past every id of the tokenizer's file.
    pub special: Range<usize>,
    /// Special ids that a report must never contain: `<image>`, padding, and every special token of
    /// the tokenizer's own, such as its end of text. [`Compat::OpenFlamingo`](crate::Compat) bans
    /// none of them.
    pub banned: Vec<u32>,
}

impl Vocabulary {
    /// Adds the special tokens; `vocab_size` is the language model's.
    ///
    /// # Errors
    /// When the tokenizer's ids have holes, which the added tokens would fall into, or it knows more
    /// ids than the embedding has rows. Fewer are well: the rows to spare are dropped, as OpenFlamingo's
    /// resize drops them.
    pub fn new(mut tokenizer: Tokenizer, vocab_size: usize) -> Result<Self> {
        let known = tokenizer.vocab_size();
        let last = tokenizer.last_id().map_or(0, |last| last as usize);
        if last >= known {
            return Err(lm::Error::Tokenizer(format!(
                "its ids go up to {last}, but it knows {known} tokens: expected ids without holes"
            ))
            .into());
        }
        if known > vocab_size {
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
        let banned = tokenizer.special().into_iter().filter(|&id| id != end_of_chunk).collect();
        let special = known..tokenizer.vocab_size();
        Ok(Self { tokenizer, end_of_chunk, image, special, banned })
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

    /// Ids of a text that follows a prompt; none, or an `<image>` that no scan belongs to, is refused.
    pub(crate) fn continuation(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.tokenizer.encode_rest(text)?.ids;
        let refuse = |found| Err(Error::Continuation { continuation: text.to_owned(), found });
        if ids.is_empty() {
            return refuse("no tokens");
        }
        if ids.contains(&self.image) {
            return refuse("an `<image>`");
        }
        Ok(ids)
    }
}

/// Rows of ids padded to one length; the padding is marked, so its id never matters.
#[derive(Clone, Debug)]
pub struct Prompts {
    rows: Vec<Vec<u32>>,
    real: Vec<Vec<bool>>,
    image: u32,
}

impl Prompts {
    /// Rows that are padded already; `real` marks what is not padding.
    pub fn new(rows: Vec<Vec<u32>>, real: Vec<Vec<bool>>, image: u32) -> Result<Self> {
        let n_tokens = rows.first().map_or(0, Vec::len);
        let lengths = rows.iter().map(Vec::len).chain(real.iter().map(Vec::len));
        if rows.len() != real.len() || lengths.into_iter().any(|length| length != n_tokens) {
            return Err(Error::Ragged { rows: rows.len(), n_tokens });
        }
        Ok(Self { rows, real, image })
    }

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

    /// Rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Tokens in a row, padding included.
    pub fn n_tokens(&self) -> usize {
        self.rows.first().map_or(0, Vec::len)
    }

    /// What is real and what is padding, row by row.
    pub fn real(&self) -> &[Vec<bool>] {
        &self.real
    }

    /// A row without its padding.
    pub fn text(&self, row: usize) -> Vec<u32> {
        let ids = self.rows[row].iter().zip(&self.real[row]);
        ids.filter_map(|(&id, &real)| real.then_some(id)).collect()
    }

    /// The id of `<image>`.
    pub(crate) fn image(&self) -> u32 {
        self.image
    }

    /// How many `<image>` each row has: which scan the text after it sees.
    pub fn n_images(&self) -> Vec<usize> {
        let count = |row: &Vec<u32>| row.iter().filter(|&&id| id == self.image).count();
        self.rows.iter().map(count).collect()
    }

    /// Whether each row ends with a token to continue from.
    pub(crate) fn check_last(&self) -> Result<()> {
        let ends = self.real.iter().all(|real| real.last() == Some(&true));
        if ends { Ok(()) } else { Err(Error::NoLastToken) }
    }

    /// The rows as one pass of a model that reads at most `limit` tokens.
    pub fn view(&self, limit: usize, device: &Device) -> Result<TextView> {
        if self.n_tokens() > limit {
            return Err(Error::TooLong { found: self.n_tokens(), limit });
        }
        let shape = (self.rows.len(), self.n_tokens());
        Ok(TextView {
            ids: Tensor::from_vec(self.rows.concat(), shape, device.place())?,
            step: Step::new(&self.real, self.n_tokens())?,
            text_time: self.rows.iter().map(|row| media::text_time(row, self.image)).collect(),
        })
    }

    /// Appends ids to each row, padded on the right, and returns the pass over these alone.
    ///
    /// `seen[row]` counts the `<image>` that they come after; their own count on.
    pub fn append(&mut self, new: &[&[u32]], seen: &[usize], device: &Device) -> Result<TextView> {
        let n_new = new.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let (mut all, mut text_time) = (Vec::new(), Vec::new());
        for (row, (ids, &seen)) in new.iter().zip(seen).enumerate() {
            let padding = n_new - ids.len();
            let padded = [ids, &*vec![0; padding]].concat();
            let times = media::text_time(ids, self.image).into_iter().map(|time| time + seen);
            text_time.push(times.chain(std::iter::repeat_n(seen, padding)).collect());
            self.real[row].extend([vec![true; ids.len()], vec![false; padding]].concat());
            self.rows[row].extend(&padded);
            all.extend(padded);
        }
        Ok(TextView {
            ids: Tensor::from_vec(all, (new.len(), n_new), device.place())?,
            step: Step::new(&self.real, n_new)?,
            text_time,
        })
    }

    /// The rows of a batch made of these rows of the present one, in this order.
    pub fn select(&self, rows: &[u32]) -> Self {
        let at = |row: &u32| *row as usize;
        Self {
            rows: rows.iter().map(|row| self.rows[at(row)].clone()).collect(),
            real: rows.iter().map(|row| self.real[at(row)].clone()).collect(),
            image: self.image,
        }
    }

    /// Forgets which tokens were padding: all that follows sees them.
    pub(crate) fn forget_padding(&mut self) {
        for row in &mut self.real {
            row.fill(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tokenizer_whose_ids_have_holes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        lm::train_bpe(&["a photo of a chair".to_owned()], 262, &path).unwrap();
        let mut json: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let words = json["model"]["vocab"].as_object_mut().unwrap();
        let last = words.values_mut().max_by_key(|id| id.as_u64()).unwrap();
        *last = 268.into();
        std::fs::write(&path, json.to_string()).unwrap();
        let error = Vocabulary::new(Tokenizer::open(&path).unwrap(), 300).unwrap_err().to_string();
        assert!(error.contains("its ids go up to 268, but it knows 262 tokens"), "{error}");
    }

    #[test]
    fn padding_keeps_the_rows_and_appended_tokens_see_the_last_scan() -> Result<()> {
        let rows = vec![vec![9, 4], vec![9, 5, 6, 9]];
        let mut prompts = Prompts::left_padded(rows.clone(), 9);
        let view = prompts.view(8, &Device::cpu())?;
        assert_eq!(view.ids.to_vec2::<u32>()?, vec![vec![0, 0, 9, 4], vec![9, 5, 6, 9]]);
        assert_eq!(view.text_time, vec![vec![0, 0, 1, 1], vec![1, 1, 1, 2]]);
        assert_eq!(prompts.n_images(), [1, 2]);
        let next = prompts.append(&[&[7, 9], &[7]], &prompts.n_images(), &Device::cpu())?;
        assert_eq!(next.ids.to_vec2::<u32>()?, vec![vec![7, 9], vec![7, 0]]);
        assert_eq!(next.text_time, vec![vec![1, 2], vec![2, 2]]);
        assert_eq!(next.step.positions[..3], [2, 3, 4]);
        assert_eq!(prompts.text(0), [9, 4, 7, 9]);
        assert_eq!(prompts.select(&[1, 1]).text(1), [9, 5, 6, 9, 7]);
        let right = Prompts::right_padded(rows, 9).view(8, &Device::cpu())?;
        assert_eq!(right.ids.to_vec2::<u32>()?[0], vec![9, 4, 0, 0]);
        Ok(())
    }

    #[test]
    fn rows_of_different_length_or_without_a_last_token_are_refused() {
        let rows = vec![vec![1, 2], vec![1]];
        let error = Prompts::new(rows, vec![vec![true; 2]; 2], 9).unwrap_err().to_string();
        assert!(error.contains("2 tokens"), "{error}");
        for rows in [vec![vec![], vec![1]], vec![vec![]]] {
            let prompts = Prompts::left_padded(rows, 9);
            assert!(matches!(prompts.check_last(), Err(Error::NoLastToken)));
        }
    }

    #[test]
    fn a_text_beyond_the_context_is_refused_with_both_numbers() {
        let error = Prompts::left_padded(vec![vec![1; 9]], 9)
            .view(8, &Device::cpu())
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("9 tokens") && error.contains("at most 8"), "{error}");
    }
}
