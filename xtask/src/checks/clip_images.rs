//! Photos through CLIP's transform, beside Pillow's and torchvision's pixels.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use encoder::{ClipPreprocess, Order, Photo};
use safetensors::{SafeTensors, tensor::TensorView};
use serde::Deserialize;

use super::{Outcome, Worst};

/// `expected.json` of the family `clip_images`.
#[derive(Deserialize)]
struct Expected {
    size: usize,
    mean: [f32; 3],
    std: [f32; 3],
    images: Vec<Image>,
}

#[derive(Deserialize)]
struct Image {
    file: String,
    format: String,
    /// Keys `rgb_first`, `native_order` where it differs, and `f32`.
    tensors: BTreeMap<String, String>,
    /// The reference's decoded pixels, for the resize alone.
    decoded_rgb: Option<String>,
}

/// `case.json` of a `transform`.
#[derive(Deserialize)]
struct Transform {
    transform: String,
    mean: [f32; 3],
    std: [f32; 3],
}

/// Largest and mean difference in levels of 0 … 255, by the family's README.
const PNG: (f64, f64) = (1., 0.05);
const JPEG: (f64, f64) = (3., 0.5);

/// Whether `expected.json` says that the folder is of this family.
pub(super) fn is_family(folder: &Path) -> bool {
    let read = || -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(&fs::read(folder.join("expected.json"))?)?)
    };
    read().is_ok_and(|json| json["family"] == "clip_images")
}

/// One outcome an image.
pub(super) fn oracles(folder: &Path) -> Vec<Outcome> {
    let family = || -> Result<Vec<Outcome>> {
        let expected: Expected = serde_json::from_slice(&fs::read(folder.join("expected.json"))?)?;
        let bytes = fs::read(folder.join("expected.safetensors"))?;
        let tensors = SafeTensors::deserialize(&bytes)?;
        let outcome = |image: &Image| {
            let name = format!("clip_images/{}", image.file);
            match compare(folder, &expected, image, &tensors) {
                Ok(worst) => Outcome::compared(&name, worst),
                Err(error) => Outcome::broken(&name, format!("{error:#}")),
            }
        };
        Ok(expected.images.iter().map(outcome).collect())
    };
    family().unwrap_or_else(|error| vec![Outcome::broken("clip_images", format!("{error:#}"))])
}

fn compare(
    folder: &Path,
    expected: &Expected,
    image: &Image,
    tensors: &SafeTensors,
) -> Result<Worst> {
    let mut worst = Worst::new();
    let limits = if image.format == "PNG" { PNG } else { JPEG };
    let (size, mean, std) = (expected.size, expected.mean, expected.std);
    let photo = Photo::open(&folder.join(&image.file))?;
    let tensor = |name: &str| -> Result<TensorView> {
        let tensor = tensors.tensor(name).with_context(|| name.to_owned())?;
        ensure!(tensor.shape() == [3, size, size], "{name} has shape {:?}", tensor.shape());
        Ok(tensor)
    };
    let first = image.tensors.get("rgb_first").context("names no tensor `rgb_first`")?;
    let native = image.tensors.get("native_order").unwrap_or(first);
    for (order, name) in [(Order::RgbFirst, first), (Order::NativeOrder, native)] {
        let transform = ClipPreprocess { size, order, mean, std };
        add_levels(&mut worst, name, &transform.pixels(&photo), tensor(name)?.data(), limits);
        if let Some(decoded) = image.decoded_rgb.as_ref().filter(|_| order == Order::RgbFirst) {
            let pixels = transform.pixels(&Photo::open(&folder.join(decoded))?);
            add_levels(&mut worst, decoded, &pixels, tensor(name)?.data(), PNG);
        }
    }
    if let Some(name) = image.tensors.get("f32") {
        let transform = ClipPreprocess { size, order: Order::RgbFirst, mean, std };
        let narrowest = std.into_iter().fold(f32::INFINITY, f32::min);
        let level = limits.0 / 255. / f64::from(narrowest);
        add_values(&mut worst, name, &transform.values(&photo), &floats(&tensor(name)?)?, level);
    }
    Ok(worst)
}

/// The outcome of a `transform` case: images given as pixels.
pub(super) fn parity(folder: &Path, name: &str) -> Outcome {
    match transform(folder) {
        Ok(worst) => Outcome::compared(name, worst),
        Err(error) => Outcome::broken(name, format!("{error:#}")),
    }
}

fn transform(folder: &Path) -> Result<Worst> {
    let case: Transform = serde_json::from_slice(&fs::read(folder.join("case.json"))?)?;
    let bytes = fs::read(folder.join("io.safetensors"))?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let numbers: Vec<_> =
        tensors.names().into_iter().filter_map(|name| name.strip_suffix(".rgb_u8")).collect();
    ensure!(!numbers.is_empty(), "io.safetensors holds no image");
    let mut worst = Worst::new();
    for number in numbers {
        let (image, out) = (format!("{number}.rgb_u8"), format!("{number}.out"));
        let (pixels, expected) =
            (tensors.tensor(&image)?, tensors.tensor(&out).context(out.clone())?);
        let (&[height, width, 3], &[3, size, _]) = (pixels.shape(), expected.shape()) else {
            anyhow::bail!("{image} is {:?}, {out} {:?}", pixels.shape(), expected.shape());
        };
        ensure!(case.transform.contains(&format!("Resize({size},")), "{}", case.transform);
        let (mean, std) = (case.mean, case.std);
        let transform = ClipPreprocess { size, order: Order::NativeOrder, mean, std };
        let photo = Photo::from_rgb(width, height, pixels.data().to_vec())?;
        add_values(&mut worst, &out, &transform.values(&photo), &floats(&expected)?, 1e-4);
    }
    Ok(worst)
}

fn floats(tensor: &TensorView) -> Result<Vec<f32>> {
    ensure!(tensor.dtype() == safetensors::Dtype::F32, "a tensor is {:?}", tensor.dtype());
    let (values, _) = tensor.data().as_chunks();
    Ok(values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}

fn add_levels(worst: &mut Worst, name: &str, found: &[u8], expected: &[u8], limits: (f64, f64)) {
    worst.equal(&format!("{name} length"), &found.len(), &expected.len());
    let gaps: Vec<_> = found.iter().zip(expected).map(|(a, b)| f64::from(a.abs_diff(*b))).collect();
    worst.add(&format!("{name} max"), gaps.iter().copied().fold(0., f64::max), limits.0);
    worst.add(&format!("{name} mean"), gaps.iter().sum::<f64>() / gaps.len() as f64, limits.1);
}

fn add_values(worst: &mut Worst, name: &str, found: &[f32], expected: &[f32], limit: f64) {
    worst.equal(&format!("{name} length"), &found.len(), &expected.len());
    let gaps = found.iter().zip(expected).map(|(a, b)| f64::from((a - b).abs()));
    let largest = gaps.fold(0., |a: f64, b| if b.is_nan() { b } else { a.max(b) });
    worst.add(name, largest, limit);
}
