use candle_core::{Device, Tensor};

use super::*;
use crate::{MptConfig, NeoXConfig, OptConfig, Step, train_bpe};

/// A folder with a tiny model of 262 ids and its tensors.
fn folder(config: &LmConfig) -> (tempfile::TempDir, HashMap<String, Tensor>) {
    let folder = tempfile::tempdir().unwrap();
    let texts = vec!["viewing of faces".to_owned()];
    train_bpe(&texts, 262, &folder.path().join(TOKENIZER)).unwrap();
    let variables = Variables::default();
    config.build(variables.builder(2, DType::F32)).unwrap();
    let json = serde_json::to_string(config).unwrap();
    std::fs::write(folder.path().join(CONFIG), json).unwrap();
    save(&folder.path().join("model.safetensors"), &variables.tensors()).unwrap();
    (folder, variables.tensors())
}

fn llama() -> LmConfig {
    LmConfig::Llama(LlamaConfig::tiny(262))
}

fn logits(folder: &Path) -> Result<Vec<f32>> {
    let ids = Tensor::new(&[[5u32, 80, 260]], &Device::Cpu)?;
    let lm = open(folder, Precision::F32)?.lm;
    Ok(lm.logits(&ids, &Step::plain(1, 3)?)?.flatten_all()?.to_vec1()?)
}

fn refused(folder: &Path) -> String {
    open(folder, Precision::F32).err().expect("is refused").to_string()
}

/// Replaces the weights by two shards and their index, of which `edit` may change the text.
fn shard(
    folder: &Path,
    tensors: &HashMap<String, Tensor>,
    names: [&str; 2],
    edit: impl Fn(String) -> String,
) {
    let _ = std::fs::remove_file(folder.join("model.safetensors"));
    let mut map = serde_json::Map::new();
    let halves = [true, false].map(|even| {
        let half = tensors.iter().filter(|(name, _)| (name.len() % 2 == 0) == even);
        half.map(|(name, tensor)| (name.clone(), tensor.clone())).collect::<HashMap<_, _>>()
    });
    for (name, half) in names.iter().zip(halves) {
        save(&folder.join(name), &half).unwrap();
        map.extend(half.keys().map(|tensor| (tensor.clone(), (*name).into())));
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": map}).to_string();
    let kind = if names[0].contains(".bin") { "pytorch_model.bin" } else { "model.safetensors" };
    std::fs::write(folder.join(format!("{kind}.index.json")), edit(index)).unwrap();
}

#[test]
fn a_written_model_reads_back_the_same() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let texts = vec!["viewing of faces".to_owned()];
    train_bpe(&texts, 262, &folder.path().join(TOKENIZER))?;
    let (config, variables) = (LlamaConfig::tiny(262), Variables::default());
    crate::Llama::new(&config, variables.builder(2, DType::F32))?;
    let constants = Frozen::from_tensors(folder.path(), variables.tensors());
    let lm = crate::Llama::new(&config, constants.builder(DType::F32))?;
    write(folder.path(), &config, &variables, DType::F32)?;
    let ids = Tensor::new(&[[5u32, 80, 260]], &Device::Cpu)?;
    let expected = lm.logits(&ids, &Step::plain(1, 3)?)?;
    assert_eq!(logits(folder.path())?, expected.flatten_all()?.to_vec1::<f32>()?);
    let opened = open(folder.path(), Precision::F32)?;
    assert_eq!(opened.n_parameters, variables.n_parameters());
    Ok(())
}

