//! PNG files, as Pillow opens them: palettes stay indices, alpha stays, 16 bits become 8.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Transformations};

use super::photo::{Mode, Photo, check_size, too_short};

pub(super) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Deflate packs at most 258 bytes into 2 bits; no stream can hold more than this times its length.
const MAX_DEFLATE_RATIO: usize = 1032;

pub(super) fn decode(bytes: &[u8]) -> Result<Photo, String> {
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(|error| damage(&error))?;
    let (width, height) = (header.width, header.height);
    check_size(width, height)?;
    let n_packed = header.raw_row_length() as u64 * u64::from(height);
    if n_packed > bytes.len() as u64 * MAX_DEFLATE_RATIO as u64 {
        return Err(too_short(width, height, bytes.len()));
    }

    let mut reader = decoder.read_info().map_err(|error| damage(&error))?;
    let n_bytes =
        reader.output_buffer_size().ok_or_else(|| too_short(width, height, bytes.len()))?;
    let mut packed = vec![0; n_bytes];
    reader.next_frame(&mut packed).map_err(|error| damage(&error))?;
    let info = reader.info();
    let (width, height) = (width as usize, height as usize);
    let samples = unpack(packed, info.bit_depth, width * info.color_type.samples(), height);
    let deep = info.bit_depth == BitDepth::Sixteen;
    let (mode, bytes) = match info.color_type {
        ColorType::Grayscale if deep => (Mode::Grey, scaled(&samples)),
        ColorType::Grayscale => grey(samples, info.bit_depth),
        ColorType::Indexed => (Mode::Palette(palette(info.palette.as_deref())), samples),
        ColorType::GrayscaleAlpha => (Mode::GreyAlpha, high_bytes(samples, deep)),
        ColorType::Rgb => (Mode::Rgb, high_bytes(samples, deep)),
        ColorType::Rgba => (Mode::Rgba, high_bytes(samples, deep)),
    };
    Ok(Photo { mode, width, height, bytes })
}

fn damage(error: &png::DecodingError) -> String {
    format!("is a damaged PNG: {error}")
}

/// Samples of fewer than 8 bits to a byte each; rows start at a byte.
fn unpack(packed: Vec<u8>, depth: BitDepth, n_columns: usize, n_rows: usize) -> Vec<u8> {
    let depth = depth as usize;
    if depth >= 8 {
        return packed;
    }
    let (each, mask) = (8 / depth, (1 << depth) - 1);
    let mut samples = Vec::with_capacity(n_columns * n_rows);
    for row in packed.chunks_exact(n_columns.div_ceil(each)) {
        samples
            .extend((0..n_columns).map(|i| row[i / each] >> (8 - depth * (i % each + 1)) & mask));
    }
    samples
}

/// Pillow knows black and white as a mode of its own, and stretches 2 and 4 bits.
fn grey(mut samples: Vec<u8>, depth: BitDepth) -> (Mode, Vec<u8>) {
    let largest = match depth {
        BitDepth::One => 1,
        BitDepth::Two => 3,
        BitDepth::Four => 15,
        BitDepth::Eight | BitDepth::Sixteen => 255,
    };
    samples.iter_mut().for_each(|sample| *sample *= 255 / largest);
    (if largest == 1 { Mode::Bilevel } else { Mode::Grey }, samples)
}

/// 16-bit grey to 8: the range of the values is kept. Pillow's own conversion clips them at 255,
/// which makes a scan's slice white.
fn scaled(samples: &[u8]) -> Vec<u8> {
    samples
        .chunks_exact(2)
        .map(|pair| (u16::from_be_bytes([pair[0], pair[1]]) / 257) as u8)
        .collect()
}

/// 16-bit colours to 8 as Pillow unpacks them.
fn high_bytes(samples: Vec<u8>, deep: bool) -> Vec<u8> {
    if deep { samples.into_iter().step_by(2).collect() } else { samples }
}

/// Where a palette ends, Pillow goes on with black.
fn palette(chunk: Option<&[u8]>) -> Box<[[u8; 3]; 256]> {
    let mut colours = Box::new([[0; 3]; 256]);
    for (colour, entry) in colours.iter_mut().zip(chunk.unwrap_or_default().chunks_exact(3)) {
        colour.copy_from_slice(entry);
    }
    colours
}
