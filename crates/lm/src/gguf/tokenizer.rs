//! A tokenizer from the metadata of a GGUF file: GPT-2's kind over bytes, or LLaMA's over characters.

use std::collections::HashMap;

use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::normalizers::{NormalizerWrapper, Prepend, Replace};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, SplitDelimiterBehavior};

use super::metadata::Metadata;
use crate::{Result, Tokenizer, limits};

/// Kinds of token in `tokenizer.ggml.token_type`.
const NORMAL: usize = 1;
const CONTROL: usize = 3;
const USER_DEFINED: usize = 4;
const UNUSED: usize = 5;

/// Most bytes of a token; published vocabularies hold rows of some hundred blanks.
const LONGEST: usize = 1 << 16;

/// What LLaMA's tokenizer writes for a space.
const SPACE: &str = "▁";

/// Llama 3's pattern, from its published tokenizer.
const LLAMA_3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// Qwen's, which has each digit alone.
const QWEN_2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// How a text is cut into the pieces within which GPT-2's kind merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// As GPT-2 does.
    Gpt2,
    /// The same, with each digit alone.
    Digits,
    /// As Llama 3 does: up to three digits together, contractions in either case. A piece that is a
    /// token is not merged, and a text begins with a token.
    Llama3,
    /// The same cuts, and nothing else of Llama 3: conversions of 2024, and SmolLM3's.
    Smaug,
    /// As Qwen 2 and 3 do, after composing characters.
    Qwen2,
}

impl Cut {
    /// The one that llama.cpp means by a name.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "gpt-2" | "gpt2" | "phi-2" | "mpt" | "olmo" => Self::Gpt2,
            "smollm" | "starcoder" | "refact" | "command-r" => Self::Digits,
            "llama3" | "llama-v3" | "llama-bpe" => Self::Llama3,
            "smaug-bpe" => Self::Smaug,
            "qwen2" => Self::Qwen2,
            _ => return None,
        })
    }

    fn pre_tokenizer(self) -> tokenizers::Result<PreTokenizerWrapper> {
        let bytes = ByteLevel::default().add_prefix_space(false);
        let pattern = match self {
            Self::Gpt2 => return Ok(bytes.into()),
            Self::Digits => {
                return Ok(Sequence::new(vec![Digits::new(true).into(), bytes.into()]).into());
            }
            Self::Llama3 | Self::Smaug => LLAMA_3,
            Self::Qwen2 => QWEN_2,
        };
        let pattern = SplitPattern::Regex(pattern.to_owned());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?;
        Ok(Sequence::new(vec![split.into(), bytes.use_regex(false).into()]).into())
    }
}

/// A file's tokenizer tables.
struct Tables<'a> {
    metadata: &'a Metadata,
    tokens: Vec<&'a str>,
    kinds: Vec<usize>,
}

/// Builds the tokenizer; a panic of the library is an error about the file.
pub(super) fn read(metadata: &Metadata) -> Result<Tokenizer> {
    guarded(metadata, || built(metadata))
}

pub(super) fn guarded<T>(metadata: &Metadata, work: impl FnOnce() -> Result<T>) -> Result<T> {
    formats::guarded(work)
        .unwrap_or_else(|panicked| Err(metadata.wrong(crate::tokenizer_file::gave_up(&panicked))))
}

fn built(metadata: &Metadata) -> Result<Tokenizer> {
    let key = "tokenizer.ggml.tokens";
    let tokens = metadata.need(key, metadata.texts(key)?)?;
    let kinds = metadata.counts("tokenizer.ggml.token_type")?;
    let kinds = kinds.unwrap_or_else(|| vec![NORMAL; tokens.len()]);
    is_of_a_size(metadata, &tokens)?;
    let tokens = without_padding(tokens, &kinds);
    let tables = Tables { metadata, tokens, kinds };
    let key = "tokenizer.ggml.model";
    let mut tokenizer = match metadata.need(key, metadata.text(key)?)? {
        "gpt2" => tables.over_bytes()?,
        "llama" => tables.over_characters()?,
        other => {
            let reason = format!("found tokenizer `{other}`, expected `gpt2` or `llama`");
            return Err(metadata.wrong(reason));
        }
    };
    tokenizer.add_special_tokens(tables.of_kind(CONTROL)).map_err(|e| metadata.failed(e))?;
    tokenizer.add_tokens(tables.of_kind(USER_DEFINED)).map_err(|e| metadata.failed(e))?;
    tables.put_around(&mut tokenizer)?;
    let has_pad = metadata.count("tokenizer.ggml.padding_token_id")?.is_some();
    Ok(Tokenizer::new(tokenizer, has_pad))
}

