//! LoRA adapters in the folders of PEFT (Hu et al. 2022): read, checked and merged into the weights of
//! a language model, a CLIP or a brain encoder; and the corrections of a trained model written so.
//!
//! ```text
//! adapter_config.json ─ scale of each module ─┐
//! adapter_model.safetensors ─ A, B, rows ─────┼─ W + s · B A ─→ the base's tensors, merged
//! base weights ───────────────────────────────┘
//! ```

mod config;
mod export;
mod folder;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use encoder::LoraConfig;
use nn::weights::{Frozen, corrected_layer, is_correction};

use self::config::PeftConfig;
use crate::{Error, Fault, Result};

pub use export::{LoraPart, export_lora};
pub use folder::{MergedLora, merge_lora};

/// What PEFT puts before the names of the base model.
const ROOT: &str = "base_model.model.";
/// The file of an adapter's tensors, and its older form.
const WEIGHTS: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];

fn wrong(path: &Path, reason: String) -> Error {
    Error::Import { path: path.to_owned(), reason, fault: Fault::Adapter }
}

/// An adapter as PEFT saved it.
#[derive(Clone, Debug)]
pub struct LoraAdapter {
    path: PathBuf,
    config: PeftConfig,
    /// Tensors by their names in the file.
    tensors: HashMap<String, Tensor>,
}

/// Embedding and head of a model whose head is its embedding, by the base's names.
#[derive(Clone, Copy, Debug)]
pub struct TiedNames<'a> {
    /// The embedding's weight.
    pub embedding: &'a str,
    /// The head's weight, which the base's file lacks.
    pub head: &'a str,
}

/// How corrections reach the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corrections {
    /// As PEFT's `merge_and_unload`: the one matrix of a tied model gets those of embedding and head.
    Merged,
    /// As while the adapter is used: embedding and head have their own, and are two matrices then.
    Beside,
}

/// What a tensor of the file does to a module of the base.
#[derive(Debug, Default)]
struct Changes {
    /// `A` and `B` of a linear map, by their names in the file.
    linear: [Option<String>; 2],
    /// The same of an embedding.
    embedding: [Option<String>; 2],
    /// Rows that take the place of the base's.
    rows: Option<String>,
}

impl LoraAdapter {
    /// Reads the folder of an adapter.
    ///
    /// # Errors
    /// Names the file, and what in it is not LoRA or is not supported.
    pub fn open(folder: &Path) -> Result<Self> {
        let config = PeftConfig::open(folder)?;
        let mut paths = WEIGHTS.iter().map(|name| folder.join(name));
        let is_there = |path: &PathBuf| path.is_file() || formats::dangling(path).is_some();
        let path = paths
            .find(is_there)
            .ok_or_else(|| wrong(folder, format!("found no {}", WEIGHTS.join(" and no "))))?;
        let tensors = Frozen::open(&path)?.unwrapped()?.tensors()?;
        Ok(Self { path, config, tensors })
    }

    /// Its tensors, by their names in the file.
    pub fn tensors(&self) -> &HashMap<String, Tensor> {
        &self.tensors
    }

    /// Corrections and the tensors under the base's names, of an adapter that corrects linear layers alone, all by
    /// one rank and weight; nothing of any other.
    pub fn plain(&self) -> Option<(LoraConfig, HashMap<String, Tensor>)> {
        let named = |name: &str| name.strip_prefix(ROOT).unwrap_or(name).to_owned();
        let tensors = self.tensors.iter().map(|(name, tensor)| (named(name), tensor.clone()));
        let tensors: HashMap<String, Tensor> = tensors.collect();
        let modules = tensors.keys().filter_map(|name| corrected_layer(name));
        let mut modules: Vec<String> = modules.map(str::to_owned).collect();
        modules.sort();
        let config = self.config.plain(modules)?;
        tensors.keys().all(|name| is_correction(name)).then_some((config, tensors))
    }

