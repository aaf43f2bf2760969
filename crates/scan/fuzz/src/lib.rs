//! What all targets share: bytes become a file, and a refusal must be one sentence.

use std::{
    cell::RefCell,
    fmt::Display,
    path::{Path, PathBuf},
};

thread_local! {
    static FOLDER: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// A file of these bytes, in memory where the system has files in memory.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let folder = FOLDER.with_borrow_mut(|folder| {
        folder.get_or_insert_with(|| {
            let base = Some(Path::new("/dev/shm")).filter(|shm| shm.is_dir());
            let base = base.map_or_else(std::env::temp_dir, Path::to_path_buf);
            let folder = base.join(format!("scan-fuzz-{}", std::process::id()));
            std::fs::create_dir_all(&folder).expect("a folder for one file");
            folder
        })
        .clone()
    });
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("a small file");
    path
}

/// What was read, if anything was; a refusal is one line.
pub fn read<T, E: Display>(result: Result<T, E>) -> Option<T> {
    result.map_err(|error| check(&error.to_string())).ok()
}

fn check(sentence: &str) {
    assert!(!sentence.is_empty() && !sentence.contains('\n'), "{sentence}");
    assert!(sentence.len() < 4000, "{sentence}");
}

/// The same bytes as a gzip stream.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).expect("memory");
    out.finish().expect("memory")
}
