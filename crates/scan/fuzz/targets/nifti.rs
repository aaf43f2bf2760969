//! NIfTI of both versions: plain, compressed, or a pair, as the first byte says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scan::{Atlas, BoldFile, ExtractConfig, Frames};
use scan_fuzz::{file, gzip, read};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let path = match kind % 4 {
        0 | 3 => file("run.nii", bytes),
        1 => file("run.nii", &gzip(bytes)),
        _ => {
            let (header, voxels) = bytes.split_at(bytes.len().min(352));
            file("pair.img", voxels);
            file("pair.hdr", header)
        }
    };
    read(scan::inspect(&path));
    read(scan::read_values(&path));
    read(scan::read_volume(&path));
    let held = read(scan::read_bold(&path));
    let atlas = read(Atlas::read(&path));
    if let Some(run) = read(BoldFile::open(&path)) {
        let streamed = read(run.each(&mut |_, _| Ok(())));
        assert_eq!(streamed.is_some(), held.is_some());
        let volume = held.map(|bold| bold.frame_mean());
        let atlas = atlas.or_else(|| read(Atlas::from_volume(&volume?)));
        if let Some(atlas) = atlas.filter(|atlas| atlas.n_parcels() < 1000) {
            read(atlas.extract(&run, &ExtractConfig::default(), None));
        }
    }
});
