//! Seconds as people write them.

/// A number of seconds without its unit and without rounding noise: six significant digits, at least
/// milliseconds, no zeros at the end.
///
/// ```
/// assert_eq!(scan::seconds(264.741_999_999_999_96), "264.742");
/// assert_eq!(scan::seconds(f64::from(0.72_f32)), "0.72");
/// assert_eq!(scan::seconds(15.0), "15");
/// assert_eq!(scan::seconds(2.000_1), "2.0001");
/// ```
pub fn seconds(value: f64) -> String {
    const SIGNIFICANT: i32 = 6;
    const AT_LEAST: i32 = 3;
    const AT_MOST: i32 = 9;
    if !value.is_finite() || value == 0.0 {
        return (value + 0.0).to_string();
    }
    let before_point = value.abs().log10().floor() as i32 + 1;
    let decimals = (SIGNIFICANT - before_point).clamp(AT_LEAST, AT_MOST) as usize;
    let text = format!("{value:.decimals$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn noise_of_both_precisions_is_rounded_away() {
        for (value, expected) in [
            (0.1 + 0.2, "0.3"),
            (22.5, "22.5"),
            (37.5 + 1e-13, "37.5"),
            (f64::from(836.2_f32), "836.2"),
            (f64::from(2.2_f32), "2.2"),
            (12_345.678, "12345.678"),
            (100.0, "100"),
            (-5.0, "-5"),
            (-1e-12, "0"),
            (0.0, "0"),
            (-0.0, "0"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(seconds(value), expected);
        }
    }
}
