//! One description for the arrays of every format: name, type, shape, and where the bytes lie.

use std::{collections::HashMap, fs::File, ops::Range, path::Path, sync::Arc};

use crate::{
    dtype::Dtype,
    error::{Error, Result, plain},
    gather::gather,
    source::Source,
    value::Value,
};

/// What kind of file it was, by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `torch.save` since 1.6: a zip archive around a pickle.
    PyTorch,
    /// `torch.jit.save`: the same with code, which is ignored.
    TorchScript,
    /// `torch.save` before 1.6: pickles one after the other, then the values.
    PyTorchLegacy,
    /// `gguf`, versions 2 and 3.
    Gguf,
    /// `safetensors`.
    Safetensors,
    /// `numpy.save`.
    Npy,
}

/// One array of a file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// Its path in the file, joined by dots (`model.layers.0.weight`); empty where the file is one
    /// array.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its dimensions, the slowest first; none for a scalar.
    pub shape: Vec<usize>,
    /// Distances between neighbours in elements, one a dimension; `None` where row-major.
    pub strides: Option<Vec<usize>>,
    /// Position in the file of its first element.
    pub offset: u64,
    /// Bytes of its values in row-major order.
    pub n_bytes: u64,
    /// Whether the file has the most significant byte first.
    pub big_endian: bool,
}

/// The arrays of a file, described; values are read on demand.
#[derive(Clone, Debug)]
pub struct Container {
    source: Arc<Source>,
    format: Format,
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
    metadata: Value,
}

impl Container {
    /// Refuses two entries of one name.
    pub(crate) fn new(
        source: Arc<Source>,
        format: Format,
        entries: Vec<Entry>,
        metadata: Value,
    ) -> Result<Self> {
        let mut by_name = HashMap::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            if by_name.insert(entry.name.clone(), index).is_some() {
                return Err(source.damaged(format!("two tensors are called `{}`", entry.name)));
            }
        }
        Ok(Self { source, format, entries, by_name, metadata })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// The open file that [`Entry::offset`] counts in, for whoever maps it.
    pub fn file(&self) -> &File {
        &self.source.file
    }

