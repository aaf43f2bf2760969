//! Files that are whole or not there, their digests, and their paths as people are shown them.
//!
//! A file or folder is written beside its place under a name that begins with [`PARTIAL`], synced, and
//! renamed: whoever reads sees the old content or the new one. Every error of [`Error`] names the path.

mod digest;
mod error;
mod folder;
mod index;
mod paths;
mod read;
mod whole;

pub use crate::{
    digest::{hmac_sha256, sha256_bytes, sha256_file},
    error::{Error, Result, at},
    folder::{below, list, make_dir, remove_dir, remove_file, remove_inside},
    index::FileIndex,
    paths::{join, one_line, relative, shown, without_folders},
    read::{read_bytes, read_json, read_table, read_text},
    whole::{
        Aside, FolderAside, PARTIAL, copy_checked, publish_dir, to_json, write_atomic, write_json,
    },
};
