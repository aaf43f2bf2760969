//! Files that lie, lead elsewhere or are damaged: one sentence each, and nothing is followed.

use std::{
    io::{self, Read as _, Write as _},
    path::Path,
};

use flate2::{Compression, write::ZlibEncoder};
use hdf5::{File, ObjectReference1, filters::Filter, types::VarLenArray};
use ndarray::Array3;
use proptest::prelude::*;

use super::{
    CohortFile, Hdf5File, guarded,
    testing::{recorded, small, table},
};
use crate::{
    nii::testing::{Scratch, oracle},
    open::{OpenOptions, open},
};

fn refusal(path: &std::path::Path, dataset: &str) -> String {
    let error = Hdf5File::open(path).and_then(|file| file.read(dataset)).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.starts_with(&path.display().to_string()), "{error}");
    error
}

#[test]
fn a_library_that_gives_up_is_an_error_about_the_file() {
    // a harmless stand-in: nobody knows of a file on which the library panics
    let gave_up = |said: &'static str| {
        let found = guarded(Path::new("a.h5"), || -> crate::Result<()> { panic!("{said}") });
        found.unwrap_err().to_string()
    };
    let start = "a.h5: cannot be read as HDF5: the library gave up on it";
    assert_eq!(gave_up("index 3 out of range"), format!("{start}: index 3 out of range"));
    assert_eq!(gave_up(""), start);
    // its lock is free again
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/oracles/hdf5_cifti/f16.h5");
    let held = guarded(&path, || hdf5::sync::sync(|| -> crate::Result<()> { panic!("inside") }));
    assert!(held.is_err());
    let other = std::thread::spawn(move || Hdf5File::open(path).and_then(|file| file.nodes()));
    assert!(!other.join().unwrap().unwrap().is_empty());
}

#[test]
fn links_out_of_the_file_are_never_followed() {
    let scratch = Scratch::new();
    let (inner, outer) = (scratch.path("inner.h5"), scratch.path("outer.h5"));
    small(&inner).close().unwrap();
    let file = File::create(&outer).unwrap();
    file.link_external("inner.h5", "/ts", "outside").unwrap();
    file.link_external("inner.h5", "/", "folder").unwrap();
    file.link_soft("/outside", "alias").unwrap();
    file.link_soft("/folder", "folder_alias").unwrap();
    file.close().unwrap();
    let link = refusal(&outer, "outside");
    assert!(link.contains("/outside lies behind a link to another file, which is never"), "{link}");
    let folder = refusal(&outer, "folder/ts");
    assert!(folder.contains("lies behind a link to another file"), "{folder}");
    for path in ["alias", "folder_alias/ts"] {
        let alias = refusal(&outer, path);
        assert!(alias.contains("is a link that leads into another file"), "{alias}");
    }
    let found = open(&outer, &OpenOptions::default()).unwrap_err().to_string();
    assert!(found.contains("holds 0 datasets that could be the scan"), "{found}");
}

// found by fuzzing: 4 GB of driver information in a file of 2 kB
#[test]
fn a_driver_that_claims_gigabytes_is_refused_before_the_library_sees_it() {
    let scratch = Scratch::new();
    // written by h5py
    let path = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = path.join("../../fixtures/oracles/hdf5_cifti/f16.h5");
    let mut bytes = std::fs::read(&path).unwrap();
    assert_eq!((bytes[8], bytes[13]), (0, 8), "a superblock of version 0, addresses of 8 bytes");
    assert!(Hdf5File::open(&path).is_ok());
    let address = bytes.len() as u64;
    bytes[48..56].copy_from_slice(&address.to_le_bytes());
    bytes.extend([0, 0, 0, 0, 0xf0, 0xff, 0xff, 0xff]);
    bytes.extend(b"NCSAmult");
    let error = refusal(&scratch.file("driver.h5", &bytes), "ts");
    assert!(error.ends_with("is one of several HDF5 files that belong together"), "{error}");
}

// found by fuzzing: the library reserves what a header says of its continuation, and reads nothing
#[test]
fn a_block_that_claims_gigabytes_beyond_the_end_is_refused() {
    let scratch = Scratch::new();
    let mut bytes = std::fs::read(oracle("refused/external_link.h5")).unwrap();
    assert_eq!(bytes.len(), 896);
    for claimed in [300_u64 << 20, 1 << 44, 0x7f00_0000_0060] {
        bytes[0x80..0x88].copy_from_slice(&claimed.to_le_bytes());
        let error = refusal(&scratch.file("block.h5", &bytes), "parcel_ts");
        assert!(error.contains("cannot be read as HDF5: "), "{error}");
    }
}

