//! What the files beside a `tokenizer.json` say of its tokens.
//!
//! transformers keeps added tokens in `tokenizer.json`, in `tokenizer_config.json`, or in both, and
//! adds those that the first lacks when it loads a tokenizer. So does this.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use crate::error::read_text;
use crate::{Error, Result};

/// Lists every token that was added after the training of the tokenizer, and the named ones.
const CONFIG: &str = "tokenizer_config.json";
/// Lists the named tokens.
const SPECIAL: &str = "special_tokens_map.json";
/// The ids of added tokens, in the form before `tokenizer_config.json` listed them.
const ADDED: &str = "added_tokens.json";

/// Holds a chat template alone.
pub(crate) const CHAT_TEMPLATE: &str = "chat_template.jinja";

/// The files that are read beside a `tokenizer.json`, where they are there.
pub(crate) const NEIGHBOURS: [&str; 4] = [CONFIG, SPECIAL, ADDED, CHAT_TEMPLATE];

/// The keys of tokens with a name, in the order in which transformers adds those that are missing.
const NAMED: [&str; 9] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
    "additional_special_tokens",
    "extra_special_tokens",
];

/// What those files say.
#[derive(Default)]
pub(crate) struct Declared {
    /// Whether they name a padding token; absent where none of them is there.
    pub(crate) pad: Option<bool>,
    /// Tokens by id, and the file that lists them.
    listed: BTreeMap<u32, AddedToken>,
    list: PathBuf,
    /// Tokens with a name, in the order in which they are added.
    named: Vec<AddedToken>,
}

impl Declared {
    /// Reads the files beside a `tokenizer.json`.
    pub(crate) fn beside(path: &Path) -> Result<Self> {
        let [config, special, added] =
            [CONFIG, SPECIAL, ADDED].map(|name| path.with_file_name(name));
        let mut declared = Self::default();
        let mut seen = HashSet::new();
        for (path, is_config) in [(&config, true), (&special, false)] {
            let Some(fields) = object(path)? else { continue };
            let pad = fields.get("pad_token").is_some_and(|token| !token.is_null());
            declared.pad = Some(pad || declared.pad == Some(true));
            let tokens = NAMED.iter().filter_map(|name| fields.get(*name)).flat_map(tokens);
            declared.named.extend(tokens.filter(|token| seen.insert(token.content.clone())));
            if let (true, Some(list)) = (is_config, fields.get("added_tokens_decoder")) {
                declared.listed = by_id(path, list)?;
                declared.list.clone_from(path);
            }
        }
        if declared.list.as_os_str().is_empty()
            && let Some(fields) = object(&added)?
        {
            for (content, id) in &fields {
                let id = number(&added, id.as_u64())?;
                let token = AddedToken::from(content.clone(), seen.contains(content));
                declared.listed.insert(id, token.normalized(false));
            }
            declared.list = added;
        }
        Ok(declared)
    }

    /// Adds what `tokenizer.json` lacks: listed tokens at their ids, then named ones after the last
    /// id, as long as the embedding has rows for them.
    ///
    /// # Errors
    /// Where a listed token cannot have its id.
    pub(crate) fn complete(
        &self,
        tokenizer: &mut tokenizers::Tokenizer,
        n_rows: usize,
    ) -> Result<()> {
        let known = tokenizer.get_added_tokens_decoder();
        for (&id, token) in &self.listed {
            if known.get(&id).is_some_and(|known| known.content == token.content) {
                continue;
            }
            add(tokenizer, token)?;
            let found = tokenizer.token_to_id(&token.content);
            if found != Some(id) {
                let found = found.map_or("none".to_owned(), |found| found.to_string());
                let reason = format!(
                    "gives the token `{}` the id {id}, but beside this tokenizer.json its id is \
                     {found}: expected the two files of one tokenizer",
                    token.content
                );
                return Err(Error::Config { path: self.list.clone(), reason });
            }
        }
        for token in &self.named {
            let is_known = tokenizer.token_to_id(&token.content).is_some();
            if is_known || tokenizer.get_vocab_size(true) < n_rows {
                add(tokenizer, token)?;
            }
        }
        Ok(())
    }
}

fn add(tokenizer: &mut tokenizers::Tokenizer, token: &AddedToken) -> Result<()> {
    let known = tokenizer.get_added_tokens_decoder();
    if known.values().any(|known| known.content == token.content) {
        return Ok(());
    }
    let tokens = [token.clone()];
    let added = if token.special {
        tokenizer.add_special_tokens(tokens)
    } else {
        tokenizer.add_tokens(tokens)
    };
    added.map(drop).map_err(|error| Error::Tokenizer(error.to_string()))
}

/// The object in a JSON file; nothing where the file is not there.
fn object(path: &Path) -> Result<Option<Map<String, Value>>> {
    if !path.is_file() && formats::dangling(path).is_none() {
        return Ok(None);
    }
    serde_json::from_str(&read_text(path)?).map(Some).map_err(|error| wrong(path, error))
}

