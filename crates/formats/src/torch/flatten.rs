//! From the objects of a pickle to entries with dotted names, and a tree of the values beside them.

use super::{
    Storages,
    pickle::{Element, Heap, Id, Instance, Object, Tensor},
};
use crate::{
    MAX_VALUES,
    container::Entry,
    error::{Error, Result, plain},
    source::Source,
    value::Value,
};

/// Deeper than any model nests its modules.
const MAX_DEPTH: usize = 128;

/// Bytes of all names and texts together; objects may be shared, so the file's length is no bound.
const MAX_TEXT: usize = 1 << 26;

/// Bytes of a view that repeats elements (`expand`), beyond what the file holds.
const MAX_EXPANDED: u64 = 1 << 28;

/// Dictionaries of a `torch.nn.Module` that are no part of the names of its parameters.
const TRANSPARENT: [&str; 3] = ["_parameters", "_buffers", "_modules"];

/// The tensors below an object, and everything else as values.
pub(super) fn flatten(
    source: &Source,
    heap: &Heap,
    whole: Id,
    storages: &Storages,
) -> Result<(Vec<Entry>, Value)> {
    let on_path = vec![false; heap.len()];
    let (entries, path) = (Vec::new(), Vec::new());
    let (n_values, n_text) = (0, 0);
    let mut walk = Walk { source, heap, storages, on_path, path, entries, n_values, n_text };
    let values = walk.visit(whole)?.unwrap_or(Value::Map(Vec::new()));
    if walk.entries.is_empty() {
        let keys: Vec<&str> = values.keys().take(8).collect();
        let found = match (&values, keys.as_slice()) {
            (Value::Map(_), []) => "an empty dictionary".to_owned(),
            (Value::Map(_), keys) => format!("a dictionary of {}", keys.join(", ")),
            (Value::List(values), _) => format!("a list of {} values", values.len()),
            (Value::Opaque(class), _) => format!("an object of `{class}`"),
            _ => "a single value".to_owned(),
        };
        return Err(Error::NoTensors { path: source.path.clone(), found: plain(&found) });
    }
    Ok((walk.entries, values))
}

struct Walk<'a> {
    source: &'a Source,
    heap: &'a Heap,
    storages: &'a Storages,
    /// Objects that the present one lies in: met again, they are a circle.
    on_path: Vec<bool>,
    path: Vec<String>,
    entries: Vec<Entry>,
    n_values: usize,
    n_text: usize,
}

impl<'a> Walk<'a> {
    /// The value of an object; `None` for a tensor, which becomes an entry, and for a circle.
    fn visit(&mut self, id: Id) -> Result<Option<Value>> {
        self.n_values += 1;
        if self.n_values > MAX_VALUES || self.n_text > MAX_TEXT {
            return Err(self.source.damaged(format!(
                "the pickle unfolds to more than {MAX_VALUES} values or {MAX_TEXT} bytes of names"
            )));
        }
        if self.path.len() > MAX_DEPTH {
            return Err(self.source.damaged(format!("the pickle nests deeper than {MAX_DEPTH}")));
        }
        if std::mem::replace(&mut self.on_path[Heap::index(id)], true) {
            return Ok(None);
        }
        let value = self.value(self.heap.get(id));
        self.on_path[Heap::index(id)] = false;
        value
    }

    fn value(&mut self, object: &'a Object) -> Result<Option<Value>> {
        Ok(Some(match object {
            Object::None => Value::None,
            Object::Bool(flag) => Value::Bool(*flag),
            Object::Int(n) => Value::Int(*n),
            Object::Float(x) => Value::Float(*x),
            Object::Text(text) => {
                self.n_text += text.len();
                Value::Text(text.to_string())
            }
            Object::Opaque(what) | Object::Global(what) => {
                self.n_text += what.len();
                Value::Opaque(what.to_string())
            }
            Object::Storage(_) => Value::Opaque("torch.storage".into()),
            Object::List(elements) => {
                let mut values = Vec::new();
                self.list(elements, &mut values)?;
                Value::List(values)
            }
            Object::Dict(items) => {
                let mut values = Vec::new();
                self.dict(items, &mut values)?;
                Value::Map(values)
            }
            Object::Instance(instance) => self.instance(instance)?,
            Object::Tensor(tensor) => {
                let entry = self.entry(tensor)?;
                self.n_text += 2 * entry.name.len();
                self.entries.push(entry);
                return Ok(None);
            }
        }))
    }

    fn list(&mut self, elements: &[Id], values: &mut Vec<Value>) -> Result<()> {
        for (index, &element) in elements.iter().enumerate() {
            values.extend(self.below(index.to_string(), element)?);
        }
        Ok(())
    }

    fn dict(&mut self, items: &[(Id, Id)], values: &mut Vec<(String, Value)>) -> Result<()> {
        for (index, &(key, value)) in items.iter().enumerate() {
            let name = self.key(key, index);
            self.n_text += name.len();
            if let Some(value) = self.below(name.clone(), value)? {
                values.push((name, value));
            }
        }
        Ok(())
    }

    /// What a key is called in a dotted name; one that is no text or number has its place only.
    fn key(&self, key: Id, index: usize) -> String {
        match self.heap.get(key) {
            Object::Text(text) => text.to_string(),
            Object::Int(n) => n.to_string(),
            Object::Bool(flag) => flag.to_string(),
            _ => format!("#{index}"),
        }
    }

    fn below(&mut self, name: String, id: Id) -> Result<Option<Value>> {
        self.path.push(name);
        let value = self.visit(id);
        self.path.pop();
        value
    }

