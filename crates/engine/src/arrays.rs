//! One unit's result in one file: named arrays, and a header that says what they are of.
//!
//! The format is safetensors. Its metadata holds one entry, the JSON of [`Header`] with two digests:
//! of the arrays, and of the header itself. So a file can be judged without its arrays being read, and
//! no bit of either can change unseen.
use std::{collections::BTreeMap, fs::File, io::Read as _, path::Path};

use half::bf16;
use safetensors::{
    Dtype, SafeTensors,
    tensor::{Metadata, TensorView},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Key, Result};

const ENTRY: &str = "neuroflamingo";

/// The longest header that is read.
const MAX_HEADER: u64 = 1 << 20;

/// What a file says of its arrays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Of everything that decides the numbers.
    pub key: Key,
    /// What the arrays are of, in words.
    pub what: String,
    /// What later stages ask without reading the arrays.
    pub facts: Value,
}

/// The header with what shows a change of it or of the arrays.
#[derive(Serialize, Deserialize)]
struct Sealed {
    /// Of all bytes after the header.
    arrays_sha256: String,
    /// Of all bytes before the arrays, with zeros in the place of this digest.
    header_sha256: String,
    #[serde(flatten)]
    header: Header,
}

/// Stand in a header for a digest that is not known yet; no digest is either of them.
const NO_ARRAYS: [u8; 64] = [b'-'; 64];
const NO_HEADER: [u8; 64] = [b'0'; 64];

