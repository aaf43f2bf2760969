//! Files of the cortex: GIFTI, annotations and MGH, as series and as atlas.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scan::{DenseSeries, GrayordinateAtlas, OpenOptions, SeriesAxes};
use scan_fuzz::{file, read};

fuzz_target!(|bytes: &[u8]| {
    let path = file("lh.x.annot", bytes);
    let axes = Some(SeriesAxes::ParcelsTime);
    let options = OpenOptions { axes, t_r: Some(2.0), ..Default::default() };
    read(scan::open(&path, &options));
    read(scan::describe(&path));
    let atlas = read(GrayordinateAtlas::read(&path));
    let series = read(DenseSeries::of(&path, axes)).flatten();
    if let (Some(atlas), Some(series)) = (atlas, series) {
        read(atlas.extract(&series));
    }
});
