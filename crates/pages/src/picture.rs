//! Pixels as a PNG inside a page.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// An RGB picture, row after row from the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// As many colours as pixels.
    pub pixels: Vec<[u8; 3]>,
}

impl Picture {
    /// A pixel of each cell; `at` is asked for row and column.
    pub(crate) fn of(height: usize, width: usize, at: impl Fn(usize, usize) -> [u8; 3]) -> Self {
        let places = (0..height).flat_map(|row| (0..width).map(move |column| (row, column)));
        Self { width, pixels: places.map(|(row, column)| at(row, column)).collect() }
    }

    /// The same with at most so many pixels on each side, by leaving some out.
    #[must_use]
    pub fn reduced(&self, most: usize) -> Self {
        let (height, width) = (self.height().min(most), self.width.min(most));
        Self::of(height, width, |row, column| {
            let row = row * self.height() / height;
            self.pixels[row * self.width + column * self.width / width]
        })
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.pixels.len() / self.width.max(1)
    }

    /// The file; none of a picture without pixels.
    pub fn png(&self) -> Option<Vec<u8>> {
        if self.pixels.is_empty() {
            return None;
        }
        let mut file = Vec::new();
        let (width, height) = (self.width as u32, self.height() as u32);
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fast);
        let mut written = encoder.write_header().expect("a vector takes everything");
        written.write_image_data(self.pixels.as_flattened()).expect("as many bytes as promised");
        written.finish().expect("a vector takes everything");
        Some(file)
    }

    /// The picture as an address inside a page.
    pub(crate) fn data_url(&self) -> String {
        let png = self.png().map(|png| STANDARD.encode(png)).unwrap_or_default();
        format!("data:image/png;base64,{png}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pixels_of_a_picture_come_back() {
        let picture = Picture::of(2, 3, |row, column| [row as u8, column as u8, 200]);
        let file = picture.png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
        let mut bytes = [0; 18];
        let frame = reader.next_frame(&mut bytes).unwrap();
        assert_eq!((frame.width, frame.height), (3, 2));
        assert_eq!(bytes, picture.pixels.as_flattened());
        assert_eq!(bytes[15..], [1, 2, 200]);
        assert!(Picture::of(0, 3, |_, _| [0; 3]).png().is_none());
        let small = Picture::of(4, 4, |row, column| [row as u8, column as u8, 0]).reduced(2);
        assert_eq!(small.pixels, [[0, 0, 0], [0, 2, 0], [2, 0, 0], [2, 2, 0]]);
    }
}
