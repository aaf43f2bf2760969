//! A checkpoint as OpenFlamingo would write it, whole and damaged.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::Device;
use encoder::ClipConfig;
use lm::{LlamaConfig, LmConfig};
use nn::Precision;
use nn::weights::{Variables, save};

use super::*;
use crate::{GatesConfig, GenerateConfig, Model, Request, ResamplerConfig, inspect, verify};

mod families;
mod kin;
mod names;
mod rounding;

const EMBEDDING: &str = "lang_encoder.model.embed_tokens.weight";

/// A folder with `checkpoint`, `clip` and `lm`, made of random weights.
struct Foreign {
    folder: tempfile::TempDir,
    checkpoint: HashMap<String, Tensor>,
}

fn config() -> FlamingoConfig {
    FlamingoConfig {
        encoder: EncoderConfig::Clip(ClipConfig {
            image_size: 8,
            patch_size: 4,
            width: 8,
            layers: 1,
            head_width: 4,
            mlp_ratio: 2.,
            embed_dim: 6,
            activation: ClipActivation::QuickGelu,
            vision_feature: VisionFeature::PreLnPost,
            weights: None,
            trainable: encoder::Trainable::None,
        }),
        resampler: ResamplerConfig {
            n_latents: 3,
            depth: 2,
            n_heads: 2,
            head_dim: 4,
            ff_mult: 2,
            max_num_media: None,
            max_num_frames: None,
        },
        gates: GatesConfig {
            every: 2,
            n_heads: 2,
            head_dim: 4,
            ff_mult: 2,
            only_attend_immediate_media: true,
        },
        lora: None,
        media: Vec::new(),
        compat: Compat::None,
    }
}

impl Foreign {
    fn new() -> Self {
        Self::around(true)
    }

    /// Around a LLaMA whose head is its embedding, or not.
    fn around(tied: bool) -> Self {
        let llama = |n| LlamaConfig { tie_word_embeddings: tied, ..LlamaConfig::tiny(n) };
        Self::of(|n_ids| LmConfig::Llama(llama(n_ids)))
    }

