//! Files of `torch.save` and `torch.jit.save`: a pickle that describes, storages that hold.
//!
//! ```text
//! archive/data.pkl ─ pickle ─→ objects ─ flatten ─→ entries, values
//! archive/data/0   ────────── storages ────┘
//! ```

mod archive;
mod flatten;
mod legacy;
mod pickle;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use crate::{
    container::{Container, Format},
    error::Result,
    source::{Cursor, Source},
};
use archive::Archive;
pub(crate) use legacy::{MAGIC_LINE, open as open_legacy, refuse_call};
use pickle::{Heap, Object, Storage};

/// The first bytes of an archive.
pub(crate) const ZIP_MAGIC: &[u8] = b"PK\x03\x04";

/// The first byte of a pickle of protocol 2 and later.
pub(crate) const PICKLE_MAGIC: &[u8] = b"\x80";

/// Where each storage of a file lies, by its key.
type Storages = BTreeMap<Box<str>, Range<u64>>;

pub(crate) fn open_zip(source: Arc<Source>) -> Result<Container> {
    let archive = Archive::read(&source)?;
    if let Some(order) = archive.range(&source, "byteorder")? {
        let order =
            Cursor::new(&source, "the record `byteorder`", order.start, order.end).bytes(3)?;
        if order != *b"lit" {
            let cure = "save it on a little-endian machine";
            return Err(source.unsupported("values with the most significant byte first", cure));
        }
    }
    let Some(range) = archive.range(&source, "data.pkl")? else {
        return Err(source.damaged("the record `data.pkl` is not in the one folder of the archive"));
    };
    let what = format!("the pickle `{}/data.pkl`", archive.root);
    let (heap, whole) = pickle::load(&mut Cursor::new(&source, &what, range.start, range.end))?;

    let mut storages = Storages::new();
    for (key, _) in described(&source, &heap)? {
        let Some(range) = archive.range(&source, &format!("data/{key}"))? else {
            return Err(source.damaged(format!(
                "the pickle wants storage `{key}`, the archive has no record `{}/data/{key}`",
                archive.root
            )));
        };
        storages.insert(key.into(), range);
    }
    let script = archive.has("code/") || archive.has("constants.pkl");
    let format = if script { Format::TorchScript } else { Format::PyTorch };
    let (entries, values) = flatten::flatten(&source, &heap, whole, &storages)?;
    Container::new(source, format, entries, values)
}

/// The storages that a pickle names, each once; refuses two of one key that differ.
fn described<'h>(source: &Source, heap: &'h Heap) -> Result<BTreeMap<&'h str, &'h Storage>> {
    let mut storages: BTreeMap<&str, &Storage> = BTreeMap::new();
    for object in heap.iter() {
        let Object::Storage(storage) = object else { continue };
        if let Some(other) = storages.insert(&storage.key, storage)
            && (other.element != storage.element || other.n_elements != storage.n_elements)
        {
            return Err(source.damaged(format!(
                "the pickle describes storage `{}` in two ways: {} and {} elements of {:?} and {:?}",
                storage.key, other.n_elements, storage.n_elements, other.element, storage.element
            )));
        }
    }
    Ok(storages)
}
