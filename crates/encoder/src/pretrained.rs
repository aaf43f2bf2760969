//! What the registry asks of an encoder whose weights others publish.

use std::path::Path;

use nn::weights::Frozen;

use crate::trainable::Blocks;
use crate::{Licence, Result, Trainable, WeightsSource};

/// Settings of an encoder with weights from a file, a package or a seed.
pub(crate) trait Pretrained {
    /// Where its numbers come from.
    fn weights(&self) -> &WeightsSource;

    /// The same, to be changed.
    fn weights_mut(&mut self) -> &mut WeightsSource;

    /// Which of them are trained.
    fn trainable(&self) -> &Trainable;

    /// The same, to be changed.
    fn trainable_mut(&mut self) -> &mut Trainable;

    /// Their licence.
    fn licence(&self) -> Licence;

    /// Its blocks, of which some may move and others stay.
    fn blocks(&self) -> Result<Blocks>;

    /// What its authors' file calls a tensor that the network asks for, but for what stands before all
    /// of their names.
    fn published_name(&self, name: &str) -> String {
        name.to_owned()
    }

    /// Opens a weight file, whose tensors must be exactly the network's.
    fn open_weights(&self, path: &Path) -> Result<Frozen>;
}
