//! Files of `torch.save` before 1.6, and of `_use_new_zipfile_serialization=False` since.
//!
//! ```text
//! pickle: magic │ pickle: version │ pickle: machine │ pickle: objects │ pickle: keys │
//! n_elements: i64, values │ n_elements: i64, values │ …                     in the order of the keys
//! ```

use std::sync::Arc;

use super::{
    Storages, described,
    flatten::flatten,
    pickle::{Element, Heap, Id, Object, load},
};
use crate::{
    container::{Container, Format},
    error::{Error, Result},
    source::{Cursor, Source},
};

/// What the first pickle of such a file holds.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;

/// The same as protocols 0 and 1 write it.
pub(crate) const MAGIC_LINE: &[u8] = b"L119547037146038801333356L\n.";

/// The only version there ever was.
const VERSION: i128 = 1001;

/// Fails where a file of no known beginning is a pickle of protocol 0 or 1, which have none, that
/// wants to call something.
pub(crate) fn refuse_call(source: &Source) -> Result<()> {
    let is_name = |name: &str| {
        name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.'))
    };
    match load(&mut Cursor::new(source, "the pickle", 0, source.len)) {
        Err(Error::Call { path, name }) if is_name(&name) => Err(Error::Call { path, name }),
        _ => Ok(()),
    }
}

pub(crate) fn open(source: Arc<Source>) -> Result<Container> {
    let mut cursor = Cursor::new(&source, "the pickle", 0, source.len);
    let (heap, magic) = load(&mut cursor)?;
    if !is_int(&heap, magic, MAGIC) {
        let cure = "save the tensors with torch.save or as safetensors";
        return Err(source.unsupported("a plain Python pickle", cure));
    }
    let (heap, version) = load(&mut cursor)?;
    if !is_int(&heap, version, VERSION) {
        let found = format!("{:?}", heap.get(version));
        return Err(cursor.damaged(format!("its version is {found}, expected {VERSION}")));
    }
    let (heap, machine) = load(&mut cursor)?;
    if matches!(entry(&heap, machine, "little_endian"), Some(Object::Bool(false))) {
        let cure = "save it on a little-endian machine";
        return Err(source.unsupported("values with the most significant byte first", cure));
    }
    let (heap, whole) = load(&mut cursor)?;
    let (keys, list) = load(&mut cursor)?;
    let Object::List(list) = keys.get(list) else {
        return Err(cursor.damaged("its storages have no list of keys"));
    };

    let described = described(&source, &heap)?;
    let mut storages = Storages::new();
    for &key in list {
        let Object::Text(key) = keys.get(key) else {
            return Err(cursor.damaged("the key of a storage is no text"));
        };
        let Some(storage) = described.get(&**key) else {
            return Err(cursor.damaged(format!("storage `{key}` belongs to no tensor")));
        };
        let Element::Known(dtype) = storage.element else {
            let found = format!("a storage of type {:?}", storage.element);
            return Err(source.unsupported(found, "save plain numbers"));
        };
        let n_elements = cursor.u64()?;
        if n_elements != storage.n_elements {
            return Err(cursor.damaged(format!(
                "storage `{key}` has {n_elements} elements, its description {}",
                storage.n_elements
            )));
        }
        let n_bytes = n_elements.saturating_mul(dtype.size() as u64);
        let start = cursor.position();
        cursor.skip(n_bytes)?;
        if storages.insert(key.clone(), start..start + n_bytes).is_some() {
            return Err(cursor.damaged(format!("storage `{key}` is there twice")));
        }
    }
    let (entries, values) = flatten(&source, &heap, whole, &storages)?;
    Container::new(source.clone(), Format::PyTorchLegacy, entries, values)
}

fn is_int(heap: &Heap, id: Id, expected: i128) -> bool {
    matches!(heap.get(id), Object::Int(n) if *n == expected)
}

fn entry<'h>(heap: &'h Heap, dict: Id, key: &str) -> Option<&'h Object> {
    let Object::Dict(items) = heap.get(dict) else { return None };
    let is_key = |id: Id| matches!(heap.get(id), Object::Text(text) if **text == *key);
    items.iter().find(|(id, _)| is_key(*id)).map(|(_, value)| heap.get(*value))
}
