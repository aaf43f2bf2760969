//! A package on disk: a folder that is whole or refuses to load.
//!
//! ```text
//! model.yaml            manifest: architecture, preprocessing, digest of every part
//! adapter.safetensors   resampler, gated blocks, special-token rows; OpenFlamingo's names
//! encoder.safetensors   the brain encoder
//! lm/                   a Hugging Face folder
//! README.md             model card
//! ```

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use encoder::InputShape;
use nn::weights::{Frozen, TensorInfo, list_tensors, save};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::manifest::{ADAPTER, ENCODER, FORMAT, LM, MANIFEST};
use crate::{Error, FlamingoConfig, GateOpening, Manifest, Model, Part, Result};

/// The files of a language model's folder that a package keeps.
pub const LM_FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

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
    /// Encoder tensors by name.
    pub encoder: &'a HashMap<String, Tensor>,
    /// Adapter tensors by name.
    pub adapter: &'a HashMap<String, Tensor>,
    /// Folder of the frozen language model; its files are copied.
    pub lm: &'a Path,
    /// How a scan becomes a window.
    pub preprocessing: serde_json::Value,
    /// Data and settings of the training.
    pub trained_on: serde_json::Value,
    /// Further files.
    pub files: &'a [(String, Vec<u8>)],
    /// Licence of the trained parts.
    pub licence: &'a str,
}

/// Writes a package beside its final place and renames it there, so that `folder` is whole or
/// absent.
pub fn write(folder: &Path, package: &NewPackage) -> Result<()> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(io(parent))?;
    let staged =
        tempfile::Builder::new().prefix(".package-").tempdir_in(parent).map_err(io(parent))?;
    fill(staged.path(), package)?;
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(io(folder))?;
    }
    let staged = staged.keep();
    fs::rename(&staged, folder).map_err(io(folder))?;
    sync(parent)
}

fn fill(folder: &Path, package: &NewPackage) -> Result<()> {
    let mut parts = Vec::new();
    for (name, tensors) in [(ADAPTER, package.adapter), (ENCODER, package.encoder)] {
        save(&folder.join(name), tensors)?;
        parts.push(part(folder, name, package.licence)?);
    }
    let lm = folder.join(LM);
    fs::create_dir(&lm).map_err(io(&lm))?;
    for name in LM_FILES {
        let from = package.lm.join(name);
        fs::copy(&from, lm.join(name)).map_err(io(&from))?;
        parts.push(part(folder, &format!("{LM}/{name}"), "the language model's own")?);
    }
    let card = card(package);
    let card = [("README.md".to_owned(), card.into_bytes())];
    for (name, bytes) in package.files.iter().chain(&card) {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(io(&path))?;
        parts.push(part(folder, name, package.licence)?);
    }
    let manifest = Manifest {
        format: FORMAT,
        name: package.name.to_owned(),
        created_by: concat!("neuroflamingo ", env!("CARGO_PKG_VERSION")).to_owned(),
        seed: package.seed,
        input: package.input,
        config: package.config.clone(),
        parts,
        preprocessing: package.preprocessing.clone(),
        trained_on: package.trained_on.clone(),
    };
    manifest.write(folder)?;
    for part in &manifest.parts {
        sync(&folder.join(&part.file))?;
    }
    sync(&folder.join(MANIFEST))
}

fn card(package: &NewPackage) -> String {
    let trained = package.adapter.values().chain(package.encoder.values());
    format!(
        "# {}\n\nA brain encoder, a perceiver resampler and gated cross-attention around a frozen \
         language model, {} trained parameters, seed {}.\n\n**Research output, not for diagnosis; \
         not a medical device.**\n\nTrained on:\n\n```json\n{:#}\n```\n\nLicence of the trained \
         parts: {}. `model.yaml` holds the architecture, the preprocessing and the digest of every \
         part.\n",
        package.name,
        trained.map(Tensor::elem_count).sum::<usize>(),
        package.seed,
        package.trained_on,
        package.licence,
    )
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path: PathBuf = path.to_owned();
    move |source| Error::Io { path, source }
}

fn sync(path: &Path) -> Result<()> {
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(io(path))
}

fn part(folder: &Path, name: &str, licence: &str) -> Result<Part> {
    let path = folder.join(name);
    let bytes = fs::read(&path).map_err(io(&path))?;
    Ok(Part {
        file: name.to_owned(),
        bytes: bytes.len() as u64,
        sha256: hex(&Sha256::digest(&bytes)),
        licence: licence.to_owned(),
    })
}

