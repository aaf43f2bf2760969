//! A file that the `gguf` package wrote, and files that lie.

use crate::{
    Dtype, Format, GgmlType, Value,
    testing::{fixture, refusal},
};

#[test]
fn metadata_and_tensors_are_read() {
    let container = crate::open(&fixture("tiny.gguf")).unwrap();
    assert_eq!(container.format(), Format::Gguf);
    let values = container.metadata();
    assert_eq!(values.get("general.architecture").and_then(Value::as_text), Some("llama"));
    assert_eq!(values.get("llama.block_count").and_then(Value::as_int), Some(2_usize));
    assert_eq!(values.get("llama.rope.freq_base").and_then(Value::as_float), Some(1e4));
    assert_eq!(values.get("flag"), Some(&Value::Bool(true)));
    assert_eq!(values.get("low"), Some(&Value::Int(-5)));
    let tokens = values.get("tokenizer.ggml.tokens").and_then(Value::as_list).unwrap();
    assert_eq!(tokens[1].as_text(), Some("brain"));
    let scores = values.get("tokenizer.ggml.scores").and_then(Value::as_list).unwrap();
    assert_eq!(scores, [Value::Float(0.), Value::Float(-1.5)]);

    // offsets and lengths as the package's own reader gives them
    for (name, dtype, shape, offset, n_bytes) in [
        ("f32", Dtype::F32, [2, 3], 480, 24),
        ("f16", Dtype::F16, [2, 3], 512, 12),
        ("q8_0", Dtype::Quantised(GgmlType::Q8_0), [2, 64], 544, 136),
        ("q4_1", Dtype::Quantised(GgmlType::Q4_1), [2, 64], 704, 80),
    ] {
        let entry = container.get(name).unwrap();
        assert_eq!((entry.dtype, entry.shape.as_slice()), (dtype, shape.as_slice()));
        assert_eq!((entry.offset, entry.n_bytes), (offset, n_bytes));
        assert_eq!(container.location(entry), Some(offset..offset + n_bytes));
    }
    let bytes = container.read(container.get("f32").unwrap()).unwrap();
    assert_eq!(bytes, [0_f32, 1., 2., 3., 4., 5.].map(f32::to_le_bytes).concat());
}

/// A GGUF file under construction.
struct Gguf(Vec<u8>);

impl Gguf {
    fn new(n_tensors: u64, n_keys: u64) -> Self {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(n_tensors.to_le_bytes());
        bytes.extend(n_keys.to_le_bytes());
        Self(bytes)
    }

    fn with(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.with(&(text.len() as u64).to_le_bytes()).with(text.as_bytes())
    }

    fn key(self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.text(key).with(&kind.to_le_bytes()).with(value)
    }

    fn tensor(self, name: &str, dims: &[u64], kind: u32, offset: u64) -> Self {
        let info = self.text(name).with(&(dims.len() as u32).to_le_bytes());
        let info = dims.iter().fold(info, |info, dim| info.with(&dim.to_le_bytes()));
        info.with(&kind.to_le_bytes()).with(&offset.to_le_bytes())
    }

    /// Pads to the alignment and adds values.
    fn values(mut self, alignment: usize, n: usize) -> Vec<u8> {
        self.0.resize(self.0.len().next_multiple_of(alignment) + n, 7);
        self.0
    }
}

#[test]
fn the_files_own_alignment_counts() {
    let file = Gguf::new(2, 1).key("general.alignment", 4, &[8, 0, 0, 0]);
    let file = file.tensor("a", &[4], 24, 0).tensor("b", &[1, 1, 2], 25, 8).values(8, 12);
    let len = file.len() as u64;
    let file = crate::testing::file(&file);
    let container = crate::open(file.path()).unwrap();
    let b = container.get("b").unwrap();
    assert_eq!((b.shape.as_slice(), b.offset), ([2, 1, 1].as_slice(), len - 4));
}

#[test]
fn files_that_lie_are_refused_in_a_sentence() {
    let one = |dims: &[u64], kind, offset, n| {
        Gguf::new(1, 0).tensor("a", dims, kind, offset).values(32, n)
    };
    let two = |b: &str, offset: u64| {
        Gguf::new(2, 0).tensor("a", &[16], 0, 0).tensor(b, &[16], 0, offset).values(32, 128)
    };
    let key = |kind: u32, value: &[u8]| Gguf::new(0, 1).key("k", kind, value).0;
    let huge = u64::MAX.to_le_bytes();
    for (bytes, expected) in [
        (one(&[8], 0, 0, 31), "tensor `a` needs 32 bytes from 0 of the values at byte 64"),
        (one(&[8], 0, 1 << 63, 32), "tensor `a` needs 32 bytes"),
        (one(&[8], 0, 4, 64), "expected a multiple of 32"),
        (one(&[u64::MAX, 4], 0, 0, 0), "cannot have the shape"),
        (one(&[33], 8, 0, 64), "of Q8_0 cannot have the shape [33]"),
        (one(&[1; 5], 0, 0, 64), "has 5 dimensions, expected 4 at most"),
        (one(&[256], 23, 0, 999), "of ggml type IQ4_XS (number 23)"),
        (one(&[256], 77, 0, 999), "of ggml type unknown (number 77)"),
        (two("a", 64), "two tensors are called `a`"),
        (two("b", 32), "tensors `a` and `b` overlap"),
        (key(77, &[]), "a value has type 77, expected 0 to 12"),
        (key(7, &[2]), "a boolean is 2"),
        (key(8, &huge), "bytes are promised"),
        (key(9, &[&[0, 0, 0, 0], &huge[..]].concat()), "bytes are promised"),
        (
            key(9, &[9_u32.to_le_bytes().as_slice(), &1_u64.to_le_bytes()].concat().repeat(9)),
            "its arrays nest deeper than 4",
        ),
        (Gguf::new(0, 2).key("k", 0, &[1]).key("k", 0, &[1]).0, "the key `k` appears twice"),
        (
            Gguf::new(0, 1).key("general.alignment", 4, &[9, 0, 0, 0]).0,
            "general.alignment is Int(9), expected a power of two",
        ),
        (Gguf::new(u64::MAX, 0).0, "8 bytes are promised at byte 24, 0 are left"),
        (b"GGUF\x01\0\0\0".to_vec(), "holds GGUF version 1, which is not read"),
        (b"GGUF\x00\0\0\x03".to_vec(), "GGUF with the most significant byte first"),
        (b"GGUF\x09\0\0\0".to_vec(), "holds GGUF version 9, which is not read"),
        (b"GGUF".to_vec(), "is truncated or damaged"),
    ] {
        let problem = refusal(&bytes);
        assert!(problem.contains(expected), "{expected}: {problem}");
    }
}
