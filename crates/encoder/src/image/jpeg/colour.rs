//! Components to colours: which they are, and libjpeg's arithmetic for YCbCr.

use super::super::photo::{Mode, Photo};
use super::upsample::Samples;

/// What a file says of its colours.
#[derive(Default)]
pub(super) struct Markers {
    /// A JFIF segment: colours are YCbCr.
    pub(super) jfif: bool,
    /// Adobe's segment, and the transform it names: 0 none, 1 YCbCr, 2 YCCK.
    pub(super) adobe: Option<u8>,
}

impl Markers {
    /// Whether three components are YCbCr, or the first three of four are; libjpeg's guess where
    /// nothing says it.
    fn transformed(&self, ids: &[u8]) -> bool {
        match (ids.len(), self.adobe) {
            (3, _) if self.jfif => true,
            (3, None) => ids != b"RGB",
            (4, None) | (_, Some(0)) => false,
            (n, _) => n > 1,
        }
    }
}

/// Interleaves the components into `(height, width, channels)`.
///
/// Four components are ink turned over, as Adobe writes it and Pillow takes for granted.
pub(super) fn photo(
    components: &[Samples],
    ids: &[u8],
    markers: &Markers,
    width: usize,
    height: usize,
) -> Photo {
    let n = components.len();
    let (transformed, inks) = (markers.transformed(ids), n == 4);
    let mut bytes = vec![0; width * height * n];
    for (y, row) in bytes.chunks_exact_mut(width * n).enumerate() {
        for (channel, component) in components.iter().enumerate() {
            let samples = component.enlarged(y);
            row.iter_mut().skip(channel).step_by(n).zip(samples).for_each(|(to, from)| *to = from);
        }
        for pixel in row.chunks_exact_mut(n) {
            if transformed {
                let rgb = rgb([pixel[0], pixel[1], pixel[2]]);
                // YCCK holds the inks as the RGB they leave.
                pixel[..3].copy_from_slice(&if inks { rgb.map(|v| 255 - v) } else { rgb });
            }
            if inks {
                pixel.iter_mut().for_each(|ink| *ink = 255 - *ink);
            }
        }
    }
    let mode = match n {
        1 => Mode::Grey,
        3 => Mode::Rgb,
        _ => Mode::Cmyk,
    };
    Photo { mode, width, height, bytes }
}

/// JFIF's YCbCr, in fixed point of 16 bits; each product is rounded as libjpeg's tables are.
fn rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    const fn fixed(x: f64) -> i32 {
        (x * 65536. + 0.5) as i32
    }
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((fixed(1.402) * cr + HALF) >> 16);
    let green = y + ((-fixed(0.344_14) * cb - fixed(0.714_14) * cr + HALF) >> 16);
    let blue = y + ((fixed(1.772) * cb + HALF) >> 16);
    [red, green, blue].map(|v| v.clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_jfifs() {
        assert_eq!(rgb([100, 128, 128]), [100; 3]);
        // JFIF 1.02: R = Y + 1.402 (Cr − 128), and so on
        assert_eq!(rgb([76, 85, 255]), [254, 0, 0]);
        assert_eq!(rgb([29, 255, 107]), [0, 0, 254]);
    }

    #[test]
    fn a_files_colours_are_what_it_says_or_libjpegs_guess() {
        let says = |jfif, adobe, ids: &[u8]| Markers { jfif, adobe }.transformed(ids);
        assert!(says(true, None, b"RGB") && says(true, Some(0), &[1, 2, 3]));
        assert!(says(false, None, &[1, 2, 3]) && says(false, Some(1), b"RGB"));
        assert!(!says(false, None, b"RGB") && !says(false, Some(0), &[1, 2, 3]));
        assert!(says(false, Some(2), &[1, 2, 3, 4]) && !says(false, Some(0), &[1, 2, 3, 4]));
        assert!(!says(true, None, &[1, 2, 3, 4]) && !says(true, Some(1), &[1]));
    }
}
