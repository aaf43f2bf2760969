//! Where the numbers of a published encoder come from, and which of them move.

use std::path::{Path, PathBuf};

use candle_core::DType;
use nn::Builder;
use nn::weights::Frozen;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Where an encoder's numbers come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeightsSource {
    /// A file as it was published; relative to the file that names it.
    File(PathBuf),
    /// A package that `model import --encoder` wrote; relative to the file that names it.
    Package(PathBuf),
    /// Drawn from this seed and the tensors' names: nothing was learned.
    Seed(u64),
}

impl WeightsSource {
    /// Changes where it lies.
    pub(crate) fn relocate(&mut self, place: &dyn Fn(&Path) -> PathBuf) {
        match self {
            Self::File(path) | Self::Package(path) => *path = place(path),
            Self::Seed(_) => {}
        }
    }
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

/// A package is opened by whoever reads its manifest, and then stands as its file.
pub(crate) fn not_opened(encoder: &'static str, path: &Path) -> Error {
    let reason = format!("{}: the package of its weights was not opened", path.display());
    Error::Setting { encoder, reason }
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
