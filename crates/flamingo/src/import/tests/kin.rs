//! Other spellings of a checkpoint, and checkpoints that trained more than OpenFlamingo's do.

use super::*;
use crate::Scored;

/// What the imported model thinks of some texts.
pub(super) fn likelihoods(package: &Path) -> Vec<f64> {
    let model = Model::open(package).unwrap();
    let item = |prompt: &str, continuation: &str| Scored {
        prompt: prompt.into(),
        continuation: continuation.into(),
        media: Vec::new(),
    };
    let items = [item("a photo of", " a chair"), item("a", " photo of<|endofchunk|>")];
    model.log_likelihood(&items, 1).unwrap().into_iter().map(|it| it.sum).collect()
}

/// The embedding with noise of a third of its size on every row.
pub(super) fn noisy(matrix: &Tensor) -> Tensor {
    let values = nn::seeded::normal(9, "noise", matrix.elem_count(), 0., 1.);
    let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
    let noise = Tensor::from_vec(values, matrix.shape(), &Device::Cpu).unwrap();
    let scale =
        |t: &Tensor| t.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
    let factor = f64::from(scale(matrix) / scale(&noise) / 3.);
    (matrix + (noise * factor).unwrap()).unwrap()
}

#[test]
fn an_embedding_that_training_moved_whole_is_kept_and_used_for_the_output_too() -> Result<()> {
    let mut foreign = Foreign::new();
    foreign.import()?;
    let before = likelihoods(&foreign.path("package"));
    let whole = noisy(&foreign.checkpoint[EMBEDDING]);
    foreign.checkpoint.insert(EMBEDDING.into(), whole.clone());
    foreign.store();
    let imported = foreign.import()?;
    assert_eq!(imported.moved, [EMBEDDING]);
    assert_eq!(imported.repeated, 0);
    let package = foreign.path("package");
    verify(&package)?;
    let parameters = inspect(&package)?.parameters;
    assert_eq!(parameters.embedding, whole.elem_count());
    assert_eq!(parameters.embedding_moved, whole.elem_count());
    let found = likelihoods(&package);

    // the same numbers where the language model's own file has those rows
    let weights = foreign.path("lm/model.safetensors");
    let mut own = Frozen::open(&weights)?.tensors()?;
    let n_rows = own["model.embed_tokens.weight"].dim(0)?;
    own.insert("model.embed_tokens.weight".into(), whole.narrow(0, 0, n_rows)?.contiguous()?);
    save(&weights, &own)?;
    assert!(foreign.import()?.moved.is_empty());
    assert_eq!(likelihoods(&package), found);
    assert_ne!(before, found);
    Ok(())
}

#[test]
fn a_far_embedding_is_taken_when_it_is_said_to_be_trained() -> Result<()> {
    let mut foreign = Foreign::new();
    let other = (&foreign.checkpoint[EMBEDDING] + 1.)?;
    foreign.checkpoint.insert(EMBEDDING.into(), other);
    foreign.store();
    let refused = foreign.import().unwrap_err().to_string();
    assert!(refused.contains("--trained-lm"), "{refused}");
    let imported = foreign.import_with(|wish| wish.trained_lm = true)?;
    assert_eq!(imported.moved, [EMBEDDING]);
    Ok(())
}

/// The names that another checkpoint has for a tensor.
type Spell = fn(&str) -> Vec<String>;

