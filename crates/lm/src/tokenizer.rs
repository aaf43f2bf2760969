//! Text to ids and back, through Hugging Face's `tokenizer.json`.

use std::ops::Range;
use std::path::Path;

use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::{AddedToken, ModelWrapper};

use crate::declared::Declared;
use crate::{Error, Result, tokenizer_file};

/// The end-of-text token of the tokenizers that this project trains.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// A tokenizer read from `tokenizer.json`, or from the metadata of a GGUF file.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    has_pad: bool,
}

/// A text as ids, with the byte range that each id came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Byte ranges in the encoded text.
    pub ranges: Vec<Range<usize>>,
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Tokenizer(error.to_string())
}

impl Tokenizer {
    pub(crate) fn new(inner: tokenizers::Tokenizer, has_pad: bool) -> Self {
        Self { inner, has_pad }
    }

    /// Reads a `tokenizer.json`, and what the files beside it say of added tokens and padding.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_within(path, usize::MAX)
    }

    /// The same for an embedding of `n_rows` rows: tokens that a file beside it only names, and that
    /// have no row, are left out.
    pub(crate) fn open_within(path: &Path, n_rows: usize) -> Result<Self> {
        let mut inner = tokenizer_file::read(path)?;
        let declared = Declared::beside(path)?;
        let has_pad = declared.pad.unwrap_or_else(|| {
            let names = ["<pad>", "<PAD>", "[PAD]"];
            let named = names.iter().any(|name| inner.token_to_id(name).is_some());
            named || inner.get_padding().is_some()
        });
        // how long a text may be is the model's to say, and nothing pads a single text
        inner.with_padding(None).with_truncation(None).map_err(failed)?;
        declared.complete(&mut inner, n_rows)?;
        Ok(Self { inner, has_pad })
    }

    /// Ids that the file knows, special ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The largest id that the file knows; [`vocab_size`](Self::vocab_size) is above it where there
    /// are no holes.
    pub fn last_id(&self) -> Option<u32> {
        self.inner.get_vocab(true).into_values().max()
    }

    /// The id of a token's exact text.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Adds special tokens after the last id, in the given order, unless they exist.
    pub fn add_special(&mut self, tokens: &[&str]) -> Result<()> {
        let tokens = tokens.iter().map(|token| AddedToken::from(*token, true));
        self.inner.add_special_tokens(tokens).map(|_| ()).map_err(failed)
    }

    /// The text of an id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The ids of all special tokens, in ascending order.
    pub fn special(&self) -> Vec<u32> {
        let added = self.inner.get_added_tokens_decoder().into_iter();
        let mut ids: Vec<u32> =
            added.filter_map(|(id, token)| token.special.then_some(id)).collect();
        ids.sort_unstable();
        ids
    }

    /// Whether the tokenizer came with a padding token: as `tokenizer_config.json` or
    /// `special_tokens_map.json` beside it say, or by its name where neither file is there.
    pub fn has_pad(&self) -> bool {
        self.has_pad
    }

    /// Ids of a text, with what the file puts before or after every text.
    pub fn encode(&self, text: &str) -> Result<Encoded> {
        self.encoded(text, true)
    }

    /// Ids of a text that continues another: nothing put before it.
    pub fn encode_rest(&self, text: &str) -> Result<Encoded> {
        self.encoded(text, false)
    }

    fn encoded(&self, text: &str, specials: bool) -> Result<Encoded> {
        let encoding = tokenizer_file::encode(&self.inner, text, specials)?;
        Ok(Encoded {
            ids: encoding.get_ids().to_vec(),
            ranges: encoding.get_offsets().iter().map(|&(start, end)| start..end).collect(),
        })
    }

    /// The text of ids, special tokens left out.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        tokenizer_file::decode(&self.inner, ids)
    }

    /// Encodes and decodes a text, as a test of the file.
    ///
    /// # Errors
    /// What the library says, or that it gave up.
    pub fn probe(&self) -> Result<()> {
        tokenizer_file::probe(&self.inner)
    }
}