    /// Around the language model that is made for the tokenizer's ids.
    fn of(make: impl Fn(usize) -> LmConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lm_folder = folder.path().join("lm");
        fs::create_dir(&lm_folder).unwrap();
        let texts = vec!["a photo of a chair".to_owned()];
        let tokenizer = lm::train_bpe(&texts, 262, &lm_folder.join("tokenizer.json")).unwrap();
        let known = tokenizer.vocab_size();
        let (lm_config, base) = (make(known), Variables::default());
        lm_config.build(base.builder(1, DType::F32)).unwrap();
        let json = serde_json::to_string(&lm_config).unwrap();
        fs::write(lm_folder.join("config.json"), json).unwrap();
        save(&lm_folder.join("model.safetensors"), &base.tensors()).unwrap();

        let (adapter, vision) = (Variables::default(), Variables::default());
        let inner = lm::open(&lm_folder, Precision::F32).unwrap().lm;
        let (encoder_vb, adapter_vb) =
            (vision.builder(2, DType::F32), adapter.builder(3, DType::F32));
        let special = known..known + 3;
        let embedding = inner.shape().embedding_name.to_owned();
        let input = InputShape::Image { size: 8 };
        Flamingo::new(&config(), input, inner, special, encoder_vb, adapter_vb).unwrap();

        let mut checkpoint = adapter.tensors();
        let place = format!("lang_encoder.{embedding}");
        let rows = checkpoint.remove(&format!("{place}.special_rows")).unwrap();
        // OpenFlamingo's trainer does not save the rows of an untied head
        checkpoint.remove(&format!("{place}.special_output_rows"));
        let base = base.tensors()[&format!("{embedding}.weight")].narrow(0, 0, known).unwrap();
        let whole = Tensor::cat(&[&base, &rows], 0).unwrap();
        checkpoint.insert(format!("{place}.weight"), whole);
        let visual = vision.tensors().into_iter();
        let visual = visual.map(|(name, tensor)| (format!("visual.{name}"), tensor)).collect();
        save(&folder.path().join("clip"), &visual).unwrap();
        let foreign = Self { folder, checkpoint };
        foreign.store();
        foreign
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn store(&self) {
        save(&self.path("checkpoint"), &self.checkpoint).unwrap();
    }

    fn import(&self) -> Result<Imported> {
        self.import_with(|_| {})
    }

    fn import_with(&self, change: impl FnOnce(&mut Import)) -> Result<Imported> {
        let (checkpoint, lm) = (self.path("checkpoint"), self.path("lm"));
        let vision = self.path("clip");
        let mut wish = Import {
            name: "imported",
            checkpoint: &checkpoint,
            lm: &lm,
            vision: &vision,
            reference_vision: false,
            trained_lm: false,
            head_dim: 4,
            clip_head_dim: Some(4),
            activation: None,
            vision_feature: VisionFeature::PreLnPost,
            licence: "as the checkpoint",
            seed: 0,
        };
        change(&mut wish);
        import(&self.path("package"), &wish)
    }

    /// The digest of the imported adapter.
    fn adapter(&self) -> String {
        digest(&self.path("package/adapter.safetensors")).unwrap()
    }

    /// The sentence that refuses the checkpoint after `damage`; nothing is left behind.
    fn refusal(damage: impl FnOnce(&mut HashMap<String, Tensor>)) -> String {
        let mut foreign = Self::new();
        damage(&mut foreign.checkpoint);
        foreign.store();
        let error = foreign.import().unwrap_err().to_string();
        assert!(!foreign.path("package").exists());
        let left = fs::read_dir(foreign.folder.path()).unwrap().count();
        assert_eq!(left, 3, "checkpoint, clip and lm");
        error
    }
}

#[test]
fn an_imported_model_is_whole_has_the_checkpoints_sizes_and_writes() -> Result<()> {
    let foreign = Foreign::new();
    let imported = foreign.import()?;
    assert_eq!((imported.repeated, imported.left_out), (1, 0));
    assert!(imported.drawn_rows.is_empty() && imported.moved.is_empty());
    let package = foreign.path("package");
    verify(&package)?;
    let info = inspect(&package)?;
    assert_eq!(info.manifest.config, config());
    let Loaded { resampler, gated_blocks, special_rows, moved } = imported.loaded;
    assert_eq!(info.parameters.resampler, resampler.parameters);
    assert_eq!(info.parameters.gated_blocks, gated_blocks.parameters);
    assert_eq!(info.parameters.embedding_moved, special_rows.parameters);
    assert_eq!(moved, Count::default());
    // what OpenFlamingo prints: everything in its checkpoint
    let whole: usize = foreign.checkpoint.values().map(Tensor::elem_count).sum();
    assert_eq!(info.parameters.trainable, whole);
    let frozen = imported.frozen.language_model.parameters + imported.frozen.vision.parameters;
    assert_eq!(
        info.parameters.frozen,
        frozen - (info.parameters.embedding - special_rows.parameters)
    );
    assert_eq!(info.gates.len(), 1);

    let model = Model::open(&package)?;
    let values = nn::seeded::normal(1, "picture", 3 * 64, 0., 1.);
    let values = values.into_iter().map(|value| value as f32).collect();
    let picture = ndarray::ArrayD::from_shape_vec(vec![3, 8, 8], values).unwrap();
    let request =
        Request { prompt: "<image>a".into(), media: vec![Arc::new(picture)], stream: None };
    let written = model.generate(&[request], &GenerateConfig::greedy(4, 1))?;
    assert!(written[0].n_tokens > 0);
    Ok(())
}

#[test]
fn tensors_that_are_missing_unexpected_misshapen_or_no_numbers_are_named() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let gate = "lang_encoder.model.layers.1.gated_cross_attn_layer.ff.3.weight";
    let missing = Foreign::refusal(|all| drop(all.remove(gate)));
    assert!(missing.contains(gate) && missing.contains("missing"), "{missing}");
    let extra = Foreign::refusal(|all| drop(all.insert("perceiver.extra".into(), zeros(&[1]))));
    assert!(extra.contains("perceiver.extra"), "{extra}");
    let stray = Foreign::refusal(|all| drop(all.insert("classifier".into(), zeros(&[1]))));
    assert!(stray.contains("classifier") && stray.contains("no part"), "{stray}");
    let shape = Foreign::refusal(|all| drop(all.insert(gate.into(), zeros(&[2, 2]))));
    assert!(shape.contains(gate) && shape.contains("[2, 2]"), "{shape}");
    let infinite = Tensor::full(f32::NAN, 1, &Device::Cpu).unwrap();
    let name = "lang_encoder.model.layers.1.gated_cross_attn_layer.attn_gate";
    let nan = Foreign::refusal(|all| drop(all.insert(name.into(), infinite)));
    assert!(nan.contains(name) && nan.contains("not finite"), "{nan}");
    let far = Foreign::refusal(|all| {
        let other = (&all[EMBEDDING] / 0.).unwrap();
        all.insert(EMBEDDING.into(), other);
    });
    assert!(far.contains("model.embed_tokens.weight") && far.contains("not finite"), "{far}");
}

