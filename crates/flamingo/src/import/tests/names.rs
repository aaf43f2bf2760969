//! Files whose names differ from those that the classes would write, and hints that name their cause.

use super::kin::likelihoods;
use super::*;
use crate::Fault;

const HEAD: &str = "lang_encoder.lm_head.weight";
const PREFIXES: [&str; 4] = ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."];

fn prefixed(tensors: &HashMap<String, Tensor>, prefix: &str) -> HashMap<String, Tensor> {
    tensors.iter().map(|(name, it)| (format!("{prefix}{name}"), it.clone())).collect()
}

/// The tensors of one of the files.
fn read(foreign: &Foreign, name: &str) -> HashMap<String, Tensor> {
    Frozen::open(&foreign.path(name)).unwrap().tensors().unwrap()
}

#[test]
fn wrappers_around_any_of_the_models_change_nothing() -> Result<()> {
    let foreign = Foreign::new();
    let plain = foreign.import()?;
    let (adapter, clip) = (foreign.adapter(), read(&foreign, "clip"));
    let lm = read(&foreign, "lm/model.safetensors");
    for prefix in PREFIXES {
        save(&foreign.path("checkpoint"), &prefixed(&foreign.checkpoint, prefix))?;
        save(&foreign.path("clip"), &prefixed(&clip, prefix))?;
        save(&foreign.path("lm/model.safetensors"), &prefixed(&lm, prefix))?;
        assert_eq!(foreign.import()?, plain, "{prefix}");
        assert_eq!(foreign.adapter(), adapter, "{prefix}");
        verify(&foreign.path("package"))?;
    }
    Ok(())
}

#[test]
fn a_checkpoint_may_call_the_embedding_of_a_tied_model_its_head() -> Result<()> {
    let mut foreign = Foreign::new();
    foreign.import()?;
    let adapter = foreign.adapter();
    let whole = foreign.checkpoint.remove(EMBEDDING).unwrap();
    foreign.checkpoint.insert(HEAD.into(), whole.clone());
    foreign.store();
    assert!(foreign.import()?.drawn_rows.is_empty());
    assert_eq!(foreign.adapter(), adapter);
    let differs = Foreign::refusal(|all| drop(all.insert(HEAD.into(), (whole + 1.).unwrap())));
    assert!(differs.contains(HEAD) && differs.contains("and differ"), "{differs}");
    Ok(())
}

#[test]
fn a_language_model_may_call_its_embedding_its_head() -> Result<()> {
    let foreign = Foreign::new();
    foreign.import()?;
    let (adapter, expected) = (foreign.adapter(), likelihoods(&foreign.path("package")));
    let mut lm = read(&foreign, "lm/model.safetensors");
    let matrix = lm.remove("model.embed_tokens.weight").unwrap();
    lm.insert("lm_head.weight".into(), matrix);
    save(&foreign.path("lm/model.safetensors"), &lm)?;
    foreign.import()?;
    assert_eq!(foreign.adapter(), adapter);
    assert_eq!(likelihoods(&foreign.path("package")), expected);
    verify(&foreign.path("package"))
}

#[test]
fn a_second_head_of_a_tied_language_model_is_used_and_said() -> Result<()> {
    let foreign = Foreign::around(false);
    foreign.import()?;
    let expected = likelihoods(&foreign.path("package"));
    let path = foreign.path("lm/config.json");
    let config = fs::read_to_string(&path).unwrap();
    let tied = config.replace("\"tie_word_embeddings\":false", "\"tie_word_embeddings\":true");
    assert_ne!(tied, config);
    fs::write(&path, tied).unwrap();
    let imported = foreign.import()?;
    assert!(imported.notes[0].contains("the file's head is used"), "{:?}", imported.notes);
    assert_eq!(likelihoods(&foreign.path("package")), expected);
    verify(&foreign.path("package"))
}

