//! Chat templates: how an instruct model expects a conversation to be written.
//!
//! A template is Jinja, as Hugging Face keeps it: in `chat_template.jinja`, in `tokenizer_config.json`, or under
//! `tokenizer.chat_template` of a GGUF file. It is rendered as transformers' `apply_chat_template` renders it.

mod jinja;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::declared::CHAT_TEMPLATE;
use crate::error::read_text;
use crate::{Error, Result, Tokenizer, gguf};

/// Holds it under `chat_template`, as a text or a list of named ones.
const CONFIG: &str = "tokenizer_config.json";

/// A language model's chat template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatTemplate {
    source: String,
    /// The file that holds it.
    path: PathBuf,
    bos_token: String,
    eos_token: String,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

/// What a template writes around what the user says, up to where the assistant begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatFrame {
    /// Before the words of the user.
    pub before: String,
    /// After them.
    pub after: String,
}

impl ChatFrame {
    /// The words of a user in their frame. Blanks around them are taken off, as most templates do.
    ///
    /// ```
    /// let frame = lm::ChatFrame { before: "<|user|>".into(), after: "<|assistant|>".into() };
    /// assert_eq!(frame.around(" Left or right?\n"), "<|user|>Left or right?<|assistant|>");
    /// ```
    pub fn around(&self, words: &str) -> String {
        format!("{}{}{}", self.before, words.trim(), self.after)
    }
}

impl ChatTemplate {
    /// That of a Hugging Face folder or a GGUF file; none where it has none.
    ///
    /// # Errors
    /// Where a file is not what it should be, or the template is no template: with its line.
    pub fn of(path: &Path) -> Result<Option<Self>> {
        let template = if path.is_file() { gguf::chat_template(path)? } else { in_folder(path)? };
        if let Some(template) = &template {
            jinja::compiled(template, None)?;
        }
        Ok(template)
    }

    pub(crate) fn new(path: &Path, source: String, bos_token: String, eos_token: String) -> Self {
        Self { source, path: path.to_owned(), bos_token, eos_token }
    }

    /// A conversation as the model expects it; with `add_generation_prompt` up to where the assistant begins.
    ///
    /// # Errors
    /// What the template refuses, or where it fails: with its line.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        jinja::render(self, messages, add_generation_prompt, None)
    }

    /// What stands around one message of a user. What the tokenizer puts before every text is left out, so that it
    /// does not stand there twice.
    ///
    /// # Errors
    /// Where the template does not write the words of a user as they are, once.
    pub fn frame(&self, tokenizer: &Tokenizer) -> Result<ChatFrame> {
        // letters that no template and no other text has
        const WORDS: &str = "qzxv the words of the user vxzq";
        let user = Message { role: "user".to_owned(), content: WORDS.to_owned() };
        let text = self.render(&[user], true)?;
        let Some((before, after)) = text.split_once(WORDS).filter(|(_, it)| !it.contains(WORDS))
        else {
            return Err(self.wrong("does not write the words of a user as they are, once"));
        };
        let start = tokenizer.encode("")?.ids;
        let start: Vec<String> = start.iter().filter_map(|&id| tokenizer.token(id)).collect();
        let before = before.strip_prefix(&start.concat()).unwrap_or(before);
        Ok(ChatFrame { before: before.to_owned(), after: after.to_owned() })
    }

    fn wrong(&self, problem: impl std::fmt::Display) -> Error {
        Error::Config { path: self.path.clone(), reason: format!("the chat template {problem}") }
    }
}

/// The template of a folder: a file of its own wins, as in transformers.
fn in_folder(folder: &Path) -> Result<Option<ChatTemplate>> {
    let (file, config) = (folder.join(CHAT_TEMPLATE), folder.join(CONFIG));
    let wrong = |reason: String| Error::Config { path: config.clone(), reason };
    let fields = if config.is_file() {
        let text = read_text(&config)?;
        serde_json::from_str::<Value>(&text).map_err(|error| wrong(error.to_string()))?
    } else {
        Value::Null
    };
    let token = |name: &str| {
        let token = &fields[name];
        let text = token.as_str().or_else(|| token["content"].as_str());
        text.unwrap_or_default().to_owned()
    };
    let new = |path: &Path, source: String| {
        ChatTemplate::new(path, source, token("bos_token"), token("eos_token"))
    };
    if file.is_file() {
        return Ok(Some(new(&file, read_text(&file)?)));
    }
    match &fields["chat_template"] {
        Value::Null => Ok(None),
        Value::String(source) => Ok(Some(new(&config, source.clone()))),
        Value::Array(named) => {
            let default = named.iter().find(|it| it["name"] == "default");
            let source = default.and_then(|it| it["template"].as_str());
            let missing =
                || wrong("chat_template lists templates, and none is called default".to_owned());
            Ok(Some(new(&config, source.ok_or_else(missing)?.to_owned())))
        }
        _ => Err(wrong("chat_template is no text and no list of named ones".to_owned())),
    }
}