#[test]
fn every_spelling_gives_the_same_package() -> Result<()> {
    let plain = Foreign::new();
    plain.import()?;
    let expected = plain.adapter();
    let spellings: [(&str, Spell); 5] = [
        ("trained in parallel", |name| vec![format!("module.{name}")]),
        ("as the trainer wraps it", |name| vec![format!("model_state_dict.{name}")]),
        ("version 1, both lists", |name| {
            let listed =
                name.replace("model.layers.1.gated_cross_attn_layer", "gated_cross_attn_layers.1");
            if listed == name { vec![listed] } else { vec![name.to_owned(), listed] }
        }),
        ("version 1, in parallel", |name| {
            vec![format!(
                "module.{}",
                name.replace("model.layers.1.gated_cross_attn_layer", "gated_cross_attn_layers.1")
            )]
        }),
        ("Otter", |name| {
            let gated =
                name.replace("gated_cross_attn_layer.ff.", "gated_cross_attn_layer.feed_forward.");
            let mut parts: Vec<&str> = gated.split('.').collect();
            if parts[..2] == ["perceiver", "layers"] {
                match parts[3] {
                    "0" => drop(parts.remove(3)),
                    _ => parts[3] = "feed_forward",
                }
            }
            vec![parts.join(".")]
        }),
    ];
    for (what, spell) in spellings {
        let mut foreign = Foreign::new();
        let respelt = foreign.checkpoint.iter();
        let respelt = respelt
            .flat_map(|(name, tensor)| spell(name).into_iter().map(|name| (name, tensor.clone())));
        foreign.checkpoint = respelt.collect();
        foreign.store();
        foreign.import().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(foreign.adapter(), expected, "{what}");
    }
    Ok(())
}

#[test]
fn two_names_of_one_tensor_must_agree() {
    let gate = "lang_encoder.gated_cross_attn_layers.1.attn_gate";
    let other = Tensor::full(0.25f32, 1, &Device::Cpu).unwrap();
    let differ = Foreign::refusal(|all| drop(all.insert(gate.into(), other)));
    assert!(differ.contains(gate) && differ.contains("differ"), "{differ}");
}

#[test]
fn what_a_checkpoint_repeats_or_moves_of_the_language_model_is_told_apart() -> Result<()> {
    let mut foreign = Foreign::new();
    let own = Frozen::open(&foreign.path("lm/model.safetensors"))?.tensors()?;
    for (name, tensor) in own.iter().filter(|(name, _)| name.contains("layers.0.")) {
        let rest = name.strip_prefix("model.layers.0.").unwrap();
        let listed = format!("lang_encoder.old_decoder_blocks.0.{rest}");
        foreign.checkpoint.insert(listed, tensor.clone());
        let wrapped = format!("lang_encoder.model.layers.0.decoder_layer.{rest}");
        foreign.checkpoint.insert(wrapped, tensor.clone());
    }
    let buffer = "lang_encoder.model.layers.0.decoder_layer.self_attn.rotary_emb.inv_freq";
    foreign.checkpoint.insert(buffer.into(), Tensor::ones(2, DType::F32, &Device::Cpu)?);
    foreign.store();
    let imported = foreign.import()?;
    let n = own.keys().filter(|name| name.contains("layers.0.")).count();
    assert_eq!((imported.repeated, imported.left_out), (2 * n + 1, 1));
    assert!(imported.moved.is_empty());

    let up = "lang_encoder.model.layers.0.mlp.up_proj.weight";
    let tuned = noisy(&own["model.layers.0.mlp.up_proj.weight"]);
    foreign
        .checkpoint
        .retain(|name, _| !name.contains("model.layers.0.") && !name.contains("old_"));
    foreign.checkpoint.insert(up.into(), tuned.clone());
    foreign.store();
    assert_eq!(foreign.import()?.moved, [up]);
    verify(&foreign.path("package"))?;
    let found = likelihoods(&foreign.path("package"));
    let mut merged = own.clone();
    merged.insert("model.layers.0.mlp.up_proj.weight".into(), tuned);
    save(&foreign.path("lm/model.safetensors"), &merged)?;
    assert!(foreign.import()?.moved.is_empty());
    assert_eq!(likelihoods(&foreign.path("package")), found);

    let stray = "lang_encoder.model.layers.0.mlp.router.weight";
    let zeros = Tensor::zeros((2, 2), DType::F32, &Device::Cpu)?;
    let error = Foreign::refusal(|all| drop(all.insert(stray.into(), zeros)));
    assert!(error.contains("router") && error.contains("another language model"), "{error}");
    Ok(())
}