/// A tower under the names of transformers' vision model, of version 5.
fn alone(clip: &HashMap<String, Tensor>) -> HashMap<String, Tensor> {
    let mut theirs = HashMap::new();
    for (name, tensor) in clip {
        let name = name.strip_prefix("visual.").unwrap();
        if let Some(end) = name.strip_prefix("transformer.resblocks.0.attn.in_proj_") {
            for (letter, third) in ["q", "k", "v"].iter().zip(tensor.chunk(3, 0).unwrap()) {
                theirs.insert(format!("encoder.layers.0.self_attn.{letter}_proj.{end}"), third);
            }
            continue;
        }
        let mut renamed = name.to_owned();
        for (ours, their) in [
            ("transformer.resblocks", "encoder.layers"),
            ("attn.out_proj", "self_attn.out_proj"),
            ("ln_1", "layer_norm1"),
            ("ln_2", "layer_norm2"),
            ("c_fc", "fc1"),
            ("c_proj", "fc2"),
            ("ln_pre", "pre_layrnorm"),
            ("ln_post", "post_layernorm"),
            ("class_embedding", "embeddings.class_embedding"),
            ("positional_embedding", "embeddings.position_embedding.weight"),
            ("conv1", "embeddings.patch_embedding"),
        ] {
            renamed = renamed.replace(ours, their);
        }
        if name != "proj" {
            theirs.insert(renamed, tensor.contiguous().unwrap());
        }
    }
    theirs
}

#[test]
fn a_vision_model_alone_has_no_projection_and_needs_none() -> Result<()> {
    let foreign = Foreign::new();
    let clip = read(&foreign, "clip");
    let alone = alone(&clip);
    for tensors in [alone.clone(), prefixed(&alone, "vision_model.")] {
        save(&foreign.path("clip"), &tensors)?;
        foreign.import()?;
        verify(&foreign.path("package"))?;
        let info = inspect(&foreign.path("package"))?;
        let EncoderConfig::Clip(config) = info.manifest.config.encoder else { panic!("no CLIP") };
        assert_eq!((config.embed_dim, config.width), (0, 8));
    }
    // of a whole CLIP the projection is still asked for
    let mut torn = prefixed(&alone, "vision_model.");
    let text = Tensor::zeros(1, DType::F32, &Device::Cpu)?;
    torn.insert("text_model.final_layer_norm.weight".into(), text);
    save(&foreign.path("clip"), &torn)?;
    assert!(foreign.import().unwrap_err().to_string().contains("1 tensor is missing: `proj`"));
    let mut torn = clip;
    torn.remove("visual.proj");
    save(&foreign.path("clip"), &torn)?;
    assert!(foreign.import().unwrap_err().to_string().contains("1 tensor is missing: `proj`"));
    Ok(())
}

#[test]
fn a_hint_names_the_file_that_is_at_fault() {
    let cure = |error: &Error| error.cure().unwrap_or_default().to_owned();
    let fault = |error: &Error| match error {
        Error::Import { fault, .. } => Some(*fault),
        _ => None,
    };
    let foreign = Foreign::new();
    let path = foreign.path("lm/config.json");
    let config = fs::read_to_string(&path).unwrap();
    for (from, to) in [
        ("\"num_hidden_layers\":2", "\"num_hidden_layers\":3"),
        ("\"intermediate_size\":24", "\"intermediate_size\":25"),
        ("\"attention_bias\":false", "\"attention_bias\":true"),
        ("\"tie_word_embeddings\":true", "\"tie_word_embeddings\":false"),
    ] {
        let edited = config.replace(from, to);
        assert_ne!(edited, config, "{from}");
        fs::write(&path, edited).unwrap();
        let error = foreign.import().unwrap_err();
        assert_eq!(fault(&error), Some(Fault::LanguageModel), "{error}");
        assert!(error.to_string().contains("config.json says what is expected"), "{error}");
        assert!(cure(&error).contains("correct config.json"), "{error}");
        assert!(!cure(&error).contains("checkpoint"), "{error}");
    }
    fs::write(&path, &config).unwrap();
    fs::write(foreign.path("config.json"), r#"{"vision_config": {"hidden_act": "silu"}}"#).unwrap();
    let error = foreign.import().unwrap_err();
    assert_eq!(fault(&error), Some(Fault::VisionConfig), "{error}");
    assert!(cure(&error).contains("--exact-gelu"));
    fs::remove_file(foreign.path("config.json")).unwrap();
    fs::remove_file(foreign.path("lm/tokenizer.json")).unwrap();
    fs::write(foreign.path("lm/tokenizer.model"), "x").unwrap();
    let error = foreign.import().unwrap_err();
    assert!(error.to_string().contains("tokenizer.model, a SentencePiece model"), "{error}");
    assert!(cure(&error).contains("save_pretrained"));
}