    /// What kind of file it is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// All arrays, in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The array of a name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.by_name.get(name).map(|&index| &self.entries[index])
    }

    /// The array of a file that is one array.
    pub fn only(&self) -> Result<&Entry> {
        match self.entries.as_slice() {
            [entry] => Ok(entry),
            entries => {
                let path = self.path().to_path_buf();
                Err(Error::NotOneArray { path, found: entries.len() })
            }
        }
    }

    /// The plain values beside the arrays: hyper-parameters of a checkpoint, metadata of GGUF and
    /// safetensors.
    pub fn metadata(&self) -> &Value {
        &self.metadata
    }

    /// The part under a key, such as `state_dict` or `a.b`, with the names shortened by it.
    pub fn select(&self, key: &str) -> Result<Self> {
        let below = |name: &str| Some(name.strip_prefix(key)?.strip_prefix('.')?.to_owned());
        let shorten = |entry: &Entry| Some(Entry { name: below(&entry.name)?, ..entry.clone() });
        let entries: Vec<Entry> = self.entries.iter().filter_map(shorten).collect();
        if entries.is_empty() {
            let (path, key) = (self.path().to_path_buf(), key.to_owned());
            return Err(Error::NoSuchPart { path, key, found: self.top_level() });
        }
        let metadata = key.split('.').try_fold(&self.metadata, |value, key| value.get(key));
        let metadata = metadata.cloned().unwrap_or(Value::Map(Vec::new()));
        Self::new(self.source.clone(), self.format, entries, metadata)
    }

    /// The first parts of the names, for an error.
    fn top_level(&self) -> String {
        let mut tops: Vec<&str> = Vec::new();
        for entry in &self.entries {
            let top = entry.name.split('.').next().unwrap_or_default();
            if tops.last() != Some(&top) && !tops.contains(&top) {
                tops.push(top);
            }
            if tops.len() > 8 {
                tops[8] = "…";
                break;
            }
        }
        plain(&tops.join(", "))
    }

    /// Where the values lie in the file as they would lie in memory; `None` for a view with strides
    /// and for foreign byte order.
    pub fn location(&self, entry: &Entry) -> Option<Range<u64>> {
        let plain = entry.strides.is_none() && (!entry.big_endian || entry.dtype.size() == 1);
        plain.then_some(entry.offset..entry.offset + entry.n_bytes)
    }

    /// The values in row-major order, the least significant byte first.
    pub fn read(&self, entry: &Entry) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        out.try_reserve_exact(entry.n_bytes as usize).map_err(|_| Error::Memory {
            path: self.path().to_path_buf(),
            name: entry.name.clone(),
            n_bytes: entry.n_bytes,
        })?;
        out.resize(entry.n_bytes as usize, 0);
        self.read_into(entry, &mut out)?;
        Ok(out)
    }

    /// The same into memory that is there already, of [`Entry::n_bytes`] bytes.
    pub fn read_into(&self, entry: &Entry, out: &mut [u8]) -> Result<()> {
        let n_bytes = entry.dtype.n_bytes(&entry.shape);
        if n_bytes != Some(out.len() as u64) {
            let (dtype, shape) = (entry.dtype.to_string(), entry.shape.clone());
            return Err(Error::Length { dtype, shape, expected: n_bytes, found: out.len() as u64 });
        }
        match &entry.strides {
            None => self.source.read_at(entry.offset, out)?,
            Some(strides) => gather(&self.source, entry, strides, out)?,
        }
        if entry.big_endian {
            out.chunks_exact_mut(entry.dtype.size()).for_each(<[u8]>::reverse);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, dtype: Dtype, shape: &[usize], offset: u64) -> Entry {
        let (strides, big_endian) = (None, false);
        let n_bytes = dtype.n_bytes(shape).unwrap();
        let shape = shape.to_vec();
        Entry { name: name.into(), dtype, shape, strides, offset, n_bytes, big_endian }
    }

    fn container(bytes: &[u8], entries: Vec<Entry>) -> Result<Container> {
        let file = crate::testing::file(bytes);
        let source = Arc::new(Source::open(file.path())?);
        let part = Value::Map(vec![("rank".into(), Value::Int(4))]);
        Container::new(source, Format::Npy, entries, Value::Map(vec![("lora".into(), part)]))
    }

    #[test]
    fn a_part_is_named_from_its_own_root() {
        let names = ["lora.a.w", "lora.b", "lorax.c", "epoch"];
        let entries = names.map(|name| entry(name, Dtype::U8, &[2], 1)).to_vec();
        let all = container(&[7, 8, 9], entries).unwrap();
        let part = all.select("lora").unwrap();
        let names: Vec<_> = part.entries().iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["a.w", "b"]);
        assert_eq!(part.metadata().get("rank").and_then(Value::as_int), Some(4));
        assert_eq!(part.read(part.get("b").unwrap()).unwrap(), [8, 9]);
        assert_eq!(part.location(part.get("b").unwrap()), Some(1..3));
        assert_eq!(all.select("lora.a").unwrap().only().unwrap().name, "w");
    }

    #[test]
    fn a_part_that_is_not_there_is_an_error_that_lists_what_is() {
        let all = container(&[0], vec![entry("model.w", Dtype::U8, &[1], 0)]).unwrap();
        let error = all.select("state_dict").unwrap_err().to_string();
        assert!(error.contains("has no tensors under `state_dict`; found model"), "{error}");
    }

    #[test]
    fn two_entries_of_one_name_are_refused() {
        let twice = vec![entry("w", Dtype::U8, &[1], 0), entry("w", Dtype::U8, &[1], 0)];
        let error = container(&[0], twice).unwrap_err().to_string();
        assert!(error.ends_with("two tensors are called `w`"), "{error}");
    }

    #[test]
    fn foreign_byte_order_is_turned_and_has_no_place_to_map() {
        let mut swapped = entry("w", Dtype::U16, &[2], 0);
        swapped.big_endian = true;
        let container = container(&[1, 2, 3, 4], vec![swapped]).unwrap();
        let entry = container.only().unwrap();
        assert_eq!(container.read(entry).unwrap(), [2, 1, 4, 3]);
        assert_eq!(container.location(entry), None);
    }

    #[test]
    fn memory_of_another_length_is_refused() {
        let container = container(&[0; 8], vec![entry("w", Dtype::F32, &[2], 0)]).unwrap();
        let error = container.read_into(container.only().unwrap(), &mut [0; 4]).unwrap_err();
        assert_eq!(error.to_string(), "an array [2] of F32 takes Some(8) bytes, found 4");
    }
}
