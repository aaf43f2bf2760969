//! Files made by nibabel, and what nibabel reads from them.

use super::testing::oracle;
use crate::{Format, inspect, read_bold, read_values};

// nibabel 5.4.2; the sum is of value × cos(0.001 × row-major index)
#[test]
fn versions_pairs_and_named_streams_agree_with_nibabel() {
    let cases = [
        ("int16_scaled_n2_be.nii.gz", Format::Nifti2, 0.8, 0.0123, 487_866.625_681_99),
        (
            "int16_pair.hdr",
            Format::Nifti1Pair,
            f64::from(0.8_f32),
            f64::from(0.0123_f32),
            487_866.625_651_719_34,
        ),
        (
            "gzip_with_name.nii.gz",
            Format::Nifti1,
            f64::from(0.8_f32),
            f64::from(0.0123_f32),
            487_866.625_651_719_34,
        ),
    ];
    for (name, format, t_r, slope, sum) in cases {
        let path = oracle(name);
        let inspection = inspect(&path).unwrap();
        assert_eq!((inspection.format, inspection.t_r), (format, Some(t_r)), "{name}");
        assert_eq!(inspection.scaling.unwrap().slope, slope);
        assert_eq!(inspection.axcodes.as_deref(), Some("LAS"));
        let values = read_values(&path).unwrap();
        assert_eq!(values.shape(), [7, 9, 6, 5]);
        let weighted = values.iter().enumerate().map(|(i, x)| x * (i as f64 * 1e-3).cos());
        assert!((weighted.sum::<f64>() - sum).abs() < 1e-9 * sum, "{name}");
        assert_eq!(read_bold(&path).unwrap().n_frames(), 5);
    }
}

#[test]
fn either_half_of_a_pair_names_it() {
    let by_image = read_bold(oracle("int16_pair.img")).unwrap();
    assert_eq!(by_image, read_bold(oracle("int16_pair.hdr")).unwrap());
}