#[test]
fn a_checkpoint_around_another_language_model_is_refused() {
    let moved = Foreign::refusal(|all| {
        let other = (&all[EMBEDDING] + 1.).unwrap();
        all.insert(EMBEDDING.into(), other);
    });
    assert!(moved.contains("another language model"), "{moved}");
    let short = Foreign::refusal(|all| {
        let other = all[EMBEDDING].narrow(0, 0, 100).unwrap().contiguous().unwrap();
        all.insert(EMBEDDING.into(), other);
    });
    assert!(short.contains("100 rows"), "{short}");
    // the special tokens are its last rows, so those of a tokenizer of fewer words are words
    let long = Foreign::refusal(|all| {
        let more = all[EMBEDDING].narrow(0, 0, 10).unwrap();
        let other = Tensor::cat(&[&more, &all[EMBEDDING]], 0).unwrap();
        all.insert(EMBEDDING.into(), other);
    });
    assert!(long.contains("275 rows") && long.contains("has 265"), "{long}");
    let wide = Foreign::refusal(|all| {
        let other = Tensor::cat(&[&all[EMBEDDING], &all[EMBEDDING]], 1).unwrap();
        all.insert(EMBEDDING.into(), other);
    });
    assert!(wide.contains("another language model"), "{wide}");
    let blocks = Foreign::refusal(|all| {
        let renamed = all
            .drain()
            .map(|(name, tensor)| (name.replace("model.layers", "gpt_neox.layers"), tensor));
        *all = renamed.collect();
    });
    assert!(blocks.contains("no gated block at `lang_encoder.model.layers`"), "{blocks}");
    let deep = Foreign::refusal(|all| {
        let beyond = all.iter().filter(|(name, _)| name.contains("layers.1."));
        let beyond: Vec<_> = beyond
            .map(|(name, tensor)| (name.replace("layers.1.", "layers.9."), tensor.clone()))
            .collect();
        all.extend(beyond);
    });
    assert!(deep.contains("unexpected") && deep.contains("layers.9."), "{deep}");
}

#[test]
fn rows_that_no_file_holds_are_drawn_once_and_kept() -> Result<()> {
    let mut foreign = Foreign::new();
    foreign.checkpoint.remove(EMBEDDING);
    foreign.store();
    let imported = foreign.import()?;
    assert_eq!(imported.drawn_rows, ["<|endofchunk|>", "<image>", "<PAD>"]);
    let adapter = foreign.path("package").join("adapter.safetensors");
    let first = fs::read(&adapter).unwrap();
    foreign.import()?;
    assert_eq!(fs::read(&adapter).unwrap(), first);
    Ok(())
}

#[test]
fn what_is_no_package_is_never_replaced() {
    let foreign = Foreign::new();
    let package = foreign.path("package");
    fs::create_dir(&package).unwrap();
    foreign.import().unwrap();
    foreign.import().unwrap();
    fs::remove_dir_all(&package).unwrap();
    fs::create_dir(&package).unwrap();
    fs::write(package.join("thesis.txt"), "years of work").unwrap();
    let error = foreign.import().unwrap_err().to_string();
    assert!(error.contains("package: a folder is there and is not a model package"), "{error}");
    assert!(package.join("thesis.txt").is_file());
    fs::remove_dir_all(&package).unwrap();
    fs::write(&package, "a file").unwrap();
    assert!(foreign.import().unwrap_err().to_string().contains("a file is there"));
}
