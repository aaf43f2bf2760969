//! CIFTI-2: the bytes as they are, or as the XML of a small file that is right otherwise.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scan::CiftiFile;
use scan_fuzz::{file, read};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let path = if kind % 2 == 0 {
        file("rest.dtseries.nii", bytes)
    } else {
        file("rest.dtseries.nii", &wrapped(bytes, [1 + kind / 2 % 8, 1 + kind / 16]))
    };
    if let Some(cifti) = read(CiftiFile::open(&path)) {
        read(cifti.values());
        read(cifti.parcel_series());
    }
});

/// A NIfTI-2 file of 32-bit floats whose extension is `xml`.
fn wrapped(xml: &[u8], shape: [u8; 2]) -> Vec<u8> {
    let mut bytes = vec![0; 544];
    let mut put = |offset: usize, field: &[u8]| {
        bytes[offset..offset + field.len()].copy_from_slice(field);
    };
    put(0, &540_i32.to_le_bytes());
    put(4, b"n+2\0\r\n\x1a\n");
    put(12, &16_i16.to_le_bytes());
    put(14, &32_i16.to_le_bytes());
    let [rows, columns] = shape.map(i64::from);
    for (axis, n) in [6, 1, 1, 1, 1, columns, rows, 1].into_iter().enumerate() {
        put(16 + 8 * axis, &n.to_le_bytes());
    }
    let n_extension = (8 + xml.len()).next_multiple_of(16);
    put(168, &(544 + n_extension as i64).to_le_bytes());
    put(540, &[1, 0, 0, 0]);
    bytes.extend((n_extension as i32).to_le_bytes());
    bytes.extend(32_i32.to_le_bytes());
    bytes.extend(xml);
    bytes.resize(544 + n_extension + 4 * usize::from(shape[0]) * usize::from(shape[1]), 0);
    bytes
}
