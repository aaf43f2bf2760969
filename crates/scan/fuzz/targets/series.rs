//! Tables of series: text, `.npy`, `.ptseries.nii`, and the names and places of an atlas.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scan::{Atlas, SeriesAxes, SeriesOptions, Volume};
use scan_fuzz::{file, read};

fuzz_target!(|bytes: &[u8]| {
    let path = file("series.dat", bytes);
    for axes in [SeriesAxes::TimeParcels, SeriesAxes::ByParcels(3)] {
        read(scan::read_series(&path, &SeriesOptions { axes, t_r: Some(2.0) }));
    }
    if let Some(atlas) = read(Volume::from_x_fastest(&[1.0, 2.0, 3.0], grid())) {
        let atlas = Atlas::from_volume(&atlas).expect("three labels");
        read(atlas.clone().with_names(&path));
        read(atlas.with_coordinates(&path));
    }
});

fn grid() -> scan::Grid {
    let row = |i| std::array::from_fn(|j| f64::from(u8::from(i == j)));
    let affine = scan::Affine::new(std::array::from_fn(row)).expect("the identity");
    scan::Grid { shape: [3, 1, 1], affine }
}
