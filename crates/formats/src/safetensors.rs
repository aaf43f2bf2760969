//! safetensors: a JSON header that says where each tensor lies, then the bytes without gaps.
//!
//! ```text
//! n: u64 │ {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …} │ bytes
//! ```
//!
//! As strict as the format's own reader: every byte after the header belongs to exactly one tensor.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};

use crate::{
    container::{Container, Entry, Format},
    dtype::Dtype,
    error::Result,
    source::Source,
    value::Value,
};

/// The format's own limit on its header.
const MAX_HEADER: u64 = 100_000_000;

/// Where the metadata of another form stands, as JSON: safetensors knows texts alone.
const TREE: &str = "neuroflamingo.metadata";

/// The `__metadata__` of a file that keeps these values; nothing where there are none.
pub fn safetensors_metadata(values: &Value) -> Option<HashMap<String, String>> {
    let Value::Map(items) = values else { return None };
    let texts: Option<HashMap<String, String>> =
        items.iter().map(|(key, it)| Some((key.clone(), it.as_text()?.to_owned()))).collect();
    match texts {
        Some(texts) => (!texts.is_empty()).then_some(texts),
        None => Some(HashMap::from([(TREE.to_owned(), values.to_json()?.to_string())])),
    }
}

/// The values that [`safetensors_metadata`] wrote.
fn tree(text: &str) -> serde_json::Result<Value> {
    // serde_json refuses what is nested deeper than it can read
    Ok(Value::of_json(serde_json::from_str(text)?))
}

/// Whether these first bytes can be a safetensors file: a length that is no text, then a JSON object.
pub(crate) fn begins(head: &[u8]) -> bool {
    head.get(8) == Some(&b'{') && head[..8].iter().any(|byte| !(b' '..=b'~').contains(byte))
}

/// Whether this is the beginning of a safetensors file and of nothing else: the length of the header
/// fits into four bytes.
pub(crate) fn begins_surely(head: &[u8]) -> bool {
    begins(head) && head[4..8] == [0; 4]
}

