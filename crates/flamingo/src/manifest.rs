//! `model.yaml`: what a package says of itself.

use std::path::{Component, Path, PathBuf};

use encoder::{EncoderConfig, EncoderRegistry, InputShape};
use serde::{Deserialize, Serialize};

use crate::{Error, FlamingoConfig, Result};

/// The manifest's file.
pub const MANIFEST: &str = "model.yaml";
/// Resampler, gated blocks, special-token rows.
pub(crate) const ADAPTER: &str = "adapter.safetensors";
/// What the names of the language model's tensors begin with in the adapter's file.
pub const LANGUAGE: &str = "lang_encoder";
/// The brain encoder.
pub(crate) const ENCODER: &str = "encoder.safetensors";
/// The published weights that a fine-tuned encoder began with, named with their digest and never
/// copied; what lies beside them has names below this.
pub(crate) const BASE: &str = "encoder_base";
/// The language model's folder.
pub(crate) const LM: &str = "lm";

/// The layout of packages that this version writes and reads.
pub(crate) const FORMAT: u32 = 1;

/// One file of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Path inside the package.
    pub file: String,
    /// Where the file lies instead, for one that may not be copied; relative to the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Size.
    pub bytes: u64,
    /// Digest, in hexadecimal.
    pub sha256: String,
    /// Licence of the contents.
    pub licence: String,
}

impl Part {
    /// Where the part lies, for a package in `folder`; a referenced file may also lie in it, unless
    /// another part has its name.
    pub(crate) fn place(&self, folder: &Path) -> PathBuf {
        let Some(path) = &self.path else { return folder.join(&self.file) };
        let free = |name: &&std::ffi::OsStr| *name != ENCODER || self.file == ENCODER;
        let beside = path.file_name().filter(free).map(|name| folder.join(name));
        beside.filter(|it| it.is_file()).unwrap_or_else(|| folder.join(path))
    }
}

/// Refuses a manifest of another layout by its number, before its keys are read.
///
/// # Errors
/// Where the number is another one than `expected`.
pub(crate) fn check_format(path: &Path, text: &str, expected: u32) -> Result<()> {
    #[derive(Deserialize)]
    struct Layout {
        format: u32,
    }
    // without a number, the error of the whole manifest says what is missing
    match serde_yaml::from_str::<Layout>(text) {
        Ok(Layout { format }) if format != expected => Err(Error::Manifest {
            path: path.to_owned(),
            reason: format!(
                "found format {format}, expected {expected}: another version of neuroflamingo wrote it"
            ),
        }),
        _ => Ok(()),
    }
}

/// What a package is made of and where it came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Layout version.
    pub format: u32,
    /// Name of the run that made it.
    pub name: String,
    /// Version of this software that wrote it.
    pub created_by: String,
    /// Seed of the training.
    pub seed: u64,
    /// Size of one preprocessed window.
    pub input: InputShape,
    /// Architecture around the language model.
    pub config: FlamingoConfig,
    /// The frozen encoder before the model, which makes the tokens that it is shown; run by whoever
    /// prepares scans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_encoder: Option<EncoderConfig>,
    /// Where the parcels are, in mm, for encoders that read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinates: Option<Vec<[f64; 3]>>,
    /// Every file, with its digest.
    pub parts: Vec<Part>,
    /// How a scan becomes a window; read by whoever prepares scans.
    pub preprocessing: serde_json::Value,
    /// Data and settings of the training.
    pub trained_on: serde_json::Value,
}

impl Manifest {
    /// Reads `model.yaml` in `folder`.
    pub fn read(folder: &Path) -> Result<Self> {
        let (path, text) = text_in(folder)?;
        if crate::is_encoder(folder) {
            let reason = "it is the package of an encoder alone, expected a whole model; a pipeline \
                          file names it as `encoder: { file: PATH/encoder.yaml }`";
            return Err(Error::Manifest { path, reason: reason.to_owned() });
        }
        check_format(&path, &text, FORMAT)?;
        let mut manifest: Self = serde_yaml::from_str(&text)
            .map_err(|error| Error::Manifest { path: path.clone(), reason: error.to_string() })?;
        let parts = manifest.parts.clone();
        manifest.relocate(&|path| {
            let named = parts.iter().find(|part| part.path.as_deref() == Some(path));
            named.map_or_else(|| path.to_owned(), |part| part.place(folder))
        });
        Ok(manifest)
    }

