//! A slice of a window as an image inside the page.

use super::picture::{Image, Picture};

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
    /// Grey runs from the 2nd to the 98th percentile; nothing for an empty slice.
    pub(crate) fn image(&self) -> Option<Image> {
        const PIXELS_A_MM: f64 = 1.5;
        let (height, width) = (self.rows.len(), self.rows.first().map_or(0, Vec::len));
        if height == 0 || width == 0 || self.rows.iter().any(|row| row.len() != width) {
            return None;
        }
        let pixels =
            |voxels: usize, zoom: f64| (voxels as f64 * zoom * PIXELS_A_MM).round() as usize;
        let grey = self.grey();
        let picture = Picture::of(height, width, |row, column| [grey[row * width + column]; 3]);
        let shown = [pixels(width, self.zooms_mm[0]), pixels(height, self.zooms_mm[1])];
        Some(picture.image(&self.caption, shown))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_becomes_an_image_and_nothing_becomes_nothing() {
        let rows = vec![vec![0.0, 0.5, 1.0], vec![1.0, f32::NAN, 0.0]];
        let map = WindowMap { rows, zooms_mm: [2.0, 4.0], caption: "a \"slice\"".to_owned() };
        let image = map.image().unwrap();
        assert_eq!((image.alt.as_str(), image.width, image.height), ("a \"slice\"", 9, 12));
        assert!(image.source.starts_with("data:image/png;base64,"));
        assert_eq!(map.grey()[..3], [0, 127, 255]);
        assert!(WindowMap { rows: Vec::new(), ..map }.image().is_none());
    }
}
