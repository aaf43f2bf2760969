//! HDF5: the tree, the attributes, and the datasets as a scan, a cohort or plain numbers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scan::{CohortFile, Hdf5File, OpenOptions, Scan, SeriesAxes, Space};
use scan_fuzz::{file, read};

fuzz_target!(|bytes: &[u8]| {
    let path = file("cohort.h5", bytes);
    read(scan::describe(&path));
    let rows = [[2.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 1.0]];
    let options = OpenOptions {
        axes: Some(SeriesAxes::TimeParcels),
        t_r: Some(2.0),
        space: Some(Space::Affine(rows)),
        ..Default::default()
    };
    if let Some(Scan::Cohort(cohort)) = read(scan::open(&path, &options)).map(|it| it.scan) {
        read(cohort.read_at(0));
    }
    if let Some(cohort) = read(CohortFile::open(&path, &options)) {
        cohort.subjects().iter().take(3).for_each(|id| drop(read(cohort.read(id))));
        for name in read(cohort.column_names()).unwrap_or_default().iter().take(3) {
            read(cohort.column(name));
        }
    }
    if let Some(file) = read(Hdf5File::open(&path)) {
        for node in read(file.nodes()).unwrap_or_default().iter().take(8) {
            read(file.attributes(&node.path));
            read(file.read(&node.path));
            read(file.read_texts(&node.path));
        }
    }
});