#[test]
fn rotary_settings_are_written_in_the_old_place_and_in_the_new_one() -> Result<()> {
    let scaling = crate::RopeScaling::Llama3 {
        factor: 8.,
        low_freq_factor: 1.,
        high_freq_factor: 4.,
        original: 16.,
    };
    for scaling in [crate::RopeScaling::Plain, scaling] {
        let is_plain = scaling == crate::RopeScaling::Plain;
        let rope = crate::Rope { scaling, ..crate::Rope::default() };
        let config =
            LlamaConfig { rope_theta: 5e5, rope_scaling: Some(rope), ..LlamaConfig::tiny(262) };
        let folder = tempfile::tempdir().unwrap();
        let variables = Variables::default();
        crate::Llama::new(&config, variables.builder(2, DType::F32))?;
        write(folder.path(), &config, &variables, DType::F32)?;
        let path = folder.path().join(CONFIG);
        let mut json: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let new = json["rope_parameters"].as_object().unwrap().clone();
        assert_eq!((&json["rope_theta"], &new["rope_theta"]), (&5e5.into(), &5e5.into()));
        match json["rope_scaling"].as_object() {
            None => assert!(is_plain && new["rope_type"] == "default"),
            Some(old) => assert!(old.iter().all(|(name, value)| new.get(name) == Some(value))),
        }
        let both = LmConfig::open(&path)?;
        for gone in [&["rope_parameters"][..], &["rope_theta", "rope_scaling"]] {
            let fields = json.as_object_mut().unwrap();
            let kept = fields.clone();
            gone.iter().for_each(|name| drop(fields.remove(*name)));
            std::fs::write(&path, json.to_string()).unwrap();
            let (LmConfig::Llama(a), LmConfig::Llama(b)) = (LmConfig::open(&path)?, &both) else {
                panic!("no LLaMA")
            };
            assert_eq!(a.frequencies(), b.frequencies());
            assert_eq!(a.frequencies(), config.frequencies());
            json = kept.into();
        }
    }
    Ok(())
}

#[test]
fn every_family_opens_by_its_model_type() -> Result<()> {
    for (config, blocks) in [
        (llama(), "model.layers"),
        (LmConfig::Opt(OptConfig::tiny(262)), "model.decoder.layers"),
        (LmConfig::Qwen3(crate::Qwen3Config::tiny(262)), "model.layers"),
        (LmConfig::SmolLm3(crate::SmolLm3Config::tiny(262)), "model.layers"),
        (LmConfig::NeoX(NeoXConfig::tiny(262)), "gpt_neox.layers"),
        (LmConfig::Mpt(MptConfig::tiny(262)), "transformer.blocks"),
        (LmConfig::MosaicGpt(crate::MosaicGptConfig::tiny(262)), "transformer.blocks"),
    ] {
        let (folder, tensors) = folder(&config);
        assert_eq!(LmConfig::open(&folder.path().join(CONFIG))?, config);
        let lm = open(folder.path(), Precision::F32)?.lm;
        assert_eq!((lm.shape().blocks_name, lm.shape().vocab_size), (blocks, 262));
        let embedding = format!("{}.weight", lm.shape().embedding_name);
        assert_eq!(tensors[&embedding].dims(), [262, lm.shape().embedding_dim]);
    }
    Ok(())
}

#[test]
fn shards_and_pytorch_files_are_the_same_model() -> Result<()> {
    let (folder, tensors) = folder(&llama());
    let folder = folder.path();
    let whole = logits(folder)?;
    let file = |name: &str| folder.join(name);
    assert_eq!(files(folder)?, [CONFIG, TOKENIZER, "model.safetensors"].map(file));
    std::fs::rename(file("model.safetensors"), file("pytorch_model.bin")).unwrap();
    assert_eq!(logits(folder)?, whole);
    std::fs::remove_file(file("pytorch_model.bin")).unwrap();
    for names in [
        ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
        ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"],
    ] {
        shard(folder, &tensors, names, |index| index);
        assert_eq!(logits(folder)?, whole);
        let read = files(folder)?;
        assert!(read.len() == 5 && names.iter().all(|name| read.contains(&file(name))));
        std::fs::remove_file(&read[2]).unwrap();
    }
    assert!(refused(folder).contains("found no weights, expected one of model.safetensors"));
    Ok(())
}

#[test]
fn an_index_that_lies_is_refused() {
    let (folder, tensors) = folder(&llama());
    let folder = folder.path();
    let names = ["a.safetensors", "b.safetensors"];
    shard(folder, &tensors, names, |index| index.replace("a.safetensors", "../a.safetensors"));
    assert!(refused(folder).contains("shard `../a.safetensors` is no name of a file"));
    shard(folder, &tensors, names, |index| index.replace("a.safetensors", "b.safetensors"));
    let message = refused(folder);
    assert!(message.contains("b.safetensors: tensor `") && message.contains("is missing"));
    shard(folder, &tensors, names, |index| index);
    std::fs::copy(folder.join(names[0]), folder.join(names[1])).unwrap();
    assert!(refused(folder).contains("b.safetensors: tensor `"));
    std::fs::remove_file(folder.join(names[1])).unwrap();
    assert!(refused(folder).contains("b.safetensors"));
}

