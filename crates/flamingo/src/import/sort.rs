//! A checkpoint's tensors by what they are, whatever it calls them and however often.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use formats::Container;
use lm::{CausalLm, LmConfig};
use nn::weights::Frozen;

use super::{numbers, unfit};
use crate::foreign::{Role, role};
use crate::{Fault, Result};

/// A checkpoint's tensors, none of their values read.
pub(super) struct Sorted {
    /// Resampler and gated blocks, under OpenFlamingo's names.
    pub(super) adapter: Frozen,
    /// The language model's, under their Hugging Face names.
    pub(super) lm: Frozen,
    /// Second copies of a tensor.
    pub(super) n_repeated: usize,
    /// What is computed, or CLIP's own.
    pub(super) n_left_out: usize,
}

/// The part of a file that holds the tensors, where it keeps more beside them.
pub(crate) fn inner(container: Container) -> Result<Container> {
    let holds = |key: &&&str| {
        container.entries().iter().any(|entry| entry.name.starts_with(&format!("{key}.")))
    };
    Ok(match ["model_state_dict", "state_dict"].iter().find(holds) {
        Some(key) => container.select(key)?,
        None => container,
    })
}

/// The checkpoint's tensors, wherever it keeps them, by their roles.
pub(super) fn sort(path: &Path, lm: &dyn CausalLm, config: &LmConfig) -> Result<Sorted> {
    let frozen = Frozen::from_container(inner(formats::open(path)?)?);
    let (mut adapter, mut own) = (Aliases::default(), Aliases::default());
    let mut unknown = Vec::new();
    let mut n_left_out = 0;
    for info in frozen.list() {
        match role(&info.name, lm.shape().blocks_name) {
            Role::Adapter(name) => adapter.add(name, info.name),
            Role::Lm(name) if config.rename(&name).is_none() => n_left_out += 1,
            Role::Lm(name) => match config.tied_to(&name) {
                // the head of a tied model is its embedding under another name
                Some(embedding) => own.add(embedding.to_owned(), info.name),
                None => own.add(name, info.name),
            },
            Role::Vision(_) | Role::Buffer => n_left_out += 1,
            Role::Unknown => unknown.push(info.name),
        }
    }
    if adapter.0.is_empty() {
        let reason = "it holds no resampler and no gated block; expected a Flamingo checkpoint";
        return Err(unfit(path, Fault::Pairing, reason.to_owned()));
    }
    if let Some(first) = unknown.first() {
        let n = unknown.len();
        let reason =
            format!("{n} of its tensors belong to no part of a Flamingo, such as `{first}`");
        return Err(unfit(path, Fault::Pairing, reason));
    }
    let n_repeated = adapter.check(&frozen, path)? + own.check(&frozen, path)?;
    Ok(Sorted { adapter: adapter.apply(&frozen)?, lm: own.apply(&frozen)?, n_repeated, n_left_out })
}

/// Whether a tensor of a language model is its output head.
pub(super) fn is_head(name: &str) -> bool {
    name == "lm_head.weight" || name == "embed_out.weight"
}

/// For each tensor the names that the checkpoint has for it.
#[derive(Default)]
struct Aliases(BTreeMap<String, Vec<String>>);

impl Aliases {
    fn add(&mut self, ours: String, theirs: String) {
        self.0.entry(ours).or_default().push(theirs);
    }

    /// All copies of a tensor must be equal; how many there are too many.
    fn check(&self, frozen: &Frozen, path: &Path) -> Result<usize> {
        let mut n_repeated = 0;
        for (ours, theirs) in &self.0 {
            let (first, rest) = theirs.split_first().expect("a name has a tensor");
            for other in rest {
                let (a, b) = (numbers(frozen, first)?, numbers(frozen, other)?);
                let equal =
                    a.dims() == b.dims() && (a - b)?.abs()?.max_all()?.to_scalar::<f32>()? == 0.;
                if !equal {
                    let reason = format!(
                        "`{first}` and `{other}` stand for the same tensor `{ours}` and differ"
                    );
                    return Err(unfit(path, Fault::Pairing, reason));
                }
                n_repeated += 1;
            }
        }
        Ok(n_repeated)
    }

    /// The tensors, each once and under our name.
    fn apply(self, frozen: &Frozen) -> Result<Frozen> {
        let names = self.0.into_iter().map(|(ours, mut theirs)| (theirs.swap_remove(0), ours));
        let names: HashMap<String, String> = names.collect();
        Ok(frozen.renamed(|name| names.get(name).cloned())?)
    }
}