    /// The base's tensors with the adapter's corrections. `tensors` are those of the file, which may be
    /// variables: gradients reach them through what is returned.
    ///
    /// # Errors
    /// Names a tensor that corrects nothing of the base, or has another shape.
    pub fn apply(
        &self,
        base: &HashMap<String, Tensor>,
        tensors: &HashMap<String, Tensor>,
        tied: Option<TiedNames>,
        corrections: Corrections,
    ) -> Result<HashMap<String, Tensor>> {
        let mut all = base.clone();
        let mut modules: BTreeMap<String, Changes> = BTreeMap::new();
        let is_tied = tied.is_some_and(|tied| !base.contains_key(tied.head));
        let tied = tied.filter(|_| is_tied);
        let mut names: Vec<&String> = tensors.keys().collect();
        names.sort();
        for name in names {
            let path = name.strip_prefix(ROOT).unwrap_or(name);
            match Kind::of(path) {
                Kind::Change(module, change) => {
                    *change(modules.entry(module.to_owned()).or_default()) = Some(name.clone());
                }
                Kind::Base(target) => {
                    // the matrix of a tied model has one name in the base
                    let head = tied.filter(|tied| is_same(tied.head, &target));
                    let target = head.map_or(target, |tied| tied.embedding.to_owned());
                    self.replace(&mut all, &target, &tensors[name])?;
                }
                Kind::Whole(target) => match tied.filter(|tied| is_same(tied.head, &target)) {
                    Some(tied) => drop(all.insert(tied.head.to_owned(), tensors[name].clone())),
                    None => self.replace(&mut all, &target, &tensors[name])?,
                },
            }
        }
        for (module, changes) in &modules {
            if let Some(rows) = &changes.rows {
                let target = self.target(&all, &format!("{module}.weight"), tied)?;
                let moved = self.with_rows(&all[&target], &tensors[rows], module)?;
                all.insert(target, moved);
            }
        }
        if let Some(tied) = tied.filter(|tied| !all.contains_key(tied.head))
            && corrections == Corrections::Beside
        {
            let shared = all[&self.target(&all, tied.embedding, None)?].clone();
            all.insert(tied.head.to_owned(), shared);
        }
        for (module, changes) in &modules {
            self.correct(&mut all, module, changes, tensors, tied)?;
        }
        Ok(all)
    }

    /// Adds the products of low rank of one module.
    fn correct(
        &self,
        all: &mut HashMap<String, Tensor>,
        module: &str,
        changes: &Changes,
        tensors: &HashMap<String, Tensor>,
        tied: Option<TiedNames>,
    ) -> Result<()> {
        for ([a, b], is_embedding) in [(&changes.linear, false), (&changes.embedding, true)] {
            let (a, b) = match (a, b) {
                (None, None) => continue,
                (Some(a), Some(b)) => (&tensors[a], &tensors[b]),
                _ => {
                    return Err(
                        self.wrong(format!("`{module}` has one of lora_A and lora_B alone"))
                    );
                }
            };
            let (Ok((rank, n_in)), Ok((n_out, of_b))) = (a.dims2(), b.dims2()) else {
                return Err(self.wrong(format!(
                    "the correction of `{module}` is {:?} and {:?}, expected two matrices",
                    a.dims(),
                    b.dims()
                )));
            };
            let scale = self.config.scale(module, rank)?;
            let target = self.target(all, &format!("{module}.weight"), tied)?;
            let expected = if is_embedding { vec![n_in, n_out] } else { vec![n_out, n_in] };
            let weight = &all[&target];
            if of_b != rank || weight.dims() != expected {
                return Err(self.wrong(format!(
                    "the correction of `{module}` is {:?} and {:?}, its weight {:?}",
                    a.dims(),
                    b.dims(),
                    weight.dims()
                )));
            }
            let [a, b] = [a.to_dtype(DType::F32)?, b.to_dtype(DType::F32)?];
            let product = (b.matmul(&a)? * scale)?;
            let product = if is_embedding { product.t()?.contiguous()? } else { product };
            let merged = (weight.to_dtype(DType::F32)? + product)?.to_dtype(weight.dtype())?;
            all.insert(target, merged);
        }
        Ok(())
    }

    /// Puts a whole tensor in the place of the base's.
    fn replace(
        &self,
        all: &mut HashMap<String, Tensor>,
        target: &str,
        tensor: &Tensor,
    ) -> Result<()> {
        let target = self.target(all, target, None)?;
        let own = &all[&target];
        // a vocabulary may have grown before the training
        let fits = own.dims() == tensor.dims()
            || (own.rank() == 2 && own.dims().last() == tensor.dims().last());
        if !fits {
            return Err(self.wrong(format!(
                "`{target}` is {:?}, the base has {:?}",
                tensor.dims(),
                own.dims()
            )));
        }
        let tensor = tensor.to_dtype(own.dtype())?;
        all.insert(target, tensor);
        Ok(())
    }

