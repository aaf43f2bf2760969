//! A checkpoint as OpenFlamingo would write it, whole and damaged.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::Device;
use lm::{Llama, LlamaConfig};
use nn::Precision;
use nn::weights::{Variables, save};

use super::*;
use crate::{GenerateConfig, Model, Request, inspect, verify};

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
        compat: Compat::None,
    }
}

impl Foreign {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lm_folder = folder.path().join("lm");
        fs::create_dir(&lm_folder).unwrap();
        let texts = vec!["a photo of a chair".to_owned()];
        let tokenizer = lm::train_bpe(&texts, 262, &lm_folder.join("tokenizer.json")).unwrap();
        let known = tokenizer.vocab_size();
        let llama = LlamaConfig::tiny(known);
        let base = Variables::default();
        Llama::new(&llama, base.builder(1, DType::F32)).unwrap();
        lm::write(&lm_folder, &llama, &base, DType::F32).unwrap();

        let (adapter, vision) = (Variables::default(), Variables::default());
        let inner = lm::open(&lm_folder, Precision::F32).unwrap().lm;
        let (encoder_vb, adapter_vb) =
            (vision.builder(2, DType::F32), adapter.builder(3, DType::F32));
        let special = known..known + 3;
        let input = InputShape::Image { size: 8 };
        Flamingo::new(&config(), input, inner, special, encoder_vb, adapter_vb).unwrap();

        let mut checkpoint = adapter.tensors();
        let place = "lang_encoder.model.embed_tokens";
        let rows = checkpoint.remove(&format!("{place}.special_rows")).unwrap();
        let whole = Tensor::cat(&[&base.tensors()["model.embed_tokens.weight"], &rows], 0).unwrap();
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
        import(
            &self.path("package"),
            &Import {
                name: "imported",
                checkpoint: &self.path("checkpoint"),
                lm: &self.path("lm"),
                vision: &self.path("clip"),
                head_dim: 4,
                clip_head_dim: 4,
                activation: ClipActivation::QuickGelu,
                seed: 0,
            },
        )
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
    assert_eq!((imported.n_repeated, imported.n_buffers), (1, 0));
    assert!(imported.drawn_rows.is_empty());
    let package = foreign.path("package");
    verify(&package)?;
    let info = inspect(&package)?;
    assert_eq!(info.manifest.config, config());
    assert_eq!(info.n_trained, imported.n_adapter);
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
}

#[test]
fn a_checkpoint_around_another_language_model_is_refused() {
    let embedding = "lang_encoder.model.embed_tokens.weight";
    let moved = Foreign::refusal(|all| {
        let other = (&all[embedding] + 1.).unwrap();
        all.insert(embedding.into(), other);
    });
    assert!(moved.contains("another language model"), "{moved}");
    let short = Foreign::refusal(|all| {
        let other = all[embedding].narrow(0, 0, 100).unwrap().contiguous().unwrap();
        all.insert(embedding.into(), other);
    });
    assert!(short.contains("100 rows"), "{short}");
}

#[test]
fn rows_that_no_file_holds_are_drawn_once_and_kept() -> Result<()> {
    let mut foreign = Foreign::new();
    foreign.checkpoint.remove("lang_encoder.model.embed_tokens.weight");
    foreign.store();
    let imported = foreign.import()?;
    assert_eq!(imported.drawn_rows, ["<|endofchunk|>", "<image>", "<PAD>"]);
    let adapter = foreign.path("package").join("adapter.safetensors");
    let first = fs::read(&adapter).unwrap();
    foreign.import()?;
    assert_eq!(fs::read(&adapter).unwrap(), first);
    Ok(())
}
