use std::collections::BTreeMap;
use std::path::Path;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use nn::Precision;
use nn::weights::{Frozen, Variables};

use super::*;
use crate::{CausalLm, Llama, LlamaConfig, Step, Tokenizer, open};

mod kinds;
mod split;

type Keys = BTreeMap<String, Value>;

/// 64 wide, four heads of sixteen, two key heads: rows are whole blocks of 32.
fn config() -> LlamaConfig {
    LlamaConfig {
        hidden_size: 64,
        intermediate_size: 96,
        num_key_value_heads: Some(2),
        rope_theta: 500.,
        max_position_embeddings: 40,
        ..LlamaConfig::tiny(261)
    }
}

/// The 256 bytes as GPT-2 writes them, then merges of "the" after a space.
fn tokens() -> Vec<String> {
    let bytes = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
    let mut tokens: Vec<String> = bytes.into_iter().map(String::from).collect();
    tokens.sort();
    tokens.extend(["Ġt", "he", "Ġthe", "<|end|>", "12"].map(str::to_owned));
    tokens
}

fn metadata(config: &LlamaConfig) -> Keys {
    let count = |n: usize| Value::U32(n as u32);
    let texts = |texts: &[String]| {
        Value::Array(texts.iter().map(|text| Value::String(text.clone())).collect())
    };
    let merges = ["Ġ t", "h e", "Ġt he", "1 2"].map(str::to_owned);
    let kinds = (0..261).map(|id| Value::I32(if id == 259 { 3 } else { 1 })).collect();
    let keys = [
        ("general.architecture", Value::String("llama".into())),
        ("llama.embedding_length", count(config.hidden_size)),
        ("llama.feed_forward_length", count(config.intermediate_size)),
        ("llama.block_count", count(config.num_hidden_layers)),
        ("llama.context_length", count(config.max_position_embeddings)),
        ("llama.attention.head_count", count(config.num_attention_heads)),
        ("llama.attention.head_count_kv", count(config.n_kv_heads())),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(config.rms_norm_eps as f32)),
        ("llama.rope.dimension_count", count(config.head_dim())),
        ("llama.rope.freq_base", Value::F32(config.rope_theta as f32)),
        ("tokenizer.ggml.model", Value::String("gpt2".into())),
        ("tokenizer.ggml.pre", Value::String("smollm".into())),
        ("tokenizer.ggml.tokens", texts(&tokens())),
        ("tokenizer.ggml.token_type", Value::Array(kinds)),
        ("tokenizer.ggml.merges", texts(&merges)),
        ("tokenizer.ggml.bos_token_id", count(259)),
        ("tokenizer.ggml.padding_token_id", count(259)),
    ];
    keys.map(|(key, value)| (key.to_owned(), value)).into()
}

