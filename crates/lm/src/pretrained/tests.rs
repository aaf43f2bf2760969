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
fn every_family_opens_by_its_model_type() -> Result<()> {
    for (config, blocks) in [
        (llama(), "model.layers"),
        (LmConfig::Opt(OptConfig::tiny(262)), "model.decoder.layers"),
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
    let zeros = Tensor::zeros((262, 16), DType::F32, &Device::Cpu)?;
    bare.insert("lm_head.weight".to_owned(), zeros);
    let inverse = Tensor::zeros(2, DType::F32, &Device::Cpu)?;
    bare.insert("layers.0.self_attn.rotary_emb.inv_freq".to_owned(), inverse);
    save(&folder.join("model.safetensors"), &bare)?;
    assert_eq!(logits(folder)?, whole);
    Ok(())
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