#[test]
fn tensors_that_do_not_fit_are_named_with_their_file() {
    let (folder, tensors) = folder(&llama());
    let folder = folder.path();
    let with = |edit: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let mut tensors = tensors.clone();
        edit(&mut tensors);
        save(&folder.join("model.safetensors"), &tensors).unwrap();
        refused(folder)
    };
    let norm = "model.layers.1.input_layernorm.weight";
    let zeros = || Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
    for (message, expected) in [
        (with(&|t| drop(t.remove(norm))), "is missing"),
        (
            with(&|t| drop(t.insert(norm.to_owned(), zeros()))),
            "has shape [3], this model needs [16]",
        ),
        (with(&|t| drop(t.insert(format!("{norm}s"), zeros()))), "belongs to no part"),
        (with(&|t| drop(t.insert("norm.weight".to_owned(), zeros()))), "there twice"),
    ] {
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("model.safetensors: tensor `model."), "{message}");
    }
}

#[test]
fn names_of_a_bare_model_buffers_and_a_second_head_are_understood() -> Result<()> {
    let (folder, tensors) = folder(&llama());
    let folder = folder.path();
    let whole = logits(folder)?;
    let bare = tensors.iter().map(|(name, tensor)| {
        (name.strip_prefix("model.").unwrap_or(name).to_owned(), tensor.clone())
    });
    let mut bare: HashMap<_, _> = bare.collect();
    bare.insert("lm_head.weight".to_owned(), tensors["model.embed_tokens.weight"].clone());
    let inverse = Tensor::zeros(2, DType::F32, &Device::Cpu)?;
    bare.insert("layers.0.self_attn.rotary_emb.inv_freq".to_owned(), inverse);
    save(&folder.join("model.safetensors"), &bare)?;
    assert_eq!(logits(folder)?, whole);
    Ok(())
}

#[test]
fn names_that_a_wrapper_lengthened_are_understood() -> Result<()> {
    let (folder, tensors) = folder(&llama());
    let folder = folder.path();
    let whole = logits(folder)?;
    for prefix in ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."] {
        let wrapped = tensors.iter().map(|(name, it)| (format!("{prefix}{name}"), it.clone()));
        save(&folder.join("model.safetensors"), &wrapped.collect())?;
        assert_eq!(logits(folder)?, whole, "{prefix}");
    }
    Ok(())
}

/// Embedding and head in the files of each family that may tie them.
const TIED: [(&str, &str, &str); 4] = [
    ("llama", "model.embed_tokens.weight", "lm_head.weight"),
    ("opt", "model.decoder.embed_tokens.weight", "lm_head.weight"),
    ("gpt_neox", "gpt_neox.embed_in.weight", "embed_out.weight"),
    ("mpt", "transformer.wte.weight", "lm_head.weight"),
];

/// A model of a family, tied or not.
fn of_family(family: &str, tied: bool) -> LmConfig {
    match family {
        "llama" => {
            LmConfig::Llama(LlamaConfig { tie_word_embeddings: tied, ..LlamaConfig::tiny(262) })
        }
        "opt" => LmConfig::Opt(OptConfig { tie_word_embeddings: tied, ..OptConfig::tiny(262) }),
        "gpt_neox" => {
            LmConfig::NeoX(NeoXConfig { tie_word_embeddings: tied, ..NeoXConfig::tiny(262) })
        }
        _ => LmConfig::Mpt(MptConfig { tie_word_embeddings: tied, ..MptConfig::tiny(262) }),
    }
}

#[test]
fn a_tied_matrix_may_have_the_name_of_the_head_alone() -> Result<()> {
    for (family, embedding, head) in TIED {
        let (folder, mut tensors) = folder(&of_family(family, true));
        let folder = folder.path();
        let whole = logits(folder)?;
        let matrix = tensors.remove(embedding).unwrap();
        tensors.insert(head.to_owned(), matrix);
        save(&folder.join("model.safetensors"), &tensors)?;
        assert_eq!(logits(folder)?, whole, "{family}");
    }
    Ok(())
}

