//! Described arrays of other programs: `.pt` of both kinds, `.npy`, safetensors, GGUF.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scan_fuzz::{file, read};

fuzz_target!(|bytes: &[u8]| {
    let path = file("weights.pt", bytes);
    if let Some(container) = read(formats::open(&path)) {
        // What an element claims can be large, what it takes from this file cannot.
        for entry in container.entries().iter().filter(|entry| entry.n_bytes < 1 << 20) {
            read(container.read(entry));
        }
    }
});