fn hex(bytes: &[u8]) -> String {
    let digits = b"0123456789abcdef";
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.map(|nibble| digits[nibble as usize] as char).collect()
}

/// Fails on the first part that is missing or not the one in the manifest.
pub(crate) fn check_parts(folder: &Path, manifest: &Manifest) -> Result<()> {
    for expected in &manifest.parts {
        let found = part(folder, &expected.file, &expected.licence)?;
        if found != *expected {
            let describe = |part: &Part| {
                format!(
                    "{} bytes with sha256 {}…",
                    part.bytes,
                    &part.sha256[..16.min(part.sha256.len())]
                )
            };
            return Err(Error::Part {
                path: folder.join(&expected.file),
                found: describe(&found),
                expected: describe(expected),
            });
        }
    }
    Ok(())
}

/// How many tensors and parameters one file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorCount {
    /// Path inside the package.
    pub file: String,
    /// Whether the training moved it.
    pub trained: bool,
    /// Parameters in all tensors.
    pub n_parameters: usize,
    /// Every tensor.
    pub tensors: Vec<TensorInfo>,
}

/// What is inside a package.
#[derive(Clone, Debug, Serialize)]
pub struct PackageInfo {
    /// The manifest.
    pub manifest: Manifest,
    /// Weight files.
    pub weights: Vec<TensorCount>,
    /// Parameters that the training moved.
    pub n_trained: usize,
    /// Parameters that it left alone.
    pub n_frozen: usize,
    /// The gated blocks' openings.
    pub gates: Vec<GateOpening>,
}

/// Opens a package and lists its parts, tensors and gates.
pub fn inspect(folder: &Path) -> Result<PackageInfo> {
    let model = Model::open(folder)?;
    let lm_weights = format!("{LM}/model.safetensors");
    let mut weights = Vec::new();
    for (file, trained) in [(ADAPTER, true), (ENCODER, true), (lm_weights.as_str(), false)] {
        let tensors = list_tensors(&folder.join(file))?;
        let n_parameters = tensors.iter().map(|t| t.shape.iter().product::<usize>()).sum();
        weights.push(TensorCount { file: file.to_owned(), trained, n_parameters, tensors });
    }
    let count = |trained| {
        weights.iter().filter(|w| w.trained == trained).map(|w| w.n_parameters).sum::<usize>()
    };
    Ok(PackageInfo {
        n_trained: count(true),
        n_frozen: count(false),
        gates: model.gates()?,
        manifest: model.manifest().clone(),
        weights,
    })
}

