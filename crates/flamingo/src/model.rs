//! A packaged model, ready to write: text and windows in, text and likelihoods out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::DType;
use encoder::{ClipPreprocess, EncoderRegistry, InputShape};
use ndarray::ArrayD;
use nn::{Device, DeviceName, Precision, weights::Below};
use serde::Serialize;

use crate::manifest::{LANGUAGE, MANIFEST};
use crate::{Compat, Flamingo, Manifest, Medium, Request, Result, Vocabulary, Writer, package};

/// How far one gated block is open; a model whose gates are all near zero does not look.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GateOpening {
    /// Index of the language model's block that it stands before.
    pub block: usize,
    /// `tanh` of the attention's gate.
    pub attention: f64,
    /// `tanh` of the feed-forward's gate.
    pub feed_forward: f64,
}

/// How the weights of a model are kept, and where it works.
#[derive(Clone, Debug)]
pub struct Opening {
    /// In which numbers the matrices of all its parts are kept.
    pub precision: Precision,
    /// Where it works.
    pub device: Device,
}

impl Opening {
    /// On the device of a name.
    ///
    /// # Errors
    /// Where it is a GPU that cannot be used.
    pub fn of(precision: Precision, device: DeviceName) -> Result<Self> {
        Ok(Self { precision, device: device.open()? })
    }
}

/// A model with its tokenizer.
pub struct Model {
    pub(crate) flamingo: Flamingo,
    pub(crate) vocabulary: Vocabulary,
    manifest: Manifest,
    folder: PathBuf,
}

impl Model {
    /// Opens a package on the CPU, its weights kept as their files store them; every part must be the
    /// one it was made with.
    pub fn open(folder: &Path) -> Result<Self> {
        let opening = Opening { precision: Precision::Stored, device: Device::cpu() };
        Self::open_with(folder, &opening, &EncoderRegistry::default())
    }

    /// Opens a package as asked; its encoder may be among those that a program brings along.
    pub fn open_with(folder: &Path, opening: &Opening, encoders: &EncoderRegistry) -> Result<Self> {
        let mut manifest = Manifest::read(folder)?;
        manifest.find_encoders(encoders);
        Self::of(manifest, folder, opening)
    }

    /// The same, faults repeated as `compat` says, whatever the package says.
    pub fn open_as(
        folder: &Path,
        compat: Compat,
        encoders: &EncoderRegistry,
        opening: &Opening,
    ) -> Result<Self> {
        let mut manifest = Manifest::read(folder)?;
        manifest.find_encoders(encoders);
        manifest.config.compat = compat;
        Self::of(manifest, folder, opening)
    }

    fn of(manifest: Manifest, folder: &Path, opening: &Opening) -> Result<Self> {
        let (precision, device) = (opening.precision, &opening.device);
        package::check_parts(folder, &manifest.parts)?;
        let parts = package::Parts::open(folder, &manifest)?;
        parts.check(folder, &parts.outlines(&manifest)?)?;
        let vocabulary = parts.vocabulary()?;
        let encoder = parts.encoder(&manifest.config, precision, device)?;
        let package::Parts { adapter, lm, .. } = parts;
        let lora = manifest.config.lora.as_ref();
        let corrections = Below::new(adapter.clone(), LANGUAGE);
        let pretrained = lm.load_corrected(precision, device, lora, corrections)?;
        let flamingo = Flamingo::new(
            &manifest.config,
            manifest.input,
            pretrained.lm,
            vocabulary.special.clone(),
            encoder,
            adapter.kept(precision).builder(DType::F32).on(device),
        )?;
        Ok(Self { flamingo, vocabulary, manifest, folder: folder.to_owned() })
    }

    /// Where it works.
    pub fn device(&self) -> &Device {
        self.flamingo.device()
    }

    /// What the package says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The package's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads a photo as the model's encoder wants it.
    ///
    /// # Errors
    /// Names the file that is no picture, or says that the model reads scans.
    pub fn picture(&self, path: &Path) -> Result<Medium> {
        let InputShape::Image { size } = self.manifest.input else {
            let (model, expected) = (self.folder.clone(), self.manifest.input);
            return Err(crate::Error::NoPictures { model, expected });
        };
        let photo = encoder::Photo::open(path)?;
        let values = self.preprocess(size)?.values(&photo);
        Ok(ArrayD::from_shape_vec(vec![3, size, size], values).expect("three planes of the size"))
    }

    /// Refuses a request that could not be answered with `n_new` tokens.
    ///
    /// # Errors
    /// When its `<image>` do not count its media, or it does not fit into the language model.
    pub fn check(&self, request: &Request, n_new: usize) -> Result<()> {
        let (ids, _) = self.writer().prompt(&request.prompt, request.media.len())?;
        let (found, limit) =
            (ids.len().saturating_add(n_new), self.flamingo.lm().shape().n_positions);
        if found > limit {
            return Err(crate::Error::TooLong { found, limit });
        }
        Ok(())
    }

    /// How a photo becomes the encoder's input; OpenAI's way where the package does not say.
    fn preprocess(&self, size: usize) -> Result<ClipPreprocess> {
        let said = self.manifest.preprocessing.get("image").filter(|it| it.is_object());
        let Some(said) = said else { return Ok(ClipPreprocess::openai(size)) };
        serde_json::from_value(said.clone()).map_err(|error| crate::Error::Manifest {
            path: self.folder.join(MANIFEST),
            reason: format!("preprocessing.image: {error}"),
        })
    }

    /// The gated blocks' openings.
    pub fn gates(&self) -> Result<Vec<GateOpening>> {
        let openings = self.flamingo.gate_openings()?.into_iter();
        Ok(openings
            .map(|(block, attention, feed_forward)| GateOpening { block, attention, feed_forward })
            .collect())
    }

    /// One vector for each scan or picture, by which similar ones are found: that of
    /// [`MediaEncoder::embedding`](encoder::MediaEncoder::embedding).
    pub fn embeddings(&self, media: &[Arc<Medium>]) -> Result<Vec<Vec<f32>>> {
        let rows: Vec<&[Arc<Medium>]> = media.iter().map(std::slice::from_ref).collect();
        let Some(input) = self.writer().encoder_input(&rows)? else { return Ok(Vec::new()) };
        let vectors = self.flamingo.encoder().embedding(&input)?;
        Ok(vectors.to_dtype(DType::F32)?.to_vec2()?)
    }

    /// What writes in it.
    pub(crate) fn writer(&self) -> Writer<'_> {
        Writer {
            flamingo: &self.flamingo,
            vocabulary: &self.vocabulary,
            input: self.manifest.input,
            coordinates: self.manifest.coordinates.as_deref(),
        }
    }
}
