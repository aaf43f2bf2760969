//! Photos as CLIP sees them: a file decoded, resized, cropped and normalised as Pillow does it.
//!
//! ```text
//! PNG, JPEG ─ Photo in the file's own mode ─ bicubic ─ centre crop ─ RGB ─ (u8 / 255 − mean) / std
//! ```
//! CLIP was trained behind Pillow, whose bicubic filter is antialiased and rounds to 8 bits twice;
//! another filter moves every token. So the filter here is Pillow's to the bit, and so is the JPEG
//! decoder: the two decoders published for Rust are 4 levels off libjpeg on plain photos.

mod jpeg;
mod photo;
mod png;
mod preprocess;
mod resample;

#[cfg(test)]
mod tests;

pub use photo::Photo;
pub use preprocess::{ClipPreprocess, Order};