/// Trains a byte-level BPE tokenizer of `vocab_size` ids and writes it as `tokenizer.json`.
///
/// Id 0 is [`END_OF_TEXT`]; the 256 bytes follow, so that no text is ever unknown.
pub fn train_bpe(texts: &[String], vocab_size: usize, path: &Path) -> Result<Tokenizer> {
    let mut trainer: TrainerWrapper = BpeTrainerBuilder::new()
        .vocab_size(vocab_size)
        .show_progress(false)
        .special_tokens(vec![AddedToken::from(END_OF_TEXT, true)])
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build()
        .into();
    let mut tokenizer = tokenizers::Tokenizer::new(ModelWrapper::from(BPE::default()));
    let bytes = ByteLevel::default().add_prefix_space(false);
    tokenizer.with_pre_tokenizer(Some(bytes)).with_decoder(Some(bytes));
    tokenizer.train(&mut trainer, texts.iter()).map_err(failed)?;
    tokenizer.save(path, true).map_err(failed)?;
    Tokenizer::open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trained() -> (tempfile::TempDir, Tokenizer) {
        let folder = tempfile::tempdir().unwrap();
        let texts = vec!["Findings: the pattern fits viewing of faces.".to_owned(); 8];
        let path = folder.path().join("tokenizer.json");
        let tokenizer = train_bpe(&texts, 300, &path).unwrap();
        (folder, tokenizer)
    }

    #[test]
    fn any_text_comes_back_and_ranges_cover_it() -> Result<()> {
        let (_folder, tokenizer) = trained();
        for text in ["viewing of faces", "Ünïcode – 2.5 s\n", ""] {
            let encoded = tokenizer.encode(text)?;
            assert_eq!(tokenizer.decode(&encoded.ids)?, text);
        }
        let text = "viewing of faces.";
        let encoded = tokenizer.encode(text)?;
        let faces = text.find("faces").unwrap();
        let hit = encoded.ranges.iter().any(|range| range.start <= faces && faces < range.end);
        assert!(hit, "{encoded:?}");
        Ok(())
    }

    #[test]
    fn special_tokens_are_appended_in_order_and_skipped_when_decoding() -> Result<()> {
        let (_folder, mut tokenizer) = trained();
        let n = tokenizer.vocab_size() as u32;
        tokenizer.add_special(&["<|endofchunk|>", "<image>"])?;
        assert_eq!(tokenizer.id("<|endofchunk|>"), Some(n));
        assert_eq!(tokenizer.id("<image>"), Some(n + 1));
        assert_eq!(tokenizer.special(), [0, n, n + 1]);
        let encoded = tokenizer.encode("<image>faces<|endofchunk|>")?;
        assert_eq!((encoded.ids[0], *encoded.ids.last().unwrap()), (n + 1, n));
        assert_eq!(tokenizer.decode(&encoded.ids)?, "faces");
        Ok(())
    }

    #[test]
    fn padding_is_what_the_files_beside_the_tokenizer_say() -> Result<()> {
        let (folder, tokenizer) = trained();
        assert!(!tokenizer.has_pad());
        let path = folder.path().join("tokenizer.json");
        let text = std::fs::read_to_string(&path).unwrap();
        let named = text.replace(END_OF_TEXT, "<pad>");
        std::fs::write(&path, named).unwrap();
        assert!(Tokenizer::open(&path)?.has_pad());
        for (config, map, expected) in [
            (r#"{"pad_token": null}"#, "{}", false),
            (r#"{"pad_token": "<pad>"}"#, "{}", true),
            ("{}", r#"{"pad_token": {"content": "<pad>"}}"#, true),
        ] {
            for (name, text) in crate::declared::NEIGHBOURS.iter().zip([config, map]) {
                std::fs::write(folder.path().join(name), text).unwrap();
            }
            assert_eq!(Tokenizer::open(&path)?.has_pad(), expected, "{config} {map}");
        }
        std::fs::write(folder.path().join("special_tokens_map.json"), "{").unwrap();
        let error = Tokenizer::open(&path).unwrap_err().to_string();
        assert!(error.contains("special_tokens_map.json"), "{error}");
        Ok(())
    }

    #[test]
    fn truncation_and_padding_of_the_file_are_not_obeyed() -> Result<()> {
        let (folder, tokenizer) = trained();
        let path = folder.path().join("tokenizer.json");
        let text = "Findings: the pattern fits viewing of faces.";
        let whole = tokenizer.encode(text)?;
        let mut file: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        file["truncation"] = serde_json::json!({
            "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0
        });
        file["padding"] = serde_json::json!({
            "strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "<|endoftext|>"
        });
        std::fs::write(&path, file.to_string()).unwrap();
        let read = Tokenizer::open(&path)?;
        assert_eq!(read.encode(text)?, whole);
        assert_eq!(read.encode_rest(text)?, whole);
        assert!(whole.ids.len() > 3 && read.has_pad());
        Ok(())
    }

    #[test]
    fn a_file_that_is_no_tokenizer_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{}").unwrap();
        let error = Tokenizer::open(file.path()).unwrap_err().to_string();
        assert!(error.contains(&file.path().display().to_string()), "{error}");
    }
}
