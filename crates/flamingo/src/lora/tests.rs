//! Merging by the formulas, names of both sides, and the folders.

use std::fs;

use candle_core::Device;
use tempfile::TempDir;

use super::*;

fn tensor(rows: &[&[f32]]) -> Tensor {
    Tensor::from_vec(rows.concat(), (rows.len(), rows[0].len()), &Device::Cpu).unwrap()
}

/// An embedding of three rows, a linear map and a norm.
fn base() -> HashMap<String, Tensor> {
    let norm = Tensor::new(&[1f32, 1.], &Device::Cpu).unwrap();
    HashMap::from([
        ("model.embed_tokens.weight".to_owned(), tensor(&[&[1., 2.], &[3., 4.], &[5., 6.]])),
        ("model.layers.0.q_proj.weight".to_owned(), tensor(&[&[1., 0.], &[0., 1.]])),
        ("model.norm.weight".to_owned(), norm),
    ])
}

/// An adapter in a folder, with these fields beside its rank of 1 and its alpha of 2.
fn adapter(fields: &str, tensors: &[(&str, Tensor)]) -> (TempDir, Result<LoraAdapter>) {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(r#"{{"peft_type": "LORA", "r": 1, "lora_alpha": 2 {fields}}}"#);
    fs::write(folder.path().join(config::CONFIG), text).unwrap();
    let tensors =
        tensors.iter().map(|(name, tensor)| (format!("base_model.model.{name}"), tensor.clone()));
    nn::weights::save(&folder.path().join(WEIGHTS[0]), &tensors.collect()).unwrap();
    let opened = LoraAdapter::open(folder.path());
    (folder, opened)
}

fn values(tensor: &Tensor) -> Vec<Vec<f32>> {
    tensor.to_vec2().unwrap()
}

const TIED: TiedNames<'static> =
    TiedNames { embedding: "model.embed_tokens.weight", head: "lm_head.weight" };

fn applied(
    fields: &str,
    tensors: &[(&str, Tensor)],
    tied: Option<TiedNames>,
    corrections: Corrections,
) -> Result<HashMap<String, Tensor>> {
    let adapter = adapter(fields, tensors).1?;
    adapter.apply(&base(), adapter.tensors(), tied, corrections)
}

fn refused(fields: &str, tensors: &[(&str, Tensor)]) -> String {
    applied(fields, tensors, None, Corrections::Merged).unwrap_err().to_string()
}

#[test]
fn a_product_of_low_rank_is_added_to_a_linear_map_and_turned_for_an_embedding() -> Result<()> {
    let linear = [
        ("model.layers.0.q_proj.lora_A.weight", tensor(&[&[1., 2.]])),
        ("model.layers.0.q_proj.lora_B.weight", tensor(&[&[3.], &[4.]])),
    ];
    let merged = applied("", &linear, None, Corrections::Merged)?;
    assert_eq!(values(&merged["model.layers.0.q_proj.weight"]), [[7., 12.], [8., 17.]]);
    let embedding = [
        ("model.embed_tokens.lora_embedding_A", tensor(&[&[1., 0., 2.]])),
        ("model.embed_tokens.lora_embedding_B", tensor(&[&[3.], &[4.]])),
    ];
    let merged = applied("", &embedding, None, Corrections::Merged)?;
    let expected = [[7., 10.], [3., 4.], [17., 22.]];
    assert_eq!(values(&merged["model.embed_tokens.weight"]), expected);

    // the one matrix of a tied model, merged and beside
    let merged = applied("", &embedding, Some(TIED), Corrections::Merged)?;
    assert!(!merged.contains_key("lm_head.weight"));
    let beside = applied("", &embedding, Some(TIED), Corrections::Beside)?;
    assert_eq!(values(&beside["model.embed_tokens.weight"]), expected);
    assert_eq!(values(&beside["lm_head.weight"]), values(&base()["model.embed_tokens.weight"]));
    let head = [
        ("lm_head.lora_A.weight", tensor(&[&[1., 2.]])),
        ("lm_head.lora_B.weight", tensor(&[&[1.], &[0.], &[0.]])),
    ];
    let beside = applied("", &head, Some(TIED), Corrections::Beside)?;
    assert_eq!(values(&beside["lm_head.weight"])[0], [3., 6.]);
    assert_eq!(values(&beside["model.embed_tokens.weight"])[0], [1., 2.]);
    let merged = applied("", &head, Some(TIED), Corrections::Merged)?;
    assert_eq!(values(&merged["model.embed_tokens.weight"])[0], [3., 6.]);
    Ok(())
}

#[test]
fn whole_tensors_rows_and_biases_take_the_place_of_the_bases() -> Result<()> {
    let norm = Tensor::new(&[2f32, 3.], &Device::Cpu)?;
    let whole = tensor(&[&[9., 9.], &[9., 9.]]);
    let merged = applied(
        r#", "trainable_token_indices": {"embed_tokens": [2, 0]}"#,
        &[
            ("model.norm.weight", norm.clone()),
            ("model.layers.0.q_proj.base_layer.weight", whole),
            (
                "model.embed_tokens.token_adapter.trainable_tokens_delta",
                tensor(&[&[7., 7.], &[8., 8.]]),
            ),
        ],
        None,
        Corrections::Merged,
    )?;
    assert_eq!(merged["model.norm.weight"].to_vec1::<f32>()?, [2., 3.]);
    assert_eq!(values(&merged["model.layers.0.q_proj.weight"]), [[9., 9.], [9., 9.]]);
    assert_eq!(values(&merged["model.embed_tokens.weight"]), [[8., 8.], [3., 4.], [7., 7.]]);
    // a head of a tied model that was trained whole is a second matrix
    let head = [("lm_head.weight", tensor(&[&[0., 0.], &[0., 0.], &[1., 1.]]))];
    let merged = applied("", &head, Some(TIED), Corrections::Merged)?;
    assert_eq!(values(&merged["lm_head.weight"])[2], [1., 1.]);
    Ok(())
}

#[test]
fn names_may_have_another_root_but_only_one_meaning() -> Result<()> {
    let linear = |module: &str| {
        [
            (format!("{module}.lora_A.weight"), tensor(&[&[1., 2.]])),
            (format!("{module}.lora_B.weight"), tensor(&[&[3.], &[4.]])),
        ]
    };
    for module in ["layers.0.q_proj", "language.model.layers.0.q_proj"] {
        let tensors = linear(module);
        let tensors = tensors.each_ref().map(|(name, tensor)| (name.as_str(), tensor.clone()));
        let merged = applied("", &tensors, None, Corrections::Merged)?;
        assert_eq!(merged.len(), 3);
        assert_eq!(values(&merged["model.layers.0.q_proj.weight"])[0], [7., 12.], "{module}");
    }
    let tensors = linear("model.layers.7.q_proj");
    let tensors = tensors.each_ref().map(|(name, tensor)| (name.as_str(), tensor.clone()));
    let error = refused("", &tensors);
    assert!(error.contains("it changes `model.layers.7.q_proj`, which the base"), "{error}");
    Ok(())
}

#[test]
fn an_adapter_that_does_not_fit_is_named() {
    let (a, b) = ("model.layers.0.q_proj.lora_A.weight", "model.layers.0.q_proj.lora_B.weight");
    let half = refused("", &[(a, tensor(&[&[1., 2.]]))]);
    assert!(half.contains("has one of lora_A and lora_B alone"), "{half}");
    let wide = [(a, tensor(&[&[1., 2., 3.]])), (b, tensor(&[&[3.], &[4.]]))];
    let wide = refused("", &wide);
    assert!(
        wide.contains("adapter_model.safetensors: the correction of") && wide.contains("[1, 3]")
    );
    let rank = [(a, tensor(&[&[1., 2.], &[1., 2.]])), (b, tensor(&[&[3., 1.], &[4., 1.]]))];
    assert!(refused("", &rank).contains("rank of `model.layers.0.q_proj` is 1"));
    let dora = [("model.layers.0.q_proj.lora_magnitude_vector", tensor(&[&[1.]]))];
    assert!(refused("", &dora).contains("which the base model does not have"));
    let rows = [("model.embed_tokens.token_adapter.trainable_tokens_delta", tensor(&[&[1., 1.]]))];
    assert!(refused(r#", "trainable_token_indices": [3]"#, &rows).contains("for the ids [3]"));
}

#[test]
fn a_folder_is_merged_whole_or_not_at_all() -> Result<()> {
    let linear = [
        ("model.layers.0.q_proj.lora_A.weight", tensor(&[&[1., 2.]])),
        ("model.layers.0.q_proj.lora_B.weight", tensor(&[&[3.], &[4.]])),
    ];
    let (folder, _) = adapter("", &linear);
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("base"), dir.path().join("merged"));
    fs::create_dir(&from).unwrap();
    let half: HashMap<_, _> = base()
        .into_iter()
        .map(|(name, tensor)| (name, tensor.to_dtype(DType::BF16).unwrap()))
        .collect();
    nn::weights::save(&from.join("model.safetensors"), &half)?;
    for name in ["config.json", "tokenizer.json", "model.safetensors.index.json"] {
        fs::write(from.join(name), "{}").unwrap();
    }
    let merged = merge_lora(&from, folder.path(), &to)?;
    assert_eq!(
        (merged.tensors, &merged.changed[..]),
        (3, &["model.layers.0.q_proj.weight".to_owned()][..])
    );
    let mut names: Vec<_> = fs::read_dir(&to).unwrap().flatten().map(|it| it.file_name()).collect();
    names.sort();
    assert_eq!(names, ["config.json", "model.safetensors", "tokenizer.json"]);
    let written = Frozen::open(&merged.weights)?;
    assert!(written.list().iter().all(|info| info.dtype == "BF16"));
    let q = written.tensors()?["model.layers.0.q_proj.weight"].to_dtype(DType::F32)?;
    assert_eq!(values(&q), [[7., 12.], [8., 17.]]);
    let again = merge_lora(&from, folder.path(), &to).unwrap_err().to_string();
    assert!(again.contains("merged: is there already"), "{again}");

    // one file
    let file = dir.path().join("merged.safetensors");
    merge_lora(&from.join("model.safetensors"), folder.path(), &file)?;
    assert_eq!(Frozen::open(&file)?.list(), written.list());
    let unfit = [("other.lora_A.weight", tensor(&[&[1., 2.]]))];
    let (folder, _) = adapter("", &unfit);
    let none = dir.path().join("none");
    assert!(merge_lora(&from, folder.path(), &none).is_err() && !none.exists());
    Ok(())
}

/// Files as the encoders' authors store them, of a few parcels.
fn neighbour(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/neighbours").join(name)
}

/// An adapter of ones on one module of a base, by the name that the network has for it.
fn of_ones(base: &Path, module: &str) -> TempDir {
    let list = Frozen::open(base).unwrap().list();
    let weight = list.iter().find(|it| it.name.ends_with(&format!("{module}.weight"))).unwrap();
    let ones = |shape: (usize, usize)| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
    let (a, b) = (format!("{module}.lora_A.weight"), format!("{module}.lora_B.weight"));
    let tensors = [(&*a, ones((1, weight.shape[1]))), (&*b, ones((weight.shape[0], 1)))];
    adapter("", &tensors).0
}

#[test]
fn what_a_checkpoint_says_beside_its_tensors_is_kept() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let (base, to) = (neighbour("cortex_mae.pth"), dir.path().join("merged.safetensors"));
    merge_lora(&base, of_ones(&base, "blocks.1.attn.q").path(), &to)?;
    let args = |path: &Path| formats::open(path).unwrap().metadata().get("args").cloned();
    assert!(args(&base).is_some_and(|it| it.keys().next().is_some()));
    // a map of JSON has its keys in order
    let sorted = |path: &Path| args(path).and_then(|it| it.to_json());
    assert_eq!(sorted(&to), sorted(&base));
    let published = |path: &Path| {
        let mut found = encoder::Published::open("cortex_mae", path, encoder::Unsaid::default())?;
        found.config.relocate(&|_| PathBuf::new());
        Ok::<_, encoder::Error>(found.config)
    };
    assert_eq!(published(&to).unwrap(), published(&base).unwrap());
    // what other programs ask a file of a language model for
    let plain = dir.path().join("model.safetensors");
    let format = formats::Value::Text("pt".to_owned());
    let format = formats::Value::Map(vec![("format".to_owned(), format)]);
    nn::weights::save_with(&plain, &self::base(), &format)?;
    let linear = [
        ("model.layers.0.q_proj.lora_A.weight", tensor(&[&[1., 2.]])),
        ("model.layers.0.q_proj.lora_B.weight", tensor(&[&[3.], &[4.]])),
    ];
    let merged = dir.path().join("folder");
    fs::create_dir(dir.path().join("base")).unwrap();
    fs::rename(&plain, dir.path().join("base/model.safetensors")).unwrap();
    merge_lora(&dir.path().join("base"), adapter("", &linear).0.path(), &merged)?;
    let written = formats::open(&merged.join("model.safetensors"))?;
    assert_eq!(written.metadata(), &format);
    Ok(())
}

#[test]
fn of_a_network_that_a_checkpoint_holds_twice_the_one_that_is_read_is_changed() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let (base, to) = (neighbour("brain_jepa.pth.tar"), dir.path().join("merged.safetensors"));
    let merged = merge_lora(&base, of_ones(&base, "blocks.0.mlp.fc1").path(), &to)?;
    assert_eq!(merged.changed, ["target_encoder.module.blocks.0.mlp.fc1.weight"]);
    let gradients = neighbour("brain_jepa_gradients.csv");
    let unsaid = encoder::Unsaid {
        gradients: Some(&gradients),
        n_heads: Some(2),
        ..encoder::Unsaid::default()
    };
    encoder::Published::open("brain_jepa", &to, unsaid).unwrap();
    Ok(())
}