    /// Elements, items and attributes of an object side by side, a module's as in its state dictionary.
    fn instance(&mut self, instance: &'a Instance) -> Result<Value> {
        let mut elements = Vec::new();
        self.list(&instance.elements, &mut elements)?;
        let mut values = Vec::new();
        self.dict(&instance.items, &mut values)?;
        let state = instance.state.map(|state| (state, self.heap.get(state)));
        match state {
            None | Some((_, Object::None)) => {}
            Some((_, Object::Dict(items))) => self.attributes(items, &mut values)?,
            // `__slots__` put a second dictionary beside the first
            Some((_, Object::List(parts))) if parts.len() == 2 => {
                for &part in parts {
                    if let Object::Dict(items) = self.heap.get(part) {
                        self.attributes(items, &mut values)?;
                    }
                }
            }
            Some((state, _)) => elements.extend(self.below("state".into(), state)?),
        }
        if !values.is_empty() {
            return Ok(Value::Map(values));
        }
        if !elements.is_empty() {
            return Ok(Value::List(elements));
        }
        let class = match self.heap.get(instance.class) {
            Object::Global(class) => class.to_string(),
            _ => "object".to_owned(),
        };
        self.n_text += class.len();
        Ok(Value::Opaque(class))
    }

    fn attributes(&mut self, items: &[(Id, Id)], values: &mut Vec<(String, Value)>) -> Result<()> {
        let names: Vec<String> =
            items.iter().enumerate().map(|(index, &(key, _))| self.key(key, index)).collect();
        let is_module = TRANSPARENT.iter().all(|name| names.iter().any(|found| found == name));
        for (name, &(_, value)) in names.into_iter().zip(items) {
            self.n_text += name.len();
            match self.heap.get(value) {
                Object::Dict(items) if is_module && TRANSPARENT.contains(&name.as_str()) => {
                    self.dict(items, values)?;
                }
                _ => {
                    if let Some(value) = self.below(name.clone(), value)? {
                        values.push((name, value));
                    }
                }
            }
        }
        Ok(())
    }

    /// A view as a place in the file, every element of it inside its storage.
    fn entry(&self, tensor: &Tensor) -> Result<Entry> {
        let name = self.path.join(".");
        let dtype = match &tensor.element {
            Element::Known(dtype) => *dtype,
            Element::Other(kind) => {
                return Err(self.source.unsupported(
                    format!("tensor `{name}` of type {kind}"),
                    "save it as a floating-point, integer or boolean tensor",
                ));
            }
        };
        let damaged = |problem: String| self.source.damaged(format!("tensor `{name}` {problem}"));
        let Object::Storage(storage) = self.heap.get(tensor.storage) else {
            return Err(damaged("has no storage".into()));
        };
        let Some(range) = self.storages.get(&storage.key) else {
            return Err(damaged(format!("wants storage `{}`, which is not there", storage.key)));
        };
        let held = range.end - range.start;
        if let Element::Known(stored) = storage.element
            && storage.n_elements != held / stored.size() as u64
        {
            return Err(damaged(format!(
                "lies in storage `{}` of {} elements of {stored}, whose record has {held} bytes",
                storage.key, storage.n_elements
            )));
        }
        let (size, shape) = (dtype.size() as u64, &tensor.shape);
        let n_bytes = dtype.n_bytes(shape);
        let span = span(tensor);
        let (Some(n_bytes), true) = (n_bytes, span.is_some_and(|span| span <= held / size)) else {
            return Err(damaged(format!(
                "of {dtype} {shape:?} at {} with strides {:?} reaches beyond its storage of {held} \
                 bytes",
                tensor.offset, tensor.strides
            )));
        };
        if n_bytes > self.source.len.max(MAX_EXPANDED) {
            return Err(damaged(format!(
                "unfolds to {n_bytes} bytes, the file has {}",
                self.source.len
            )));
        }
        let strides = (!is_row_major(shape, &tensor.strides)).then(|| tensor.strides.clone());
        let (shape, offset) = (shape.clone(), range.start + tensor.offset * size);
        Ok(Entry { name, dtype, shape, strides, offset, n_bytes, big_endian: false })
    }
}

/// Elements of the storage up to the last of a view, or `None` on overflow.
fn span(tensor: &Tensor) -> Option<u64> {
    if tensor.shape.contains(&0) {
        return Some(tensor.offset);
    }
    let mut last = tensor.offset;
    for (&len, &stride) in tensor.shape.iter().zip(&tensor.strides) {
        last = last.checked_add((len as u64 - 1).checked_mul(stride as u64)?)?;
    }
    last.checked_add(1)
}

/// Whether the last dimension's neighbours are neighbours in the file, and so on.
fn is_row_major(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.contains(&0)
        || shape.iter().zip(strides).rev().all(|(&len, &stride)| {
            let fits = len == 1 || stride == expected;
            expected *= len;
            fits
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_major_is_known_whatever_the_strides_of_single_rows() {
        assert!(is_row_major(&[2, 3], &[3, 1]));
        assert!(is_row_major(&[2, 1, 3], &[3, 77, 1]));
        assert!(is_row_major(&[], &[]));
        assert!(is_row_major(&[4, 0], &[9, 9]));
        assert!(!is_row_major(&[2, 3], &[1, 2]));
        assert!(!is_row_major(&[2, 3], &[4, 1]));
        assert!(!is_row_major(&[2, 3], &[0, 1]));
    }
}
