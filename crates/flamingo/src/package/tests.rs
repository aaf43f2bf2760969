//! Packages that are whole, damaged, or asked for the wrong thing.

use super::parts::Outlines;
use super::*;
use crate::flamingo::tests::config;
use crate::{Flamingo, GenerateConfig, Model, Request, Scored, Vocabulary};
use lm::{Llama, LlamaConfig};
use nn::Precision;
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
    let opened = lm::open(&source, Precision::F32).unwrap();
    let vocabulary = Vocabulary::new(opened.tokenizer, opened.lm.shape().vocab_size).unwrap();
    let special = vocabulary.special.clone();
    let (enc, ada) = (encoder.builder(4, DType::F32), adapter.builder(4, DType::F32));
    Flamingo::new(&config(), INPUT, opened.lm, special, enc, ada).unwrap();
    for (_, var) in adapter.all().iter().filter(|(name, _)| name.ends_with("_gate")) {
        var.set(&Tensor::full(2f32, 1, var.device()).unwrap()).unwrap();
    }
    let new = NewPackage {
        name: "test",
        seed: 4,
        input: INPUT,
        config: &config(),
        encoder: &encoder.tensors(),
        frozen_encoder: None,
        coordinates: None,
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
    for (a, b) in model.log_likelihood(&scored, 4)?.iter().zip(model.log_likelihood(&scored, 1)?) {
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
fn a_file_without_a_digest_is_no_part_of_a_whole_package() {
    let root = package();
    let folder = root.path().join("model");
    let manifest = folder.join("model.yaml");
    let text = fs::read_to_string(&manifest).unwrap();
    // another file's digest in place of its own, which is read all the same
    fs::copy(folder.join("lm/model.safetensors"), root.path().join("copy")).unwrap();
    let renamed = text.replace("file: lm/model.safetensors", "file: ../copy");
    assert_ne!(text, renamed);
    fs::write(&manifest, renamed).unwrap();
    let error = verify(&folder).unwrap_err().to_string();
    assert!(error.contains("it names no digest of lm/model.safetensors"), "{error}");
}

#[test]
fn a_file_in_place_of_a_package_is_named_beside_what_belongs_there() {
    let root = package();
    let file = root.path().join("model/model.yaml");
    let sentence = format!(
        "{}: it is a file, expected a package: a folder with model.yaml in it",
        file.display()
    );
    assert_eq!(Model::open(&file).err().unwrap().to_string(), sentence);
    assert_eq!(verify(&file).unwrap_err().to_string(), sentence);
    assert_eq!(crate::EncoderManifest::read(&file).unwrap_err().to_string(), sentence);
    // a folder without one is no file
    assert!(matches!(Model::open(root.path()), Err(Error::Io { .. })));
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
    let picture = model.picture(Path::new("a.png")).unwrap_err().to_string();
    assert!(picture.contains("a window of 4 frames and 5 voxels, no pictures"), "{picture}");
}

/// ViT-L/14 and 64 latents before every `every`-th block of `lm`, whose ids end with three special
/// ones: as OpenFlamingo's released models.
fn released(lm: serde_json::Value, every: usize, n_ids: usize) -> Parameters {
    let clip = serde_json::json!({
        "image_size": 224, "patch_size": 14, "width": 1024, "layers": 24, "head_width": 64,
        "mlp_ratio": 4.0, "embed_dim": 768,
    });
    let config = crate::FlamingoConfig {
        encoder: encoder::EncoderConfig::Clip(serde_json::from_value(clip).unwrap()),
        resampler: crate::ResamplerConfig {
            n_latents: 64,
            depth: 6,
            n_heads: 8,
            head_dim: 64,
            ff_mult: 4,
            max_num_media: None,
            max_num_frames: None,
        },
        gates: crate::GatesConfig {
            every,
            n_heads: 8,
            head_dim: 64,
            ff_mult: 4,
            only_attend_immediate_media: true,
        },
        lora: None,
        media: Vec::new(),
        compat: crate::Compat::None,
    };
    let lm: lm::LmConfig = serde_json::from_value(lm).unwrap();
    let input = InputShape::Image { size: 224 };
    let outlines = Outlines::new(&config, input, &lm, n_ids - 3..n_ids).unwrap();
    assert_eq!(outlines.encoder.n_parameters(), 303_966_208);
    Parameters::of(&outlines, true, n_ids, false)
}

#[test]
fn released_models_have_the_parameters_that_openflamingo_prints() {
    let mpt_1b = serde_json::json!({
        "model_type": "mosaic_gpt", "d_model": 2048, "n_heads": 16, "n_layers": 24,
        "max_seq_len": 2048, "vocab_size": 50432, "attn_qk_ln": true, "alibi": true,
        "no_bias": true,
    });
    let three = released(mpt_1b, 1, 50280);
    assert_eq!(three.trainable, 1_046_992_944);
    assert_eq!(three.resampler, 63_019_008);
    assert_eq!(three.gated_blocks, 24 * 36_708_354);
    assert_eq!(three.embedding_moved, 3 * 2048);
    // per block: 4 + 8 squares of the width, two norms, and those of queries and keys
    let blocks = 24 * (12 * 2048 * 2048 + 4 * 2048) + 2048;
    assert_eq!(three.frozen, 303_966_208 + blocks);

    let red_pajama_3b = serde_json::json!({
        "model_type": "gpt_neox", "hidden_size": 2560, "intermediate_size": 10240,
        "vocab_size": 50432, "num_hidden_layers": 32, "num_attention_heads": 32,
        "max_position_embeddings": 2048, "use_parallel_residual": false, "rotary_pct": 1.0,
    });
    assert_eq!(released(red_pajama_3b, 2, 50280).trainable, 1_089_480_736);

    let mpt_7b = serde_json::json!({
        "model_type": "mpt", "d_model": 4096, "n_heads": 32, "n_layers": 32, "max_seq_len": 2048,
        "vocab_size": 50432, "attn_config": { "alibi": true },
    });
    assert_eq!(released(mpt_7b, 4, 50280).trainable, 1_384_781_840);

    let llama_7b = serde_json::json!({
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008,
        "vocab_size": 32000, "num_hidden_layers": 32, "num_attention_heads": 32,
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-6,
    });
    assert_eq!(released(llama_7b, 4, 32003).trainable, 1_309_919_248);
}