    /// A matrix whose rows of trained tokens are those of the adapter.
    fn with_rows(&self, weight: &Tensor, rows: &Tensor, module: &str) -> Result<Tensor> {
        let ids = self.config.rows(module)?;
        let (n_rows, width) = weight.dims2()?;
        if rows.dims() != [ids.len(), width] || ids.iter().any(|&id| id as usize >= n_rows) {
            return Err(self.wrong(format!(
                "the trained rows of `{module}` are {:?} for the ids {ids:?}, its weight {:?}",
                rows.dims(),
                weight.dims()
            )));
        }
        // row i of the result is row order[i] of the base's rows followed by the trained ones
        let mut order: Vec<u32> = (0..n_rows as u32).collect();
        for (at, id) in ids.iter().enumerate() {
            order[*id as usize] = (n_rows + at) as u32;
        }
        let both = Tensor::cat(&[weight, &rows.to_dtype(weight.dtype())?], 0)?;
        Ok(both.index_select(&Tensor::from_vec(order, n_rows, weight.device())?, 0)?)
    }

    /// The base's name of a tensor: the same, or the one of which either is the end of the other after
    /// a point, for classes that put something before the names.
    fn target(
        &self,
        all: &HashMap<String, Tensor>,
        name: &str,
        tied: Option<TiedNames>,
    ) -> Result<String> {
        if all.contains_key(name) {
            return Ok(name.to_owned());
        }
        if let Some(tied) = tied.filter(|tied| is_same(tied.head, name)) {
            return self.target(all, tied.embedding, None);
        }
        let mut found: Vec<&String> = all.keys().filter(|own| is_same(own, name)).collect();
        if found.len() > 1 && found.iter().any(|own| is_taught(own)) {
            found.retain(|own| is_taught(own));
        }
        match found[..] {
            [only] => Ok(only.clone()),
            [] => {
                let module = name.strip_suffix(".weight").unwrap_or(name);
                Err(self
                    .wrong(format!("it changes `{module}`, which the base model does not have")))
            }
            [a, b, ..] => {
                let (a, b) = (a.min(b), a.max(b));
                Err(self.wrong(format!("`{name}` may be `{a}` or `{b}` of the base model")))
            }
        }
    }

    fn wrong(&self, reason: String) -> Error {
        wrong(&self.path, reason)
    }
}

/// Whether a tensor is of the part of a checkpoint that is read where it holds its network twice: Brain-JEPA's
/// `target_encoder` beside `encoder`, Brain-Semantoks' `teacher_encoder` beside `student_encoder`.
fn is_taught(name: &str) -> bool {
    ["target_encoder.", "teacher_encoder."].iter().any(|part| name.starts_with(part))
}

/// Whether two names are of one tensor, where one class puts something before the other's.
fn is_same(a: &str, b: &str) -> bool {
    let ends = |long: &str, short: &str| {
        long.strip_suffix(short).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    ends(a, b) || ends(b, a)
}

type Change = fn(&mut Changes) -> &mut Option<String>;

/// What a tensor of the file is, by its path in the base model.
enum Kind<'a> {
    /// A part of what changes a module.
    Change(&'a str, Change),
    /// The base's own tensor, kept beside the corrections of its module.
    Base(String),
    /// A tensor of a module that was trained whole.
    Whole(String),
}

impl<'a> Kind<'a> {
    fn of(path: &'a str) -> Self {
        let changes: [(&str, Change); 5] = [
            (".lora_A", |changes| &mut changes.linear[0]),
            (".lora_B", |changes| &mut changes.linear[1]),
            (".lora_embedding_A", |changes| &mut changes.embedding[0]),
            (".lora_embedding_B", |changes| &mut changes.embedding[1]),
            (".token_adapter.trainable_tokens_delta", |changes| &mut changes.rows),
        ];
        // PEFT before 0.3 kept the adapter's name
        let bare = path.strip_suffix(".weight").unwrap_or(path);
        let bare = bare.strip_suffix(".default").unwrap_or(bare);
        for (end, change) in changes {
            if let Some(module) = bare.strip_suffix(end) {
                return Self::Change(module, change);
            }
        }
        for between in [".token_adapter.base_layer.", ".base_layer."] {
            if let Some((module, tensor)) = path.rsplit_once(between) {
                return Self::Base(format!("{module}.{tensor}"));
            }
        }
        Self::Whole(
            path.replace(".modules_to_save.default.", ".").replace(".modules_to_save.", "."),
        )
    }
}