/// Numbers to be written.
#[derive(Clone, Copy, Debug)]
pub enum Numbers<'a> {
    /// 64-bit floats.
    F64(&'a [f64]),
    /// 32-bit floats.
    F32(&'a [f32]),
    /// The upper halves of 32-bit floats, rounded to nearest.
    Bf16(&'a [f32]),
    /// Bytes, such as those of a page.
    Bytes(&'a [u8]),
}

/// A file's arrays, each with its shape.
#[derive(Clone, Debug)]
pub struct Arrays(BTreeMap<String, (Vec<usize>, Values)>);

/// What an array holds.
#[derive(Clone, Debug)]
enum Values {
    Numbers(Vec<f64>),
    Bytes(Vec<u8>),
}

/// The file's bytes; the same bytes for the same arrays.
pub fn to_bytes(header: &Header, arrays: &[(&str, &[usize], Numbers<'_>)]) -> Vec<u8> {
    let flat: Vec<(&str, &[usize], Dtype, Vec<u8>)> = arrays
        .iter()
        .map(|(name, shape, numbers)| {
            let (dtype, bytes) = match numbers {
                Numbers::F64(it) => (Dtype::F64, it.iter().flat_map(|x| x.to_le_bytes()).collect()),
                Numbers::F32(it) => (Dtype::F32, it.iter().flat_map(|x| x.to_le_bytes()).collect()),
                Numbers::Bf16(it) => {
                    let halves = it.iter().map(|&x| bf16::from_f32(x));
                    (Dtype::BF16, halves.flat_map(bf16::to_le_bytes).collect())
                }
                Numbers::Bytes(it) => (Dtype::U8, it.to_vec()),
            };
            (*name, *shape, dtype, bytes)
        })
        .collect();
    let views = flat.iter().map(|(name, shape, dtype, bytes)| {
        let view = TensorView::new(*dtype, shape.to_vec(), bytes);
        (*name, view.expect("as many numbers as the shape says"))
    });
    let blank = |digest: [u8; 64]| String::from_utf8(digest.to_vec()).expect("ASCII");
    let sealed = Sealed {
        arrays_sha256: blank(NO_ARRAYS),
        header_sha256: blank(NO_HEADER),
        header: header.clone(),
    };
    let said = serde_json::to_string(&sealed).expect("a header is plain values");
    let metadata = [(ENTRY.to_owned(), said)].into_iter().collect();
    let mut bytes =
        safetensors::serialize(views, Some(metadata)).expect("shapes and lengths agree");
    let start: [u8; 8] = bytes[..8].try_into().expect("a file begins with eight bytes");
    let (head, arrays) = bytes.split_at_mut(8 + u64::from_le_bytes(start) as usize);
    let arrays = files::sha256_bytes(arrays);
    replace(head, &NO_ARRAYS, arrays.as_bytes());
    let digest = files::sha256_bytes(head);
    replace(head, &NO_HEADER, digest.as_bytes());
    bytes
}

/// Writes `to` over the first `from` in `bytes`; `false` where there is none.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) -> bool {
    let Some(at) = bytes.windows(from.len()).position(|it| it == from) else { return false };
    bytes[at..at + from.len()].copy_from_slice(to);
    true
}

/// The header of the file of `key`; otherwise what is wrong with it, as the end of a sentence.
pub(crate) fn check(path: &Path, key: &Key) -> Result<Header, String> {
    Ok(sealed(path, key)?.header)
}

fn sealed(path: &Path, key: &Key) -> Result<Sealed, String> {
    let cut = |_| "it is cut short or cannot be read".to_owned();
    let mut file = File::open(path).map_err(cut)?;
    let n_bytes = file.metadata().map_err(cut)?.len();
    let mut start = vec![0; 8];
    file.read_exact(&mut start).map_err(cut)?;
    let n_header = u64::from_le_bytes(start[..8].try_into().expect("eight bytes"));
    if n_header > MAX_HEADER {
        return Err("it is no file of ours".to_owned());
    }
    start.resize(8 + n_header as usize, 0);
    file.read_exact(&mut start[8..]).map_err(cut)?;
    let metadata: Metadata =
        serde_json::from_slice(&start[8..]).map_err(|_| "it is no file of ours".to_owned())?;
    if n_bytes != 8 + n_header + metadata.data_len() as u64 {
        return Err("it is cut short".to_owned());
    }
    let said = metadata.metadata().as_ref().and_then(|it| it.get(ENTRY));
    let sealed: Option<Sealed> = said.and_then(|said| serde_json::from_str(said).ok());
    let sealed = sealed.ok_or_else(|| "it does not say what it is of".to_owned())?;
    let is_digest = sealed.header_sha256.len() == NO_HEADER.len();
    let is_there = is_digest && replace(&mut start, sealed.header_sha256.as_bytes(), &NO_HEADER);
    if !is_there || files::sha256_bytes(&start) != sealed.header_sha256 {
        return Err(Error::CHANGED.to_owned());
    }
    if sealed.header.key != *key {
        return Err(format!(
            "it holds {}, made by other settings or from another scan",
            sealed.header.what
        ));
    }
    Ok(sealed)
}

/// Reads the arrays of a file that must be of `key`, and exactly those that were written.
pub fn read(path: &Path, key: &Key) -> Result<(Header, Arrays)> {
    let damaged = |problem: String| Error::damaged(path, problem);
    let Sealed { arrays_sha256, header, .. } = sealed(path, key).map_err(damaged)?;
    let bytes = files::read_bytes(path)?;
    let (n_header, _) = SafeTensors::read_metadata(&bytes).map_err(|it| damaged(it.to_string()))?;
    if bytes.get(8 + n_header..).map(files::sha256_bytes) != Some(arrays_sha256) {
        return Err(damaged(Error::CHANGED.to_owned()));
    }
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
    let arrays = tensors.iter().map(|(name, view)| {
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F64 => Values::Numbers(chunks(data, f64::from_le_bytes).collect()),
            Dtype::F32 => {
                Values::Numbers(chunks(data, f32::from_le_bytes).map(f64::from).collect())
            }
            Dtype::BF16 => {
                Values::Numbers(chunks(data, bf16::from_le_bytes).map(f64::from).collect())
            }
            Dtype::U8 => Values::Bytes(data.to_vec()),
            other => return Err(damaged(format!("{name} holds {other:?}"))),
        };
        Ok((name.to_owned(), (view.shape().to_vec(), values)))
    });
    Ok((header, Arrays(arrays.collect::<Result<_>>()?)))
}

fn chunks<const N: usize, T>(data: &[u8], number: fn([u8; N]) -> T) -> impl Iterator<Item = T> {
    data.chunks_exact(N).map(move |it| number(it.try_into().expect("chunks of N bytes")))
}

impl Arrays {
    /// Shape and numbers of an array; none of that name, or one of bytes: an empty one.
    pub fn take(&mut self, name: &str) -> (Vec<usize>, Vec<f64>) {
        match self.0.remove(name) {
            Some((shape, Values::Numbers(numbers))) => (shape, numbers),
            _ => (vec![0], Vec::new()),
        }
    }

    /// An array of bytes; none of that name, or one of numbers: an empty one.
    pub fn take_bytes(&mut self, name: &str) -> Vec<u8> {
        match self.0.remove(name) {
            Some((_, Values::Bytes(bytes))) => bytes,
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::of(&serde_json::json!(name))
    }

    fn header(name: &str) -> Header {
        let (key, what) = (key(name), "tokens of encoder x".to_owned());
        Header { key, what, facts: serde_json::json!({ "n_frames": 3 }) }
    }

    fn written() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        let values = [1.0_f32, 1.003_906_3, -2.0];
        let arrays: [(&str, &[usize], _); 2] =
            [("a", &[3, 1], Numbers::F64(&[0.1, 0.2, 0.3])), ("b", &[3], Numbers::Bf16(&values))];
        files::write_atomic(&path, &to_bytes(&header("k1"), &arrays)).unwrap();
        (dir, path)
    }

    #[test]
    fn arrays_come_back_and_half_precision_is_rounded_to_nearest() {
        let (dir, path) = written();
        let (said, mut arrays) = read(&path, &key("k1")).unwrap();
        assert_eq!((said.facts["n_frames"].as_u64(), said), (Some(3), header("k1")));
        assert_eq!(arrays.take("a"), (vec![3, 1], vec![0.1, 0.2, 0.3]));
        assert_eq!(arrays.take("b").1, [1.0, 1.0, -2.0]);
        assert!(arrays.take("c").1.is_empty());
        let bytes = to_bytes(&header("k1"), &[("page", &[3], Numbers::Bytes(&[0, 7, 255]))]);
        let path = dir.path().join("b.safetensors");
        files::write_atomic(&path, &bytes).unwrap();
        assert_eq!(read(&path, &key("k1")).unwrap().1.take_bytes("page"), [0, 7, 255]);
    }

    #[test]
    fn a_file_of_another_key_or_a_cut_one_is_refused_in_words() {
        let (dir, path) = written();
        let said = check(&path, &key("k2")).unwrap_err();
        assert!(said.starts_with("it holds tokens of encoder x, made by other"), "{said}");
        let bytes = std::fs::read(&path).unwrap();
        for n in [0, 5, 20, bytes.len() - 1] {
            let cut = dir.path().join("cut");
            std::fs::write(&cut, &bytes[..n]).unwrap();
            assert!(check(&cut, &key("k1")).unwrap_err().contains("cut short"), "{n}");
            assert!(read(&cut, &key("k1")).is_err());
        }
        let whole = check(&path, &key("k1")).unwrap();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            std::fs::write(&path, &flipped).unwrap();
            let error = read(&path, &key("k1")).err().map(|error| error.to_string());
            let said = error.unwrap_or_else(|| panic!("byte {at} changed unseen"));
            assert!(said.contains("a.safetensors: the stored result is damaged"), "{said}");
            // without the arrays being read, a header is what was written or refused
            assert!(
                check(&path, &key("k1")).is_err() || check(&path, &key("k1")).unwrap() == whole
            );
        }
        let plain = safetensors::serialize(Vec::<(&str, TensorView<'_>)>::new(), None).unwrap();
        std::fs::write(&path, plain).unwrap();
        assert_eq!(check(&path, &key("k1")).unwrap_err(), "it does not say what it is of");
    }
}
