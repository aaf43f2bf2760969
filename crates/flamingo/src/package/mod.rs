//! A package on disk: a folder that is whole or refuses to load.
//!
//! ```text
//! model.yaml            manifest: architecture, preprocessing, digest of every part
//! adapter.safetensors   resampler, gated blocks, special-token rows; OpenFlamingo's names
//! encoder.safetensors   the brain encoder, or CLIP; a reference with its digest where it is not copied;
//!                       of published weights what the training moved, beside a reference to the file
//! lm/                   a Hugging Face folder
//! README.md             model card
//! ```

mod inspect;
mod parts;
mod trained;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use encoder::{EncoderConfig, InputShape, Licence, Trainable, WeightsSource};
use nn::weights::{Frozen, save};

use crate::manifest::{ADAPTER, BASE, ENCODER, FORMAT, LM, MANIFEST, relative, renamed};
use crate::{Error, Fault, FlamingoConfig, Manifest, Part, Result};

pub use inspect::{PackageInfo, PackageTexts, Parameters, Trained, WeightFile, inspect, verify};
pub(crate) use parts::{Outlines, Parts, fits};
pub use trained::TrainedWeights;

/// The files of a language model's folder that a package keeps.
pub const LM_FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

/// A file that goes into a package as it is.
#[derive(Clone, Debug)]
pub struct PackageFile {
    /// Path inside the package.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Licence of its contents; absent: that of the trained parts.
    pub licence: Option<String>,
}

/// Everything that goes into a new package.
pub struct NewPackage<'a> {
    /// Name of the run.
    pub name: &'a str,
    /// Seed of the training.
    pub seed: u64,
    /// Size of one preprocessed window.
    pub input: InputShape,
    /// Architecture around the language model.
    pub config: &'a FlamingoConfig,
    /// The encoder that stays outside of the model: it makes the tokens which that is shown.
    pub frozen_encoder: Option<&'a EncoderConfig>,
    /// Encoder tensors by name; of an encoder that began with published weights those that moved.
    pub encoder: &'a HashMap<String, Tensor>,
    /// Where the parcels are, in mm, for encoders that read it.
    pub coordinates: Option<&'a [[f64; 3]]>,
    /// Adapter tensors by name.
    pub adapter: &'a HashMap<String, Tensor>,
    /// The frozen language model, a folder or one GGUF file; its files are copied.
    pub lm: &'a Path,
    /// How a scan becomes a window.
    pub preprocessing: serde_json::Value,
    /// Data and settings of the training.
    pub trained_on: serde_json::Value,
    /// Further files.
    pub files: &'a [PackageFile],
    /// Licence of the trained parts.
    pub licence: &'a str,
}

/// Writes a package beside its final place and renames it there, so that `folder` is whole or
/// absent.
pub fn write(folder: &Path, package: &NewPackage) -> Result<()> {
    write_referencing(folder, package, None)
}

/// The same; a file given as `encoder` is named with its digest instead of copied.
pub(crate) fn write_referencing(
    folder: &Path,
    package: &NewPackage,
    encoder: Option<&Path>,
) -> Result<()> {
    let clip = |path| reference(ENCODER, path, folder, "CLIP's own");
    let encoder = encoder.map(clip).transpose()?;
    let bases = bases(package, folder)?;
    in_place(folder, |staged| fill(staged, package, encoder, bases))
}

/// Lets `fill` write a package into a folder beside `folder`, and renames it there when it is whole.
pub(crate) fn in_place(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    replaceable(folder)?;
    let staged = files::FolderAside::new(folder)?;
    fill(staged.path())?;
    Ok(staged.replace()?)
}

/// Fails where something else than a package lies: it is not ours to remove.
pub(crate) fn replaceable(folder: &Path) -> Result<()> {
    let refuse = |found: &str| {
        let reason = format!("{found} is there and is not a model package, choose another folder");
        Err(Error::Import { path: folder.to_owned(), reason, fault: Fault::Target })
    };
    match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => refuse("a file"),
        Err(error) => Err(io(folder)(error)),
        Ok(_) if folder.join(MANIFEST).is_file() => Ok(()),
        Ok(entries) => {
            if entries.count() == 0 {
                Ok(())
            } else {
                refuse("a folder")
            }
        }
    }
}

/// A file that is not copied: where it lies as seen from the package, and what it is now.
pub(crate) fn reference(file: &str, path: &Path, folder: &Path, licence: &str) -> Result<Part> {
    let part = Part { file: file.to_owned(), ..described(path, licence)? };
    Ok(Part { path: Some(relative(path, folder)?), ..part })
}

