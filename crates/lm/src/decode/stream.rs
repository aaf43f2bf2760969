//! Text as it is written: ids in, complete characters out.

use crate::{Result, Tokenizer};

/// Stands for bytes that are no character, or none yet.
const UNKNOWN: char = char::REPLACEMENT_CHARACTER;

/// Turns ids into text one by one; the pieces joined are what [`Tokenizer::decode`] gives for all.
///
/// A character may take several ids: its piece comes with the last of them. Only the ids since the
/// last two pieces are decoded, so that a long text costs no more a token than a short one.
#[derive(Clone, Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<u32>,
    /// Where decoding begins: some text before what is new, because a tokenizer may write an id
    /// differently at the beginning of a text.
    start: usize,
    /// Ids whose text is out.
    shown: usize,
}

impl<'a> TextStream<'a> {
    /// An empty text.
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, ids: Vec::new(), start: 0, shown: 0 }
    }

    /// The text that this id completes; empty while a character is incomplete.
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.ids.push(id);
        self.piece(false)
    }

    /// What is left: bytes that never became a character.
    pub fn finish(mut self) -> Result<String> {
        self.piece(true)
    }

    fn piece(&mut self, last: bool) -> Result<String> {
        let before = self.tokenizer.decode(&self.ids[self.start..self.shown])?;
        let now = self.tokenizer.decode(&self.ids[self.start..])?;
        let new = now.strip_prefix(&before).unwrap_or_default();
        if new.is_empty() || (!last && new.ends_with(UNKNOWN)) {
            return Ok(String::new());
        }
        if !before.is_empty() {
            self.start = self.shown;
        }
        self.shown = self.ids.len();
        Ok(new.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train_bpe;

    fn tokenizer() -> Tokenizer {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        let mut tokenizer = train_bpe(&["viewing of faces".into()], 270, &path).unwrap();
        tokenizer.add_special(&["<image>"]).unwrap();
        tokenizer
    }

    fn pieces(tokenizer: &Tokenizer, ids: &[u32]) -> Result<Vec<String>> {
        let mut stream = TextStream::new(tokenizer);
        let mut pieces = ids.iter().map(|&id| stream.push(id)).collect::<Result<Vec<_>>>()?;
        pieces.push(stream.finish()?);
        Ok(pieces)
    }

    #[test]
    fn a_character_comes_with_the_last_of_its_ids() -> Result<()> {
        let tokenizer = tokenizer();
        // the tokenizer knows none of these characters: every byte is an id
        let ids = tokenizer.encode("é🧠b")?.ids;
        assert_eq!(ids.len(), 2 + 4 + 1);
        assert_eq!(pieces(&tokenizer, &ids)?, ["", "é", "", "", "", "🧠", "b", ""]);
        Ok(())
    }

    #[test]
    fn an_incomplete_character_comes_at_the_end() -> Result<()> {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode("a🧠")?.ids;
        assert_eq!(pieces(&tokenizer, &ids[..3])?, ["a", "", "", "\u{fffd}"]);
        Ok(())
    }

    #[test]
    fn pieces_joined_are_the_decoded_text_for_any_ids() -> Result<()> {
        let tokenizer = tokenizer();
        let n = tokenizer.vocab_size() as f64;
        for seed in 0..200 {
            let draws = nn::seeded::normal(seed, "ids", 30, 0., 1.);
            let ids: Vec<u32> = draws.iter().map(|x| (x.abs() * 1e6 % n) as u32).collect();
            assert_eq!(pieces(&tokenizer, &ids)?.concat(), tokenizer.decode(&ids)?, "{ids:?}");
        }
        Ok(())
    }
}
