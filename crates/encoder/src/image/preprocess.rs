//! CLIP's evaluation transform: shorter side to the model's size, centre crop, normalise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::photo::{Mode, Photo, share};
use super::resample::{Axis, bicubic, nearest};

/// Whether an image is resized before or after it becomes RGB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Resized in the file's own mode, as `open_clip`'s transform and with it OpenFlamingo does:
    /// indices by nearest neighbour, colours under alpha weighted by it.
    #[default]
    NativeOrder,
    /// Converted first, as the processors of Hugging Face do.
    RgbFirst,
}

/// From a photo to the pixels that a CLIP model was trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClipPreprocess {
    /// Width and height of the model's input.
    pub size: usize,
    /// When an image becomes RGB.
    #[serde(default)]
    pub order: Order,
    /// Subtracted from each colour in 0 … 1.
    pub mean: [f32; 3],
    /// What the rest is divided by.
    pub std: [f32; 3],
}

impl ClipPreprocess {
    /// As OpenAI trained CLIP, and `open_clip` and OpenFlamingo after it.
    pub fn openai(size: usize) -> Self {
        Self {
            size,
            order: Order::default(),
            mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
        }
    }

    /// The resized and cropped photo, `(3, size, size)` in 0 … 255.
    pub fn pixels(&self, photo: &Photo) -> Vec<u8> {
        let crop = match self.order {
            Order::NativeOrder => self.crop(photo).to_rgb(),
            Order::RgbFirst => {
                let bytes = photo.to_rgb();
                self.crop(&Photo { mode: Mode::Rgb, bytes, ..*photo }).bytes
            }
        };
        (0..3).flat_map(|channel| crop.iter().skip(channel).step_by(3).copied()).collect()
    }

    /// The model's input, `(3, size, size)`.
    pub fn values(&self, photo: &Photo) -> Vec<f32> {
        let mut values: Vec<_> = self.pixels(photo).into_iter().map(f32::from).collect();
        for (channel, plane) in values.chunks_exact_mut(self.size * self.size).enumerate() {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            plane.iter_mut().for_each(|value| *value = (*value / 255. - mean) / std);
        }
        values
    }

    /// Shorter side to `size`, the longer one truncated, then the centre, in the photo's own mode.
    fn crop(&self, photo: &Photo) -> Photo {
        let (width, height, size) = (photo.width, photo.height, self.size);
        let shorter = width.min(height);
        let axis = |n_in| {
            let n_out = size * n_in / shorter;
            let start = half_to_even(n_out - size);
            Axis { n_in, n_out, wanted: start..start + size }
        };
        let (columns, rows) = (axis(width), axis(height));
        let n_channels = photo.mode.n_channels();
        let bytes = match photo.mode {
            Mode::Bilevel | Mode::Palette(_) => nearest(&photo.bytes, &columns, &rows),
            // Pillow copies an image that has its size already, and weighs no colour then.
            Mode::GreyAlpha | Mode::Rgba if columns.n_out != width || rows.n_out != height => {
                let mut bytes = photo.bytes.clone();
                each_pixel(&mut bytes, n_channels, share);
                let mut bytes = bicubic(&bytes, n_channels, &columns, &rows);
                each_pixel(&mut bytes, n_channels, unshare);
                bytes
            }
            _ => bicubic(&photo.bytes, n_channels, &columns, &rows),
        };
        Photo { mode: photo.mode.clone(), width: size, height: size, bytes }
    }
}

/// Puts `f(colour, alpha)` in the place of every colour.
fn each_pixel(bytes: &mut [u8], n_channels: usize, f: fn(u8, u8) -> u8) {
    for pixel in bytes.chunks_exact_mut(n_channels) {
        let (alpha, colours) = pixel.split_last_mut().expect("a pixel has channels");
        colours.iter_mut().for_each(|colour| *colour = f(*colour, *alpha));
    }
}

/// The colour that alpha was multiplied into; where nothing is seen it stays.
fn unshare(colour: u8, alpha: u8) -> u8 {
    if alpha == 0 { colour } else { (u32::from(colour) * 255 / u32::from(alpha)).min(255) as u8 }
}

/// `n / 2`, halves to the even neighbour, as Python's `round`.
fn half_to_even(n: usize) -> usize {
    let half = n / 2;
    if n.is_multiple_of(2) || half.is_multiple_of(2) { half } else { half + 1 }
}