/// The encoder whose published weights stay where they are: the one before the model, or the one that
/// was trained with it.
fn published<'a>(package: &'a NewPackage) -> Option<(&'a EncoderConfig, &'a Path)> {
    let encoder = package.frozen_encoder.unwrap_or(&package.config.encoder);
    match encoder.weights() {
        Some(WeightsSource::File(weights)) => Some((encoder, weights)),
        _ => None,
    }
}

/// The published files that the encoder needs, and each as a part that is not copied.
fn bases(package: &NewPackage, folder: &Path) -> Result<Vec<(PathBuf, Part)>> {
    let Some((encoder, weights)) = published(package) else { return Ok(Vec::new()) };
    let licence = encoder.licence().expect("published weights have their licence").name;
    let base = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let file = if path == weights { BASE.to_owned() } else { format!("{BASE}/{name}") };
        let part = reference(&file, &path, folder, &licence)?;
        Ok((path, part))
    };
    encoder.paths().into_iter().map(base).collect()
}

fn fill(
    folder: &Path,
    package: &NewPackage,
    encoder: Option<Part>,
    bases: Vec<(PathBuf, Part)>,
) -> Result<()> {
    save(&folder.join(ADAPTER), package.adapter)?;
    let mut parts = vec![part(folder, ADAPTER, package.licence)?];
    if let Some(encoder) = encoder {
        parts.push(encoder);
    } else {
        save(&folder.join(ENCODER), package.encoder)?;
        parts.push(part(folder, ENCODER, &encoder_licence(package)?)?);
    }
    let mut config = package.config.clone();
    let there = |(from, part): &(PathBuf, Part)| Some((from.clone(), part.path.clone()?));
    let moved: Vec<_> = bases.iter().filter_map(there).collect();
    config.encoder.relocate(&|path| renamed(path, &moved));
    let mut frozen_encoder = package.frozen_encoder.cloned();
    frozen_encoder.iter_mut().for_each(|it| it.relocate(&|path| renamed(path, &moved)));
    parts.extend(bases.into_iter().map(|(_, part)| part));
    let lm = folder.join(LM);
    fs::create_dir(&lm).map_err(io(&lm))?;
    for from in lm::files(package.lm)? {
        let name = from.file_name().expect("a file has a name").to_string_lossy().into_owned();
        copy(&from, &lm.join(&name))?;
        parts.push(part(folder, &format!("{LM}/{name}"), "the language model's own")?);
    }
    let card = card(package)?;
    let card = PackageFile { name: "README.md".into(), bytes: card.into_bytes(), licence: None };
    for PackageFile { name, bytes, licence } in package.files.iter().chain([&card]) {
        let path = folder.join(name);
        let above = path.parent().unwrap_or(folder);
        fs::create_dir_all(above).map_err(io(above))?;
        fs::write(&path, bytes).map_err(io(&path))?;
        parts.push(part(folder, name, licence.as_deref().unwrap_or(package.licence))?);
    }
    let manifest = Manifest {
        format: FORMAT,
        name: package.name.to_owned(),
        created_by: concat!("neuroflamingo ", env!("CARGO_PKG_VERSION")).to_owned(),
        seed: package.seed,
        input: package.input,
        config,
        frozen_encoder,
        coordinates: package.coordinates.map(<[[f64; 3]]>::to_vec),
        parts,
        preprocessing: package.preprocessing.clone(),
        trained_on: package.trained_on.clone(),
    };
    manifest.write(folder)
}

/// Whether a CLIP that the package holds is the encoder: frozen, and under a licence of its own.
fn is_clip(config: &FlamingoConfig) -> bool {
    matches!(config.encoder, encoder::EncoderConfig::Clip(_)) && config.encoder.weights().is_none()
}

/// Under which licence the encoder's tensors in the package stand.
fn encoder_licence(package: &NewPackage) -> Result<String> {
    let encoder = &package.config.encoder;
    if is_clip(package.config) {
        return Ok("CLIP's own".to_owned());
    }
    let Some(WeightsSource::File(_)) = encoder.weights() else {
        return Ok(package.licence.to_owned());
    };
    let Licence { name, no_derivatives, .. } = encoder.spec(package.input)?.licence;
    Ok(match encoder.trainable() {
        Trainable::Lora(_) => {
            format!("{}, of use with weights under {name} alone", package.licence)
        }
        _ if no_derivatives => format!("{name}: changed weights, not to be handed on"),
        _ => name,
    })
}

/// Copies the contents of a file, not who may read it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = fs::File::open(from).map_err(io(from))?;
    let mut target = fs::File::create(to).map_err(io(to))?;
    std::io::copy(&mut source, &mut target).map_err(io(from))?;
    Ok(())
}

