//! A slice of a window as an image inside the page: an 8-bit grey PNG without compression, since a
//! slice is smaller than the code that would compress it.

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
            base64(&png(&self.grey(), width)),
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

/// PNG, RFC 2083, with the stored blocks of RFC 1951.
fn png(grey: &[u8], width: usize) -> Vec<u8> {
    const STORED: usize = 65_535;
    let height = grey.len() / width;
    // every row begins with the number of its filter: none
    let raw: Vec<u8> =
        grey.chunks(width).flat_map(|row| std::iter::once(0).chain(row.iter().copied())).collect();
    let mut data = vec![0x78, 0x01];
    let n_blocks = raw.len().div_ceil(STORED);
    for (idx, block) in raw.chunks(STORED).enumerate() {
        let length = block.len() as u16;
        data.push(u8::from(idx + 1 == n_blocks));
        data.extend(length.to_le_bytes());
        data.extend((!length).to_le_bytes());
        data.extend(block);
    }
    data.extend(adler32(&raw).to_be_bytes());

    let mut header = Vec::new();
    header.extend((width as u32).to_be_bytes());
    header.extend((height as u32).to_be_bytes());
    // 8 bits, grey, then the only compression, filter and interlacing we use
    header.extend([8, 0, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, body) in [(b"IHDR", header), (b"IDAT", data), (b"IEND", Vec::new())] {
        file.extend((body.len() as u32).to_be_bytes());
        let checked: Vec<u8> = name.iter().copied().chain(body).collect();
        file.extend(&checked);
        file.extend(crc32(&checked).to_be_bytes());
    }
    file
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    (b << 16) | a
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= chunk.len() { letter.into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_and_letters_match_the_published_ones() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
        for (bytes, text) in [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
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
