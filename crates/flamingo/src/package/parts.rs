//! The weights of a package, described and not read yet.

use std::ops::Range;
use std::path::Path;

use candle_core::DType;
use encoder::InputShape;
use lm::{CausalLm, Described, LmConfig};
use nn::weights::{Below, Frozen, Outline};
use nn::{Builder, Device, Precision};

use super::lm_path;
use crate::manifest::{ADAPTER, ENCODER, LANGUAGE};
use crate::{Error, Fault, Flamingo, FlamingoConfig, Manifest, Result, Vocabulary, import};

/// Encoder, adapter and language model of a package.
pub(crate) struct Parts {
    /// The encoder, under our names; of one that began with published weights what moved.
    pub(crate) encoder: Frozen,
    /// Resampler, gated blocks and the special tokens' rows.
    pub(crate) adapter: Frozen,
    /// The language model, with the tensors of its that the adapter's training moved.
    pub(crate) lm: Described,
    /// Names of those, as the adapter's file has them.
    pub(crate) moved: Vec<String>,
}

impl Parts {
    pub(crate) fn open(folder: &Path, manifest: &Manifest) -> Result<Self> {
        let mut lm = Described::open(&lm_path(folder)?)?;
        let file = Frozen::open(&folder.join(ADAPTER))?;
        let own = |name: &str| {
            let ours = lm.config.rename(name.strip_prefix("lang_encoder.")?)?;
            lm.weights.contains(&ours).then_some(ours)
        };
        let names = file.list().into_iter().map(|info| info.name);
        let moved: Vec<String> = names.filter(|name| own(name).is_some()).collect();
        let adapter = file.renamed(|name| own(name).is_none().then(|| name.to_owned()))?;
        if !moved.is_empty() {
            let replacing = file.renamed(own)?;
            let kept =
                lm.weights.renamed(|name| (!replacing.contains(name)).then(|| name.to_owned()))?;
            lm.weights = Frozen::joined(&folder.join(ADAPTER), &[kept, replacing])?;
        }
        let referenced = manifest.parts.iter().find(|it| it.file == ENCODER && it.path.is_some());
        let encoder = match referenced {
            None => Frozen::open(&folder.join(ENCODER))?,
            Some(part) => {
                let path = part.place(folder);
                Frozen::from_tensors(&path, import::visual(&path)?)
            }
        };
        Ok(Self { encoder, adapter, lm, moved })
    }

    /// A builder of the encoder, its matrices kept at `precision`.
    ///
    /// # Errors
    /// Where the published weights that it began with are not the encoder's.
    pub(crate) fn encoder(
        &self,
        config: &FlamingoConfig,
        precision: Precision,
        device: &Device,
    ) -> Result<Builder> {
        let own = self.encoder.kept(precision);
        if config.encoder.weights().is_none() {
            return Ok(own.builder(DType::F32).on(device));
        }
        let base = config.encoder.base(precision)?;
        Ok(Builder::new(config.encoder.tuned(base, own)?, DType::F32).on(device))
    }

    /// The tokenizer with Flamingo's special tokens.
    pub(crate) fn vocabulary(&self) -> Result<Vocabulary> {
        Vocabulary::new(self.lm.tokenizer.clone(), self.lm.config.vocab_size())
    }

    /// The shapes that the model of `manifest` asks for.
    pub(crate) fn outlines(&self, manifest: &Manifest) -> Result<Outlines> {
        let special = self.vocabulary()?.special;
        Outlines::new(&manifest.config, manifest.input, &self.lm.config, special)
    }

    /// Fails with every tensor that is missing, unexpected or of another shape.
    pub(crate) fn check(&self, folder: &Path, outlines: &Outlines) -> Result<()> {
        for (file, outline, found) in [
            (ENCODER, &outlines.encoder, &self.encoder),
            (ADAPTER, &outlines.adapter, &self.adapter),
            ("lm", &outlines.lm, &self.lm.weights),
        ] {
            fits(outline, found, &folder.join(file), Fault::Package)?;
        }
        Ok(())
    }
}

/// Fails with every tensor of `path` that is missing, unexpected or of another shape.
pub(crate) fn fits(wanted: &Outline, found: &Frozen, path: &Path, fault: Fault) -> Result<()> {
    match wanted.compare(&found.list()).sentence() {
        Some(reason) => Err(Error::Import { path: path.to_owned(), reason, fault }),
        None => Ok(()),
    }
}

/// The shapes of a model's tensors.
pub(crate) struct Outlines {
    pub(crate) encoder: Outline,
    /// What stayed of an encoder's published weights; of others nothing.
    pub(crate) base: Outline,
    pub(crate) adapter: Outline,
    pub(crate) lm: Outline,
    /// The language model, to be asked for its names and sizes.
    pub(crate) walked: Box<dyn CausalLm>,
}

impl Outlines {
    /// Those of a model around `lm` whose special tokens have the ids `special`.
    pub(crate) fn new(
        config: &FlamingoConfig,
        input: InputShape,
        lm: &LmConfig,
        special: Range<usize>,
    ) -> Result<Self> {
        let outlines = [(); 3].map(|()| Outline::default());
        let corrections = Below::new(outlines[1].clone(), LANGUAGE);
        if let Some(problem) = config.lora.as_ref().and_then(|it| lm.lora_problem(it).transpose()) {
            return Err(lm::Error::Lora(problem?).into());
        }
        let weights = lm.corrected(outlines[2].clone(), corrections, config.lora.as_ref())?;
        let inner = lm.build(weights)?;
        let (base, ada) = (Outline::default(), outlines[1].builder());
        let enc = if config.encoder.weights().is_none() {
            outlines[0].builder()
        } else {
            let tuned = config.encoder.tuned(base.clone(), outlines[0].clone())?;
            Builder::new(tuned, DType::F32)
        };
        Flamingo::new(config, input, inner, special, enc, ada)?;
        let walked = lm.build(Outline::default().builder())?;
        let [encoder, adapter, lm] = outlines;
        Ok(Self { encoder, base, adapter, lm, walked })
    }
}