#[test]
fn links_in_circles_and_to_nowhere_are_named() {
    let scratch = Scratch::new();
    let path = scratch.path("loops.h5");
    let file = small(&path);
    file.link_soft("/b", "a").unwrap();
    file.link_soft("/a", "b").unwrap();
    file.link_soft("/gone", "dangling").unwrap();
    file.link_soft("/ts", "alias").unwrap();
    file.create_group("group").unwrap().link_hard("/group", "self").unwrap();
    file.close().unwrap();
    for name in ["a", "b", "dangling"] {
        let error = refusal(&path, name);
        assert!(error.ends_with("is a link that leads nowhere or in a circle"), "{error}");
    }
    let file = Hdf5File::open(&path).unwrap();
    assert_eq!(file.read("alias").unwrap(), table(4, 3).into_dyn());
    assert!(file.read("group/self/self/self").is_err());
    assert!(file.nodes().unwrap().iter().filter(|node| node.path.contains("self")).count() == 1);
    assert!(refusal(&path, "ts/deeper").contains("is not there"));
    assert!(refusal(&path, "group").ends_with("is a group, expected a dataset"));
    assert!(refusal(&path, "").ends_with("is a group, expected a dataset"));
}

#[test]
fn values_that_lie_in_other_files_are_never_read() {
    let scratch = Scratch::new();
    let path = scratch.path("storage.h5");
    let secret = scratch.file("secret", &[7; 96]);
    small(&scratch.path("inner.h5")).close().unwrap();
    let file = File::create(&path).unwrap();
    let outside = file.new_dataset::<f64>().external(secret.to_str().unwrap(), 0, 96);
    outside.shape((4, 3)).create("raw").unwrap();
    let joined = file.new_dataset::<f64>().virtual_map("inner.h5", "/ts", (4, 3), .., (4, 3), ..);
    joined.shape((4, 3)).create("joined").unwrap();
    file.close().unwrap();
    let raw = refusal(&path, "raw");
    assert!(raw.contains("/raw has its values in another file, which is never followed"), "{raw}");
    let joined = refusal(&path, "joined");
    assert!(joined.contains("/joined is virtual"), "{joined}");
}

