//! Output heads that are the input embedding, in files that hold either of the two, or both.

use nn::weights::Frozen;

use crate::{LmConfig, Result};

/// What a family's Hugging Face class calls the matrix that embedding and head may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SharedNames {
    /// The input embedding.
    pub(crate) embedding: &'static str,
    /// The output head.
    pub(crate) head: &'static str,
}

/// How many of the two matrices a model has.
pub(crate) enum Tie<'a> {
    /// One or two, as the config says; the switch is cleared where a file holds two that differ.
    Switch(&'a mut bool),
    /// One: the class has no head of its own.
    Always,
}

impl LmConfig {
    /// The tensors of a checkpoint under this crate's names, without buffers. Where the config says
    /// that head and embedding are one matrix, a file may call it by either name; a file that holds
    /// two matrices with different values makes the config say that they are two, as transformers
    /// does since version 5. The sentence says so.
    ///
    /// # Errors
    /// Where two tensors get one name, or the class has no head but the file has another one.
    pub fn take(&mut self, file: &Frozen) -> Result<(Frozen, Option<String>)> {
        let weights = file.unwrapped()?.renamed(|name| self.rename(name))?;
        let SharedNames { embedding, head } = self.shared_names();
        if !self.is_tied() || !weights.contains(head) {
            return Ok((weights, None));
        }
        if !weights.contains(embedding) {
            let whole = |name: &str| if name == head { embedding } else { name }.to_owned();
            return Ok((weights.renamed(|name| Some(whole(name)))?, None));
        }
        if weights.same_values(embedding, head)? {
            let without = |name: &str| (name != head).then(|| name.to_owned());
            return Ok((weights.renamed(without)?, None));
        }
        match self.tie() {
            Tie::Switch(tied) => *tied = false,
            // its class reads the embedding alone, so the head is a tensor that nothing asks for
            Tie::Always => return Ok((weights, None)),
        }
        let note = format!(
            "the config ties `{head}` to `{embedding}`, but their values differ in the file: the \
             file's head is used"
        );
        Ok((weights, Some(note)))
    }

    /// The name of the embedding, where `name` is the head of a model whose head is its embedding.
    pub fn tied_to(&self, name: &str) -> Option<&'static str> {
        let SharedNames { embedding, head } = self.shared_names();
        (self.is_tied() && self.rename(name).as_deref() == Some(head)).then_some(embedding)
    }

    /// Embedding and head, where they are one matrix.
    pub fn tied_names(&self) -> Option<[String; 2]> {
        let SharedNames { embedding, head } = self.shared_names();
        self.is_tied().then(|| [embedding, head].map(str::to_owned))
    }

    fn is_tied(&self) -> bool {
        match self.clone().tie() {
            Tie::Switch(tied) => *tied,
            Tie::Always => true,
        }
    }
}
