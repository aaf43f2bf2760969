//! Where the numbers of a published encoder come from, and which of them move.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::DType;
use nn::Builder;
use nn::weights::{Adapted, Frozen, Source, Thawed, Variables};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;

/// Where an encoder's numbers come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeightsSource {
    /// A file as it was published; relative to the file that names it.
    File(PathBuf),
    /// Drawn from this seed and the tensors' names: nothing was learned.
    Seed(u64),
}

/// Which weights of an encoder are trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trainable {
    /// None: its tokens are computed once and kept.
    #[default]
    None,
    /// The last so many blocks, and what comes after them.
    LastNBlocks(usize),
    /// All.
    All,
}

impl Trainable {
    /// Whether the tensor `name` moves, in a network of `n_blocks` blocks.
    fn moves(self, name: &str, n_blocks: usize) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::LastNBlocks(n) => match block_of(name) {
                Block::At(idx) => idx + n >= n_blocks,
                Block::Before => false,
                Block::After => true,
            },
        }
    }
}

/// Where a tensor of an encoder stands.
enum Block {
    Before,
    At(usize),
    After,
}

/// The block that a published tensor name belongs to.
fn block_of(name: &str) -> Block {
    let parts: Vec<&str> = name.split('.').collect();
    let is_stack = |part: &str| ["layer", "layers", "blocks", "resblocks"].contains(&part);
    let idx = parts
        .windows(2)
        .find_map(|pair| if is_stack(pair[0]) { pair[1].parse().ok() } else { None });
    match idx {
        Some(idx) => Block::At(idx),
        // the norm behind the last block, under the names of Hugging Face and of timm
        None if ["vit.layernorm.", "norm."].iter().any(|after| name.starts_with(after)) => {
            Block::After
        }
        None => Block::Before,
    }
}

/// Corrections of low rank beside the linear layers of a frozen encoder (Hu et al. 2022).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of a correction.
    pub rank: usize,
    /// The correction is scaled by `alpha / rank`; what is frozen is not.
    pub alpha: f64,
}

impl LoraConfig {
    /// What is wrong with the numbers, in one sentence.
    pub(crate) fn problem(&self) -> Option<String> {
        (self.rank == 0 || !(self.alpha.is_finite() && self.alpha > 0.)).then(|| {
            format!("lora has rank {} and alpha {}, both must be above 0", self.rank, self.alpha)
        })
    }
}

/// What moves in an encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moving {
    /// Its own weights.
    pub trainable: Trainable,
    /// Corrections beside them.
    pub lora: Option<LoraConfig>,
}

impl Moving {
    /// A builder of an encoder of `n_blocks` blocks from its `weights`; what moves appears in
    /// `variables`, new corrections are drawn from `seed`.
    pub fn builder(
        self,
        weights: impl Source + 'static,
        n_blocks: usize,
        variables: &Variables,
        seed: u64,
    ) -> Builder {
        let weights: Arc<dyn Source> = if self.trainable == Trainable::None {
            Arc::new(weights)
        } else {
            let trainable = self.trainable;
            let moves = move |name: &str| trainable.moves(name, n_blocks);
            Arc::new(Thawed::new(weights, variables.clone(), moves))
        };
        let Some(LoraConfig { rank, alpha }) = self.lora else {
            return Builder::new(weights, DType::F32);
        };
        let adapts = |path: &str| matches!(block_of(path), Block::At(_));
        Adapted::new(weights, variables, seed, (rank, alpha), adapts).builder(DType::F32)
    }
}

/// The tensors of a published file: those below the first of `sections` that it has, without
/// prefixes that all of them share, such as `module.`.
pub(crate) fn published(path: &Path, sections: &[&str]) -> Result<Frozen> {
    let container = formats::open(path).map_err(nn::Error::from)?;
    let has = |section: &&&str| {
        let start = format!("{section}.");
        container.entries().iter().any(|entry| entry.name.starts_with(&start))
    };
    let container = match sections.iter().find(has) {
        Some(section) => container.select(section).map_err(nn::Error::from)?,
        None => container,
    };
    let mut frozen = Frozen::from_container(container);
    for prefix in ["module.", "model."] {
        let names = frozen.list();
        if !names.is_empty() && names.iter().all(|info| info.name.starts_with(prefix)) {
            frozen = frozen.renamed(|name| name.strip_prefix(prefix).map(str::to_owned))?;
        }
    }
    Ok(frozen)
}

/// Refuses tensors that a network does not have, and those that it lacks or has in another shape:
/// `build` asks for all of them.
pub(crate) fn strict<T>(
    frozen: &Frozen,
    build: impl FnOnce(Builder) -> candle_core::Result<T>,
) -> Result<()> {
    build(frozen.builder(DType::F32))?;
    Ok(frozen.all_used()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_blocks_and_the_norm_behind_them_move() {
        let moves = |name: &str, which: Trainable| which.moves(name, 4);
        let last = Trainable::LastNBlocks(1);
        assert!(moves("vit.encoder.layer.3.output.dense.weight", last));
        assert!(!moves("vit.encoder.layer.2.output.dense.weight", last));
        assert!(moves("vit.layernorm.weight", last) && moves("norm.bias", last));
        assert!(!moves("vit.embeddings.cls_token", last));
        assert!(moves("blocks.3.norm1.weight", last) && !moves("blocks.0.norm1.weight", last));
        assert!(moves("vit.embeddings.cls_token", Trainable::All));
        assert!(!moves("vit.layernorm.weight", Trainable::None));
    }
}
