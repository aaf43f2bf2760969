//! Containers of foreign files, bytes to described arrays, so that weights made by other programs
//! can be read without running anything that they bring along.
//!
//! ```text
//! .pt .pth .bin .ckpt ─ torch ──────┐
//! .safetensors ──────── safetensors ┤
//! .gguf ─────────────── gguf ───────┼─ open ─→ Container { entries: name, dtype, shape, offset …,
//! .npy ──────────────── npy ────────┘                      metadata: Value }
//! ```
//!
//! The content of a file decides, never its name. A length in a file is believed only where the file
//! has that many bytes, a position only where it lies inside, and every refusal is one sentence that
//! names the file. Values stay where they are until [`Container::read`]; [`Container::location`] says
//! where, for whoever maps the file.

mod bounded;
mod container;
mod dtype;
mod error;
mod gather;
mod gguf;
mod guard;
mod names;
mod npy;
mod pointer;
mod safetensors;
mod sniff;
mod source;
mod torch;
mod value;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod testing;

use std::{path::Path, sync::Arc};

pub use crate::{
    bounded::{MAX_SETTINGS, MAX_TABLE, read_text_up_to, read_up_to},
    container::{Container, Entry, Format},
    dtype::{Dtype, GgmlType},
    error::{Error, Result},
    guard::{Panicked, guarded, json_depth, xml_depth},
    names::unwrapped,
    npy::write_npy,
    pointer::{dangling, pointer, read, read_text},
    safetensors::safetensors_metadata,
    value::Value,
};

/// Plain values that a file may hold beside its arrays.
const MAX_VALUES: usize = 1 << 22;

/// Reads what a file holds, by its content.
pub fn open(path: &Path) -> Result<Container> {
    let source = Arc::new(source::Source::open(path)?);
    let head = source.head(sniff::N_BYTES)?;
    if head.starts_with(torch::ZIP_MAGIC) {
        torch::open_zip(source)
    } else if safetensors::begins_surely(&head) {
        // before pickles: the length of a header may begin as a pickle does
        safetensors::open(source)
    } else if head.starts_with(torch::PICKLE_MAGIC) || head.starts_with(torch::MAGIC_LINE) {
        torch::open_legacy(source)
    } else if head.starts_with(gguf::MAGIC) {
        gguf::open(source)
    } else if head.starts_with(npy::MAGIC) {
        npy::open(source)
    } else if safetensors::begins(&head) {
        safetensors::open(source)
    } else {
        if let Some(found) = pointer(&head) {
            return Err(Error::Pointer { path: path.to_path_buf(), found });
        }
        torch::refuse_call(&source)?;
        let found = sniff::describe(&head);
        Err(Error::UnknownContent { path: path.to_path_buf(), found })
    }
}
