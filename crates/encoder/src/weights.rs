//! Where the numbers of a published encoder come from.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use candle_core::DType;
use nn::Builder;
use nn::weights::{Frozen, TensorInfo};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Licence, Result};

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

    /// The published file of the encoder of this name; none where weights are drawn from a seed.
    ///
    /// # Errors
    /// Where a package stands, which whoever reads its manifest replaces by its file.
    pub(crate) fn file(&self, encoder: &'static str) -> Result<Option<&Path>> {
        match self {
            Self::File(path) => Ok(Some(path)),
            Self::Seed(_) => Ok(None),
            Self::Package(path) => {
                let reason =
                    format!("{}: the package of its weights was not opened", path.display());
                Err(Error::Setting { encoder, reason })
            }
        }
    }

    /// The licence of the file, where there is one.
    pub(crate) fn licence(&self, of_file: Licence) -> Licence {
        match self {
            Self::File(_) | Self::Package(_) => of_file,
            Self::Seed(_) => Licence::named("none: drawn from a seed"),
        }
    }
}

/// The sizes of a network: as its settings say, as its weight file has them, or the published ones.
pub(crate) fn sizes<'a, S: Clone + Default>(
    said: Option<&'a S>,
    weights: &WeightsSource,
    encoder: &'static str,
    read: impl FnOnce(&Path) -> Result<S>,
) -> Result<Cow<'a, S>> {
    if let Some(size) = said {
        return Ok(Cow::Borrowed(size));
    }
    let read = weights.file(encoder)?.map(read).transpose()?;
    Ok(Cow::Owned(read.unwrap_or_default()))
}

/// The tensors of a published file: those below the first of `sections` that it has, without what
/// wrappers put into their names, and without `model.` where all of them begin with it.
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
    let frozen = Frozen::from_container(container).unwrapped()?;
    let names = frozen.list();
    if names.is_empty() || !names.iter().all(|info| info.name.starts_with("model.")) {
        return Ok(frozen);
    }
    let frozen = frozen.renamed(|name| name.strip_prefix("model.").map(str::to_owned))?;
    Ok(frozen.unwrapped()?)
}

/// The shapes of a file's tensors, from which sizes are read.
pub(crate) struct Shapes(Vec<TensorInfo>);

impl Shapes {
    pub(crate) fn of(frozen: &Frozen) -> Self {
        Self(frozen.list())
    }

    /// A tensor's shape, if it is there.
    pub(crate) fn get(&self, name: &str) -> Option<&[usize]> {
        self.0.iter().find(|info| info.name == name).map(|info| info.shape.as_slice())
    }

    /// The part of a name that follows `start`, up to the next dot, of the first tensor below it.
    pub(crate) fn first_below(&self, start: &str) -> Option<String> {
        let mut rest = self.0.iter().filter_map(|info| info.name.strip_prefix(start));
        rest.next()?.split('.').next().map(str::to_owned)
    }

    /// How many blocks `stack.0`, `stack.1`, … have this tensor.
    pub(crate) fn count(&self, stack: &str, tensor: &str) -> usize {
        let has = |idx: &usize| self.get(&format!("{stack}.{idx}.{tensor}")).is_some();
        (0..self.0.len()).take_while(has).count()
    }
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