    /// Looks for its encoders among those that a program brings along.
    pub fn find_encoders(&mut self, registry: &EncoderRegistry) {
        self.config.encoder.find(registry);
        self.config.media.iter_mut().filter_map(|it| it.own.as_mut()).for_each(|own| {
            own.encoder.find(registry);
        });
        self.frozen_encoder.iter_mut().for_each(|it| it.find(registry));
    }

    /// The terms of use of the data that it was trained on, where they are said.
    pub fn terms(&self) -> Option<&str> {
        self.trained_on.get("terms")?.as_str()
    }

    /// Names the package by everything that it says of itself, wherever its files lie.
    pub fn digest(&self) -> String {
        let mut named = self.clone();
        named.parts.iter_mut().for_each(|part| part.path = None);
        named.relocate(&|_| PathBuf::new());
        let said = serde_json::to_string(&named).expect("a manifest is plain values");
        files::sha256_bytes(said.as_bytes())
    }

    /// Changes where files lie that its encoders name.
    fn relocate(&mut self, place: &dyn Fn(&Path) -> PathBuf) {
        self.config.encoder.relocate(place);
        self.frozen_encoder.iter_mut().for_each(|it| it.relocate(place));
    }

    /// Its text for a copy of the package of `folder` that will lie in `other`: files that it names
    /// elsewhere lie elsewhere from there.
    ///
    /// # Errors
    /// When such a file is not there.
    pub fn for_copy(&self, folder: &Path, other: &Path) -> Result<String> {
        let mut copy = self.clone();
        let mut moved = Vec::new();
        for part in copy.parts.iter_mut().filter(|part| part.path.is_some()) {
            let place = part.place(folder);
            let there = relative(&place, other)?;
            part.path = Some(there.clone());
            moved.push((place, there));
        }
        copy.relocate(&|path| renamed(path, &moved));
        copy.text(folder)
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(MANIFEST);
        let text = self.text(folder)?;
        std::fs::write(&path, text).map_err(|source| Error::Io { path, source })
    }

    fn text(&self, folder: &Path) -> Result<String> {
        serde_yaml::to_string(self).map_err(|error| {
            let path = folder.join(MANIFEST);
            Error::Manifest { path, reason: error.to_string() }
        })
    }
}

/// Where the manifest of the package in `folder` lies, and its text.
///
/// # Errors
/// When it is not there, or `folder` is a file.
pub(crate) fn text_in(folder: &Path) -> Result<(PathBuf, String)> {
    if folder.is_file() {
        let reason = format!("it is a file, expected a package: a folder with {MANIFEST} in it");
        return Err(Error::Manifest { path: folder.to_owned(), reason });
    }
    let path = folder.join(MANIFEST);
    match formats::read_text(&path) {
        Ok(text) => Ok((path, text)),
        Err(formats::Error::Read { path, source }) => Err(Error::Io { path, source }),
        Err(error) => Err(error.into()),
    }
}

/// Where a file is said to lie, for those of which that changed.
pub(crate) fn renamed(path: &Path, moved: &[(PathBuf, PathBuf)]) -> PathBuf {
    let found = moved.iter().find(|(from, _)| from == path);
    found.map_or_else(|| path.to_owned(), |(_, to)| to.clone())
}

/// A file's place as seen from `folder`; its whole path where they share no folder.
pub(crate) fn relative(path: &Path, folder: &Path) -> Result<PathBuf> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    };
    let to = std::fs::canonicalize(path).map_err(io(path))?;
    let from = std::path::absolute(folder).map_err(io(folder))?;
    let shared = to.components().zip(from.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    let relative: PathBuf = up.chain(to.components().skip(shared)).collect();
    Ok(if shared > 1 { relative } else { to })
}