#[test]
fn a_head_that_differs_from_the_embedding_is_used_though_the_config_ties_them() -> Result<()> {
    for (family, embedding, head) in TIED {
        let (folder, tensors) = folder(&of_family(family, false));
        let folder = folder.path();
        let untied = logits(folder)?;
        let tied = serde_json::to_string(&of_family(family, true)).unwrap();
        std::fs::write(folder.join(CONFIG), tied).unwrap();
        assert_eq!(logits(folder)?, untied, "{family}");
        let described = Described::open(folder)?;
        assert!(!described.outline(&Outline::default())?.shape().tied);
        let [note] = described.notes.as_slice() else { panic!("{:?}", described.notes) };
        assert!(note.contains(head) && note.contains(embedding), "{note}");
        // equal values are one matrix
        let equal = tensors.iter().map(|(name, tensor)| {
            (name.clone(), if name == head { &tensors[embedding] } else { tensor }.clone())
        });
        save(&folder.join("model.safetensors"), &equal.collect())?;
        let described = Described::open(folder)?;
        assert!(described.notes.is_empty());
        assert!(described.outline(&Outline::default())?.shape().tied);
    }
    Ok(())
}

#[test]
fn a_class_without_a_head_has_no_second_matrix() {
    let config = LmConfig::MosaicGpt(crate::MosaicGptConfig::tiny(262));
    let (folder, mut tensors) = folder(&config);
    let other = Tensor::zeros((262, 12), DType::F32, &Device::Cpu).unwrap();
    tensors.insert("lm_head.weight".to_owned(), other);
    save(&folder.path().join("model.safetensors"), &tensors).unwrap();
    assert!(refused(folder.path()).contains("`lm_head.weight` belongs to no part"));
}

#[test]
fn a_folder_with_another_form_of_tokenizer_alone_says_which() {
    let (folder, _) = folder(&llama());
    let folder = folder.path();
    std::fs::remove_file(folder.join(TOKENIZER)).unwrap();
    assert!(refused(folder).ends_with("holds no tokenizer, expected tokenizer.json"));
    for (name, form) in OTHER_TOKENIZERS {
        std::fs::write(folder.join(name), "x").unwrap();
        let message = refused(folder);
        assert!(message.contains(&format!("as {name}, {form}")), "{message}");
        std::fs::remove_file(folder.join(name)).unwrap();
    }
}

#[test]
fn pointers_in_place_of_any_file_are_named_with_the_command_that_fetches_it() {
    let (folder, tensors) = folder(&llama());
    let folder = folder.path();
    let shards = ["a.safetensors", "b.safetensors"];
    shard(folder, &tensors, shards, |index| index);
    std::fs::write(folder.join("tokenizer_config.json"), "{}").unwrap();
    open(folder, Precision::F32).unwrap();
    for path in files(folder).unwrap() {
        let bytes = std::fs::read(&path).unwrap();
        for (pointer, command) in [
            ("version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "git lfs pull"),
            ("/annex/objects/SHA256E-s5000--ab.json\n", "git annex get"),
        ] {
            std::fs::write(&path, pointer).unwrap();
            let message = refused(folder);
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(message.contains(name) && message.contains(command), "{message}");
        }
        std::fs::write(&path, bytes).unwrap();
    }
    std::fs::remove_file(folder.join(TOKENIZER)).unwrap();
    std::os::unix::fs::symlink("../.git/annex/objects/gone", folder.join(TOKENIZER)).unwrap();
    assert!(refused(folder).contains("tokenizer.json: is a git-annex pointer"));
}

#[test]
fn another_architecture_or_a_small_embedding_is_refused_by_name() {
    let (folder, _) = folder(&llama());
    let path = folder.path().join(CONFIG);
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to, expected) in [
        ("\"llama\"", "\"mamba\"", "unknown variant `mamba`, expected one of `llama`"),
        ("262", "200", "vocab_size is 200, but the tokenizer knows 2"),
        ("\"num_key_value_heads\":2", "\"num_key_value_heads\":3", "cannot share 3"),
        ("\"silu\"", "\"quick_gelu\"", "unknown variant `quick_gelu`"),
        (
            "\"num_hidden_layers\":2",
            "\"num_hidden_layers\":99999999",
            "num_hidden_layers is 99999999, expected 1 to 1000",
        ),
        (
            "\"max_position_embeddings\":64",
            "\"max_position_embeddings\":1000000000000",
            "max_position_embeddings is 1000000000000, expected 1 to 16777216",
        ),
        ("\"rope_theta\":10000.0", "\"rope_theta\":-1", "rope_theta is -1, expected"),
    ] {
        let edited = text.replace(from, to);
        assert_ne!(edited, text, "{from}");
        std::fs::write(&path, edited).unwrap();
        let error = refused(folder.path());
        assert!(error.contains(expected) && error.contains("config.json"), "{error}");
    }
}