/// Checks digests, shapes, and that every weight is a finite number.
pub fn verify(folder: &Path) -> Result<()> {
    Model::open(folder)?;
    for file in [ADAPTER.to_owned(), ENCODER.to_owned(), format!("{LM}/model.safetensors")] {
        let path = folder.join(file);
        let weights = Frozen::open(&path)?;
        let mut tensors: Vec<_> = weights.tensors()?.into_iter().collect();
        tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (name, tensor) in tensors {
            // a sum is finite only when every term is
            let sum = tensor.to_dtype(DType::F64)?.abs()?.sum_all()?.to_scalar::<f64>()?;
            if !sum.is_finite() {
                return Err(Error::NotFinite { path, name });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::flamingo::tests::config;
    use crate::{Flamingo, GenerateConfig, Request, Scored, Vocabulary};
    use lm::{Llama, LlamaConfig};
    use nn::weights::Variables;
    use std::sync::Arc;

    const INPUT: InputShape = InputShape::Window { n_frames: 4, n_voxels: 5 };

    /// A package with random weights and open gates.
    pub(crate) fn package() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("source");
        fs::create_dir(&source).unwrap();
        let tokenizer =
            lm::train_bpe(&["viewing faces".into()], 260, &source.join("tokenizer.json")).unwrap();
        let config_lm = LlamaConfig::tiny(tokenizer.vocab_size());
        let (frozen, adapter, encoder) =
            (Variables::default(), Variables::default(), Variables::default());
        Llama::new(&config_lm, frozen.builder(1, DType::F32)).unwrap();
        lm::write(&source, &config_lm, &frozen, DType::F32).unwrap();
        let opened = lm::open(&source, DType::F32).unwrap();
        let vocabulary = Vocabulary::new(opened.tokenizer, opened.lm.vocab_size()).unwrap();
        let n_special = vocabulary.n_special;
        let (enc, ada) = (encoder.builder(4, DType::F32), adapter.builder(4, DType::F32));
        Flamingo::new(&config(), INPUT, opened.lm, n_special, enc, ada).unwrap();
        for (_, var) in adapter.all().iter().filter(|(name, _)| name.ends_with("_gate")) {
            var.set(&Tensor::full(2f32, 1, var.device()).unwrap()).unwrap();
        }
        let new = NewPackage {
            name: "test",
            seed: 4,
            input: INPUT,
            config: &config(),
            encoder: &encoder.tensors(),
            adapter: &adapter.tensors(),
            lm: &source,
            preprocessing: serde_json::json!({"clean": {"detrend": "linear"}}),
            trained_on: serde_json::json!({}),
            files: &[],
            licence: "Apache-2.0",
        };
        write(&root.path().join("model"), &new).unwrap();
        root
    }

    pub(crate) fn medium(seed: u64) -> Arc<crate::Medium> {
        let values = nn::seeded::normal(seed, "window", 20, 0., 1.);
        let values = values.into_iter().map(|v| v as f32).collect();
        Arc::new(ndarray::ArrayD::from_shape_vec(vec![4, 5], values).unwrap())
    }

    pub(crate) fn request(prompt: &str, seeds: &[u64]) -> Request {
        let media = seeds.iter().map(|&seed| medium(seed)).collect();
        Request { prompt: prompt.into(), media, stream: None }
    }

    #[test]
    fn a_batch_of_texts_equals_its_singles() -> Result<()> {
        let root = package();
        let model = Model::open(&root.path().join("model"))?;
        let config = |batch_size| GenerateConfig::greedy(12, batch_size);
        let requests = [
            request("<image>viewing", &[1]),
            request("<image>viewing faces viewing", &[2]),
            request("faces", &[]),
            request("<image>a<image>", &[3, 4]),
        ];
        let together = model.generate(&requests, &config(4))?;
        assert_eq!(together, model.generate(&requests, &config(1))?);
        let scored: Vec<_> = requests
            .iter()
            .map(|r| Scored {
                prompt: r.prompt.clone(),
                continuation: " viewing faces".into(),
                media: r.media.clone(),
            })
            .collect();
        for (a, b) in
            model.log_likelihood(&scored, 4)?.iter().zip(model.log_likelihood(&scored, 1)?)
        {
            assert!((a.sum - b.sum).abs() < 1e-5 * b.sum.abs() && a.n_tokens == b.n_tokens);
        }
        Ok(())
    }

    #[test]
    fn likelihood_depends_on_the_scan_and_neighbours_do_not_matter() -> Result<()> {
        let root = package();
        let model = Model::open(&root.path().join("model"))?;
        let item = |seed| Scored {
            prompt: "<image>viewing".into(),
            continuation: " faces".into(),
            media: vec![medium(seed)],
        };
        let alone = model.log_likelihood(&[item(1)], 8)?[0];
        let beside = model.log_likelihood(&[item(1), item(2)], 8)?;
        assert!((alone.sum - beside[0].sum).abs() < 1e-5);
        assert!((beside[0].sum - beside[1].sum).abs() > 1e-4);
        Ok(())
    }

    #[test]
    fn a_changed_or_missing_part_is_refused_by_name() {
        let root = package();
        let folder = root.path().join("model");
        verify(&folder).unwrap();
        let info = inspect(&folder).unwrap();
        assert_eq!(info.gates.len(), 2);
        assert!((info.gates[0].attention - 2f64.tanh()).abs() < 1e-6);
        let adapter = folder.join(ADAPTER);
        let mut bytes = fs::read(&adapter).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&adapter, bytes).unwrap();
        let error = Model::open(&folder).err().unwrap().to_string();
        assert!(error.contains(ADAPTER) && error.contains("made with"), "{error}");
        fs::remove_file(adapter).unwrap();
        assert!(matches!(Model::open(&folder), Err(Error::Io { .. })));
    }

    #[test]
    fn bad_requests_are_sentences() {
        let root = package();
        let model = Model::open(&root.path().join("model")).unwrap();
        let config = GenerateConfig::greedy(12, 2);
        let error = |request| model.generate(&[request], &config).unwrap_err().to_string();
        assert!(error(request("<image><image>", &[1])).contains("2 `<image>` for 1 scans"));
        assert!(error(request("a", &[1])).contains("0 `<image>` for 1 scans"));
        assert!(error(request(&"word ".repeat(30), &[])).contains("at most 64"));
        let mut wrong = request("<image>", &[1]);
        wrong.media = vec![Arc::new(ndarray::ArrayD::zeros(vec![4, 6]))];
        assert!(error(wrong).contains("[4, 6]"));
    }
}
