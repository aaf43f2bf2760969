//! What converters write that is more than a plain LLaMA.

use super::*;
use crate::{Qwen3Config, Rope, RopeScaling, SmolLm3Config};

fn read(edit: &[(&str, Value)], extra: &[(&str, Tensor)]) -> Result<LlamaConfig> {
    let mut metadata = metadata(&config());
    metadata.extend(edit.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    let file = file(&config(), &[GgmlDType::F32], &metadata, extra)?;
    open(file.file.path(), Precision::F32)?;
    let parts = Parts::open(file.file.path())?;
    match config::read(&Metadata::of(parts.first()), &parts)? {
        LmConfig::Llama(config) => Ok(config),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_factor_without_a_type_is_linear_and_older_keys_are_known() -> Result<()> {
    let factor = |name, factor| (name, Value::F32(factor));
    let kind = |kind: &str| ("llama.rope.scaling.type", Value::String(kind.to_owned()));
    let linear = |factor| RopeScaling::Linear { factor };
    for (edit, expected) in [
        (vec![factor("llama.rope.scaling.factor", 4.)], linear(4.)),
        (vec![factor("llama.rope.scale_linear", 2.)], linear(2.)),
        (
            vec![factor("llama.rope.scale_linear", 2.), factor("llama.rope.scaling.factor", 4.)],
            linear(4.),
        ),
        (vec![kind("linear"), factor("llama.rope.scale_linear", 2.)], linear(2.)),
        (vec![kind("none"), factor("llama.rope.scaling.factor", 4.)], RopeScaling::Plain),
        (vec![factor("llama.rope.scaling.factor", 0.)], RopeScaling::Plain),
        (vec![factor("llama.rope.scaling.factor", 1.)], RopeScaling::Plain),
        (vec![], RopeScaling::Plain),
    ] {
        let found = read(&edit, &[])?.rope_scaling.unwrap_or_default();
        assert_eq!(found, Rope { scaling: expected, ..Rope::default() }, "{edit:?}");
    }
    let error = read(&[factor("llama.rope.scaling.factor", -2.)], &[]).unwrap_err().to_string();
    assert!(error.contains("llama.rope.scaling.factor is -2, expected"), "{error}");
    // divisors of each frequency come on top
    let divisors = Tensor::new(&[1f32, 1., 2., 4., 8., 8., 8., 8.], &Device::Cpu)?;
    let both =
        read(&[factor("llama.rope.scaling.factor", 2.)], &[("rope_freqs.weight", divisors)])?;
    let expected = RopeScaling::Each { divisors: vec![2., 2., 4., 8., 16., 16., 16., 16.] };
    assert_eq!(both.rope_scaling.unwrap_or_default().scaling, expected);
    Ok(())
}

#[test]
fn attn_factor_multiplies_cosines_and_sines() -> Result<()> {
    // q and k are both 1.5 times as large, as if the scores were multiplied with 2.25
    let scaled = |file: &File, factor: f64| -> Result<Vec<f32>> {
        let mut tensors = file.tensors.clone();
        for (name, tensor) in &mut tensors {
            if name.contains("q_proj") {
                *tensor = (&*tensor * factor)?;
            }
        }
        let frozen = Frozen::from_tensors(Path::new("memory"), tensors);
        logits(&Llama::new(&config(), frozen.builder(DType::F32))?)
    };
    let mut metadata = metadata(&config());
    metadata.insert("llama.rope.scaling.attn_factor".to_owned(), Value::F32(1.5));
    let file = file(&config(), &[GgmlDType::F32], &metadata, &[])?;
    let found = logits(&*open(file.file.path(), Precision::F32)?.lm)?;
    let gap = |expected: Vec<f32>| {
        found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0., f32::max)
    };
    assert!(gap(scaled(&file, 2.25)?) < 1e-5);
    assert!(gap(scaled(&file, 1.)?) > 1e-3);
    Ok(())
}

#[test]
fn rows_that_a_converter_named_for_no_token_are_no_tokens() -> Result<()> {
    let padded = LlamaConfig { vocab_size: 264, ..config() };
    let list = |last: [&str; 3], kind: i32| -> Result<Tokenizer> {
        let mut metadata = metadata(&padded);
        let all = tokens().into_iter().chain(last.map(str::to_owned));
        let all = Value::Array(all.map(Value::String).collect());
        metadata.insert("tokenizer.ggml.tokens".to_owned(), all);
        let kinds = (0..264).map(|id| {
            if id == 259 {
                3
            } else if id > 260 {
                kind
            } else {
                1
            }
        });
        let kinds = Value::Array(kinds.map(Value::I32).collect());
        metadata.insert("tokenizer.ggml.token_type".to_owned(), kinds);
        let file = file(&padded, &[GgmlDType::F32], &metadata, &[])?;
        let model = open(file.file.path(), Precision::F32)?;
        assert_eq!(model.lm.shape().vocab_size, 264);
        Ok(model.tokenizer)
    };
    for kind in [5, 4] {
        let tokenizer = list(["[PAD261]", "[PAD262]", "[PAD263]"], kind)?;
        assert_eq!((tokenizer.vocab_size(), tokenizer.id("[PAD261]")), (261, None));
        // a hole between tokens keeps its name
        let tokenizer = list(["[PAD261]", "<last>", "[PAD263]"], kind)?;
        assert_eq!((tokenizer.vocab_size(), tokenizer.id("<last>")), (263, Some(262)));
    }
    let named = list(["[PAD]", "[PAD1]", "[PAD2]"], 4)?;
    assert_eq!(named.vocab_size(), 264);
    Ok(())
}

#[test]
fn qwen3_and_smollm3_are_read_by_their_architecture() -> Result<()> {
    let qwen = LmConfig::Qwen3(Qwen3Config::of(config()));
    let five = LlamaConfig { num_hidden_layers: 5, ..config() };
    let smol = LmConfig::SmolLm3(SmolLm3Config::of(five.clone()));
    for (architecture, llama, lm) in [("qwen3", config(), qwen), ("smollm3", five, smol)] {
        let mut keys = Keys::new();
        for (key, value) in metadata(&llama) {
            keys.insert(key.replacen("llama.", &format!("{architecture}."), 1), value);
        }
        let name = Value::String(architecture.to_owned());
        keys.insert("general.architecture".to_owned(), name);
        let (stored, tensors) = stored(&llama, &lm, &[GgmlDType::F32, GgmlDType::Q8_0], &[])?;
        let file = tempfile::NamedTempFile::new().unwrap();
        write(file.path(), &keys, &stored)?;
        let frozen = Frozen::from_tensors(Path::new("memory"), tensors);
        let expected = lm.build(frozen.builder(DType::F32))?;
        let opened = open(file.path(), Precision::F32)?;
        assert_eq!(logits(&*opened.lm)?, logits(&*expected)?, "{architecture}");
        assert_eq!(Described::open(file.path())?.config.rename("x"), Some("x".to_owned()));
    }
    Ok(())
}
