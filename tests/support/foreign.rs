//! A tiny OpenFlamingo's files to be imported, or damaged.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::{Ran, root, run};

/// `checkpoint.safetensors`, `clip.safetensors` and `lm/`; gone with the value.
pub struct Foreign(TempDir);

impl Foreign {
    /// Undamaged files.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let tokenizer = root().join("fixtures/tiny-lm/tokenizer.json");
        xtask::captioner::foreign(&tokenizer, dir.path()).expect("the files are written");
        Self(dir)
    }

    /// Their folder.
    pub fn dir(&self) -> &Path {
        self.0.path()
    }

    /// Where [`Self::import`] writes.
    pub fn package(&self) -> PathBuf {
        self.dir().join("package")
    }

    /// `model import` of them; an argument takes the place of the one of its name.
    pub fn import(&self, args: &[&str]) -> Ran {
        let path = |name: &str| self.dir().join(name).display().to_string();
        let usual = [
            ("--checkpoint", path("checkpoint.safetensors")),
            ("--lm", path("lm")),
            ("--vision", path("clip.safetensors")),
            ("--to", path("package")),
            ("--head-dim", "8".to_owned()),
            ("--clip-head-dim", "8".to_owned()),
        ];
        let usual = usual.iter().filter(|(name, _)| !args.contains(name));
        let mut all = vec!["model", "import"];
        all.extend(usual.flat_map(|(name, value)| [*name, value.as_str()]));
        all.extend(args);
        run(&all)
    }

    /// Changes what the checkpoint's header says.
    pub fn edit_checkpoint(&self, edit: impl FnOnce(&mut Map<String, Value>)) {
        let path = self.dir().join("checkpoint.safetensors");
        let (mut header, data) = parts(&path);
        edit(&mut header);
        let header = Value::Object(header).to_string();
        let length = (header.len() as u64).to_le_bytes();
        let bytes = [&length[..], header.as_bytes(), &data].concat();
        fs::write(path, bytes).expect("the file is written");
    }

    /// Makes the first number of a tensor none.
    pub fn poison(&self, file: &str, tensor: &str) {
        let path = self.dir().join(file);
        let (header, data) = parts(&path);
        let offset = header[tensor]["data_offsets"][0].as_u64().expect("an offset") as usize;
        let mut bytes = fs::read(&path).expect("a file");
        let start = bytes.len() - data.len() + offset;
        bytes[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        fs::write(path, bytes).expect("the file is written");
    }
}

impl Default for Foreign {
    fn default() -> Self {
        Self::new()
    }
}

/// Header and numbers of a safetensors file.
fn parts(path: &Path) -> (Map<String, Value>, Vec<u8>) {
    let bytes = fs::read(path).expect("a file");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header = serde_json::from_slice(&bytes[8..8 + length]).expect("a header is JSON");
    (header, bytes[8 + length..].to_vec())
}

/// A zip archive of files that are not compressed; its checksums are zero.
pub fn stored_zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let offset = out.len() as u32;
        let (n, length) = (name.len() as u16, bytes.len() as u32);
        let sizes = [0u32.to_le_bytes(), length.to_le_bytes(), length.to_le_bytes()].concat();
        out.extend(b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0");
        out.extend(&sizes);
        out.extend([n.to_le_bytes(), [0; 2]].concat());
        out.extend(name.as_bytes());
        out.extend(*bytes);
        directory.extend(b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0");
        directory.extend(&sizes);
        directory.extend(n.to_le_bytes());
        directory.extend([0; 12]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (n, start) = (files.len() as u16, out.len() as u32);
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([n.to_le_bytes(), n.to_le_bytes()].concat());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    out
}

/// A GGUF file that names its architecture and has one tensor of 32 numbers of the type `kind`.
pub fn gguf(architecture: &str, kind: u32) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let mut out = b"GGUF\x03\0\0\0".to_vec();
    out.extend([1u64.to_le_bytes(), 1u64.to_le_bytes()].concat());
    out.extend(text("general.architecture"));
    out.extend(8u32.to_le_bytes());
    out.extend(text(architecture));
    out.extend(text("token_embd.weight"));
    out.extend(1u32.to_le_bytes());
    out.extend(32u64.to_le_bytes());
    out.extend(kind.to_le_bytes());
    out.extend(0u64.to_le_bytes());
    out.resize(out.len().next_multiple_of(32) + 128, 0);
    out
}