#[test]
fn filters_that_we_lack_are_named_with_the_cure() {
    let scratch = Scratch::new();
    let path = scratch.path("packed.h5");
    let oldest = File::with_options().with_fapl(|plan| plan.libver_earliest()).create(&path);
    let file = oldest.unwrap();
    let builder = file.new_dataset_builder().deflate(4).chunk((2, 3));
    builder.with_data(&table(4, 3)).create("ts").unwrap();
    file.close().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let name = bytes.windows(8).position(|part| part == b"deflate\0").unwrap();
    bytes[name - 8..name - 6].copy_from_slice(&32015_u16.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let error = refusal(&path, "ts");
    assert!(error.ends_with("/ts is packed by zstd (filter 32015), which is not read; pack it anew with gzip (`h5repack -f GZIP=4`)"), "{error}");
}

#[test]
fn elements_that_are_no_numbers_are_named() {
    let scratch = Scratch::new();
    let path = scratch.path("objects.h5");
    let file = small(&path);
    let reference: ObjectReference1 = file.reference("/ts").unwrap();
    file.new_dataset_builder().with_data(&[reference]).create("objects").unwrap();
    let ragged = [VarLenArray::from_slice(&[1.0, 2.0]), VarLenArray::from_slice(&[3.0])];
    file.new_dataset_builder().with_data(&ragged).create("ragged").unwrap();
    drop(ragged);
    file.close().unwrap();
    assert!(refusal(&path, "objects").ends_with("holds references to objects, expected numbers"));
    assert!(
        refusal(&path, "ragged").ends_with("holds lists of different lengths, expected numbers")
    );
    let records = refusal(&recorded("compound.h5"), "participants");
    assert!(records.contains("holds records of 3 fields, expected numbers"), "{records}");
    let texts = Hdf5File::open(&path).unwrap().read_texts("ts").unwrap_err().to_string();
    assert!(texts.ends_with("/ts holds float64, expected text"), "{texts}");
}

#[test]
fn sizes_that_no_such_file_can_hold_are_refused_before_anything_is_allocated() {
    let scratch = Scratch::new();
    let path = scratch.path("sizes.h5");
    let file = File::create(&path).unwrap();
    let sized = |name: &str, shape: (usize, usize), chunk: (usize, usize)| {
        file.new_dataset::<f64>().chunk(chunk).shape(shape).create(name).unwrap();
    };
    sized("endless", (1 << 40, 1 << 20), (1, 1));
    sized("large", (1 << 13, 1 << 13), (1, 1));
    sized("wide", (1 << 13, 1 << 13), (1 << 13, 1 << 13));
    sized("chunk", (1 << 14, 1 << 14), (1 << 14, 1 << 14));
    sized("sparse", (1 << 10, 1 << 10), (1, 1 << 10));
    file.close().unwrap();
    assert!(refusal(&path, "endless").contains("header claims 9223372036854775808 bytes"));
    assert!(refusal(&path, "large").contains("bytes of voxels, the limit is 268435456"));
    let chunk = refusal(&path, "chunk");
    assert!(chunk.contains("expected at most 1 GiB a chunk"), "{chunk}");
    let wide = Hdf5File::open(&path).unwrap().dataset("wide").unwrap().at(0, 0).unwrap_err();
    let expected = "/wide has chunks of 536870912 bytes, a file of this size can hold 268435456";
    assert!(wide.to_string().ends_with(expected), "{wide}");
    assert!(Hdf5File::open(&path).unwrap().read("sparse").unwrap().iter().all(|x| *x == 0.0));
}

/// Numbers that no packing makes shorter.
fn noise(n: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(n).collect()
}

#[test]
fn a_chunk_that_holds_more_than_a_chunk_is_refused_before_it_is_unpacked() {
    let scratch = Scratch::new();
    let path = scratch.path("bomb.h5");
    let (n_subjects, n_values) = (2, 400_000);
    let values = Array3::from_shape_vec((n_subjects, n_values / 100, 100), noise(2 * n_values));
    // a user block, as MATLAB writes one, moves every address
    let file = File::with_options().with_fcpl(|plan| plan.userblock(512)).create(&path).unwrap();
    let builder = file.new_dataset_builder().deflate(1).chunk((1, n_values / 100, 100));
    builder.with_data(&values.unwrap()).create("parcel_ts").unwrap();
    file.new_dataset_builder().with_data(&[1, 2]).create("subject_ids").unwrap();
    file.close().unwrap();
    let chunk = File::open(&path).unwrap().dataset("parcel_ts").unwrap().chunk_info(1).unwrap();
    let options = OpenOptions { t_r: Some(2.0), ..OpenOptions::default() };
    let cohort = CohortFile::open(&path, &options).unwrap();
    assert!(cohort.read_at(1).unwrap().values.iter().any(|x| *x > 0.0));

    // the same number of packed bytes: noise, and 200 MB of zeros after it
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&noise(100_000)).unwrap();
    io::copy(&mut io::repeat(0).take(200 << 20), &mut packed).unwrap();
    let packed = packed.finish().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    assert!(packed.len() > 280_000 && packed.len() as u64 <= chunk.size);
    bytes[chunk.addr as usize..][..packed.len()].copy_from_slice(&packed);
    std::fs::write(&path, bytes).unwrap();
    let cohort = CohortFile::open(&path, &options).unwrap();
    assert!(cohort.read_at(0).is_ok(), "the other chunk is as it was");
    let alone = cohort.read_at(1).unwrap_err().to_string();
    let all = refusal(&path, "parcel_ts");
    for error in [alone, all] {
        let expected = "packed bytes that hold more than the 400000 bytes of a chunk";
        assert!(error.ends_with(expected), "{error}");
    }
}

#[test]
fn what_is_packed_twice_is_refused() {
    let error = refusal(&oracle("refused/packed_twice.h5"), "parcel_ts");
    assert!(
        error.contains("/parcel_ts is packed twice, which is not read; pack it anew"),
        "{error}"
    );
}

#[test]
fn damaged_files_are_named() {
    let scratch = Scratch::new();
    let path = scratch.path("damaged.h5");
    small(&path).close().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let cut = refusal(&path, "ts");
    assert!(cut.contains("cannot be read as HDF5: ") && cut.contains("truncated"), "{cut}");
    std::fs::write(&path, &bytes[8..]).unwrap();
    assert!(refusal(&path, "ts").ends_with("cannot be read as HDF5: it has no signature"));
    std::fs::write(&path, b"").unwrap();
    assert!(refusal(&path, "ts").ends_with("cannot be read as HDF5: it is empty"));
    let chunk = refusal(&recorded("bad_chunk.h5"), "parcel_ts");
    assert!(chunk.contains("/parcel_ts cannot be read: "), "{chunk}");
    assert!(refusal(scratch.path("").as_path(), "ts").ends_with("it is not a file"));
    assert!(Hdf5File::open(scratch.path("none.h5")).is_err());
}

#[test]
fn the_library_stays_silent_and_every_filter_but_ours_is_foreign() {
    let ours = [Filter::deflate(1), Filter::shuffle(), Filter::fletcher32(), Filter::lzf()];
    assert!(ours.iter().all(Filter::is_available));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn no_change_of_bytes_makes_a_reader_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let scratch = Scratch::new();
        let path = scratch.path("small.h5");
        small(&path).close().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        std::fs::write(&path, bytes).unwrap();
        let options = OpenOptions { axes: Some(crate::SeriesAxes::TimeParcels), ..OpenOptions::default() };
        let _ = open(&path, &options);
        let _ = crate::describe(&path);
    }
}
