//! What of an encoder a training may move: the choice, and the blocks among which it chooses.

use nn::weights::LoraConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which weights of an encoder are trained.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trainable {
    /// None: its tokens are computed once and kept.
    #[default]
    None,
    /// The last so many blocks, and what comes after them.
    LastNBlocks(usize),
    /// All.
    All,
    /// None of its own: corrections of low rank beside its linear layers, which start at zero.
    Lora(LoraConfig),
}

impl Trainable {
    /// Whether a training moves anything.
    pub fn moves(&self) -> bool {
        !self.is_none()
    }

    /// Whether it moves nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// The blocks of a network in the order in which tokens pass them, by their tensors' names.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    pub(crate) encoder: &'static str,
    /// Names, and the block with which what lies below them moves.
    parts: Vec<(String, usize)>,
    pub(crate) n: usize,
    still: Vec<&'static str>,
    /// Last parts of names.
    still_endings: Vec<&'static str>,
}

impl Blocks {
    /// Those of the encoder of this name in the YAML: none yet.
    pub(crate) fn of(encoder: &'static str) -> Self {
        let (parts, still, still_endings) = (Vec::new(), Vec::new(), Vec::new());
        Self { encoder, parts, n: 0, still, still_endings }
    }

    /// `n` further blocks, below `stack.0`, `stack.1`, …
    pub(crate) fn stack(mut self, stack: &str, n: usize) -> Self {
        self.parts.extend((0..n).map(|idx| (format!("{stack}.{idx}"), self.n + idx)));
        self.n += n;
        self
    }

    /// What follows the last block so far, and moves with it.
    pub(crate) fn then(mut self, name: &str) -> Self {
        self.parts.push((name.to_owned(), self.n.saturating_sub(1)));
        self
    }

    /// What no training moves: constants among the published tensors, and what no token depends on.
    pub(crate) fn still(mut self, name: &'static str) -> Self {
        self.still.push(name);
        self
    }

    /// The same of tensors by the last part of their names.
    pub(crate) fn still_ending(mut self, ending: &'static str) -> Self {
        self.still_endings.push(ending);
        self
    }

    pub(crate) fn is_still(&self, name: &str) -> bool {
        let last = name.rsplit('.').next().unwrap_or(name);
        self.still_endings.contains(&last) || self.still.iter().any(|part| is_below(name, part))
    }

    pub(crate) fn is_among_last(&self, n: usize, name: &str) -> bool {
        let block = self.parts.iter().find(|(part, _)| is_below(name, part)).map(|(_, idx)| idx);
        block.is_some_and(|idx| idx + n >= self.n) && !self.is_still(name)
    }
}

fn is_below(name: &str, part: &str) -> bool {
    name.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