fn card(package: &NewPackage) -> Result<String> {
    let count = |tensors: &HashMap<String, Tensor>| -> usize {
        tensors.values().map(Tensor::elem_count).sum()
    };
    let (encoder, n_trained) = if is_clip(package.config) {
        ("CLIP", count(package.adapter))
    } else {
        ("A brain encoder", count(package.adapter) + count(package.encoder))
    };
    let base = match (published(package), package.frozen_encoder) {
        (None, _) => String::new(),
        (Some((encoder, _)), Some(_)) => format!(
            "The weights of the encoder `{}`, which makes its tokens, are not in this package: \
             `model.yaml` names their file and its digest. Their licence: {}.\n\n",
            encoder.name(),
            encoder.licence().expect("published weights have their licence").name
        ),
        (Some(_), None) => format!(
            "The encoder's published weights are not in this package, only what moved: `model.yaml` \
             names their file and its digest. What moved: {}.\n\n",
            encoder_licence(package)?
        ),
    };
    let terms = package.trained_on.get("terms").and_then(serde_json::Value::as_str);
    let terms = terms.map_or_else(String::new, |it| format!("Terms of use of its data: {it}\n\n"));
    Ok(format!(
        "# {}\n\n{encoder}, a perceiver resampler and gated cross-attention around a frozen language \
         model, {n_trained} trained parameters, seed {}.\n\n**Research output, not for diagnosis; \
         not a medical device.**\n\n{base}{terms}Trained on:\n\n```json\n{:#}\n```\n\nLicence of the trained \
         parts: {}. `model.yaml` holds the architecture, the preprocessing and the digest of every \
         part.\n",
        package.name, package.seed, package.trained_on, package.licence,
    ))
}

pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path: PathBuf = path.to_owned();
    move |source| Error::Io { path, source }
}

/// The digest of a file, in hexadecimal.
pub(crate) fn digest(path: &Path) -> Result<String> {
    files::sha256_file(path).map_err(io(path))
}

pub(crate) fn part(folder: &Path, name: &str, licence: &str) -> Result<Part> {
    Ok(Part { file: name.to_owned(), ..described(&folder.join(name), licence)? })
}

/// What a file is now.
fn described(path: &Path, licence: &str) -> Result<Part> {
    Ok(Part {
        file: String::new(),
        path: None,
        bytes: fs::metadata(path).map_err(io(path))?.len(),
        sha256: digest(path)?,
        licence: licence.to_owned(),
    })
}

/// Fails on the first part that is missing or not the one in the manifest.
pub(crate) fn check_parts(folder: &Path, parts: &[Part]) -> Result<()> {
    parts.iter().try_for_each(|part| check_part(folder, part))
}

/// Fails where a part is missing or not the one in the manifest.
pub(crate) fn check_part(folder: &Path, expected: &Part) -> Result<()> {
    let path = expected.place(folder);
    if expected.path.is_some() && !path.is_file() {
        let folder = folder.to_owned();
        return Err(Error::Moved { path, folder, sha256: expected.sha256.clone() });
    }
    let found = described(&path, "")?;
    if (found.bytes, &found.sha256) != (expected.bytes, &expected.sha256) {
        let describe = |part: &Part| {
            format!(
                "{} bytes with sha256 {}…",
                part.bytes,
                &part.sha256[..16.min(part.sha256.len())]
            )
        };
        let (found, expected) = (describe(&found), describe(expected));
        return Err(Error::Part { path, found, expected });
    }
    Ok(())
}

/// Where a package keeps its language model: the folder, or the one GGUF file in it.
pub(crate) fn lm_path(folder: &Path) -> Result<PathBuf> {
    let lm = folder.join(LM);
    let entries = fs::read_dir(&lm).map_err(io(&lm))?;
    let is_gguf = |path: &PathBuf| path.extension().is_some_and(|end| end == "gguf");
    let gguf = entries.flatten().map(|entry| entry.path()).find(is_gguf);
    Ok(gguf.unwrap_or(lm))
}

/// Fails on the first tensor with a value that is not a number.
pub(crate) fn all_finite(weights: &Frozen, path: &Path) -> Result<()> {
    // a large embedding in `f64` at once would fill the memory
    const PIECE: usize = 1 << 20;
    for info in weights.list() {
        let values = weights.stored(&info.name)?.to_tensor(DType::F32)?.flatten_all()?;
        let n_values = values.elem_count();
        for start in (0..n_values).step_by(PIECE) {
            let piece = values.narrow(0, start, PIECE.min(n_values - start))?;
            // a sum is finite only when every term is
            let sum = piece.to_dtype(DType::F64)?.abs()?.sum_all()?.to_scalar::<f64>()?;
            if !sum.is_finite() {
                return Err(Error::NotFinite { path: path.to_owned(), name: info.name });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