pub(crate) fn open(source: Arc<Source>) -> Result<Container> {
    let mut length = [0; 8];
    source.read_at(0, &mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER || length > source.len - 8 {
        return Err(source.damaged(format!(
            "the safetensors header claims {length} bytes, the file has {} and the limit is \
             {MAX_HEADER}",
            source.len
        )));
    }
    let mut header = vec![0; length as usize];
    source.read_at(8, &mut header)?;
    let header: Header = serde_json::from_slice(&header).map_err(|problem| {
        source.damaged(format!("the safetensors header is not a table of tensors: {problem}"))
    })?;

    let start = 8 + length;
    let mut entries = Vec::with_capacity(header.tensors.len());
    for (name, tensor) in header.tensors {
        entries.push(entry(&source, name, tensor, start)?);
    }
    entries.sort_by_key(|entry| (entry.offset, entry.n_bytes));
    let mut end = start;
    for entry in &entries {
        if entry.offset != end {
            return Err(source.damaged(format!(
                "tensor `{}` begins at byte {}, expected {end}, where the one before it ends",
                entry.name, entry.offset
            )));
        }
        end += entry.n_bytes;
    }
    if end != source.len {
        return Err(source.damaged(format!(
            "the safetensors header describes {end} bytes, the file has {}",
            source.len
        )));
    }
    let metadata = if let Some(text) = header.metadata.get(TREE) {
        tree(text).map_err(|problem| {
            source.damaged(format!("`{TREE}` of its metadata is no JSON: {problem}"))
        })?
    } else {
        let texts = header.metadata.into_iter().map(|(key, text)| (key, Value::Text(text)));
        Value::Map(texts.collect())
    };
    Container::new(source, Format::Safetensors, entries, metadata)
}

fn entry(source: &Source, name: String, tensor: Tensor, start: u64) -> Result<Entry> {
    let Some(dtype) = dtype(&tensor.dtype) else {
        return Err(source.unsupported(
            format!("tensor `{name}` of type {}", tensor.dtype),
            "convert it to a common floating-point or integer type",
        ));
    };
    let [begin, end] = tensor.data_offsets;
    let n_bytes = dtype.n_bytes(&tensor.shape);
    let inside = end <= source.len - start;
    if !inside || end.checked_sub(begin).is_none_or(|n| Some(n) != n_bytes) {
        return Err(source.damaged(format!(
            "tensor `{name}` of {dtype} {:?} lies at {begin}..{end} of {} bytes, expected {} of them",
            tensor.shape,
            source.len - start,
            n_bytes.map_or_else(|| "fewer".to_owned(), |n| n.to_string()),
        )));
    }
    let (offset, n_bytes, shape) = (start + begin, end - begin, tensor.shape);
    Ok(Entry { name, dtype, shape, strides: None, offset, n_bytes, big_endian: false })
}

fn dtype(name: &str) -> Option<Dtype> {
    Some(match name {
        "F64" => Dtype::F64,
        "F32" => Dtype::F32,
        "F16" => Dtype::F16,
        "BF16" => Dtype::BF16,
        "F8_E4M3" => Dtype::F8E4M3,
        "F8_E5M2" => Dtype::F8E5M2,
        "C64" => Dtype::C64,
        "I64" => Dtype::I64,
        "I32" => Dtype::I32,
        "I16" => Dtype::I16,
        "I8" => Dtype::I8,
        "U64" => Dtype::U64,
        "U32" => Dtype::U32,
        "U16" => Dtype::U16,
        "U8" => Dtype::U8,
        "BOOL" => Dtype::Bool,
        _ => return None,
    })
}

/// The JSON of a header, in the order of the file.
struct Header {
    tensors: Vec<(String, Tensor)>,
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tensors;
        impl<'de> Visitor<'de> for Tensors {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header { tensors: Vec::new(), metadata: BTreeMap::new() };
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        header.metadata = map.next_value::<BTreeMap<String, String>>()?;
                    } else {
                        header.tensors.push((name, map.next_value()?));
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{file, refusal};

    fn bytes(header: &str, n_values: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend((0..n_values).map(|n| n as u8));
        bytes
    }

    #[test]
    fn a_header_as_long_as_a_pickles_first_bytes_is_no_pickle() {
        // 80 02 opens a pickle of protocol 2, 80 15 one that nobody wrote
        for length in [0x0280, 0x0580, 0x1580] {
            let header =
                format!("{:length$}", r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#);
            let file = file(&bytes(&header, 2));
            assert_eq!(crate::open(file.path()).unwrap().entries()[0].name, "a");
        }
    }

    #[test]
    fn tensors_lie_where_the_header_says() {
        let header = r#"{"__metadata__":{"format":"pt"},
            "b":{"dtype":"BF16","shape":[2,1],"data_offsets":[4,8]},
            "empty":{"dtype":"F32","shape":[0,3],"data_offsets":[4,4]},
            "a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}   "#;
        let file = file(&bytes(header, 8));
        let container = crate::open(file.path()).unwrap();
        let names: Vec<_> = container.entries().iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["a", "empty", "b"]);
        assert_eq!(container.format(), Format::Safetensors);
        assert_eq!(container.metadata().get("format").and_then(Value::as_text), Some("pt"));
        let b = container.get("b").unwrap();
        assert_eq!((b.dtype, b.shape.as_slice()), (Dtype::BF16, [2, 1].as_slice()));
        assert_eq!(container.read(b).unwrap(), [4, 5, 6, 7]);
        assert_eq!(container.location(b), Some(8 + header.len() as u64 + 4..file_len(&container)));
    }

    #[test]
    fn metadata_of_another_form_is_kept_as_json() {
        let list = |all: &[i128]| Value::List(all.iter().map(|n| Value::Int(*n)).collect());
        let args = Value::Map(vec![
            ("depths".to_owned(), list(&[2, 6])),
            ("lr".to_owned(), Value::Float(0.5)),
            ("name".to_owned(), Value::Text("swin4d".to_owned())),
        ]);
        let values = Value::Map(vec![("args".to_owned(), args), ("none".to_owned(), Value::None)]);
        let texts = safetensors_metadata(&values).unwrap();
        let tensor = serde_json::json!({ "dtype": "U8", "shape": [0], "data_offsets": [0, 0] });
        let header = serde_json::json!({ "__metadata__": texts, "a": tensor }).to_string();
        let whole = file(&bytes(&header, 0));
        assert_eq!(crate::open(whole.path()).unwrap().metadata(), &values);
        // what has no word in JSON is left out
        let odd = Value::Map(vec![
            ("nan".to_owned(), Value::Float(f64::NAN)),
            ("odd".to_owned(), Value::Opaque("os.PathLike".to_owned())),
            ("epoch".to_owned(), Value::Int(3)),
        ]);
        let texts = safetensors_metadata(&odd).unwrap();
        assert_eq!(texts[TREE], r#"{"epoch":3}"#);
        // texts stay texts, as other programs write and ask for them
        let plain = Value::Map(vec![("format".to_owned(), Value::Text("pt".to_owned()))]);
        assert_eq!(safetensors_metadata(&plain).unwrap()["format"], "pt");
        assert_eq!(safetensors_metadata(&Value::Map(Vec::new())), None);
        let deep = format!("{}{}", "[".repeat(9000), "]".repeat(9000));
        let header = serde_json::json!({ "__metadata__": { TREE: deep }, "a": tensor }).to_string();
        let error = crate::open(file(&bytes(&header, 0)).path()).unwrap_err().to_string();
        assert!(error.contains("of its metadata is no JSON"), "{error}");
    }

    fn file_len(container: &Container) -> u64 {
        container.file().metadata().unwrap().len()
    }

    #[test]
    fn a_header_that_lies_is_refused_in_a_sentence() {
        let u8s = |at: &str| format!(r#""dtype":"U8","shape":[2],"data_offsets":[{at}]"#);
        for (header, n_values, expected) in [
            (format!("{{\"a\":{{{}}}}}", u8s("0,3")), 3, "lies at 0..3 of 3 bytes, expected 2"),
            (format!("{{\"a\":{{{}}}}}", u8s("1,3")), 3, "begins at byte"),
            (format!("{{\"a\":{{{}}}}}", u8s("4,6")), 3, "lies at 4..6 of 3 bytes"),
            (format!("{{\"a\":{{{}}}}}", u8s("2,0")), 3, "lies at 2..0 of 3 bytes"),
            (format!("{{\"a\":{{{}}}}}", u8s("0,2")), 3, "bytes, the file has"),
            (format!("{{\"a\":{{{0}}},\"b\":{{{0}}}}}", u8s("0,2")), 2, "begins at byte"),
            (format!("{{\"a\":{{{}}},\"a\":{{{}}}}}", u8s("0,2"), u8s("2,4")), 4, "two tensors"),
            (format!("{{\"a\":{{{},\"x\":1}}}}", u8s("0,2")), 2, "unknown field `x`"),
            ("{\"a\":3}".to_owned(), 0, "is not a table of tensors: invalid type"),
            ("{\"a\":".to_owned(), 0, "is not a table of tensors: EOF"),
            (
                r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#
                    .to_owned(),
                0,
                "expected fewer of them",
            ),
            (
                r#"{"a":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}}"#.to_owned(),
                1,
                "holds tensor `a` of type F4, which is not read",
            ),
        ] {
            let problem = refusal(&bytes(&header, n_values));
            assert!(problem.contains(expected), "{header}: {problem}");
        }
    }

    #[test]
    fn a_header_longer_than_the_file_is_refused_before_it_is_read() {
        for length in [20_u64, 1 << 40, u64::MAX] {
            let mut bytes = length.to_le_bytes().to_vec();
            bytes.extend(b"{\"a\":{}}");
            let problem = refusal(&bytes);
            assert!(problem.contains(&format!("header claims {length} bytes")), "{problem}");
        }
    }
}