fn wrong(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::Config { path: path.to_owned(), reason: reason.to_string() }
}

fn number(path: &Path, id: Option<u64>) -> Result<u32> {
    id.and_then(|id| u32::try_from(id).ok())
        .ok_or_else(|| wrong(path, "found an id of an added token that is not a whole number"))
}

/// `{"32000": {"content": "<x>", …}, …}`
fn by_id(path: &Path, list: &Value) -> Result<BTreeMap<u32, AddedToken>> {
    let list = list.as_object().into_iter().flatten();
    list.map(|(id, fields)| {
        let id = number(path, id.parse().ok())?;
        let token = token(fields, false);
        let token = token.ok_or_else(|| wrong(path, format!("added token {id} has no content")))?;
        Ok((id, token))
    })
    .collect()
}

/// The tokens of a named entry: one, a list, or an object of names.
fn tokens(entry: &Value) -> Vec<AddedToken> {
    match entry {
        Value::Array(items) => items.iter().filter_map(|item| token(item, true)).collect(),
        Value::Object(fields) if !fields.contains_key("content") => {
            fields.values().filter_map(|item| token(item, true)).collect()
        }
        one => token(one, true).into_iter().collect(),
    }
}

/// A token as text, or as an object with its content and switches; nothing for an empty one.
fn token(value: &Value, special: bool) -> Option<AddedToken> {
    if let Some(content) = value.as_str() {
        return (!content.is_empty()).then(|| AddedToken::from(content, special));
    }
    let content = value.get("content")?.as_str().filter(|content| !content.is_empty())?;
    let flag = |name: &str, default| value.get(name).and_then(Value::as_bool).unwrap_or(default);
    let special = flag("special", special);
    Some(
        AddedToken::from(content, special)
            .lstrip(flag("lstrip", false))
            .rstrip(flag("rstrip", false))
            .single_word(flag("single_word", false))
            .normalized(flag("normalized", !special)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tokenizer;

    /// A tokenizer of 262 ids with these files beside it.
    fn open(files: &[(&str, &str)]) -> Result<Tokenizer> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        crate::train_bpe(&["viewing of faces".to_owned()], 262, &path)?;
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Tokenizer::open(&path)
    }

    #[test]
    fn tokens_that_tokenizer_config_alone_lists_are_added_at_their_ids() -> Result<()> {
        let list = r#"{"added_tokens_decoder": {
            "263": {"content": "<b>", "special": true}, "262": {"content": "<a>"},
            "0": {"content": "<|endoftext|>", "special": true}}}"#;
        let tokenizer = open(&[(CONFIG, list)])?;
        assert_eq!((tokenizer.id("<a>"), tokenizer.id("<b>")), (Some(262), Some(263)));
        assert_eq!((tokenizer.vocab_size(), tokenizer.special()), (264, vec![0, 263]));
        assert_eq!(tokenizer.encode("<a><b>")?.ids, [262, 263]);
        let old = open(&[(ADDED, r#"{"<b>": 263, "<a>": 262}"#)])?;
        assert_eq!((old.id("<a>"), old.id("<b>"), old.special()), (Some(262), Some(263), vec![0]));
        Ok(())
    }

    #[test]
    fn a_listed_token_that_cannot_have_its_id_is_refused() {
        for list in [r#"{"270": {"content": "<a>"}}"#, r#"{"5": {"content": "<|endoftext|>"}}"#] {
            let config = format!(r#"{{"added_tokens_decoder": {list}}}"#);
            let error = open(&[(CONFIG, &config)]).unwrap_err().to_string();
            assert!(error.contains("tokenizer_config.json: gives the token"), "{error}");
        }
        let error = open(&[(ADDED, r#"{"<a>": "x"}"#)]).unwrap_err().to_string();
        assert!(error.contains("added_tokens.json: found an id"), "{error}");
    }

    #[test]
    fn named_tokens_that_are_missing_follow_the_last_id() -> Result<()> {
        let config = r#"{"pad_token": "[PAD]", "bos_token": {"content": "<s>"},
            "eos_token": "<|endoftext|>", "extra_special_tokens": ["<x>"], "unk_token": null}"#;
        let map = r#"{"pad_token": {"content": "[PAD]"}, "additional_special_tokens": ["<y>"]}"#;
        let tokenizer = open(&[(CONFIG, config), (SPECIAL, map)])?;
        let ids = ["<s>", "[PAD]", "<x>", "<y>"].map(|token| tokenizer.id(token));
        assert_eq!(ids, [262, 263, 264, 265].map(Some));
        assert_eq!(tokenizer.special(), [0, 262, 263, 264, 265]);
        assert!(tokenizer.has_pad());
        Ok(())
    }
}
