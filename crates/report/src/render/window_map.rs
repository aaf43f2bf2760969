//! A slice of a window as an image inside the page: an 8-bit grey PNG without compression, since a
//! slice is smaller than the code that would compress it.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::html::escape;

/// One slice, and how large its voxels are.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowMap {
    /// Rows from top to bottom, as they are to be shown; all of one length.
    pub rows: Vec<Vec<f32>>,
    /// Width and height of a voxel, in millimetres.
    pub zooms_mm: [f64; 2],
    /// What is shown, for those who cannot see it.
    pub caption: String,
}

impl WindowMap {
    /// An `img` element. Grey runs from the 2nd to the 98th percentile; nothing for an empty slice.
    pub fn html(&self) -> String {
        const PIXELS_A_MM: f64 = 1.5;
        let (height, width) = (self.rows.len(), self.rows.first().map_or(0, Vec::len));
        if height == 0 || width == 0 || self.rows.iter().any(|row| row.len() != width) {
            return String::new();
        }
        let pixels = |voxels: usize, zoom: f64| (voxels as f64 * zoom * PIXELS_A_MM).round();
        format!(
            "<img class=\"slice\" alt=\"{}\" width=\"{}\" height=\"{}\" \
             src=\"data:image/png;base64,{}\">",
            escape(&self.caption),
            pixels(width, self.zooms_mm[0]),
            pixels(height, self.zooms_mm[1]),
            STANDARD.encode(png(&self.grey(), width)),
        )
    }

    fn grey(&self) -> Vec<u8> {
        let values = || self.rows.iter().flatten().copied();
        let mut sorted: Vec<f32> = values().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f32::total_cmp);
        let at = |share: f64| sorted.get((share * sorted.len() as f64) as usize).copied();
        let (low, high) = (at(0.02).unwrap_or(0.0), at(0.98).unwrap_or(1.0));
        let span = if high > low { high - low } else { 1.0 };
        values().map(|value| (255.0 * ((value - low) / span).clamp(0.0, 1.0)) as u8).collect()
    }
}

/// An 8-bit grey PNG without filter or compression.
fn png(grey: &[u8], width: usize) -> Vec<u8> {
    let mut file = Vec::new();
    let height = grey.len() / width;
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_deflate_compression(png::DeflateCompression::NoCompression);
    let mut written = encoder.write_header().expect("a vector takes everything");
    written.write_image_data(grey).expect("as many bytes as the header says");
    written.finish().expect("a vector takes everything");
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pixels_of_an_image_come_back() {
        let file = png(&[0, 100, 200, 255, 1, 2], 3);
        let mut reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
        let mut grey = [0; 6];
        let frame = reader.next_frame(&mut grey).unwrap();
        assert_eq!((frame.width, frame.height), (3, 2));
        assert_eq!(grey, [0, 100, 200, 255, 1, 2]);
    }

    #[test]
    fn a_slice_becomes_an_image_and_nothing_becomes_nothing() {
        let rows = vec![vec![0.0, 0.5, 1.0], vec![1.0, f32::NAN, 0.0]];
        let map = WindowMap { rows, zooms_mm: [2.0, 4.0], caption: "a \"slice\"".to_owned() };
        let html = map.html();
        assert!(html.contains("alt=\"a &quot;slice&quot;\" width=\"9\" height=\"12\""));
        assert_eq!(map.grey()[..3], [0, 127, 255]);
        assert_eq!(WindowMap { rows: Vec::new(), ..map }.html(), "");
    }
}