/// llama.cpp's name and value of a tensor of ours: names mapped by hand, rotary pairs side by side
/// unless the architecture leaves them half a head apart.
fn foreign(
    config: &LlamaConfig,
    lm: &LmConfig,
    name: &str,
    tensor: &Tensor,
) -> Result<(String, Tensor)> {
    let mut foreign = name.replace("model.layers.", "blk.").replace("self_attn.", "attn_");
    for (ours, theirs) in [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("attn_o_proj", "attn_output"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("mlp.", "ffn_"),
        ("_proj", ""),
    ] {
        foreign = foreign.replace(ours, theirs);
    }
    let is_turned = name.contains("q_proj") || name.contains("k_proj");
    if !is_turned || matches!(lm, LmConfig::Qwen3(_)) {
        return Ok((foreign, tensor.clone()));
    }
    let rows = tensor.dim(0)?;
    let heads = rows / config.head_dim();
    let split = tensor.reshape((heads, 2, config.head_dim() / 2, ()))?;
    Ok((foreign, split.transpose(1, 2)?.contiguous()?.reshape(tensor.shape())?))
}

struct File {
    file: tempfile::NamedTempFile,
    /// What the file's values are, under our names.
    tensors: std::collections::HashMap<String, Tensor>,
}

/// A file of this config whose matrices have these types in turn.
fn file(
    config: &LlamaConfig,
    dtypes: &[GgmlDType],
    metadata: &Keys,
    extra: &[(&str, Tensor)],
) -> Result<File> {
    let (stored, tensors) = stored(config, &LmConfig::Llama(config.clone()), dtypes, extra)?;
    let file = tempfile::NamedTempFile::new().unwrap();
    write(file.path(), metadata, &stored)?;
    Ok(File { file, tensors })
}

type Stored = (Vec<(String, QTensor)>, std::collections::HashMap<String, Tensor>);

/// A model's tensors as llama.cpp stores them, and what their values are under our names.
fn stored(
    config: &LlamaConfig,
    lm: &LmConfig,
    dtypes: &[GgmlDType],
    extra: &[(&str, Tensor)],
) -> Result<Stored> {
    let variables = Variables::default();
    lm.build(variables.builder(3, DType::F32))?;
    let (mut stored, mut tensors) = (Vec::new(), std::collections::HashMap::new());
    for (at, (name, var)) in variables.all().into_iter().enumerate() {
        let dtype = if var.rank() == 2 { dtypes[at % dtypes.len()] } else { GgmlDType::F32 };
        let (foreign, tensor) = foreign(config, lm, &name, var.as_tensor())?;
        stored.push((foreign, QTensor::quantize(&tensor, dtype)?));
        let ours = QTensor::quantize(var.as_tensor(), dtype)?.dequantize(&Device::Cpu)?;
        tensors.insert(name, ours);
    }
    for (name, tensor) in extra {
        stored.push(((*name).to_owned(), QTensor::quantize(tensor, GgmlDType::F32)?));
    }
    Ok((stored, tensors))
}

fn write(path: &Path, metadata: &Keys, stored: &[(String, QTensor)]) -> Result<()> {
    let stored: Vec<_> = stored.iter().map(|(name, blocks)| (name.as_str(), blocks)).collect();
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let mut file = std::fs::File::create(path).unwrap();
    Ok(gguf_file::write(&mut file, &metadata, &stored)?)
}

fn refused(file: &File) -> String {
    open(file.file.path(), Precision::F32).err().expect("is refused").to_string()
}

fn logits(lm: &dyn CausalLm) -> Result<Vec<f32>> {
    let ids = Tensor::new(&[[7u32, 256, 30, 200]], &Device::Cpu)?;
    Ok(lm.logits(&ids, &Step::plain(1, 4)?)?.flatten_all()?.to_vec1()?)
}

#[test]
fn a_file_of_any_block_types_is_the_model_of_its_own_values() -> Result<()> {
    use GgmlDType::{BF16, F16, F32, Q4_0, Q4_1, Q5_0, Q8_0};
    let untied = LlamaConfig { tie_word_embeddings: false, ..config() };
    let biased = LlamaConfig { attention_bias: true, mlp_bias: true, ..config() };
    for config in [config(), untied, biased] {
        let file =
            file(&config, &[F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0], &metadata(&config), &[])?;
        let expected = Frozen::from_tensors(Path::new("memory"), file.tensors.clone());
        let expected = Llama::new(&config, expected.builder(DType::F32))?;
        let opened = open(file.file.path(), Precision::F32)?;
        assert_eq!(logits(&*opened.lm)?, logits(&expected)?);
        assert_eq!((opened.lm.shape().n_positions, opened.lm.shape().vocab_size), (40, 261));
        let n_values: usize = file.tensors.values().map(Tensor::elem_count).sum();
        assert_eq!(opened.n_parameters, n_values);
    }
    Ok(())
}

#[test]
fn divisors_of_the_frequencies_are_read() -> Result<()> {
    let divisors = Tensor::new(&[1f32, 1., 2., 4., 8., 8., 8., 8.], &Device::Cpu)?;
    let extra = [("rope_freqs.weight", divisors)];
    let with = file(&config(), &[GgmlDType::F32], &metadata(&config()), &extra)?;
    let parts = Parts::open(with.file.path())?;
    let LmConfig::Llama(read) = config::read(&Metadata::of(parts.first()), &parts)? else {
        panic!("no LLaMA")
    };
    let read = read.frequencies();
    let plain = config().frequencies();
    let ratios: Vec<f64> = plain.iter().zip(read).map(|(a, b)| (a / b).round()).collect();
    assert_eq!(ratios, [1., 1., 2., 4., 8., 8., 8., 8.]);
    open(with.file.path(), Precision::F32)?;
    Ok(())
}

#[test]
fn what_is_not_supported_is_named_with_the_file() -> Result<()> {
    let text = |text: &str| Value::String(text.to_owned());
    for (key, value, expected) in [
        (
            "general.architecture",
            text("qwen2"),
            "found architecture `qwen2`, expected one of `llama`",
        ),
        ("llama.expert_count", Value::U32(8), "a mixture of experts"),
        ("llama.rope.dimension_count", Value::U32(8), "rope.dimension_count is 8, expected"),
        ("llama.rope.scaling.type", text("yarn"), "found rotary scaling `yarn`"),
        ("llama.block_count", text("two"), "`llama.block_count` is no count"),
        (
            "llama.block_count",
            Value::U32(99_999_999),
            "llama.block_count is 99999999, expected 1 to 1000",
        ),
        ("llama.context_length", Value::U32(0), "llama.context_length is 0, expected 1 to"),
        (
            "llama.context_length",
            Value::U64(1_000_000_000_000),
            "llama.context_length is 1000000000000, expected 1 to 16777216",
        ),
        ("llama.rope.freq_base", Value::F32(0.), "llama.rope.freq_base is 0, expected"),
        ("llama.rope.freq_base", Value::F32(f32::NAN), "llama.rope.freq_base is NaN, expected"),
        (
            "llama.attention.layer_norm_rms_epsilon",
            Value::F32(-1.),
            "layer_norm_rms_epsilon is -1, expected",
        ),
        ("tokenizer.ggml.model", text("bert"), "found tokenizer `bert`, expected `gpt2`"),
        ("tokenizer.ggml.pre", text("viking"), "found pre-tokenizer `viking`"),
        ("tokenizer.ggml.merges", Value::Array(vec![text("x")]), "merge `x` is no pair"),
        (
            "tokenizer.ggml.tokens",
            Value::Array(vec![text(&"x".repeat(70_000))]),
            "holds a token of 70000 bytes, expected at most 65536",
        ),
    ] {
        let mut metadata = metadata(&config());
        metadata.insert(key.to_owned(), value);
        let file = file(&config(), &[GgmlDType::F32], &metadata, &[])?;
        let message = refused(&file);
        let path = file.file.path().display().to_string();
        assert!(message.contains(expected) && message.contains(&path), "{message}");
    }
    for key in ["general.architecture", "llama.context_length", "tokenizer.ggml.pre"] {
        let mut metadata = metadata(&config());
        metadata.remove(key);
        let message = refused(&file(&config(), &[GgmlDType::F32], &metadata, &[])?);
        assert!(message.contains(&format!("metadata key `{key}` is missing")), "{message}");
    }
    let stray = [("blk.0.attn_sinks.weight", Tensor::zeros(1, DType::F32, &Device::Cpu)?)];
    let message = refused(&file(&config(), &[GgmlDType::F32], &metadata(&config()), &stray)?);
    assert!(message.contains("`blk.0.attn_sinks.weight` belongs to no part"), "{message}");
    Ok(())
}

#[test]
fn a_tokenizer_that_gives_up_is_an_error_about_the_file() -> Result<()> {
    let file = file(&config(), &[GgmlDType::F32], &metadata(&config()), &[])?;
    let parts = super::Parts::open(file.file.path())?;
    let metadata = super::Metadata::of(parts.first());
    // a harmless stand-in
    let gave_up = super::tokenizer::guarded(&metadata, || -> Result<()> { panic!("index 3") });
    let said = gave_up.unwrap_err().to_string();
    assert!(said.contains("the tokenizers library gave up on it: index 3"), "{said}");
    assert!(said.contains(&file.file.path().display().to_string()), "{said}");
    Ok(())
}

#[test]
fn texts_are_cut_merged_and_put_together_again() -> Result<()> {
    let open = |edit: &[(&str, Value)]| -> Result<Tokenizer> {
        let mut metadata = metadata(&config());
        metadata.extend(edit.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        let file = file(&config(), &[GgmlDType::F32], &metadata, &[])?;
        Ok(crate::open(file.file.path(), Precision::F32)?.tokenizer)
    };
    let tokenizer = open(&[])?;
    assert!(tokenizer.has_pad());
    let text = "12 the 12é\n<|end|>the";
    let encoded = tokenizer.encode(text)?;
    assert_eq!(tokenizer.decode(&encoded.ids)?, text.replace("<|end|>", ""));
    // "12" is a token, but digits stand alone; "the" after a space is one, at the start it is two
    let one = tokenizer.id("1").unwrap();
    assert_eq!(encoded.ids[0], one);
    assert!(encoded.ids.contains(&258) && encoded.ids.contains(&259));
    assert!(!encoded.ids.contains(&260));
    assert_eq!(encoded.ranges.last().map(|range| range.end), Some(text.len()));

    let gpt2 = open(&[("tokenizer.ggml.pre", Value::String("gpt-2".into()))])?;
    assert_eq!(gpt2.encode("12")?.ids, [260]);
    let begun = open(&[("tokenizer.ggml.add_bos_token", Value::Bool(true))])?;
    assert_eq!(begun.encode(" the")?.ids, [259, 258]);
    assert_eq!(begun.encode_rest(" the")?.ids, [258]);
    let llama_3 = open(&[("tokenizer.ggml.pre", Value::String("llama-bpe".into()))])?;
    assert_eq!(llama_3.encode("12")?.ids, [259, 260]);
    // the same cuts, but no token before the text
    let smaug = open(&[("tokenizer.ggml.pre", Value::String("smaug-bpe".into()))])?;
    assert_eq!(smaug.encode("12")?.ids, [260]);
    let qwen = open(&[("tokenizer.ggml.pre", Value::String("qwen2".into()))])?;
    assert_eq!(qwen.encode("12")?.ids.len(), 2);
    assert_eq!(qwen.encode("e\u{301}")?.ids, qwen.encode("é")?.ids);
    assert_ne!(smaug.encode("e\u{301}")?.ids, smaug.encode("é")?.ids);
    Ok(())
}
