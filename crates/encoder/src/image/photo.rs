//! A decoded image in the mode of its file, because CLIP's transform resizes before it converts.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use super::{jpeg, png};
use crate::{Error, Result};

/// What the bytes of a pixel mean; the names are Pillow's `1`, `L`, `LA`, `P`, `RGB`, `RGBA`, `CMYK`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mode {
    /// Black and white, as 0 and 255.
    Bilevel,
    Grey,
    GreyAlpha,
    /// An index into these colours.
    Palette(Box<[[u8; 3]; 256]>),
    Rgb,
    Rgba,
    Cmyk,
}

impl Mode {
    pub(super) fn n_channels(&self) -> usize {
        match self {
            Self::Bilevel | Self::Grey | Self::Palette(_) => 1,
            Self::GreyAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba | Self::Cmyk => 4,
        }
    }
}

/// A decoded image: `(height, width, channels)` bytes in the mode of its file.
///
/// Orientation tags are left alone, as Pillow and CLIP's transform leave them.
#[derive(Clone, Debug, PartialEq)]
pub struct Photo {
    pub(super) mode: Mode,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) bytes: Vec<u8>,
}

/// The size at which Pillow takes an image for an attack.
const MAX_PIXELS: u64 = 178_956_970;

/// The largest number up to which Pillow's coordinates, in `f32`, are exact.
const MAX_SIDE: u32 = 1 << 24;

impl Photo {
    /// Reads a PNG or JPEG file; the content decides which, not the name.
    ///
    /// # Errors
    /// [`Error::Read`] when the file cannot be read, [`Error::Image`] when it holds no image, a
    /// damaged one, or one that is not read.
    pub fn open(path: &Path) -> Result<Self> {
        let (mut file, mut bytes, decode) = begin(path)?;
        let attach = |source| Error::Read { path: path.to_path_buf(), source };
        file.read_to_end(&mut bytes).map_err(attach)?;
        decode(&bytes).map_err(|problem| Error::Image { path: path.to_path_buf(), problem })
    }

    /// Whether a file begins as a PNG or JPEG, without decoding it.
    ///
    /// # Errors
    /// As those of [`Self::open`] that the first bytes show.
    pub fn check(path: &Path) -> Result<()> {
        begin(path).map(drop)
    }

    /// An RGB image from its bytes `(height, width, 3)`.
    ///
    /// # Errors
    /// [`Error::Pixels`] when the bytes do not fill the size, or the size is zero.
    pub fn from_rgb(width: usize, height: usize, bytes: Vec<u8>) -> Result<Self> {
        let needed = width.checked_mul(height).and_then(|n| n.checked_mul(3));
        if bytes.is_empty() || needed != Some(bytes.len()) {
            return Err(Error::Pixels { width, height, n_bytes: bytes.len() });
        }
        Ok(Self { mode: Mode::Rgb, width, height, bytes })
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The pixels in RGB, `(height, width, 3)`: alpha is dropped, not blended.
    pub fn to_rgb(&self) -> Vec<u8> {
        let pixels = self.bytes.chunks_exact(self.mode.n_channels());
        match &self.mode {
            Mode::Bilevel | Mode::Grey | Mode::GreyAlpha => {
                pixels.flat_map(|p| [p[0]; 3]).collect()
            }
            Mode::Palette(colours) => pixels.flat_map(|p| colours[usize::from(p[0])]).collect(),
            Mode::Rgb => self.bytes.clone(),
            Mode::Rgba => pixels.flat_map(|p| [p[0], p[1], p[2]]).collect(),
            Mode::Cmyk => pixels
                .flat_map(|p| [p[0], p[1], p[2]].map(|ink| 255 - p[3] - share(ink, 255 - p[3])))
                .collect(),
        }
    }
}

/// `a · b / 255`, rounded.
pub(super) fn share(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    ((product + (product >> 8)) >> 8) as u8
}

/// Refuses an image of no pixels, or of more than any photo has.
pub(super) fn check_size(width: u32, height: u32) -> Result<(), String> {
    let expected = match u64::from(width) * u64::from(height) {
        0 => "at least one".to_owned(),
        n if n > MAX_PIXELS => format!("at most {MAX_PIXELS}"),
        _ if width.max(height) > MAX_SIDE => format!("at most {MAX_SIDE} a side"),
        _ => return Ok(()),
    };
    Err(format!("its header says {width} x {height} pixels, expected {expected}"))
}

/// What to say of a file that is shorter than its header allows.
pub(super) fn too_short(width: u32, height: u32, n_bytes: usize) -> String {
    format!("its header says {width} x {height} pixels, more than {n_bytes} bytes can hold")
}

/// A file after its first bytes, these, and who reads such a file.
fn begin(path: &Path) -> Result<(fs::File, Vec<u8>, Decoder)> {
    let attach = |source| Error::Read { path: path.to_path_buf(), source };
    let pointer = |found| Error::Pointer { path: path.to_path_buf(), found };
    let mut file = match (fs::File::open(path), formats::dangling(path)) {
        (Err(_), Some(found)) => return Err(pointer(found)),
        (file, _) => file.map_err(attach)?,
    };
    if !file.metadata().map_err(attach)?.is_file() {
        return Err(attach(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")));
    }
    let mut bytes = Vec::new();
    file.by_ref().take(64).read_to_end(&mut bytes).map_err(attach)?;
    if let Some(found) = formats::pointer(&bytes) {
        return Err(pointer(found));
    }
    let decode =
        decoder(&bytes).map_err(|problem| Error::Image { path: path.to_path_buf(), problem })?;
    Ok((file, bytes, decode))
}

type Decoder = fn(&[u8]) -> Result<Photo, String>;

fn decoder(start: &[u8]) -> Result<Decoder, String> {
    let known: &[(&[u8], usize, &str)] = &[
        (b"GIF8", 0, "a GIF"),
        (b"BM", 0, "a BMP"),
        (b"II*\0", 0, "a TIFF"),
        (b"MM\0*", 0, "a TIFF"),
        (b"WEBP", 8, "a WebP"),
        (b"ftyp", 4, "a HEIF, AVIF or video"),
        (b"\0\0\0\x0cjP  ", 0, "a JPEG 2000"),
        (b"\xff\x0a", 0, "a JPEG XL"),
    ];
    if start.starts_with(png::SIGNATURE) {
        return Ok(png::decode);
    }
    if start.starts_with(jpeg::SIGNATURE) {
        return Ok(jpeg::decode);
    }
    if start.is_empty() {
        return Err("is empty, expected a PNG or JPEG image".to_owned());
    }
    let found = known
        .iter()
        .find(|(magic, at, _)| start.get(*at..).is_some_and(|rest| rest.starts_with(magic)))
        .map_or_else(|| "no image".to_owned(), |(_, _, name)| format!("{name} file"));
    Err(format!("is {found}, expected a PNG or JPEG image"))
}