#[test]
fn rows_of_an_untied_head_are_drawn_and_kept_with_those_of_the_embedding() -> Result<()> {
    let foreign = Foreign::around(false);
    let imported = foreign.import()?;
    let names = ["<|endofchunk|> (output)", "<image> (output)", "<PAD> (output)"];
    assert_eq!(imported.drawn_rows, names);
    let first = foreign.adapter();
    foreign.import()?;
    assert_eq!(foreign.adapter(), first);
    let parameters = inspect(&foreign.path("package"))?.parameters;
    // an untied head's rows are neither trained nor saved by OpenFlamingo
    let whole: usize = foreign.checkpoint.values().map(Tensor::elem_count).sum();
    assert_eq!(parameters.trainable, whole);
    Ok(())
}

#[test]
fn a_clip_that_may_not_be_copied_is_referenced_and_known_by_its_digest() -> Result<()> {
    let foreign = Foreign::new();
    foreign.import()?;
    let copied = likelihoods(&foreign.path("package"));
    foreign.import_with(|wish| wish.reference_vision = true)?;
    let package = foreign.path("package");
    assert!(!package.join("encoder.safetensors").exists());
    verify(&package)?;
    assert_eq!(likelihoods(&package), copied);
    let info = inspect(&package)?;
    assert_eq!(info.weights.len(), 3);
    let part = info.manifest.parts.iter().find(|it| it.file == "encoder.safetensors").unwrap();
    assert_eq!(part.path.as_deref(), Some(Path::new("../clip")));

    // beside the manifest it is found too
    fs::rename(foreign.path("clip"), package.join("clip")).unwrap();
    verify(&package)?;
    fs::write(package.join("clip"), "another").unwrap();
    let error = verify(&package).unwrap_err().to_string();
    assert!(error.contains("clip") && error.contains("made with"), "{error}");
    fs::remove_file(package.join("clip")).unwrap();
    let error = Model::open(&package).err().unwrap().to_string();
    assert!(error.contains("clip"), "{error}");
    Ok(())
}

#[test]
fn a_clip_folder_says_its_heads_and_its_non_linearity() -> Result<()> {
    let foreign = Foreign::new();
    let folder = foreign.path("clip-folder");
    fs::create_dir(&folder).unwrap();
    let empty = import_from(&foreign, &folder).unwrap_err().to_string();
    assert!(empty.contains("clip-folder") && empty.contains("model.safetensors"), "{empty}");
    fs::rename(foreign.path("clip"), folder.join("model.safetensors")).unwrap();
    let config = |act: &str, heads: usize| {
        format!(
            r#"{{"vision_config": {{"hidden_act": "{act}", "hidden_size": 8,
                "num_attention_heads": {heads}}}}}"#
        )
    };
    for (act, heads, expected) in
        [("gelu", 4, ClipActivation::Gelu), ("quick_gelu", 2, ClipActivation::QuickGelu)]
    {
        fs::write(folder.join("config.json"), config(act, heads)).unwrap();
        import_from(&foreign, &folder)?;
        let manifest = crate::Manifest::read(&foreign.path("package"))?;
        let EncoderConfig::Clip(clip) = manifest.config.encoder else { panic!("no CLIP") };
        assert_eq!((clip.activation, clip.head_width), (expected, 8 / heads));
    }
    fs::write(folder.join("config.json"), config("swish", 4)).unwrap();
    let error = import_from(&foreign, &folder).unwrap_err().to_string();
    assert!(error.contains("config.json: `hidden_act` is `swish`"), "{error}");
    Ok(())
}

/// With CLIP from a folder, its heads not said.
fn import_from(foreign: &Foreign, folder: &Path) -> Result<Imported> {
    let (checkpoint, lm) = (foreign.path("checkpoint"), foreign.path("lm"));
    let wish = Import {
        name: "imported",
        checkpoint: &checkpoint,
        lm: &lm,
        vision: folder,
        reference_vision: false,
        trained_lm: false,
        head_dim: 4,
        clip_head_dim: None,
        activation: None,
        vision_feature: VisionFeature::PreLnPost,
        licence: "none",
        seed: 0,
    };
    import(&foreign.path("package"), &wish)
}
