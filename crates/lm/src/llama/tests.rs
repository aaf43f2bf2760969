use candle_core::{DType, Device, Result, Tensor};
use nn::weights::Variables;

use super::*;
use crate::testing::plain::{self, Rows, Weights, add, attention, map, rotate, silu};
use crate::testing::{IDS, agrees_with_the_recorded_case, gap, holds};
use crate::{LmConfig, Rope, RopeScaling};

fn llama(edit: impl Fn(&mut LlamaConfig)) -> LmConfig {
    let mut config = LlamaConfig::tiny(10);
    edit(&mut config);
    LmConfig::Llama(config)
}

/// Everything that the plain model leaves out.
fn full() -> LmConfig {
    llama(|config| {
        config.head_dim = Some(6);
        config.attention_bias = true;
        config.mlp_bias = true;
        config.tie_word_embeddings = false;
        config.rope_scaling = Some(Rope {
            scaling: RopeScaling::Llama3 {
                factor: 8.,
                low_freq_factor: 1.,
                high_freq_factor: 4.,
                original: 16.,
            },
            ..Rope::default()
        });
    })
}

#[test]
fn gradients_cache_and_padding_hold() -> Result<()> {
    holds(&llama(|_| ()), 2 * 9 + 2)?;
    holds(&full(), 2 * 16 + 3)
}

#[test]
fn gradients_cache_and_padding_hold_in_models_of_its_kin() -> Result<()> {
    holds(&LmConfig::Qwen3(crate::Qwen3Config::tiny(10)), 2 * 11 + 2)?;
    holds(&LmConfig::SmolLm3(crate::SmolLm3Config::tiny(10)), 3 * 9 + 2)
}

#[test]
fn blocks_agree_with_openflamingos_llama() -> crate::Result<()> {
    agrees_with_the_recorded_case("llama_x1")
}

fn derived(config: &LlamaConfig, frequencies: &[f64], weights: &Weights, ids: &[u32]) -> Rows {
    let head_dim = config.head_dim();
    let embedding = weights.matrix("model.embed_tokens.weight");
    let mut xs: Rows = ids.iter().map(|&id| embedding[id as usize].clone()).collect();
    for layer in 0..config.num_hidden_layers {
        let linear =
            |name: &str, xs: &Rows| weights.linear(&format!("model.layers.{layer}.{name}"), xs);
        let norm =
            |name: &str, xs: &Rows| weights.rms_norm(&format!("model.layers.{layer}.{name}"), xs);
        let normed = norm("input_layernorm", &xs);
        let q = rotate(&linear("self_attn.q_proj", &normed), head_dim, frequencies);
        let k = rotate(&linear("self_attn.k_proj", &normed), head_dim, frequencies);
        let v = linear("self_attn.v_proj", &normed);
        let seen = attention([&q, &k, &v], head_dim, 1. / (head_dim as f64).sqrt(), |_, _| 0.);
        xs = add(&xs, &linear("self_attn.o_proj", &seen));
        let normed = norm("post_attention_layernorm", &xs);
        let mut hidden = map(&linear("mlp.gate_proj", &normed), silu);
        let up = linear("mlp.up_proj", &normed);
        for (hidden, up) in hidden.iter_mut().flatten().zip(up.iter().flatten()) {
            *hidden *= up;
        }
        xs = add(&xs, &linear("mlp.down_proj", &hidden));
    }
    let normed = weights.rms_norm("model.norm", &xs);
    let head = if config.tie_word_embeddings { "model.embed_tokens" } else { "lm_head" };
    weights.linear(head, &normed)
}

#[test]
fn logits_equal_a_derivation_in_plain_loops() -> Result<()> {
    let LmConfig::Llama(config) = llama(|_| ()) else { unreachable!() };
    plain::equals(&LmConfig::Llama(config.clone()), |weights, ids| {
        derived(&config, &[1., 1e-2], weights, ids)
    })?;
    // llama3 scaling by hand: of 16 positions, frequency 1 turns 2.5 times, the others less than once
    let LmConfig::Llama(config) = full() else { unreachable!() };
    let turns = 16. / (2. * std::f64::consts::PI);
    let blend = (turns - 1.) / 3.;
    let first = (1. - blend) / 8. + blend;
    let frequencies = [first, 10_000f64.powf(-1. / 3.) / 8., 10_000f64.powf(-2. / 3.) / 8.];
    plain::equals(&LmConfig::Llama(config.clone()), |weights, ids| {
        derived(&config, &frequencies, weights, ids)
    })
}

#[test]
fn logits_equal_candle_transformers_llama() -> Result<()> {
    use candle_nn::VarBuilder;
    use candle_transformers::models::llama;
    let variables = Variables::default();
    let ours = Llama::new(&LlamaConfig::tiny(10), variables.builder(5, DType::F32))?;
    let theirs = llama::Config {
        hidden_size: 16,
        intermediate_size: 24,
        vocab_size: 10,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        use_flash_attn: false,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.,
        bos_token_id: None,
        eos_token_id: None,
        rope_scaling: None,
        max_position_embeddings: 64,
        tie_word_embeddings: true,
    };
    let vb = VarBuilder::from_tensors(variables.tensors(), DType::F32, &Device::Cpu);
    let model = llama::Llama::load(vb, &theirs)?;
    let ids = Tensor::new(&IDS, &Device::Cpu)?;
    let logits = ours.logits(&ids, &Step::plain(2, 5)?)?;
    for n in 1..=5 {
        let mut cache = llama::Cache::new(false, DType::F32, &theirs, &Device::Cpu)?;
        let expected = model.forward(&ids.narrow(1, 0, n)?.contiguous()?, 0, &mut cache)?;
        let error = gap(&logits.narrow(1, n - 1, 1)?.squeeze(1)?, &expected)?;
        assert!(error < 1e-5, "{error}");
    }
    Ok(())
}