/// Refuses what the library would take memory or time for without end.
fn is_of_a_size(metadata: &Metadata, tokens: &[&str]) -> Result<()> {
    if tokens.len() > limits::VOCABULARY {
        let (found, most) = (tokens.len(), limits::VOCABULARY);
        return Err(metadata.wrong(format!("has {found} tokens, expected at most {most}")));
    }
    match tokens.iter().map(|token| token.len()).max().filter(|&longest| longest > LONGEST) {
        None => Ok(()),
        Some(found) => {
            let reason = format!("holds a token of {found} bytes, expected at most {LONGEST}");
            Err(metadata.wrong(reason))
        }
    }
}

/// The list without the entries that the converter of llama.cpp appends to it, one for each row of
/// the embedding that is no token's.
fn without_padding<'a>(mut tokens: Vec<&'a str>, kinds: &[usize]) -> Vec<&'a str> {
    // the first converters called them tokens of the user
    let is_free = |id: usize| matches!(kinds.get(id), Some(&(UNUSED | USER_DEFINED)));
    while let Some((id, token)) = tokens.iter().enumerate().next_back()
        && is_free(id)
        && *token == format!("[PAD{id}]")
    {
        tokens.pop();
    }
    tokens
}

impl Tables<'_> {
    fn ids(&self) -> Vocab {
        let ids = self.tokens.iter().enumerate();
        ids.map(|(id, token)| ((*token).to_owned(), id as u32)).collect()
    }

    /// Byte pairs over GPT-2's alphabet of bytes, merged in the order of the file.
    fn over_bytes(&self) -> Result<tokenizers::Tokenizer> {
        let metadata = self.metadata;
        let failed = |error: tokenizers::Error| metadata.failed(error);
        let cut = self.cut()?;
        let key = "tokenizer.ggml.merges";
        let pair = |merge: &str| match merge.split_once(' ') {
            Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
            None => Err(metadata.wrong(format!("merge `{merge}` is no pair"))),
        };
        let merges = metadata.need(key, metadata.texts(key)?)?.into_iter().map(pair);
        let bpe = BPE::builder()
            .vocab_and_merges(self.ids(), merges.collect::<Result<Vec<_>>>()?)
            .ignore_merges(cut == Cut::Llama3)
            .build()
            .map_err(failed)?;
        let mut tokenizer = tokenizers::Tokenizer::new(bpe);
        tokenizer
            .with_pre_tokenizer(Some(cut.pre_tokenizer().map_err(failed)?))
            .with_decoder(Some(ByteLevel::default()));
        if cut == Cut::Qwen2 {
            tokenizer.with_normalizer(Some(NFC)).map_err(failed)?;
        }
        Ok(tokenizer)
    }

    fn cut(&self) -> Result<Cut> {
        let key = "tokenizer.ggml.pre";
        let pre = self.metadata.need(key, self.metadata.text(key)?)?;
        Cut::named(pre).ok_or_else(|| {
            self.metadata.wrong(format!(
                "found pre-tokenizer `{pre}`, expected `gpt-2`, `smollm`, `llama-bpe`, `qwen2` or one \
                 of their kin"
            ))
        })
    }

    /// SentencePiece's byte pairs (Kudo and Richardson 2018): spaces are characters, the pair that
    /// makes the token with the best score is merged first, unknown characters become bytes.
    fn over_characters(&self) -> Result<tokenizers::Tokenizer> {
        let metadata = self.metadata;
        let failed = |error: tokenizers::Error| metadata.failed(error);
        let key = "tokenizer.ggml.scores";
        let scores = metadata.need(key, metadata.numbers(key)?)?;
        let bpe = BPE::builder()
            .vocab_and_merges(self.ids(), self.merges_by_score(&scores))
            .unk_token("<unk>".to_owned())
            .fuse_unk(true)
            .byte_fallback(true)
            .build()
            .map_err(failed)?;
        let mut normalizers = vec![Replace::new(" ", SPACE).map_err(failed)?.into()];
        if metadata.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true) {
            normalizers.insert(0, NormalizerWrapper::from(Prepend::new(SPACE.to_owned())));
        }
        let decoders: Vec<DecoderWrapper> = vec![
            Replace::new(SPACE, " ").map_err(failed)?.into(),
            ByteFallback::default().into(),
            Fuse::default().into(),
            Strip::new(' ', 1, 0).into(),
        ];
        let mut tokenizer = tokenizers::Tokenizer::new(bpe);
        let normalizers = tokenizers::normalizers::Sequence::new(normalizers);
        tokenizer.with_normalizer(Some(normalizers)).map_err(failed)?;
        tokenizer.with_decoder(Some(tokenizers::decoders::sequence::Sequence::new(decoders)));
        Ok(tokenizer)
    }

    /// Every pair of tokens that makes a third, the third's best score first.
    fn merges_by_score(&self, scores: &[f64]) -> Vec<(String, String)> {
        let normal = self.tokens.iter().zip(&self.kinds).filter(|&(_, &kind)| kind == NORMAL);
        let normal: HashMap<&str, usize> =
            normal.enumerate().map(|(at, (token, _))| (*token, at)).collect();
        let mut merges = Vec::new();
        for (token, &score) in self.tokens.iter().zip(scores) {
            if !normal.contains_key(token) {
                continue;
            }
            for (at, _) in token.char_indices().skip(1) {
                let (left, right) = token.split_at(at);
                if let (Some(&l), Some(&r)) = (normal.get(left), normal.get(right)) {
                    merges.push((score, l, r, left.to_owned(), right.to_owned()));
                }
            }
        }
        merges.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        merges.into_iter().map(|(_, _, _, left, right)| (left, right)).collect()
    }

    fn of_kind(&self, kind: usize) -> impl Iterator<Item = AddedToken> {
        let found = self.tokens.iter().zip(&self.kinds).filter(move |&(_, &found)| found == kind);
        found.map(move |(token, _)| AddedToken::from(*token, kind == CONTROL).normalized(false))
    }

    /// The tokens before and after every text; where the file does not say, llama.cpp puts one before
    /// texts of LLaMA's kinds.
    fn put_around(&self, tokenizer: &mut tokenizers::Tokenizer) -> Result<()> {
        let metadata = self.metadata;
        let llama = metadata.text("tokenizer.ggml.model")? == Some("llama");
        let begins = llama || self.cut()? == Cut::Llama3;
        let mut template = vec!["$0".to_owned()];
        let mut specials = Vec::new();
        for (name, by_default) in [("bos", begins), ("eos", false)] {
            if !metadata.flag(&format!("tokenizer.ggml.add_{name}_token"))?.unwrap_or(by_default) {
                continue;
            }
            let key = format!("tokenizer.ggml.{name}_token_id");
            let id = metadata.need(&key, metadata.count(&key)?)?;
            let Some(token) = self.tokens.get(id) else {
                let reason = format!("{key} is {id}, of {} tokens", self.tokens.len());
                return Err(metadata.wrong(reason));
            };
            let at = if name == "bos" { 0 } else { template.len() };
            template.insert(at, (*token).to_owned());
            specials.push(((*token).to_owned(), id as u32));
        }
        if !specials.is_empty() {
            let mut builder = TemplateProcessing::builder();
            builder.try_single(template).map_err(|e| metadata.failed(e))?;
            let template = builder.special_tokens(specials).build();
            tokenizer.with_post_processor(Some(template.map_err(|e| metadata.failed(e))?));
        }
        Ok(())
    }
}
