//! Damaged files: whatever happens to a fixture, reading it ends in values or in one sentence.

use proptest::prelude::*;

use crate::testing::{file, fixture};

const FIXTURES: [&str; 15] = [
    "bare.pt",
    "dict.pt",
    "dtypes.pt",
    "fortran.npy",
    "legacy.pt",
    "lightning.ckpt",
    "list.pt",
    "module.pt",
    "nested.pt",
    "parameter.pt",
    "state_dict.pt",
    "tiny.gguf",
    "tiny.safetensors",
    "torchscript.pt",
    "views.pt",
];

/// Enough of each format for its reader to begin.
const MAGIC: [&[u8]; 5] =
    [b"PK\x03\x04", b"\x80\x02", b"GGUF\x03\0\0\0", b"\x93NUMPY\x01\0", b"\x02\0\0\0\0\0\0\0{"];

/// Reads everything that a file of these bytes holds; says whether it is whole.
fn read(bytes: &[u8]) -> bool {
    let file = file(bytes);
    let container = match crate::open(file.path()) {
        Ok(container) => container,
        Err(error) => {
            let sentence = error.to_string();
            assert!(sentence.starts_with(&file.path().display().to_string()), "{sentence}");
            assert!(!sentence.contains('\n'), "{sentence}");
            return false;
        }
    };
    for entry in container.entries() {
        // what an element claims can be large, what it takes from this file cannot
        if entry.n_bytes < 1 << 20 {
            container.read(entry).unwrap();
        }
    }
    true
}

fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let places = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    (prop::sample::select(&FIXTURES[..]), places).prop_map(|(name, places)| {
        let mut bytes = std::fs::read(fixture(name)).unwrap();
        for (place, byte) in places {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_bytes_end_in_values_or_one_sentence(bytes in damaged()) {
        read(&bytes);
    }

    #[test]
    fn any_bytes_after_a_magic_number_end_in_one_sentence(
        magic in prop::sample::select(&MAGIC[..]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        read(&[magic, &bytes].concat());
    }
}

#[test]
fn every_fixture_is_whole_and_every_truncation_is_refused() {
    for name in FIXTURES {
        let bytes = std::fs::read(fixture(name)).unwrap();
        assert!(read(&bytes), "{name}");
        for n in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
            // its last bytes are padding
            if name == "tiny.gguf" && n >= 784 {
                continue;
            }
            assert!(!read(&bytes[..n]), "{name} cut to {n} bytes");
        }
    }
}
