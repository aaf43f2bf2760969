//! Pixels as a PNG inside a page.

use std::collections::HashMap;

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

    /// The file, with a palette where so few colours occur; none of a picture without pixels.
    pub fn png(&self) -> Option<Vec<u8>> {
        if self.pixels.is_empty() {
            return None;
        }
        let mut file = Vec::new();
        let (width, height) = (self.width as u32, self.height() as u32);
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Balanced);
        let indexed = self.indexed();
        if let Some((palette, _)) = &indexed {
            encoder.set_color(png::ColorType::Indexed);
            encoder.set_palette(palette.as_flattened());
        } else {
            encoder.set_color(png::ColorType::Rgb);
        }
        let bytes = indexed.as_ref().map_or_else(|| self.pixels.as_flattened(), |(_, it)| it);
        let mut written = encoder.write_header().expect("a vector takes everything");
        written.write_image_data(bytes).expect("as many bytes as promised");
        written.finish().expect("a vector takes everything");
        Some(file)
    }

    /// The colours that occur and the place of each pixel's among them; none of more than 256.
    fn indexed(&self) -> Option<(Vec<[u8; 3]>, Vec<u8>)> {
        let mut palette: Vec<[u8; 3]> = Vec::new();
        let mut places: HashMap<[u8; 3], u8> = HashMap::new();
        let mut bytes = Vec::with_capacity(self.pixels.len());
        for colour in &self.pixels {
            let place = if let Some(&place) = places.get(colour) {
                place
            } else {
                let place = u8::try_from(palette.len()).ok()?;
                palette.push(*colour);
                places.insert(*colour, place);
                place
            };
            bytes.push(place);
        }
        Some((palette, bytes))
    }

    /// The picture as an address inside a page.
    pub(crate) fn data_url(&self) -> String {
        self.png().map(|png| data_url(&png)).unwrap_or_default()
    }

    /// As an image of a page, so many pixels wide and high there.
    pub(crate) fn image(&self, alt: &str, [width, height]: [usize; 2]) -> Image {
        Image { alt: alt.to_owned(), width, height, source: self.data_url() }
    }
}

/// The bytes of a PNG as an address inside a page.
pub(crate) fn data_url(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}

/// An image of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// What is shown, for those who cannot see it.
    pub(crate) alt: String,
    /// Pixels on the page.
    pub(crate) width: usize,
    /// Pixels on the page.
    pub(crate) height: usize,
    /// The picture itself.
    pub(crate) source: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pixels_of_a_picture_come_back() {
        let few = Picture::of(2, 3, |row, column| [row as u8, column as u8, 200]);
        let many = Picture::of(20, 30, |row, column| [row as u8, column as u8, 200]);
        for (picture, kind) in [(few, png::ColorType::Indexed), (many, png::ColorType::Rgb)] {
            let file = picture.png().unwrap();
            let mut decoder = png::Decoder::new(std::io::Cursor::new(&file));
            decoder.set_transformations(png::Transformations::EXPAND);
            let mut reader = decoder.read_info().unwrap();
            assert_eq!(reader.info().color_type, kind);
            let mut bytes = vec![0; 3 * picture.pixels.len()];
            let frame = reader.next_frame(&mut bytes).unwrap();
            assert_eq!(
                (frame.width as usize, frame.height as usize),
                (picture.width, picture.height())
            );
            assert_eq!(bytes, picture.pixels.as_flattened());
        }
        assert!(Picture::of(0, 3, |_, _| [0; 3]).png().is_none());
        let small = Picture::of(4, 4, |row, column| [row as u8, column as u8, 0]).reduced(2);
        assert_eq!(small.pixels, [[0, 0, 0], [0, 2, 0], [2, 0, 0], [2, 2, 0]]);
    }
}
